"""How the pages of a ScanImage file follow each other: channels in turn, frames of a slice, slices, volumes.

Sources: the header that ScanImage writes, "SI.hChannels.channelSave" and its neighbours
(https://docs.scanimage.org/Appendix/ScanImage+BigTiff+Specification.html), in the Software tag since 2016, in the
ImageDescription before that ("scanimage.SI5.channelsSave", "state.acq.numberOfChannelsSave").
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

from napari_restore.sources.stopped import sizes

_LINE = re.compile(r"^\s*(?:scanimage\.)?(?:SI\d*|state)\.([A-Za-z0-9_.]+)\s*=\s*(.*?)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Order:
    """How pages follow each other: the last axis is the fastest."""

    axes: str
    shape: tuple[int, ...]
    note: str


def order_of(tif: Any, pages: int) -> Order | None:
    """Axes of the pages, from the header; None where it does not say them, or says others than there are."""
    header = _header(tif)
    channels = _channels(header)
    if pages < 2 or not channels or pages % channels:
        return None
    slices, frames = _slices(header, pages // channels), _frames(header)
    shape: tuple[int, ...]
    if slices > 1 and frames == 1:
        axes, shape = "TZC", (pages // channels // slices, slices, channels)
    elif slices > 1 and pages == slices * frames * channels:
        axes, shape = "ZTC", (slices, frames, channels)
    else:
        axes, shape = "TC", (pages // channels, channels)
    kept = [i for i, n in enumerate(shape) if n > 1]
    axes, shape = "".join(axes[i] for i in kept), tuple(shape[i] for i in kept)
    return Order(
        axes, shape, f"its {pages} pages are {sizes(axes, shape)}, as its ScanImage header says: `axes` overrides"
    )


def _header(tif: Any) -> dict[str, str]:
    """Its entries as they are written, in small letters, without the words before the group."""
    page = tif.pages.first
    told = {key: value.lower() for key, value in _LINE.findall(f"{page.description}\n{page.software}")}
    facts = (tif.scanimage_metadata or {}).get("FrameData") or {}
    return {**{str(key).partition(".")[2]: str(value).lower() for key, value in facts.items()}, **told}


def _channels(header: dict[str, str]) -> int:
    """How many channels were saved: numbers in ``[1;2]``, ``[1 2]`` or ``1``."""
    listed = header.get("hChannels.channelSave", header.get("channelsSave", ""))
    return len(re.findall(r"\d+", listed)) or _number(header.get("acq.numberOfChannelsSave"))


def _slices(header: dict[str, str], frames: int) -> int:
    """Of a volume, flyback frames that are written included; 1 where no stack was taken."""
    fast = header.get("hFastZ.enable") == "true"
    if header.get("hStackManager.enable") == "false" and not fast:
        return 1
    words = ("hStackManager.actualNumSlices", "hStackManager.numSlices", "stackNumSlices", "acq.numberOfZSlices")
    for word in ("hFastZ.numFramesPerVolume", *words) if fast else words:
        number = _number(header.get(word))
        if number > 1 and frames % number == 0:
            return number
    return 1


def _frames(header: dict[str, str]) -> int:
    """Frames that are written of each slice."""
    frames = _number(header.get("hStackManager.framesPerSlice", header.get("acq.numberOfFrames"))) or 1
    return max(1, frames // max(1, _number(header.get("hScan2D.logAverageFactor"))))


def _number(text: str | None) -> int:
    """A whole number; 0 for none, for infinity and for what is no number."""
    try:
        value = float(text or 0)
    except ValueError:
        return 0
    return int(value) if math.isfinite(value) and 0 < value < 2**31 else 0

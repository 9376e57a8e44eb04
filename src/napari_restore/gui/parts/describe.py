"""What the widget says, in words: sizes, times and the state of a run. No Qt here."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from napari_restore.core.events import (
    Event,
    Measured,
    RestorationStarted,
    TileDone,
    Trained,
    TrainingStarted,
)
from napari_restore.core.explained import plain
from napari_restore.core.geometry import SPATIAL
from napari_restore.sources.image import Image

_UNITS = {"micrometer": "µm", "nanometer": "nm", "millimeter": "mm", "meter": "m", "angstrom": "Å"}
_TIP_WIDTH = 100
"""Letters in a line of a tooltip."""

_LOST = 2
"""Percent of the image from which on lost detail is spoken of, as `judging.denoised` does."""

_KINDS = {"u": "", "i": " signed", "f": " float"}


@dataclass(frozen=True)
class Status:
    """What the progress bar shows: a fraction (None while it cannot be known) and words."""

    fraction: float | None
    text: str


def describe_image(image: Image) -> str:
    """One line such as ``18 × 512 × 512 ZYX, 0.2 × 0.13 × 0.13 µm, 16 bit``."""
    shape = " × ".join(str(n) for n in image.shape)
    parts = [f"{shape} {image.axes}", describe_pixel(image), describe_dtype(image)]
    return ", ".join(part for part in parts if part)


def describe_pixel(image: Image) -> str:
    """The pixel size along Z, Y and X with its unit, or nothing where it is not known."""
    geometry = image.geometry
    known = [a for a in SPATIAL if a in image.axes and geometry.units[geometry.index(a)] != "pixel"]
    if not known:
        return ""
    units = {geometry.units[geometry.index(a)] for a in known}
    if len(units) > 1:
        return " × ".join(f"{geometry.size_of(a):.3g} {_unit(geometry.units[geometry.index(a)])}" for a in known)
    return " × ".join(f"{geometry.size_of(a):.3g}" for a in known) + f" {_unit(units.pop())}"


def describe_dtype(image: Image) -> str:
    """Bits a pixel, such as ``16 bit`` or ``32 bit float``."""
    return f"{image.dtype.itemsize * 8} bit{_KINDS.get(image.dtype.kind, '')}"


def shortened(name: str, letters: int = 28) -> str:
    """A name that is no longer than so many letters, with its beginning and its end."""
    half = (letters - 1) // 2
    return name if len(name) <= letters else f"{name[:half]}…{name[-half:]}"


def breakable(text: str) -> str:
    """The same to the eye; but a line may end within a path, after each of its folders."""
    return re.sub(r"(?<=\S)([/\\])(?=\S)", "\\1\u200b", text)


def unbroken(text: str) -> str:
    """The same to the eye; but no line ends between a number and its unit."""
    return re.sub(r"(?<=\d) (?=(?:%|dB|s|min|h|px|nm|µm|mm|[KMG]iB)(?!\w))", "\u00a0", text)


def describe_time(seconds: float) -> str:
    """A duration as people say it: ``8 s``, ``2 min 10 s``, ``1 h 5 min``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        rest = f" {whole % 60} s" if whole < 600 and whole % 60 else ""
        return f"{(whole + (30 if whole >= 600 else 0)) // 60} min{rest}"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def describe_times(least: float, most: float) -> str:
    """A range as people say it, ``7 to 12 s``; one duration, in the middle, where the ends are within 30 % of that."""
    middle = (least * most) ** 0.5
    if most <= 1.3 * middle or describe_time(least) == describe_time(most):
        return describe_time(middle)
    if most < 60:
        return f"{describe_time(least)[:-2]} to {describe_time(most)}"
    return f"{describe_time(least)} to {describe_time(most)}"


IN_WINDOW: Mapping[str, str] = {
    "axes": "the Axes box",
    "channel": "a layer of that channel alone",
    "model": "Restore with…",
    "save_model": "Save model…",
    "start": "Start under Advanced",
    "output": "another folder under Result",
    "overwrite": "the box Overwrite in the tab Batch",
    "resume": "another run",
    "second": "a second image",
    "target": "a clean image",
    "method": "Method",
    "effort": "Effort",
    "psf": "PSF",
    "factor": "Factor",
    "noise": "the Noise box",
    "region": "the part under What",
    "seconds": "Seconds under Advanced",
    "steps": "Steps under Advanced",
    "seed": "Seed under Advanced",
    "precision": "Precision under Advanced",
    "patch": "Patch under Advanced",
    "batch": "Batch under Advanced",
    "learning_rate": "Learning rate under Advanced",
    "tile": "Tile under Advanced",
    "together": "Together under Advanced",
    "unreadable": "Unreadable under Advanced",
    "pattern": "the box Files in the tab Batch",
    "suffix": "the box Suffix in the tab Batch",
    "format": "the box Type in the tab Batch",
    "pixel_size": "the scale of the layer",
    "device": "the device under File ▸ Preferences",
    "memory_share": "the memory share under File ▸ Preferences",
}
"""Where the window has what a script calls by these names."""


def for_widget(message: str) -> str:
    """A message with the options that it names in backticks in the words of the window."""
    message = message.replace("`axes` overrides", "type over them above")
    return re.sub(r"`([a-z_]+)`", lambda found: IN_WINDOW.get(found[1], found[1].replace("_", " ")), message)


def tip_of(text: str) -> str:
    """What is said of an option, as a tooltip: plain, in lines."""
    return textwrap.fill(for_widget(plain(text)), _TIP_WIDTH)


def status_of(event: Event) -> Status | None:
    """What an event means for the progress bar; None where it means nothing."""
    match event:
        case TrainingStarted():
            return Status(0.0, "Training")
        case Measured(fraction=fraction, remaining=remaining):
            return Status(fraction, f"Training{_left(remaining)}")
        case Trained():
            return Status(1.0, "Trained")
        case RestorationStarted(done=done, tiles=tiles):
            return Status(done / max(tiles, 1), "Restoring")
        case TileDone(done=done, tiles=tiles, remaining=remaining):
            return Status(done / max(tiles, 1), f"Restoring, {done} of {tiles} tiles{_left(remaining)}")
        case _:
            return None


def verdict_of(report: Mapping[str, Any]) -> str:
    """What is known of a whole result without its truth, in one sentence that begins with ``Done``.

    Parameters
    ----------
    report
        Of a ``Restored``: ``"checked"`` of a denoiser, ``"compared"`` of what undoes an operator; or neither.
    """
    if (checked := report.get("checked")) is not None:
        return f"Done: {_gain(checked)}{_doubt(checked)}"
    if (compared := report.get("compared")) is None:
        return "Done"
    learned, *others = compared["rows"]
    rival = min(others, key=lambda row: float(row["sure"]), default=None)
    if not compared["learned_is_better"]:
        return "Done, but look at it: " + (f"{rival['label']} may be as good" if rival else "it may not fit the image")
    if rival is None or not learned["sure"] < rival["sure"]:
        return "Done: no warning sign was found"
    if not learned["sure"]:
        return f"Done: the error is too small to be told, of the best simpler way {rival['sure']:.3g}"
    return f"Done: estimated error {learned['sure']:.3g}, of the best simpler way {rival['sure']:.3g}"


_LONGEST_REASON = 160
"""Letters of a reason beside the buttons: three lines."""


def failure_of(message: str) -> str:
    """Why a run failed, as far as there is room beside the buttons: the first sentence; all of it is in the details."""
    first = re.split(r"(?<=[.!]) ", message.strip().splitlines()[0] if message.strip() else "", maxsplit=1)[0]
    first = first if len(first) <= _LONGEST_REASON else f"{first[: _LONGEST_REASON - 1].rsplit(' ', 1)[0]} …"
    return f"Failed: {first.rstrip('.')}" if first else "Failed"


def gain_of(report: Mapping[str, Any]) -> str:
    """What is estimated of a result in two words, for a table; nothing where nothing is."""
    if (checked := report.get("checked")) is not None:
        before, now = checked["psnr_before"], checked["psnr"] or checked["psnr_at_least"]
        return f"{now - before:+.1f} dB" if before is not None and now is not None else ""
    if (compared := report.get("compared")) is not None and (error := compared["rows"][0]["sure"]):
        return f"error {error:.3g}"
    return ""


def _gain(checked: Mapping[str, Any]) -> str:
    """How much nearer to the truth a denoised image is, as far as that can be told."""
    before, least, now = (checked[name] for name in ("psnr_before", "psnr_at_least", "psnr"))
    if before is None or least is None:
        return "how much was gained cannot be told"
    if least <= before:
        return "perhaps no better than the image itself, train longer"
    return f"+{now - before:.1f} dB estimated" if now is not None else f"+{least - before:.1f} dB at least"


def loses_detail(report: Mapping[str, Any]) -> bool:
    """Whether detail may be lost, as the verdict says."""
    checked = report.get("checked")
    return checked is not None and not checked["trusted"] and round(100 * checked["structure"]) >= _LOST


def _doubt(checked: Mapping[str, Any]) -> str:
    """What to look at before it is believed; nothing where it is trusted."""
    if checked["trusted"]:
        return ""
    if (percent := round(100 * checked["structure"])) >= _LOST:
        return f"; detail may be lost in {percent} % of the image"
    return "; read below what to look at"


def _left(remaining: float | None) -> str:
    return f", {describe_time(remaining)} left" if remaining is not None else ""


def _unit(name: str) -> str:
    return _UNITS.get(name, name)

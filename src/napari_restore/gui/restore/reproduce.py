"""What the main button would do, in words: the request with the files of its layers for their images. No Qt."""

from __future__ import annotations

import threading
from collections.abc import Generator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_restore.core.events import Event
from napari_restore.core.options import Opening
from napari_restore.core.region import Region
from napari_restore.gui.parts.layers import PART
from napari_restore.gui.parts.runner import Start
from napari_restore.gui.restore.work import names, resolved
from napari_restore.sources.image import Image
from napari_restore.sources.layers import is_layer
from napari_restore.sources.locations import without_secrets
from napari_restore.verbs.request import Request
from napari_restore.verbs.words import Shown, Words, as_command, as_script

_METRIC = "micrometer"


@dataclass(frozen=True)
class Places:
    """Where a request's images come from, and where its result goes.

    Attributes
    ----------
    image, other
        A file, or a layer that is in none; ``other`` is what the method learns from besides the image, or None.
    folder
        Of the result; None for a temporary one.
    channel
        Of the file, where the layer is one of its channels; and where among the axes of the file they are.
    """

    image: str | Shown
    other: str | Shown | None = None
    folder: Path | None = None
    channel: tuple[int, int] | None = None

    @classmethod
    def of(cls, layer: Any, other: Any, folder: Path | None) -> Places:
        """Of layers; those of different channels are not files that one call opens alike."""
        channel = channel_of(layer)
        if other is not None and channel_of(other) != channel:
            return cls(Shown(str(layer.name)), Shown(str(other.name)), folder)
        return cls(file_of(layer), None if other is None else file_of(other), folder, channel)


def file_of(layer: Any) -> str | Shown:
    """Where a layer was read from, or the layer itself where that is nowhere."""
    ours = _ours(layer)
    source = getattr(getattr(layer, "source", None), "path", None)
    for place in (ours.get("location"), ours.get("path"), source):
        if place and "://" in str(place):
            return without_secrets(str(place))
        if place and Path(place).exists():
            return str(Path(place).absolute())
    return Shown(str(layer.name))


def channel_of(layer: Any) -> tuple[int, int] | None:
    """Which channel of its file a layer is, and where in the axes of the file the channels are; None for all."""
    ours = _ours(layer)
    number, axes = ours.get("channel"), str(ours.get("axes", ""))
    return (number, axes.index("C")) if isinstance(number, int) and "C" in axes else None


def _ours(layer: Any) -> dict[str, Any]:
    """What our reader, or a result, leaves with a layer."""
    ours = layer.metadata.get("napari_restore") if isinstance(layer.metadata, dict) else None
    return ours if isinstance(ours, dict) else {}


def copying(words: Words, request: Request, places: Places) -> Start:
    """Write down what ``work.doing`` does, in a thread: a PSF from a picture of beads is read for it."""

    def start(stop: threading.Event) -> Generator[Event, None, str]:
        yield from ()
        return (as_script if words == "script" else as_command)(placed(request, places))

    return start


def placed(request: Request, places: Places) -> Request:
    """The request as whoever has only the files would make it: with the axes and the pixel size that the layer has.

    A pixel size is said where the layer has one in micrometers, which is what the file has or lacks.
    """
    image: Image = request.image
    request = resolved(request)
    geometry, region = image.geometry, request.restoring.region
    sizes = {a: s for a, s, u in zip(geometry.axes, geometry.pixel_size, geometry.units, strict=True) if u == _METRIC}
    training, writing = request.training, request.writing
    if training.second is not None:
        training = replace(training, second=places.other)
    if training.target is not None:
        training = replace(training, target=places.other)
    if is_layer(getattr(request.own, "mask", None)):
        request = replace(request, own=replace(request.own, mask=file_of(request.own.mask)))
    if places.folder is not None:
        suffix = request.row.suffix + (PART if region is not None else "")
        writing = replace(writing, output=next(names(places.folder, request, suffix=suffix)))
    if region is not None:
        request = replace(request, restoring=replace(request.restoring, region=spans(region, image)))
    number, at = places.channel if places.channel is not None else (None, None)
    axes = image.axes if at is None else f"{image.axes[:at]}C{image.axes[at:]}"
    opening = Opening(axes=axes, pixel_size=sizes or None, channel=number)
    return replace(request, image=places.image, opening=opening, training=training, writing=writing)


def spans(region: Region, image: Image) -> dict[str, tuple[int, int]]:
    """A region by axis, as scripts and the shell say it; axes that are whole are left out."""
    sides = zip(image.axes, region.start, region.stop, image.shape, strict=True)
    return {axis: (start, stop) for axis, start, stop, n in sides if (start, stop) != (0, n)}

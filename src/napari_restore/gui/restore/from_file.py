"""What a layer's file says of it and the layer does not: axes, pixel size; whichever reader opened it. No Qt here."""

from __future__ import annotations

import threading
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

from napari_restore.core.errors import RestoreError
from napari_restore.core.events import Event
from napari_restore.core.geometry import SPATIAL
from napari_restore.gui.parts.runner import Start
from napari_restore.sources import open_image
from napari_restore.sources.layers import made_from

_MICROMETRES = {"micrometer": 1.0, "nanometer": 1e-3, "millimeter": 1e3}


@dataclass(frozen=True)
class FileFacts:
    """Of a file whose pixels a layer shows.

    Attributes
    ----------
    axes
        A letter for each axis of the layer, colour's included; empty where the layer has names of its own.
    pixel_size
        Along the axes of space, in micrometers; empty where the file says none, or the layer does.
    """

    axes: str = ""
    pixel_size: Mapping[str, float] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """What is known by it; nothing where that is nothing."""
        parts = [part for part, known in (("axes", self.axes), ("pixel size", self.pixel_size)) if known]
        return f"{' and '.join(parts)} from the file" if parts else ""


def lacks(layer: Any) -> bool:
    """Whether a layer was read from a file by another reader than ours, and lacks what that may know."""
    ours = isinstance(layer.metadata, dict) and "napari_restore" in layer.metadata
    return not ours and made_from(layer) is not None and not (_named(layer) and _sized(layer))


def reading(layer: Any) -> Start:
    """Look into the file of a layer, in a thread: its header may lie on a slow disk."""
    path, named, sized = made_from(layer), _named(layer), _sized(layer)
    shape = tuple(layer.data[0].shape if layer.multiscale else layer.data.shape)

    def start(stop: threading.Event) -> Generator[Event, None, FileFacts]:
        yield from ()
        try:
            found = facts_of(str(path), shape)
        except (RestoreError, OSError):
            return FileFacts()  # another reader may open what ours does not
        return FileFacts("" if named else found.axes, {} if sized else found.pixel_size)

    return start


def facts_of(path: str, shape: tuple[int, ...]) -> FileFacts:
    """What a file says, where its pixels have this shape but for axes of one pixel that a reader leaves out.

    Raises
    ------
    RestoreError
        If it cannot be opened.
    """
    image = open_image(path)
    kept = [i for i, n in enumerate(image.shape) if n > 1 or len(image.shape) == len(shape)]
    if tuple(image.shape[i] for i in kept) != shape or image.notes:
        return FileFacts()  # a part of it, or put together otherwise; what is guessed is not from the file
    axes = "".join(image.axes[i] for i in kept)
    geometry = image.geometry
    sizes = {
        axis: size * _MICROMETRES[unit]
        for axis, size, unit in zip(geometry.axes, geometry.pixel_size, geometry.units, strict=True)
        if axis in axes and axis in SPATIAL and unit in _MICROMETRES
    }
    return FileFacts(axes, sizes)


def give(layer: Any, facts: FileFacts) -> None:
    """Let the layer say of itself what its file does."""
    letters = facts.axes[:-1] if layer.rgb else facts.axes
    if letters:
        layer.axis_labels = tuple(letters.lower())
    if facts.pixel_size:
        letters = letters or "".join(str(label).upper()[:1] for label in layer.axis_labels)
        layer.scale = tuple(facts.pixel_size.get(axis, 1.0) for axis in letters)
        layer.units = tuple("um" if axis in facts.pixel_size else "pixel" for axis in letters)


def _named(layer: Any) -> bool:
    """Whether somebody named the axes: napari counts them from the last, -1."""
    return any(str(label) != f"{i - layer.ndim}" for i, label in enumerate(layer.axis_labels))


def _sized(layer: Any) -> bool:
    return any(float(size) != 1 for size in layer.scale) or any(str(unit) != "pixel" for unit in layer.units)

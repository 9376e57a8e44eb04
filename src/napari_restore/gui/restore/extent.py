"""How much of an image is restored: everything, the plane in view, some planes, or the box around what is drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil, floor
from typing import Any, Literal

import numpy as np
from napari.layers import Shapes
from numpy.typing import NDArray
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QWidget

from napari_restore.core.errors import RestoreError
from napari_restore.core.region import Region
from napari_restore.gui.parts.links import Links
from napari_restore.gui.restore.span import SpanChoice
from napari_restore.sources.image import Image

Extent = Literal["everything", "plane", "span", "drawn"]

_LABELS: dict[Extent, str] = {
    "everything": "Everything",
    "plane": "Plane in view",
    "span": "Some planes or times",
    "drawn": "Drawn region",
}

DRAWN = "region to restore"
"""What the layer to draw in is called, where the viewer has none."""


class ExtentChoice(QComboBox):  # type: ignore[misc]
    """Everything, the plane in view, some planes or time points, or the box around the shapes of a Shapes layer.

    Choosing the last one in a viewer without such a layer adds one, ready to draw a rectangle.

    Parameters
    ----------
    over
        Gives the layer to restore: a new layer to draw in lies over it, with its units.

    Attributes
    ----------
    span
        Which planes or time points; in sight where these are chosen.
    said
        Signal: what to do next, in words, and their level.
    """

    said = Signal(str, str)

    def __init__(self, viewer: Any, links: Links, over: Callable[[], Any], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._over = over
        self.span = SpanChoice()
        self.span.hide()
        for extent, label in _LABELS.items():
            self.addItem(label, extent)
        self.setSizePolicy(self.sizePolicy().Policy.Expanding, self.sizePolicy().Policy.Fixed)
        self.setToolTip(
            "What is restored; training looks at the whole image in any case.\n"
            "Plane in view: the axes displayed, where the sliders stand.\n"
            "Some planes or times: from one to another, as the slider counts them.\n"
            "Drawn region: the box around the selected shapes of a Shapes layer, or around all of them.\n"
            "A shape reaches through the axes that its layer does not have."
        )
        self.activated.connect(self._offer_to_draw)
        self.currentIndexChanged.connect(lambda _: self.span.setVisible(self.extent == "span"))
        # A box without a layer to draw in would be a dead end at the next click on the main button.
        links.connect(viewer.layers.events.removed, self._forget)

    @property
    def extent(self) -> Extent:
        """The extent chosen."""
        extent: Extent = self.currentData()
        return extent

    def choose(self, extent: Extent) -> None:
        """Choose an extent, as the user does."""
        self.setCurrentIndex(self.findData(extent))
        self._offer_to_draw()

    def region(self, layer: Any, image: Image) -> Region | None:
        """The part of the image to restore, at this moment; None for all of it.

        Raises
        ------
        RestoreError
            If nothing is drawn over the image, or it has not the planes that are chosen.
        """
        if self.extent == "everything":
            return None
        found = self._part(layer, image)
        return None if found == Region.of_shape(image.shape) else found

    def _part(self, layer: Any, image: Image) -> Region:
        if self.extent == "plane":
            return plane_in_view(image, layer, self._viewer.dims.point, self._viewer.dims.displayed)
        if self.extent == "span":
            return self.span.region(image)
        return drawn_region(image, layer, drawing(self._viewer))

    def _offer_to_draw(self, _: int = 0) -> None:
        if self.extent != "drawn":
            return
        shapes = drawing(self._viewer)
        if shapes is None:
            shapes = Shapes(**_looks_over(self._over()))
            self._viewer.layers.append(shapes)
            self._viewer.layers.selection.active = shapes
            shapes.mode = "add_rectangle"
        if not len(shapes.data):
            self.said.emit(f"Draw a rectangle in the layer “{shapes.name}”, then start.", "info")

    def _forget(self, event: Any = None) -> None:
        if self.extent == "drawn" and drawing(self._viewer) is None:
            self.setCurrentIndex(0)


def _looks_over(layer: Any) -> dict[str, Any]:
    """A layer of two axes to draw in, where the rows and columns of an image layer are."""
    looks: dict[str, Any] = {"edge_color": "yellow", "face_color": "transparent", "edge_width": 2}
    if layer is not None:
        looks |= {name: tuple(getattr(layer, name))[-2:] for name in ("scale", "translate", "units", "axis_labels")}
    return {"name": DRAWN, "ndim": 2, **looks}


def drawing(viewer: Any) -> Any:
    """The Shapes layer that says which region: the one selected, or the newest; None where there is none."""
    active = viewer.layers.selection.active
    if isinstance(active, Shapes):
        return active
    return next((layer for layer in reversed(viewer.layers) if isinstance(layer, Shapes)), None)


def plane_in_view(image: Image, layer: Any, point: Sequence[float], displayed: Sequence[int]) -> Region:
    """The axes displayed, whole, at the sliders' place along the others; all channels.

    Parameters
    ----------
    point
        Where the sliders stand, in world coordinates, one entry an axis of the viewer.
    displayed
        The axes of the viewer that are in the canvas.
    """
    missing = len(point) - layer.ndim
    shown = {axis - missing for axis in displayed}
    position = layer.world_to_data([float(x) for x in point])
    lengths = layer.data.shape if not layer.multiscale else layer.data[0].shape
    at = [min(max(float(x), 0.0), n - 1.0) for x, n in zip(position, lengths, strict=False)]
    return _to_region(image, layer, [(-np.inf, np.inf) if i in shown else (x, x) for i, x in enumerate(at)])


def drawn_region(image: Image, layer: Any, shapes: Any) -> Region:
    """The pixels that the box around the selected shapes touches, or around all where none is selected.

    Raises
    ------
    RestoreError
        If there is no shape, or none over the image.
    """
    if shapes is None or not len(shapes.data):
        name = DRAWN if shapes is None else shapes.name
        raise RestoreError(f"nothing is drawn in the layer {name}: draw a rectangle, or restore everything.")
    chosen = sorted(shapes.selected_data) or range(len(shapes.data))
    corners = np.concatenate([_corners(np.asarray(shapes.data[i], dtype=float)) for i in chosen])
    axes = min(shapes.ndim, layer.ndim)
    world = np.zeros((len(corners), max(shapes.ndim, layer.ndim)))
    world[:, -shapes.ndim :] = [shapes.data_to_world(corner) for corner in corners]
    points = np.asarray([layer.world_to_data(point) for point in world])
    box: list[tuple[float, float]] = [(-np.inf, np.inf)] * layer.ndim
    for i in range(layer.ndim - axes, layer.ndim):
        box[i] = (float(points[:, i].min()), float(points[:, i].max()))
    region = _to_region(image, layer, box)
    if region.size == 0:
        raise RestoreError(f"the shapes of the layer {shapes.name} lie outside of {image.name}: draw over the image.")
    return region


def _corners(vertices: NDArray[np.float64]) -> NDArray[np.float64]:
    """The corners of the box around a shape: a layer that is turned needs them, and not the box's ends alone."""
    low, high = vertices.min(0), vertices.max(0)
    ends = np.meshgrid(*zip(low, high, strict=True), indexing="ij")
    return np.unique(np.stack([e.ravel() for e in ends], -1), axis=0)


def _to_region(image: Image, layer: Any, box: Sequence[tuple[float, float]]) -> Region:
    """The pixels of the image that a box in the layer's data coordinates touches; pixel i reaches from i - 1/2."""
    letters = [a for a in image.axes if not (layer.rgb and a == "C")]
    spans = {**dict(zip(letters, box, strict=True)), "C": (-np.inf, np.inf)}
    start, stop = [], []
    for axis, n in zip(image.axes, image.shape, strict=True):
        low, high = np.clip(spans[axis], -1.0, n + 1.0)
        first = floor(low + 0.5)
        start.append(first)
        stop.append(max(ceil(high + 0.5), first + 1))
    return Region(tuple(start), tuple(stop)).clip(image.shape)

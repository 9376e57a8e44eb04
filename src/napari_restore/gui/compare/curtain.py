"""Two layers' pictures, each in its own part of the canvas.

VisPy's insides are known here, in `letters.py` and in `parts/canvas.py`.
No pixel is copied and no plane is read again: each picture gets a filter of the graphics card that leaves out what
lies on the other side of the divider. What napari does with the layers (slices, pyramids, transforms) stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from vispy.color import Color
from vispy.scene.visuals import Mesh
from vispy.visuals.filters import Clipper

from napari_restore.gui.compare.letters import Letters, corners
from napari_restore.gui.parts.canvas import canvas_of

Way = Literal["left | right", "top | bottom"]

_FAR = 1e6
"""Pixels: beyond every canvas."""

_ON_TOP = 10**7
"""VisPy's drawing order: above napari's own overlays."""

_BARS = ((5.0, "black"), (2.0, "white"))
"""Pixels and colours of the divider, the lowest first: seen on dark and on light."""

_HANDLE = ((14.0, 38.0, "black"), (10.0, 34.0, "white"))
"""Pixels along and across the divider's normal, and colours, of the handle in its middle."""


_PARTS = len(_BARS) + len(_HANDLE)

_CORNERS = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
"""Of a square of one pixel."""

_HALVES = np.concatenate([np.array([[0, 1, 2], [0, 2, 3]], np.uint32) + 4 * part for part in range(_PARTS)])
"""Of each part two triangles."""

_COLOURS = np.repeat([Color(colour).rgba for *_, colour in (*_BARS, *_HANDLE)], 2, axis=0)
"""Of each triangle."""


@dataclass(eq=False)
class _Side:
    """One layer, its filter, and the visuals that the filter is on."""

    layer: Any
    clipper: Clipper
    visuals: list[Any] = field(default_factory=list)


class Curtain:
    """Shows the first layer, A, on one side of a divider and the second, B, on the other, until ``close``.

    The divider stays where it is on the screen while the camera moves.

    Parameters
    ----------
    viewer
        The viewer, with a window.
    first, second
        Its layers: the first one lies left of the divider, or above it.
    fraction
        Where the divider is, from 0 (only the second layer is seen) to 1 (only the first).
    way
        Which side is the first one's.
    """

    def __init__(
        self, viewer: Any, first: Any, second: Any, *, fraction: float = 0.5, way: Way = "left | right"
    ) -> None:
        self._canvas = canvas_of(viewer)
        self._scene = self._canvas._scene_canvas
        self._sides = (_Side(first, Clipper()), _Side(second, Clipper()))
        self._divider = _divider(self._canvas.view)
        self._letters = Letters(self._canvas.view, order=_ON_TOP)
        self._drawn: object = None
        self.fraction = fraction
        self.way: Way = way
        self.closed = False
        # First: the filters must fit before anything is drawn, whatever has changed since the last picture.
        self._scene.events.draw.connect(self._suit, position="first")
        self._scene.update()

    def move(self, fraction: float, way: Way | None = None) -> None:
        """Put the divider somewhere else; ``fraction`` is held between 0 and 1."""
        self.fraction = min(max(fraction, 0.0), 1.0)
        self.way = way or self.way
        self._scene.update()

    def fraction_at(self, x: float, y: float) -> float:
        """Where a divider through this point of the canvas would be; in its own pixels from the top left."""
        width, height = self._scene.size
        return float(x / max(width, 1) if self.way == "left | right" else y / max(height, 1))

    def near(self, x: float, y: float, *, reach: float = 8.0) -> bool:
        """Whether a point of the canvas is on the divider, or within ``reach`` pixels of it."""
        if not 0 < self.fraction < 1:
            return False
        width, height = self._scene.size
        length = width if self.way == "left | right" else height
        return bool(abs(self.fraction_at(x, y) - self.fraction) * length <= reach)

    def close(self) -> None:
        """Take everything away again. May be called again."""
        if self.closed:
            return
        self.closed = True
        self._scene.events.draw.disconnect(self._suit)
        for side in self._sides:
            _dress(side, [])
        self._divider.parent = None
        self._letters.remove()
        self._scene.update()

    def _suit(self, event: Any = None) -> None:
        """Before each picture: put the filters on whatever draws the layers now, and the divider in its place."""
        for side in self._sides:
            _dress(side, visuals_of(self._canvas, side.layer))
        now = (self.fraction, self.way, tuple(self._scene.size), tuple(self._scene.physical_size))
        if now != self._drawn:
            self._drawn = now
            self._cut()
            self._place_divider()

    def _cut(self) -> None:
        """Give each filter its half, in the frame buffer's pixels, whose Y goes up."""
        width, height = self._scene.physical_size
        first, second = self._sides
        if self.way == "left | right":
            at = round(self.fraction * width)
            first.clipper.bounds = (-_FAR, -_FAR, _FAR + at, 2 * _FAR)
            second.clipper.bounds = (at, -_FAR, _FAR, 2 * _FAR)
        else:
            at = height - round(self.fraction * height)
            first.clipper.bounds = (-_FAR, at, 2 * _FAR, _FAR)
            second.clipper.bounds = (-_FAR, -_FAR, 2 * _FAR, _FAR + at)

    def _place_divider(self) -> None:
        width, height = self._scene.size
        upright = self.way == "left | right"
        self._divider.visible = 0 < self.fraction < 1
        if self._divider.visible:
            sizes = [(across, 2.0 * max(width, height)) for across, _ in _BARS]
            sizes += [(across, along) for across, along, _ in _HANDLE]
            middle = (self.fraction * width, height / 2) if upright else (width / 2, self.fraction * height)
            corners_of = [middle + _CORNERS * (size if upright else size[::-1]) for size in sizes]
            self._divider.set_data(np.concatenate(corners_of).astype(np.float32), _HALVES, face_colors=_COLOURS)
        self._letters.place(corners(self.fraction, upright=upright, size=(width, height)))


def grid_of(viewer: Any) -> Any:
    """The viewer's grid, which moved into its canvas in napari 0.9."""
    return getattr(viewer, "canvas", viewer).grid


def visuals_of(canvas: Any, layer: Any) -> list[Any]:
    """What draws a layer now: another visual in 3-D than in 2-D, several for a plane larger than a texture."""
    drawn = canvas.layer_to_visual.get(layer)
    if drawn is None:
        return []
    tiles = vars(drawn.node).get("adopted_children")
    return [drawn.node] if tiles is None else list(tiles)


def _dress(side: _Side, wanted: list[Any]) -> None:
    """Put the filter on these visuals, and take it off all others."""
    for visual in side.visuals:
        if visual not in wanted:
            visual.detach(side.clipper)
    for visual in wanted:
        if visual not in side.visuals:
            visual.attach(side.clipper)
    side.visuals = wanted


def _divider(view: Any) -> Any:
    """Bars and handle in one mesh: VisPy takes milliseconds to make a visual, whatever it draws."""
    divider = Mesh(np.zeros((4 * _PARTS, 2), np.float32), _HALVES, face_colors=_COLOURS, parent=view)
    divider.set_gl_state("translucent", depth_test=False, cull_face=False)
    divider.order = _ON_TOP
    divider.interactive = False
    return divider

"""The letters A and B in the corners of the canvas: whose picture is where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from qtpy.QtCore import QRect, Qt
from qtpy.QtGui import QColor, QFont, QImage, QPainter
from superqt.utils import qimage_to_array
from vispy.scene.visuals import Image
from vispy.visuals.transforms import STTransform

SIDE, EDGE = 26, 8
"""Pixels along a side of a letter's plate, and between it and the border of the canvas."""

_FINER = 2
"""Times as many pixels as on a screen of the usual kind: letters stay sharp on others."""


class Letters:
    """Both of them, each on a dark plate, over whatever lies there. Made when first placed: that takes milliseconds.

    Parameters
    ----------
    view
        VisPy's, whose corner is that of the canvas.
    order
        When they are drawn.
    """

    def __init__(self, view: Any, *, order: int) -> None:
        self._view, self._order = view, order
        self._drawn: dict[str, Any] = {}

    def place(self, corners: Mapping[str, tuple[float, float]]) -> None:
        """Put each where it belongs, by its upper left corner; one without a place is not seen."""
        for letter in corners:
            if letter not in self._drawn:
                self._drawn[letter] = _drawn(self._view, letter, self._order)
        for letter, drawn in self._drawn.items():
            drawn.visible = letter in corners
            if letter in corners:
                drawn.transform.translate = (*corners[letter], 0, 0)

    def remove(self) -> None:
        """Take them away. May be called again."""
        for drawn in self._drawn.values():
            drawn.parent = None


def corners(fraction: float, *, upright: bool, size: Sequence[float]) -> dict[str, tuple[float, float]]:
    """Where the letters belong; on a side that is too narrow, nowhere.

    Parameters
    ----------
    fraction
        Of the canvas that shows A, from its left or, unless ``upright``, from its top. Where B alone is seen it is in
        A's corner: one looks at one place while they take turns.
    size
        Width and height of the canvas in pixels.
    """
    width, height = size
    length, room = (width if upright else height), SIDE + 2 * EDGE
    at = fraction * length
    far = (width - EDGE - SIDE, EDGE) if upright else (EDGE, height - EDGE - SIDE)
    found: dict[str, tuple[float, float]] = {}
    if at >= room:
        found["A"] = (EDGE, EDGE)
    if length - at >= room:
        found["B"] = (EDGE, EDGE) if fraction == 0 else far
    return found


def _drawn(view: Any, letter: str, order: int) -> Any:
    """A letter as a picture: VisPy's own texts make a font first, which takes tenths of a second."""
    drawn = Image(qimage_to_array(_painted(letter)), parent=view)
    drawn.set_gl_state("translucent", depth_test=False, cull_face=False)
    drawn.transform = STTransform(scale=(1 / _FINER, 1 / _FINER))
    drawn.order = order
    drawn.interactive = False
    return drawn


def _painted(letter: str) -> QImage:
    """White and bold, on a dark plate that lets some of the picture through."""
    side = _FINER * SIDE
    image = QImage(side, side, QImage.Format.Format_RGBA8888)
    image.fill(Qt.GlobalColor.transparent)
    font = QFont()
    font.setBold(True)
    font.setPixelSize(round(0.7 * side))
    painter = QPainter(image)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(0, 0, 0, 170))
    painter.drawRoundedRect(image.rect(), side / 6, side / 6)
    painter.setPen(QColor("white"))
    painter.setFont(font)
    painter.drawText(QRect(0, 0, side, side), Qt.AlignmentFlag.AlignCenter, letter)
    painter.end()
    return image

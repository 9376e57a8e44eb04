"""A section that is folded away until somebody wants to see it."""

from __future__ import annotations

from qtpy.QtGui import QColor, QPalette
from qtpy.QtWidgets import QHBoxLayout, QWidget
from superqt import QCollapsible

_ANY_HEIGHT = 2**24 - 1
"""Qt's own word for no limit."""


class Folded(QCollapsible):  # type: ignore[misc]
    """A line with a triangle, and below it ``inside``, which is hidden at first and as high as it needs.

    Attributes
    ----------
    fold
        The line.
    inside
        What the line shows and hides; has no layout yet.
    head
        The row with the line; what is added to it stays in sight.
    """

    def __init__(self, title: str, parent: QWidget | None = None) -> None:
        super().__init__(title, parent)
        self.fold = self.toggleButton()
        self.inside = QWidget()
        self.head = QHBoxLayout()
        self.setDuration(0)
        self.setContent(self.inside)
        self.inside.hide()
        self.head.addWidget(self.fold)
        self.head.addStretch(1)
        self.layout().insertLayout(0, self.head)
        self.layout().setContentsMargins(0, 0, 0, 0)
        self.layout().setSpacing(4)
        self.toggled.connect(self._show_inside)

    def set_colours(self, *, text: str) -> None:
        """The arrow, and where the keyboard is, in the colour of the words: superqt's palette is not napari's sheet."""
        flat = "QPushButton { text-align: left; border: none; background: transparent; padding: 1px; }"
        self.fold.setStyleSheet(f"{flat} QPushButton:focus {{ border: 1px solid {text}; padding: 0px; }}")
        palette = self.fold.palette()
        palette.setColor(QPalette.ColorRole.WindowText, QColor(text))
        self.fold.setPalette(palette)
        self.setExpandedIcon("▼")
        self.setCollapsedIcon("▶")

    def _show_inside(self, shown: bool) -> None:
        self.inside.setVisible(shown)  # or the keyboard would go through what is folded
        self.inside.setMaximumHeight(_ANY_HEIGHT if shown else 0)  # more comes, and words get longer

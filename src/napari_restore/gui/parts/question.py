"""A "?" beside a box, which opens the page of the documentation about it."""

from __future__ import annotations

from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QToolButton, QWidget

from napari_restore.gui.parts.pages import page_about

_SIDE = 18
"""Pixels of the screen: beside each box, and no wider than it must be."""


class Question(QToolButton):  # type: ignore[misc]
    """Opens the page about ``name`` in the browser. The keyboard goes past it: F1 in the box does the same.

    Parameters
    ----------
    words
        What the box is called, for a screen reader.
    """

    def __init__(self, name: str, words: str, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._name = name
        self.setText("?")
        self.setAutoRaise(True)
        self.setFixedSize(_SIDE, _SIDE)
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self.setAccessibleName(f"About {words.replace('&', '')}")
        self.setToolTip("Opens the page of the documentation in your browser (F1).")
        self.clicked.connect(lambda _checked: self.open())

    def open(self) -> None:
        """Show the page."""
        QDesktopServices.openUrl(QUrl(page_about(self._name)))

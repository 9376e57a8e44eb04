"""A path that is typed or chosen. Not magicgui's: the dialog of that has neither a title nor the window it is of."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QHBoxLayout, QLineEdit, QPushButton, QWidget


class PathLine(QWidget):  # type: ignore[misc]
    """A line and a button that asks for a file (``r``) or for a folder (``d``).

    Attributes
    ----------
    changed
        Signal: it is another path.
    """

    changed = Signal()

    def __init__(
        self, tip: str, *, title: str, mode: Literal["r", "d"], placeholder: str = "", parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._title, self._mode = title, mode
        self.line, self.button = QLineEdit(), QPushButton("…")
        self.line.setToolTip(tip)
        self.line.setPlaceholderText(placeholder)
        self.button.setFixedWidth(28)
        self.button.setToolTip(f"{title}.")
        self.button.setAccessibleName(f"Choose {title[0].lower()}{title[1:]}")
        self.setFocusProxy(self.line)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        row.addWidget(self.line, 1)
        row.addWidget(self.button)
        self.button.clicked.connect(self._ask)
        self.line.textChanged.connect(lambda _: self.changed.emit())

    @property
    def path(self) -> Path | None:
        """What is in the line, or None where it is empty."""
        text = self.line.text().strip()
        return Path(text).expanduser() if text else None

    def _ask(self) -> None:
        if self._mode == "d":
            chosen = QFileDialog.getExistingDirectory(self, self._title, self.line.text())
        else:
            chosen, _ = QFileDialog.getOpenFileName(self, self._title, self.line.text())
        if chosen:
            self.line.setText(chosen)

"""What the user should know, in words."""

from __future__ import annotations

import html
from typing import Literal

from qtpy.QtGui import QTextCursor
from qtpy.QtWidgets import QSizePolicy, QTextBrowser, QWidget

from napari_restore.gui.parts.describe import for_widget, unbroken

Level = Literal["info", "warning", "error"]

SIGNS: dict[Level, str] = {"info": "", "warning": "⚠ ", "error": "✖ "}

_HEIGHT = 140
"""Pixels: some eight lines."""


class Messages(QTextBrowser):  # type: ignore[misc]
    """Notes, warnings and errors, the newest at the bottom; text can be copied."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setReadOnly(True)
        self.setAccessibleName("Messages")
        self.setOpenLinks(False)
        self.setFixedHeight(_HEIGHT)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setPlaceholderText("What was found, chosen and written is said here.")
        self.document().setMaximumBlockCount(200)
        self._colours: dict[Level, str] = {"info": "", "warning": "", "error": ""}

    def set_colours(self, *, warning: str, error: str) -> None:
        """Colours that can be read on the viewer's theme."""
        self._colours = {"info": "", "warning": warning, "error": error}

    def say(self, text: str, level: Level = "info") -> None:
        """Add a line; options that it names in backticks are said in the words of the window."""
        colour = f' style="color:{self._colours[level]}"' if self._colours[level] else ""
        self.append(f"<span{colour}>{SIGNS[level]}{html.escape(unbroken(for_widget(text)))}</span>")
        self.moveCursor(QTextCursor.MoveOperation.End)

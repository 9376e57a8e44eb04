"""What to do next, for those who are here for the first time; gone for good once it is hidden."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtWidgets import QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_restore.gui.parts.remembered import Remembered

SAMPLE = "truth"
"""Which sample a beginner is offered: the estimate can be seen beside the true gain."""

_STEPS = {
    "empty": "New here? Open an image. Or take a sample whose truth is known: you then see how good a result is said "
    "to be, and how good it is.",
    "open": "Look whether the axes below are right, then press the button at the bottom. Your image stays as it is: "
    "the result is a new layer over it.",
    "done": "Look at both behind the curtain of the tab Compare, and at what was taken away. Save result… writes it.",
}
"""What is said before there is an image, before there is a result, and afterwards."""


class Hint(QFrame):  # type: ignore[misc]
    """One step at a time, until somebody hides it.

    Parameters
    ----------
    sample
        Opens the sample for beginners.
    """

    def __init__(self, sample: Callable[[], Any], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._kept = Remembered()
        self.words = QLabel()
        self.words.setWordWrap(True)
        self.sample_button = QPushButton("Open the sample")
        self.hide_button = QPushButton("Hide these hints")
        for button, key in ((self.sample_button, "Alt+J"), (self.hide_button, "Alt+Q")):
            button.setShortcut(key)
            button.setToolTip(f"Or press {key}.")
        self.sample_button.clicked.connect(lambda _checked: sample())
        self.hide_button.clicked.connect(lambda _checked: self.forget())
        row = QHBoxLayout()
        for button in (self.sample_button, self.hide_button):
            row.addWidget(button)
        row.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 6, 8, 6)
        column.addWidget(self.words)
        column.addLayout(row)
        self.setFrameShape(QFrame.Shape.StyledPanel)

    def tell(self, *, has_layer: bool, has_result: bool) -> None:
        """Say the next step, unless hints are hidden."""
        step = "done" if has_result else "open" if has_layer else "empty"
        self.words.setText(_STEPS[step])
        self.sample_button.setVisible(step == "empty")
        self.setVisible(self._kept.text("hints") != "hidden")

    def forget(self) -> None:
        """No more hints, now and the next time."""
        self._kept.keep(hints="hidden")
        self.hide()

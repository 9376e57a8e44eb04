"""How noisy the image is: found by the method, or a number, which can be estimated first."""

from __future__ import annotations

import math
import threading
from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Literal

from qtpy.QtWidgets import QGridLayout, QLabel, QLineEdit, QPushButton, QWidget

from napari_restore.core.errors import RestoreError
from napari_restore.core.events import Event
from napari_restore.gui.parts.runner import Ended, Runner, Start
from napari_restore.gui.restore.editor import Editor
from napari_restore.gui.restore.work import Engine
from napari_restore.sources.image import Image


@dataclass(frozen=True)
class Estimated:
    """A noise level to give to a method, and what was found in words."""

    level: float
    words: str


class NoiseChoice(Editor):
    """``auto`` or a standard deviation, a button that estimates one, and a sentence about it."""

    def __init__(self, engine: Engine, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._engine = engine
        self._colour = ""
        self._image: Image | None = None
        self._asked: Image | None = None
        self._found = ""
        self.line = QLineEdit("auto")
        self.setFocusProxy(self.line)
        self.button = QPushButton("Estimate")
        self.words = QLabel()
        self._estimator = Runner(self)
        self._lay_out()
        self.line.textChanged.connect(self._take)
        self.button.clicked.connect(lambda _: self.estimate())
        self._estimator.ended.connect(self._show)

    @property
    def value(self) -> float | Literal["auto"]:
        """As the verbs take it.

        Raises
        ------
        RestoreError
            If it is neither ``auto`` nor a number of 0 or more.
        """
        text = self.line.text().strip().lower()
        if text in ("", "auto"):
            return "auto"
        try:
            level = float(text.replace(",", "."))
        except ValueError:
            level = math.nan
        if not (math.isfinite(level) and level >= 0):
            raise RestoreError(f"noise {text!r}: write auto, or a standard deviation in grey values such as 12.5.")
        return level

    @property
    def kept(self) -> str | None:
        """That it is found; a number is of one image."""
        return "auto" if self.line.text().strip().lower() in ("", "auto") else None

    def take(self, value: str) -> None:
        """Write it."""
        self.line.setText(value)

    @property
    def estimating(self) -> bool:
        """Whether an estimate is being made."""
        return self._estimator.running

    def estimate(self) -> None:
        """Look at the image in a thread, then put the number into the box and say what was found."""
        if self._image is not None and self._estimator.start(_estimating(self._engine, self._image)):
            self._asked = self._image
            self.words.setStyleSheet("")
            self.words.setText("Looking at the flat parts of the image …")
            self.words.show()
            self.button.setEnabled(False)

    def show_image(self, image: Image | None, *, finer: int) -> None:
        """What will be estimated."""
        self._image = image

    def show_layer(self, layer: Any) -> None:
        """Another image is chosen: what was found does not hold for it. What the user has written stays."""
        self._asked = None
        if self.line.text() == self._found:
            self.line.setText("auto")
        self._say("")

    def set_colours(self, *, error: str) -> None:
        """The colour of words about what is wrong."""
        self._colour = error

    def abandon(self) -> None:
        """The viewer is going away."""
        self._estimator.abandon()

    def _take(self) -> None:
        try:
            _ = self.value
        except RestoreError as error:
            self._say(str(error), wrong=True)
        else:
            self._say("")
        self.changed.emit()

    def _show(self, ended: Ended) -> None:
        self.button.setEnabled(True)
        if self._asked is not None and ended.failure is not None:
            self._say(ended.failure.message, wrong=True)
        elif self._asked is not None:
            self._found = f"{ended.result.level:.4g}"
            self.line.setText(self._found)
            self._say(ended.result.words)
        self.changed.emit()

    def _say(self, text: str, *, wrong: bool = False) -> None:
        self.words.setText(text)
        self.words.setStyleSheet(f"color: {self._colour};" if wrong and self._colour else "")
        self.words.setVisible(bool(text))

    def _lay_out(self) -> None:
        self.button.setAccessibleName("Estimate the noise")
        self.button.setToolTip("Find the noise in the flat parts of the image, and put a safe number in the box.")
        self.words.setWordWrap(True)
        self.words.hide()
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        grid.addWidget(self.line, 0, 0)
        grid.addWidget(self.button, 0, 1)
        grid.addWidget(self.words, 1, 0, 1, 2)
        grid.setColumnStretch(0, 1)


def _estimating(engine: Engine, image: Image) -> Start:
    def start(stop: threading.Event) -> Generator[Event, None, Estimated]:
        from napari_restore.metrics.noise_level import describe, rounded_up

        yield from ()
        found = engine.estimate_noise(image)
        said = describe(found)
        return Estimated(rounded_up(found), f"{said[0].upper()}{said[1:]}.{_advice(found)}")

    return start


def _advice(level: Any) -> str:
    """What a single number leaves out."""
    if level.gain > 0:
        return " One number leaves the growth out: auto takes it into account."
    return "" if level.reliable else " Better leave it to auto."

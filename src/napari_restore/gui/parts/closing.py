"""Napari's window is closed amid work: it asks, as the panel does; and what has been learned by then is kept."""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QMessageBox, QWidget


class Closing(QObject):  # type: ignore[misc]
    """One for each window of napari's. It has the window stay until somebody has said what is to become of the work.

    A window that a script closes goes at once: nobody is there to be asked.

    Attributes
    ----------
    question
        What is asked, while it is; else None.
    """

    def __init__(self, window: QWidget) -> None:
        super().__init__(window)
        self._window = window
        self._watched: WeakSet[Any] = WeakSet()
        self._answered = False
        self.question: QMessageBox | None = None
        self.stop: Any = None
        self.stay: Any = None
        window.installEventFilter(self)

    @classmethod
    def of(cls, window: QWidget) -> Closing:
        """That of a window."""
        return window.findChild(cls) or cls(window)

    def watch(self, widget: Any) -> None:
        """Ask about the work of a widget in this window; it has ``going_on()``."""
        self._watched.add(widget)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:  # noqa: N802
        """Whether an event of the window's is held back."""
        if watched is not self._window or event.type() != QEvent.Type.Close or self._answered:
            return False
        words = list(dict.fromkeys(words for each in self._watched if (words := each.going_on())))  # a tab and its page
        if not words or not (event.spontaneous() or self._in_sight()):
            return False
        event.ignore()
        self._ask(words)
        return True

    def _in_sight(self) -> bool:
        """Whether the canvas is: napari hides it before it closes a window by itself, but not for Ctrl+W and Ctrl+Q."""
        middle = self._window.centralWidget()
        direct = Qt.FindChildOption.FindDirectChildrenOnly
        return any(each.isVisible() for each in middle.findChildren(QWidget, options=direct))

    def _ask(self, words: list[str]) -> None:
        if self.question is not None:
            self.question.raise_()
            return
        self.question = question = QMessageBox(
            QMessageBox.Icon.Question,
            "napari-restore",
            f"{' and '.join(words)} {'is' if len(words) == 1 else 'are'} going on. Stop and close napari?\n\n"
            "What has been learned by then is kept: next time, under Restore with… ▸ Recent models.",
            parent=self._window,
        )
        self.stop = question.addButton("Stop and close", QMessageBox.ButtonRole.DestructiveRole)
        self.stay = question.addButton("Stay", QMessageBox.ButtonRole.RejectRole)
        question.setDefaultButton(self.stay)
        question.setEscapeButton(self.stay)
        self.stop.clicked.connect(self._close)
        question.finished.connect(self._forget)
        question.open()

    def _forget(self, _: int = 0) -> None:
        if self.question is not None:
            self.question.deleteLater()
            self.question = None

    def _close(self, _checked: bool = False) -> None:
        self._answered = True
        self._forget()
        self._window.close()

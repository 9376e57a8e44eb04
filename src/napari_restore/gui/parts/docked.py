"""How a widget of ours ends: napari takes it out of its dock, or the user closes it as a window of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import ref

from qtpy.QtCore import QEvent, QObject, QSize, QTimer
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QMainWindow, QMessageBox, QWidget

from napari_restore.gui.parts.closing import Closing

_LOOKS_EVERY_MS = 200
"""How soon a widget that stayed for its work alone goes after it."""


class Docked:
    """For a Qt widget, named before its Qt class; it has ``leave()``, which stops its work and lets the viewer go."""

    _docked = False
    _window: Callable[[], QWidget | None] = staticmethod(lambda: None)

    def leave(self) -> None:
        """Stop, and listen to the viewer no more."""
        raise NotImplementedError

    def going_on(self) -> str:
        """What work would be lost if it left now, in words; nothing where there is none, and it may leave unasked."""
        return ""

    def sizeHint(self) -> QSize:  # noqa: N802
        """Narrow enough for a laptop's screen beside the canvas."""
        return QSize(400, 700)

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Taken out of its dock for good: the user has closed it."""
        super().changeEvent(event)  # type: ignore[misc]
        if event.type() == QEvent.Type.ParentChange:
            home = self.parent()  # type: ignore[attr-defined]
            if self._docked and home is None:
                self._close()
            self._docked = home is not None

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """Seen: whose window that is in, also where its dock floats."""
        super().showEvent(event)  # type: ignore[misc]
        above: Any = self
        while (parent := above.parentWidget()) is not None:
            above = parent
        self._window = ref(above) if above is not self else lambda: None  # not kept alive: all of napari hangs on it
        if isinstance(above, QMainWindow):
            Closing.of(above).watch(self)

    def closeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Closed as a window of its own."""
        self.leave()
        super().closeEvent(event)  # type: ignore[misc]

    def _close(self) -> None:
        window = self._window()
        if window is not None and window.isVisible() and (words := self.going_on()):
            Staying(self, window, words)
        else:
            self.leave()
            self.deleteLater()  # type: ignore[attr-defined]


class Staying(QObject):  # type: ignore[misc]
    """Lets a widget that was closed live on, unseen in napari's window, until its work is over; asks about that.

    The work goes on while the question is open: nobody has to hurry. With the window all of it ends.
    """

    def __init__(self, widget: Any, window: QWidget, words: str) -> None:
        super().__init__(window)
        self._widget, self._window = widget, window
        self.question = QMessageBox(
            QMessageBox.Icon.Question,
            "napari-restore",
            f"{words} is going on. Stop it, or let it go on in the background?\n\n"
            "In the background it is in napari's activity dock, at the lower right, with its own Cancel.",
            parent=window,
        )
        self.stop = self.question.addButton("Stop", QMessageBox.ButtonRole.DestructiveRole)
        self.go_on = self.question.addButton("Go on in the background", QMessageBox.ButtonRole.RejectRole)
        self.question.setDefaultButton(self.go_on)
        self.question.setEscapeButton(self.go_on)
        self.stop.clicked.connect(self._stop)
        self._timer = QTimer(self)
        self._timer.setInterval(_LOOKS_EVERY_MS)
        self._timer.timeout.connect(self._look)
        self._timer.start()
        QTimer.singleShot(0, self._begin)  # napari is at work on the dock

    def _begin(self) -> None:
        self._widget.setParent(self._window)
        self._widget.hide()
        self.question.open()

    def _stop(self, _checked: bool = False) -> None:
        self._widget.leave()
        self._end()

    def _look(self) -> None:
        if not self._widget.going_on():
            self._widget.leave()
            self._end()

    def _end(self) -> None:
        self._timer.stop()
        self.question.close()
        for each in (self.question, self._widget, self):
            each.deleteLater()

"""Several layers, one after the other: what waits, what runs, what came of it. Rows can be moved and taken out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QListWidget, QListWidgetItem, QPushButton, QVBoxLayout, QWidget

from napari_restore.gui.restore.session import Session
from napari_restore.verbs.request import Request

State = Literal["waiting", "running", "done", "stopped", "failed"]

_WORDS: dict[State, str] = {
    "waiting": "waits",
    "running": "runs now",
    "done": "done",
    "stopped": "stopped",
    "failed": "failed: see the details",
}


@dataclass(eq=False)
class Row:
    """One layer of several.

    Attributes
    ----------
    layer, name
        What is restored, and how it was called when it was put here.
    request
        What is asked for, with the settings of that moment.
    """

    layer: Any
    name: str
    request: Request
    state: State = "waiting"


class Queue(QObject):  # type: ignore[misc]
    """Lets a session do one request after the other.

    Cancel, in the window, stops the one that runs and all that wait; a row that is taken out stops alone.

    Attributes
    ----------
    rows
        In their order; those that are over stay until the next ones come.
    changed
        Signal: the rows are others, or in another state.
    said
        Signal: words for the user and their level.
    """

    changed = Signal()
    said = Signal(str, str)

    def __init__(self, session: Session, begin: Callable[[Row], bool], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._session, self._begin = session, begin
        self.rows: list[Row] = []
        session.over.connect(self._go_on)

    @property
    def running(self) -> Row | None:
        """The row that runs now."""
        return next((row for row in self.rows if row.state == "running"), None)

    @property
    def waiting(self) -> list[Row]:
        """The rows that wait, in their order."""
        return [row for row in self.rows if row.state == "waiting"]

    def start(self, rows: Sequence[Row]) -> None:
        """Do these, in this order."""
        self.rows = list(rows)
        self._next()

    def move(self, row: Row, by: int) -> None:
        """One that waits goes before or after others that wait."""
        index = self.rows.index(row)
        if row.state != "waiting" or not 0 <= index + by < len(self.rows) or self.rows[index + by].state != "waiting":
            return
        self.rows[index], self.rows[index + by] = self.rows[index + by], row
        self.changed.emit()

    def take_out(self, row: Row) -> None:
        """One that waits is left out; one that runs is stopped, and the next one begins."""
        if row.state == "waiting":
            row.state = "stopped"
            self.changed.emit()
        elif row.state == "running":
            self._session.stop()

    def stop(self) -> None:
        """Leave out all that wait; the one that runs is the session's to stop."""
        for row in self.waiting:
            row.state = "stopped"
        self.changed.emit()

    def _next(self) -> None:
        for row in self.waiting:
            row.state = "running"
            if self._begin(row):
                break
            row.state = "failed"
        self.changed.emit()

    def _go_on(self) -> None:
        """A run of the session is over: if it was one of these, note what came of it, and do the next one."""
        row = self.running
        if row is None:
            return
        stopped = self._session.runner.flag.is_set()
        row.state = "done" if self._session.result is not None else "stopped" if stopped else "failed"
        self._next()
        if self.running is None:
            done = sum(one.state == "done" for one in self.rows)
            level = "info" if done == len(self.rows) else "warning"
            self.said.emit(f"{done} of {len(self.rows)} layers are restored.", level)


class QueuePane(QWidget):  # type: ignore[misc]
    """A row for each layer, and buttons that move and take out the one that is chosen; hidden where all are done."""

    def __init__(self, queue: Queue, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._queue = queue
        self.list = QListWidget()
        self.list.setAccessibleName("Layers that are restored one after the other")
        self.list.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.up, self.down, self.out = (QPushButton(text) for text in ("Sooner", "Later", "Take out"))
        self.up.setToolTip("The layer is restored before the one above it.")
        self.down.setToolTip("The layer is restored after the one below it.")
        self.out.setToolTip("Leave this layer out; if it is restored now, stop that, and go on with the next one.")
        row = QHBoxLayout()
        for button in (self.up, self.down, self.out):
            row.addWidget(button)
        row.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 4, 8, 0)
        column.setSpacing(4)
        column.addWidget(self.list)
        column.addLayout(row)
        self.up.clicked.connect(lambda _checked: self._move(-1))
        self.down.clicked.connect(lambda _checked: self._move(1))
        self.out.clicked.connect(lambda _checked: self._take_out())
        self.list.currentRowChanged.connect(lambda _row: self._allow())
        queue.changed.connect(self._show)
        self._show()

    @property
    def chosen(self) -> Row | None:
        """The row that is selected."""
        index = self.list.currentRow()
        return self._queue.rows[index] if 0 <= index < len(self._queue.rows) else None

    def _move(self, by: int) -> None:
        if (row := self.chosen) is not None:
            self._queue.move(row, by)
            self.list.setCurrentRow(self._queue.rows.index(row))

    def _take_out(self) -> None:
        if (row := self.chosen) is not None:
            self._queue.take_out(row)

    def _show(self) -> None:
        rows, chosen = self._queue.rows, self.list.currentRow()
        self.setVisible(any(row.state != "done" for row in rows))
        self.list.blockSignals(True)
        self.list.clear()
        for row in rows:
            item = QListWidgetItem(f"{row.name}: {_WORDS[row.state]}")
            font = item.font()
            font.setBold(row.state == "running")
            item.setFont(font)
            self.list.addItem(item)
        self.list.setCurrentRow(min(chosen, len(rows) - 1))
        self.list.blockSignals(False)
        self.list.setFixedHeight(20 * min(max(len(rows), 1), 4) + 4)
        self._allow()

    def _allow(self) -> None:
        row = self.chosen
        waits = row is not None and row.state == "waiting"
        self.up.setEnabled(waits)
        self.down.setEnabled(waits)
        self.out.setEnabled(row is not None and row.state in ("waiting", "running"))

"""The images of a folder and their states, a row each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, QRect, Qt
from qtpy.QtGui import QBrush, QColor, QPainter
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QStyledItemDelegate, QTableView, QWidget

from napari_restore.core.events import Event, FileState, RestorationStarted, TileDone


@dataclass(frozen=True)
class FileRow:
    """One image in the table; ``fraction`` of its tiles are done."""

    file: FileState
    fraction: float = 0.0

    @property
    def words(self) -> str:
        """Its state, for people."""
        match self.file.state:
            case "running":
                return f"running, {self.fraction:.0%}"
            case "skipped":
                return "done before"
            case "failed" if self.file.redo:
                return "changed: redo"
            case "failed":
                reason = self.file.reason.removeprefix(f"{Path(self.file.path).name} ")  # it stands beside that
                return f"{reason.rstrip('.')}: failed"
            case state:
                return state

    @property
    def tip(self) -> str:
        """All that is known of it."""
        if self.file.redo:
            return f"{self.file.path}\n{self.file.reason}\nDouble click to restore it again, over its result."
        if self.file.state == "failed":
            return f"{self.file.path}\n{self.file.reason}\nDouble click to open the image."
        if self.opens:
            return f"{self.file.output}\nDouble click to open it in the viewer."
        return f"{self.file.path}\nDouble click to open the image."

    @property
    def opens(self) -> bool:
        """Whether there is a whole result."""
        return self.file.state in ("done", "skipped")


class FileRows(QAbstractTableModel):  # type: ignore[misc]
    """The images and their states. A model and not a table of items: a folder may hold ten thousand."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: list[FileRow] = []
        self.running: int | None = None
        self._only: int | None = None
        self.error = QColor()

    def begin_one(self, index: int) -> None:
        """One of the images is restored again: what is told next is of it."""
        self._only = index

    def show_files(self, files: Iterable[FileState]) -> None:
        """Other images, all anew."""
        self.beginResetModel()
        self.rows, self.running, self._only = [FileRow(file) for file in files], None, None
        self.endResetModel()

    def take(self, events: Iterable[Event]) -> int | None:
        """Change what has changed; gives the row that did last."""
        told = [event for event in events if isinstance(event, FileState | RestorationStarted | TileDone)]
        if (only := self._only) is not None:
            told = [replace(event, index=only) if isinstance(event, FileState) else event for event in told]
        grown = any(isinstance(event, FileState) and event.index >= len(self.rows) for event in told)
        if grown:
            self.beginResetModel()
        changed = [self._take(event) for event in told]
        if grown:
            self.endResetModel()
        elif changed:
            self.dataChanged.emit(self.index(min(changed), 0), self.index(max(changed), 1))
        return changed[-1] if changed and not grown else None

    def _take(self, event: FileState | RestorationStarted | TileDone) -> int:
        """Change one row, or add one: files are said in their order."""
        if isinstance(event, FileState):
            self.rows[event.index : event.index + 1] = [FileRow(event)]
            self.running = event.index if event.state == "running" else None
            return event.index
        assert self.running is not None, "tiles are of a file that is running"
        self.rows[self.running] = replace(self.rows[self.running], fraction=event.done / max(event.tiles, 1))
        return self.running

    def count(self, *states: str) -> int:
        """How many images are in one of these states."""
        return sum(row.file.state in states for row in self.rows)

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        """One an image."""
        return 0 if parent is not None and parent.isValid() else len(self.rows)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802
        """Name and state."""
        return 2

    def headerData(self, section: int, orientation: Qt.Orientation, role: int = 0) -> Any:  # noqa: N802
        """What the columns are."""
        if orientation == Qt.Orientation.Horizontal and role == Qt.ItemDataRole.DisplayRole:
            return ("Image", "State")[section]
        return None

    def data(self, index: QModelIndex, role: int = 0) -> Any:
        """What a cell shows."""
        row = self.rows[index.row()]
        if role == Qt.ItemDataRole.DisplayRole:
            return row.words if index.column() else Path(row.file.path).name
        if role == Qt.ItemDataRole.ToolTipRole:
            return row.tip
        if (
            role == Qt.ItemDataRole.ForegroundRole
            and row.file.state == "failed"
            and not row.file.redo
            and self.error.isValid()
        ):
            return QBrush(self.error)
        if role == Qt.ItemDataRole.UserRole:
            return row.fraction if row.file.state == "running" else 0.0
        return None


class FractionPainter(QStyledItemDelegate):  # type: ignore[misc]
    """Paints how far a row is behind its words."""

    colour = QColor()

    def paint(self, painter: QPainter, option: Any, index: QModelIndex) -> None:
        """A bar as wide as the part of the image that is done, then the words."""
        fraction = float(index.data(Qt.ItemDataRole.UserRole) or 0.0)
        if fraction > 0 and self.colour.isValid():
            area = option.rect
            painter.fillRect(QRect(area.x(), area.y(), round(area.width() * fraction), area.height()), self.colour)
        super().paint(painter, option, index)


class FileTable(QTableView):  # type: ignore[misc]
    """Shows the rows."""

    def __init__(self, rows: FileRows, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows = rows
        self._painter = FractionPainter(self)
        self.setModel(rows)
        self.setAccessibleName("Images and their states")
        self.setItemDelegateForColumn(1, self._painter)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.setTextElideMode(Qt.TextElideMode.ElideRight)
        self.setWordWrap(False)
        self.setShowGrid(False)
        self.verticalHeader().hide()
        self.verticalHeader().setDefaultSectionSize(24)
        self.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        self.horizontalHeader().setHighlightSections(False)
        self.setMinimumHeight(100)

    def set_colours(self, *, accent: str, error: str) -> None:
        """How far a row is, and what failed."""
        self._painter.colour = QColor(accent)
        self._rows.error = QColor(error)

"""The tab "Batch": each image of a folder restored with one model, a row each."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from napari.utils.theme import get_theme
from qtpy.QtCore import QAbstractTableModel, QModelIndex, QRect, Qt, QTimer, Signal
from qtpy.QtGui import QBrush, QColor, QPainter
from qtpy.QtWidgets import (
    QAbstractItemView,
    QCheckBox,
    QComboBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QHeaderView,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QStyledItemDelegate,
    QTableView,
    QVBoxLayout,
    QWidget,
)

from napari_restore.core.events import Event, FileState, Note, RestorationStarted, Stopped, TileDone
from napari_restore.gui.parts.bar import Bar
from napari_restore.gui.parts.docked import Docked
from napari_restore.gui.parts.layers import load_readers
from napari_restore.gui.parts.links import Links
from napari_restore.gui.parts.runner import Ended, Runner, Start
from napari_restore.gui.readers import LayerData, read_layers
from napari_restore.gui.restore.choices import let_shrink
from napari_restore.gui.restore.session import Session
from napari_restore.gui.restore.work import Engine, package_engine
from napari_restore.sources.folders import images_in
from napari_restore.store.finished import Finished

_MODEL_FILES = "Models (*.safetensors)"
_RESULTS = "restored"
"""What the folder of the results is called inside that of the images, unless the user chooses another."""

_LISTING_PAUSE_MS = 300
"""After the last change: a pattern that is typed is not looked for letter by letter."""

_LAST = "the model trained last"


@dataclass(frozen=True)
class Row:
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
            case "failed":
                return f"failed: {self.file.reason}"
            case state:
                return state

    @property
    def tip(self) -> str:
        """All that is known of it."""
        if self.file.state == "failed":
            return f"{self.file.path}\n{self.file.reason}"
        if self.opens:
            return f"{self.file.output}\nDouble click to open it in the viewer."
        return self.file.path

    @property
    def opens(self) -> bool:
        """Whether there is a whole result."""
        return self.file.state in ("done", "skipped")


class Rows(QAbstractTableModel):  # type: ignore[misc]
    """The images and their states. A model and not a table of items: a folder may hold ten thousand."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.rows: list[Row] = []
        self.running: int | None = None
        self.error = QColor()

    def show_files(self, files: Iterable[FileState]) -> None:
        """Other images, all anew."""
        self.beginResetModel()
        self.rows, self.running = [Row(file) for file in files], None
        self.endResetModel()

    def take(self, events: Iterable[Event]) -> int | None:
        """Change what has changed; gives the row that did last."""
        told = [event for event in events if isinstance(event, FileState | RestorationStarted | TileDone)]
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
            self.rows[event.index : event.index + 1] = [Row(event)]
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
        if role == Qt.ItemDataRole.ForegroundRole and row.file.state == "failed" and self.error.isValid():
            return QBrush(self.error)
        if role == Qt.ItemDataRole.UserRole:
            return row.fraction if row.file.state == "running" else 0.0
        return None


class Progress(QStyledItemDelegate):  # type: ignore[misc]
    """Paints how far a row is behind its words."""

    colour = QColor()

    def paint(self, painter: QPainter, option: Any, index: QModelIndex) -> None:
        """A bar as wide as the part of the image that is done, then the words."""
        fraction = float(index.data(Qt.ItemDataRole.UserRole) or 0.0)
        if fraction > 0 and self.colour.isValid():
            area = option.rect
            painter.fillRect(QRect(area.x(), area.y(), round(area.width() * fraction), area.height()), self.colour)
        super().paint(painter, option, index)


class PathLine(QWidget):  # type: ignore[misc]
    """A path that is typed or chosen.

    Attributes
    ----------
    changed
        Signal: it is another one.
    """

    changed = Signal()

    def __init__(self, tip: str, *, title: str, placeholder: str = "", parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.line = QLineEdit()
        self.line.setToolTip(tip)
        self.line.setPlaceholderText(placeholder)
        self.button = QPushButton("…")
        self.button.setFixedWidth(28)
        self.button.setToolTip(f"{title}.")
        self._title = title
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        row.addWidget(self.line, 1)
        row.addWidget(self.button)
        self.button.clicked.connect(self._ask)
        self.line.textChanged.connect(lambda _: self.changed.emit())

    @property
    def path(self) -> Path | None:
        """What is in the box, or None where it is empty."""
        text = self.line.text().strip()
        return Path(text).expanduser() if text else None

    def _ask(self) -> None:
        chosen = QFileDialog.getExistingDirectory(self, self._title, self.line.text())
        if chosen:
            self.line.setText(chosen)


class ModelChoice(QComboBox):  # type: ignore[misc]
    """A model file, or the model that was trained last.

    Attributes
    ----------
    changed
        Signal: it is another one.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session: Session | None = None
        self.addItem("A model file…")
        self.setPlaceholderText("choose a model")
        self.setCurrentIndex(-1)
        let_shrink(self)
        self.setToolTip("What to restore with: a file saved by the tab Restore, by a script or by the shell.")
        self.activated.connect(self._choose)

    def share(self, session: Session) -> None:
        """Offer the model that was trained last in another tab."""
        self._session = session
        session.changed.connect(self._offer)
        self._offer()

    def use(self, path: str | Path) -> None:
        """Choose a file; those chosen before stay in the list."""
        index = self.findData(str(path))
        if index < 0:
            index = self.count() - 1
            self.insertItem(index, Path(path).name, str(path))
            self.setItemData(index, str(path), Qt.ItemDataRole.ToolTipRole)
        self.setCurrentIndex(index)
        self.changed.emit()

    @property
    def model(self) -> Any:
        """A path, a model, or None where none is chosen."""
        if self.currentText() == _LAST and self.currentData() is None:
            return self._session.model if self._session is not None else None
        return self.currentData()

    def _offer(self) -> None:
        if self._session is not None and self._session.model is not None and self.findText(_LAST) < 0:
            self.insertItem(0, _LAST)
            if self.currentIndex() < 0:
                self.setCurrentIndex(0)
            self.changed.emit()

    def _choose(self, index: int) -> None:
        if index < self.count() - 1:
            self.changed.emit()
            return
        path, _ = QFileDialog.getOpenFileName(self, "Restore with a model", "", _MODEL_FILES)
        if path:
            self.use(path)
        else:
            self.setCurrentIndex(-1)
            self.changed.emit()


class BatchWidget(Docked, QWidget):  # type: ignore[misc]
    """Restores each image of a folder with one model; pressed again, what is not done yet.

    Hiding it lets work go on; closing it, or the viewer, stops it.

    Parameters
    ----------
    napari_viewer
        The viewer to open results in.
    engine
        What does the work; the package itself unless a test brings its own.
    session
        Whose last model is offered.
    """

    def __init__(self, napari_viewer: Any, *, engine: Engine | None = None, session: Session | None = None) -> None:
        super().__init__()
        self._viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self._engine = engine or package_engine()
        self._links = Links()
        self._suggested = ""
        self.folder = PathLine(
            "The images: each file and each Zarr in this folder is restored by itself.", title="A folder with images"
        )
        self.pattern = QLineEdit("*")
        self.model = ModelChoice()
        self.results = PathLine(
            "Where the results go, as NAME_denoised: OME-TIFF for TIFF, OME-Zarr for all else. It is made where it is\n"
            "missing. An image is never written over.",
            title="A folder for the results",
        )
        self.overwrite = QCheckBox("Overwrite")
        self.rows = Rows()
        self.table = QTableView()
        self.words = QLabel()
        self.bar = Bar()
        self.run_button = QPushButton("Restore all")
        self.cancel_button = QPushButton("Cancel")
        self.runner = Runner(self)
        self._lister = Runner(self, every_ms=30)
        self._opener = Runner(self, every_ms=30)
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(_LISTING_PAUSE_MS)
        self._lay_out()
        self._connect()
        if session is not None:
            self.model.share(session)
        self._paint()
        self._show_state()

    # What the user does.

    def run(self) -> None:
        """Restore every image that is not done."""
        folder, results, model = self.folder.path, self.results.path, self.model.model
        if self.runner.running or folder is None or results is None or model is None:
            return
        self._later.stop()
        self.rows.show_files([])
        work = restoring_folder(
            self._engine,
            folder,
            model,
            output=results,
            pattern=self._pattern,
            overwrite=self.overwrite.isChecked(),
        )
        self.runner.start(work)
        self._say("Getting ready", None)
        self._show_state()

    def cancel(self) -> None:
        """Stop at the next tile; what is done is kept, and the next run goes on from there."""
        self.runner.stop()
        self._say("Stopping at the next tile …", None)
        self._show_state()

    def open_result(self, index: QModelIndex) -> None:
        """Open the result of a row in the viewer."""
        row = self.rows.rows[index.row()]
        if row.opens and not self._opener.start(opening(row.file.output)):
            self._say("Another result is being opened: try again soon.")

    # What the widget says.

    @property
    def _pattern(self) -> str:
        return self.pattern.text().strip() or "*"

    @property
    def _missing(self) -> str:
        """What has to be chosen before it can run."""
        if self.folder.path is None:
            return "Choose a folder with images."
        if self.model.model is None:
            return "Choose a model: train one in the tab Restore, and save it."
        return "Choose a folder for the results." if self.results.path is None else ""

    def _show_state(self) -> None:
        running = self.runner.running
        for widget in (self.folder, self.pattern, self.model, self.results, self.overwrite):
            widget.setEnabled(not running)
        missing = self._missing
        self.run_button.setEnabled(not running and not missing)
        self.run_button.setToolTip(missing or "Restore every image that is not done, one after the other.")
        self.cancel_button.setEnabled(running and not self.runner.stopping)
        self.cancel_button.setText("Cancelling…" if self.runner.stopping else "Cancel")

    def _say(self, words: str, fraction: float | None = 0.0) -> None:
        """Words over the bar; a fraction of None makes it busy."""
        self.words.setText(words)
        self.bar.setRange(0, 0 if fraction is None else 1000)
        self.bar.setValue(round(1000 * (fraction or 0.0)))

    def _take_folder(self) -> None:
        """Another folder: the results go into one inside it, unless the user has chosen another."""
        if self.results.line.text() == self._suggested:
            self._suggested = str(self.folder.path / _RESULTS) if self.folder.path is not None else ""
            self.results.line.setText(self._suggested)
        self._later.start()

    def _list(self) -> None:
        """Show the images there are; where a thread looks already, again when it has ended."""
        if self.runner.running:
            return
        if self.folder.path is None:
            self.rows.show_files([])
            self._say("")
        elif not self._lister.start(listing(self.folder.path, self._pattern, self.results.path)):
            self._later.start()

    def _show_list(self, ended: Ended) -> None:
        if self.runner.running:
            return
        self.rows.show_files(ended.result or [])
        self._say(ended.failure.message if ended.failure else _images(len(ended.result)))

    def _receive(self, events: list[Event]) -> None:
        last = self.rows.take(events)
        if last is not None:
            self.table.scrollTo(self.rows.index(last, 0))
        notes = [event.text for event in events if isinstance(event, Note)]
        if notes:
            self.words.setToolTip(notes[-1])
        if self.rows.rows and not self.runner.stopping and not any(isinstance(event, Stopped) for event in events):
            self._say(*self._progress())

    def _progress(self) -> tuple[str, float]:
        rows = self.rows
        ended = rows.count("done", "skipped", "failed")
        part = rows.rows[rows.running].fraction if rows.running is not None else 0.0
        name = f": {Path(rows.rows[rows.running].file.path).name}" if rows.running is not None else ""
        total = len(rows.rows)
        return f"Image {min(ended + 1, total)} of {total}{name}", (ended + part) / total

    def _end(self, ended: Ended) -> None:
        if ended.failure is not None:
            self._say(ended.failure.message)
        else:
            self._say(self._summary(), fraction=1.0 - self.rows.count("waiting") / max(len(self.rows.rows), 1))
        self._show_state()

    def _summary(self) -> str:
        counts = {state: self.rows.count(state) for state in ("done", "skipped", "failed", "waiting")}
        named = {"done": "done", "skipped": "done before", "failed": "failed", "waiting": "left: run again to go on"}
        said = ", ".join(f"{n} {named[state]}" for state, n in counts.items() if n)
        return said[:1].upper() + said[1:]

    def _show_result(self, ended: Ended) -> None:
        if ended.failure is not None:
            self._say(ended.failure.message)
            return
        for data, arguments, _ in ended.result:
            self._viewer.add_image(data, **arguments)

    # How it is put together.

    def _lay_out(self) -> None:
        """The table scrolls; the buttons stay in sight below it."""
        self.pattern.setToolTip("Which files of the folder, as in *.tif or cell?_*. Empty or *: all images.")
        self.overwrite.setToolTip(
            "Replace what is there already, made with another model or from another state of the image, or not by\n"
            "this plugin. A result of this model and this image is kept either way, and an image is never replaced."
        )
        self.words.setWordWrap(True)
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(8)
        self.cancel_button.setToolTip("Stop at the next tile. What is done is kept: the next run goes on from there.")
        for button in (self.run_button, self.cancel_button):
            button.setMinimumHeight(32)
        form = QGridLayout()
        form.setSpacing(6)
        form.setColumnStretch(1, 1)
        names = {"Images": self.folder, "Files": self.pattern, "Model": self.model, "Results": self.results}
        for number, (name, widget) in enumerate(names.items()):
            form.addWidget(QLabel(name), number, 0)
            form.addWidget(widget, number, 1)
        form.addWidget(self.overwrite, len(names), 1)
        buttons = QHBoxLayout()
        buttons.addWidget(self.run_button, 2)
        buttons.addWidget(self.cancel_button, 1)
        self._lay_out_table()
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 6, 8, 8)
        layout.setSpacing(6)
        layout.addLayout(form)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.words)
        layout.addWidget(self.bar)
        layout.addLayout(buttons)
        self.setMinimumWidth(300)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)

    def _lay_out_table(self) -> None:
        table = self.table
        table.setModel(self.rows)
        self._delegate = Progress(table)
        table.setItemDelegateForColumn(1, self._delegate)
        table.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        table.setTextElideMode(Qt.TextElideMode.ElideRight)
        table.setWordWrap(False)
        table.setShowGrid(False)
        table.verticalHeader().hide()
        table.verticalHeader().setDefaultSectionSize(24)
        table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Stretch)
        table.horizontalHeader().setHighlightSections(False)
        table.setMinimumHeight(100)

    def _connect(self) -> None:
        """Every signal there is, in one place."""
        self.folder.changed.connect(self._take_folder)
        for changed in (self.folder.changed, self.model.changed, self.results.changed):
            changed.connect(self._show_state)
        self.pattern.textChanged.connect(lambda _: self._later.start())
        self._later.timeout.connect(self._list)
        self.run_button.clicked.connect(lambda _: self.run())
        self.cancel_button.clicked.connect(lambda _: self.cancel())
        self.table.doubleClicked.connect(self.open_result)
        self.runner.received.connect(self._receive)
        self.runner.ended.connect(self._end)
        self._lister.ended.connect(self._show_list)
        self._opener.ended.connect(self._show_result)
        self._links.connect(self._viewer.events.theme, self._paint)
        self.destroyed.connect(partial(_leave, self._links, self.runner.flag))

    def _paint(self, event: Any = None) -> None:
        """Take the colours of the viewer's theme."""
        theme = get_theme(self._viewer.theme)
        text, accent, trough = (colour.as_hex("long") for colour in (theme.text, theme.current, theme.foreground))
        self.rows.error = QColor("#b00020" if theme.type == "light" else "#ff7b7b")
        self._delegate.colour = QColor(accent)
        self.run_button.setStyleSheet(
            f"QPushButton:enabled {{ background-color: {accent}; color: {text}; font-weight: bold; }}"
        )
        self.bar.setStyleSheet(
            f"QProgressBar {{ background-color: {trough}; border: 0px; border-radius: 4px; }}"
            f"QProgressBar::chunk {{ background-color: {accent}; border-radius: 4px; }}"
        )

    def leave(self) -> None:
        """Stop the work, and listen to the viewer no more."""
        _leave(self._links, self.runner.flag)
        self._later.stop()
        for runner in (self.runner, self._lister, self._opener):
            runner.abandon()


def restoring_folder(
    engine: Engine, folder: Path, model: Any, *, output: Path, pattern: str, overwrite: bool = False
) -> Start:
    """Restore the images of a folder, in a thread."""
    return lambda stop: engine.restore_folder_events(
        folder, model, output=output, pattern=pattern, overwrite=overwrite, stop=stop
    )


def listing(folder: Path, pattern: str, output: Path | None) -> Start:
    """Find the images of a folder, in a thread: the first bytes of each file are read."""

    def start(stop: threading.Event) -> Generator[Event, None, list[FileState]]:
        yield from ()
        found = images_in(folder, pattern)
        if output is not None and output.is_dir():
            found = Finished.open(output).without_results(found)
        return [FileState(i, len(found), str(path), "", "waiting") for i, path in enumerate(found)]

    return start


def opening(path: str) -> Start:
    """Open a result lazily, in a thread: a few of its pixels are read for the contrast."""

    def start(stop: threading.Event) -> Generator[Event, None, list[LayerData]]:
        yield from ()
        load_readers()
        return read_layers(path)

    return start


def _images(count: int) -> str:
    return f"{count} image{'' if count == 1 else 's'}" if count else "No images here."


def _leave(links: Links, flag: threading.Event) -> None:
    """Knows no Qt objects: it also runs when they are gone."""
    links.cut()
    flag.set()

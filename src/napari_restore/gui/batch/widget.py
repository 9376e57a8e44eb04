"""The tab "Batch": each image of a folder restored with one model, a row each."""

from __future__ import annotations

from functools import partial
from glob import escape
from pathlib import Path
from typing import Any

from qtpy.QtCore import QModelIndex, QTimer
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QSizePolicy, QVBoxLayout, QWidget

from napari_restore.core.events import Event, Note, Stopped
from napari_restore.gui.batch.form import BatchForm
from napari_restore.gui.batch.table import FileRows, FileTable
from napari_restore.gui.batch.work import listing, opening, restoring_folder, training
from napari_restore.gui.parts.bar import Bar
from napari_restore.gui.parts.colours import Colours, focus_ring, main_button, progress_bar
from napari_restore.gui.parts.describe import status_of
from napari_restore.gui.parts.docked import Docked
from napari_restore.gui.parts.focus import Focus
from napari_restore.gui.parts.links import Links
from napari_restore.gui.parts.runner import Ended, Line, Runner, Start
from napari_restore.gui.restore.session import Session
from napari_restore.gui.restore.work import Engine, package_engine

_LISTING_PAUSE_MS = 300
"""After the last change: a pattern that is typed is not looked for letter by letter."""


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
        self.form = BatchForm()
        self.rows = FileRows()
        self.table = FileTable(self.rows)
        self.words = QLabel()
        self.bar = Bar()
        self.run_button = QPushButton("Restore &all")
        self.cancel_button = QPushButton("Cancel")
        self._focus = Focus(self, self.cancel_button)
        self.runner = Runner(self)
        self._lister = Runner(self, every_ms=30)
        self._opener = Runner(self, every_ms=30)
        self._trains = False
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(_LISTING_PAUSE_MS)
        self._lay_out()
        self._connect()
        if session is not None:
            self.form.model.share(session)
        self.form.begin()
        self._paint()
        self._show_state()
        self._say(self.form.missing)

    # What the user does.

    def run(self) -> None:
        """Restore every image that is not done."""
        folder = self.form.folder.path
        if self.runner.running or folder is None or self.form.missing:
            return
        self._later.stop()
        self.rows.show_files([])
        self.form.remember()
        self._begin(restoring_folder(self._engine, folder, self.form.options))

    def train(self, effort: str) -> None:
        """Train one model on all images of the list, and choose it."""
        place = self.form.model_place
        if self.runner.running or place is None or not self.rows.rows:
            return
        self.form.remember()
        paths = [row.file.path for row in self.rows.rows]
        self._begin(training(self._engine, paths, place=place, effort=effort), trains=True)

    def cancel(self) -> None:
        """Stop at the next tile; what is done is kept, and the next run goes on from there. A model is kept, too."""
        self.runner.stop()
        self._say("Stopping at the next step …" if self._trains else "Stopping at the next tile …", None)
        self._show_state()

    def open_row(self, index: QModelIndex) -> None:
        """Open the result of a row in the viewer, or its image where there is none; one that has changed is redone."""
        row = self.rows.rows[index.row()]
        if row.file.redo and not self.runner.running:
            self.redo(index.row())
        elif not self._opener.start(opening(row.file.output if row.opens else row.file.path)):
            self._say("Another image is being opened: try again soon.")

    def redo(self, index: int) -> None:
        """Restore the image of a row again, over its result: the image or the model is another than then."""
        folder, file = self.form.folder.path, self.rows.rows[index].file
        if self.runner.running or folder is None or self.form.missing:
            return
        self._later.stop()
        self.rows.begin_one(index)
        options = {**self.form.options, "pattern": escape(Path(file.path).name), "overwrite": True}
        self._begin(restoring_folder(self._engine, folder, options))

    def _begin(self, start: Start, *, trains: bool = False) -> None:
        self._trains = trains
        self.runner.start(start)
        self.words.setToolTip("")
        self._say("Getting ready", None)
        self._show_state()

    # What the widget says.

    def _show_state(self) -> None:
        stopping, running = self.runner.stopping, self.runner.running
        missing = self.form.missing
        with self._focus.moved("stopping" if stopping else "running" if running else "idle"):
            self.form.allow(not running)
            self.form.allow_training(not running and bool(self.rows.rows) and self.form.model_place is not None)
            self.run_button.setEnabled(not running and not missing)
            self.cancel_button.setEnabled(running and not stopping)
        self.run_button.setToolTip(missing or "Restore every image that is not done, one after the other.")
        self.cancel_button.setText("Cancelling…" if stopping else "Cancel")

    def _say(self, words: str, fraction: float | None = 0.0) -> None:
        """Words over the bar; a fraction of None makes it busy."""
        self.words.setText(words)
        self.bar.setRange(0, 0 if fraction is None else 1000)
        self.bar.setValue(round(1000 * (fraction or 0.0)))

    def _list(self) -> None:
        """Show the images there are; where a thread looks already, again when it has ended."""
        if self.runner.running:
            return
        folder, given = self.form.folder.path, self.form.options
        if folder is None:
            self.rows.show_files([])
            self._say(self.form.missing)
            self._show_state()
        elif not self._lister.start(listing(folder, given["pattern"], given["output"])):
            self._later.start()

    def _show_list(self, ended: Ended) -> None:
        if self.runner.running:
            return
        self.rows.show_files(ended.result or [])
        self._say(ended.failure.message if ended.failure else _images(len(ended.result)))
        self._show_state()

    def _receive(self, events: list[Event]) -> None:
        last = self.rows.take(events)
        if last is not None:
            self.table.scrollTo(self.rows.index(last, 0))
        notes = [event.text for event in events if isinstance(event, Note)]
        if notes:
            self.words.setToolTip(notes[-1])
        if self.runner.stopping or any(isinstance(event, Stopped) for event in events):
            return
        if self._trains:
            for status in [told for event in events if (told := status_of(event)) is not None][-1:]:
                self._say(f"{status.text} on {_images(len(self.rows.rows))}", status.fraction)
        elif self.rows.rows:
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
        elif self._trains:
            self._trains = False
            self.form.model.use(ended.result)
            self._say(f"{ended.result.name} is trained, kept among the results, and chosen: now Restore all.", 1.0)
        else:
            self._say(self._summary(), fraction=1.0 - self.rows.count("waiting") / max(len(self.rows.rows), 1))
        self._show_state()

    def _summary(self) -> str:
        counts = {state: self.rows.count(state) for state in ("done", "skipped", "failed", "waiting")}
        counts["redo"] = sum(row.file.redo for row in self.rows.rows)
        counts["failed"] -= counts["redo"]
        named = {
            "done": "done",
            "skipped": "done before",
            "failed": "failed",
            "redo": "changed: double click to redo",
            "waiting": "left: run again to go on",
        }
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
        self.words.setWordWrap(True)
        self.cancel_button.setToolTip("Stop at the next tile. What is done is kept: the next run goes on from there.")
        for button in (self.run_button, self.cancel_button):
            button.setMinimumHeight(32)
        buttons = QHBoxLayout()
        buttons.addWidget(self.run_button, 2)
        buttons.addWidget(self.cancel_button, 1)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 6, 8, 8)
        layout.setSpacing(6)
        layout.addWidget(self.form)
        layout.addWidget(self.table, 1)
        layout.addWidget(self.words)
        layout.addWidget(self.bar)
        layout.addLayout(buttons)
        self.setMinimumWidth(300)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)

    def _connect(self) -> None:
        """Every signal there is, in one place."""
        self.form.changed.connect(self._show_state)
        self.form.listed.connect(self._later.start)
        self.form.train_wanted.connect(self.train)
        self._later.timeout.connect(self._list)
        self.run_button.clicked.connect(lambda _: self.run())
        self.cancel_button.clicked.connect(lambda _: self.cancel())
        self.table.doubleClicked.connect(self.open_row)
        self.runner.received.connect(self._receive)
        self.runner.ended.connect(self._end)
        self._lister.ended.connect(self._show_list)
        self._opener.ended.connect(self._show_result)
        self._links.connect(self._viewer.events.theme, self._paint)
        self.destroyed.connect(partial(_leave, self._links, self.runner.line))

    def _paint(self, event: Any = None) -> None:
        """Take the colours of the viewer's theme."""
        colours = Colours.of(self._viewer)
        self.setStyleSheet(focus_ring(text=colours.text))
        self.table.set_colours(accent=colours.accent, error=colours.error)
        self.run_button.setStyleSheet(main_button(accent=colours.accent, text=colours.text))
        self.bar.setStyleSheet(progress_bar(accent=colours.accent, trough=colours.trough))

    def going_on(self) -> str:
        """The folder that is restored."""
        return f"Batch: {self.form.folder}" if self.runner.running else ""

    def leave(self) -> None:
        """Stop the work, and listen to the viewer no more."""
        _leave(self._links, self.runner.line)
        self._later.stop()
        for runner in (self.runner, self._lister, self._opener):
            runner.abandon()


def _images(count: int) -> str:
    return f"{count} image{'' if count == 1 else 's'}" if count else "No images here."


def _leave(links: Links, line: Line) -> None:
    """Knows no Qt objects: it also runs when they are gone."""
    links.cut()
    line.cut()

"""The dock widget "Restore": what to restore above, what comes of it in the middle, the buttons always in sight."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import Any

from napari.utils.theme import get_theme
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import QApplication, QFrame, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from napari_restore.gui.parts.colours import Colours
from napari_restore.gui.parts.describe import Status, for_widget
from napari_restore.gui.parts.docked import Docked
from napari_restore.gui.parts.focus import Focus, State
from napari_restore.gui.parts.links import Links
from napari_restore.gui.parts.messages import Level
from napari_restore.gui.parts.runner import Ended, Runner
from napari_restore.gui.restore.actions import Actions
from napari_restore.gui.restore.exported import ExportFile
from napari_restore.gui.restore.files import ModelFiles
from napari_restore.gui.restore.form import Form
from napari_restore.gui.restore.guards import Guards
from napari_restore.gui.restore.outcome import Outcome
from napari_restore.gui.restore.report import ReportFile
from napari_restore.gui.restore.reproduce import copying
from napari_restore.gui.restore.saved import ResultFile
from napari_restore.gui.restore.session import Session, camera_of
from napari_restore.gui.restore.work import Engine, finding_device, package_engine
from napari_restore.verbs import VERBS
from napari_restore.verbs.words import Words


class RestoreWidget(Docked, QWidget):  # type: ignore[misc]
    """Denoise, super-resolve or deblur the selected image with a network trained on that image.

    Hiding the dock lets work go on; closing it, or the viewer, stops it.

    Parameters
    ----------
    napari_viewer
        The viewer to work in.
    engine
        What does the work; the package itself unless a test brings its own.
    """

    def __init__(self, napari_viewer: Any, *, engine: Engine | None = None) -> None:
        super().__init__()
        self._viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self._engine = engine or package_engine()
        self._links = Links()
        self.session = Session(self._viewer, self._engine, self)
        self.form = Form(self._viewer, self._engine, self._links)
        self.outcome = Outcome(self._viewer, self._engine, self.session, self)
        self.buttons = Actions()
        self.files = ModelFiles(self._engine, self.session, self.buttons, self)
        self.report = ReportFile(self._engine, self.session, self)
        self.saved = ResultFile(self.session, self)
        self.guards = Guards(self._engine, self.session, self)
        self.exported = ExportFile(self.session, self)
        self._writers = (
            self.files.loader,
            self.report.writer,
            self.saved.writer,
            self.guards.runner,
            self.exported.writer,
        )
        self._focus = Focus(self, self.buttons.stop_button)
        self._device = Runner(self)
        self._copier = Runner(self, every_ms=30)
        self._lay_out()
        self._connect()
        self._paint()
        self._show_state()

    # What the user does.

    def run(self) -> None:
        """Train on the chosen layer, then restore it into a new layer: what the main button does."""
        if (request := self.form.request()) is not None:
            self.session.folder = self.form.place.folder
            self.session.do(self.form.subject.layer, request)

    def train(self) -> None:
        """Train on the chosen layer, and keep the model."""
        if (request := self.form.request(whole=True)) is not None:
            self.session.train(self.form.subject.layer, request)

    def restore(self) -> None:
        """Restore the chosen layer with the model trained last."""
        if self.session.model is not None:
            self.restore_with(self.session.model)

    def restore_with(self, model: Any) -> None:
        """Restore the chosen layer with a model, or with the file of one."""
        if (request := self.form.restoring(model)) is not None:
            self.session.folder = self.form.place.folder
            begun = self.session.do(self.form.subject.layer, request, verb=self.form.verb.verb)
            if begun and isinstance(model, str | Path):
                self.files.recent.add(model)

    def write_elsewhere(self) -> None:
        """Ask for another folder, and make there the result of a run that failed once its model was trained."""
        if (folder := self.form.place.ask()) is not None:
            self.session.do_again(folder)

    def distill(self) -> None:
        """Make a faster copy of the model trained last, on the chosen layer; it is then the one trained last."""
        if self.session.model is not None and (request := self.form.distilling(self.session.model)) is not None:
            self.session.distill(self.form.subject.layer, request)

    def use_model(self, path: str | Path) -> None:
        """Take the model of a file, as after training; nothing is restored yet. Refused, in words, during a run."""
        self.files.use(path)

    def check(self) -> None:
        """Put the model trained last to the guards against invented structure, on the chosen layer."""
        self.guards.check(self.form.subject.opened())

    def export(self) -> None:
        """Write the model trained last for other programs, to be tried on the chosen layer."""
        self.exported.ask(self.form.subject.opened())

    def copy(self, words: Words) -> None:
        """Put what the main button would do on the clipboard, as a script or as a command."""
        if (request := self.form.request()) is not None:
            self._copier.start(copying(words, self._engine.preferring(request), self.form.places()))

    def _take_copied(self, ended: Ended) -> None:
        if ended.failure is not None:
            self.outcome.messages.say(ended.failure.message, "error")
            return
        QApplication.clipboard().setText(ended.result)
        self.outcome.messages.say("Copied: paste it into a script or a terminal.")

    # What the widget says.

    def _say_in_sight(self, text: str, level: Level = "info") -> None:
        """Say what is to be done next, also beside the buttons: the messages may be scrolled away."""
        self.outcome.messages.say(text, level)
        if not self.session.runner.running:
            said = for_widget(text)
            self.buttons.show_status(Status(0.0, f"{said[0].upper()}{said[1:]}"))

    def _show_verb(self) -> None:
        """What the main button does, and what its curves are."""
        self.buttons.show_verb(self.form.verb.verb)
        self.outcome.plot.setToolTip(VERBS[self.form.verb.verb].loss)

    def _show_state(self) -> None:
        runner = self.session.runner
        state: State = "stopping" if runner.stopping else "running" if runner.running else "idle"
        has_layer, has_model = self.form.subject.layer is not None, self.session.model is not None
        wrong = for_widget(self.form.wrong)
        self.buttons.show_model(self.session.model_name)
        self.buttons.show_unwritten(state == "idle" and self.session.unwritten is not None)
        with self._focus.moved(state):
            self.form.allow(state == "idle")
            self.buttons.show_state(
                state, has_layer=has_layer, has_model=has_model, has_result=self.session.result is not None, wrong=wrong
            )

    def _scroll_down(self) -> None:
        """As far as shows the whole plot, or the comparison once there is one, while the preview stays in sight."""
        bar, height = self._scroll.verticalScrollBar(), self._scroll.viewport().height()
        lowest = self.outcome.bottom.geometry().bottom() + 4 - height
        bar.setValue(max(bar.value(), min(self.outcome.preview.y(), lowest)))

    def _find_device(self) -> None:
        self._device.start(finding_device(self._engine))

    def _show_device(self, ended: Ended) -> None:
        self.form.badge.setText(ended.result or "no device")

    # How it is put together.

    def _lay_out(self) -> None:
        """The buttons stay in sight: only what is above them scrolls."""
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(8, 6, 8, 4)
        column.setSpacing(6)
        column.addWidget(self.form)
        for widget in self.outcome.widgets:
            column.addWidget(widget, int(widget is self.outcome.messages))
        self._scroll = scroll = QScrollArea()
        scroll.setWidget(content)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(scroll, 1)
        layout.addWidget(self.buttons)
        self.setMinimumWidth(300)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)

    def _connect(self) -> None:
        """The signals between the parts, in one place."""
        self.form.verb.chosen.connect(self._show_verb)
        self.form.changed.connect(self._show_state)
        self.form.said.connect(self._say_in_sight)
        self.form.subject.said.connect(self.outcome.messages.say)
        self.buttons.run.connect(self.run)
        self.buttons.train.connect(self.train)
        self.buttons.restore.connect(self.restore)
        self.buttons.distill.connect(self.distill)
        self.buttons.copy.connect(self.copy)
        self.buttons.report.connect(self.report.ask)
        self.report.said.connect(self.outcome.messages.say)
        self.buttons.check.connect(self.check)
        self.guards.said.connect(self.outcome.messages.say)
        self.buttons.export.connect(self.export)
        self.exported.said.connect(self.outcome.messages.say)
        self.buttons.write_elsewhere.connect(self.write_elsewhere)
        self.buttons.save_result.connect(self.saved.ask)
        self.saved.said.connect(self.outcome.messages.say)
        self.buttons.stop.connect(self.session.stop)
        self.files.chosen.connect(self.restore_with)
        self.files.said.connect(self.outcome.messages.say)
        self.session.begun.connect(self.form.remember)
        self.session.changed.connect(self._show_state)
        self.session.status.connect(self.buttons.show_status)
        self._copier.ended.connect(self._take_copied)
        self._device.ended.connect(self._show_device)
        self._links.connect(self._viewer.events.theme, self._paint)
        for emitter in (self._viewer.dims.events.current_step, camera_of(self._viewer).events.center):
            self._links.connect(emitter, self.session.look)
        self.destroyed.connect(partial(_leave, self._links, self.form.subject.followed, self.session.runner.flag))
        # Later: what is disabled when a run begins loses the focus, and the area scrolls to what gets it.
        self._scrolled = _later(self, self._scroll_down)
        self.outcome.grown.connect(self._scrolled.start)
        _later(self, self._find_device).start(500)
        self._show_verb()

    def _paint(self, event: Any = None) -> None:
        """Take the colours of the viewer's theme."""
        accent, text, trough, error = astuple(Colours.of(self._viewer))
        self.form.set_colours(accent=accent, text=text, trough=trough, error=error)
        self.outcome.set_colours(get_theme(self._viewer.theme), text=text, error=error)
        self.buttons.set_colours(accent=accent, text=text, trough=trough)

    def leave(self) -> None:
        """Stop the work, and listen to the viewer no more."""
        _leave(self._links, self.form.subject.followed, self.session.runner.flag)
        for part in (self.session, self.form, self.outcome.baselines, self._device, self._copier, *self._writers):
            part.abandon()


def _later(parent: QWidget, call: Callable[[], None]) -> QTimer:
    """A timer that calls a method once; a method, because Qt forgets those of an object that is gone."""
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.timeout.connect(call)
    return timer


def _leave(links: Links, followed: Links, flag: threading.Event) -> None:
    """Knows no Qt objects: it also runs when they are gone."""
    links.cut()
    followed.cut()
    flag.set()

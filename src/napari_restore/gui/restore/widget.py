"""The dock widget "Restore": what to restore above, what comes of it in the middle, the buttons always in sight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple
from functools import partial
from pathlib import Path
from typing import Any

from napari.layers import Image as ImageLayer
from napari.utils.theme import get_theme
from qtpy.QtCore import QEvent, QPoint, Qt, QTimer, Signal
from qtpy.QtWidgets import QApplication, QFrame, QScrollArea, QSizePolicy, QVBoxLayout, QWidget

from napari_restore.gui.parts.activity import Activity
from napari_restore.gui.parts.canvas import take_context
from napari_restore.gui.parts.colours import Colours, focus_ring
from napari_restore.gui.parts.describe import Status, for_widget, loses_detail
from napari_restore.gui.parts.docked import Docked
from napari_restore.gui.parts.focus import Focus, State
from napari_restore.gui.parts.folded import Folded
from napari_restore.gui.parts.layers import made_by
from napari_restore.gui.parts.links import Links
from napari_restore.gui.parts.messages import SIGNS, Level
from napari_restore.gui.parts.runner import Ended, Line, Runner
from napari_restore.gui.restore.actions import MORE, Actions
from napari_restore.gui.restore.exported import ExportFile
from napari_restore.gui.restore.files import ModelFiles
from napari_restore.gui.restore.form import Form
from napari_restore.gui.restore.guards import Guards
from napari_restore.gui.restore.hint import SAMPLE, Hint
from napari_restore.gui.restore.kept import left_behind
from napari_restore.gui.restore.outcome import Outcome
from napari_restore.gui.restore.queue import Queue, QueuePane, Row
from napari_restore.gui.restore.report import ReportFile
from napari_restore.gui.restore.reproduce import copying
from napari_restore.gui.restore.saved import ResultFile
from napari_restore.gui.restore.session import Session, camera_of
from napari_restore.gui.restore.truth import Truth
from napari_restore.gui.restore.work import Engine, finding_device, package_engine
from napari_restore.verbs import VERBS
from napari_restore.verbs.words import Words


class RestoreWidget(Docked, QWidget):  # type: ignore[misc]
    """Denoise, super-resolve or deblur the selected image with a network trained on that image.

    Hiding the dock lets work go on; closing it asks about that; closing the viewer stops it.

    Parameters
    ----------
    napari_viewer
        The viewer to work in.
    engine
        What does the work; the package itself unless a test brings its own.

    Attributes
    ----------
    lost_wanted
        Signal: the measured layer and the result of the last run, to show where detail may be lost.
    """

    lost_wanted = Signal(object, object)

    def __init__(self, napari_viewer: Any, *, engine: Engine | None = None) -> None:
        super().__init__()
        self._viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self._engine = engine or package_engine()
        self._links = Links()
        self._last = Status(0.0, "Ready")
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
        self.truth = Truth(self._viewer, self.session, self)
        self.hint = Hint(self._open_sample, self)
        self._focus = Focus(self, self.buttons.stop_button)
        self._activity = Activity(self.stop, self)
        self._device = Runner(self)
        self._copier = Runner(self, every_ms=30)
        self.queue = Queue(self.session, self._begin_row, self)
        self.waiting = QueuePane(self.queue)
        self._lay_out()
        self._connect()
        self._paint()
        self._show_state()
        if (path := left_behind()) is not None:
            self.outcome.say(f"The model of the run that was cut off is kept: Restore with… ▸ Recent models, or {path}")

    # What the user does.

    def run(self) -> None:
        """Train on the chosen layer, then restore it into a new layer: what the main button does.

        Where several layers are selected in the viewer, each of them, one after the other.
        """
        if len(layers := self._layers()) > 1 and not self.session.runner.running:
            self._run_each(layers)
        elif (request := self.form.request()) is not None:
            self.session.folder = self.form.place.folder
            self.session.do(self.form.subject.layer, request)

    def _layers(self) -> list[Any]:
        """What the main button is about: the chosen layer; or all images selected, if it is one of these.

        A method that learns from two images needs another one for each.
        """
        chosen, selected = self.form.subject.layer, self._viewer.layers.selection
        if chosen is None or chosen not in selected or (not self.form.wrong and self.form.learns_from_two):
            return [chosen]
        return [layer for layer in self._viewer.layers if layer in selected and isinstance(layer, ImageLayer)]

    def _run_each(self, layers: list[Any]) -> None:
        """Those that are restored already are left out, and said."""
        anew = [layer for layer in layers if not made_by(layer)]
        if left := [layer.name for layer in layers if made_by(layer)]:
            self.outcome.say(f"Restored already, and left out: {', '.join(left)}. Choose one alone to do it again.")
        asked = [(layer, self.form.request_of(layer)) for layer in anew]
        self.queue.start([Row(layer, str(layer.name), request) for layer, request in asked if request is not None])

    def _begin_row(self, row: Row) -> bool:
        if row.layer not in self._viewer.layers:
            self.outcome.say(f"The layer {row.name} is gone: it is left out.", "warning")
            return False
        self.form.subject.layers.choose(row.layer)
        self.session.folder = self.form.place.folder
        return self.session.do(row.layer, row.request)

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

    def train_on(self) -> None:
        """Train the model trained last some seconds more on the image of the last run, and restore that anew."""
        self.session.train_on(MORE)

    def stop(self) -> None:
        """Ask what goes on to stop: a run and those that wait, or the making of baselines."""
        self.queue.stop()
        (self.session if self.session.runner.running else self.outcome.baselines).stop()

    def show_lost(self) -> None:
        """Ask for what shows where the last result may have lost detail."""
        run = self.session.run
        if run is None or run.raw not in self._viewer.layers or not run.result.shown:
            self._say_in_sight("The measured layer or the result is gone: open it again to see where detail is lost.")
        else:
            self.lost_wanted.emit(run.raw, run.result.layer)

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
        """Write the model trained last for other programs, to be tried on the chosen layer; or cancel that."""
        if self.exported.writer.running:
            self.exported.writer.stop()
        else:
            self.exported.ask(self.form.subject.opened())

    def copy(self, words: Words) -> None:
        """Put what the main button would do on the clipboard, as a script or as a command."""
        if (request := self.form.request()) is not None:
            self._copier.start(copying(words, self._engine.preferring(request), self.form.places()))

    def _take_copied(self, ended: Ended) -> None:
        if ended.failure is not None:
            self._say_outcome(ended.failure.message, "error")
            return
        QApplication.clipboard().setText(ended.result)
        self._say_outcome("Copied: paste it into a script or a terminal.")

    def _open_sample(self) -> None:
        """The one for beginners, with its truth."""
        self._viewer.open_sample("napari-restore", SAMPLE)

    # What the widget says.

    def _show_gain(self, gain: float) -> None:
        """The truth is known: say the real gain beside the estimate."""
        text = f"{self._last.text}, {gain:+.1f} dB in truth"
        self._show_status(Status(1.0, text))
        self.outcome.say(f"Compared with its truth the result is {gain:+.1f} dB better than the measured image.")

    def _say_outcome(self, text: str, level: Level = "info") -> None:
        """Say what came of a button that begins no run, also in one line beside the buttons."""
        self.outcome.say(text, level)
        self.buttons.show_said(f"{SIGNS[level]}{for_widget(text)}")

    def _forget_said(self, _: object = None) -> None:
        """A run begins, or another layer is chosen: what was saved or copied is of the past."""
        self.buttons.show_said("")

    def _say_in_sight(self, text: str, level: Level = "info") -> None:
        """Say what is to be done next, also beside the buttons: the messages may be scrolled away."""
        self.outcome.say(text, level)
        if not self.session.runner.running:
            said = for_widget(text)
            self.buttons.show_words(f"{said[0].upper()}{said[1:]}")

    def _show_verb(self, _: object = None) -> None:
        """What the main button does, and what its curves are."""
        self.buttons.show_verb(self.form.verb.verb, layers=len(self._layers()))
        self.outcome.place.setToolTip(VERBS[self.form.verb.verb].loss)

    def _show_status(self, status: Status | None) -> None:
        """How far it is, here and in napari's activity dock; None where it is as the last run left it."""
        if status is None:
            self.buttons.show_status(self._last)
            return
        self._last = status if self.session.runner.running or not self.outcome.baselines.runner.running else self._last
        self.buttons.show_status(status)
        self._activity.show_status(status)

    def _show_state(self, *_: object) -> None:
        runners = (self.session.runner, self.outcome.baselines.runner)
        running = any(runner.running for runner in runners)
        state: State = "stopping" if any(runner.stopping for runner in runners) else "running" if running else "idle"
        self._activity.show(self._work())
        has_layer, has_model = self.form.subject.layer is not None, self.session.model is not None
        wrong = for_widget(self.form.wrong)
        self.buttons.show_model(self.session.model_name)
        self.buttons.show_exporting(self.exported.writer.running)
        self.buttons.show_unwritten(state == "idle" and self.session.unwritten is not None)
        self.buttons.show_doubt(state == "idle" and loses_detail(getattr(self.session.result, "report", {})))
        self.hint.tell(has_layer=has_layer, has_result=self.session.result is not None)
        if running:
            self._device.stop()
        with self._focus.moved(state):
            self.form.allow(state == "idle")
            self.buttons.show_state(
                state,
                has_layer=has_layer,
                has_model=has_model,
                has_result=self.session.result is not None,
                can_go_on=self.session.can_go_on,
                wrong=wrong,
            )

    def _notify(self) -> None:
        """All is over: whoever works in another window meanwhile is told, in the way of the desktop."""
        if not self.session.runner.running and not self.isActiveWindow():
            QApplication.alert(self.window())

    def _take_removed(self, event: Any) -> None:
        """A layer was deleted, perhaps a result."""
        self.session.take_removed(event.value)

    def _go_back(self) -> None:
        """The layer to restore is that of the run which is gone back to, and not its result, which is selected."""
        if self.session.run is not None:
            self.form.subject.layers.choose(self.session.run.raw)

    def _show_whose(self, _: object = None) -> None:
        """What is seen of a run is said to be of its layer, where another one is chosen."""
        run, layer = self.session.run, self.form.subject.layer
        name = "" if run is None or layer is None or run.raw is layer else str(run.raw.name)
        self.outcome.show_whose(name)
        self.buttons.show_whose(name)

    def _compare_times(self) -> None:
        """A whole run that trained says how long one takes on this machine."""
        run = self.session.run
        if run is not None and run.tally.trained and not run.tally.more:
            self.form.cost.compare(run.tally.method, run.tally.rest)

    def _scroll_down(self) -> None:
        """As far as shows the whole plot, or the comparison once there is one, while the preview stays in sight."""
        QApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest)  # else the bar may not reach so far yet
        bar, height = self._scroll.verticalScrollBar(), self._scroll.viewport().height()
        lowest = self.outcome.bottom.geometry().bottom() + 4 - height
        bar.setValue(max(bar.value(), min(self.outcome.preview.y(), lowest)))

    def _scroll_to(self, folded: Folded) -> None:
        """All of what was unfolded, or as much as there is room for below its own line."""
        if folded.isExpanded():
            QApplication.sendPostedEvents(None, QEvent.Type.LayoutRequest)
            bar, top = self._scroll.verticalScrollBar(), folded.mapTo(self._scroll.widget(), QPoint()).y()
            lowest = top + folded.height() + 4 - self._scroll.viewport().height()
            bar.setValue(min(top, max(bar.value(), lowest)))

    def _find_device(self) -> None:
        self._device.start(finding_device(self._engine))

    def _show_device(self, ended: Ended) -> None:
        self.form.badge.setText(ended.result or "no device")
        self.outcome.prepare()  # what draws them was loaded in the thread
        self.form.cost.load()
        self.form.advanced.prepare()

    # How it is put together.

    def _lay_out(self) -> None:
        """The buttons stay in sight: only what is above them scrolls."""
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(8, 6, 8, 4)
        column.setSpacing(6)
        column.addWidget(self.hint)
        column.addWidget(self.form)
        for widget in self.outcome.widgets:
            column.addWidget(widget)
        column.addStretch(1)
        self._scroll = scroll = QScrollArea()
        scroll.setWidget(content)
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(scroll, 1)
        layout.addWidget(self.waiting)
        layout.addWidget(self.buttons)
        self.setMinimumWidth(300)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)

    def _connect(self) -> None:
        """The signals between the parts, in one place."""
        self.form.verb.chosen.connect(self._show_verb)
        self.form.verb.chosen.connect(lambda _: self._scroll.verticalScrollBar().setValue(0))
        self.form.changed.connect(self._show_state)
        self.form.changed.connect(self._show_verb)
        self.queue.said.connect(self._say_outcome)
        self._links.connect(self._viewer.layers.selection.events.changed, self._show_verb)
        self.form.said.connect(self._say_in_sight)
        self.form.subject.said.connect(self._say_in_sight)
        self.buttons.run.connect(self.run)
        self.buttons.show_lost.connect(self.show_lost)
        self.buttons.more.connect(self.train_on)
        self.buttons.train.connect(self.train)
        self.buttons.restore.connect(self.restore)
        self.buttons.distill.connect(self.distill)
        self.buttons.copy.connect(self.copy)
        self.buttons.report.connect(self.report.ask)
        self.report.said.connect(self._say_outcome)
        self.buttons.check.connect(self.check)
        self.guards.said.connect(self._say_outcome)
        self.buttons.export.connect(self.export)
        self.exported.said.connect(self._say_outcome)
        self.exported.said.connect(self._show_state)
        self.buttons.write_elsewhere.connect(self.write_elsewhere)
        self.buttons.save_result.connect(self.saved.ask)
        self.saved.said.connect(self._say_outcome)
        self.buttons.stop.connect(self.stop)
        self.outcome.baselines.said.connect(self._say_outcome)
        self.outcome.baselines.status.connect(self._show_status)
        self.outcome.baselines.changed.connect(self._show_state)
        self.files.chosen.connect(self.restore_with)
        self.files.said.connect(self._say_outcome)
        self.session.begun.connect(self.form.remember)
        self.session.begun.connect(self.form.cost.begin)
        self.session.begun.connect(self._show_whose)
        self.session.begun.connect(self._forget_said)
        self.form.subject.chosen.connect(self._forget_said)
        self.session.kept.connect(self._show_whose)
        self.session.over.connect(self._notify)
        self.session.went_back.connect(self._go_back)
        self.session.finished.connect(self._compare_times)
        self.form.subject.chosen.connect(self._show_whose)
        self.session.changed.connect(self._show_state)
        self.session.status.connect(self._show_status)
        self.truth.told.connect(self._show_gain)
        self._copier.ended.connect(self._take_copied)
        self._device.ended.connect(self._show_device)
        self._links.connect(self._viewer.events.theme, self._paint)
        self._links.connect(self._viewer.layers.events.removing, partial(take_context, self._viewer))
        self._links.connect(self._viewer.layers.events.removed, self._take_removed)
        dims, camera = self._viewer.dims.events, camera_of(self._viewer).events
        for emitter in (dims.current_step, dims.order, dims.ndisplay, camera.center):
            self._links.connect(emitter, self.session.look)
        self.destroyed.connect(partial(_leave, self._links, self.form.subject.followed, self.session.runner.line))
        # Later: what is disabled when a run begins loses the focus, and the area scrolls to what gets it.
        self._scrolled = _later(self, self._scroll_down)
        self.outcome.grown.connect(self._scrolled.start)
        for folded in (self.form.advanced, self.outcome.runs, self.outcome.details):
            self._follow(folded)
        _later(self, self._find_device).start(500)
        self._show_verb()

    def _follow(self, folded: Folded) -> None:
        """Scroll to what the user unfolds, not to what unfolds by itself. Later, when it has its height."""
        timer = _later(self, partial(self._scroll_to, folded))
        folded.fold.clicked.connect(lambda _checked: timer.start())

    def _paint(self, event: Any = None) -> None:
        """Take the colours of the viewer's theme."""
        accent, text, trough, error = astuple(Colours.of(self._viewer))
        self.setStyleSheet(focus_ring(text=text))
        self.form.set_colours(accent=accent, text=text, trough=trough, error=error)
        self.outcome.set_colours(get_theme(self._viewer.theme), text=text, error=error)
        self.buttons.set_colours(accent=accent, text=text, trough=trough)

    def going_on(self) -> str:
        """The work on an image, or the writing of a file."""
        writing = any(part.writer.running for part in (self.report, self.saved, self.exported))
        return self._work() or ("The writing of a file" if writing else "")

    def _work(self) -> str:
        """A run, or the making of baselines."""
        run = self.session.run
        if run is not None and self.session.runner.running:
            return f"{VERBS[run.verb].label}: {run.raw.name}"
        return "The making of the baselines" if self.outcome.baselines.runner.running else ""

    def leave(self) -> None:
        """Stop the work, and listen to the viewer no more."""
        self._activity.abandon()
        _leave(self._links, self.form.subject.followed, self.session.runner.line)
        for part in (
            self.session,
            self.form,
            self.outcome.baselines,
            self.truth,
            self._device,
            self._copier,
            *self._writers,
        ):
            part.abandon()


def _later(parent: QWidget, call: Callable[[], None]) -> QTimer:
    """A timer that calls a method once; a method, because Qt forgets those of an object that is gone."""
    timer = QTimer(parent)
    timer.setSingleShot(True)
    timer.timeout.connect(call)
    return timer


def _leave(links: Links, followed: Links, line: Line) -> None:
    """Knows no Qt objects: it also runs when they are gone."""
    links.cut()
    followed.cut()
    line.cut()

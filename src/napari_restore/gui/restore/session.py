"""What happens between a click and a result: one run at a time, and the model that the last one left."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_restore.core.events import (
    Compared,
    Event,
    Failed,
    Measured,
    Note,
    RestorationStarted,
    Saved,
    Stopped,
    TileDone,
    Trained,
    TrainingStarted,
)
from napari_restore.core.job import PreviewRequest
from napari_restore.gui.parts.describe import Status, describe_time, failure_of, status_of, verdict_of
from napari_restore.gui.parts.layers import PART, ResultLayer, load_readers
from napari_restore.gui.parts.runner import Ended, Runner, Start
from napari_restore.gui.restore.history import Past, Tally
from napari_restore.gui.restore.in_view import plane_shown, planes_of, region_in_view
from napari_restore.gui.restore.kept import keeping
from napari_restore.gui.restore.work import Engine, Pair, distilling, doing, training, training_on, with_model
from napari_restore.methods import METHODS
from napari_restore.sources.image import Image
from napari_restore.verbs import VERBS
from napari_restore.verbs.request import Request

_MOST_PAST = 20
"""Runs that are kept to go back to, with their models."""

_BUSY = "A run is going on: wait for its end, or cancel it, then start again."


@dataclass(frozen=True, eq=False)
class Run:
    """One run.

    Attributes
    ----------
    raw
        The layer that is restored.
    request
        What is asked for.
    verb
        Whose button was down: that of the request, or what the model is said to do.
    preview
        What is shown while it trains.
    result
        Where the result is shown.
    trained
        The models that were trained for it, also where it then failed.
    whole
        Whether an image is wanted of it, and not a model alone.
    tally
        What is counted meanwhile.
    """

    raw: Any
    request: Request
    verb: str
    preview: PreviewRequest
    result: ResultLayer
    trained: list[Any]
    whole: bool
    tally: Tally

    @property
    def suffix(self) -> str:
        """What its result is called in a folder."""
        return VERBS[self.verb].suffix + (PART if self.request.restoring.region is not None else "")

    @property
    def image(self) -> Image:
        """Of the layer."""
        image: Image = self.request.image
        return image

    @property
    def undoes(self) -> bool:
        """Whether the result is of a kind that there are baselines for."""
        return VERBS[self.verb].does == "undo"


class Session(QObject):  # type: ignore[misc]
    """Starts and stops work on a viewer's layers, and says in signals what comes of it.

    Attributes
    ----------
    model, model_name
        The model trained last, or None; or one that was taken from a file, and its name.
    result
        The last whole result, or None.
    unwritten
        The last run, where it failed once its model was trained; else None.
    past
        The runs that left something, the newest last.
    folder
        Where results are written; None stands for a temporary folder.
    preview_every
        Seconds between two previews.
    changed
        Signal: what can be done is different now.
    said
        Signal: words for the user and their level, ``info``, ``warning`` or ``error``.
    floored
        Signal: the held-out loss that noise alone makes, or None.
    judged
        Signal: numbers that compare the result with simpler ways.
    finished
        Signal: there is a whole result; ``run`` and ``model`` say of what.
    over
        Signal: a run has ended, whatever came of it; another one may begin.
    kept
        Signal: ``past`` holds other runs than before, or another of them is the last one.
    went_back
        Signal: an earlier run is the last one again.
    """

    changed = Signal()
    begun = Signal()
    said = Signal(str, str)
    status = Signal(object)
    measured = Signal(list)
    floored = Signal(object)
    compared = Signal(object)
    judged = Signal(object)
    finished = Signal()
    over = Signal()
    kept = Signal()
    went_back = Signal()

    def __init__(self, viewer: Any, engine: Engine, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._engine = engine
        self._run: Run | None = None
        self._unfinished: dict[str, ResultLayer] = {}
        self._shown: list[ResultLayer] = []
        self._selected: Any = None
        self._whole = ""
        self._turn = 0
        self.past: list[Past] = []
        self.result: Any = None
        self.unwritten: Run | None = None
        self.model: Any = None
        self.model_name = ""
        self.folder: Path | None = None
        self.preview_every = 2.0
        self.runner = Runner(self)
        self.runner.received.connect(self._receive)
        self.runner.ending.connect(self._draw_result)
        self.runner.ended.connect(self._end)
        self._redraw = QTimer(self)
        self._redraw.setSingleShot(True)
        self._redraw.timeout.connect(self._refresh_result)

    @property
    def run(self) -> Run | None:
        """The run that is going on, or the last one."""
        return self._run

    @property
    def can_go_on(self) -> bool:
        """Whether the model trained last can be trained further on the image of the last run."""
        run, model = self._run, self.model
        known = METHODS.get(str(getattr(model, "name", "")))
        learns = known is None or known.learns
        return run is not None and model is not None and learns and VERBS[run.request.verb].does != "copy"

    def do(self, raw: Any, request: Request, *, verb: str = "") -> bool:
        """Train on the layer's image and restore it, or restore it with a model; ``verb`` names what that one does."""
        run = self._prepared(raw, request, verb or request.verb)
        work = partial(doing, folder=self.folder, suffix=run.suffix, trained=run.trained.append)
        return self._start(run, work)

    def do_again(self, folder: Path) -> bool:
        """Make the result of a run that failed once its model was trained, in another folder."""
        run = self.unwritten
        if run is None:
            return False
        self.folder = folder
        begun = self.do(run.raw, with_model(run.request, run.trained[-1]), verb=run.verb)
        if begun and self._run is not None:
            self._run.trained.append(run.trained[-1])  # that folder may fail, too
        return begun

    def train_on(self, seconds: float) -> bool:
        """Train the model trained last further on the image of the last run, and restore that anew where it was."""
        last, model = self._run, self.model
        if last is None or not self.can_go_on:
            return False
        run = self._prepared(last.raw, last.request, last.verb, whole=last.whole, more=last.tally.more + seconds)
        work = partial(
            training_on,
            model=model,
            seconds=seconds,
            restores=run.whole,
            folder=self.folder,
            suffix=run.suffix,
            trained=run.trained.append,
        )
        return self._start(run, work)

    def go_back(self, past: Past) -> None:
        """Make an earlier run the last one: its result is seen and selected, its model the one trained last."""
        if self.runner.running:
            self.said.emit(_BUSY, "warning")
            return
        self._run, self.model, self.model_name, self.result = past.run, past.model, "", past.result
        self.unwritten = None
        if past.result is not None:
            past.run.result.show_again()
            self._selected = self._viewer.layers.selection.active
            self._bring_forward(past.run)
            self.status.emit(Status(1.0, verdict_of(getattr(past.result, "report", {}))))
        self.went_back.emit()
        self.kept.emit()
        self.changed.emit()

    def discard(self, past: Past) -> None:
        """Forget an earlier run, and take its layer away; the files of a result stay. The last one gives way, too."""
        if self.runner.running:
            self.said.emit(_BUSY, "warning")
            return
        self.past = [one for one in self.past if one is not past]
        past.run.result.discard()
        if self.model is past.model:
            if self.past:
                self.go_back(self.past[-1])
                return
            self.model, self.model_name, self.result = None, "", None
        self.kept.emit()
        self.changed.emit()

    def train(self, raw: Any, request: Request) -> bool:
        """Train on the layer's image as the request would, and keep the model."""
        return self._start(self._prepared(raw, request, request.verb, whole=False), training)

    def distill(self, raw: Any, request: Request) -> bool:
        """Make a small copy of the model that the request names, and keep it in its place."""
        return self._start(self._prepared(raw, request, request.verb, whole=False), distilling)

    def stop(self) -> None:
        """Ask for a stop; it comes at the work's next step."""
        self.runner.stop()
        self.changed.emit()

    def abandon(self) -> None:
        """The viewer is going away: stop, and touch nothing of it any more."""
        self.runner.abandon()
        self._redraw.stop()
        self._run, self._selected, self._shown = None, None, []

    def take_removed(self, layer: Any) -> None:
        """The user has taken a layer away: if it was a result, what was hidden for it is seen again."""
        for result in {*self._shown, *self._unfinished.values(), *(past.run.result for past in self.past)}:
            result.gone(layer)

    def take(self, model: Any, name: str) -> None:
        """Use a model from a file as if it had been trained last."""
        self.model, self.model_name = model, name
        self.changed.emit()

    def look(self, event: Any = None) -> None:
        """Ask for previews of what the viewer shows now, and of a stack for the plane that cuts it there."""
        run = self._run
        if run is not None and run.raw.ndim + bool(run.raw.rgb) == run.image.ndim:
            dims, image = self._viewer.dims, run.image
            position = run.raw.world_to_data(world_in_view(self._viewer))
            seen = plane_shown(image, run.raw, dims.displayed, ndim=dims.ndim)
            others = [plane for plane in ("XZ", "YZ", "XY") if plane != seen and plane in planes_of(image)]
            regions = partial(region_in_view, image, position, rgb=bool(run.raw.rgb))
            run.preview.region = regions(plane=seen)
            run.preview.across = regions(plane=others[self._turn % len(others)]) if others else None

    def turn(self) -> None:
        """Let another plane cut the one in view."""
        self._turn += 1
        self.look()

    def _prepared(self, raw: Any, request: Request, verb: str, *, whole: bool = True, more: float = 0.0) -> Run:
        preview = PreviewRequest(every=self.preview_every)
        result = ResultLayer(self._viewer, raw, request.image, part=request.restoring.region)
        model = self.model if more else getattr(request.own, "model", request.restoring.model)
        tally = Tally(before=next((one.seconds for one in self.past if one.model is model), 0.0), more=more)
        return Run(raw, request, verb, preview, result, [], whole, tally)

    def _start(self, run: Run, work: Callable[..., Start]) -> bool:
        """Begin a run; False, and nothing happens but that it is said, while another one is going on."""
        if self.runner.running:
            self.said.emit(_BUSY, "warning")
            return False
        self._run = run
        self._whole, self.result, self.unwritten = "", None, None
        self._selected = self._viewer.layers.selection.active
        self.look()
        self.begun.emit()
        self.status.emit(Status(None, "Getting ready"))
        keep = keeping(str(run.raw.name), run.trained, self.folder)
        self.runner.start(with_readers(work(self._engine, run.request, run.preview)), keep=keep)
        self.changed.emit()
        return True

    def _receive(self, events: list[Event | Pair]) -> None:
        """Show what has arrived since the last tick; of pictures and states only the last."""
        states = [state for event in events if not isinstance(event, Pair) and (state := status_of(event))]
        if measured := [event for event in events if isinstance(event, Measured)]:
            self.measured.emit(measured)
        for pair in {pair.preview.across: pair for pair in events if isinstance(pair, Pair)}.values():
            self.compared.emit(pair)
        for event in events:
            self._tell(event)
        if states:
            self.status.emit(states[-1])
        filling = any(isinstance(event, TileDone) for event in events) and not self._whole
        if filling and not self._redraw.isActive() and self._run:
            self._redraw.start(round(1000 * self._run.result.pause))

    def _tell(self, event: Event | Pair) -> None:
        """Say an event in words, and act on it."""
        if self._run is not None and not isinstance(event, Pair):
            self._run.tally.count(event)
        match event:
            case Note(text=text, level=level):
                self.said.emit(text, level)
            case Failed(message=message):
                self.said.emit(message, "error")
            case TrainingStarted(device=device, parameters=parameters, patch=patch, batch=batch):
                size = " × ".join(str(n) for n in patch)
                text = f"Training {parameters:,} weights on {device}, {batch} patches of {size} at a time."
                self.said.emit(text, "info")
                self.floored.emit(event.floor)
            case Trained(step=step, seconds=seconds):
                self.said.emit(f"Trained {step:,} steps in {describe_time(seconds)}.", "info")
            case RestorationStarted(suffix="std"):
                self._go_beside()
            case RestorationStarted():
                self._begin_result(event)
            case Compared():
                self.judged.emit(event)
            case Saved(path=path, what=what):
                self._whole = path if what == "image" else self._whole
                self.said.emit(f"{what.capitalize()} saved: {path}", "info")
            case Stopped(what=what, step=step, path=path):
                self.said.emit(stopped_words(what, step, path), "warning")
                if what == "restoration" and self._run is not None and self._run.result in self._unfinished.values():
                    self._leave_unfinished(self._run.result, tiles=step)

    def _leave_unfinished(self, result: ResultLayer, *, tiles: int) -> None:
        """A layer of nothing would hide the measured one."""
        if not tiles:
            self._forget(result)
            result.discard()
        elif result.give_way():
            self.said.emit(
                f"Nothing of the plane in view was restored yet: the layer {result.layer.name} is hidden.", "info"
            )

    def _begin_result(self, started: RestorationStarted) -> None:
        path = started.path
        if self._run is not None:
            if (part := self._run.request.restoring.region) is not None:
                self.said.emit(f"Restoring {' × '.join(str(n) for n in part.shape)} pixels.", "info")
            if self._run.raw not in self._viewer.layers:
                self.said.emit(f"The layer {self._run.raw.name} is gone; its result is shown on top.", "info")
            if path in self._unfinished:
                self._unfinished.pop(path).discard()
            self._run.result.begin(path, started.array, started=started, older=self._shown)
            self._unfinished[path] = self._run.result

    def _go_beside(self) -> None:
        """The result is whole and has its name; what is made now is how sure it is."""
        self.said.emit("The result is whole; now the uncertainty of each pixel.", "info")
        self._redraw.stop()
        if self._run is not None and self._whole:
            self._forget(self._run.result)
            self._run.result.show_whole(self._whole)

    def _forget(self, result: ResultLayer) -> None:
        """It is whole, or gone: another run of the same output does not take it away."""
        self._unfinished = {path: one for path, one in self._unfinished.items() if one is not result}

    def _refresh_result(self) -> None:
        if self._run is not None:
            self._run.result.refresh()

    def _draw_result(self, ended: Ended) -> None:
        """The run will be over in the next turn: napari takes as long to draw a whole result as to select it."""
        run, result = self._run, ended.result
        whole = ended.failure is None and getattr(result, "levels", None) is not None and result.complete
        if run is not None and whole:
            run.result.finish(result.levels, metadata=result.layer_kwargs["metadata"], made_by=run.tally.method)

    def _end(self, ended: Ended) -> None:
        """The run is over, one way or the other: keep the model, show the result, free the buttons."""
        self._redraw.stop()
        if ended.failure is not None:
            self.said.emit(ended.failure.message, "error")
            self.status.emit(Status(0.0, failure_of(ended.failure.message)))
            self._save_what_there_is()
        else:
            self._keep(ended.result)
        self.changed.emit()
        self.over.emit()

    def _save_what_there_is(self) -> None:
        """A run has failed: what it had learned by then is not lost."""
        run = self._run
        if run is None or not run.trained:
            return
        self.model, self.model_name, self.unwritten = run.trained[-1], "", run
        self._put_by(None)
        text = "The trained model is kept here: Write elsewhere… makes the result with it, Save model… saves it."
        self.said.emit(text, "warning")

    def _keep(self, result: Any) -> None:
        """Keep the model; show the result, where there is a whole one."""
        stopped = self.runner.flag.is_set()
        levels = getattr(result, "levels", None)
        model = result if levels is None else result.model
        if model is not None and model is not self.model:
            self.model, self.model_name = model, ""
        if levels is None:
            self.status.emit(Status(0.0, "Stopped") if stopped else Status(1.0, "Trained"))
        elif not result.complete:
            self.status.emit(Status(0.0, "Stopped"))
        else:
            self._finish(result)
        self._put_by(self.result)

    def _put_by(self, result: Any) -> None:
        """Keep what the run has left among those to go back to."""
        if self._run is not None and self.model is not None:
            self.past = [*self.past, Past.of(self._run, self.model, result)][-_MOST_PAST:]
            self.kept.emit()

    def _finish(self, result: Any) -> None:
        run = self._run
        if run is not None:
            self._bring_forward(run)
            if (unsure := getattr(result, "uncertainty", None)) is not None:
                run.result.add_deviations(unsure.levels)
            self._forget(run.result)
        self.result = result
        if self.folder is None:
            self.said.emit("That is a temporary folder: to keep the result, press Save result….", "info")
        self.status.emit(Status(1.0, verdict_of(getattr(result, "report", {}))))
        self.finished.emit()

    def _bring_forward(self, run: Run) -> None:
        """Let the result be seen and be what Ctrl+S saves; a user who went on with another layer keeps that one.

        The layer to restore stays the one that it was: while a run goes on, its box does not follow the viewer.
        """
        if run.request.restoring.region is None:
            for older in self._shown:
                if older is not run.result:
                    older.hide(of=run.raw)
        self._shown = [*(one for one in self._shown if one.shown and one is not run.result), run.result]
        run.result.raise_()
        if self._viewer.layers.selection.active is self._selected and run.result.shown:
            self._viewer.layers.selection.active = run.result.layer


def with_readers(start: Start) -> Start:
    """The same work, but what shows its result is loaded in its thread before there is one: no GUI waits for it.

    It takes seconds where nothing is loaded yet: a first picture, which is shown without it, comes before.
    """

    def begin(stop: threading.Event) -> Generator[Any, None, Any]:
        events = start(stop)
        while True:
            try:
                event = next(events)
            except StopIteration as end:
                load_readers()
                return end.value
            if isinstance(event, RestorationStarted):
                load_readers()
            yield event
            if isinstance(event, Pair):
                load_readers()

    return begin


def stopped_words(what: str, step: int, path: str | None) -> str:
    """What a stop left behind."""
    if what == "training":
        return f"Stopped after {step:,} training steps. The model as it is now is kept: see Restore with…"
    if not step:
        return f"Stopped before the first tile: there is no result. Its file is unfinished: {path}"
    kept = "They stay in the layer"
    return f"Stopped after {step:,} tiles. {kept}; its file is unfinished: {path}" if path else f"{kept}."


def world_in_view(viewer: Any) -> list[float]:
    """Where the sliders stand and, along the axes displayed, the middle of the canvas; in world coordinates."""
    position = [float(x) for x in viewer.dims.point]
    displayed = viewer.dims.displayed
    for axis, x in zip(displayed, camera_of(viewer).center[-len(displayed) :], strict=True):
        position[axis] = float(x)
    return position


def camera_of(viewer: Any) -> Any:
    """The viewer's camera, which moved into its scene in napari 0.9."""
    return getattr(viewer, "scene", viewer).camera

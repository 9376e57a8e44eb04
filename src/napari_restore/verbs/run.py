"""The one way from a request to a result, for the shell, a script, the console and the window."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from napari_restore.core.errors import ModelError, OutputError, RestoreError
from napari_restore.core.events import Note, Saved, Stopped
from napari_restore.core.job import Events
from napari_restore.core.region import Region
from napari_restore.core.watch import Watch
from napari_restore.methods.device import settle_threads
from napari_restore.restoration.deviations import cannot, unfinished, with_deviations
from napari_restore.restoration.engine import already_whole, found, restore_events
from napari_restore.restoration.part import part_of
from napari_restore.restoration.plan import made_of
from napari_restore.restoration.reading import Filled, facts_of, steady
from napari_restore.restoration.result import Restored
from napari_restore.restoration.runners import runner_for
from napari_restore.restoration.running import Runner
from napari_restore.sources import Image
from napari_restore.store import output as outputs
from napari_restore.store.beside import check_names
from napari_restore.store.inputs import same
from napari_restore.store.model import Model, load_model
from napari_restore.training.ranks import find_ranks
from napari_restore.verbs.ahead import (
    check_model_space,
    check_places,
    check_region,
    check_restoring,
    keep,
    kept_elsewhere,
    place_of,
)
from napari_restore.verbs.destination import Destination
from napari_restore.verbs.learning import (
    check_begun,
    check_trained_alike,
    counted,
    first_picture,
    learn,
    model_of,
    notes_of,
    prepare,
    subject_of,
)
from napari_restore.verbs.reporting import write_report
from napari_restore.verbs.request import Request, load


def run(request: Request, watch: Watch | None = None) -> Events[Any]:
    """Do what is asked for, as a generator of events.

    Returns
    -------
    Events
        Its result is a ``Restored``, for ``train`` a ``Model``, for a folder a list of ``FileState``; and the
        ``Model`` as it is then where a stop came while it was trained for an image.
    """
    settle_threads()
    events: Events[Any] = load(request.row.flow)(request, watch if watch is not None else Watch())
    return events


def trained_and_restored(request: Request, watch: Watch) -> Events[Restored | Model]:
    """Train on the image, unless there is a model, and restore it; the output is ours from the first line to the last.

    What can be known before training is looked at before it.
    """
    image = subject_of(request)
    check_places(request, [image])
    check_region(request, image)
    runner = runner_for(image, request.restoring, request.opening)
    with Destination(request.writing.output) as place:
        place.claim()
        image = counted(image, request)
        model, state = yield from _model_for(request, image, place, watch)
        if state == "stopped" and model is not None:
            return model
        if state == "whole":
            assert place.asked is not None
            yield from already_whole(place.asked)
            restored = found(image, model, place.asked, restoring=request.restoring, suffix=request.row.suffix)
        else:
            assert model is not None
            # What was guessed on opening has been said where it was trained.
            yield from notes_of([image] if state != "trained" else [])
            with _not_lost(model, request, trained=state == "trained"):
                restored = yield from restore_events(
                    image,
                    model,
                    output=place.output(image, request.row.suffix),
                    restoring=request.restoring,
                    computing=request.computing,
                    writing=request.writing,
                    watch=watch,
                    runner=runner,
                )
        restored = yield from finished(request, image, place, restored, watch=watch, runner=runner)
        over = restored.complete and not unfinished(restored, restoring=request.restoring)
        if over and place.asked is not None and state != "given" and not _is_asked_for(request, place):
            outputs.forget_model(place.asked)
        return restored


def _is_asked_for(request: Request, place: Destination) -> bool:
    """Whether the model beside the output is where the user wants to have it."""
    save = place_of(request.writing.save_model)
    return save is not None and place.asked is not None and same(save, outputs.model_path(place.asked))


def finished(
    request: Request, image: Image, place: Destination, restored: Restored, *, watch: Watch, runner: Runner | None
) -> Events[Restored]:
    """A result that holds its place, with what goes with it: its uncertainty, and what is told of it."""
    restored = yield from with_deviations(
        image,
        restored,
        restoring=request.restoring,
        computing=request.computing,
        writing=request.writing,
        watch=watch,
        runner=runner,
    )
    result = yield from judged(request, image, place.holding(restored), watch=watch)
    if request.writing.report is not None and result.complete:
        yield Saved(str(write_report(request, image, result)), "report")
    return result


def judged(request: Request, image: Image, restored: Restored, *, watch: Watch) -> Events[Restored]:
    """A whole result with what can be told of it without the truth in its report."""
    if not restored.complete or restored.model is None:
        return restored
    from napari_restore.judging.judged import judged_events  # a second to load, which a first picture does not wait for

    told: Mapping[str, Any] = yield from judged_events(
        image,
        restored.model,
        compare=request.row.does == "undo" and restored.model.method.listed.learns,
        device=request.computing.device,
        seed=request.computing.seed,
        stopping=lambda: watch.stopping,
    )
    return replace(restored, report={**restored.report, **told})


State = Literal["given", "kept", "whole", "trained", "stopped"]
"""Where a model comes from: the user, or an unfinished run, or one whose result is whole, and which may have kept its
model; or it has been trained, to its end or not."""


def _model_for(request: Request, image: Image, place: Destination, watch: Watch) -> Events[tuple[Model | None, State]]:
    """The model to restore with."""
    writing, output = request.writing, place.asked
    if request.restoring.model is not None:
        return model_of(request.restoring.model), "given"
    again = writing.resume and not writing.overwrite
    if output is None or not (again and outputs.model_path(output).exists()):
        if again and output is not None and (made := outputs.made(output)) is not None:
            return _model_that_made(output, made, image, request), "whole"
        place.check(overwrite=writing.overwrite)
        return (yield from _trained_for(request, image, output, watch))
    check_names(output)
    model = load_model(outputs.model_path(output))
    check_begun(output, model, request, image)
    outputs.forget_training(output)
    if (save := place_of(writing.save_model)) is not None:
        yield Saved(str(model.save(save)), "model")
    if outputs.made_with(output, model.card()):
        return model, "whole"
    yield Note(f"going on with {output.name}, with the model trained for it before")
    return model, "kept"


def _model_that_made(output: Path, made: outputs.Made, image: Image, request: Request) -> Model | None:
    """The model of a whole result, where it was saved; None where nobody asks for it.

    Raises
    ------
    OutputError
        If the result is of another image or of other settings, or its model is asked for and was not saved.
    """
    looked_at = steady(image, Filled(), unreadable=request.restoring.unreadable)
    now = made_of(
        looked_at, part_of(request.restoring.region, image) or Region.of_shape(image.shape), facts_of(looked_at)
    )
    then = {name: value for name, value in made.fingerprint.items() if name in ("image", "region")}
    outputs.check_made(output, then, now)
    check_trained_alike(output, made.card, request, image)
    save = place_of(request.writing.save_model)
    if save is None:
        return None
    try:
        model = load_model(save)
    except ModelError:
        model = None
    if model is None or not outputs.made_with(output, model.card()):
        raise OutputError(
            f"{output} exists already, and its model is not in {save}: give `overwrite` to make both again, or choose "
            "another name."
        )
    return model


def _trained_for(request: Request, image: Image, output: Path | None, watch: Watch) -> Events[tuple[Model, State]]:
    """A model trained on the image, and kept beside the output until that is whole."""
    if not find_ranks().alone:
        raise RestoreError(
            "under torchrun, several processes train one model: use train there, and restore with it afterwards."
        )
    writing, save = request.writing, place_of(request.writing.save_model)
    kept = outputs.model_path(output) if output is not None else None
    prepared = yield from prepare(request, [image])
    yield from first_picture(prepared, request, watch)
    check_restoring(request, image, prepared.lesson.method, output)
    if request.restoring.uncertainty and not prepared.lesson.method.tells_deviations:
        yield Note(f"{cannot(prepared.lesson.method)}: only the restored image is made", "warning")
    check_model_space([path for path in (save, kept) if path is not None], prepared.lesson.method)
    run = outputs.training_path(output) if output is not None else None
    events = learn(prepared, request, watch, run=run, resume=writing.resume and not writing.overwrite)
    model, stopped = yield from _whether_stopped(events)
    if stopped:
        return model, "stopped"
    if watch.trained is not None:
        watch.trained(model)
    if output is not None and kept is not None:
        keep(model, kept, instead=[save] if save is not None else [])
        outputs.forget_training(output)
    if save is not None:
        yield Saved(str(keep(model, save, instead=[kept] if kept is not None else [])), "model")
    return model, "trained"


@contextmanager
def _not_lost(model: Model, request: Request, *, trained: bool) -> Iterator[None]:
    """Where restoring fails, a model that was trained for it and lies nowhere is kept, and said where."""
    try:
        yield
    except RestoreError as error:
        if trained and request.writing.output is None and request.writing.save_model is None:
            error.args = (f"{error} {kept_elsewhere(model)}",)
        raise


def _whether_stopped(events: Events[Model]) -> Events[tuple[Model, bool]]:
    """The model of a training, and whether it says that it was stopped before its budget was spent.

    The stop flag alone does not tell: set after the last step, it belongs to what comes next.
    """
    stopped = False
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            return end.value, stopped
        stopped = stopped or isinstance(event, Stopped)
        yield event

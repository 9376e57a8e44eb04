"""The training loop: a generator of events, budgeted in steps or seconds."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from napari_restore.core.errors import ImageError, OutputError, RestoreError
from napari_restore.core.events import Event, Measured, Note, Preview, Stopped, Trained, TrainingStarted, to_json
from napari_restore.core.job import Events, drain
from napari_restore.core.normalisation import Normalisation
from napari_restore.core.watch import Watch
from napari_restore.methods.device import describe, find_precision, kept_buffers, settle_threads
from napari_restore.sources import Image
from napari_restore.store.files import atomic_write, disk_errors
from napari_restore.store.model import Model, provenance
from napari_restore.training.advice import advice
from napari_restore.training.beginning import begun
from napari_restore.training.bits import make_fabric
from napari_restore.training.contest import contest, decided
from napari_restore.training.cost import plan_step
from napari_restore.training.lesson import Lesson
from napari_restore.training.pool import PatchPool, cut_blocks
from napari_restore.training.previews import Previews
from napari_restore.training.ranks import Ranks, find_ranks
from napari_restore.training.session import Session, Terms, Timer, facts, usual_batch
from napari_restore.training.settings import TrainingSettings, fit_patch
from napari_restore.training.state import TrainingState, cards, checkpoints
from napari_restore.training.threads import ThreadTuner, settle, tuned_step, tuned_threads

_MEASURE_EVERY = 0.5
_VALIDATE_EVERY = 3.0
_CHECKPOINT_EVERY = 30.0


def train_events(lesson: Lesson, settings: TrainingSettings, watch: Watch) -> Events[Model]:
    """Train a method on images; yields what happens, returns the model.

    Parameters
    ----------
    lesson
        The method, and what it learns from.
    settings
        Budget, batches, device, seed, run folder.
    watch
        Who may stop it, between steps: it then keeps what it has and ends. And which part of the first image to show
        meanwhile.

    Yields
    ------
    Event
        ``TrainingStarted``, then ``Measured``, ``Preview``, ``Checkpointed`` and ``Note`` as they come, then
        ``Trained`` or ``Stopped``.

    Raises
    ------
    RestoreError
        If the images cannot be trained on, or a run folder holds something else.
    """
    settle_threads()
    lesson.check()
    ranks = find_ranks()
    events = _train(lesson, settings, watch, ranks)
    if settings.run is not None and not settings.resume and (earlier := checkpoints(settings.run)):
        raise RestoreError(
            f"{settings.run} holds an earlier run ({earlier[-1].name}): continue it with `resume`, or give another "
            "folder."
        )
    if not ranks.first:
        return drain(events)
    return (yield from (events if settings.run is None else _recorded(events, settings.run)))


def _train(lesson: Lesson, settings: TrainingSettings, watch: Watch, ranks: Ranks) -> Events[Model]:
    if lesson.fresh is not None:
        lesson = yield from begun(lesson, settings, _terms(lesson, settings, ranks)[0])
    lesson, learned = yield from _settled(lesson, settings, watch, ranks)
    if learned is not None and watch.stopping:
        settings = replace(settings, run=None)  # to be gone on with, all of it has to be known: it begins anew
    terms, said = _terms(lesson, settings, ranks)
    yield from said
    fabric = make_fabric(terms.device, terms.precision, ranks)
    terms = replace(terms, ranks=ranks.launch(fabric))
    with terms.ranks.together(), _pools(lesson, settings, terms) as pools:
        session = Session(
            lesson.name,
            state=learned or TrainingState(lesson.method, settings, fabric, terms.ranks),
            pool=pools[0],
            judge=pools[1],
            settings=settings,
            terms=terms,
        )
        if ranks.first:
            yield from _remarks(session.pool, lesson.images, filled=lesson.method.fills)
        if settings.run is not None and settings.resume and session.resume(settings.run):
            yield Note(f"continuing from step {session.state.step} of {settings.run}")
        first = 0 if learned is not None else session.state.step
        if learned is not None:
            session.pool.skip(learned.step)
        floor = _floor(noise=lesson.noise, normalisation=session.pool.normalisation)
        yield _started(session, floor)
        # Another number of threads adds in another order: a budget in steps promises the same result again.
        tuned = terms.device.type == "cpu" and settings.budget.steps is None and ranks.alone
        with tuned_threads(active=tuned) as tuner:
            try:
                # What comes after learning is of other sizes: those kept for steps would have no room for it, and stay.
                with kept_buffers():
                    stopped = yield from _learn(session, lesson.images[0], watch, tuner)
            finally:
                session.state.method.eval()
            settle(tuner)
            if ranks.first:
                yield from _conclude(session, first=first, floor=floor, stopped=stopped)
            return (yield from _finished(session, lesson, watch))


def _finished(session: Session, lesson: Lesson, watch: Watch) -> Events[Model]:
    """What only predictions tell is settled, and remarked on."""
    precision = session.finish(lesson.images, enough=lambda: watch.stopping)
    if session.terms.ranks.first:
        yield from session.state.average.remarks()
    start = {"start": dict(lesson.start)} if lesson.start else {}
    return Model(
        lesson.name,
        session.state.average,
        session.pool.normalisation,
        precision,
        provenance(list(lesson.images), **facts(session), **start),
        thumbnail=session.thumbnail(precision),
    )


def _settled(
    lesson: Lesson, settings: TrainingSettings, watch: Watch, ranks: Ranks
) -> Events[tuple[Lesson, TrainingState | None]]:
    """A lesson without a rival, and what was learned until it was known which of the two is better."""
    if lesson.rival is not None and settings.run is not None and settings.resume:
        lesson = decided(lesson, settings.run)
    if lesson.rival is None:
        return lesson, None
    if not ranks.alone:
        if ranks.first:
            yield Note(
                "planes are restored one by one: whether their neighbours help is found out by one process alone"
            )
        return replace(lesson, method=lesson.rival, rival=None), None
    with kept_buffers():
        state = yield from contest(lesson, settings, _terms(lesson, settings, ranks)[0], watch)
    return replace(lesson, method=state.method, rival=None), state


def _terms(lesson: Lesson, settings: TrainingSettings, ranks: Ranks) -> tuple[Terms, list[Note]]:
    """What the settings leave open, settled for this method, these images and this machine's free memory.

    Ranks have to take the same patches, whatever memory each has: theirs are not fitted.
    """
    method, device = lesson.method, ranks.device(settings.device)
    images = [*lesson.images, *lesson.validation]
    precision = find_precision(device) if settings.precision == "auto" else settings.precision
    begun = _begun(settings)
    if begun is not None or not ranks.alone:
        before, batch = begun or (None, method.batch)
        asked = settings.patch or before
        spatial, grid, beside = method.spatial, method.as_graph().grid, method.neighbours
        patch = fit_patch(images, spatial=spatial, grid=grid, asked=asked, usual=method.patch, beside=beside)
        return Terms(patch, settings.batch or batch or usual_batch(patch), device, precision, ranks), []
    whole, plan = plan_step(
        method, images, settings, device=device, precision=precision, partners=bool(lesson.partners)
    )
    said = [f"{whole}: smaller steps are taken"] if plan is not whole else []
    said += [str(plan)] if plan.measured else []
    return Terms(plan.patch, plan.batch, device, precision, ranks), [Note(text) for text in said]


def _begun(settings: TrainingSettings) -> tuple[tuple[int, ...], int] | None:
    """Patch and batch of the run that is gone on with: how much memory is free now must not matter."""
    for card in cards(settings.run) if settings.run is not None and settings.resume else ():
        patch, batch = card.get("patch"), card.get("batch")
        if isinstance(patch, list) and isinstance(batch, int):
            return tuple(patch), batch
    return None


def _conclude(session: Session, *, first: int, floor: float | None, stopped: bool) -> Iterator[Event]:
    """Keep and measure what was learned since the ``first`` step, and say how it ended."""
    path = None
    if session.settings.run is not None:
        try:
            kept = session.checkpoint(session.settings.run)
        except (OutputError, OSError) as error:  # a full disk must not cost the model, which is in memory
            yield Note(f"there is no last checkpoint: {error}", "warning")
        else:
            path = kept.path
            yield kept
    session.validate()
    if session.state.step > first:
        yield _sound(session.measure())
    if stopped:
        yield Stopped("training", session.state.step, path)
    else:
        yield Trained(session.state.step, session.seconds, session.validation)
        if floor is not None:
            yield from advice(session.trace, floor=floor)


def _learn(session: Session, image: Image, watch: Watch, tuner: ThreadTuner | None) -> Events[bool]:
    """Step until the budget is spent (False) or a stop is asked for (True)."""
    measure, validate, keep = Timer(_MEASURE_EVERY), Timer(_VALIDATE_EVERY), Timer(_CHECKPOINT_EVERY)
    ranks, previews, failing = session.terms.ranks, Previews(session, image, watch.preview), False
    while True:
        fraction, stopped = ranks.agree(fraction=session.fraction, stop=watch.stopping)
        if stopped or fraction >= 1:
            if ranks.first and not stopped:
                yield from previews.last()
            return fraction < 1
        began = time.perf_counter()
        session.learn(fraction)
        tuned_step(tuner, began)
        if not ranks.first:
            continue
        if measure.due():
            if validate.due():
                session.validate()
                validate.done()
            yield _sound(session.measure())
            measure.done()
        yield from previews.due()
        if session.settings.run is not None and keep.due():
            try:
                kept = session.checkpoint(session.settings.run)
            except (OutputError, OSError) as error:  # a full disk, which may have room again later
                if not failing:
                    yield Note(f"training goes on without a checkpoint, which is tried again: {error}", "warning")
                failing = True
            else:
                yield kept
                failing = False
            keep.done()


def _sound(measured: Measured) -> Measured:
    if not math.isfinite(measured.loss):
        raise RestoreError(
            f"training diverged at step {measured.step}: the loss is {measured.loss}. Try a smaller learning rate, or "
            "float32 as `precision`."
        )
    return measured


@contextmanager
def _pools(lesson: Lesson, settings: TrainingSettings, terms: Terms) -> Iterator[tuple[PatchPool, PatchPool]]:
    """The pool to learn from, which is this rank's share, and the one to be judged on; often the same."""
    opened: list[PatchPool] = []
    ranks, spatial = terms.ranks, lesson.method.spatial
    normalisation = lesson.normalisation if ranks.first else ranks.broadcast(lesson.normalisation)
    try:
        for part, mates in lesson.pairs if ranks.first else lesson.pairs[:1]:
            blocks = cut_blocks(part, spatial=spatial, patch=terms.patch, partners=mates)
            pool = PatchPool(
                blocks if opened else ranks.share(blocks),
                spatial=spatial,
                memory=settings.memory,
                seed=settings.seed,
                device=terms.device,
                normalisation=opened[0].normalisation if opened else normalisation,
                rate=lesson.rate(mates),
                gaps=lesson.method.gap,
                compress=lesson.method.compresses,
                beside=lesson.method.neighbours,
            )
            opened.append(pool)
        if ranks.first:
            ranks.broadcast(opened[0].normalisation)
        yield opened[0], opened[-1]
    finally:
        for pool in opened:
            pool.close()


def _floor(*, noise: Sequence[float] | None, normalisation: Normalisation) -> float | None:
    """The held-out loss that noise of this variance makes, the mean of the channels."""
    if noise is None or not all(normalisation.std):
        return None
    return sum(v / s**2 for v, s in zip(noise, normalisation.std, strict=True)) / len(noise)


def _started(session: Session, floor: float | None) -> TrainingStarted:
    budget, terms = session.settings.budget, session.terms
    device = describe(terms.device)
    return TrainingStarted(
        method=session.name,
        device=device if terms.ranks.alone else f"{terms.ranks.count} x {device}",
        precision=terms.precision,
        parameters=sum(p.numel() for p in session.state.method.parameters()),
        patch=terms.patch,
        batch=terms.batch,
        steps=budget.steps,
        seconds=budget.seconds,
        floor=floor,
    )


def _remarks(pool: PatchPool, images: Sequence[Image], *, filled: bool) -> Iterator[Event]:
    """What the pixels themselves say before the first step; ``filled`` is whether those that are missing will be."""
    if pool.unusable and not any(pool.normalisation.std) and not any(pool.normalisation.mean):
        raise ImageError(
            f"{images[0].name}: no pixel looked at is finite (all are NaN or infinite), so there is nothing to learn "
            "from. Is this the right file, and the right channel?"
        )
    if not any(pool.normalisation.std):
        raise ImageError(
            f"{images[0].name}: every pixel is {pool.normalisation.mean[0]:g}: there is nothing to learn from a "
            "constant image. Is this the right file, and the right channel?"
        )
    if not pool.learnable:
        raise ImageError(
            f"{images[0].name}: no pixel looked at is finite in every channel"
            f"{' and in the image that goes with it' if pool.paired else ''}, so there is nothing to learn from. Is "
            "this the right file, and the right channel?"
        )
    if pool.unusable and not filled:
        yield Note(f"{pool.unusable} pixels are not finite (NaN or infinite): they are not learned from", "warning")


def _recorded(events: Events[Model], folder: Path) -> Events[Model]:
    """The same events, each also a line of ``events.jsonl`` in a run folder, which is made when training starts."""
    early: list[Event] = []
    for event in events:
        early.append(event)
        if isinstance(event, TrainingStarted):
            break
        yield event
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        _cut_torn_line(folder / "events.jsonl")
        record = (folder / "events.jsonl").open("ab", buffering=0)
    with record:
        for event in early:
            record.write(f"{to_json(event)}\n".encode())
        yield early[-1]
        failed = ""
        while True:
            try:
                event = next(events)
            except StopIteration as end:
                model: Model = end.value
                trouble = _trouble(partial(atomic_write, folder / "run.json", _card(model)))
                if trouble:
                    yield Note(f"{folder / 'run.json'} is missing: {trouble}", "warning")
                return model
            if not failed and not isinstance(event, Preview):  # pixels belong in a viewer, not in a log
                failed = _trouble(partial(record.write, f"{to_json(event)}\n".encode()))
                if failed:
                    yield Note(f"{folder / 'events.jsonl'} ends here: {failed}", "warning")
            yield event


def _trouble(write: Callable[[], object]) -> str:
    """Write what training can do without, and say what went wrong: it must not cost the model."""
    try:
        write()
    except OSError as error:
        return error.strerror or str(error)
    return ""


def _card(model: Model) -> bytes:
    return json.dumps(model.card(), indent=1).encode()


def _cut_torn_line(path: Path) -> None:
    """Remove what a crash left of the line it was writing, so that the next one starts on its own."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        file.truncate(file.read().rfind(b"\n") + 1)

"""The training loop: a generator of events, budgeted in steps or seconds."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

import torch

from napari_restore.core.errors import ImageError, RestoreError
from napari_restore.core.events import Event, Measured, Note, Preview, Stopped, Trained, TrainingStarted, to_json
from napari_restore.core.job import Events, PreviewRequest, drain
from napari_restore.core.normalisation import Normalisation
from napari_restore.methods.apply import Precision
from napari_restore.methods.device import describe, find_precision, kept_buffers, settle_threads
from napari_restore.methods.method import Method
from napari_restore.sources import Image
from napari_restore.store.files import atomic_write, disk_errors
from napari_restore.store.model import Model, provenance
from napari_restore.training.advice import advice
from napari_restore.training.bits import make_fabric
from napari_restore.training.pool import PatchPool, cut_blocks
from napari_restore.training.ranks import Ranks, find_ranks
from napari_restore.training.session import Session, Timer, facts, preview_timer, usual_batch
from napari_restore.training.settings import TrainingSettings, fit_patch
from napari_restore.training.state import TrainingState, checkpoints
from napari_restore.training.threads import ThreadTuner, tuned_step, tuned_threads

_MEASURE_EVERY = 0.5
_VALIDATE_EVERY = 3.0
_CHECKPOINT_EVERY = 30.0


@dataclass(frozen=True)
class _Given:
    """What to learn from and what to be judged on, with the partners that methods may want."""

    images: Sequence[Image]
    partners: Sequence[Image] | None
    validation: Sequence[Image]
    validation_partners: Sequence[Image] | None
    normalisation: Normalisation | None
    noise: Sequence[float] | None

    @property
    def pairs(self) -> list[tuple[Sequence[Image], Sequence[Image] | None]]:
        """Images and partners of each pool."""
        judged = [(self.validation, self.validation_partners)] if self.validation else []
        return [(self.images, self.partners), *judged]


def train_events(
    images: Sequence[Image],
    *,
    name: str,
    method: Method,
    settings: TrainingSettings,
    validation: Sequence[Image] = (),
    partners: Sequence[Image] | None = None,
    validation_partners: Sequence[Image] | None = None,
    normalisation: Normalisation | None = None,
    noise: Sequence[float] | None = None,
    stop: threading.Event | None = None,
    preview: PreviewRequest | None = None,
) -> Events[Model]:
    """Train a method on images; yields what happens, returns the model.

    Parameters
    ----------
    images
        With the same channels; patches are drawn from all of them alike.
    name, method
        The method by name, and with fresh weights.
    settings
        Budget, batches, device, seed, run folder.
    validation
        Images to measure the held-out loss on, instead of held-out pixels of ``images``.
    partners
        The second acquisition or the clean version of each image, for methods that use one.
    validation_partners
        Those of ``validation``, if there are any.
    normalisation
        Constants the method was built for, instead of those measured on the first blocks.
    noise
        Variance of the noise of each channel, where it is known and the held-out loss will end there.
    stop
        Looked at between steps. Once set, training keeps what it has and ends.
    preview
        Which part of ``images[0]`` to show while it trains.

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
    given = _Given(images, partners, validation, validation_partners, normalisation, noise)
    for part, mates in given.pairs:
        _check_partners(part, mates, method)
    ranks = find_ranks()
    events = _train(given, name, method, settings, stop, preview, ranks)
    if settings.run is not None and not settings.resume and (earlier := checkpoints(settings.run)):
        raise RestoreError(
            f"{settings.run} holds an earlier run ({earlier[-1].name}): continue it with --resume, or give another "
            "folder."
        )
    if not ranks.first:
        return drain(events)
    return (yield from (events if settings.run is None else _recorded(events, settings.run)))


def _train(
    given: _Given,
    name: str,
    method: Method,
    settings: TrainingSettings,
    stop: threading.Event | None,
    preview: PreviewRequest | None,
    ranks: Ranks,
) -> Events[Model]:
    device, images = ranks.device(settings.device), given.images
    patch = fit_patch(
        [*images, *given.validation],
        spatial=method.spatial,
        grid=method.grid,
        asked=settings.patch,
        usual=method.patch,
    )
    precision = _precision(settings.precision, device)
    fabric = make_fabric(device, precision, ranks)
    ranks = ranks.launch(fabric)
    lent = _pools(given, patch=patch, method=method, settings=settings, device=device, ranks=ranks)
    with kept_buffers(), ranks.together(), lent as pools:
        session = Session(
            name=name,
            state=TrainingState(method, settings, fabric, ranks),
            pool=pools[0],
            judge=pools[1],
            patch=patch,
            batch=settings.batch or method.batch or usual_batch(patch),
            settings=settings,
            precision=precision,
            device=device,
            ranks=ranks,
        )
        if ranks.first:
            yield from _remarks(session.pool, images)
        if settings.run is not None and settings.resume and session.resume(settings.run):
            yield Note(f"continuing from step {session.state.step} of {settings.run}")
        first = session.state.step
        floor = _floor(noise=given.noise, normalisation=session.pool.normalisation)
        yield _started(session, name, floor)
        try:
            # Another number of threads adds in another order: a budget in steps promises the same result again.
            tuned = device.type == "cpu" and settings.budget.steps is None and ranks.alone
            with tuned_threads(active=tuned) as tuner:
                stopped = yield from _learn(session, images[0], stop=stop, preview=preview, tuner=tuner)
        finally:
            session.state.method.eval()
        if ranks.first:
            yield from _conclude(session, first=first, floor=floor, stopped=stopped)
        precision = session.finish()
        return Model(
            name,
            session.state.average,
            session.pool.normalisation,
            precision,
            provenance(list(images), **facts(session)),
            thumbnail=session.thumbnail(precision),
        )


def _conclude(session: Session, *, first: int, floor: float | None, stopped: bool) -> Iterator[Event]:
    """Keep and measure what was learned since the ``first`` step, and say how it ended."""
    path = None
    if session.settings.run is not None:
        kept = session.checkpoint(session.settings.run)
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


def _learn(
    session: Session,
    image: Image,
    *,
    stop: threading.Event | None,
    preview: PreviewRequest | None,
    tuner: ThreadTuner | None,
) -> Events[bool]:
    """Step until the budget is spent (False) or a stop is asked for (True)."""
    measure, validate, keep = Timer(_MEASURE_EVERY), Timer(_VALIDATE_EVERY), Timer(_CHECKPOINT_EVERY)
    show = preview_timer(preview) if preview is not None else None
    while True:
        asked = stop is not None and stop.is_set()
        fraction, stopped = session.ranks.agree(fraction=session.fraction, stop=asked)
        if stopped or fraction >= 1:
            return fraction < 1
        began = time.perf_counter()
        session.learn(fraction)
        tuned_step(tuner, began)
        if not session.ranks.first:
            continue
        if measure.due():
            if validate.due():
                session.validate()
                validate.done()
            yield _sound(session.measure())
            measure.done()
        if show is not None and preview is not None and show.due():
            began = time.perf_counter()
            shown = session.preview(image, preview)
            show.done(cost=time.perf_counter() - began)
            if shown is not None:
                yield shown
        if session.settings.run is not None and keep.due():
            yield session.checkpoint(session.settings.run)
            keep.done()


def _sound(measured: Measured) -> Measured:
    if not math.isfinite(measured.loss):
        raise RestoreError(
            f"training diverged at step {measured.step}: the loss is {measured.loss}. Try a smaller learning rate, or "
            "--precision float32."
        )
    return measured


@contextmanager
def _pools(
    given: _Given,
    *,
    patch: tuple[int, ...],
    method: Method,
    settings: TrainingSettings,
    device: torch.device,
    ranks: Ranks,
) -> Iterator[tuple[PatchPool, PatchPool]]:
    """The pool to learn from, which is this rank's share, and the one to be judged on; often the same."""
    opened: list[PatchPool] = []
    normalisation = given.normalisation if ranks.first else ranks.broadcast(given.normalisation)
    try:
        for part, mates in given.pairs if ranks.first else given.pairs[:1]:
            blocks = cut_blocks(part, spatial=method.spatial, patch=patch, partners=mates)
            pool = PatchPool(
                blocks if opened else ranks.share(blocks),
                spatial=method.spatial,
                memory=settings.memory,
                seed=settings.seed,
                device=device,
                normalisation=opened[0].normalisation if opened else normalisation,
                rate=_rate_of(mates, method),
            )
            opened.append(pool)
        if ranks.first:
            ranks.broadcast(opened[0].normalisation)
        yield opened[0], opened[-1]
    finally:
        for pool in opened:
            pool.close()


def _rate_of(partners: Sequence[Image] | None, method: Method) -> tuple[int, ...]:
    """Pixels of a partner to one of its image: the method's for a clean image, 1 for another acquisition."""
    return method.rate if partners and "target" in method.needs else (1,) * len(method.spatial)


def _check_partners(images: Sequence[Image], partners: Sequence[Image] | None, method: Method) -> None:
    """Refuse partners that do not lie on their images pixel by pixel."""
    if partners and len(partners) != len(images):
        raise RestoreError(f"{len(partners)} images to go with {len(images)}: give one for each.")
    for image, partner in zip(images, partners or (), strict=bool(partners)):
        rate = dict(zip(method.spatial, _rate_of(partners, method), strict=True))
        wanted = tuple(n * rate.get(a, 1) for a, n in zip(image.axes, image.shape, strict=True))
        if partner.axes != image.axes or partner.shape != wanted:
            raise ImageError(
                f"{partner.name} has axes {partner.axes} and shape {partner.shape}; to go with {image.name}, "
                f"{image.axes} of {image.shape}, it needs {wanted}. Give the same part of the sample on the same "
                "pixels."
            )


def _precision(asked: str, device: torch.device) -> Precision:
    if asked == "auto":
        return find_precision(device)
    if asked in get_args(Precision):
        return cast(Precision, asked)
    raise RestoreError(f"precision {asked!r} is unknown: use auto, float32 or bfloat16.")


def _floor(*, noise: Sequence[float] | None, normalisation: Normalisation) -> float | None:
    """The held-out loss that noise of this variance makes, the mean of the channels."""
    if noise is None or not all(normalisation.std):
        return None
    return sum(v / s**2 for v, s in zip(noise, normalisation.std, strict=True)) / len(noise)


def _started(session: Session, name: str, floor: float | None) -> TrainingStarted:
    budget = session.settings.budget
    device = describe(session.device)
    return TrainingStarted(
        method=name,
        device=device if session.ranks.alone else f"{session.ranks.count} x {device}",
        precision=session.precision,
        parameters=sum(p.numel() for p in session.state.method.parameters()),
        patch=session.patch,
        batch=session.batch,
        steps=budget.steps,
        seconds=budget.seconds,
        floor=floor,
    )


def _remarks(pool: PatchPool, images: Sequence[Image]) -> Iterator[Event]:
    """What the pixels themselves say before the first step."""
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
    if pool.unusable:
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
        record = (folder / "events.jsonl").open("a", encoding="utf-8", buffering=1)
    with record:
        record.writelines(to_json(event) + "\n" for event in early)
        yield early[-1]
        while True:
            try:
                event = next(events)
            except StopIteration as end:
                model: Model = end.value
                content = json.dumps(model.card(), indent=1).encode()
                with disk_errors(folder):
                    atomic_write(folder / "run.json", content)
                return model
            if not isinstance(event, Preview):  # pixels belong in a viewer, not in a log
                record.write(to_json(event) + "\n")
            yield event


def _cut_torn_line(path: Path) -> None:
    """Remove what a crash left of the line it was writing, so that the next one starts on its own."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        file.truncate(file.read().rfind(b"\n") + 1)

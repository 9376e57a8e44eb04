"""With neighbouring planes or without: both are trained on the same patches at first, and one of them goes on.

How much planes resemble each other does not tell whether they help: the error at pixels held out from both does.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from napari_restore.core.errors import ModelError
from napari_restore.core.events import Note
from napari_restore.core.job import Events
from napari_restore.core.watch import Watch
from napari_restore.methods.method import Batch, Method
from napari_restore.methods.neighbours import own
from napari_restore.store.weights import read_card
from napari_restore.training.bits import make_fabric
from napari_restore.training.lesson import Lesson
from napari_restore.training.pool import PatchPool, cut_blocks
from napari_restore.training.ranks import ALONE
from napari_restore.training.session import Terms
from napari_restore.training.settings import TrainingSettings, learning_rate_at
from napari_restore.training.state import TrainingState, checkpoints

_SHARE, _MOST_SHARE = 0.15, 0.3
"""Of the budget that both are trained for; twice as much where that is fewer steps than tell."""

_LEAST, _MOST = 60, 200
"""Steps: with fewer than the first nothing is known, with the last all that can be."""

_FEW = 100
"""Steps: of so short a training, what is of no use costs half a decibel; of one five times as long a tenth."""

_HELD_OUT = 0.5
"""Of the pixels, meanwhile: so many tell a difference of a hundredth of a decibel."""

_DRAWS, _PATCHES = 24, 8
"""Times that patches are judged, and patches each time."""

_NEEDED, _AFTER_FEW = (1.0, 0.0), (2.0, 0.003)
"""Standard errors, and part of the loss, by which neighbours must be better; after few steps the second."""


def contest(lesson: Lesson, settings: TrainingSettings, terms: Terms, watch: Watch) -> Events[TrainingState]:
    """Train a method and its rival until it shows which is better; gives the state of that one, to go on from.

    Stopped in the middle, what is known then decides, for a model there has to be.
    """
    assert lesson.rival is not None
    budget, kinds = settings.budget, (lesson.method, lesson.rival)
    states = [TrainingState(kind, settings, make_fabric(terms.device, terms.precision, ALONE)) for kind in kinds]
    beside, peak = lesson.method.neighbours, settings.learning_rate or lesson.method.learning_rate
    pool = _pool(lesson, settings, terms)
    began = time.perf_counter()
    try:
        if not pool.learnable or not any(pool.normalisation.std):
            return states[1]  # there is nothing to learn, which training will say
        while not watch.stopping and (step := states[0].step) < _MOST:
            fraction = budget.fraction(step, time.perf_counter() - began)
            if fraction >= (_SHARE if step >= _LEAST else _MOST_SHARE):
                break
            pool.advance(step)
            batch = pool.draw(terms.batch, terms.patch, states[0].rng, turn=lesson.method.turns)
            for state, patches in zip(states, (batch, _alone(batch, beside)), strict=True):
                state.learn(patches, learning_rate=learning_rate_at(fraction, peak=peak))
        better = _better(states, pool, terms.patch, beside, seed=settings.seed)
    finally:
        pool.close()
    yield Note(_said(states[0].method, better=better, steps=states[0].step))
    winner = states[0 if better else 1]
    winner.seconds = time.perf_counter() - began
    return winner


def _said(method: Method, *, better: bool, steps: int) -> str:
    axis = method.spatial[0]
    if better:
        return (
            f"{method.neighbours} plane to either side along {axis} is looked at: it helps to predict pixels held out"
        )
    why = "do not help to predict pixels held out" if steps >= _LEAST else "are of a use that so few steps do not tell"
    return f"planes along {axis} are restored one by one: their neighbours {why}"


def _pool(lesson: Lesson, settings: TrainingSettings, terms: Terms) -> PatchPool:
    """Patches with neighbours: without them they serve the rival, too."""
    method = lesson.method
    return PatchPool(
        cut_blocks(lesson.images, spatial=method.spatial, patch=terms.patch),
        spatial=method.spatial,
        memory=settings.memory,
        seed=settings.seed,
        device=terms.device,
        normalisation=lesson.normalisation,
        compress=method.compresses,
        beside=method.neighbours,
        held_out=_HELD_OUT,
    )


def _alone(batch: Batch, beside: int) -> Batch:
    """The same patches without the planes that are only looked at: of each patch the planes between, one by one."""
    inner = batch.pixels.shape[2] - 2 * beside
    pixels, target = (own(each, beside).transpose(1, 2).flatten(0, 1) for each in (batch.pixels, batch.target))
    hidden = batch.hidden
    if hidden is not None:
        plane = pixels[0, 0].numel()
        hidden = hidden - beside * plane if inner == 1 else None
    return Batch(pixels, target, hidden)


def _better(states: Sequence[TrainingState], pool: PatchPool, patch: Sequence[int], beside: int, *, seed: int) -> bool:
    """Whether the first predicts pixels that neither learned from better than the second."""
    if states[0].step < _LEAST:
        return False
    rng, losses = torch.Generator().manual_seed(seed), []
    for state in states:
        state.average.train()  # batch normalisation has seen too little to do without the batch
    for draw in range(_DRAWS):
        batch = pool.draw_held_out(_PATCHES, patch, rng)
        both = zip(states, (batch, _alone(batch, beside)), strict=True)
        losses.append([state.held_out_loss(patches, seed=draw) for state, patches in both])
    for state in states:
        state.average.eval()
    with_them, without = np.array(losses).T
    gain, doubt = (without - with_them).mean(), (without - with_them).std(ddof=1) / np.sqrt(_DRAWS)
    errors, part = _AFTER_FEW if states[0].step < _FEW else _NEEDED
    return bool(gain > max(errors * doubt, part * without.mean()))


def decided(lesson: Lesson, folder: Path) -> Lesson:
    """Of a run that is gone on with, what it was found to be better with; as it was where there is no checkpoint."""
    for path in reversed(checkpoints(folder)):
        try:
            card = read_card(path)
        except ModelError:
            continue
        for method in (lesson.method, lesson.rival):
            if method is not None and card.get("config", {}).get("neighbours") == method.config.neighbours:
                return replace(lesson, method=method, rival=None)
    return lesson

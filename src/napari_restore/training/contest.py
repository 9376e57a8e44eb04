"""With neighbouring planes or without: both are trained on the same patches at first, and one of them goes on.

How much planes resemble each other does not tell whether they help: the error at pixels held out from both does. Where
a straight-line fit shows already that they help much, or where so little can be learned that two trainings are dear,
that fit decides.
"""

from __future__ import annotations

import time
from dataclasses import replace
from math import prod
from pathlib import Path

import numpy as np
import torch

from napari_restore.core.events import Note
from napari_restore.core.job import Events
from napari_restore.core.watch import Watch
from napari_restore.methods.method import Batch, Method
from napari_restore.methods.neighbours import own
from napari_restore.training.bits import make_fabric
from napari_restore.training.lesson import Lesson
from napari_restore.training.linear import Gain, linear_gain
from napari_restore.training.ranks import ALONE
from napari_restore.training.session import Terms, judging_pool
from napari_restore.training.settings import Budget, TrainingSettings, learning_rate_at
from napari_restore.training.state import TrainingState, cards

_SHARE, _UNLIKELY_SHARE, _LEAST, _MOST = 0.3, 0.06, 60, 200
"""Of the budget that both are trained for, if a straight line gains nothing by neighbours, too; and steps: before so
many nothing is known, with the last all there is."""

_LIKELY, _SOME = (0.01, 4.0), (0.001, 2.0)
"""Part of the squared error, and standard errors, that a straight line gains: where neighbours are taken at once, and
where they may be of use. Of eleven stacks and movies five gained more than the first (2 % and more; a network 1.2 to
2.4 dB), and five less than the last (a network nothing by unrelated pictures, planes in disorder and mere noise, but
0.3 and 0.8 dB by objects that jump)."""

_TRIAL, _LINES, _FEW_LINES = 3, 32, 8
"""Steps after which it is foreseen how many there are; patches that straight lines are fitted to, most and least."""

_FEW, _LOOK = 100, 40
"""Steps: of so short a training, what is of no use costs half a decibel, of one five times as long a tenth; and how
often it is looked whether neighbours are much better already."""

_HELD_OUT = 0.5
"""Of the pixels, meanwhile: so many tell a difference of a hundredth of a decibel."""

_DRAWS, _FEW_DRAWS, _PATCHES = 24, 8, 8
"""Times that patches are judged, at the end and meanwhile, and patches each time."""

_NEEDED, _AFTER_FEW, _MUCH = (1.0, 0.0), (2.0, 0.003), (4.0, 0.01)
"""Standard errors, and part of the loss, by which neighbours must be better: at the end, if it came soon, meanwhile."""


def contest(lesson: Lesson, settings: TrainingSettings, terms: Terms, watch: Watch) -> Events[TrainingState]:
    """Train a method and its rival until it shows which is better; gives the state of that one, to go on from.

    Stopped in the middle, what is known then decides, for a model there has to be.
    """
    both = _Both(lesson, settings, terms)
    try:
        if not both.learnable:
            return both.states[1]  # training will say so
        gain = both.linear_gain()
        began = time.perf_counter()  # of the budget; before, nothing has been learned
        better = gain.exceeds(_LIKELY[0], doubts=_LIKELY[1])
        if not better:
            share = _SHARE if gain.exceeds(_SOME[0], doubts=_SOME[1]) else _UNLIKELY_SHARE
            better = _trained(both, settings.budget, watch, began=began, share=share)
    finally:
        both.pool.close()
    yield Note(_said(lesson.method, better=better, steps=both.step))
    winner = both.states[0 if better else 1]
    winner.seconds = time.perf_counter() - began
    return winner


def _trained(both: _Both, budget: Budget, watch: Watch, *, began: float, share: float) -> bool:
    """Whether neighbours are better after both were trained for a share of the budget; if that is too little, no."""
    while not (watch.stopping or both.step >= _MOST):
        fraction = budget.fraction(both.step, time.perf_counter() - began)
        too_few = both.step == _TRIAL and fraction * _LEAST / _TRIAL > share
        if fraction >= share or too_few:
            break
        both.learn(fraction)
        if both.step >= _LEAST and (both.step - _LEAST) % _LOOK == 0 and both.better(_MUCH, draws=_FEW_DRAWS):
            return True
    needed = _AFTER_FEW if both.step < _FEW else _NEEDED
    return both.step >= _LEAST and both.better(needed, draws=_DRAWS)


class _Both:
    """A method with neighbouring planes and its rival without, in training on the same patches."""

    def __init__(self, lesson: Lesson, settings: TrainingSettings, terms: Terms) -> None:
        assert lesson.rival is not None
        self.pool = judging_pool(lesson, settings, terms, held_out=_HELD_OUT)
        self.states = [
            TrainingState(method, settings, make_fabric(terms.device, terms.precision, ALONE))
            for method in (lesson.method, lesson.rival)
        ]
        self._terms, self._seed, self._beside = terms, settings.seed, lesson.method.neighbours
        self._peak, self._turn = settings.learning_rate or lesson.method.learning_rate, lesson.method.turns

    @property
    def step(self) -> int:
        """How often each has learned."""
        return self.states[0].step

    @property
    def learnable(self) -> bool:
        """Whether there is anything to learn."""
        return self.pool.learnable and any(self.pool.normalisation.std)

    def linear_gain(self) -> Gain:
        """What a straight line gains by neighbours."""
        patch, rngs = self._terms.patch, [torch.Generator().manual_seed(self._seed) for _ in range(2)]
        there = self.pool.capacity * prod(self.pool.block_shape) // prod(patch)
        count = min(_LINES, max(_FEW_LINES, there))  # no more: the same pixels again tell nothing
        drawn = self.pool.draw(count, patch, rngs[0], turn=False), self.pool.draw_held_out(count, patch, rngs[1])
        method = self.states[0].method
        learned, judged = (method.in_two(batch, rng) for batch, rng in zip(drawn, rngs, strict=True))
        return linear_gain(learned, judged, self._beside)

    def learn(self, fraction: float) -> None:
        """One step each, with this part of the budget spent."""
        self.pool.advance(self.step)
        batch = self.pool.draw(self._terms.batch, self._terms.patch, self.states[0].rng, turn=self._turn)
        rate = learning_rate_at(fraction, peak=self._peak)
        for state, patches in zip(self.states, (batch, _alone(batch, self._beside)), strict=True):
            state.learn(patches, learning_rate=rate)

    def better(self, needed: tuple[float, float], *, draws: int) -> bool:
        """Whether the first predicts pixels that neither learned from better than the second, by so much as is needed.

        Both are judged by the same pixels, so that their noise is in both errors and not in the difference.
        """
        rng, losses = torch.Generator().manual_seed(self._seed), []
        for state in self.states:
            state.average.train()  # batch normalisation has seen too little to do without the batch
        for draw in range(draws):
            batch = self.pool.draw_held_out(_PATCHES, self._terms.patch, rng)
            both = zip(self.states, (batch, _alone(batch, self._beside)), strict=True)
            losses.append([state.held_out_loss(patches, seed=draw) for state, patches in both])
        for state in self.states:
            state.average.eval()
        with_them, without = np.array(losses).T
        gain, doubt = (without - with_them).mean(), (without - with_them).std(ddof=1) / np.sqrt(draws)
        errors, part = needed
        return bool(gain > max(errors * doubt, part * without.mean()))


def _said(method: Method, *, better: bool, steps: int) -> str:
    axis = method.spatial[0]
    if better:
        return (
            f"{method.neighbours} plane to either side along {axis} is looked at: it helps to predict pixels held out"
        )
    why = "do not help to predict pixels held out" if steps >= _LEAST else "are of a use that so few steps do not tell"
    return f"planes along {axis} are restored one by one: their neighbours {why}"


def _alone(batch: Batch, beside: int) -> Batch:
    """The same patches without the planes that are only looked at: of each patch the planes between, one by one."""
    inner = batch.pixels.shape[2] - 2 * beside
    pixels, target = (own(each, beside).transpose(1, 2).flatten(0, 1) for each in (batch.pixels, batch.target))
    hidden = batch.hidden
    if hidden is not None:
        plane = pixels[0, 0].numel()
        hidden = hidden - beside * plane if inner == 1 else None
    return Batch(pixels, target, hidden)


def decided(lesson: Lesson, folder: Path) -> Lesson:
    """Of a run that is gone on with, what it was found to be better with; as it was where there is no checkpoint."""
    for card in cards(folder):
        for method in (lesson.method, lesson.rival):
            if method is not None and card.get("config", {}).get("neighbours") == method.config.neighbours:
                return replace(lesson, method=method, rival=None)
    return lesson

"""What a network begins with: weights of other pictures where these already tell the image's pixels, else fresh ones.

Nothing is trained to find that out: the network with those weights predicts pixels of the image that it is not shown,
and so does the fresh one, which gives the mean about each. On three natural pictures a straight line, fitted to them,
predicted as well as those weights or better (its error 0.956 to 1.02 of theirs), and yet 100 steps with them ended 2.6
to 4.3 dB above 100 steps without: that a line does better says nothing.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

import torch

from napari_restore.core.events import Note
from napari_restore.core.job import Events
from napari_restore.methods.method import Batch, Method
from napari_restore.training.lesson import Lesson
from napari_restore.training.session import Terms, judging_pool
from napari_restore.training.settings import TrainingSettings
from napari_restore.training.state import cards

_HELD_OUT, _DRAWS = 0.5, 4
"""Of the pixels; and how often each network is judged, by other ones of them each time."""

_PATCHES = (4, 24)
"""Looked at, at least and at most."""


def begun(lesson: Lesson, settings: TrainingSettings, terms: Terms) -> Events[Lesson]:
    """A lesson of which it is settled what its network begins with."""
    fresh = lesson.fresh
    if fresh is None:
        return lesson
    if settings.run is not None and settings.resume and (before := _as_before(lesson, settings)) is not None:
        return before
    if not terms.ranks.alone:
        return fresh  # what each of several processes found might differ
    begun_with, untaught = _errors(lesson, fresh, settings, terms)
    if not begun_with < untaught:
        yield Note("training begins anew: weights learned from other pictures tell nothing of this image")
        return fresh
    yield Note(
        "the network begins with weights learned from pictures made by formulas, and learns on from this image "
        "(`start` none: from this image alone)"
    )
    return replace(lesson, fresh=None)


def _as_before(lesson: Lesson, settings: TrainingSettings) -> Lesson | None:
    """What a run that is gone on with began with; None where it has no checkpoint."""
    assert lesson.fresh is not None and settings.run is not None
    for card in cards(settings.run):
        units = tuple(card.get("config", {}).get("units", ()))
        return replace(lesson, fresh=None) if units == lesson.method.config.units else lesson.fresh
    return None


def _errors(lesson: Lesson, fresh: Lesson, settings: TrainingSettings, terms: Terms) -> tuple[float, float]:
    """Mean squared error at pixels held out, of both networks before they are trained."""
    patch, pool = terms.patch, judging_pool(lesson, settings, terms, held_out=_HELD_OUT)
    try:
        if not (pool.learnable and any(pool.normalisation.std)):
            return 0.0, 0.0  # training will say so
        there = pool.capacity * prod(pool.block_shape) // prod(patch)
        count = min(_PATCHES[1], max(_PATCHES[0], there))
        judged = pool.draw_held_out(count, patch, torch.Generator().manual_seed(settings.seed))
    finally:
        pool.close()
    return _error(lesson.method, judged, terms.device), _error(fresh.method, judged, terms.device)


def _error(method: Method, judged: Batch, device: torch.device) -> float:
    training, placed = method.training, method.to(device).eval()
    rng = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        errors = [float(placed(judged, rng)) for _ in range(_DRAWS)]
    method.train(training)
    return sum(errors) / _DRAWS

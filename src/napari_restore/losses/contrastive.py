"""A contrast: near to what is wanted, and far from what is degraded, as features see them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

See = Callable[[Tensor], Sequence[Tensor]]
"""Planes ``(N, 1, Y, X)`` as maps of features ``(N, F, y, x)``, one for each level."""

_LEAST = 1e-6


def contrastive(
    see: See, given: Tensor, wanted: Tensor, degraded: Tensor, *, negatives: int, rng: torch.Generator
) -> Tensor:
    """Contrastive loss of Wang et al. (2021, doi:10.24963/ijcai.2021/155), the mean over levels and planes.

    ``|F(given) - F(wanted)| / mean over k of |F(given) - F(negative k)|`` with the mean absolute distance of features
    F. The paper divides by the sum over its negatives; with the mean, the loss is as large for any number of them.

    Parameters
    ----------
    see
        Gives the features.
    given
        What the student gives, ``(N, 1, Y, X)``.
    wanted
        What the teacher gives, of the same shape.
    degraded
        What there is without learning, of the same shape; negatives are those of other places.
    negatives
        How many each plane is compared with: the other planes in turn, then these and itself moved by random steps.
    rng
        Draws the steps.
    """
    mine = see(given)
    with torch.no_grad():
        theirs = see(wanted.detach())
        others = see(degraded.detach())
    distances = [_apart(a, b) for a, b in zip(mine, theirs, strict=True)]
    away = [torch.zeros_like(distance) for distance in distances]
    count = len(given)
    for k in range(negatives):
        turn = 1 + k % max(1, count - 1)
        steps = torch.rand(2, generator=rng).tolist() if k >= count - 1 else (0.0, 0.0)
        for level, (features, negative) in enumerate(zip(mine, others, strict=True)):
            moved = [round(step * n) for step, n in zip(steps, negative.shape[-2:], strict=True)]
            away[level] = away[level] + _apart(features, negative.roll((turn, *moved), (0, -2, -1))) / negatives
    ratios = [near / far.clamp(min=_LEAST) for near, far in zip(distances, away, strict=True)]
    return torch.stack([ratio.mean() for ratio in ratios]).mean()


def _apart(one: Tensor, other: Tensor) -> Tensor:
    """Mean absolute distance ``(N,)``."""
    return (one - other).abs().flatten(1).mean(1)

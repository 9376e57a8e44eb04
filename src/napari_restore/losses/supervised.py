"""Losses with a clean target: the true one, or the measured image taken for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_restore.losses.sure import Restore, mean_of
from napari_restore.operators.operator import Operator


def supervised(restore: Restore, y: Tensor, target: Tensor, *, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Mean squared error against the clean image ``(B, C, *(S * rate))``, and the restored one.

    ``weight`` ``(B, 1, *S)`` says which measured pixels count, and with them the clean ones they stand for.
    """
    x1 = restore(y)
    if weight is None:
        return (x1 - target).square().mean(), x1
    return mean_of((x1 - target).square(), F.interpolate(weight.to(x1.dtype), size=target.shape[2:])), x1


def measurement_as_clean(
    restore: Restore,
    operator: Operator,
    y: Tensor,
    *,
    noise: Callable[[Tensor, torch.Generator], Tensor],
    rng: torch.Generator,
    multiple: Sequence[int],
    weight: Tensor | None = None,
) -> Tensor:
    """Mean squared error against the measured image, from the same image measured once more (Shocher et al. 2018).

    Parameters
    ----------
    y
        Measured ``(B, C, *S)``, here on the fine grid.
    multiple
        Lengths that the network accepts, on the measured grid.
    weight
        ``(B, 1, *S)``: which pixels of ``y`` count as targets.
    """
    steps = [m * r for m, r in zip(multiple, operator.rate, strict=True)]
    for axis, step in enumerate(steps, start=2):
        y = y.narrow(axis, 0, y.shape[axis] // step * step)
        weight = None if weight is None else weight.narrow(axis, 0, y.shape[axis])
    error = (restore(noise(operator(y), rng)) - y).square()
    return error.mean() if weight is None else mean_of(error, weight.to(y.dtype))

"""Losses with a clean target: the true one, or the measured image taken for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from napari_restore.losses.sure import Restore
from napari_restore.operators.operator import Operator


def supervised(restore: Restore, y: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Mean squared error against the clean image ``(B, C, *(S * rate))``, and the restored one."""
    x1 = restore(y)
    return (x1 - target).square().mean(), x1


def measurement_as_clean(
    restore: Restore,
    operator: Operator,
    y: Tensor,
    *,
    noise: Callable[[Tensor, torch.Generator], Tensor],
    rng: torch.Generator,
    multiple: Sequence[int],
) -> Tensor:
    """Mean squared error against the measured image, from the same image measured once more (Shocher et al. 2018).

    Parameters
    ----------
    y
        Measured ``(B, C, *S)``, here on the fine grid.
    multiple
        Lengths that the network accepts, on the measured grid.
    """
    steps = [m * r for m, r in zip(multiple, operator.rate, strict=True)]
    for axis, step in enumerate(steps, start=2):
        y = y.narrow(axis, 0, y.shape[axis] // step * step)
    return (restore(noise(operator(y), rng)) - y).square().mean()

"""The image of the least total variation that an operator measures as what was measured."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_restore.operators.operator import Operator, interior

_POWER_STEPS = 12
_DUAL_STEP = 1.0
_LEAST = 1e-4
"""Of the first weight: one that no weight leaves the wanted residual of ends here."""


def total_variation(
    y: Tensor, operator: Operator, *, start: Tensor, sigma: float, weight: float | None, steps: int
) -> Tensor:
    """The least ``|A x - y|^2 / 2 + weight TV(x)`` (Rudin, Osher, Fatemi 1992, doi:10.1016/0167-2789(92)90242-F).

    By the primal-dual steps of Condat (2013, doi:10.1007/s10957-012-9245-9, algorithm 3.1). The variation is isotropic.

    Parameters
    ----------
    y
        Measured, ``(B, C, *S)``.
    start
        On the fine grid, ``(B, C, *(S * rate))``.
    sigma
        Standard deviation of the noise, in units of ``y``.
    weight
        In units of ``y``, 0 or more. None: the one that leaves a residual as large as the noise (the discrepancy
        principle; Wen and Chan 2012, doi:10.1109/TIP.2011.2181401), looked for on the way.
    steps
        How many.
    """
    axes = y.ndim - 2
    primal = 1 / (_norm(operator, start) / 2 + 4 * axes * _DUAL_STEP)
    price = weight if weight is not None else sigma
    size = tuple(y.shape[2:])
    margin = tuple(m if 2 * m < n else 0 for n, m in zip(size, operator.margin, strict=True))
    inner = (..., *interior(size, margin))
    x, dual = start, torch.zeros(axes, *start.shape, dtype=start.dtype, device=start.device)
    for _ in range(steps):
        residual = operator(x) - y
        if weight is None:  # the residual grows with the weight
            ratio = sigma / max(float(residual[inner].square().mean().sqrt()), 1e-12)
            price = min(max(price * min(max(ratio, 0.8), 1.25), _LEAST * sigma), 10.0)
        before, x = x, x - primal * (operator.adjoint(residual) + _divergence(dual))
        dual = dual + _DUAL_STEP * _gradient(2 * x - before)
        dual = dual / (dual.square().sum(0).sqrt() / max(price, 1e-12)).clamp(min=1)
    return x


def _gradient(x: Tensor) -> Tensor:
    """Differences to the next pixel along each axis, ``(axes, B, C, *S)``; 0 at the last one."""
    each = []
    for axis in range(2, x.ndim):
        step = torch.zeros_like(x)
        n = x.shape[axis]
        step.narrow(axis, 0, n - 1).copy_(x.narrow(axis, 1, n - 1) - x.narrow(axis, 0, n - 1))
        each.append(step)
    return torch.stack(each)


def _divergence(dual: Tensor) -> Tensor:
    """The transpose of ``_gradient``."""
    total = torch.zeros_like(dual[0])
    for axis, along in enumerate(dual, start=2):
        n = along.shape[axis]
        total.narrow(axis, 1, n - 1).add_(along.narrow(axis, 0, n - 1))
        total.narrow(axis, 0, n - 1).sub_(along.narrow(axis, 0, n - 1))
    return total


def _norm(operator: Operator, like: Tensor) -> float:
    """The largest eigenvalue of ``A'A``, by the power method, and a little more."""
    x = torch.ones_like(like)
    x = x + 0.1 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0)).to(x)
    norm = 1.0
    for _ in range(_POWER_STEPS):
        x = operator.adjoint(operator(x / x.norm()))
        norm = float(x.norm())
    return 1.05 * norm or 1.0

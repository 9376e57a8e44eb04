"""Risk without truth: Stein's unbiased estimate and its relatives, through an operator.

All are means over measured pixels that see nothing past the border and that ``weight`` admits. ``restore`` maps
measured ``(B, C, *S)`` to fine ``(B, C, *(S * rate))``; each function gives the loss and the restored image, with its
graph.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from napari_restore.core.errors import RestoreError
from napari_restore.operators.operator import Operator, interior

Restore = Callable[[Tensor], Tensor]
Parameter = Tensor | float


def inside(y: Tensor, margin: tuple[int, ...], weight: Tensor | None) -> Tensor:
    """Which pixels of ``y`` count: ``(B or 1, 1, *S)``, 1 inside the margin where ``weight`` is, else 0.

    Raises
    ------
    RestoreError
        If the margin leaves none.
    """
    size = y.shape[2:]
    for n, m in zip(size, margin, strict=True):
        if n <= 2 * m:
            raise RestoreError(
                f"a patch of {n} px, of which {m} from either border see past it, leaves nothing to learn from: use "
                f"patches of more than {2 * m} px, or a smaller PSF."
            )
    mask = y.new_zeros((1, 1, *size))
    mask[(..., *interior(size, margin))] = 1
    return mask if weight is None else mask * weight.to(y.dtype)


def mean_of(values: Tensor, weight: Tensor) -> Tensor:
    """Mean of ``(B, C, *S)`` where ``weight`` ``(B or 1, 1, *S)`` is 1."""
    weight = weight.expand(values.shape)
    return (values * weight).sum() / weight.sum().clamp(min=1)


def sure(
    restore: Restore,
    operator: Operator,
    y: Tensor,
    *,
    sigma: Parameter,
    rng: torch.Generator,
    tau: float,
    weight: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Stein's unbiased risk estimate for Gaussian noise (Stein 1981, doi:10.1214/aos/1176345632).

    ``mean (A f(y) - y)^2 - sigma^2 + 2 mean sigma^2 b (A f(y + tau b) - A f(y)) / tau``: in expectation the mean
    squared distance of ``A f(y)`` from the noiseless measurement. The divergence is Ramani, Blu, Unser's (2008,
    doi:10.1109/TIP.2008.2001404, eq. 13), with b normal inside the margin and 0 in it (Scanvic et al. 2026,
    arXiv:2312.11232).

    Parameters
    ----------
    y
        Measured ``(B, C, *S)``.
    sigma
        Deviation of the noise in the units of ``y``; a tensor broadcasts to it.
    tau
        Step of the finite difference, in the units of ``y``.
    weight
        ``(B, 1, *S)``: where pixels count.
    """
    mask = inside(y, operator.margin, weight)
    probe = _normal(y, rng) * (mask > 0)
    first, moved, x1 = _both(restore, operator, y, tau * probe)
    variance = _level(sigma, y) ** 2
    divergence = variance * probe * (moved - first) / tau
    return mean_of((first - y).square() - variance + 2 * divergence, mask), x1


def pg_sure(
    restore: Restore,
    operator: Operator,
    y: Tensor,
    *,
    camera: tuple[Parameter, Parameter, Parameter],
    rng: torch.Generator,
    tau: float,
    weight: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """SURE for a camera's Poisson-Gaussian noise (Le Montagner et al. 2014, doi:10.1109/TIP.2014.2344294, eq. 15).

    ``camera`` is its gain, offset and read noise: the variance at each pixel is ``gain (y - offset) + read^2``,
    taken at the measured value. Their second derivative (of weight ``gain * read^2``) is left out: for networks
    that are nearly linear within one photon it is nothing, and for linear ones exactly so.
    """
    gain, offset, read = camera
    mask = inside(y, operator.margin, weight)
    probe = _normal(y, rng) * (mask > 0)
    first, moved, x1 = _both(restore, operator, y, tau * probe)
    # Not clamped: below the offset the estimate is negative, and unbiased for it.
    variance = _level(gain, y) * (y - _level(offset, y)) + _level(read, y) ** 2
    divergence = variance * probe * (moved - first) / tau
    return mean_of((first - y).square() - variance + 2 * divergence, mask), x1


def _both(restore: Restore, operator: Operator, y: Tensor, step: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """``A f(y)``, ``A f(y + step)`` and ``f(y)``, in one pass."""
    restored = restore(torch.cat([y, y + step]))
    first, moved = operator(restored).chunk(2)
    return first, moved, restored[: len(y)]


def _normal(like: Tensor, rng: torch.Generator) -> Tensor:
    drawn = torch.randn(like.shape, generator=rng, device=rng.device)
    return drawn.to(like.device, like.dtype, non_blocking=True)


def _level(value: Parameter, like: Tensor) -> Tensor:
    return torch.as_tensor(value, device=like.device, dtype=like.dtype)

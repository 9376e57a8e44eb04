"""Planes that are thick: what each of them measures of finer planes, and finer planes brought into line with that."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from napari_restore.operators.inverse import truncated
from napari_restore.operators.matrices import apply_along, filter_matrix, margin_of
from napari_restore.operators.operator import Operator

Profile = Literal["gaussian", "box"]
"""How a plane weighs what it sees along Z: like the focus of a microscope, or evenly over its thickness."""

FWHM = math.sqrt(8 * math.log(2))
"""Full width at half maximum of a Gaussian, in its standard deviations."""

_ENDS = 3.0
"""Standard deviations to either side at which a Gaussian profile ends."""

_FINEST = 64
"""Parts of a fine plane that a box is measured with."""

_DAMPING = 0.02
"""Of a plane's own gain, so that what a plane hardly sees is not blown up, and the filter is short; more where planes
overlap, by the cube of their thickness."""

_GRID = 512


class ThickPlanes(Operator):
    """Each measured plane is the mean of finer ones, weighted by a slice profile.

    Its tensors are slices ``(N, C, Z, X)``: any one axis in place of Z, another in place of X.

    Parameters
    ----------
    factor
        Fine planes to a measured one.
    thickness
        Width of the profile, at half its maximum, in distances between measured planes. With 0 a measured plane is
        the first of its fine ones; with more it lies in their middle.
    profile
        Its shape.
    damping
        Variance of the measured planes' noise over that of what fine planes may lack: with more of it, the planes are
        trusted less.
    """

    def __init__(self, factor: int, *, thickness: float, profile: Profile = "box", damping: float = 0.0) -> None:
        super().__init__()
        self.rate = (factor, 1)
        self.taps = profile_taps(factor, thickness, profile)
        self.margin = (margin_of(len(self.taps), factor), 0)
        gain = sum(t**2 for t in self.taps)
        damping += _DAMPING * gain * max(1.0, thickness) ** 3
        self.inverse = () if thickness == 0 else _inverse(self.taps, factor, damping=damping)

    @property
    def reach(self) -> int:
        """How many measured planes to either side ``consistent`` looks, besides what its ``x`` was made of."""
        return 0 if not self.inverse else 2 * self.margin[0] + len(self.inverse) // 2

    def forward(self, x: Tensor) -> Tensor:
        """Measured ``(N, C, Z, X)`` from ``(N, C, Z * factor, X)``, mirrored past its border."""
        return apply_along(x, [self._profile(x.shape[-2], x), None])

    def adjoint(self, y: Tensor) -> Tensor:
        """Each measured plane spread over the fine ones it was made of."""
        return apply_along(y, [self._profile(y.shape[-2] * self.rate[0], y).T, None])

    def consistent(self, x: Tensor, y: Tensor) -> Tensor:
        """The fine planes nearest to ``x`` that are measured as ``y``, up to the noise.

        ``x + A' (A A' + d)^-1 (y - A x)``, the regularised projection (Tikhonov) with d the damping and the inverse cut
        off where all but 1e-4 of its energy lies inside. Where planes have no thickness they are put in as they are.
        """
        if not self.inverse:
            split = x.view(*x.shape[:-2], -1, self.rate[0], x.shape[-1])
            return torch.cat([y.unsqueeze(-2), split[..., 1:, :]], -2).flatten(-3, -2)
        solved = filter_matrix(
            self.inverse, step=1, length=y.shape[-2], border="reflect", device=y.device, dtype=y.dtype
        )
        return x + self.adjoint(apply_along(y - self.forward(x), [solved, None]))

    def _profile(self, length: int, like: Tensor) -> Tensor:
        return filter_matrix(
            self.taps, step=self.rate[0], length=length, border="reflect", device=like.device, dtype=like.dtype
        )


def profile_taps(factor: int, thickness: float, profile: Profile) -> tuple[float, ...]:
    """The weights of fine planes in a measured one; they sum to 1.

    Parameters
    ----------
    factor
        Fine planes to a measured one.
    thickness
        Full width at half maximum, in distances between measured planes.
    """
    if thickness == 0:
        return (1.0,) + (0.0,) * (factor - 1)
    wide = thickness * factor
    half = _ENDS * wide / FWHM if profile == "gaussian" else wide / 2
    count = factor + 2 * max(0, math.ceil(half - factor / 2))
    # The mean of the profile over each fine plane: a box may end inside one.
    parts = (np.arange(count * _FINEST) + 0.5) / _FINEST - count / 2
    weights = np.exp(-((parts * FWHM / wide) ** 2) / 2) if profile == "gaussian" else 1.0 * (np.abs(parts) < wide / 2)
    taps = weights.reshape(count, _FINEST).mean(1)
    return tuple(float(t) for t in taps / taps.sum())


def _inverse(taps: tuple[float, ...], factor: int, *, damping: float) -> tuple[float, ...]:
    """``(A A' + damping)^-1`` as a filter along measured planes, odd."""
    whole = np.correlate(taps, taps, "full")
    middle = len(taps) - 1
    lags = np.arange(-(middle // factor), middle // factor + 1)
    spectrum = (whole[middle + lags * factor, None] * np.cos(2 * np.pi * np.outer(lags, np.fft.fftfreq(_GRID)))).sum(0)
    solved = np.fft.fftshift(np.fft.ifft(1 / (spectrum + damping)).real)
    scaled = truncated(solved) * solved.sum()
    return tuple(float(t) for t in scaled)

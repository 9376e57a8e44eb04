"""What a detector adds to an image: noise models, drawn afresh or as a variance, and correlated noise measured.

A parameter is a number, or a tensor of one for each channel ``(C, 1, 1)`` or pixel, broadcast to ``(B, C, *S)``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import next_fast_len
from torch import Tensor

from napari_restore.core.errors import RestoreError
from napari_restore.operators.exact import in_double
from napari_restore.operators.psf import middle

Parameter = Tensor | float

_RIM = 1e-4  # share of a kernel's energy that may be cut off along an axis
_MOST_BLOCKS = 4096
_NORMAL_MAD = 0.6744897501960817


class Noise(Protocol):
    """Noise that an image without any is measured with."""

    def sample(self, clean: Tensor, rng: torch.Generator) -> Tensor:
        """``clean`` ``(B, C, *S)`` measured once; drawn in float32 on the device of ``rng``, given back on clean's."""
        ...

    def variance(self, clean: Tensor) -> Tensor:
        """Of each pixel of such a measurement: ``(B, C, *S)``, in squared units of ``clean``."""
        ...


@dataclass(frozen=True, eq=False)
class Gaussian:
    """White noise of standard deviation ``sigma``, 0 or more, in units of the image."""

    sigma: Parameter

    def __post_init__(self) -> None:
        _check("sigma", self.sigma, positive=False)

    def sample(self, clean: Tensor, rng: torch.Generator) -> Tensor:
        """See ``Noise.sample``."""
        return clean + _level(self.sigma, clean) * _normal(clean.shape, rng).to(clean)

    def variance(self, clean: Tensor) -> Tensor:
        """See ``Noise.variance``."""
        return (_level(self.sigma, clean) ** 2).expand_as(clean)


@dataclass(frozen=True, eq=False)
class PoissonGaussian:
    """A camera: ``y = gain * Poisson(max(x - offset, 0) / gain) + offset + N(0, read^2)``.

    After Foi et al. 2008, doi:10.1109/TIP.2008.2001399, eq. 3, with their b written as ``read^2 - gain * offset``.

    Parameters
    ----------
    gain
        Above 0: units of the image for one photon.
    offset
        What the camera reads in the dark, in units of the image.
    read
        Standard deviation of the read noise, 0 or more, in units of the image.
    """

    gain: Parameter
    offset: Parameter
    read: Parameter

    def __post_init__(self) -> None:
        _check("gain", self.gain, positive=True)
        _check("read", self.read, positive=False)

    def sample(self, clean: Tensor, rng: torch.Generator) -> Tensor:
        """See ``Noise.sample``. No gradient goes through the photons."""
        gain, offset, read = (_level(p, clean) for p in (self.gain, self.offset, self.read))
        photons = _photons((clean - offset) / gain, rng).to(clean)
        return gain * photons + offset + read * _normal(clean.shape, rng).to(clean)

    def variance(self, clean: Tensor) -> Tensor:
        """See ``Noise.variance``."""
        gain, offset, read = (_level(p, clean) for p in (self.gain, self.offset, self.read))
        return gain * (clean - offset).clamp(min=0) + read**2


@dataclass(frozen=True, eq=False)
class CorrelatedGaussian:
    """White noise of variance 1 convolved with ``kernel``, in units of the image.

    Its covariance is the kernel's autocorrelation, the same at every pixel and up to every border; channels, samples
    and, for a kernel of two axes, planes are independent.

    Parameters
    ----------
    kernel
        Float, two or three axes of odd length.
    """

    kernel: Tensor

    def __post_init__(self) -> None:
        if self.kernel.ndim not in (2, 3) or any(n % 2 == 0 for n in self.kernel.shape):
            raise RestoreError(
                f"a noise kernel of shape {tuple(self.kernel.shape)}: it needs two or three axes of odd length."
            )

    def sample(self, clean: Tensor, rng: torch.Generator) -> Tensor:
        """See ``Noise.sample``."""
        kernel = self._fitted(clean)
        size = [n + k - 1 for n, k in zip(clean.shape[2:], kernel.shape, strict=True)]  # nothing wraps
        white = _normal((*clean.shape[:2], *size), rng).to(clean.device)
        axes = tuple(range(2, white.ndim))
        with torch.autocast(clean.device.type, enabled=False):
            # Measured kernels have some 30 x 30 pixels: summed directly they take a third of a small network's step.
            spectrum = torch.fft.rfftn(white, dim=axes) * torch.fft.rfftn(kernel, s=size)
            full = torch.fft.irfftn(spectrum, s=size, dim=axes)
            noise: Tensor = full[(..., *(slice(k - 1, None) for k in kernel.shape))]  # what does not wrap
        return clean + noise.to(clean.dtype)

    def variance(self, clean: Tensor) -> Tensor:
        """See ``Noise.variance``."""
        return (in_double(self.kernel) ** 2).sum().to(clean).expand_as(clean)

    def _fitted(self, clean: Tensor) -> Tensor:
        missing = clean.ndim - 2 - self.kernel.ndim
        if missing not in (0, 1):
            raise RestoreError(
                f"a noise kernel with {self.kernel.ndim} axes for images with {clean.ndim - 2}: give one with as many."
            )
        return self.kernel[(None,) * missing].to(clean.device, torch.float32)


def from_covariance(covariance: NDArray[Any]) -> CorrelatedGaussian:
    """The Gaussian noise of a measured covariance.

    The kernel is the root of the power spectrum, without the kernel's outermost 1e-4. What no noise can have, a
    negative power that comes of a covariance measured or cut off, is taken for 0; the variance stays what was given.

    Parameters
    ----------
    covariance
        Two or three axes of odd length: the variance in the middle, around it the covariance with each neighbour.

    Raises
    ------
    RestoreError
        If the shape is another, a value is not finite, or the variance is not above 0.
    """
    c = np.asarray(covariance, np.float64)
    if c.ndim not in (2, 3) or any(n % 2 == 0 for n in c.shape) or not np.isfinite(c).all():
        raise RestoreError(
            f"a covariance of shape {c.shape}: it needs finite numbers, and two or three axes of odd length."
        )
    variance = float(c[tuple(n // 2 for n in c.shape)])
    if variance <= 0:
        raise RestoreError(f"a covariance whose variance, in its middle, is {variance:g}: it needs to be above 0.")
    c = (c + np.flip(c)) / 2
    grid = np.zeros([4 * n + 1 if n > 1 else 1 for n in c.shape])  # odd; wide enough for the root to die away
    grid[tuple(slice((g - n) // 2, (g + n) // 2) for g, n in zip(grid.shape, c.shape, strict=True))] = c
    power = np.fft.fftn(np.fft.ifftshift(grid)).real.clip(min=0)
    kernel = np.fft.fftshift(np.fft.ifftn(np.sqrt(power)).real)
    kernel = kernel[middle(kernel**2, rim=_RIM)]
    return CorrelatedGaussian(torch.from_numpy(kernel * np.sqrt(variance / (kernel**2).sum())).float())


def flat_covariance(plane: NDArray[Any], *, radius: int = 3, block: int = 32) -> NDArray[np.float64]:
    """Covariance of the noise with its neighbours, from the flattest blocks of one plane.

    Flat is what varies little at a scale of a quarter of a block, and has no more variance than most that do; a plane
    is fitted to each block and removed. What that takes from the noise too is given back: the mean products of the
    residual are a linear function of the covariance sought, which is solved for exactly, as if the noise reached no
    farther than ``radius``. What choosing takes is not: of white noise nothing to speak of, of noise blurred by a
    Gaussian of 1.5 px 6 % of the variance with blocks of 32 px, and less with larger ones.

    Parameters
    ----------
    plane
        2-D. Blocks with a pixel that is not finite, or with more than a tenth of their pixels at the plane's least or
        greatest value (padding, saturation), are left out.
    radius
        How far the noise is correlated, in pixels, 0 or more.
    block
        Side in pixels, a multiple of 4 and at least ``4 * radius + 4``.

    Returns
    -------
    NDArray
        ``(2 * radius + 1, 2 * radius + 1)``, the variance in the middle, in squared units of the plane.

    Raises
    ------
    RestoreError
        If the plane is smaller than a block, the block does not fit the radius, or no block can be used.
    """
    y = np.asarray(plane, np.float64)
    if radius < 0 or block % 4 or block < 4 * radius + 4:
        raise RestoreError(
            f"blocks of {block} px for noise correlated over {radius} px: give a radius of 0 or more, and a "
            f"multiple of 4 of at least {4 * radius + 4}."
        )
    if y.ndim != 2 or min(y.shape) < block:
        raise RestoreError(f"a plane of shape {y.shape}: give two axes of at least {block} px, or smaller blocks.")
    residual = _flat_residuals(y, block)
    if not len(residual):
        raise RestoreError(
            f"a plane of {y.shape} px without a block of {block} px that is measured, not saturated and not constant: "
            "give smaller blocks or another plane."
        )
    return _debiased(_mean_products(residual, radius), block)


def _check(name: str, value: Parameter, *, positive: bool) -> None:
    if isinstance(value, Tensor) and value.device.type != "cpu":
        return  # looking at it would wait for the device
    least = float(torch.as_tensor(value).min())
    if not (least > 0 or (least == 0 and not positive)):
        raise RestoreError(f"noise with {name} {least:g}: give {'a number above 0' if positive else '0 or more'}.")


def _level(value: Parameter, like: Tensor) -> Tensor:
    return torch.as_tensor(value, dtype=like.dtype, device=like.device)


def _normal(shape: tuple[int, ...] | torch.Size, rng: torch.Generator) -> Tensor:
    return torch.randn(shape, generator=rng, device=rng.device, dtype=torch.float32)


def _photons(rate: Tensor, rng: torch.Generator) -> Tensor:
    return torch.poisson(rate.detach().clamp(min=0).to(rng.device, torch.float32), generator=rng)


def _flat_residuals(y: NDArray[np.float64], block: int) -> NDArray[np.float64]:
    """The flattest blocks without their planes: ``(N, block, block)``."""
    step = max(block // 2, math.ceil(math.sqrt(y.size / _MOST_BLOCKS)))
    windows = np.lib.stride_tricks.sliding_window_view(y, (block, block))[::step, ::step]
    blocks = windows.reshape(-1, block, block)
    finite = y[np.isfinite(y)]
    usable = np.isfinite(blocks).all((1, 2))
    if finite.size:
        extreme = (blocks == finite.min()) | (blocks == finite.max())
        usable &= extreme.mean((1, 2)) <= 0.1
    blocks = blocks[usable]
    basis = _planes(block)
    flat = blocks.reshape(-1, block * block)
    residual = (flat - flat @ basis @ basis.T).reshape(blocks.shape)
    cell = block // 4
    coarse = residual.reshape(-1, 4, cell, 4, cell).mean((2, 4)).var((1, 2))
    if not len(coarse):
        return residual
    # Not the flattest alone: they are flat by chance, and would show too little noise. Of white noise
    # alone this keeps five blocks in six (chi-squared, 13 degrees of freedom).
    return _of_usual_power(residual[coarse <= 2.5 * np.quantile(coarse, 0.1)])


def _of_usual_power(residual: NDArray[np.float64]) -> NDArray[np.float64]:
    """Without the blocks that have more variance than most: fine texture, or an edge that crosses a corner."""
    power = (residual**2).mean((1, 2))
    level = np.median(power)
    spread = np.median(np.abs(power - level)) / _NORMAL_MAD
    usual: NDArray[np.float64] = residual[power <= level + 3 * spread]
    return usual


def _planes(block: int) -> NDArray[np.float64]:
    """Orthonormal ``(block^2, 3)``: constant, slope in Y, slope in X."""
    ramp = np.arange(block) - (block - 1) / 2
    basis = np.stack([np.ones((block, block)), ramp[:, None] + 0 * ramp, ramp + 0 * ramp[:, None]])
    scaled: NDArray[np.float64] = basis / np.sqrt((basis**2).sum((1, 2), keepdims=True))
    return scaled.reshape(3, -1).T


def _mean_products(residual: NDArray[np.float64], radius: int) -> NDArray[np.float64]:
    """Of pixels at each distance, over the pairs that a block holds."""
    block = residual.shape[-1]
    size = next_fast_len(block + radius, real=True)
    power = (np.abs(np.fft.rfft2(residual, s=(size, size))) ** 2).mean(0)
    products: NDArray[np.float64] = np.fft.irfft2(power, s=(size, size))
    lags = np.arange(-radius, radius + 1)
    pairs = block - np.abs(lags)
    means: NDArray[np.float64] = products[np.ix_(lags, lags)] / np.outer(pairs, pairs)
    return means


def _debiased(measured: NDArray[np.float64], block: int) -> NDArray[np.float64]:
    """The covariance c for which the mean products of residuals are expected to be ``measured``.

    The residual r = P n with P = 1 - Q Q', Q the planes: E[r r'] = P C P. A lag's sum of products is the trace of that
    with the matrix that shifts by the lag, and C is the sum of shifts weighted by c.
    """
    radius = measured.shape[0] // 2
    steps = range(-radius, radius + 1)
    lags = [(dy, dx) for dy in steps for dx in steps]
    basis = _planes(block).T.reshape(3, block, block)
    shifted = np.stack([_shifted(basis, lag) for lag in lags]).reshape(len(lags), 3, -1)
    flat = basis.reshape(3, -1)
    pairs = np.array([(block - abs(dy)) * (block - abs(dx)) for dy, dx in lags], np.float64)
    inner = np.einsum("lkp,mp->lkm", shifted, flat)
    # tr(S'C) - tr(S'QQ'C) - tr(S'CQQ') + tr(S'QQ'CQQ'), each with S and C a shift; -lag is its transpose.
    backward = shifted[::-1]
    both = np.einsum("lkp,mkp->lm", backward, backward) + np.einsum("lkp,mkp->lm", shifted, shifted)
    matrix = np.diag(pairs) - both + np.einsum("lkm,nkm->ln", inner, inner)
    solved = np.linalg.solve(matrix / pairs[:, None], measured.ravel()).reshape(measured.shape)
    return (solved + np.flip(solved)) / 2


def _shifted(stack: NDArray[np.float64], lag: tuple[int, int]) -> NDArray[np.float64]:
    """Moved by whole pixels in Y and X; 0 comes in."""
    out = np.zeros_like(stack)
    to = tuple(slice(max(d, 0), n + min(d, 0)) for d, n in zip(lag, stack.shape[1:], strict=True))
    of = tuple(slice(max(-d, 0), n + min(-d, 0)) for d, n in zip(lag, stack.shape[1:], strict=True))
    out[(slice(None), *to)] = stack[(slice(None), *of)]
    return out

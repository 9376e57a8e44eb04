"""What undoes an operator roughly, as filters of known radius: the start from which networks learn the rest."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_restore.core.errors import RestoreError
from napari_restore.core.plan import reflected
from napari_restore.operators.downsample import cubic
from napari_restore.operators.matrices import apply_along

_TAIL = 1e-4
_LEAST_NOISE = 1e-3
_DECADES = math.log(100)
_PRIOR = 4.0
_GRID = {2: 512, 3: 96}
_SHORT = 128  # pixels along an axis, for which a matrix is quicker than its bands
_TAPS_BESIDE = 2


def wiener(psf: NDArray[np.float64], sigma: float) -> NDArray[np.float64]:
    """Wiener's filter for a blur and noise, cut off where all but 1e-4 of its energy lies inside.

    ``conj(H) / (|H|^2 + N / S)`` with a signal spectrum S that falls as 1/f^2 in 2-D and 1/f^3 in 3-D, as that of
    natural images does (Field 1987, doi:10.1364/JOSAA.4.002379), a quarter as strong as the image's variance says: on
    natural images blurred by 1 to 3 px with noise of 2 to 15 of 255 this is within 0.1 dB of the best of 8 choices,
    where no constant N / S is within 1 dB.

    Parameters
    ----------
    psf
        Odd along each of two or three axes, sum 1.
    sigma
        Noise in units of the image's standard deviation.

    Returns
    -------
    ndarray
        Odd along each axis, sum 1.

    Raises
    ------
    RestoreError
        If the PSF is too large for a filter that could be tiled.
    """
    ndim, n = psf.ndim, _GRID[psf.ndim]
    if max(psf.shape) > n // 2:
        raise RestoreError(
            f"a PSF of {' x '.join(map(str, psf.shape))} px: at most {n // 2} px along an axis can be undone. Crop it "
            "to where its light is, or use larger pixels."
        )
    padded = np.zeros((n,) * ndim)
    padded[tuple(slice(m) for m in psf.shape)] = psf
    transfer = np.fft.fftn(np.roll(padded, [-(m // 2) for m in psf.shape], tuple(range(ndim))))
    frequency = np.sqrt(sum(f**2 for f in np.meshgrid(*[np.fft.fftfreq(n)] * ndim, indexing="ij")))
    # The spectrum integrates to the variance, 1, from one period in a hundred pixels to one in two.
    strength = 1 / (_PRIOR * {2: 2 * math.pi, 3: 4 * math.pi}[ndim] * _DECADES)
    ratio = max(sigma, _LEAST_NOISE) ** 2 * frequency**ndim / strength
    kernel = np.fft.fftshift(np.fft.ifftn(transfer.conj() / (np.abs(transfer) ** 2 + ratio)).real)
    return truncated(kernel)


def truncated(kernel: NDArray[np.float64]) -> NDArray[np.float64]:
    """The smallest odd box about an even-sized kernel's middle with all but 1e-4 of its energy, scaled to sum 1."""
    whole = (kernel**2).sum()
    for radius in range(kernel.shape[0] // 2):
        box = kernel[tuple(slice(n // 2 - radius, n // 2 + radius + 1) for n in kernel.shape)]
        if (box**2).sum() >= (1 - _TAIL) * whole:
            break
    return np.asarray(box / box.sum())


class CubicUpsampling(nn.Module):
    """Cubic interpolation (Keys 1981, a = -1/2) to ``rate`` pixels for each one, of either alignment.

    Parameters
    ----------
    rate
        New pixels to one along each spatial axis.
    centred
        Along each axis: whether a pixel lies in the middle of its new pixels or on the first.
    """

    def __init__(self, rate: Sequence[int], *, centred: Sequence[bool]) -> None:
        super().__init__()
        self.rate, self.centred = tuple(rate), tuple(centred)
        self._matrices: dict[tuple[object, ...], Tensor] = {}

    @property
    def radius(self) -> tuple[int, ...]:
        """How far a new pixel looks along each axis, in old pixels."""
        return tuple(2 if r > 1 else 0 for r in self.rate)

    def forward(self, y: Tensor) -> Tensor:
        """``(B, C, *(S * rate))`` from ``(B, C, *S)``, mirrored past the border."""
        axes = list(zip(self.rate, self.centred, y.shape[2:], strict=True))
        short = [None if r == 1 or n > _SHORT else self._matrix(r, c, n, y) for r, c, n in axes]
        y = apply_along(y, short)
        for axis, (rate, centred, n) in reversed(list(enumerate(axes, start=2))):
            y = _interleaved(y, axis, rate, centred=centred) if rate > 1 and n > _SHORT else y
        return y

    def _matrix(self, rate: int, centred: bool, length: int, like: Tensor) -> Tensor:
        key = (rate, centred, length, like.device, like.dtype)
        if key not in self._matrices:
            with torch.inference_mode(False):  # see `filter_matrix`
                found = torch.from_numpy(_interpolation(rate, centred, length)).to(like.device, like.dtype)
            self._matrices = {key: found, **dict(list(self._matrices.items())[:15])}
        return self._matrices[key]


def _interleaved(y: Tensor, axis: int, rate: int, *, centred: bool) -> Tensor:
    """Along one axis: of the four pixels about each new one, those that lie alike for all pixels at once."""
    n = y.shape[axis]
    mirrored = torch.from_numpy(reflected(-_TAPS_BESIDE, n + _TAPS_BESIDE, n)).to(y.device)
    y = y.index_select(axis, mirrored)
    phases = []
    for phase in range(rate):
        position = np.asarray((phase + 0.5) / rate - 0.5 if centred else phase / rate)
        first = int(np.floor(position)) - 1
        weights = [float(cubic(position - (first + tap))) for tap in range(4)]
        taps = [y.narrow(axis, first + tap + _TAPS_BESIDE, n) for tap in range(4)]
        found = weights[0] * taps[0]
        for weight, tap in zip(weights[1:], taps[1:], strict=True):
            found = found.add(tap, alpha=weight)
        phases.append(found)
    return torch.stack(phases, axis + 1).flatten(axis, axis + 1)


def _interpolation(rate: int, centred: bool, length: int) -> NDArray[np.float64]:
    position = (np.arange(length * rate) + 0.5) / rate - 0.5 if centred else np.arange(length * rate) / rate
    first = np.floor(position).astype(int) - 1
    matrix = np.zeros((length * rate, length))
    for tap in range(4):
        seen = _mirror(first + tap, length)
        np.add.at(matrix, (np.arange(length * rate), seen), cubic(position - (first + tap)))
    return matrix


def _mirror(index: NDArray[np.intp], length: int) -> NDArray[np.intp]:
    low, high = int(index.min()), int(index.max()) + 1
    return reflected(low, high, length)[index - low]

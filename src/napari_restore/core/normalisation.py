"""The constants that bring an image to zero mean and unit deviation. They belong to a model, never to a tile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float32] | NDArray[np.float64]


_TAIL, _HEAVY = 0.01, 5.0
"""Where a hundredth of the pixels at either end makes the deviation so many times as large, it is left out: else the
rest would be lost in rounding, and in the error of the few. Beads of 40000 on structure of 100 did that."""


def _constants(values: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and deviation."""
    if values.size == 0:
        return 0.0, 0.0
    mean, std = float(values.mean()), float(values.std())
    low, high = np.quantile(values, (_TAIL, 1 - _TAIL))
    most = values[(values >= low) & (values <= high)]
    within = float(most.std())
    return (float(most.mean()), within) if std > _HEAVY * within > 0 else (mean, std)


def working_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """float32 where it holds every value of a type, else float64: whole numbers of 32 bits have more digits."""
    exact = dtype.itemsize <= 2 or dtype == np.float32
    return np.dtype(np.float32) if exact else np.dtype(np.float64)


FAR = 40.0
"""Deviations from the mean: what lies beyond is compressed."""


def compressed(units: NDArray[np.float32]) -> NDArray[np.float32]:
    """Pixels in units of the deviation, those beyond ``FAR`` by their logarithm, which goes on as steep there.

    What is a thousand times as bright as all else is still seen and learned, and does not drown it: a network would
    have to get a part in ten thousand of it right before the error of all else counts.
    """
    far = np.abs(units) > FAR
    if not far.any():
        return units
    with np.errstate(invalid="ignore"):
        beyond = np.sign(units) * FAR * (1 + np.log(np.maximum(np.abs(units), FAR) / FAR))
    return np.where(far, beyond, units).astype(np.float32, copy=False)


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of each channel, in the image's units. A constant channel has deviation 0."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def measure(cls, samples: Sequence[NDArray[Any]]) -> Normalisation:
        """Over the finite pixels of samples ``(N, C, *S)`` that together stand for the image."""
        return cls.of([[s[:, c] for s in samples] for c in range(samples[0].shape[1])])

    @classmethod
    def of(cls, channels: Sequence[Sequence[NDArray[Any]]]) -> Normalisation:
        """Over the finite pixels of arrays of each channel, without the few that lie far from all others."""
        columns = [np.concatenate([part.ravel() for part in parts]) for parts in channels]
        found = [_constants(column[np.isfinite(column)].astype(np.float64)) for column in columns]
        return cls(mean=tuple(mean for mean, _ in found), std=tuple(std for _, std in found))

    def apply(self, samples: NDArray[Any]) -> NDArray[np.float32]:
        """Samples ``(N, C, *S)`` of any type in units of the deviation; a constant channel becomes 0."""
        pixels = samples.astype(working_type(samples.dtype), copy=False)
        mean, std = (self._shaped(values, pixels) for values in (self.mean, self.std))
        units: NDArray[np.float32] = ((pixels - mean) / np.where(std > 0, std, 1)).astype(np.float32, copy=False)
        return units

    def centred(self, samples: NDArray[Any]) -> NDArray[np.float32]:
        """Samples ``(N, C, *S)`` of any type without the mean, which goes before digits are lost in float32.

        Infinite where what is left is too large for it.
        """
        pixels = samples.astype(working_type(samples.dtype), copy=False)
        with np.errstate(over="ignore"):
            left: NDArray[np.float32] = (pixels - self._shaped(self.mean, pixels)).astype(np.float32, copy=False)
        return left

    def uncentred(self, samples: NDArray[np.float32], dtype: np.dtype[Any]) -> Real:
        """The inverse of ``centred`` for pixels of ``dtype``, with all digits that these have."""
        pixels = samples.astype(working_type(dtype), copy=False)
        whole: Real = pixels + self._shaped(self.mean, pixels)
        return whole

    @property
    def of_centred(self) -> Normalisation:
        """What brings samples without the mean to unit deviation."""
        return Normalisation((0.0,) * len(self.mean), self.std)

    @staticmethod
    def _shaped(values: Sequence[float], pixels: NDArray[Any]) -> Real:
        return np.asarray(values, pixels.dtype).reshape(1, -1, *[1] * (pixels.ndim - 2))

"""The constants that bring an image to zero mean and unit deviation. They belong to a model, never to a tile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation of each channel, in the image's units. A constant channel has deviation 0."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def measure(cls, samples: Sequence[NDArray[np.float32]]) -> Normalisation:
        """Over the finite pixels of samples ``(N, C, *S)`` that together stand for the image."""
        channels = samples[0].shape[1]
        columns = [np.concatenate([s[:, c].ravel() for s in samples]) for c in range(channels)]
        finite = [column[np.isfinite(column)].astype(np.float64) for column in columns]
        return cls(
            mean=tuple(float(f.mean()) if f.size else 0.0 for f in finite),
            std=tuple(float(f.std()) if f.size else 0.0 for f in finite),
        )

    def apply(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Samples ``(N, C, *S)`` in units of the deviation; a constant channel becomes 0."""
        mean, std = self._shaped(samples.ndim)
        return ((samples - mean) / np.where(std > 0, std, 1)).astype(np.float32, copy=False)

    def _shaped(self, ndim: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        shape = (1, -1, *[1] * (ndim - 2))
        return np.asarray(self.mean, np.float32).reshape(shape), np.asarray(self.std, np.float32).reshape(shape)

"""Patterns that are round about the axis: from a table over the distance to pixels, and through a pinhole."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.sparse import coo_array

from napari_restore.operators.psf.kernel import Kernel

_FINE = 128
"""Samples of a table in wavelength / NA."""

_MOST = 2048
"""Samples of a table; the widest pattern there is has then 32 in wavelength / NA."""

_COARSER = 4
"""Samples of a table to one that is worked out through a pinhole; the others lie on a curve through these."""


@dataclass(frozen=True, eq=False)
class PixelMeans:
    """The mean of a round pattern over each pixel's area.

    Attributes
    ----------
    table
        Distances ``(R)`` from the axis at which the pattern is needed.
    weights
        Sparse ``(N, R)``: what each distance counts in the pixels of an eighth of the square; the others are the same.
    places
        ``(Y, X)``: which of the ``N`` a pixel is.
    """

    table: Kernel
    weights: Any
    places: NDArray[np.intp]

    def over(self, pattern: Kernel) -> Kernel:
        """Kernel ``(Z, Y, X)`` of a pattern ``(Z, R)``."""
        means: Kernel = np.asarray(self.weights @ pattern.T).T[:, self.places]
        return means


def pixel_means(radius: int, *, pixel: float, resolution: float) -> PixelMeans:
    """Means over ``2 * radius + 1`` pixels along Y and X.

    Parameters
    ----------
    pixel, resolution
        Side of a pixel, and wavelength / NA: a pattern has nothing finer than half of that.
    """
    per = 2 * math.ceil(8 * pixel / resolution) + 1  # odd: a sample lies on the pixel's centre
    farthest = math.sqrt(2) * (radius + 0.5) * pixel
    step = max(resolution / _FINE, farthest / _MOST)
    table = evenly(math.ceil(farthest / step) + 2, step)
    y, x = np.tril_indices(radius + 1)
    inside = (np.arange(per) - per // 2) / per
    down, across = ((part[:, None] + inside) * (pixel / step) for part in (y, x))
    distance = np.hypot(down[:, :, None], across[:, None, :]).reshape(len(y), -1)
    below = distance.astype(np.intp)
    part = distance - below
    rows = np.broadcast_to(np.arange(len(y))[:, None], below.shape)
    values = np.concatenate([1 - part.ravel(), part.ravel()]) / per**2
    at = (np.concatenate([rows.ravel()] * 2), np.concatenate([below.ravel(), below.ravel() + 1]))
    weights = coo_array((values, at), shape=(len(y), len(table))).tocsr()
    away = np.abs(np.arange(-radius, radius + 1))
    high, low = np.maximum(away[:, None], away), np.minimum(away[:, None], away)
    return PixelMeans(table, weights, high * (high + 1) // 2 + low)


def evenly(count: int, step: float) -> Kernel:
    """Distances from 0."""
    return np.arange(count, dtype=np.float64) * step


def through_pinhole(pattern: Callable[[Kernel], Kernel], table: Kernel, radius: float) -> Kernel:
    """The mean ``(Z, R)`` of a round pattern over a disc about each distance of a table.

    On the circle of radius ``t`` about the pattern's axis, a disc at the distance ``r`` covers the arc with
    ``cos(angle) < (t^2 + r^2 - radius^2) / (2 t r)``: the mean is an integral over ``t`` alone.

    Parameters
    ----------
    pattern
        Gives intensities ``(Z, T)`` at distances ``(T)``.
    table
        Evenly spaced from 0.
    """
    step = float(table[1])
    if radius < 2 * step:  # the mean over it is the middle to 1e-3 of the brightest
        return pattern(table)
    wider = evenly(len(table) + math.ceil(radius / step) + _COARSER, step) + step / 2
    places = evenly(-(-len(table) // _COARSER) + 1, _COARSER * step)
    r, t = places[:, None], wider[None]
    cosine = (t**2 + r**2 - radius**2) / (2 * t * np.maximum(r, 1e-9 * step))
    crossing = np.abs(cosine) < 1
    angle = np.where(cosine < 0, np.pi, 0.0)
    angle[crossing] = np.arccos(cosine[crossing])
    weights = angle * t
    means = pattern(wider) @ (weights / weights.sum(1, keepdims=True)).T
    smooth: Kernel = CubicSpline(places, means, axis=1)(table)
    return np.maximum(smooth, 0.0)

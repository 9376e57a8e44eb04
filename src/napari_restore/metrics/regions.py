"""Means of regions before and after restoring, and whether they differ by more than the noise in them explains."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.errors import ImageError

REACH = 4
"""Pixels up to which what was removed may be correlated."""
FLAGGED = 3.0
"""Standard errors from which a difference is told."""
TILE = 16
"""Side of the squares that the correlation is told from; pieces of a plane begin at multiples of it."""
_SIGNIFICANT = 4.0
"""Standard errors of a correlation without any: what is less is chance."""
_MEDIAN = 1.25
"""The standard error of a median of normal numbers, in that of their mean."""
_TILES_AT_MOST = 20_000

_LAGS = tuple(
    (dy, dx) for dy in range(REACH + 1) for dx in range(-REACH, REACH + 1) if dy > 0 or dx > 0
)  # one of each pair of neighbours


@dataclass(frozen=True)
class RegionMean:
    """What a region holds, measured and restored.

    Attributes
    ----------
    label
        Of the region.
    area
        Its pixels that were measured.
    raw, restored
        Means, in units of the image.
    difference
        Of the restored mean from the measured one.
    standard_error
        That the noise gives the measured mean, correlation of neighbours counted; NaN for a region of one pixel.
    z
        The difference in standard errors; NaN where no noise was removed and nothing differs.
    """

    label: int
    area: int
    raw: float
    restored: float
    difference: float
    standard_error: float
    z: float

    @property
    def flagged(self) -> bool:
        """Whether the noise does not explain the difference: it is ``FLAGGED`` standard errors or more."""
        return abs(self.z) >= FLAGGED


class RegionSums:
    """Sums over regions of planes that come piece by piece; ``means`` tells what they come to.

    What was removed, measured less restored, is taken for the noise. The variance of the mean of A pixels of a region
    with noise of variance s^2 is ``s^2 (A + 2 sum_h r(h) N(h)) / A^2``: at the lag h the correlation is r(h), and N(h)
    of its pixels have another one of it there (Cressie 1993, Statistics for Spatial Data, eq. 1.3.3). s^2 is the
    region's own, as noise grows with the signal. r is the median over squares of 16 pixels all over the planes:
    structure that restoring took away in some places is alike over many pixels, and is not to be called noise. Planes
    of few such squares tell less.
    Correlations below 0 count as none: they come of what restoring leaves of the noise.
    """

    def __init__(self) -> None:
        self._sums: dict[str, NDArray[np.float64]] = {}
        self._pairs = np.zeros((0, len(_LAGS)))
        self._correlations: list[NDArray[np.float64]] = []
        self._tiles = 0

    def add(self, raw: NDArray[Any], restored: NDArray[Any], labels: NDArray[Any], *, rows: int | None = None) -> None:
        """Count a piece of a plane.

        Parameters
        ----------
        raw, restored
            ``(Y, X)``, in the same units. What is not finite does not count.
        labels
            ``(Y, X)`` whole numbers: 0 is no region.
        rows
            How many of the first rows are counted; up to ``REACH`` rows more are only looked at as neighbours. All
            where it is not given.
        """
        rows = raw.shape[0] if rows is None else rows
        known = np.isfinite(raw) & np.isfinite(restored) & (labels > 0)
        where = np.where(known, labels, 0).astype(np.int64)
        before, after = (np.where(known, a, 0).astype(np.float64) for a in (raw, restored))
        removed = before - after
        own = where[:rows]
        self._grow(int(own.max(initial=0)) + 1)
        for name, values in (("area", known), ("raw", before), ("restored", after), ("square", removed**2)):
            self._sums[name] += np.bincount(own.ravel(), values[:rows].ravel(), len(self._sums[name]))
        for number, lag in enumerate(_LAGS):
            here, there = _pair(where, lag, rows)
            both = (here == there) & (here > 0)
            self._pairs[:, number] += np.bincount(here[both], minlength=len(self._pairs))
        with np.errstate(invalid="ignore"):  # infinite less infinite
            self._look_at_tiles(np.asarray(raw[:rows], np.float64) - restored[:rows])

    def means(self) -> list[RegionMean]:
        """Of every region that has pixels, by label.

        Raises
        ------
        ImageError
            If there is none.
        """
        area = self._sums.get("area", np.zeros(0))
        labels = [int(n) for n in np.flatnonzero(area) if n > 0]
        if not labels:
            raise ImageError(
                "no region has a pixel that was measured: give labels of 1 and more, as large as the image."
            )
        correlation = self._correlation()
        return [self._mean(label, correlation) for label in labels]

    def _look_at_tiles(self, removed: NDArray[np.float64]) -> None:
        """Keep the correlations in whole squares of what was removed, as long as there are few."""
        height, width = (n // TILE for n in removed.shape)
        if self._tiles >= _TILES_AT_MOST or not height or not width:
            return
        cut = removed[: height * TILE, : width * TILE].reshape(height, TILE, width, TILE).swapaxes(1, 2)
        tiles = cut.reshape(-1, TILE, TILE)
        tiles = tiles[np.isfinite(tiles).all((1, 2))][: _TILES_AT_MOST - self._tiles]
        tiles = tiles - tiles.mean((1, 2), keepdims=True)
        variance = np.square(tiles).mean((1, 2))
        tiles, variance = tiles[variance > 0], variance[variance > 0]
        found = [(one * other).mean((1, 2)) / variance for one, other in (_pair(tiles, lag, TILE) for lag in _LAGS)]
        self._correlations.append(np.stack(found, -1))
        self._tiles += len(tiles)

    def _correlation(self) -> NDArray[np.float64]:
        """Of what was removed, at each lag."""
        if not self._tiles:
            return np.zeros(len(_LAGS))
        found = np.median(np.concatenate(self._correlations), 0)
        chance = [_MEDIAN / math.sqrt(self._tiles * (TILE - dy) * (TILE - abs(dx))) for dy, dx in _LAGS]
        return np.where(found > _SIGNIFICANT * np.array(chance), found.clip(0, 1), 0.0)

    def _mean(self, label: int, correlation: NDArray[np.float64]) -> RegionMean:
        area, raw, restored, square = (float(self._sums[k][label]) for k in ("area", "raw", "restored", "square"))
        difference = (restored - raw) / area
        variance = max(0.0, square / area - difference**2) * area / (area - 1) if area > 1 else math.nan
        effective = area + 2 * float((correlation * self._pairs[label]).sum())
        error = math.sqrt(variance * effective) / area if area > 1 else math.nan
        z = difference / error if error > 0 else (math.nan if difference == 0 or area < 2 else math.inf * difference)
        return RegionMean(label, int(area), raw / area, restored / area, difference, error, z)

    def _grow(self, size: int) -> None:
        if size <= len(self._pairs):
            return
        for name in ("area", "raw", "restored", "square"):
            self._sums[name] = np.pad(self._sums.get(name, np.zeros(0)), (0, size - len(self._pairs)))
        self._pairs = np.pad(self._pairs, ((0, size - len(self._pairs)), (0, 0)))


def _pair(values: NDArray[Any], lag: tuple[int, int], rows: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Pixels ``(..., Y, X)`` of the first rows that have a neighbour at this lag, and these neighbours."""
    (height, width), (dy, dx) = values.shape[-2:], lag
    last = max(0, min(rows, height - dy))
    here = values[..., :last, max(0, -dx) : max(0, width - max(0, dx))]
    return here, values[..., dy : dy + last, max(0, dx) : max(0, width + min(0, dx))]

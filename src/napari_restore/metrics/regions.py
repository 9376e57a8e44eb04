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
_SIGNIFICANT = 4.0
"""Standard errors of a correlation without any: what is less is chance."""

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
    region's own, as noise grows with the signal; r is that of all regions together. Correlations below 0 count as none:
    they come of what restoring leaves of the noise.
    """

    def __init__(self) -> None:
        self._sums: dict[str, NDArray[np.float64]] = {}
        self._pairs = np.zeros((0, len(_LAGS)))
        self._products = np.zeros(len(_LAGS))

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
            both = (here[0] == there[0]) & (here[0] > 0)
            one, other = removed[here[1]], removed[there[1]]
            self._products[number] += (one * other)[both].sum()
            self._pairs[:, number] += np.bincount(here[0][both], minlength=len(self._pairs))

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
        correlation = self._correlation(labels)
        return [self._mean(label, correlation) for label in labels]

    def _correlation(self, labels: list[int]) -> NDArray[np.float64]:
        """Of what was removed, at each lag."""
        area, pairs = self._sums["area"][labels], self._pairs[labels]
        bias = np.square((self._sums["raw"] - self._sums["restored"])[labels] / area)
        spread = self._sums["square"][labels] / area - bias
        # A region's mean difference is no correlation: it would be one at all lags.
        products = self._products - (pairs * bias[:, None]).sum(0)
        scale, count = (pairs * spread[:, None]).sum(0), pairs.sum(0)
        found = np.divide(products, scale, out=np.zeros_like(scale), where=scale > 0)
        sure = found > _SIGNIFICANT / np.sqrt(np.maximum(count, 1))
        return np.where(sure, found.clip(0, 1), 0.0)

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


def _pair(
    where: NDArray[np.int64], lag: tuple[int, int], rows: int
) -> tuple[tuple[NDArray[np.int64], Any], tuple[NDArray[np.int64], Any]]:
    """Labels and places of the pixels that have a neighbour at this lag, and of these neighbours."""
    (height, width), (dy, dx) = where.shape, lag
    last = max(0, min(rows, height - dy))
    here = (slice(0, last), slice(max(0, -dx), max(0, width - max(0, dx))))
    there = (slice(dy, dy + last), slice(max(0, dx), max(0, width + min(0, dx))))
    return (where[here], here), (where[there], there)

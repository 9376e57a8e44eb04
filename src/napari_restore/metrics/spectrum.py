"""Whether a residual is noise at every scale: its power in rings of frequencies; and how sure a mean over pixels is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.errors import ImageError

RINGS = 12

_FREQUENCIES = 1000  # in a ring: enough for its mean to be known within 6 %, window and symmetry considered
_PARTS = 8


def ring_power(residual: NDArray[Any]) -> NDArray[np.float64]:
    """Power of a residual in rings of equal width, from no frequency to that of every other pixel; 1 for white noise.

    Parameters
    ----------
    residual
        ``(..., Y, X)``, finite, in units of the noise's deviation. Planes are transformed one by one, under Hann's
        window, and averaged.

    Returns
    -------
    NDArray
        ``(RINGS,)``; 0 in rings with too few frequencies for their mean to be known within 6 %.

    Raises
    ------
    ImageError
        If there are fewer than two axes.
    """
    if residual.ndim < 2:
        raise ImageError(f"spectrum: a residual of shape {residual.shape}. Give an array (..., Y, X).")
    window = np.multiply.outer(*(np.hanning(n + 2)[1:-1] for n in residual.shape[-2:]))
    window /= math.sqrt((window**2).mean())
    power = np.abs(np.fft.fft2((residual - residual.mean()) * window)) ** 2 / window.size
    y, x = (np.fft.fftfreq(n) for n in residual.shape[-2:])
    ring = np.minimum(np.hypot(y[:, None], x) * 2 * RINGS, RINGS).astype(int).ravel()  # the corners are left out
    mean = power.reshape(-1, window.size).mean(0)
    count = np.bincount(ring, minlength=RINGS + 1)[:RINGS]
    sums = np.bincount(ring, mean, minlength=RINGS + 1)[:RINGS]
    planes = residual.size // window.size
    # A real image has every frequency twice, and the window ties each to its neighbours.
    return np.where(count * planes > _FREQUENCIES, sums / np.maximum(count, 1), 0.0)


def ring_period(ring: int) -> float:
    """Pixels from crest to crest of a wave in the middle of a ring, counted from 0."""
    return 2 * RINGS / (ring + 0.5)


def standard_error(values: NDArray[Any]) -> float:
    """Of the mean of ``(..., Y, X)``, from 8 x 8 parts of the planes.

    Neighbouring pixels are restored together, and are no independent witnesses. ``estimated_error`` has its own, for
    images with pixels that do not count.
    """
    parts = [part.mean() for rows in np.array_split(values, _PARTS, -2) for part in np.array_split(rows, _PARTS, -1)]
    return float(np.std(parts, ddof=1) / _PARTS)

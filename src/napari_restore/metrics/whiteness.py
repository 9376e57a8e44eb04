"""How much structure a residual has that noise without memory would not have."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import irfftn, next_fast_len, rfftn

from napari_restore.core.errors import ImageError

_RADIUS = 3


def autocorrelation(residual: NDArray[Any], *, radius: int) -> NDArray[np.float64]:
    """Correlation of a residual with itself at all shifts of up to ``radius`` pixels along every axis.

    Mean product of the pairs of pixels that are finite, after the mean was taken off, over the variance.

    Parameters
    ----------
    residual
        An array of any number of axes. Pixels that are not finite are left out.
    radius
        In pixels, 0 or more.

    Returns
    -------
    NDArray
        ``(2 radius + 1,)`` along every axis, with 1 at the centre; 0 at shifts that no pair of pixels has, and
        everywhere but at the centre for a constant.

    Raises
    ------
    ImageError
        If the radius is negative.
    """
    return _correlation(np.asarray(residual, np.float64), radius)[0]


def whiteness(residual: NDArray[Any]) -> float:
    """How far a residual is from white noise: 0 for white noise, larger for structure, whatever its scale.

    The root of the sum of the squared correlations at the shifts of up to 3 pixels, one of each pair of opposite ones,
    without those of 0, less what white noise of that many pixels is expected to have (one over the number of pairs at
    each); 0 where that is negative. White noise of 256 x 256 pixels stays below about 0.02; smoothed by a Gaussian of
    standard deviation 1 px it has about 1.7.

    Parameters
    ----------
    residual
        Image minus restoration or reference, of any number of axes. Pixels that are not finite are left out.
    """
    correlation, pairs = _correlation(np.asarray(residual, np.float64), _RADIUS)
    half = slice(0, correlation.size // 2)  # in C order, what is before the centre is opposite to what is after it
    c, n = correlation.ravel()[half], pairs.ravel()[half]
    known = n > 0
    if not c.any():
        return 0.0
    return math.sqrt(max(0.0, float(np.sum(np.square(c[known]) - 1 / n[known]))))


def whiteness_against(image: NDArray[Any], reference: NDArray[Any], *, data_range: float | None = None) -> float:
    """``whiteness`` of image minus reference over the last two axes, mean over the rest."""
    del data_range  # a correlation has no units
    difference = np.asarray(image, np.float64) - np.asarray(reference, np.float64)
    return float(np.mean([whiteness(plane) for plane in difference.reshape(-1, *difference.shape[-2:])]))


def _correlation(residual: NDArray[np.float64], radius: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Correlations and numbers of pairs."""
    if radius < 0:
        raise ImageError(f"autocorrelation: a radius of {radius} px is negative. Give 0 or more.")
    finite = np.isfinite(residual)
    rest = np.where(finite, residual - (residual[finite].mean() if finite.any() else 0.0), 0.0)
    pairs = np.rint(_products(finite.astype(np.float64), radius))
    products = _products(rest, radius)
    mean = np.divide(products, pairs, out=np.zeros_like(products), where=pairs > 0)
    centre = (radius,) * residual.ndim
    # A constant leaves what rounding leaves of its level.
    least = (np.finfo(np.float64).eps * float(np.max(np.abs(residual[finite]), initial=0.0))) ** 2
    correlation = mean / mean[centre] if mean[centre] > least else np.zeros_like(mean)
    correlation[centre] = 1.0
    return correlation, pairs


def _products(x: NDArray[np.float64], radius: int) -> NDArray[np.float64]:
    """Sum of x(p) x(p + d) over p, for all shifts d of up to ``radius``."""
    padded = [next_fast_len(n + radius, real=True) for n in x.shape]
    # At least twice the radius, so that the shifts to both sides do not meet.
    padded = [max(n, 2 * radius + 1) for n in padded]
    spectrum = rfftn(x, padded)
    sums = irfftn(np.square(np.abs(spectrum)), padded)
    return np.asarray(sums[np.ix_(*(np.arange(-radius, radius + 1) % n for n in padded))])

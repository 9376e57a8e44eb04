"""How the variance of the noise grows with the signal: a camera's photon transfer curve, from one image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import isotonic_regression

from napari_restore.core.errors import ImageError
from napari_restore.metrics.correlation import residual_correlation
from napari_restore.metrics.noise_level import NoiseLevel, estimate, variance_by_signal

_CLIPPED = 0.001  # of the pixels, at one end of the range
_AWAY = 1.0  # deviations of the noise from a clipped end
_CLIPPED_IN_A_BIN = 0.02  # of its pixels
_FEWEST = 3  # points of a line
_UNSURE = 0.3  # of the variance
_OFF_THE_LINE = 3.0  # standard errors, root mean square
_CORRELATED = 0.15
_HUBER = 1.5  # standard errors
_SIGNIFICANT = 3.0
_BINS, _PIXELS_IN_A_BIN = 24, 200
_OUTLIER = 4.0  # deviations
_NOTHING = 1e-30
_MODEL = 0.02  # of the variance: no camera follows its line more exactly


@dataclass(frozen=True)
class PhotonTransfer:
    """The variance of the noise as a line in the signal, ``gain * signal + constant``, and what it was fitted to.

    Attributes
    ----------
    gain
        In units of the image: of one photon, where the noise is that of photons. 0 or more.
    constant
        Variance at a signal of 0, in squared units; below 0 behind a camera's offset.
    gain_error, constant_error
        Standard errors.
    signal, variances, errors
        The points: signal, variance, and its standard error.
    spread
        Standard error of the variance over the variance, where it is greatest between the first and the last point.
    reliable
        Whether the line can be trusted within these errors.
    reason
        Why not, in words; empty where it can.
    """

    gain: float
    constant: float
    gain_error: float
    constant_error: float
    signal: tuple[float, ...]
    variances: tuple[float, ...]
    errors: tuple[float, ...]
    spread: float
    reliable: bool
    reason: str = ""

    @property
    def poisson(self) -> bool:
        """Whether the variance grows with the signal, by three standard errors."""
        return self.gain > _SIGNIFICANT * self.gain_error

    @property
    def offset(self) -> float:
        """Where the line is 0: what a camera without read noise gives in the dark. Minus infinity without gain."""
        return -self.constant / self.gain if self.gain > 0 else -math.inf

    def variance(self, signal: NDArray[Any] | float) -> NDArray[np.float64]:
        """By the line, at signals without noise; never below a tenth of the least variance that was seen."""
        least = 0.1 * min(self.variances, default=0.0)
        return np.asarray(np.maximum(self.gain * np.asarray(signal, np.float64) + self.constant, least))

    def variance_by_curve(self, signal: NDArray[Any] | float) -> NDArray[np.float64]:
        """By the points, made to rise and joined, constant beyond the ends: for detectors that follow no line."""
        if not self.signal:
            return self.variance(signal)
        widths = np.maximum(self.errors, max(_NOTHING, 1e-3 * max(self.errors)))
        rising = isotonic_regression(self.variances, weights=np.square(widths.max() / widths)).x
        return np.asarray(np.interp(np.asarray(signal, np.float64), self.signal, rising))


def photon_transfer(planes: Sequence[NDArray[Any]]) -> PhotonTransfer:
    """Fit the noise of some planes from their flattest blocks, bin by bin of the signal.

    The model of Foi et al. (2008, doi:10.1109/TIP.2008.2001399), their a and b being ``gain`` and ``constant``;
    the points are those of ``noise_level``, the line has Huber's weights. Where pixels are clipped at an end of the
    range, points within one deviation of it are left out.

    Parameters
    ----------
    planes
        ``(Y, X)`` each, of images taken alike, in the same units.

    Returns
    -------
    PhotonTransfer
        Not reliable where the noise is correlated from pixel to pixel, no part is flat, the points lie off any line
        (contrast changed by other than gain and offset, texture), or too few are known. A signal that hardly varies
        gives a line that is reliable there, and a ``gain`` with a large error.

    Raises
    ------
    ImageError
        If no plane has a block of 8 x 8 finite pixels.
    """
    level = estimate(planes)
    every = variance_by_signal(planes)
    points = every[_clear_of_ends(every[:, 0], every[:, 1], planes)]
    if len(points) < _FEWEST:
        return _constant(level, clipped=len(points) < len(every))
    found = _line(points[:, 0], points[:, 1], points[:, 2] * points[:, 1])
    # The level of all blocks together is unsure of noise that grows: the line then tells more than it.
    wrong = "" if found.poisson and abs(level.correlation) <= _CORRELATED else _wrong_with(level)
    return _with_reason(found, wrong)


def variance_from_residual(raw: NDArray[Any], prediction: NDArray[Any]) -> PhotonTransfer:
    """Fit the noise of an image from what a prediction leaves of it, bin by bin of the prediction.

    For predictions that did not see the pixel they predict, or saw enough others: what a network fits of the noise is
    missing here, and its own error is added. Pixels more than 4 deviations from their bin's mean are left out.

    Parameters
    ----------
    raw, prediction
        Of the same shape and units, of any number of axes. Pixels that are not finite in either are left out, and
        bins of which more than 2 % are clipped at an end of the range of ``raw``, if there are others.

    Raises
    ------
    ImageError
        If the shapes differ, or fewer than 200 pixels are left.
    """
    y, f = np.asarray(raw, np.float64), np.asarray(prediction, np.float64)
    if y.shape != f.shape:
        raise ImageError(f"photon transfer: shapes {y.shape} and {f.shape} differ. Give the same shape.")
    good = np.isfinite(y) & np.isfinite(f)
    if good.sum() < _PIXELS_IN_A_BIN:
        raise ImageError(
            f"photon transfer: {int(good.sum())} finite pixels in both images, and {_PIXELS_IN_A_BIN} are needed."
        )
    clipped = _at_ends(y, good)
    points = _binned(f[good], (y - f)[good], clipped[good])
    found = _line(points[:, 0], points[:, 1], points[:, 2])
    return _with_reason(found, _correlated(np.where(good & ~clipped, y, np.nan), f, found))


def describe(found: PhotonTransfer) -> str:
    """One sentence for users, such as "noise variance 2.1 (± 0.1) x signal - 180: like photons, 2.1 units each"."""
    constant = f"{'-' if found.constant < 0 else '+'} {abs(found.constant):.3g}"
    said = f"noise variance {found.gain:.3g} (± {found.gain_error:.2g}) x signal {constant}"
    said += f": like photons, {found.gain:.3g} units each" if found.poisson else ": the same at every signal"
    return said if found.reliable else f"{said}; not reliable: {found.reason}"


def _with_reason(found: PhotonTransfer, reason: str) -> PhotonTransfer:
    return replace(found, reliable=False, reason=reason) if reason else found


def _wrong_with(level: NoiseLevel) -> str:
    if abs(level.correlation) > _CORRELATED:
        return f"neighbouring pixels of the noise are correlated by {level.correlation:.2f}"
    return "" if level.reliable else "too little of the image is flat to tell noise from texture"


def _constant(level: NoiseLevel, *, clipped: bool) -> PhotonTransfer:
    """One level for all signals, where there are no points for a line."""
    variance, spread = level.sigma**2, 2 * level.spread
    few = "too little of the image is neither clipped nor structure" if clipped else ""
    reason = _wrong_with(level) or few or ("" if variance > 0 else "no noise was found")
    return PhotonTransfer(0.0, variance, math.inf, spread * variance, (), (), (), spread, not reason, reason)


def _clear_of_ends(
    signal: NDArray[np.float64], variance: NDArray[np.float64], planes: Sequence[NDArray[Any]]
) -> NDArray[np.bool_]:
    """Which signals are so far from the ends of the range that little noise is cut off there."""
    clear = np.ones(len(signal), bool)
    pixels = np.concatenate([np.asarray(p, np.float64)[np.isfinite(p)].ravel() for p in planes])
    low, high = float(pixels.min()), float(pixels.max())
    if np.mean(pixels == low) > _CLIPPED:
        clear &= signal - _AWAY * np.sqrt(variance) > low
    if np.mean(pixels == high) > _CLIPPED:
        clear &= signal + _AWAY * np.sqrt(variance) < high
    return clear


def _at_ends(y: NDArray[np.float64], good: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels at an end of the range that more than 0.1 % are at."""
    ends = [good & (y == end) for end in (y[good].min(), y[good].max())]
    whole = good.sum()
    return np.asarray(sum((e for e in ends if e.sum() > _CLIPPED * whole), np.zeros(y.shape, bool)), bool)


def _binned(
    signal: NDArray[np.float64], residual: NDArray[np.float64], clipped: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Signal, variance and its standard error in bins: half of them with as many pixels, half of them as wide."""
    count = max(1, min(_BINS, len(signal) // _PIXELS_IN_A_BIN) // 2)
    low, high = float(signal.min()), float(np.quantile(signal, 0.999))
    parts = np.linspace(0, 1, count + 1)[1:-1]
    edges = np.union1d(np.quantile(signal, parts), low + parts * (high - low))
    part = np.searchsorted(edges, signal)
    bins = [part == b for b in np.unique(part)]
    large = [b for b in bins if b.sum() >= _PIXELS_IN_A_BIN // 2] or [np.ones(len(signal), bool)]
    whole = [b for b in large if clipped[b].mean() <= _CLIPPED_IN_A_BIN] or large
    return np.asarray([_point(signal[b], residual[b]) for b in whole])


def _point(signal: NDArray[np.float64], residual: NDArray[np.float64]) -> tuple[float, float, float]:
    for _ in range(3):
        left = residual - residual.mean()
        near = np.abs(left) <= _OUTLIER * left.std()
        signal, residual = signal[near], residual[near]
    square = np.square(residual - residual.mean())
    return float(signal.mean()), float(square.mean()), float(square.std() / math.sqrt(len(square)))


def _correlated(y: NDArray[np.float64], f: NDArray[np.float64], fitted: PhotonTransfer) -> str:
    if y.ndim not in (2, 3) or not fitted.variances:
        return ""
    found = residual_correlation(y - f, expected=np.sqrt(np.maximum(fitted.variance(f), np.finfo(float).tiny)))
    if found.direction == "none":
        return ""
    return f"neighbouring pixels of the residual are correlated by {max(found.lag_1):.2f}"


def _line(signal: NDArray[np.float64], variance: NDArray[np.float64], error: NDArray[np.float64]) -> PhotonTransfer:
    """Least squares with Huber's weights (Huber 1964, doi:10.1214/aoms/1177703732); a gain below 0 becomes 0."""
    if len(signal) < 2 or float(np.ptp(signal)) == 0:
        return _level_line(signal, variance, error)
    relative = np.hypot(error / np.maximum(variance, np.finfo(float).tiny), _MODEL)
    centre = float(np.average(signal, weights=1 / relative**2))
    gain, middle, covariance, off = _fitted(signal - centre, variance, relative)
    if gain < 0:
        falls = gain < -_SIGNIFICANT * math.sqrt(covariance[0, 0])
        return _with_reason(_level_line(signal, variance, error), "the noise falls with the signal" if falls else "")
    at = np.array([signal.min(), signal.max()]) - centre
    known = np.sqrt(covariance[0, 0] * at**2 + 2 * covariance[0, 1] * at + covariance[1, 1])
    spread = float(np.max(known / np.maximum(gain * at + middle, 0.1 * variance.min())))
    reason = ""
    if off > _OFF_THE_LINE:
        reason = f"the points lie {off:.1f} times as far from a line as chance would put them"
    elif spread > _UNSURE:
        reason = f"the variance is known within {100 * spread:.0f} % only"
    return PhotonTransfer(
        gain,
        middle - gain * centre,
        math.sqrt(covariance[0, 0]),
        math.sqrt(covariance[0, 0] * centre**2 - 2 * covariance[0, 1] * centre + covariance[1, 1]),
        tuple(signal.tolist()),
        tuple(variance.tolist()),
        tuple(error.tolist()),
        spread,
        not reason,
        reason,
    )


def _level_line(
    signal: NDArray[np.float64], variance: NDArray[np.float64], error: NDArray[np.float64]
) -> PhotonTransfer:
    """No growth: the weighted mean of the variances."""
    width = np.hypot(error, _MODEL * variance)
    weight = 1 / np.square(np.maximum(width, max(_NOTHING, 1e-3 * float(width.max()))))
    mean, chance = float(np.average(variance, weights=weight)), float(1 / math.sqrt(weight.sum()))
    far = float(np.sqrt(np.average(np.square(signal - np.average(signal, weights=weight)), weights=weight)))
    slope = chance / far if far > 0 else math.inf
    points = (tuple(signal.tolist()), tuple(variance.tolist()), tuple(error.tolist()))
    reason = "" if mean > 0 else "no noise was found"
    return PhotonTransfer(0.0, mean, slope, chance, *points, chance / mean if mean > 0 else 0.0, not reason, reason)


def _fitted(
    x: NDArray[np.float64], variance: NDArray[np.float64], relative: NDArray[np.float64]
) -> tuple[float, float, NDArray[np.float64], float]:
    """Slope, value at 0, their covariance, and how many standard errors the points lie off (root mean square)."""
    design = np.stack([x, np.ones_like(x)], 1)
    line, huber = np.array([0.0, float(np.median(variance))]), np.ones_like(x)
    covariance, off = np.zeros((2, 2)), np.zeros_like(x)
    for _ in range(20):  # errors relative to the line's value, not the point's: low points would draw the line
        width = relative * np.maximum(design @ line, 0.1 * variance.min())
        weighted = design * (huber / width**2)[:, None]
        covariance = np.linalg.pinv(weighted.T @ design)
        line = covariance @ (weighted.T @ variance)
        off = (variance - design @ line) / width
        huber = 1 / np.maximum(1.0, np.abs(off) / _HUBER)
    scatter = math.sqrt(float(np.sum(huber * np.square(off))) / max(1, len(x) - 2))
    return float(line[0]), float(line[1]), covariance * max(1.0, scatter) ** 2, scatter

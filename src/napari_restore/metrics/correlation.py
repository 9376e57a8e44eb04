"""Along which axes, how far and how much the noise of neighbouring pixels is alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from napari_restore.core.errors import ImageError

Direction = Literal["none", "horizontal", "vertical", "both"]

LAGS = 16
"""How far is looked, in pixels; a length of as much means that or more."""

_TILE = 16
_CELL = 4
_FEWEST = 12  # tiles
_EXTREME = 0.05  # of a tile's pixels, at the least or the greatest value of the plane
_SIGNIFICANT = 4.0  # standard errors

# Chosen on 268 photographs with white, blurred and line noise of 5, 10 and 25 gray levels.
_CORRELATED = 0.12
_REACHES = 0.08
_ORDER = 3  # of the difference across an axis: more gains little
_FLATTEST = 0.1  # of the tiles of an image
_LIKE_NOISE = 0.5  # of the tiles of a residual
_STRUCTURE = 1.5  # coarse energy over that of noise with the correlation found
_LOW, _CHI2_LOW = 0.1, 0.542  # of chi-squared over its 13 degrees of freedom
_LEAST_GAIN = 0.02


@dataclass(frozen=True)
class NoiseCorrelation:
    """How alike the noise of pixels is that lie some way apart along one axis.

    Attributes
    ----------
    direction
        Next neighbours are correlated, by more than 0.12 and clearly so: ``"horizontal"`` along X, ``"vertical"``
        along Y, both, or none.
    lag_1
        Correlation of next neighbours along each of ``axes``, -1 to 1.
    length
        Pixels to either side along each of ``axes`` that a pixel is correlated with: 0 for white noise, 16 at most.
    curves
        For each of ``axes`` the correlation at 1, 2 ... pixels, up to 16.
    standard_error
        Of ``lag_1``.
    axes
        ``"YX"``, or ``"ZYX"`` of a volume.
    reliable
        False where structure may be taken for noise, or too few parts can be used: ``direction`` is none then.
    reason
        Why not, in words; empty where it is reliable.
    """

    direction: Direction
    lag_1: tuple[float, ...]
    length: tuple[int, ...]
    curves: tuple[tuple[float, ...], ...]
    standard_error: tuple[float, ...]
    axes: str
    reliable: bool
    reason: str = ""

    @property
    def length_yx(self) -> tuple[int, int]:
        """``length`` along Y and X."""
        return self.length[-2], self.length[-1]

    @property
    def mask(self) -> tuple[int, ...]:
        """Pixels along each of ``axes``, odd, to be hidden together by structured Noise2Void; ones for white noise.

        After Broaddus et al. (2020, doi:10.1109/ISBI45749.2020.9098336).
        """
        return tuple(2 * n + 1 for n in self.length)


@dataclass(frozen=True, eq=False)
class _Along:
    """One axis. Arrays with one entry a tile.

    Attributes
    ----------
    products
        Mean products of normalised pixels at 0, 1, 2 ... pixels along the axis: ``(lags, tiles)``.
    coarse
        Variance of the means of 4 x 4 pixels beside a slope, over that of white noise with the tile's fine energy.
    """

    products: NDArray[np.float64]
    coarse: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Curve:
    """Correlations of one axis from lag 0 on, the standard error of lag 1, the coarse energy of the flattest tiles."""

    values: NDArray[np.float64]
    error: float
    coarse: float

    @property
    def lag_1(self) -> float:
        return float(self.values[1])


def noise_correlation(planes: Sequence[NDArray[Any]]) -> NoiseCorrelation:
    """The correlation of the noise of some planes, from their flattest tiles.

    Along X the pixels are compared after a third difference along Y, which leaves of an image little but noise, and
    the other way round; divided by their local deviation, so that bright parts count like dark ones; in the tenth of
    the tiles of 16 x 16 that are flattest at a scale of 4 pixels. Noise so correlated has a known energy at that scale
    (if its correlation is a product of one along Y and one along X): where the tiles have 1.5 times as much, what was
    compared is texture and not noise, and ``reliable`` is False. A texture as fine and even as noise is not told from
    it, and noise blurred by 1 px or more along both axes is seldom told from a texture.

    On the 268 photographs that the limits were chosen on, with white noise of 50, 25, 15, 10 and 5 gray levels, 0, 0.4,
    0.7, 3 and 6 % were taken for correlated. With noise of 25 blurred by 0.6 px along X, lag 1 of 0.45, half of them
    said so and the others that they are not reliable; with lines of noise as strong as white noise beside them nine in
    ten. Of 12 other photographs and 8 averaged micrographs, with 10 and 25, one was: a striped cloth, nearly always.

    Parameters
    ----------
    planes
        ``(Y, X)`` each, of images taken alike; 67 pixels or more along both, or several of 19 and more. Tiles with
        pixels that are not finite, or all alike, or with more than 5 % at an end of the plane's range, are left out.

    Raises
    ------
    ImageError
        If one has not two axes.
    """
    return _found([np.asarray(p) for p in planes], order=_ORDER, share=_FLATTEST)


def residual_correlation(residual: NDArray[Any], *, expected: NDArray[Any] | float = 1.0) -> NoiseCorrelation:
    """The correlation of the noise that a residual consists of.

    As ``noise_correlation`` without a difference, from the half of the tiles that is most like noise. Take the residual
    of a prediction that did not see its own pixels, or of a clean image: any other lacks noise that it has fitted, and
    shows neighbours with opposite signs.

    Parameters
    ----------
    residual
        Image minus prediction, ``(Y, X)`` or ``(Z, Y, X)``, planes of a volume being taken for independent.
    expected
        Deviation of its noise, of the same shape, where it is known; local differences are evened out in any case.

    Raises
    ------
    ImageError
        If it has another number of axes.
    """
    r = np.asarray(residual, np.float64) / expected
    return _found(list(r) if r.ndim == 3 else [r], order=0, share=_LIKE_NOISE)


def volume_correlation(volume: NDArray[Any]) -> NoiseCorrelation:
    """``noise_correlation`` of all planes of ``(Z, Y, X)``, and along Z too.

    Planes are compared along Z after a second difference along both Y and X.

    Raises
    ------
    ImageError
        If it has not three axes.
    """
    v = np.asarray(volume)
    if v.ndim != 3:
        raise ImageError(f"noise correlation: an array of shape {v.shape} is no volume. Give (Z, Y, X).")
    plane = noise_correlation(list(v))
    curve, error = _along_z(v.astype(np.float64))
    along = _Curve(np.append(1.0, curve), error, 1.0)
    correlated = plane.reliable and len(curve) > 0 and along.lag_1 > _CORRELATED
    return replace(
        plane,
        lag_1=(along.lag_1 if len(curve) else 0.0, *plane.lag_1),
        length=(_length(along) if correlated else 0, *plane.length),
        curves=(tuple(curve.tolist()), *plane.curves),
        standard_error=(error, *plane.standard_error),
        axes="ZYX",
    )


def describe(correlation: NoiseCorrelation) -> str:
    """One sentence for users, such as "noise correlated along X, by 0.45 from pixel to pixel, over 2 px"."""
    if not correlation.reliable:
        return f"whether the noise is correlated cannot be told: {correlation.reason}"
    told = zip(correlation.axes, correlation.lag_1, correlation.length, strict=True)
    parts = [f"along {a} by {r:.2f} from pixel to pixel, over {n} px" for a, r, n in told if n]
    return f"noise correlated {' and '.join(parts)}" if parts else "noise independent from pixel to pixel"


def _found(planes: Sequence[NDArray[Any]], *, order: int, share: float) -> NoiseCorrelation:
    for p in planes:
        if p.ndim != 2:
            raise ImageError(f"noise correlation: an array of shape {p.shape} is no plane. Give (Y, X).")
    floats = [p.astype(np.float64) for p in planes]
    sides = [_together([_along_x(p, order) for p in each]) for each in ([p.T for p in floats], floats)]
    count = min(len(side.coarse) for side in sides)
    if count < _FEWEST:
        reason = f"{count} tiles of {_TILE} x {_TILE} px can be used of the {_FEWEST} needed; give more of the image"
        return NoiseCorrelation("none", (0.0, 0.0), (0, 0), ((), ()), (math.inf, math.inf), "YX", False, reason)
    y, x = (_curve(side, share) for side in sides)
    excess = _excess(y, x, order)
    reason = f"what is flattest has {excess:.1f} times the coarse structure that such noise would have"
    # Structure makes neighbours more alike, never less: what is white beside it is white.
    reliable = excess < _STRUCTURE or max(y.lag_1, x.lag_1) <= _CORRELATED
    length = tuple(_length(c) if reliable and c.lag_1 > _CORRELATED else 0 for c in (y, x))
    names: dict[tuple[bool, bool], Direction] = {(True, True): "both", (True, False): "vertical"}
    along = (length[0] > 0, length[1] > 0)
    return NoiseCorrelation(
        names.get(along, "horizontal" if along[1] else "none"),
        (y.lag_1, x.lag_1),
        length,
        (tuple(y.values[1:].tolist()), tuple(x.values[1:].tolist())),
        (y.error, x.error),
        "YX",
        reliable,
        "" if reliable else reason,
    )


def _along_x(plane: NDArray[np.float64], order: int) -> _Along:
    """What the tiles of a plane tell about neighbours along X."""
    height, width = (max(0, n) // _TILE * _TILE for n in (plane.shape[0] - order, plane.shape[1]))
    finite = np.isfinite(plane)
    if not (height and width and finite.any()):
        return _Along(np.zeros((LAGS + 1, 0)), np.zeros(0))
    filled = np.where(finite, plane, plane[finite].mean())
    fine = np.diff(filled, order, axis=0)
    power = np.maximum(0, uniform_filter(np.square(fine), _TILE - 1, mode="reflect"))  # rounding goes below 0
    even = np.divide(fine, np.sqrt(power), out=np.zeros_like(fine), where=power > 0)
    products = []
    for lag in range(LAGS + 1):
        pairs = np.zeros_like(even)  # where the plane ends there is none; one tile in many lacks some
        pairs[:, : even.shape[1] - lag] = even[:, : even.shape[1] - lag] * even[:, lag:]
        products.append(_means(pairs[:height, :width], _TILE))
    middle = slice(order // 2, order // 2 + height)
    told = np.asarray(products)
    coarse = _coarse(filled[middle, :width]) / np.maximum(_means(power[:height, :width], _TILE), np.finfo(float).tiny)
    chosen = _usable(plane, finite)[middle, :width]
    whole = (_means(chosen, _TILE) == 1) & (told[0] > 0)
    return _Along(told[:, whole], (coarse * _power_of_difference(order)[0])[whole])


def _together(parts: Sequence[_Along]) -> _Along:
    if not parts:
        return _Along(np.zeros((LAGS + 1, 0)), np.zeros(0))
    return _Along(np.concatenate([p.products for p in parts], 1), np.concatenate([p.coarse for p in parts]))


def _means(values: NDArray[Any], side: int) -> NDArray[np.float64]:
    """Of square tiles, row by row."""
    y, x = (n // side for n in values.shape)
    return np.asarray(values.reshape(y, side, x, side).mean((1, 3)), np.float64).ravel()


def _usable(plane: NDArray[np.float64], finite: NDArray[np.bool_]) -> NDArray[np.float64]:
    """1 in finite pixels, 0 where the plane is clipped for the most part; whole tiles of ones are used."""
    ends = (plane == plane[finite].min()) | (plane == plane[finite].max())
    return np.asarray(finite & (uniform_filter(ends.astype(np.float64), _TILE - 1) <= _EXTREME), np.float64)


def _coarse(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Variance of the means of cells in each tile beside a slope; of white noise as much as that of its pixels."""
    y, x = (n // _TILE for n in plane.shape)
    n = _TILE // _CELL
    cells = plane.reshape(y, n, _CELL, x, n, _CELL).mean((2, 5)).transpose(0, 2, 1, 3).reshape(-1, n * n)
    ramp = np.arange(n) - (n - 1) / 2
    basis = np.linalg.qr(np.stack([np.ones(n * n), np.repeat(ramp, n), np.tile(ramp, n)], 1))[0]
    left = cells - cells @ basis @ basis.T
    return np.asarray(np.square(left).sum(1) / (n * n - 3) * _CELL**2)


def _curve(along: _Along, share: float) -> _Curve:
    """Correlations from the tiles of least coarse energy, which white noise has independently of the products."""
    count = min(len(along.coarse), max(_FEWEST, round(share * len(along.coarse))))
    told = along.products[:, np.argsort(along.coarse, kind="stable")[:count]]
    each = told[1] / told[0]
    error = max(float(each.std(ddof=1)), 1 / _TILE) / math.sqrt(count)
    # A low quantile of what noise has by chance: 13 degrees of freedom.
    coarse = float(np.quantile(along.coarse, _LOW)) / _CHI2_LOW
    return _Curve(told.sum(1) / told[0].sum(), error, coarse)


def _length(curve: _Curve) -> int:
    """Lags from 1 on with a correlation that is worth hiding and is no chance."""
    if curve.lag_1 < _SIGNIFICANT * curve.error:
        return 0
    alike = curve.values[1:] > max(_REACHES, _SIGNIFICANT / 2 * curve.error)
    return len(alike) if alike.all() else int(np.argmin(alike))


def _excess(y: _Curve, x: _Curve, order: int) -> float:
    """Coarse energy over what noise has whose correlation is the product of the two curves; the greater of both."""
    wide = _gain_of_cells(y) * _gain_of_cells(x)
    power = _power_of_difference(order)
    found: list[float] = []
    for side, other in ((y, x), (x, y)):  # the difference was taken along the other axis
        fine = float(power[0] + 2 * power[1:] @ other.values[1 : order + 1]) / power[0]
        found.append(side.coarse * max(_LEAST_GAIN, fine) / max(_LEAST_GAIN, wide))
    return max(found)


def _gain_of_cells(curve: _Curve) -> float:
    """Variance of the mean of a cell's pixels along one axis, over that of white noise."""
    lags = np.arange(1, _CELL)
    return max(_LEAST_GAIN, float(1 + 2 * np.sum(curve.values[lags] * (1 - lags / _CELL))))


def _power_of_difference(order: int) -> NDArray[np.float64]:
    """Covariance of the difference of white noise with itself at lags 0 ... order."""
    kernel = np.array([(-1.0) ** k * math.comb(order, k) for k in range(order + 1)])
    return np.asarray(np.correlate(kernel, kernel, "full")[order:], np.float64)


def _along_z(volume: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """Correlations at 1, 2 ... planes, and the standard error of the first."""
    lags = min(LAGS, len(volume) - 1)
    if lags < 1 or min(volume.shape[1:]) < _TILE + 2:
        return np.zeros(0), math.inf
    fine = np.diff(np.diff(volume, 2, axis=1), 2, axis=2)
    fine = np.where(np.isfinite(fine), fine, 0)
    power = np.maximum(0, uniform_filter(np.square(fine), (0, _TILE - 1, _TILE - 1), mode="reflect"))
    even = np.divide(fine, np.sqrt(power), out=np.zeros_like(fine), where=power > 0)
    height, width = (n // _TILE * _TILE for n in even.shape[1:])
    even = even[:, :height, :width]
    energy = float(np.mean(np.square(even)))
    if energy == 0:
        return np.zeros(0), math.inf
    curve = np.array([np.median(_by_tile(even, k)) / energy for k in range(1, lags + 1)])
    first = _by_tile(even, 1)
    return curve, max(float(first.std()) / energy, 1 / _TILE) / math.sqrt(max(1, len(first)))


def _by_tile(even: NDArray[np.float64], lag: int) -> NDArray[np.float64]:
    return _means((even[lag:] * even[:-lag]).mean(0), _TILE)

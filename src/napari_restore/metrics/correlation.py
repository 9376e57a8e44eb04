"""Along which axes, how far and how much the noise of neighbouring pixels is alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

from napari_restore.core.errors import ImageError
from napari_restore.metrics.noise_level import WHITE_ENOUGH

Direction = Literal["none", "horizontal", "vertical", "both"]

LAGS = 16
"""How far is looked, in pixels; a length of as much means that or more."""

_TILE = 16
_CELL = 4
_FEWEST = 12  # tiles
_EXTREME = 0.05  # of a tile's pixels, at the least or the greatest value of the plane
_SIGNIFICANT = 4.0  # standard errors

# Chosen on 268 photographs with white, blurred and line noise of 5, 10 and 25 gray levels.
_REACHES = 0.08
_ORDER = 3  # of the difference across an axis: more gains little
_FLATTEST = 0.1  # of the tiles of an image
_STRUCTURE = 1.5  # coarse energy over that of noise with the correlation found
_LOW, _CHI2_LOW = 0.1, 0.542  # of chi-squared over its 13 degrees of freedom
_LEAST_GAIN = 0.02


@dataclass(frozen=True)
class NoiseCorrelation:
    """How alike the noise of pixels is that lie some way apart along one axis.

    Attributes
    ----------
    direction
        Next neighbours are correlated, by more than 0.15 and clearly so: ``"horizontal"`` along X, ``"vertical"``
        along Y, both, or none.
    lag_1
        Correlation of next neighbours along Y and along X, -1 to 1.
    length_yx
        Pixels to either side that a pixel is correlated with: 0 for white noise, 16 at most.
    curves
        The correlation at 1, 2 ... pixels, up to 16, along Y and along X.
    standard_error
        Of ``lag_1``.
    reliable
        False where structure may be taken for noise, or too few parts can be used: ``direction`` is none then.
    reason
        Why not, in words; empty where it is reliable.
    """

    direction: Direction
    lag_1: tuple[float, float]
    length_yx: tuple[int, int]
    curves: tuple[tuple[float, ...], tuple[float, ...]]
    standard_error: tuple[float, float]
    reliable: bool
    reason: str = ""


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
    floats = [np.asarray(p).astype(np.float64) for p in planes]
    for p in floats:
        if p.ndim != 2:
            raise ImageError(f"noise correlation: an array of shape {p.shape} is no plane. Give (Y, X).")
    sides = [_together([_along_x(p) for p in each]) for each in ([p.T for p in floats], floats)]
    count = min(len(side.coarse) for side in sides)
    if count < _FEWEST:
        reason = f"{count} tiles of {_TILE} x {_TILE} px can be used of the {_FEWEST} needed; give more of the image"
        return NoiseCorrelation("none", (0.0, 0.0), (0, 0), ((), ()), (math.inf, math.inf), False, reason)
    y, x = (_curve(side) for side in sides)
    excess = _excess(y, x)
    reason = f"what is flattest has {excess:.1f} times the coarse structure that such noise would have"
    # Structure makes neighbours more alike, never less: what is white beside it is white.
    reliable = excess < _STRUCTURE or max(y.lag_1, x.lag_1) <= WHITE_ENOUGH
    along_y, along_x = (_length(c) if reliable and c.lag_1 > WHITE_ENOUGH else 0 for c in (y, x))
    return NoiseCorrelation(
        _direction(along_y > 0, along_x > 0),
        (y.lag_1, x.lag_1),
        (along_y, along_x),
        (tuple(y.values[1:].tolist()), tuple(x.values[1:].tolist())),
        (y.error, x.error),
        reliable,
        "" if reliable else reason,
    )


def _direction(along_y: bool, along_x: bool) -> Direction:
    if along_y:
        return "both" if along_x else "vertical"
    return "horizontal" if along_x else "none"


def _along_x(plane: NDArray[np.float64]) -> _Along:
    """What the tiles of a plane tell about neighbours along X."""
    height, width = (max(0, n) // _TILE * _TILE for n in (plane.shape[0] - _ORDER, plane.shape[1]))
    finite = np.isfinite(plane)
    if not (height and width and finite.any()):
        return _Along(np.zeros((LAGS + 1, 0)), np.zeros(0))
    filled = np.where(finite, plane, plane[finite].mean())
    fine = np.diff(filled, _ORDER, axis=0)
    power = np.maximum(0, uniform_filter(np.square(fine), _TILE - 1, mode="reflect"))  # rounding goes below 0
    even = np.divide(fine, np.sqrt(power), out=np.zeros_like(fine), where=power > 0)
    products = []
    for lag in range(LAGS + 1):
        pairs = np.zeros_like(even)  # where the plane ends there is none; one tile in many lacks some
        pairs[:, : even.shape[1] - lag] = even[:, : even.shape[1] - lag] * even[:, lag:]
        products.append(_means(pairs[:height, :width], _TILE))
    middle = slice(_ORDER // 2, _ORDER // 2 + height)
    told = np.asarray(products)
    coarse = _coarse(filled[middle, :width]) / np.maximum(_means(power[:height, :width], _TILE), np.finfo(float).tiny)
    chosen = _usable(plane, finite)[middle, :width]
    whole = (_means(chosen, _TILE) == 1) & (told[0] > 0)
    return _Along(told[:, whole], (coarse * _power_of_difference()[0])[whole])


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


def _curve(along: _Along) -> _Curve:
    """Correlations from the tiles of least coarse energy, which white noise has independently of the products."""
    count = min(len(along.coarse), max(_FEWEST, round(_FLATTEST * len(along.coarse))))
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


def _excess(y: _Curve, x: _Curve) -> float:
    """Coarse energy over what noise has whose correlation is the product of the two curves; the greater of both."""
    wide = _gain_of_cells(y) * _gain_of_cells(x)
    power = _power_of_difference()
    found: list[float] = []
    for side, other in ((y, x), (x, y)):  # the difference was taken along the other axis
        fine = float(power[0] + 2 * power[1:] @ other.values[1 : _ORDER + 1]) / power[0]
        found.append(side.coarse * max(_LEAST_GAIN, fine) / max(_LEAST_GAIN, wide))
    return max(found)


def _gain_of_cells(curve: _Curve) -> float:
    """Variance of the mean of a cell's pixels along one axis, over that of white noise."""
    lags = np.arange(1, _CELL)
    return max(_LEAST_GAIN, float(1 + 2 * np.sum(curve.values[lags] * (1 - lags / _CELL))))


def _power_of_difference() -> NDArray[np.float64]:
    """Covariance of the difference of white noise with itself at lags 0 ... its order."""
    kernel = np.array([(-1.0) ** k * math.comb(_ORDER, k) for k in range(_ORDER + 1)])
    return np.asarray(np.correlate(kernel, kernel, "full")[_ORDER:], np.float64)

"""How the noise of a pixel goes with that of its neighbours, in all directions, where some planes are flattest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dct, dctn, irfft2, next_fast_len, rfft2
from scipy.optimize import least_squares
from scipy.special import gammaincinv

from napari_restore.core.errors import ImageError
from napari_restore.metrics.pixel_noise import PixelNoise

RADIUS = 8
"""How far is looked, in pixels: noise blurred by a Gaussian of 2 px is alike by 0.02 there."""

BLOCK = 16
"""Side of a block, in pixels."""

_MOST_BLOCKS = 8192  # of all planes together
_FEWEST = 8
_EXTREME = 0.1  # of a block's pixels, at the least or the greatest value of its plane
_FILLED = 0.05  # of a block's squares of four pixels with one value; rounded noise of deviation 1 has 0.03
_USUAL = 0.25  # of the blocks
_FLATTEST, _FLAT = 0.1, 2.5  # of the blocks; times the coarse variance of these
_RINGS = (1.5, 3.5, 6, 10, 30)  # half periods in a block
_TURNS = 6
_LOW = 0.1  # quantile of the energy in a ring
_DEVIATIONS = 2.5
_LEAST_POWER = 0.03  # of that of white noise: what is finer than that counts for nothing
_LEAST_SHARE = 0.1
_ENOUGH = 20  # blocks that have to agree, half of each over the next
_SPREAD = 0.05
_EMPTIEST, _LESS = 0.02, 0.8  # of the blocks; of the deviation in them, where texture may be in all
_TEXTURE, _MOST_TEXTURE = 30.0, 0.5  # pixels to 1 / e; of the variance
_WIDTHS = (0.5, 4.0, 16.0)  # squared, of the noise: where its fit begins
_FAR, _TAIL = 6, 0.07  # pixels away; correlation there beyond that of blurred noise
_NORMAL_MAD = 0.6744897501960817
_BINS, _BLOCKS_IN_A_BIN, _POINTS = 8, 100, 4  # of the signal: at most; at least; at least for a line
_MORE, _AS_MANY = 1.2, 0.95  # times as many blocks have to agree with a line as with a constant; if told from elsewhere
_GROWS = 0.5  # of the variance in the middle, from the darkest to the brightest


@dataclass(frozen=True, eq=False)
class NoiseCovariance:
    """What the flattest blocks of some planes say about the noise of pixels and their neighbours.

    Attributes
    ----------
    correlation
        ``(17, 17)``, 1 in the middle: of the noise of a pixel with that of its neighbours up to 8 pixels away.
    pixels
        The variance of a pixel by its signal, in squared units of the planes.
    reliable
        False where texture may have been taken for noise: then this is no more than what the blocks with the least of
        both have.
    """

    correlation: NDArray[np.float64]
    pixels: PixelNoise
    reliable: bool

    @property
    def spread(self) -> float:
        """Relative uncertainty of the deviation where it is reliable: on ten other pictures -1 to 11 % were missed."""
        return _SPREAD

    @property
    def next_yx(self) -> tuple[float, float]:
        """Correlation of next neighbours along Y and along X."""
        return float(self.correlation[RADIUS + 1, RADIUS]), float(self.correlation[RADIUS, RADIUS + 1])


def noise_covariance(planes: Sequence[NDArray[Any]], *, line: PixelNoise | None = None) -> NoiseCovariance:
    """Measure it in blocks of 16 x 16 pixels, the flattest of all planes; the variance as a line in the signal.

    Flat is what varies little at a scale of 4 pixels, and has no more variance than most that do; what weak texture is
    left there is told from the noise by its reach, and taken off. A plane is fitted to
    each block and removed; what that takes from the noise too is given back: the mean products of the residual are a
    linear function of the covariance sought, which is solved for exactly, as if the noise reached no farther than 8
    pixels.

    Parameters
    ----------
    planes
        ``(Y, X)`` each, of images taken alike, in the same units. Blocks with a pixel that is not finite, all alike, or
        with more than a tenth of their pixels at the plane's least or greatest value, are left out.
    line
        What else is known of the growth of the variance with the signal, up to a factor: taken where no fewer blocks
        agree with it. Blocks of 16 pixels hold little that is bright.

    Raises
    ------
    ImageError
        If fewer than 8 blocks can be used; of planes that are constant all through there is no noise.
    """
    finite = [p[np.isfinite(p)] for p in planes]
    if all(f.size == 0 or f.min() == f.max() for f in finite) and len({float(f[0]) for f in finite if f.size}) == 1:
        return NoiseCovariance(_white(), PixelNoise(0.0), reliable=False)
    blocks = _blocks(planes)
    if len(blocks) < _FEWEST:
        raise ImageError(
            f"the covariance of noise: {len(blocks)} blocks of {BLOCK} x {BLOCK} px can be used of the {_FEWEST} "
            "needed: measured, not saturated, not constant. Give a larger part of the image."
        )
    found = _fitted(blocks, PixelNoise(1.0))
    for candidate, needed in ((_line(blocks), _MORE), (line, _AS_MANY)):
        if candidate is not None:
            other = _fitted(blocks, candidate)
            if other.share > needed * found.share and other.reliable >= found.reliable:
                found = other
    unit, residual, matrix, reliable = found.unit, found.residual, found.matrix, found.reliable
    matrix = _without_texture(matrix) if reliable else _LESS**2 * _debiased(_mean_products(_emptiest(residual)))
    variance = float(matrix[RADIUS, RADIUS])
    pixels = PixelNoise(variance * unit.constant, variance * unit.gain, unit.offset)
    return NoiseCovariance(matrix / variance, pixels, reliable)


@dataclass(frozen=True, eq=False)
class _Fitted:
    """The covariance of residuals over the deviation that a line gives them, and the share of blocks that agree."""

    unit: PixelNoise
    residual: NDArray[np.float64]
    matrix: NDArray[np.float64]
    share: float

    @property
    def reliable(self) -> bool:
        """Whether enough blocks agree, on what a texture has not."""
        return self.share >= max(_LEAST_SHARE, _ENOUGH / len(self.residual)) and _tail(self.matrix) < _TAIL


def _fitted(blocks: _Blocks, unit: PixelNoise) -> _Fitted:
    residual = blocks.residual / np.sqrt(unit.at(blocks.mean))[:, None, None]
    return _Fitted(unit, residual, *_refined(residual))


def _tail(matrix: NDArray[np.float64]) -> float:
    """Correlation 6 pixels away, beyond that of blurred noise with the same next neighbours.

    A texture has a longer one: on three even ones with noise of all kinds it was 0.07 to 0.2, and on five images with
    flat parts -0.02 to 0.07.
    """
    along = matrix[RADIUS:, RADIUS] / matrix[RADIUS, RADIUS], matrix[RADIUS, RADIUS:] / matrix[RADIUS, RADIUS]
    return max(float(curve[_FAR] - max(0.0, curve[1]) ** _FAR**2) for curve in along)


def _without_texture(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """A covariance without what is alike over longer distances than noise is, a twentieth of it on natural pictures.

    It is little in each pixel, and most of what varies slowly: what noise of periods over 20 pixels has was told 1.2 to
    3.3 times too large on the eight pictures of the benchmark and on twelve others, and is 0.9 to 1.1 times now. Its
    share is that which fits best beside a Gaussian covariance; the noise is what the rest is, of any shape.
    """
    y, x = (each.astype(np.float64) ** 2 for each in np.meshgrid(_lags(), _lags(), indexing="ij"))
    texture, measured = _of_texture(), matrix / matrix[RADIUS, RADIUS]

    def missed(guess: NDArray[np.float64]) -> NDArray[np.float64]:
        share, along_y, along_x = guess
        left: NDArray[np.float64] = (1 - share) * np.exp(-y / along_y - x / along_x) + share * texture - measured
        return left.ravel()

    bounds = ((0.0, 0.01, 0.01), (_MOST_TEXTURE, 1e4, 1e4))
    fits = [least_squares(missed, (0.05, width, width), bounds=bounds) for width in _WIDTHS]
    share = min(fits, key=lambda fit: fit.cost).x[0]
    noise: NDArray[np.float64] = matrix - share * matrix[RADIUS, RADIUS] * texture
    return noise


@cache
def _of_texture() -> NDArray[np.float64]:
    """What is measured of a texture that falls off linearly as far as a block reaches, 1 in the middle.

    So does the covariance of shapes that hide each other (Lee, Mumford and Huang 2001, doi:10.1023/A:1011109015675).
    """
    y, x = np.indices((BLOCK, BLOCK)).reshape(2, -1)
    flat = np.eye(BLOCK * BLOCK) - _ramps() @ _ramps().T
    alike = flat @ np.exp(-np.hypot(y[:, None] - y, x[:, None] - x) / _TEXTURE) @ flat
    sums = np.zeros((2 * BLOCK - 1, 2 * BLOCK - 1))
    np.add.at(sums, (y[:, None] - y + BLOCK - 1, x[:, None] - x + BLOCK - 1), alike)
    near = slice(BLOCK - 1 - RADIUS, BLOCK + RADIUS)
    found = _debiased(sums[near, near] / _pairs())
    texture: NDArray[np.float64] = found / found[RADIUS, RADIUS]
    return texture


def _emptiest(residual: NDArray[np.float64]) -> NDArray[np.float64]:
    """The blocks with the least power: less than their noise has on average, and of a texture the least there is."""
    power = (residual**2).mean((1, 2))
    return residual[np.argsort(power, kind="stable")[: max(_FEWEST, round(_EMPTIEST * len(residual)))]]


def describe(found: NoiseCovariance, *, mean: float) -> str:
    """A clause for users, such as "noise estimated at 5.1, alike by 0.78 along X and 0.77 along Y between neighbours".

    Parameters
    ----------
    mean
        Signal at which the deviation is told, in units of the planes.
    """
    if found.pixels == PixelNoise(0.0):
        return "no noise: all pixels have one value"
    y, x = found.next_yx
    sigma = math.sqrt(float(found.pixels.at(np.array([mean]))[0]))
    grows = " where it is as bright as on average" if found.pixels.gain > 0 else ""
    return f"noise estimated at {sigma:.3g}{grows}, alike by {x:.2f} along X and {y:.2f} along Y between neighbours"


def _white() -> NDArray[np.float64]:
    one = np.zeros((2 * RADIUS + 1, 2 * RADIUS + 1))
    one[RADIUS, RADIUS] = 1
    return one


def _refined(residual: NDArray[np.float64]) -> tuple[NDArray[np.float64], float]:
    """The covariance of the blocks that have no more energy in any band of frequencies than such noise has.

    Fine texture passes for flat at a scale of 4 pixels; beside noise that has next to no fine structure it shows. The
    first rounds ask for less energy than was found, as much less as the blocks with the least of it have.

    Returns
    -------
    tuple
        The covariance, and the share of the blocks that it was found in.
    """
    matrix = _debiased(_mean_products(_flattest(residual)))
    bands, energy = _bands(), dctn(residual, axes=(1, 2), norm="ortho") ** 2
    count = bands.sum((1, 2))
    share = 0.0
    for turn in range(_TURNS):
        expected = np.maximum(_power_of_cosines(matrix), _LEAST_POWER * matrix[RADIUS, RADIUS])
        ratio = np.stack([(energy / expected)[:, band].mean(1) for band in bands], 1)
        if turn < _TURNS // 2:
            ratio /= np.minimum(1, np.quantile(ratio, _LOW, axis=0) / (2 * gammaincinv(count / 2, _LOW) / count))
        chosen = (ratio < 1 + _DEVIATIONS * np.sqrt(2 / count)).all(1)
        if chosen.sum() < max(_FEWEST, _LEAST_SHARE * len(residual)):
            return matrix, float(chosen.mean())
        matrix, share = _debiased(_mean_products(residual[chosen])), float(chosen.mean())
    return matrix, share


def _bands() -> NDArray[np.bool_]:
    """Coefficients of the cosine transform of a block in rings, from coarse to fine: ``(4, 16, 16)``."""
    frequency = np.hypot(*np.indices((BLOCK, BLOCK)))
    return np.stack([(frequency >= low) & (frequency < high) for low, high in pairwise(_RINGS)])


def _power_of_cosines(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Expected squares of the coefficients of the cosine transform of a block of such noise."""
    cosines = dct(np.eye(BLOCK), axis=0, norm="ortho")
    along = np.array([[each[: BLOCK - lag] @ each[lag:] for lag in np.abs(_lags())] for each in cosines])
    power: NDArray[np.float64] = along @ covariance @ along.T
    return power


@dataclass(frozen=True, eq=False)
class _Blocks:
    """Of each block its mean, and what a plane fitted to it leaves: ``(N, 16, 16)``."""

    mean: NDArray[np.float64]
    residual: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.mean)


def _blocks(planes: Sequence[NDArray[Any]]) -> _Blocks:
    total = sum(p.size for p in planes)
    step = max(BLOCK // 2, math.ceil(math.sqrt(total / _MOST_BLOCKS)))
    found = [np.empty((0, BLOCK, BLOCK)), *(_usable(np.asarray(p, np.float64), step) for p in planes)]
    blocks = np.concatenate(found)
    mean = blocks.mean((1, 2))
    flat = (blocks - mean[:, None, None]).reshape(-1, BLOCK * BLOCK)
    basis = _ramps()
    return _Blocks(mean, (flat - flat @ basis @ basis.T).reshape(blocks.shape))


def _usable(plane: NDArray[np.float64], step: int) -> NDArray[np.float64]:
    """Blocks of one plane that were measured, and are neither saturated nor filled in."""
    finite = plane[np.isfinite(plane)]
    if min(plane.shape) < BLOCK or not finite.size:
        return np.empty((0, BLOCK, BLOCK))
    windows = np.lib.stride_tricks.sliding_window_view(plane, (BLOCK, BLOCK))[::step, ::step]
    blocks = windows.reshape(-1, BLOCK, BLOCK)
    extreme = (blocks == finite.min()) | (blocks == finite.max())
    measured = np.isfinite(blocks).all((1, 2)) & (blocks != blocks[:, :1, :1]).any((1, 2))
    # Where something was filled in, such as around a reconstructed disc, squares of four pixels have one value.
    down, right, across = blocks[:, 1:, :-1], blocks[:, :-1, 1:], blocks[:, 1:, 1:]
    alike = (blocks[:, :-1, :-1] == down) & (down == right) & (right == across)
    natural = measured & (extreme.mean((1, 2)) <= _EXTREME) & (alike.mean((1, 2)) <= _FILLED)
    # A detector that cuts off what is darker than 0 does so nearly everywhere: that is what its noise is like.
    chosen: NDArray[np.float64] = blocks[natural if natural.sum() >= _USUAL * measured.sum() else measured]
    return chosen


def _flattest(residual: NDArray[np.float64]) -> NDArray[np.float64]:
    """Not the few flattest alone: they are flat by chance, and would show too little noise.

    Of white noise alone this keeps five blocks in six (chi-squared, 13 degrees of freedom).
    """
    cell = BLOCK // 4
    coarse = residual.reshape(-1, 4, cell, 4, cell).mean((2, 4)).var((1, 2))
    return _of_usual_power(residual[coarse <= _FLAT * np.quantile(coarse, _FLATTEST)])


def _of_usual_power(residual: NDArray[np.float64]) -> NDArray[np.float64]:
    """Without the blocks that have more variance than most: fine texture, or an edge that crosses a corner."""
    power = (residual**2).mean((1, 2))
    level = np.median(power)
    spread = np.median(np.abs(power - level)) / _NORMAL_MAD
    usual: NDArray[np.float64] = residual[power <= level + 3 * spread]
    return usual


def _line(blocks: _Blocks) -> PixelNoise | None:
    """The variance by the signal: the highest line under the variance of the flattest blocks of every signal.

    None where it does not grow. Through them, instead of under them, would call a texture that is bright a noise that
    grows.
    """
    count = min(_BINS, len(blocks) // _BLOCKS_IN_A_BIN)
    edges = np.quantile(blocks.mean, np.linspace(0, 1, max(1, count) + 1)[1:-1])
    part = np.searchsorted(edges, blocks.mean)
    points = []
    for b in np.unique(part):
        chosen = part == b
        if chosen.sum() >= _FEWEST:
            points.append((blocks.mean[chosen].mean(), float((_flattest(blocks.residual[chosen]) ** 2).mean())))
    if len(points) < _POINTS:
        return None
    x, y = np.array(points).T
    value, slope = highest_line_under(x, y)
    if slope * np.ptp(x) <= _GROWS * (value + slope * x.mean()):
        return None
    return PixelNoise(max(0.0, value), slope, max(0.0, -value / slope))


def highest_line_under(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Value at 0 and slope, 0 or more, of the line under all points that is highest at the mean of ``x``."""
    slopes = [0.0, *(g for g in ((y[:, None] - y) / (x[:, None] - x + np.eye(len(x)))).ravel() if g > 0)]
    lines = [(float((y - g * x).min()), float(g)) for g in slopes]
    return max(lines, key=lambda line: line[0] + line[1] * float(x.mean()))


@cache
def _ramps() -> NDArray[np.float64]:
    """Orthonormal ``(256, 3)``: constant, slope in Y, slope in X."""
    ramp = np.arange(BLOCK) - (BLOCK - 1) / 2
    basis = np.stack([np.ones((BLOCK, BLOCK)), ramp[:, None] + 0 * ramp, ramp + 0 * ramp[:, None]])
    scaled: NDArray[np.float64] = basis / np.sqrt((basis**2).sum((1, 2), keepdims=True))
    return scaled.reshape(3, -1).T


def _lags() -> NDArray[np.intp]:
    return np.arange(-RADIUS, RADIUS + 1)


def _pairs() -> NDArray[np.float64]:
    """Of pixels of a block that lie so far apart."""
    pairs = BLOCK - np.abs(_lags())
    return np.outer(pairs, pairs).astype(np.float64)


def _mean_products(residual: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of pixels at each distance, over the pairs that a block holds."""
    size = next_fast_len(BLOCK + RADIUS, real=True)
    power = (np.abs(rfft2(residual, s=(size, size))) ** 2).mean(0)
    products: NDArray[np.float64] = irfft2(power, s=(size, size))
    lags = _lags()
    means: NDArray[np.float64] = products[np.ix_(lags, lags)] / _pairs()
    return means


def _debiased(measured: NDArray[np.float64]) -> NDArray[np.float64]:
    """The covariance c for which the mean products of residuals are expected to be ``measured``."""
    solved = np.linalg.solve(_expected(), measured.ravel()).reshape(measured.shape)
    return (solved + np.flip(solved)) / 2


@cache
def _expected() -> NDArray[np.float64]:
    """Mean products of residuals as a matrix times the covariance.

    The residual r = P n with P = 1 - Q Q', Q the ramps: E[r r'] = P C P. A lag's sum of products is the trace of that
    with the matrix that shifts by the lag, and C is the sum of shifts weighted by c.
    """
    lags = [(int(dy), int(dx)) for dy in _lags() for dx in _lags()]
    basis = _ramps().T.reshape(3, BLOCK, BLOCK)
    shifted = np.stack([_shifted(basis, lag) for lag in lags]).reshape(len(lags), 3, -1)
    flat = basis.reshape(3, -1)
    inner = np.einsum("lkp,mp->lkm", shifted, flat)
    # tr(S'C) - tr(S'QQ'C) - tr(S'CQQ') + tr(S'QQ'CQQ'), each with S and C a shift; -lag is its transpose.
    backward = shifted[::-1]
    both = np.einsum("lkp,mkp->lm", backward, backward) + np.einsum("lkp,mkp->lm", shifted, shifted)
    matrix = np.diag(_pairs().ravel()) - both + np.einsum("lkm,nkm->ln", inner, inner)
    per_pair: NDArray[np.float64] = matrix / _pairs().reshape(-1, 1)
    return per_pair


def _shifted(stack: NDArray[np.float64], lag: tuple[int, int]) -> NDArray[np.float64]:
    """Moved by whole pixels in Y and X; 0 comes in."""
    out = np.zeros_like(stack)
    to = tuple(slice(max(d, 0), n + min(d, 0)) for d, n in zip(lag, stack.shape[1:], strict=True))
    of = tuple(slice(max(-d, 0), n + min(-d, 0)) for d, n in zip(lag, stack.shape[1:], strict=True))
    out[(slice(None), *to)] = stack[(slice(None), *of)]
    return out

"""How much noise an image has where its flattest parts tell: its level, its correlation, its growth with the signal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy.fft import dct, dctn

from napari_restore.core.errors import ImageError
from napari_restore.metrics.covariance import noise_covariance
from napari_restore.metrics.pixel_noise import PixelNoise

WHITE_ENOUGH = 0.15
"""Correlation of neighbouring pixels up to which noise is treated as white.

By chance hardly any white noise has more: 1 of 900 planes of 48 to 256 pixels a side did, flat, of blobs and of a
photograph. And not much more may be let in: at a correlation of 0.16 SURE misjudges a Gaussian filter by 1.6 dB.
"""

_BLOCK = 8
_HALF = _BLOCK // 2
_FINE = _HALF * _HALF  # coefficients in the quadrant of the finest structure
_ASIDE = np.add.outer(np.arange(_BLOCK), np.arange(_BLOCK)) % 2 == 0  # every other of the coefficients that are coarse
_ASIDE[:_HALF, :_HALF] = _ASIDE[_HALF:, _HALF:] = False  # along one axis alone
_GROUPS = 8  # of tiles, for the jackknife

_BLOCKS_AT_MOST = 200_000
_SMALLEST = 0.005  # share of the blocks to start from

# Chosen on downsampled and blurred natural images with noise of known level.
_FEWEST = 40  # blocks to start from, most of them lying over each other
_SPREAD_AT_MOST = 0.1  # of a reliable level
_UNIFORM = 0.25  # share of the blocks that must agree before a correlation is taken for the noise's, not a texture's
_CORRELATED = 0.1
_STRONG = 0.6
# What structure gives the finest quadrant, of what it gives the coefficients aside: where blocks with more of it do not
# tell, so many times what it gives those aside of what it gives the coarse ones, this at most; at most, where they do;
# and how many of their standard errors the first weighs. Of the finest energy, at most. Chosen on photographs of one
# collection with noise of 10, 25 and 50, and on smooth blobs, as microscopes show them.
_FALLS, _USUAL, _STEEPEST, _WEIGHT, _MOST = 5.0, 0.25, 0.6, 16.0, 1 / 3
_ALIKE = 0.03  # correlation from which it is the noise's, where many blocks agree
_BINS, _BLOCKS_IN_A_BIN, _POINTS = 12, 1000, 4  # of the signal: at most; at least; at least with a useful answer
_TAIL, _APART = 4, 1.5  # more bins at either end; deviations of a block's mean between two edges, at least
_ERROR_AT_MOST = 0.2  # of the variance in such a bin
_OVER_BRIGHTER_AT_MOST = 1.5  # times what is brighter may have: no bin of 180 frames and pictures, but for two averages
_SIGNIFICANT = 7.0  # standard errors of the slope
_WHOLE, _PHOTONS = 1e-4, 0.1  # from whole numbers, at most; of the variance of counted photons from their mean
_NOTHING = 1e-10  # of the signal: what rounding leaves


@dataclass(frozen=True)
class NoiseLevel:
    """What the flattest blocks of some planes say about their noise.

    The variance at a signal is that of ``pixels``.

    Attributes
    ----------
    sigma
        Standard deviation in the units of the planes; where it grows with the signal, its root mean square over them.
    spread
        Relative uncertainty of ``sigma`` (0.05 is 5 %): how much groups of blocks far from each other disagree, and how
        much the estimate rises when less flat blocks are let in.
    correlation
        Of the noise in neighbouring pixels along Y or X, whichever is larger, -1 to 1; near 0 for white noise.
    gain
        Growth of the variance with the signal, in units of the planes; 0 where it is not significant.
    offset
        Signal at which the noise of the signal sets in, in units of the planes; 0 unless the variance falls to nothing
        above a signal of 0, as it does behind a camera's offset.
    read
        Standard deviation at signal 0: of the noise that does not come from the signal.
    reliable
        False where no flat part was found, or too few to tell noise from texture.
    constant
        Whether all pixels have one value: there is no noise to know.
    """

    sigma: float
    spread: float
    correlation: float
    gain: float
    offset: float
    read: float
    reliable: bool
    constant: bool = False

    @property
    def white(self) -> bool:
        """Whether neighbouring pixels are no more alike than ``WHITE_ENOUGH``."""
        return abs(self.correlation) < WHITE_ENOUGH

    @property
    def pixels(self) -> PixelNoise:
        """The variance that each pixel has by its signal."""
        return PixelNoise(self.read**2, self.gain, self.offset)


@dataclass(frozen=True)
class _Blocks:
    """One entry a block: its mean, the mean squares of the quadrants of its cosine transform, where it lies."""

    mean: NDArray[np.float64]
    coarse: NDArray[np.float64]
    along_y: NDArray[np.float64]  # coarse along X
    along_x: NDArray[np.float64]  # coarse along Y
    fine: NDArray[np.float64]
    aside: NDArray[np.float64]  # of half of the coefficients in ``along_y`` and ``along_x``
    tile: NDArray[np.int64]  # blocks of one tile lie over each other: they are no independent witnesses

    @property
    def structure(self) -> NDArray[np.float64]:
        """Mean square of all but the finest coefficients, those aside and the mean."""
        return ((_FINE - 1) * self.coarse + _FINE * (self.along_y + self.along_x - self.aside)) / (2 * _FINE - 1)

    def __len__(self) -> int:
        return len(self.mean)

    def take(self, index: NDArray[Any]) -> _Blocks:
        """These blocks only."""
        return _Blocks(*(getattr(self, name)[index] for name in self.__dataclass_fields__))


def estimate(planes: Sequence[NDArray[Any]], *, smallest: float = _SMALLEST) -> NoiseLevel:
    """Estimate the noise that some planes have in common, from their flattest blocks.

    Blocks of 8 x 8 pixels are ordered by the energy of all but the finest quadrant of their cosine transform, and the
    noise is read from that quadrant, after Ponomarenko et al. (2007) as analysed by Colom and Buades (2013,
    doi:10.5201/ipol.2013.45). White noise is independent from coefficient to coefficient, so that choosing by some of
    them does not bias the others. Two differences: the selection grows from the flattest blocks for as long as the
    estimate does not, where theirs is fixed; and the variance against the signal is a line. Where neighbours are found
    to be alike, the covariance of the flattest blocks tells the level, see ``covariance.noise_covariance``.

    Parameters
    ----------
    planes
        Arrays ``(Y, X)`` of one image or of several that were taken alike, in the same units. Blocks with pixels that
        are not finite, or all alike, or with more than three at the least or the greatest value of their plane, are
        left out, unless there are no others.
    smallest
        Fraction of the blocks to start from, 0 to 1; never fewer than 40 of them.

    Raises
    ------
    ImageError
        If no plane has a block of 8 x 8 finite pixels.
    """
    scale = _scale(planes)
    scaled = [np.asarray(p, np.float64) / (scale or 1.0) for p in planes]
    level = _estimate(scaled, smallest, photons=_are_photons(scaled))
    if scale == 0:
        return replace(level, constant=True)
    if not level.white:
        level = _alike(level, scaled)
    units = {name: scale * getattr(level, name) for name in ("sigma", "gain", "offset", "read")}
    return replace(level, **units)


def most_noise(planes: Sequence[NDArray[Any]]) -> NDArray[np.float64]:
    """What the variance of white noise is not above, by the signal.

    Parameters
    ----------
    planes
        As in ``estimate``.

    Returns
    -------
    NDArray
        ``(N, 2)``: the mean of the flattest blocks of about a signal, rising, and the energy of their finest quadrant,
        which holds their noise and some of their structure; none where the planes have few blocks.

    Raises
    ------
    ImageError
        If no plane has a block of 8 x 8 finite pixels.
    """
    scale = _scale(planes)
    blocks = _blocks([np.asarray(p, np.float64) / (scale or 1.0) for p in planes], photons=False)
    variance = _found(blocks, _SMALLEST, alike=False).variance
    found = [(scale * f.mean, scale**2 * f.finest) for f in _in_bins(blocks, _SMALLEST, variance, alike=False)]
    return np.array(found, np.float64).reshape(-1, 2)


def _scale(planes: Sequence[NDArray[Any]]) -> float:
    """A power of two near the deviation of some planes: squares of squares of 1e-30 would round to 0."""
    finite = [p[np.isfinite(p)].astype(np.float64) for p in planes]
    spread = max((float(np.abs(f - f.mean()).max()) for f in finite if f.size), default=0.0)
    return 2.0 ** math.frexp(spread)[1] if spread > 0 else 0.0


def _estimate(planes: Sequence[NDArray[np.float64]], smallest: float, *, photons: bool) -> NoiseLevel:
    """``estimate`` for numbers of any size but the smallest and the largest."""
    blocks = _blocks(planes, photons=photons)
    along, share = _correlation(blocks, smallest)
    correlation = max(along, key=abs)
    alike = abs(correlation) > _ALIKE
    found = _found(blocks, smallest, alike=alike)
    if found.variance <= (_NOTHING * np.abs(blocks.mean).max()) ** 2:
        return NoiseLevel(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, reliable=False)
    gain, constant = _line(blocks, smallest, variance=found.variance, alike=alike)
    variance = float(np.mean(np.maximum(0, constant + gain * blocks.mean))) if gain > 0 else found.variance
    uniform = found.share >= _UNIFORM
    if abs(correlation) > _CORRELATED and uniform:
        variance, constant, gain = variance / share, constant / share, gain / share
    return NoiseLevel(
        sigma=math.sqrt(variance),
        spread=found.error / 2,
        correlation=correlation,
        gain=gain,
        offset=max(0.0, -constant / gain) if gain > 0 else 0.0,
        read=math.sqrt(max(0.0, constant) if gain > 0 else variance),
        reliable=found.error / 2 < _SPREAD_AT_MOST and (uniform or abs(correlation) < 2 * _CORRELATED),
    )


def _alike(level: NoiseLevel, planes: Sequence[NDArray[np.float64]]) -> NoiseLevel:
    """The level of noise that neighbours share: of next to none of it tells the finest quadrant, of all its covariance.

    Where that is not sure the level stays what it is, and is not reliable where the finest quadrant has a small part of
    the noise: at a correlation of 0.9 it read 14 and 7 of 25.
    """
    try:
        found = noise_covariance(planes, line=level.pixels if level.gain > 0 else None)
    except ImageError:
        return level
    if not found.reliable:
        return replace(level, reliable=level.reliable and abs(level.correlation) < _STRONG)
    pixels, next_to = found.pixels, max(found.next_yx, key=abs)
    everywhere = np.concatenate([p[np.isfinite(p)] for p in planes])
    return replace(
        level,
        sigma=math.sqrt(float(np.mean(pixels.at(everywhere)))),
        spread=found.spread,
        # That of reconstructed CT lies in its diagonals and beyond: alike by little from pixel to pixel, and not white.
        correlation=next_to if abs(next_to) >= WHITE_ENOUGH else level.correlation,
        gain=pixels.gain,
        offset=pixels.offset,
        read=math.sqrt(pixels.constant),
        reliable=True,
    )


def varied(levels: Sequence[NoiseLevel]) -> Sequence[NoiseLevel]:
    """Those of channels that are not constant, which have a say in what suits an image; all where none is left."""
    return [level for level in levels if not level.constant] or levels


def rounded_up(level: NoiseLevel) -> float:
    """The deviation to give to a method: one spread above the estimate, 2 to 10 % of it.

    Too small a value costs a method that trusts it more than too large a one.
    """
    return level.sigma * (1 + min(0.1, max(0.02, level.spread)))


def describe(level: NoiseLevel, *, units: str = "") -> str:
    """One sentence for users, such as "noise estimated at 5.1 ± 0.2 (white)"."""
    unit = f" {units}" if units else ""
    kind = "white"
    if level.gain > 0:
        kind = f"growing with the signal, {level.read:.3g}{unit} without any"
    elif not level.white:
        kind = f"neighbouring pixels correlated by {level.correlation:.2f}"
    if level.constant:
        return "no noise: all pixels have one value"
    said = f"noise estimated at {level.sigma:.3g} ± {level.sigma * level.spread:.2g}{unit} ({kind})"
    return said if level.reliable else f"{said}; not reliable: too little of the image is flat"


def _blocks(planes: Sequence[NDArray[Any]], *, photons: bool) -> _Blocks:
    """The blocks of all planes; on a coarser grid where they are many."""
    step = 1
    while sum(math.prod(max(0, (n - _BLOCK) // step + 1) for n in p.shape) for p in planes) > _BLOCKS_AT_MOST:
        step += 1
    numbered = [(i, np.asarray(p, np.float64)) for i, p in enumerate(planes) if min(p.shape) >= _BLOCK]
    parts = [_blocks_of(p, step, i, photons=photons) for i, p in numbered]
    if not sum(map(len, parts)):
        shapes = ", ".join(str(p.shape) for p in planes[:3]) or "none"
        raise ImageError(
            f"noise level: no block of {_BLOCK} x {_BLOCK} finite pixels in planes of shape {shapes}. Give larger ones."
        )
    return _Blocks(*(np.concatenate([getattr(p, name) for p in parts]) for name in _Blocks.__dataclass_fields__))


def _blocks_of(plane: NDArray[np.float64], step: int, number: int, *, photons: bool) -> _Blocks:
    finite = np.isfinite(plane)
    level = plane[finite].mean() if finite.any() else 0.0
    ends = (plane[finite].min(), plane[finite].max()) if finite.any() else (0.0, 0.0)
    whole = _windows(finite, step).all((-2, -1))
    # Clipped pixels have less noise, or none; a constant was filled in. No photons are as many as they are.
    cut = (plane == ends[1]) | ((plane == ends[0]) & (not photons))
    inside = _windows(cut, step).sum((-2, -1)) <= 3
    varied = (_windows(plane, step) != _windows(plane, step)[..., :1, :1]).any((-2, -1))
    natural = whole & inside & varied
    chosen = natural if natural.any() else whole
    y, x = np.nonzero(chosen)
    pixels = _windows(plane, step)[chosen] - level  # keeps the digits of a small noise on a large signal
    energy = np.square(dctn(pixels, axes=(1, 2), norm="ortho"))
    energy[:, 0, 0] = 0
    return _Blocks(
        mean=pixels.mean((1, 2)) + level,
        coarse=energy[:, :_HALF, :_HALF].sum((1, 2)) / (_FINE - 1),
        along_y=energy[:, _HALF:, :_HALF].mean((1, 2)),
        along_x=energy[:, :_HALF, _HALF:].mean((1, 2)),
        fine=energy[:, _HALF:, _HALF:].mean((1, 2)),
        aside=energy[:, _ASIDE].mean(1),
        tile=(number * 4096 + y * step // (2 * _BLOCK)) * 4096 + x * step // (2 * _BLOCK),
    )


def _are_photons(planes: Sequence[NDArray[np.float64]]) -> bool:
    """Whether pixels are few photons, counted: 0 is one of their numbers then, not where a camera cut them off.

    Counts in any unit: all are multiples of the least, which is their variance over their mean. The variance is that of
    pixels beside each other.
    """
    pixels = np.concatenate([np.empty(0), *(p.ravel() for p in planes)])
    steps = np.concatenate([np.empty(0), *(np.diff(p, axis=1).ravel() for p in planes)])
    inside, steps = pixels[np.isfinite(pixels)], steps[np.isfinite(steps)]
    if not steps.size or inside.min() < 0 or inside.max() == 0:
        return False
    unit = float(inside[inside > 0].min())
    counts = inside / unit
    whole = bool((np.abs(counts - np.rint(counts)) < _WHOLE).all())
    return whole and abs(float(np.square(steps).mean()) / 2 / float(counts.mean()) / unit**2 - 1) < _PHOTONS


def _windows(plane: NDArray[Any], step: int) -> NDArray[Any]:
    return sliding_window_view(plane, (_BLOCK, _BLOCK))[::step, ::step]


def _flattest(
    energy: NDArray[np.float64], structure: NDArray[np.float64], tile: NDArray[np.int64], smallest: float
) -> NDArray[np.intp]:
    """The blocks of least structure: twice as many for as long as their mean energy rises no more than by chance."""
    order = np.argsort(structure, kind="stable")
    size = min(len(order), max(_FEWEST, round(smallest * len(order))))
    while 2 * size <= len(order):
        now, then = energy[order[:size]].mean(), energy[order[: 2 * size]].mean()
        # The one selection is half of the other: their difference has half of its variance. Two standard errors.
        if then > now * (1 + math.sqrt(2) * _chance(energy[order[:size]], tile[order[:size]])):
            break
        size *= 2
    return order[:size]


def _chance(energy: NDArray[np.float64], tile: NDArray[np.int64]) -> float:
    """Relative standard error of the mean: a jackknife over groups of tiles, and no less than of white noise."""
    tiles, place = np.unique(tile, return_inverse=True)
    least = math.sqrt(2 / (_FINE * len(tiles)))
    total = energy.mean()
    if total == 0 or len(tiles) < _GROUPS:
        return least
    sums, counts = (np.bincount(place % _GROUPS, w, _GROUPS) for w in (energy, None))
    without = (sums.sum() - sums) / (counts.sum() - counts) / total
    return max(least, math.sqrt((_GROUPS - 1) * np.mean(np.square(without - without.mean()))))


@dataclass(frozen=True)
class _Found:
    """The variance of white noise in some blocks, its relative error, the share of blocks behind it and their mean.

    ``finest`` is the energy of the finest quadrant, above which the variance is not.
    """

    variance: float
    error: float
    share: float
    mean: float
    finest: float


def _found(blocks: _Blocks, smallest: float, *, alike: bool) -> _Found:
    """From the flattest blocks, less the structure that is left in them; the error is that of chance and of that.

    White noise alone gives all coefficients the same energy, so that what those aside, which chose no block, have more
    is structure: unless neighbours may be ``alike`` by their noise, and many blocks agree.
    """
    structure = blocks.structure
    order = np.argsort(structure, kind="stable")
    index = _flattest(blocks.fine, structure, blocks.tile, smallest)
    share = len(index) / len(blocks)
    finest, aside = (float(energy[index].mean()) for energy in (blocks.fine, blocks.aside))
    steep = _steepness(blocks, index, order[len(index) : 4 * len(index)])
    left = min(steep / (1 - steep) * (aside - finest), _MOST * finest)
    variance = finest if alike and share >= _UNIFORM else finest - left
    energy = blocks.fine + steep / (1 - steep) * (blocks.fine - blocks.aside)
    error = math.hypot(
        _chance(energy[index], blocks.tile[index]),
        abs(left) / 2 / variance if variance > 0 else 0.0,  # what is taken off is right by half or better
        _rise(blocks.fine, structure, index, order[: 4 * len(index)], variance),
    )
    return _Found(variance, error, share, float(blocks.mean[index].mean()), finest)


def _rise(
    fine: NDArray[np.float64],
    structure: NDArray[np.float64],
    index: NDArray[np.intp],
    wider: NDArray[np.intp],
    variance: float,
) -> float:
    """How much structure may raise the finest quadrant, relative: told by blocks that have more of it.

    White noise alone gives all coefficients the same energy: what the chosen blocks have beyond that is structure, as
    it is where outliers are. Twice the first-order answer, which was found to be half of what some images need.
    """
    finest, left = float(fine[index].mean()), float(structure[index].mean())
    more = float(structure[wider].mean()) - left
    slope = min(1.0, max(0.0, float(fine[wider].mean()) - finest) / more) if more > 0 else 0.0
    return 2 * slope * max(0.0, left - variance) / variance if variance > 0 else 0.0


def _steepness(blocks: _Blocks, index: NDArray[np.intp], wider: NDArray[np.intp]) -> float:
    """What structure gives the finest quadrant, of what it gives the coefficients aside: told by less flat blocks.

    A ridge regression about what the fall from coarse coefficients to those aside lets expect: these blocks tell where
    they have surely more structure than the flattest.
    """
    coarse, aside, fine = (float(energy.mean()) for energy in (blocks.coarse, blocks.aside, blocks.fine))
    usual = min(_USUAL, _FALLS * max(0.0, aside - fine) / (coarse - fine)) if coarse > fine else _USUAL
    if len(wider) < _FEWEST:
        return usual
    more, finer = (float(energy[wider].mean() - energy[index].mean()) for energy in (blocks.aside, blocks.fine))
    chance = _WEIGHT * _chance(blocks.fine[index], blocks.tile[index]) * float(blocks.fine[index].mean())
    ridge = 2 * chance**2  # of a difference of two
    steep = (finer * more + usual * ridge) / (more**2 + ridge) if ridge > 0 else usual
    return min(_STEEPEST, max(0.0, steep))


def _correlation(blocks: _Blocks, smallest: float) -> tuple[tuple[float, float], float]:
    """Correlation of neighbours along Y and along X, and the share of the variance that the finest quadrant then has.

    Each is told by the quadrant that is coarse along the other axis, in blocks chosen without it. Noise whose
    correlation falls as r, r^2, r^3 ... has a known share of its variance in the upper half of a cosine transform.
    """
    r = np.linspace(-0.95, 0.95, 191)
    lag = np.abs(np.subtract.outer(np.arange(_BLOCK), np.arange(_BLOCK)))
    cosines = dct(np.eye(_BLOCK), axis=0, norm="ortho")
    power = np.einsum("ki,rij,kj->rk", cosines, r[:, None, None] ** lag, cosines)
    lower, upper = power[:, :_HALF].mean(1), power[:, _HALF:].mean(1)
    found, share = [], 1.0
    for told, other in ((blocks.along_x, blocks.along_y), (blocks.along_y, blocks.along_x)):
        chosen = _flattest(told, (_FINE - 1) * blocks.coarse + _FINE * other, blocks.tile, smallest)
        ratio = told[chosen].mean() / max(blocks.fine[chosen].mean(), np.finfo(float).tiny)
        found.append(float(np.interp(ratio, lower / upper, r)))
        share *= float(np.interp(found[-1], r, upper))
    return (found[0], found[1]), share


def _line(blocks: _Blocks, smallest: float, *, variance: float, alike: bool) -> tuple[float, float]:
    """Slope and constant of the variance against the mean; a slope of 0 where it is not significant."""
    points = _points(_in_bins(blocks, smallest, variance, alike=alike))
    if len(points) < _POINTS:
        return 0.0, 0.0
    mean, variances, error = points.T
    slope, middle, chance = _fit(mean - mean.mean(), variances, error)
    if slope <= _SIGNIFICANT * chance or slope * np.ptp(mean) <= 0.25 * middle:
        return 0.0, 0.0
    return slope, middle - slope * float(mean.mean())


def _in_bins(blocks: _Blocks, smallest: float, variance: float, *, alike: bool) -> list[_Found]:
    """What the flattest blocks of about a signal tell, from dark to bright."""
    edges = _edges(blocks, variance)
    part = np.searchsorted(edges, blocks.mean)
    bins = [blocks.take(np.flatnonzero(part == b)) for b in range(len(edges) + 1)]
    return [_found(b, smallest, alike=alike) for b in bins if len(b) >= _FEWEST]  # few where many have one mean


def _points(found: Sequence[_Found]) -> NDArray[np.float64]:
    """Mean, variance and its relative error of the bins with a useful answer: ``(N, 3)``.

    Noise grows with the light: of what has far more of it than something brighter, most is structure.
    """
    brighter = np.minimum.accumulate(np.array([f.finest for f in found])[::-1])[::-1]
    points = [
        (f.mean, f.variance, f.error)
        for f, least in zip(found, brighter, strict=True)
        if 0 < f.error < _ERROR_AT_MOST and f.variance < _OVER_BRIGHTER_AT_MOST * least
    ]
    return np.asarray(points, np.float64).reshape(-1, 3)


def _edges(blocks: _Blocks, variance: float) -> NDArray[np.float64]:
    """Of bins of the signal: as many blocks in each, and finer ones towards both ends, where what is rare lies.

    No two are nearer than the noise of a block's mean: what is alike but for that says nothing of a slope, and would
    draw the line to one through it.
    """
    count = min(_BINS, len(blocks) // _BLOCKS_IN_A_BIN)
    if count < 2:
        return np.empty(0)
    tail = np.geomspace(_BLOCKS_IN_A_BIN / len(blocks), 1 / count, _TAIL, endpoint=False)
    shares = np.sort(np.concatenate([np.linspace(0, 1, count + 1)[1:-1], tail, 1 - tail]))
    apart = _APART * math.sqrt(variance) / _BLOCK
    edges: list[float] = []
    for edge in np.quantile(blocks.mean, shares):
        if not edges or edge - edges[-1] >= apart:
            edges.append(float(edge))
    return np.asarray(edges)


def _fit(
    x: NDArray[np.float64], variance: NDArray[np.float64], error: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Weighted least squares: slope, value at 0, and standard error of the slope; ``error`` is relative."""
    design = np.stack([x, np.ones_like(x)], 1)
    line, covariance = np.array([0.0, variance.mean()]), np.zeros((2, 2))
    width = error
    for _ in range(5):  # the error is relative to the line's value, not the point's: low points would draw the line
        width = error * np.maximum(design @ line, 0.1 * variance.mean())
        covariance = np.linalg.pinv((design / width[:, None]).T @ (design / width[:, None]))
        line = covariance @ (design.T @ (variance / width**2))
    scatter = float(np.sum(np.square((variance - design @ line) / width))) / (len(x) - 2)
    return float(line[0]), float(line[1]), math.sqrt(covariance[0, 0] * max(1.0, scatter))

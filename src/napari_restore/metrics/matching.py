"""Whether two pictures show the same: by a line from one's values to the other's, and by how far one has moved.

Both are noisy, so that neither can be the x of an ordinary regression: its slope would be too small. Means over small
boxes of one half of the pixels are therefore weighted by means over the other half, whose noise is its own: an
instrumental variable (Wald 1940, doi:10.1214/aoms/1177731868).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.registration import phase_cross_correlation

Plane = NDArray[np.float64]

_BOX = 8
_FEWEST_BOXES = 16
_ROUNDS = 20
_KEPT = 0.6  # of the boxes, while it is not known which of them differ
_OUTSIDE = 4.0  # robust deviations from the line
_DIFFERENT = 5.0
_OF_CONTRAST = 0.15
_CHANCE = 3  # boxes that differ in pairs that do not
_UPSAMPLED = 20
_SMOOTHED = 1.5  # pixels
_SURELY = 2.0  # standard errors
_WINDOWED = 2.0  # times the error of all pixels alike
_NORMAL_MAD = 0.6744897501960817


@dataclass(frozen=True)
class Line:
    """``second = gain * first + offset``, by the boxes in which that is so.

    Attributes
    ----------
    gain, offset
        Of the line; the gain 1 where the pictures have too little contrast to tell it.
    gain_error
        Standard error of the gain; infinite where it could not be told.
    step
        How far the second is above the first, at the mean of the boxes.
    step_error
        Its standard error.
    likeness
        Correlation of the two without their noise: 1 for the same scene, about 0 for two that have nothing to do with
        each other. NaN where one has too little contrast to tell.
    seen
        Whether both have contrast that is no noise, or neither.
    differing
        Share of the boxes that lie off the line by more than noise, and by more than 0.15 of the contrast.
    """

    gain: float
    offset: float
    gain_error: float
    step: float
    step_error: float
    likeness: float
    seen: bool
    differing: float


def line_between(first: Sequence[Plane], second: Sequence[Plane]) -> Line | None:
    """The line from one's values to the other's.

    Parameters
    ----------
    first, second
        Planes ``(Y, X)`` that lie on each other, in pairs. Boxes with a pixel that is not finite do not count.

    Returns
    -------
    Line
        Or None where fewer than 16 boxes are left.
    """
    boxes = np.concatenate([_boxes(a, b) for a, b in zip(first, second, strict=True)], axis=1)
    boxes = boxes[:, np.isfinite(boxes).all(0)]
    if boxes.shape[1] < _FEWEST_BOXES:
        return None
    return _fitted(*boxes)


def _boxes(first: Plane, second: Plane) -> Plane:
    """A column for each box: means of both pictures, on one half of its pixels and on the other, and their noise."""
    side = max(2, min(_BOX, min(first.shape) // 8 // 2 * 2))
    rows, columns = (n // side for n in first.shape)
    if not rows or not columns:
        return np.empty((6, 0))

    def cut(plane: Plane) -> Plane:
        whole = plane[: rows * side, : columns * side].reshape(rows, side, columns, side)
        pixels: Plane = whole.swapaxes(1, 2).reshape(rows * columns, side * side)
        return pixels

    a, b = cut(first), cut(second)
    half = (np.indices((side, side)).sum(0) % 2 == 0).ravel()
    means = [part.mean(1) for part in (a[:, half], a[:, ~half], b[:, half], b[:, ~half])]
    # Of the mean of a half. Slopes within the box count as noise, too: it is only for weights.
    noise = [part.var(1) / half.sum() for part in (a, b)]
    return np.stack([*means, *noise])


def _fitted(a1: Plane, a2: Plane, b1: Plane, b2: Plane, noise_a: Plane, noise_b: Plane) -> Line:
    gain, offset, error = _line(a1, a2, b1, b2, np.ones(len(a1), bool))
    for _ in range(_ROUNDS):  # the boxes nearest to the line make the next one (Rousseeuw, Van Driessen 1999)
        off = _off(a1, a2, b1, b2, gain, offset, noise_a, noise_b)
        gain, offset, error = _line(a1, a2, b1, b2, off <= np.quantile(off, _KEPT))
    off = _off(a1, a2, b1, b2, gain, offset, noise_a, noise_b)
    off /= max(float(np.median(off)) / _NORMAL_MAD, 1e-9)
    gain, offset, error = _line(a1, a2, b1, b2, off <= _OUTSIDE)
    kept = off <= _OUTSIDE
    a, b = (a1 + a2) / 2, (b1 + b2) / 2
    step = b[kept] - a[kept]
    contrast = math.sqrt(max(_covariance(b1, b2, kept), 0.0))
    differing = (off > _DIFFERENT) & (np.abs(b - gain * a - offset) > _OF_CONTRAST * contrast)
    return Line(
        gain=gain,
        offset=offset,
        gain_error=error,
        step=float(step.mean()),
        step_error=float(step.std() / math.sqrt(len(step))),
        likeness=_likeness(a1, a2, b1, b2),
        seen=bool(_contrast(a1, a2)) == bool(_contrast(b1, b2)),
        differing=float(differing.mean()) if differing.sum() > _CHANCE else 0.0,
    )


def _line(a1: Plane, a2: Plane, b1: Plane, b2: Plane, kept: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Gain, offset and the gain's standard error, from each half with the other one as its instrument."""
    x, y = np.concatenate([a1[kept], a2[kept]]), np.concatenate([b1[kept], b2[kept]])
    z = np.concatenate([_standard(a2, kept) + _standard(b2, kept), _standard(a1, kept) + _standard(b1, kept)])
    x_mean, y_mean = float(x.mean()), float(y.mean())
    along = float(z @ (x - x_mean))
    gain = float(z @ (y - y_mean)) / along if along > 0 else 1.0
    left = y - y_mean - gain * (x - x_mean)
    error = math.sqrt(2 * float((z * left) @ (z * left))) / along if along > 0 else math.inf  # halves are no new boxes
    if not error < 0.5 * abs(gain):
        return 1.0, y_mean - x_mean, math.inf
    return gain, y_mean - gain * x_mean, error


def _standard(values: Plane, kept: NDArray[np.bool_]) -> Plane:
    chosen = values[kept] - values[kept].mean()
    scaled: Plane = chosen / (float(chosen.std()) or 1.0)
    return scaled


def _off(
    a1: Plane, a2: Plane, b1: Plane, b2: Plane, gain: float, offset: float, noise_a: Plane, noise_b: Plane
) -> Plane:
    """How far each box is off a line, in deviations of its noise."""
    noise = (noise_b + gain**2 * noise_a) / 2
    least = float(np.mean(noise)) / 4 + 1e-30  # a box without a photon has more noise than it shows
    off: Plane = np.abs((b1 + b2) / 2 - gain * (a1 + a2) / 2 - offset) / np.sqrt(noise + least)
    return off


def _covariance(one: Plane, other: Plane, kept: NDArray[np.bool_] | slice = slice(None)) -> float:
    return float(np.mean((one[kept] - one[kept].mean()) * (other[kept] - other[kept].mean())))


def _contrast(one: Plane, other: Plane) -> float:
    """The variance that two halves have in common, 0 where it may be noise's."""
    common = _covariance(one, other)
    spread = math.sqrt(_covariance(one, one) * _covariance(other, other))
    # Of boxes of noise alone, halves correlate by chance up to a few times 1/sqrt(N).
    return common if common > 5 / math.sqrt(len(one)) * spread else 0.0


def _likeness(a1: Plane, a2: Plane, b1: Plane, b2: Plane) -> float:
    """Correlation of the two, over what each has in common with its own other half (Spearman 1904)."""
    own = _contrast(a1, a2) * _contrast(b1, b2)
    return (_covariance(a1, b2) + _covariance(a2, b1)) / 2 / math.sqrt(own) if own else math.nan


@dataclass(frozen=True)
class Move:
    """How far the second lies from the first, in pixels along Y and X, and the standard error of that along each."""

    by: tuple[float, float]
    error: tuple[float, float]


def move_between(first: Plane, second: Plane) -> Move | None:
    """How far a picture has moved from one to the other, by their cross-correlation.

    Upsampled 20 times (Guizar-Sicairos, Thurman, Fienup 2008, doi:10.1364/OL.33.000156), of pictures that are smoothed,
    as what is finer is mostly noise, under a window that falls to the borders, which would otherwise hold it at 0.

    Parameters
    ----------
    first, second
        Planes ``(Y, X)`` of one shape. Pixels that are not finite count as the mean.

    Returns
    -------
    Move
        What is at (y, x) in the first is at (y, x) + ``by`` in the second. None where they have too little in common,
        or too little contrast, to tell.
    """
    from scipy.signal.windows import hann  # loads scipy.stats: a second, which a first picture does not wait for

    a, b = _centred(first), _centred(second)
    smooth = _smooth(a), _smooth(b)
    if not a.any() or not b.any():
        return None
    whole, step = np.zeros(2, int), np.zeros(2)
    for _ in range(3):  # the window, too, holds it back, the less the nearer they lie
        one, other = _overlap(*smooth, whole)
        if min(one.shape, default=0) < _BOX:
            return None
        window = np.outer(*(hann(n + 2)[1:-1] for n in one.shape))
        one, other = (one - one.mean()) * window, (other - other.mean()) * window
        shift, *_ = phase_cross_correlation(one, other, upsample_factor=_UPSAMPLED, normalization=None)
        step = -np.asarray(shift)
        if not np.rint(step).any():
            break
        whole = whole + np.rint(step).astype(int)
    by = whole + step
    whole = np.rint(by).astype(int)
    if whole.any() and not _agree_better(smooth, whole):
        by, whole = np.zeros(2), np.zeros(2, int)
    error = _move_error(_overlap(a, b, whole), _overlap(*smooth, whole))
    return Move((float(by[0]), float(by[1])), error) if error is not None else None


def moved_by_planes(first: tuple[Plane, Plane], second: tuple[Plane, Plane]) -> int:
    """Whether two neighbouring planes of one stack fit those of another better when these are taken across.

    Returns
    -------
    int
        1 where what is in a plane of the first lies deeper in the second, -1 where it lies less deep, 0 where neither
        is sure.
    """
    a, b = ([_smooth(_centred(plane)) for plane in two] for two in (first, second))
    count = a[0].size / (4 * math.pi * _SMOOTHED**2)
    straight = [_correlation(one, other) for one, other in zip(a, b, strict=True)]
    for way, across in ((1, _correlation(a[0], b[1])), (-1, _correlation(a[1], b[0]))):
        if min(across, *straight) <= 0:
            continue
        # Aligned this is the correlation of the planes with each other, below 1, however noisy either is.
        ratio = across / math.sqrt(straight[0] * straight[1])
        spread = [
            ((1 - c**2) / c) ** 2 * weight for c, weight in ((across, 1), (straight[0], 0.25), (straight[1], 0.25))
        ]
        if ratio - 1 > _DIFFERENT * ratio * math.sqrt(sum(spread) / count):
            return way
    return 0


def _correlation(one: Plane, other: Plane) -> float:
    power = math.sqrt(float((one**2).mean() * (other**2).mean()))
    return float((one * other).mean()) / power if power > 0 else 0.0


def _centred(plane: Plane) -> Plane:
    finite = np.isfinite(plane)
    centred: Plane = np.where(finite, plane - (plane[finite].mean() if finite.any() else 0.0), 0.0)
    return centred


def _smooth(plane: Plane) -> Plane:
    smooth: Plane = gaussian_filter(plane, _SMOOTHED, mode="reflect")
    return smooth


def _overlap(first: Plane, second: Plane, by: NDArray[np.int_]) -> tuple[Plane, Plane]:
    """What both show, once the second is moved back by whole pixels."""
    ours = tuple(slice(max(0, -d), n - max(0, d)) for d, n in zip(by.tolist(), first.shape, strict=True))
    theirs = tuple(slice(max(0, d), n - max(0, -d)) for d, n in zip(by.tolist(), first.shape, strict=True))
    return first[ours], second[theirs]


def _agree_better(smooth: tuple[Plane, Plane], by: NDArray[np.int_]) -> bool:
    """Whether pictures agree better once one is moved back than as they lie, by more than noise would have it.

    On a broad hill or a ramp the correlation hardly falls, and noise says where it is highest.
    """
    one, moved = _overlap(*smooth, by)
    _, still = _overlap(smooth[0], np.roll(smooth[1], by.tolist(), (0, 1)), by)  # what lies at the same pixels
    gained = _left(one, still) ** 2 - _left(one, moved) ** 2
    count = gained.size / (4 * math.pi * _SMOOTHED**2)
    return float(gained.mean()) > _SURELY * float(gained.std()) / math.sqrt(max(count, 1.0))


def _left(one: Plane, other: Plane) -> Plane:
    """What is left of one picture without the other, at the gain that leaves least."""
    one, other = one - one.mean(), other - other.mean()
    power = float((other**2).mean())
    left: Plane = one - (float((one * other).mean()) / power if power > 0 else 0.0) * other
    return left


def _move_error(pixels: tuple[Plane, Plane], smooth: tuple[Plane, Plane]) -> tuple[float, float] | None:
    """The standard error of a shift (Cramér and Rao), or None where nothing stands out of the noise."""
    one, other = smooth
    if min(one.shape, default=0) < _BOX:
        return None
    common = float((one * other).mean())
    powers = [float((plane**2).mean()) for plane in smooth]
    # The correlation of noise at its best place among N is about sqrt(2 log N / N); smooth pixels are fewer.
    count = one.size / (4 * math.pi * _SMOOTHED**2)
    if not common > 2 * math.sqrt(2 * math.log(one.size) / count) * math.sqrt(powers[0] * powers[1]):
        return None
    gain = math.sqrt(powers[1] / powers[0])
    left = float(np.var(pixels[1] / gain - pixels[0]))
    # Noise of the one has nothing to do with that of the other: what their slopes share is the scene's.
    slopes = [float((np.gradient(one, axis=k) * np.gradient(other / gain, axis=k)).mean()) for k in (0, 1)]
    if min(slopes) <= 0:
        return None
    y, x = (_WINDOWED * math.sqrt(left / (one.size * slope)) for slope in slopes)
    return y, x

"""Which pixels of an image were measured: not what fills it up, and not what lies far above or below all else.

The rule is settled once for an image (``settled``) and is local: whether a pixel counts depends on those up to
``PixelRule.reach`` away, so that every part of an image tells the same as the whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from napari_restore.core.normalisation import working_type

Mask = NDArray[np.bool_]
Span = tuple[float, float]

_SOLID = 5
"""Sides of a square of pixels that are all alike, as no noise makes them."""
_BESIDE = 2
"""Pixels to either side of such a square that belong to it, if they have its value: its corners may be ragged."""
_AROUND = 2
"""Pixels to either side whose median is taken for what lies behind an outlier."""
_SHARP = 0.12
"""Of an outlier's height, what the median of its 3 x 3 may have. A point blurred by 0.7 px, which is sharper than
optics whose pixels sample it as they should (0.85 px by Nyquist), has 0.17 or more, and a line has more."""
_BEHIND = 0.25
"""The quantile of its surroundings that heights are over: beside a line, half of them are of it."""
_TWICE = 2.0
"""Times what lies behind it an outlier rises over the middle of the image: bright parts have more noise."""
_USUAL = 1e-3
"""Of the step, the least that the middle is taken to lie above the dark."""
_AT_ONCE = 100_000


@dataclass(frozen=True)
class Spikes:
    """What makes a pixel of one channel an outlier: few pixels, sharper and higher than noise and optics allow.

    Attributes
    ----------
    low, high
        Nothing between them is one.
    middle
        Of all pixels of the channel.
    step
        Least height over the median of its surroundings, where these are no brighter than the middle.
    dark
        From which brightness on noise may grow, as that of photons does: by the root of what is above it.
    """

    low: float
    high: float
    middle: float
    step: float
    dark: float

    def find(self, plane: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[Any]]:
        """Rows and columns of the outliers of ``(Y, X)``, and the median of what lies around each of them."""
        with np.errstate(invalid="ignore"):
            y, x = np.nonzero((plane > self.high) | (plane < self.low))
        padded = np.pad(plane, _AROUND, constant_values=np.nan) if len(y) else plane
        parts = [self._of(padded, y[i : i + _AT_ONCE], x[i : i + _AT_ONCE]) for i in range(0, len(y), _AT_ONCE)]
        if not parts:
            return y, x, np.empty(0, plane.dtype)
        found = np.concatenate([part[0] for part in parts])
        return y[found], x[found], np.concatenate([part[1] for part in parts])[found]

    def _of(self, padded: NDArray[Any], y: NDArray[np.intp], x: NDArray[np.intp]) -> tuple[Mask, NDArray[Any]]:
        """Which of some pixels are outliers, and the median around each."""
        side = 2 * _AROUND + 1
        windows = sliding_window_view(padded, (side, side))[y, x]
        value = windows[:, _AROUND, _AROUND]
        near = slice(_AROUND - 1, _AROUND + 2)
        sign = np.where(value > self.middle, 1, -1).astype(value.dtype)
        turned = sign[:, None, None] * windows  # dark outliers as bright ones
        around, behind = _quantile(turned, 0.5), _quantile(turned, _BEHIND)
        rise = sign * value - behind
        return (
            (sign * value - around > self.step * self._growth(sign * around))
            & (_quantile(turned[:, near, near], 0.5) - behind < _SHARP * rise)
            & (sign * value - sign * self.middle > _TWICE * (around - sign * self.middle))
        ), sign * around

    def _growth(self, signal: NDArray[Any]) -> NDArray[Any]:
        """Of the noise, over that in the middle."""
        usual = max(self.middle - self.dark, self.step * _USUAL)
        growth: NDArray[Any] = np.sqrt(np.maximum(1, (signal - self.dark) / usual))
        return growth


def _quantile(windows: NDArray[Any], part: float) -> NDArray[Any]:
    """Of each window ``(N, ...)``, of what is finite in it: one pixel at least."""
    ordered = np.sort(windows.reshape(len(windows), -1), 1)  # NaN comes last
    last = np.maximum(0, np.isfinite(ordered).sum(1) - 1) * part
    ends = np.stack([np.floor(last), np.ceil(last)], 1).astype(np.intp)
    found: NDArray[Any] = np.take_along_axis(ordered, ends, 1).mean(1)
    return found


@dataclass(frozen=True, eq=False)
class Seen:
    """Pixels of a region, and what they are.

    Attributes
    ----------
    pixels
        As they are stored.
    values
        To look at: NaN or infinite where there is nothing; an outlier as the median of its surroundings.
    outliers
        Where they are; None if there is none.
    """

    pixels: NDArray[Any]
    values: NDArray[Any]
    outliers: Mask | None = None

    @property
    def measured(self) -> NDArray[Any]:
        """The values, NaN at outliers too: what estimates are made from."""
        if self.outliers is None:
            return self.values
        return np.where(self.outliers, self.values.dtype.type(np.nan), self.values)

    def at(self, index: tuple[slice, ...]) -> Seen:
        """A part of it."""
        return Seen(self.pixels[index], self.values[index], None if self.outliers is None else self.outliers[index])

    def take(self, indices: NDArray[np.intp], axis: int) -> Seen:
        """Some of its rows along an axis."""
        outliers = None if self.outliers is None else self.outliers.take(indices, axis)
        return Seen(self.pixels.take(indices, axis), self.values.take(indices, axis), outliers)


@dataclass(frozen=True)
class PixelRule:
    """Which pixels of an image count. Without anything said, all that are finite.

    Attributes
    ----------
    fill
        Values, from and to, that are filling wherever they are.
    found
        Values that are filling where all channels have them, or are flat.
    flat
        Whether areas of one exact value are filling, or saturated, where all channels have one.
    live
        Values whose areas are none: no light is a measurement, too.
    constant
        Channels that have one value throughout, which are no areas.
    spikes
        What an outlier is, a channel; empty, or None for a channel, where none is told from the image.
    """

    fill: tuple[Span, ...] = ()
    found: tuple[float, ...] = ()
    flat: bool = False
    live: tuple[float, ...] = ()
    constant: tuple[int, ...] = ()
    spikes: tuple[Spikes | None, ...] = ()

    @property
    def reach(self) -> int:
        """How far a pixel looks along Y and X."""
        solid = _SOLID - 1 + _BESIDE if self.flat else 0
        return solid + (_AROUND if any(self.spikes) else 0)

    def apply(self, pixels: NDArray[Any], axes: str, *, channel: int = 0) -> Seen:
        """What pixels are, each plane by itself; those beyond the border are taken to be its mirror image.

        Parameters
        ----------
        pixels
            With one entry of ``axes`` an axis.
        channel
            The first that they are of.
        """
        values = pixels.astype(working_type(pixels.dtype), copy=False)
        filling = self._filling(pixels, axes, channel)
        if filling is not None:
            values = np.where(filling, values.dtype.type(np.nan), values)
        if not any(self.spikes):
            return Seen(pixels, values)
        outliers, shown = np.zeros(values.shape, np.bool_), values
        outer = [a for a in axes if a not in "YX"]
        for index, (stored, mask) in _planes(axes, values, outliers):
            spikes = self.spikes[channel + (index[outer.index("C")] if "C" in outer else 0)]
            if spikes is None:
                continue
            y, x, around = spikes.find(stored)
            if len(y):
                mask[y, x] = True
                shown = values.copy() if shown is values else shown
                _plane(axes, shown, index)[y, x] = around
        return Seen(pixels, shown, outliers if outliers.any() else None)

    def _filling(self, pixels: NDArray[Any], axes: str, channel: int) -> Mask | None:
        """Where an image is filled up; None if nowhere."""
        filled: Mask | None = None
        for low, high in self.fill:
            here = pixels == _as(low, pixels.dtype) if low == high else (pixels >= low) & (pixels <= high)
            filled = here if filled is None else filled | here
        if self.flat or self.found:
            areas = self._areas(pixels, axes, channel)
            filled = areas if filled is None else filled | areas
        return filled if filled is not None and filled.any() else None

    def _areas(self, pixels: NDArray[Any], axes: str, channel: int) -> Mask:
        """Where all channels that vary are filled up: an empty red says nothing of the green."""
        areas: Mask = (
            np.isin(pixels, np.asarray(self.found, pixels.dtype)) if self.found else np.zeros(pixels.shape, bool)
        )
        if self.flat:
            for _, (plane, mask) in _planes(axes, pixels, areas):
                mask |= flat_areas(plane, self.live)
        if "C" not in axes:
            return areas
        axis = axes.index("C")
        varied = [i for i in range(pixels.shape[axis]) if channel + i not in self.constant]
        every = areas.take(varied, axis).all(axis, keepdims=True) if varied else np.zeros((1,) * areas.ndim, bool)
        return np.broadcast_to(every, areas.shape)


def _as(value: float, dtype: np.dtype[Any]) -> float:
    """A value as it is stored: -3.4e38 has other digits in float32."""
    return float(dtype.type(value)) if dtype.kind == "f" and np.isfinite(value) else value


def flat_areas(plane: NDArray[Any], live: Sequence[float] = ()) -> Mask:
    """Where ``(Y, X)`` has one exact value in a square of 5 x 5 pixels or more, and what is of this value beside it."""
    if not _may_be_flat(plane):
        return np.zeros(plane.shape, np.bool_)
    from scipy.ndimage import maximum_filter, minimum_filter  # most images need none of it

    finite = np.isfinite(plane)
    values = plane.astype(np.result_type(plane.dtype, np.float32), copy=False)  # holds every value of the plane
    low = minimum_filter(np.where(finite, values, -np.inf), _SOLID)
    high = maximum_filter(np.where(finite, values, np.inf), _SOLID)
    alike = (low == high) & np.isfinite(low) & ~np.isin(values, np.asarray(live, values.dtype))
    area = maximum_filter(alike, _SOLID) if alike.any() else alike
    for _ in range(_BESIDE if area.any() else 0):
        above = maximum_filter(np.where(area, values, -np.inf), 3)
        below = minimum_filter(np.where(area, values, np.inf), 3)
        area = area | (values == above) | (values == below)
    return np.asarray(area, np.bool_)


def _may_be_flat(plane: NDArray[Any]) -> bool:
    """Whether some square could be: each holds a whole cell of a grid of 3 x 3, which is looked at in four pixels."""
    y, x = (n // 3 * 3 for n in plane.shape)
    if min(plane.shape) < _SOLID:
        return False
    first = plane[:y:3, :x:3]
    others = (plane[1:y:3, :x:3], plane[:y:3, 1:x:3], plane[2:y:3, 2:x:3])
    return bool(np.logical_and.reduce([first == other for other in others]).any())


def _plane(axes: str, array: NDArray[Any], index: tuple[int, ...]) -> NDArray[Any]:
    rest = [i for i, a in enumerate(axes) if a not in "YX"]
    plane: NDArray[Any] = array.transpose(*rest, axes.index("Y"), axes.index("X"))[index]
    return plane


def _planes(axes: str, *arrays: NDArray[Any]) -> Iterator[tuple[tuple[int, ...], list[NDArray[Any]]]]:
    """The planes ``(Y, X)`` of arrays that lie over each other, as views, with their places along the other axes."""
    lengths = [n for n, a in zip(arrays[0].shape, axes, strict=True) if a not in "YX"]
    for index in np.ndindex(*lengths):
        yield index, [_plane(axes, array, index) for array in arrays]

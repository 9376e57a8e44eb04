"""Planes of a stack that differ by much: channels in disguise, in turn along time or depth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.errors import ImageError
from napari_restore.core.region import Region
from napari_restore.sources.image import Image

_SIDE = 128
"""Pixels along Y and X of the middle of a plane that its level is of."""

_MOST_PLANES, _FEW_PLANES = 24, 8
_MOST_BYTES = 256 * 2**20
"""So many planes in a row are looked at; fewer, where their chunks are more than so many bytes together."""

_PERIODS = (2, 3, 4, 5, 6)
_DIFFERENT = 3.0
"""Levels of planes, above the darkest pixels, that differ by this factor differ by much."""

_ALIKE = 0.25
"""Part of the (logarithmic) difference of the kinds by which planes of one kind may differ from turn to turn."""


@dataclass(frozen=True, eq=False)
class Levels:
    """Of neighbouring planes along one axis.

    Attributes
    ----------
    first
        Index of the first of them.
    mean
        Of the pixels looked at in each, in units of the image.
    floor
        A level that nearly all pixels of all of them are above.
    """

    axis: str
    first: int
    mean: NDArray[np.float64]
    floor: float

    @property
    def above(self) -> NDArray[np.float64]:
        """How far each is above the floor; never less than a thousandth of the largest, and never 0."""
        height = self.mean - self.floor
        return np.maximum(height, max(1e-3 * float(height.max(initial=0)), np.finfo(np.float64).tiny))


def levels_along(image: Image, axis: str) -> Levels | None:
    """Of the planes in the middle of an axis; None where there are fewer than two, or pixels that cannot be read."""
    if image.geometry.length(axis) < 2:
        return None
    chunk = math.prod(image.chunks) * image.dtype.itemsize
    count = int(np.clip(_MOST_BYTES // max(1, chunk), _FEW_PLANES, _MOST_PLANES))
    most = {axis: count, "Y": _SIDE, "X": _SIDE}
    box = Region.middle_of(image.shape, [most.get(a, 1) for a in image.axes])
    at = image.axes.index(axis)
    try:
        planes = np.moveaxis(image.read(box), at, 0).astype(np.float64).reshape(box.shape[at], -1)
    except ImageError:
        return None
    finite = np.where(np.isfinite(planes), planes, np.nan)
    some = np.isfinite(finite).any(axis=1)
    if some.sum() < 2:
        return None
    mean = np.full(len(planes), np.nan)
    mean[some] = np.nanmean(finite[some], axis=1)
    return Levels(axis, box.start[at], np.where(some, mean, np.nanmin(mean)), float(np.nanpercentile(finite, 1)))


def differ(a: float, b: float) -> bool:
    """Whether two levels above the floor differ by much."""
    return max(a, b) >= _DIFFERENT * min(a, b)


def alternation(image: Image) -> str | None:
    """A warning where planes differ by much in turn, along an axis that is not called channel; else None.

    Channels that were taken in turn and opened as times or depths share one normalisation and one output type, and the
    dim ones stay noisy.
    """
    if "C" in image.axes:
        return None
    for axis in "TZ":
        levels = levels_along(image, axis) if axis in image.axes else None
        kinds = _kinds(levels.above, levels.mean) if levels is not None else None
        if kinds is not None:
            said = f"{', '.join(f'{level:.4g}' for level in kinds[:-1])} and {kinds[-1]:.4g}"
            axes = image.axes.replace(axis, f"{axis}C({len(kinds)})")
            return f"planes along {axis} alternate between {said}: channels? Give `axes` {axes}."
    return None


def _kinds(above: NDArray[np.float64], mean: NDArray[np.float64]) -> Sequence[float] | None:
    """The level of each kind of plane, if kinds come in turn: the shortest period that explains them."""
    logs = np.log(above)
    for period in _PERIODS:
        if 2 * period > len(logs):
            return None
        levels = np.asarray([np.median(logs[k::period]) for k in range(period)])
        spread = float(np.ptp(levels))
        turns = [np.abs(np.diff(logs[k::period])) for k in range(period)]
        # One odd plane is no kind: the brightest and the darkest kind have to come again by themselves.
        changes = (np.quantile(np.concatenate(turns), 0.75), *(np.median(turns[k]) for k in _ends(levels)))
        if spread >= math.log(_DIFFERENT) and float(max(changes)) < _ALIKE * spread:
            return [float(np.median(mean[k::period])) for k in range(period)]
    return None


def _ends(levels: NDArray[np.float64]) -> tuple[int, int]:
    return int(levels.argmin()), int(levels.argmax())

"""Whether the dim planes of a stack become as clear as the bright ones: the middle that is judged is mostly light."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.errors import ImageError
from napari_restore.core.region import Region
from napari_restore.metrics.noise_level import estimate
from napari_restore.sources import Image
from napari_restore.sources.alternating import differ, levels_along

_NOISY, _BETTER = 0.5, 1.5
"""Planes that keep more than half of their noise, and this many times what the others keep, stay noisy."""


@dataclass(frozen=True)
class Kept:
    """Of one plane: its level, in units of the image, and which part of its noise (a deviation) is left."""

    level: float
    left: float


def kept_by_kind(
    image: Image, denoise: Callable[[NDArray[Any]], NDArray[Any]], *, along: str = "", depth: int = 1, size: int
) -> tuple[Kept, Kept] | None:
    """Of the darkest and the brightest plane of the middle of the image; None where they do not differ by much.

    Parameters
    ----------
    denoise
        Restores pixels with the axes of the image, in its units.
    along, depth
        The axis along which it has to have planes around it, and how many; none where it looks at one at a time.
    size
        Pixels along Y and X, at most.
    """
    for axis in "TZ":
        levels = levels_along(image, axis) if axis in image.axes else None
        if levels is None or not differ(*_ends(levels.above)):
            continue
        ends = (int(levels.above.argmin()), int(levels.above.argmax()))
        at = [{axis: levels.first + i} for i in ends]
        kept = [_kept(image, denoise, place, along=along, depth=depth, size=size) for place in at]
        if kept[0] is not None and kept[1] is not None:
            return kept[0], kept[1]
    return None


def stays_noisy(kept: tuple[Kept, Kept]) -> bool:
    """Whether one kind keeps its noise while the other does not."""
    worst, best = max(each.left for each in kept), min(each.left for each in kept)
    return worst > _NOISY and worst > _BETTER * best


def _ends(above: NDArray[np.float64]) -> tuple[float, float]:
    return float(above.min()), float(above.max())


def _kept(
    image: Image,
    denoise: Callable[[NDArray[Any]], NDArray[Any]],
    at: dict[str, int],
    *,
    along: str,
    depth: int,
    size: int,
) -> Kept | None:
    """Of one plane; None where its noise cannot be measured."""
    shape = [{"Y": size, "X": size, "C": n}.get(a, 1) for a, n in zip(image.axes, image.shape, strict=True)]
    box = Region.middle_of(image.shape, shape)
    start, stop = list(box.start), list(box.stop)
    inside = [slice(None)] * image.ndim
    for i, axis in enumerate(image.axes):
        place = at.get(axis, start[i])
        if axis == along and depth > 1:
            start[i] = max(0, min(place - depth // 2, image.shape[i] - depth))
            stop[i] = min(image.shape[i], start[i] + depth)
            inside[i] = slice(place - start[i], place - start[i] + 1)
        elif axis in at:
            start[i], stop[i] = place, place + 1
    try:
        seen = image.seen(Region(tuple(start), tuple(stop)))
        plane, restored = (p[tuple(inside)] for p in (seen.measured, denoise(seen.values)))
        clear = np.where(np.isfinite(plane), restored, np.nan)
        before, after = (estimate(_planes(p, image.axes)).sigma for p in (plane, clear))
    except ImageError:  # not readable, or no block of finite pixels
        return None
    return Kept(float(np.nanmean(plane)), after / before) if before > 0 else None


def _planes(pixels: NDArray[Any], axes: str) -> list[NDArray[Any]]:
    """Planes ``(Y, X)``, those of all channels."""
    order = [i for i, a in enumerate(axes) if a not in "YX"] + [axes.index(a) for a in "YX"]
    ordered = pixels.transpose(order)
    return list(ordered.reshape(-1, *ordered.shape[-2:]))

"""Which plane of an image is looked at, the one that cuts it, and a plane's pixels out of a region's. No Qt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import lcm
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.events import Preview
from napari_restore.core.region import Region
from napari_restore.sources.image import Image

Plane = Literal["XY", "XZ", "YZ"]
"""Along X from left to right and along Y from the top down, and so on; Z is always from the top down."""

_SIDE, _PLANES = 256, 64
"""Pixels of the part that is previewed, along Y and X and along Z: enough to judge, and a tenth of a second to restore;
a cut through planes that are restored one by one takes longer for each of them."""

_THIN = 0.15
"""As high as wide, at least: the planes of a thin stack must be told apart."""


def planes_of(image: Image) -> tuple[Plane, ...]:
    """Those that an image can be looked at in."""
    return ("XY", "XZ", "YZ") if "Z" in image.axes and image.geometry.length("Z") > 1 else ("XY",)


def plane_shown(image: Image, layer: Any, displayed: Sequence[int], *, ndim: int) -> Plane:
    """Which plane of a layer's image a canvas shows whose viewer has ``ndim`` axes; XY where it shows another one."""
    shown = {image.axes[axis - ndim + layer.ndim] for axis in displayed if axis >= ndim - layer.ndim}
    return next((plane for plane in planes_of(image) if set(plane) == shown), "XY")


def region_in_view(
    image: Image, position: Sequence[float], *, rgb: bool = False, side: int = _SIDE, plane: Plane = "XY"
) -> Region:
    """The part of a plane around ``position``: at most ``side`` pixels along Y and X and 64 along Z, all of C.

    ``position`` is in the layer's data coordinates: one entry an axis, without the channel axis where ``rgb``.
    """
    axes = [a for a in image.axes if not (rgb and a == "C")]
    at = dict(zip(axes, position, strict=True))
    most = {axis: _PLANES if axis == "Z" else side for axis in plane}
    spans = [_span(image.geometry.length(a), at.get(a, 0.0), most.get(a, 1), whole=a == "C") for a in image.axes]
    return Region(tuple(a for a, _ in spans), tuple(b for _, b in spans))


def _span(length: int, centre: float, most: int, *, whole: bool) -> tuple[int, int]:
    """Start and stop of the region along one axis."""
    if whole:
        return 0, length
    size = min(most, length)
    start = round(centre) - size // 2 if np.isfinite(centre) else 0
    start = min(max(start, 0), length - size)
    return start, start + size


def plane_of(region: Region, axes: str) -> Plane:
    """In which plane a region lies."""
    length = dict(zip(axes, region.shape, strict=True))
    if length.get("Z", 1) == 1:
        return "XY"
    return "XZ" if length["Y"] == 1 else "YZ"


def to_plane(pixels: NDArray[Any], axes: str, *, channel: int = 0, plane: Plane = "XY") -> NDArray[Any]:
    """(rows, columns) of the channel, or (rows, columns, 3) where the last axis is colour, out of a region's pixels."""
    colour = axes[-1] == "C" and pixels.shape[-1] in (3, 4)
    wanted = plane[::-1] + "C" * colour
    index = tuple(
        slice(None) if a in wanted else (min(channel, n - 1) if a == "C" else 0)
        for a, n in zip(axes, pixels.shape, strict=True)
    )
    left = "".join(a for a in axes if a in wanted)
    found = pixels[index].transpose([left.index(a) for a in wanted])
    return found[..., :3] if colour else found


def evenly_fine(plane: NDArray[Any], raw: Sequence[int]) -> NDArray[Any]:
    """A plane (rows, columns, ...) with its pixels repeated until there are as many to a raw one along both."""
    rows, columns = (n // m for n, m in zip(plane.shape[:2], raw[:2], strict=True))
    both = lcm(rows, columns)
    return plane.repeat(both // rows, 0).repeat(both // columns, 1)


def height_of(plane: Plane, shape: Sequence[int], size: Mapping[str, float]) -> float:
    """How high a plane of (rows, columns) is in the world, its width being 1; what is very thin is drawn higher."""
    column, row = plane
    wide = shape[1] * abs(size.get(column, 1.0))
    high = shape[0] * abs(size.get(row, 1.0))
    return min(max(high / wide, _THIN), 1 / _THIN)


def change(before: Preview, now: Preview) -> float | None:
    """How much a preview differs from the one before, in percent of its contrast; None where they are of other parts.

    The root mean square of the difference over the deviation of the newer one.
    """
    if before.region != now.region or before.pixels.shape != now.pixels.shape:
        return None
    a, b = np.nan_to_num(before.pixels.astype(np.float64)), np.nan_to_num(now.pixels.astype(np.float64))
    contrast = float(b.std())
    return 100 * float(np.sqrt(np.mean((b - a) ** 2))) / contrast if contrast > 0 else None

"""An image as another one needs it: in the other's brightness, and the part that both show."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.region import Region
from napari_restore.sources.image import Image
from napari_restore.sources.pixels import PixelRule


def in_brightness_of(image: Image, *, gain: Sequence[float], offset: Sequence[float]) -> Image:
    """``(image - offset) / gain`` as float32, NaN where nothing was measured; one entry a channel, or one in all."""
    shape = [-1 if axis == "C" else 1 for axis in image.axes]
    by, zero = (np.reshape(np.asarray(values, np.float64), shape) for values in (gain, offset))

    def read(region: Region) -> NDArray[Any]:
        channels = region.slices[image.axes.index("C")] if "C" in image.axes else slice(None)
        along = tuple(channels if axis == "C" else slice(None) for axis in image.axes)
        pixels: NDArray[np.float32] = ((image.seen(region).measured - zero[along]) / by[along]).astype(np.float32)
        return pixels

    return replace(image, dtype=np.dtype(np.float32), reader=read, rule=PixelRule(), stored=None)


def part_of(image: Image, region: Region) -> Image:
    """The region alone, as an image; it lies where it lay."""

    def read(inside: Region) -> NDArray[Any]:
        return image.read(inside.shift(region.start))

    geometry = image.geometry
    origin = tuple(o + a * s for o, a, s in zip(geometry.origin, region.start, geometry.pixel_size, strict=True))
    return replace(
        image,
        geometry=replace(geometry, shape=region.shape, origin=origin),
        chunks=tuple(min(c, n) for c, n in zip(image.chunks, region.shape, strict=True)),
        reader=read,
    )

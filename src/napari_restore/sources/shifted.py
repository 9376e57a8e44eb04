"""A time-lapse a frame later: the next frame as a second acquisition of the same scene."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.errors import ImageError
from napari_restore.core.region import Region
from napari_restore.sources.image import Image


def neighbouring_frames(image: Image) -> Image:
    """An image of the same shape whose frame t is frame t + 1 of the given one; of the last, the one before it.

    Raises
    ------
    ImageError
        If the image has fewer than 2 frames.
    """
    frames = image.geometry.length("T")
    if frames < 2:
        raise ImageError(
            f"{image.name} has axes {image.axes} and {frames} frame: a neighbouring one needs at least 2. Say which "
            "axis is T with `axes`."
        )
    axis = image.axes.index("T")

    def read(region: Region) -> NDArray[Any]:
        start, stop = region.start[axis], region.stop[axis]
        if stop < frames:
            return image.read(region.shift([1 if i == axis else 0 for i in range(image.ndim)]))
        # The last frame is asked for: the one before it stands in, and comes after those that have a next one.
        before = image.read(_along(region, axis, frames - 2, frames - 1))
        if stop - start == 1:
            return before
        return np.concatenate([image.read(_along(region, axis, start + 1, stop)), before], axis)

    return replace(image, name=f"{image.name}, a frame later", reader=read, location=None, notes=())


def _along(region: Region, axis: int, start: int, stop: int) -> Region:
    """The same region with another extent along one axis."""
    return Region(
        tuple(start if i == axis else n for i, n in enumerate(region.start)),
        tuple(stop if i == axis else n for i, n in enumerate(region.stop)),
    )

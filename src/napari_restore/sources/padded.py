"""Reading past the border: the image mirrored at its own first and last pixels, the same for every tile."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.plan import reflected
from napari_restore.core.region import Region
from napari_restore.sources.image import Image
from napari_restore.sources.pixels import Seen


def read_reflected(image: Image, region: Region) -> NDArray[Any]:
    """The pixels of a region that may reach outside the image; only pixels that exist are read."""
    if region.inside(image.shape):
        return image.read(region)
    needed, turns = _mirrored(image, region)
    pixels = image.read(needed)
    for axis, index in turns:
        pixels = pixels.take(index, axis=axis)
    return pixels


def seen_reflected(image: Image, region: Region, *, apart: Sequence[int] = ()) -> Seen:
    """The same, and which of the pixels count; mirrored so far ``apart`` along each axis (``core.plan.reflected``)."""
    if region.inside(image.shape):
        return image.seen(region)
    needed, turns = _mirrored(image, region, apart)
    seen = image.seen(needed)
    for axis, index in turns:
        seen = seen.take(index, axis)
    return seen


def _mirrored(
    image: Image, region: Region, apart: Sequence[int] = ()
) -> tuple[Region, Iterator[tuple[int, NDArray[np.intp]]]]:
    """What has to be read for a region, and which rows of it are wanted along the axes where it is not these."""
    sides = zip(region.start, region.stop, image.shape, apart or (1,) * image.ndim, strict=True)
    indices = [reflected(a, b, n, apart=p) for a, b, n, p in sides]
    needed = Region(tuple(int(i.min()) for i in indices), tuple(int(i.max()) + 1 for i in indices))
    return needed, (
        (axis, index - first)
        for axis, (index, first, n) in enumerate(zip(indices, needed.start, needed.shape, strict=True))
        if len(index) != n or index[0] != first or index[-1] != first + len(index) - 1
    )

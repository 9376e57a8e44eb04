"""Reading what lies in packed blocks: few are unpacked at once, however many a region touches."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.region import Region
from napari_restore.sources.described import MIB, Reader
from napari_restore.sources.image import Image

AT_ONCE = 16 * MIB
"""Of unpacked blocks, together: more than one only within this."""


def few_at_once(reader: Reader, blocks: Sequence[int], dtype: np.dtype[Any]) -> Reader:
    """A reader that asks another for parts of a region, where all blocks of it would be more than ``AT_ONCE``.

    Zarr unpacks many chunks side by side, whole: several times as much as the region, where they are large.

    Parameters
    ----------
    reader
        Of the whole image; thread-safe, as the result is.
    blocks
        What is unpacked whole, one length an axis.
    dtype
        Of the pixels.
    """

    def read(region: Region) -> NDArray[Any]:
        if _unpacked(region, blocks) * dtype.itemsize <= AT_ONCE:
            return reader(region)
        pixels = np.empty(region.shape, dtype)
        for part in _parts(region, blocks, AT_ONCE // dtype.itemsize):
            pixels[part.relative_to(region.start).slices] = reader(part)
        return pixels

    return read


def unpacked_at_once(image: Image, shape: Sequence[int]) -> int:
    """Bytes of the blocks that are unpacked to read a region of this shape, at the most; 0 for what is in memory."""
    if image.location is None:
        return 0
    touched = [
        min(c * (math.ceil((n - 1) / c) + 1), c * math.ceil(most / c))
        for n, c, most in zip(shape, image.chunks, image.shape, strict=True)
    ]
    return min(math.prod(touched) * image.dtype.itemsize, max(AT_ONCE, math.prod(image.chunks) * image.dtype.itemsize))


def _unpacked(region: Region, blocks: Sequence[int]) -> int:
    """Pixels of all blocks that a region touches."""
    return math.prod(c * n for c, n in zip(blocks, _touched(region, blocks), strict=True))


def _touched(region: Region, blocks: Sequence[int]) -> list[int]:
    return [-(-b // c) - a // c for a, b, c in zip(region.start, region.stop, blocks, strict=True)]


def _parts(region: Region, blocks: Sequence[int], most: int) -> Iterator[Region]:
    """Halves of halves at borders of blocks, until each touches blocks of ``most`` pixels, or a single one."""
    touched = _touched(region, blocks)
    if max(touched) == 1 or _unpacked(region, blocks) <= most:
        yield region
        return
    axis = touched.index(max(touched))
    cut = (region.start[axis] // blocks[axis] + touched[axis] // 2) * blocks[axis]
    start, stop = list(region.start), list(region.stop)
    start[axis] = stop[axis] = cut
    yield from _parts(Region(region.start, tuple(stop)), blocks, most)
    yield from _parts(Region(tuple(start), region.stop), blocks, most)

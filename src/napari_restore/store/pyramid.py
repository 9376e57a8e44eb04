"""The smaller levels of an OME-Zarr: each made from the one before it, block by block, by one process or by many."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.errors import OutputError
from napari_restore.core.geometry import Geometry
from napari_restore.core.region import Region
from napari_restore.store import ome_zarr

COARSEST = 256
"""A pyramid ends with the first level whose Y and X are no larger."""

ISOTROPIC = 1.5
"""Z is halved with Y while its pixels are at most this much longer."""


@dataclass(frozen=True)
class Level:
    """A smaller level of a pyramid, and the blocks that it is made in.

    Attributes
    ----------
    number
        1 for the first one after the full image, which its folder is called.
    above, geometry
        Of the level that it is made from, and its own.
    block
        Pixels of a block, which is written whole, along each axis.
    """

    number: int
    above: Geometry
    geometry: Geometry
    block: tuple[int, ...]

    def __len__(self) -> int:
        return prod(self._grid)

    def region(self, index: int) -> Region:
        """The pixels of a block."""
        corner = tuple(int(i) * b for i, b in zip(np.unravel_index(index, self._grid), self.block, strict=True))
        return Region(corner, tuple(c + b for c, b in zip(corner, self.block, strict=True))).clip(self.geometry.shape)

    @property
    def _grid(self) -> tuple[int, ...]:
        return tuple(-(-n // b) for n, b in zip(self.geometry.shape, self.block, strict=True))


def levels(geometry: Geometry) -> list[Geometry]:
    """The full image and every smaller one of its pyramid."""
    found = [geometry]
    while max(found[-1].length("Y"), found[-1].length("X")) > COARSEST:
        found.append(halved(found[-1]))
    return found


def smaller_levels(geometry: Geometry, block: Sequence[int]) -> list[Level]:
    """All but the full image, whose blocks are as large as ``block`` and no larger than the level."""
    found = levels(geometry)
    return [
        Level(number, found[number - 1], found[number], tuple(map(min, block, found[number].shape)))
        for number in range(1, len(found))
    ]


def halved(geometry: Geometry) -> Geometry:
    """The next level: half the pixels along Y and X, and along Z where its pixels are about as small."""
    factors = _factors(geometry)
    # The centre of the first of the larger pixels lies between those of the f pixels it covers.
    first = tuple((f - 1) / 2 for f in factors)
    shape = tuple(-(-n // f) for n, f in zip(geometry.shape, factors, strict=True))
    return geometry.on_grid(first, factors, shape=shape)


def begin(folder: Path, level: Level, *, dtype: np.dtype[Any], version: ome_zarr.Version) -> None:
    """An empty array for a level; whatever lay there is removed."""
    ome_zarr.create_level(folder, level.number, level.geometry, dtype=dtype, blocks=level.block, version=version)


def make(
    folder: Path, level: Level, indices: Iterable[int], *, stopping: Callable[[], bool] = lambda: False
) -> Iterator[tuple[int, int]]:
    """Make blocks of a level that was begun, from a level that is whole; several processes may, each its own blocks.

    Yields
    ------
    tuple of int
        The number of a block that is on the disk now, and the CRC-32 of its pixels. Ends early once ``stopping``.

    Raises
    ------
    OutputError
        If a block that it is made from is not there: Zarr would take it for zeros.
    """
    fine, coarse = (ome_zarr.open_level(folder, level.number + step) for step in (-1, 0))
    factors = _factors(level.above)
    for index in indices:
        if stopping():
            return
        region = level.region(index)
        source = _covered(region, factors, level.above.shape)
        for file in ome_zarr.files_of(fine, folder / str(level.number - 1), source):
            if not file.exists():
                raise OutputError(f"{file} is not there, and a smaller level is to be made from it: restore again.")
        pixels = mean_pool(np.asarray(fine[source.slices]), factors)
        yield index, ome_zarr.write_blocks(coarse, folder / str(level.number), region, pixels)


def is_spoilt(folder: Path, level: Level, index: int, checksum: int) -> bool:
    """Whether the pixels of a block are not what was written."""
    try:
        pixels = np.asarray(ome_zarr.open_level(folder, level.number, mode="r")[level.region(index).slices])
    except (OSError, ValueError, RuntimeError):  # no level, or a chunk that cannot be decoded
        return True
    return ome_zarr.checksum(pixels) != checksum


def mean_pool(pixels: NDArray[Any], factors: Sequence[int]) -> NDArray[Any]:
    """Means of blocks of ``factors`` (1 or 2 an axis) pixels; an incomplete last block is the mean of what it has.

    Whole numbers are rounded to the nearest; the dtype stays.
    """
    # The last pixel repeated gives an incomplete pair its own value, which is the mean of what it has.
    odd = [(0, -n % f) for n, f in zip(pixels.shape, factors, strict=True)]
    padded = np.pad(pixels, odd, mode="edge")
    exact = np.float32 if pixels.dtype.itemsize <= 2 or pixels.dtype == np.float32 else np.float64
    # Added one after the other, always in this order, so that a pixel's mean does not depend on its chunk.
    means: NDArray[Any] = np.zeros([n // f for n, f in zip(padded.shape, factors, strict=True)], exact)
    for corner in product(*(range(f) for f in factors)):
        means += padded[tuple(slice(c, None, f) for c, f in zip(corner, factors, strict=True))]
    means /= prod(factors)
    if pixels.dtype.kind in "iub":
        np.rint(means, out=means)
    pooled: NDArray[Any] = means.astype(pixels.dtype)
    return pooled


def _factors(geometry: Geometry) -> tuple[int, ...]:
    """2 along the axes that the next level halves, 1 along the others."""
    fine = "Z" in geometry.axes and (
        geometry.units[geometry.index("Z")] == geometry.units[geometry.index("Y")]
        and geometry.size_of("Z") <= ISOTROPIC * geometry.size_of("Y")
    )
    small = "ZYX" if fine else "YX"
    return tuple(2 if a in small and n > 1 else 1 for a, n in zip(geometry.axes, geometry.shape, strict=True))


def _covered(region: Region, factors: Sequence[int], shape: Sequence[int]) -> Region:
    """The pixels of the finer level under a region of the coarser one."""
    start = tuple(a * f for a, f in zip(region.start, factors, strict=True))
    return Region(start, tuple(b * f for b, f in zip(region.stop, factors, strict=True))).clip(shape)

"""Which tile reads what and writes what: pure integers, so that *tiled = whole* can be proved by looking.

Every read starts on the grid of the network's pooling, has one constant shape, and is the write box grown by
the halo; every pixel is written by exactly one tile; every tile is one chunk of the output.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, prod

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.region import Region


@dataclass(frozen=True)
class TilePlan:
    """Tiles over an image. All tuples have one entry an axis.

    Attributes
    ----------
    shape
        Pixels of the image.
    tile
        Pixels one tile writes; the tiles on the far border write less.
    halo
        Pixels read on each side beyond what is written.
    """

    shape: tuple[int, ...]
    tile: tuple[int, ...]
    halo: tuple[int, ...]

    @property
    def grid(self) -> tuple[int, ...]:
        """Tiles along each axis."""
        return tuple(ceil(n / t) for n, t in zip(self.shape, self.tile, strict=True))

    def __len__(self) -> int:
        return prod(self.grid)

    def corner(self, index: int) -> tuple[int, ...]:
        """First pixel of a tile; tiles are numbered in C order."""
        if not 0 <= index < len(self):
            raise IndexError(f"tile {index} of {len(self)}")
        position = np.unravel_index(index, self.grid)
        return tuple(int(i) * t for i, t in zip(position, self.tile, strict=True))

    def write(self, index: int) -> Region:
        """What a tile writes: whole chunks, or what is left of them at the far border."""
        corner = self.corner(index)
        return Region(corner, tuple(c + t for c, t in zip(corner, self.tile, strict=True))).clip(self.shape)

    def read(self, index: int) -> Region:
        """What a tile reads: always one shape, and it may reach outside the image, where reflection fills it."""
        corner = self.corner(index)
        return Region(corner, tuple(c + t for c, t in zip(corner, self.tile, strict=True))).grow(self.halo)

    @property
    def read_shape(self) -> tuple[int, ...]:
        """Shape of every read."""
        return tuple(t + 2 * h for t, h in zip(self.tile, self.halo, strict=True))

    def crop(self, index: int) -> tuple[slice, ...]:
        """Where the written pixels lie in what was read."""
        return self.write(index).relative_to(self.read(index).start).slices


def round_up(n: int, multiple: int) -> int:
    """The smallest multiple that is at least ``n``."""
    return -(-n // multiple) * multiple


def plan_tiles(shape: Sequence[int], *, largest: Sequence[int], radius: Sequence[int], grid: Sequence[int]) -> TilePlan:
    """Cut an image into equal tiles, each at most ``largest``, without thin remainders.

    Parameters
    ----------
    shape
        Pixels of the image along each axis.
    largest
        Most pixels a tile may write along each axis (rounded up to ``grid``).
    radius
        Receptive radius along each axis, in pixels; 0 along axes the network does not look along.
    grid
        2^depth along the axes that are pooled, 1 along the others: tiles and halos are multiples of it.
    """
    tile = []
    for n, most, g in zip(shape, largest, grid, strict=True):
        pieces = ceil(n / round_up(most, g))
        tile.append(round_up(ceil(n / pieces), g))
    halo = tuple(round_up(r, g) for r, g in zip(radius, grid, strict=True))
    return TilePlan(tuple(shape), tuple(tile), halo)


def reflected(start: int, stop: int, length: int) -> NDArray[np.intp]:
    """Indices ``start..stop`` of an axis mirrored at its first and last pixel, as often as needed.

    The mirror belongs to the image, not to a tile: pixel -1 is pixel 1 for whoever reads it.
    """
    if length == 1:
        return np.zeros(stop - start, dtype=np.intp)
    period = 2 * (length - 1)
    index = np.arange(start, stop) % period
    return np.minimum(index, period - index)

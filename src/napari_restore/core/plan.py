"""Which tile reads what and writes what: pure integers, so that *tiled = whole* can be proved by looking.

There are two grids. A tile *owns* and *reads* pixels of the image grid, and *writes* pixels of the output grid,
which has ``rate`` times as many along each axis. Every read starts on the grid of the network's pooling, has one
constant shape, and is what the tile owns grown by the halo; every output pixel is written by exactly one tile; every
tile is one chunk of the output.
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
        Image pixels one tile owns; the tiles on the far border own less.
    halo
        Image pixels read on each side beyond what is owned.
    rate
        Output pixels to one image pixel; all 1 where none are given.
    """

    shape: tuple[int, ...]
    tile: tuple[int, ...]
    halo: tuple[int, ...]
    rate: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "rate", self.rate or (1,) * len(self.shape))
        assert len(self.rate) == len(self.shape) and min(self.rate) >= 1, f"a rate of 1 or more an axis, got {self}"

    @property
    def grid(self) -> tuple[int, ...]:
        """Tiles along each axis."""
        return tuple(ceil(n / t) for n, t in zip(self.shape, self.tile, strict=True))

    def __len__(self) -> int:
        return prod(self.grid)

    def corner(self, index: int) -> tuple[int, ...]:
        """First pixel a tile owns, on the image grid; tiles are numbered in C order."""
        if not 0 <= index < len(self):
            raise IndexError(f"tile {index} of {len(self)}")
        position = np.unravel_index(index, self.grid)
        return tuple(int(i) * t for i, t in zip(position, self.tile, strict=True))

    def own(self, index: int) -> Region:
        """What a tile answers for, on the image grid: a whole tile, or what is left of it at the far border."""
        return self._box(index).clip(self.shape)

    def read(self, index: int) -> Region:
        """What a tile reads, on the image grid: always one shape.

        It may reach outside the image, where reflection fills it.
        """
        return self._box(index).grow(self.halo)

    def write(self, index: int) -> Region:
        """What a tile writes, on the output grid: whole chunks, or what is left of them at the far border."""
        return self.own(index).scale(self.rate)

    @property
    def read_shape(self) -> tuple[int, ...]:
        """Shape of every read, on the image grid."""
        return tuple(t + 2 * h for t, h in zip(self.tile, self.halo, strict=True))

    @property
    def restored_shape(self) -> tuple[int, ...]:
        """Shape of every read once it is restored, on the output grid."""
        return self._finer(self.read_shape)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Pixels of the output."""
        return self._finer(self.shape)

    @property
    def output_tile(self) -> tuple[int, ...]:
        """Output pixels one tile writes, which is the output's chunk; the tiles on the far border write less."""
        return self._finer(self.tile)

    def crop(self, index: int) -> tuple[slice, ...]:
        """Where the written pixels lie in the restored read, on the output grid."""
        return self.own(index).relative_to(self.read(index).start).scale(self.rate).slices

    def _box(self, index: int) -> Region:
        """A whole tile on the image grid, which on the far border reaches outside the image."""
        corner = self.corner(index)
        return Region(corner, tuple(c + t for c, t in zip(corner, self.tile, strict=True)))

    def _finer(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(n * r for n, r in zip(shape, self.rate, strict=True))


def round_up(n: int, multiple: int) -> int:
    """The smallest multiple that is at least ``n``."""
    return -(-n // multiple) * multiple


def plan_tiles(
    shape: Sequence[int],
    *,
    largest: Sequence[int],
    radius: Sequence[int],
    grid: Sequence[int],
    rate: Sequence[int] = (),
) -> TilePlan:
    """Cut an image into equal tiles, each at most ``largest``, without thin remainders.

    Parameters
    ----------
    shape
        Pixels of the image along each axis.
    largest
        Most image pixels a tile may own along each axis (rounded up to ``grid``).
    radius
        Receptive radius along each axis, in image pixels; 0 along axes the network does not look along.
    grid
        2^depth along the axes that are pooled, 1 along the others: tiles and halos are multiples of it.
    rate
        Output pixels to one image pixel along each axis; all 1 where none are given.
    """
    tile = []
    for n, most, g in zip(shape, largest, grid, strict=True):
        pieces = ceil(n / round_up(most, g))
        tile.append(round_up(ceil(n / pieces), g))
    halo = tuple(round_up(r, g) for r, g in zip(radius, grid, strict=True))
    return TilePlan(tuple(shape), tuple(tile), halo, tuple(rate))


def reflected(start: int, stop: int, length: int) -> NDArray[np.intp]:
    """Indices ``start..stop`` of an axis mirrored at its first and last pixel, as often as needed.

    The mirror belongs to the image, not to a tile: pixel -1 is pixel 1 for whoever reads it.
    """
    if length == 1:
        return np.zeros(stop - start, dtype=np.intp)
    period = 2 * (length - 1)
    index = np.arange(start, stop) % period
    return np.minimum(index, period - index)

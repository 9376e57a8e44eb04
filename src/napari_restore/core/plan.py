"""Which tile reads what and writes what: pure integers, so that *tiled = whole* can be proved by looking.

There are two grids. A tile *owns* and *reads* pixels of the image grid, and *writes* pixels of the output grid,
which has ``rate`` times as many along each axis. Every read starts on the grid of the network's pooling, has one
constant shape, and is what the tile owns grown by the halo; every output pixel is written by exactly one tile; every
tile is one chunk of the output.

Tiles lie over a box of the image, mostly all of it. They read the image around the box, as the tiles of the whole do,
and where the box begins between two steps of the grid, they read up to one step more.
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
    """Tiles over a box of an image. All tuples have one entry an axis.

    Attributes
    ----------
    shape
        Image pixels of the box.
    tile
        Image pixels one tile owns; the tiles on the far border own less.
    halo
        Image pixels read on each side beyond what is owned.
    rate
        Output pixels to one image pixel; all 1 where none are given.
    start
        First pixel of the box, on the image grid; all 0 where none are given.
    slack
        Image pixels read beyond the halo, so that reads start on the network's grid: one step of it where the box does
        not, else 0; all 0 where none are given.
    """

    shape: tuple[int, ...]
    tile: tuple[int, ...]
    halo: tuple[int, ...]
    rate: tuple[int, ...] = ()
    start: tuple[int, ...] = ()
    slack: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name, value in (("rate", 1), ("start", 0), ("slack", 0)):
            object.__setattr__(self, name, getattr(self, name) or (value,) * len(self.shape))
        lengths = {len(each) for each in (self.shape, self.tile, self.halo, self.start, self.slack)}
        assert len(lengths) == 1 and min(self.start) >= 0, f"one entry an axis, of a box inside the image, got {self}"
        assert len(self.rate) == len(self.shape) and min(self.rate) >= 1, f"a rate of 1 or more an axis, got {self}"

    @property
    def box(self) -> Region:
        """What all tiles own together, on the image grid."""
        return Region.of_shape(self.shape).shift(self.start)

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
        return tuple(s + int(i) * t for s, i, t in zip(self.start, position, self.tile, strict=True))

    def own(self, index: int) -> Region:
        """What a tile answers for, on the image grid: a whole tile, or what is left of it at the far border."""
        corner = self.corner(index)
        whole = Region(corner, tuple(c + t for c, t in zip(corner, self.tile, strict=True)))
        return whole.clip(self.box.stop)

    def read(self, index: int) -> Region:
        """What a tile reads, on the image grid: always one shape.

        It may reach outside the image, where reflection fills it.
        """
        start = tuple(c - b for c, b in zip(self.corner(index), self.before, strict=True))
        return Region.of_shape(self.read_shape).shift(start)

    def write(self, index: int) -> Region:
        """What a tile writes, on the output grid: whole chunks, or what is left of them at the far border."""
        return self.own(index).relative_to(self.start).scale(self.rate)

    @property
    def before(self) -> tuple[int, ...]:
        """Image pixels read before what is owned: the halo, and what leads from the grid to the box."""
        sides = zip(self.halo, self.start, self.slack, strict=True)
        return tuple(halo + (start % slack if slack else 0) for halo, start, slack in sides)

    @property
    def read_shape(self) -> tuple[int, ...]:
        """Shape of every read, on the image grid."""
        return tuple(t + 2 * h + s for t, h, s in zip(self.tile, self.halo, self.slack, strict=True))

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
    start: Sequence[int] = (),
    border: Sequence[int] = (),
    whole: Sequence[int] = (),
) -> TilePlan:
    """Cut an image, or a box of it, into equal tiles, each at most ``largest``, without thin remainders.

    Parameters
    ----------
    shape
        Image pixels of the box along each axis.
    largest
        Most image pixels a tile may own along each axis (rounded up to ``grid``).
    radius
        Receptive radius along each axis, in image pixels; 0 along axes the network does not look along.
    grid
        2^depth along the axes that are pooled, 1 along the others: tiles and halos are multiples of it.
    rate
        Output pixels to one image pixel along each axis; all 1 where none are given.
    start
        First pixel of the box along each axis; all 0 where none are given.
    border, whole
        What has to be read past either end of an image that one tile owns from end to end, along each axis, and how
        long the image is; as much as past any other tile where none are given.
    """
    tile = []
    for n, most, g in zip(shape, largest, grid, strict=True):
        pieces = ceil(n / round_up(most, g))
        tile.append(round_up(ceil(n / pieces), g))
    far = [
        least if t == n == all_of_it else r
        for least, t, n, all_of_it, r in zip(border or radius, tile, shape, whole or shape, radius, strict=True)
    ]
    halo = tuple(round_up(r, g) for r, g in zip(far, grid, strict=True))
    slack = tuple(g if s % g else 0 for s, g in zip(start, grid, strict=True)) if start else ()
    return TilePlan(tuple(shape), tuple(tile), halo, tuple(rate), tuple(start), slack)


def whole_is_less(length: int, size: int, *, radius: int, border: int) -> bool:
    """Whether an image that is read from end to end along an axis, with its border, is no more than a part of it.

    Parameters
    ----------
    length, size
        Pixels of the image and of the part.
    radius, border
        What is read to either side of the part, and past either end of the image.
    """
    return border < radius and length + 2 * border <= size + 2 * radius


def reflected(start: int, stop: int, length: int, *, apart: int = 1) -> NDArray[np.intp]:
    """Indices ``start..stop`` of an axis mirrored at its first and last pixel, as often as needed.

    The mirror belongs to the image, not to a tile: pixel -1 is pixel 1 for whoever reads it.

    Parameters
    ----------
    apart
        Which pixel -1 is. Of an axis longer than this, no pixel finds itself among those up to ``apart`` away. With
        more than 1, what lies farther out than the axis is long is its last pixel.
    """
    if length == 1:
        return np.zeros(stop - start, dtype=np.intp)
    index = np.arange(start, stop)
    if apart > 1:
        before, after = apart - 1 - index, 2 * length - 1 - apart - index
        return np.where(index < 0, before, np.where(index < length, index, after)).clip(0, length - 1)
    period = 2 * (length - 1)
    index = index % period
    return np.minimum(index, period - index)

"""A box of pixels: the only way anybody asks for a part of an image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product


@dataclass(frozen=True, slots=True)
class Region:
    """A half-open box ``start <= index < stop``, one entry an axis, in the order of the array's axes.

    A region may reach outside the image (a read box grown by its halo does); ``clip`` brings it back.
    """

    start: tuple[int, ...]
    stop: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.start) != len(self.stop) or any(b < a for a, b in zip(self.start, self.stop, strict=True)):
            raise ValueError(f"A region needs start <= stop on every axis, got {self.start} to {self.stop}.")

    @classmethod
    def of_shape(cls, shape: Sequence[int]) -> Region:
        """The whole of an array of this shape."""
        return cls((0,) * len(shape), tuple(int(n) for n in shape))

    @classmethod
    def middle_of(cls, shape: Sequence[int], most: Sequence[int]) -> Region:
        """The middle of an array of this shape, at most so many pixels along each axis."""
        lengths = [min(n, k) for n, k in zip(shape, most, strict=True)]
        start = tuple((n - k) // 2 for n, k in zip(shape, lengths, strict=True))
        return cls(start, tuple(a + k for a, k in zip(start, lengths, strict=True)))

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels along each axis."""
        return tuple(b - a for a, b in zip(self.start, self.stop, strict=True))

    @property
    def size(self) -> int:
        """Pixels in the box."""
        n = 1
        for length in self.shape:
            n *= length
        return n

    @property
    def slices(self) -> tuple[slice, ...]:
        """For indexing an array that starts at the origin."""
        return tuple(slice(a, b) for a, b in zip(self.start, self.stop, strict=True))

    def shift(self, by: Sequence[int]) -> Region:
        """The box moved by so many pixels an axis."""
        return Region(
            tuple(a + d for a, d in zip(self.start, by, strict=True)),
            tuple(b + d for b, d in zip(self.stop, by, strict=True)),
        )

    def relative_to(self, origin: Sequence[int]) -> Region:
        """The same box in coordinates whose zero lies at ``origin``."""
        return self.shift([-o for o in origin])

    def grow(self, by: Sequence[int]) -> Region:
        """The box with so many pixels more on both sides of each axis."""
        return Region(
            tuple(a - d for a, d in zip(self.start, by, strict=True)),
            tuple(b + d for b, d in zip(self.stop, by, strict=True)),
        )

    def scale(self, by: Sequence[int]) -> Region:
        """The same box on a grid with so many times the pixels along each axis."""
        return Region(
            tuple(a * f for a, f in zip(self.start, by, strict=True)),
            tuple(b * f for b, f in zip(self.stop, by, strict=True)),
        )

    def clip(self, shape: Sequence[int]) -> Region:
        """The part of the box inside an array of this shape (empty where there is none)."""
        start = tuple(min(max(a, 0), n) for a, n in zip(self.start, shape, strict=True))
        stop = tuple(min(max(b, a), n) for a, b, n in zip(start, self.stop, shape, strict=True))
        return Region(start, stop)

    def inside(self, shape: Sequence[int]) -> bool:
        """Whether every pixel of the box exists in an array of this shape."""
        return all(a >= 0 and b <= n for a, b, n in zip(self.start, self.stop, shape, strict=True))


def split(shape: Sequence[int], block: Sequence[int]) -> Iterator[Region]:
    """Cut an array of ``shape`` into boxes of ``block`` in C order; the last ones may be smaller."""
    starts = [range(0, n, b) for n, b in zip(shape, block, strict=True)]
    for corner in product(*starts):
        yield Region(corner, tuple(min(a + b, n) for a, b, n in zip(corner, block, shape, strict=True)))

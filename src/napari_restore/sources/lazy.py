"""An ``Image`` in the shape of an array, for libraries that index: dask, napari, NumPy."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.region import Region


class Readable(Protocol):
    """What an ``Image`` is to one who reads it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels along each axis."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the pixels."""

    @property
    def ndim(self) -> int:
        """Axes."""

    @property
    def chunks(self) -> tuple[int, ...]:
        """A box that is read as fast as a part of it."""

    def read(self, region: Region | None = None) -> NDArray[Any]:
        """The pixels of a box, or all."""


class LazyArray:
    """Reads what is indexed, and no more than the box around it."""

    def __init__(self, image: Readable) -> None:
        self._image = image
        self.shape, self.dtype, self.ndim = image.shape, image.dtype, image.ndim
        self.chunks = image.chunks

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """One whole number, slice or list an axis, each axis by itself."""
        index = index if isinstance(index, tuple) else (index,)
        if Ellipsis in [i for i in index if not isinstance(i, np.ndarray | list)]:
            at = next(n for n, i in enumerate(index) if i is Ellipsis)
            missing = self.ndim - len(index) + 1
            index = (*index[:at], *(slice(None),) * missing, *index[at + 1 :])
        index = index + (slice(None),) * (self.ndim - len(index))
        parts = [_along(i, n) for i, n in zip(index, self.shape, strict=True)]
        pixels = self._image.read(Region(tuple(a for a, _, _ in parts), tuple(b for _, b, _ in parts)))
        for axis in reversed(range(self.ndim)):
            pixels = pixels[(slice(None),) * axis + (parts[axis][2],)]
        return pixels

    def __array__(self, dtype: np.dtype[Any] | None = None, copy: bool | None = None) -> NDArray[Any]:
        """All pixels."""
        return np.asarray(self._image.read(), dtype=dtype)


def _along(index: Any, length: int) -> tuple[int, int, Any]:
    """Start and stop of what must be read along an axis, and how to index that."""
    if isinstance(index, slice):
        picked = range(length)[index]
        if not picked:
            return 0, 0, slice(None)
        return min(picked), max(picked) + 1, slice(None, None, picked.step)
    if np.ndim(index) == 0:
        position = range(length)[int(index)]
        return position, position + 1, 0
    positions = np.arange(length)[np.asarray(index)]
    start = int(positions.min(initial=length))
    return start, max(start, int(positions.max(initial=-1)) + 1), positions - start

"""Numbers that lie in a file as they are, read a region at a time and never through a mapping.

A file that gets shorter while it is mapped into memory ends the process with SIGBUS, without a word. Here every read
opens the file for itself, so that it is one line, and threads share no position.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.errors import ImageError
from napari_restore.core.region import Region
from napari_restore.sources.described import MIB, explaining

_SPAN = 4 * MIB
"""What lies within so many bytes is read in one piece, with what is between."""


@dataclass(frozen=True)
class Numbers:
    """Numbers in a file.

    Attributes
    ----------
    start
        Byte of the first.
    strides
        Bytes from one to the next along each axis, none negative.
    """

    path: Path
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    start: int
    strides: tuple[int, ...]

    @property
    def end(self) -> int:
        """The byte after the last."""
        return (
            self.start + _reach(self.shape, self.strides, self.dtype.itemsize) if math.prod(self.shape) else self.start
        )

    def read(self, region: Region) -> NDArray[Any]:
        """The numbers of a region, in any thread.

        Raises
        ------
        ImageError
            If the file ends before them.
        """
        order = sorted(range(len(self.shape)), key=lambda axis: -self.strides[axis])
        starts, shape = [region.start[i] for i in order], [region.shape[i] for i in order]
        strides = [self.strides[i] for i in order]
        result = np.empty(shape, self.dtype)
        what = f"{self.path.name}: pixels {region.start} to {region.stop} cannot be read"
        with explaining(what), self.path.open("rb", buffering=0) as file:
            axis = _joined(shape, strides, self.dtype.itemsize)
            for place in product(*(range(n) for n in shape[:axis])) if result.size else ():
                at = self.start + sum(
                    (a + i) * s for a, i, s in zip(starts, (*place, *[0] * 99), strides, strict=False)
                )
                here: Any = (*place, Ellipsis)
                _read_into(file, at, strides[axis:], result[here])
        return result.transpose(np.argsort(order))


def _reach(shape: Sequence[int], strides: Sequence[int], itemsize: int) -> int:
    """Bytes from the first number to the end of the last."""
    return itemsize + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))


def _joined(shape: Sequence[int], strides: Sequence[int], itemsize: int) -> int:
    """The axis from which on all is read at once: what has no gaps, or lies close together."""
    axis = len(shape)
    while axis > 0:
        reach = _reach(shape[axis - 1 :], strides[axis - 1 :], itemsize)
        if reach > _SPAN and reach != math.prod(shape[axis - 1 :]) * itemsize:
            break
        axis -= 1
    return axis


def _read_into(file: BinaryIO, at: int, strides: Sequence[int], out: NDArray[Any]) -> None:
    """Numbers from a byte on, with what lies between them left out."""
    nbytes = _reach(out.shape, strides, out.itemsize)
    dense = nbytes == out.nbytes
    data: Any = out.reshape(-1).view(np.uint8) if dense else np.empty(nbytes, np.uint8)
    file.seek(at)
    done = 0
    while done < nbytes:
        count = file.readinto(memoryview(data)[done:])  # type: ignore[attr-defined]
        if not count:
            raise ImageError(
                f"{Path(file.name).name} should reach to byte {at + nbytes} and ends {nbytes - done} bytes too early: "
                "it is cut short. Copy it again."
            )
        done += count
    if not dense:
        out[...] = np.lib.stride_tricks.as_strided(data[: out.itemsize].view(out.dtype), out.shape, strides)


def unmapped(array: NDArray[Any]) -> Callable[[Region], NDArray[Any]] | None:
    """A reader for an array that is mapped from a file, or a view of one; None for any other.

    What was changed in a private mapping is in memory alone: there the length of the file is looked at before it is
    read, as where axes run backwards.
    """
    root = _root(array)
    if root is None:
        return None
    path = Path(str(root.filename))
    first, last = np.lib.array_utils.byte_bounds(array)
    start = int(root.offset) + first - np.lib.array_utils.byte_bounds(root)[0]
    if root.mode != "c" and all(stride >= 0 for stride in array.strides):
        return Numbers(path, array.dtype, array.shape, start, array.strides).read

    def read(region: Region) -> NDArray[Any]:
        with explaining(f"{path.name}: pixels {region.start} to {region.stop} cannot be read"):
            if path.stat().st_size < start + last - first:
                raise ImageError(f"{path.name} is shorter than when it was opened: it is cut short. Copy it again.")
            return np.array(array[region.slices])

    return read


def _root(mapped: Any) -> Any:
    """The array that was mapped from a file, of which this is a view; or None."""
    array = mapped
    while isinstance(array, np.ndarray):
        base: Any = array.base
        if isinstance(array, np.memmap) and isinstance(base, mmap.mmap):
            return array if array.filename else None
        array = base
    return None

"""An array seen otherwise, without reading it: at one index of an axis, an axis taken apart, the first of an axis."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.region import Region
from napari_restore.sources.described import Described, Reader


def fixed(described: Described, at: Mapping[int, int]) -> Described:
    """The array at one index along each of these axes, which it then lacks."""
    if not at:
        return described
    kept = [i for i in range(len(described.shape)) if i not in at]
    return replace(
        described,
        axes=None if described.axes is None else "".join(described.axes[i] for i in kept),
        shape=tuple(described.shape[i] for i in kept),
        chunks=tuple(described.chunks[i] for i in kept),
        reader=_fixed(described.reader, at),
        placement=None if described.placement is None else described.placement.without(at),
    )


def _fixed(reader: Reader, at: Mapping[int, int]) -> Reader:
    def read(region: Region) -> NDArray[Any]:
        start, stop = list(region.start), list(region.stop)
        for axis in sorted(at):
            start.insert(axis, at[axis])
            stop.insert(axis, at[axis] + 1)
        return np.squeeze(reader(Region(tuple(start), tuple(stop))), axis=tuple(at))

    return read


def split(described: Described, axis: int, lengths: Sequence[int]) -> Described:
    """An axis taken apart into several, the last of which runs fastest; their product is its length at most.

    What is beyond the product is left out. ``axes`` is None then: an axis of several meanings has no letter.
    """
    count = len(lengths)
    return replace(
        described,
        axes=None,
        shape=(*described.shape[:axis], *lengths, *described.shape[axis + 1 :]),
        chunks=(*described.chunks[:axis], *[1] * count, *described.chunks[axis + 1 :]),
        reader=_split(described.reader, axis, tuple(lengths)),
        placement=None,  # a layer has no place for an axis that it does not have
    )


def _split(reader: Reader, axis: int, lengths: tuple[int, ...]) -> Reader:
    end = axis + len(lengths)

    def read(region: Region) -> NDArray[Any]:
        inner = Region(region.start[axis:end], region.stop[axis:end])
        places = np.ravel_multi_index(np.ix_(*map(range, inner.start, inner.stop)), lengths).ravel()
        parts = [
            reader(Region((*region.start[:axis], a, *region.start[end:]), (*region.stop[:axis], b, *region.stop[end:])))
            for a, b in _runs(places)
        ]
        whole = np.concatenate(parts, axis=axis) if len(parts) != 1 else parts[0]
        return whole.reshape(region.shape)

    return read


def _runs(places: NDArray[np.intp]) -> Iterator[tuple[int, int]]:
    """First and last of the neighbours among rising numbers."""
    for part in np.split(places, np.flatnonzero(np.diff(places) != 1) + 1):
        yield int(part[0]), int(part[-1]) + 1


def first(described: Described, axis: int, length: int) -> Described:
    """The first pixels along an axis."""
    shape = list(described.shape)
    shape[axis] = length
    return replace(described, shape=tuple(shape))

"""Pixels of a TIFF: only the strips or tiles that a region needs, from any thread.

tifffile says where the segments of a page are and how to decode one; reading, and the choice of segments, is here.
Every read opens the file for itself, so threads share no file position, and no file stays locked.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from tifffile import TIFF

from napari_restore.core.errors import ImageError
from napari_restore.core.region import Region
from napari_restore.sources.caching import RecentBlocks
from napari_restore.sources.coded import check_coded
from napari_restore.sources.described import MIB, SURE, explaining

_CACHE_BYTES = 64 * MIB
_BLOCK = 16 * MIB
_BELIEVABLE_RATIO = 2000
_JPEG = frozenset({6, 7, 34892, 33007})
_GDAL_NODATA = 42113

# Axes of a page as tifffile normalises it (TiffPage.shaped): separate samples, depth, rows, columns, samples.
_SEPARATE, _DEPTH, _ROW, _COLUMN, _SAMPLE = range(5)


class Segments(NamedTuple):
    """Where one page lies: its file, and byte offset and count of each strip or tile."""

    path: Path
    offsets: Sequence[int]
    counts: Sequence[int]
    jpegtables: bytes | None


class PageReader:
    """Reads regions of one series of a TIFF.

    Attributes
    ----------
    shape
        Of the series without axes of one pixel, other than rows and columns.
    chunks
        The block that is cheapest to read whole.
    pages
        Number of pages that hold the series.
    direct
        Whether pixels lie in the file as they are, so that parts of a page can be read.
    """

    def __init__(self, series: Any, path: Path, lock: threading.Lock) -> None:
        self._series, self._lock = series, lock
        self._keyframe = series.keyframe
        lies_in = self._keyframe.parent.filehandle
        self._path = path if series.is_multifile else Path(lies_in.dirname) / lies_in.name
        self._transform = series.transform
        self.stored = np.dtype(self._keyframe.dtype)
        self._paged: tuple[int, ...] = tuple(int(n) for n in self._keyframe.shaped)
        axes, full = series.get_axes(False), tuple(int(n) for n in series.get_shape(False))
        kept = [i for i, n in enumerate(full) if n > 1 or axes[i] in "YX"]
        self.shape = tuple(full[i] for i in kept)
        self._inner = _inner_axes(self.shape, self._paged, path.name)
        self._outer = [axis for axis, n in enumerate(self.shape) if n > 1 and axis not in self._inner]
        self._outer_shape = tuple(self.shape[axis] for axis in self._outer)
        self.pages = math.prod(self._outer_shape)
        self.direct = bool(self._keyframe.is_final)
        self._start = None if series.is_multifile else series.dataoffset
        self._segment = _segment_shape(self._keyframe, self._paged)
        self._grid = tuple(-(-n // s) for n, s in zip(self._paged, self._segment, strict=True))
        self.block_bytes = math.prod(self._segment) * self.stored.itemsize
        self._pictures = self._keyframe.compression in _JPEG | frozenset(TIFF.IMAGE_COMPRESSIONS)
        self._recent = RecentBlocks(_CACHE_BYTES)
        self._keyframe.decode(None, 0)

    @property
    def chunks(self) -> tuple[int, ...]:
        """Whole pages where they are small or strips; tiles in groups of 256 pixels or more."""
        page = list(self._paged)
        if self._keyframe.is_tiled and not self.direct:
            for axis in (_DEPTH, _ROW, _COLUMN):
                tile = self._segment[axis]
                page[axis] = min(page[axis], tile * max(1, 256 // tile) if axis != _DEPTH else tile)
        else:
            row_bytes = self.stored.itemsize * math.prod(page) // max(1, page[_ROW])
            strip = 1 if self.direct else self._segment[_ROW]
            rows = max(strip, _BLOCK // max(1, row_bytes) // strip * strip)
            page[_ROW] = min(page[_ROW], rows)
        return tuple(page[self._inner[axis]] if axis in self._inner else 1 for axis in range(len(self.shape)))

    def read(self, region: Region) -> NDArray[Any]:
        """The pixels of a region."""
        if region.size == 0:
            return np.empty(region.shape, self.stored)
        box = self._page_box(region)
        planes = list(product(*(range(region.start[axis], region.stop[axis]) for axis in self._outer)))
        result = np.empty((len(planes), *box.shape), self.stored)
        for plane, corner in zip(result, planes, strict=True):
            index = int(np.ravel_multi_index(corner, self._outer_shape)) if corner else 0
            with explaining(f"{self._path.name}: page {index} cannot be decoded"):
                self._read_page(index, box, plane)
        result = result.reshape(region.shape)
        return result if self._transform is None else np.asarray(self._transform(result))

    def _page_box(self, region: Region) -> Region:
        """The part of a page, along its five axes, that a region of the series covers."""
        start, stop = [0] * 5, [1] * 5
        for axis, of_page in self._inner.items():
            start[of_page], stop[of_page] = region.start[axis], region.stop[axis]
        return Region(tuple(start), tuple(stop))

    def segments(self, index: int) -> Segments:
        """Where a page lies; tifffile's list of pages is shared, so one thread at a time may ask it."""
        if self._start is not None:
            nbytes = math.prod(self._paged) * self.stored.itemsize
            return Segments(self._path, (self._start + index * nbytes,), (nbytes,), None)
        with self._lock:
            try:
                page = self._series[index]
            except IndexError:
                page = None
            if page is None:
                raise ImageError(f"{self._path.name}: page {index} of {self.pages} is not in the file. Copy it again.")
            handle = page.parent.filehandle
            tables = page.jpegtables if self._keyframe.compression in _JPEG else None
            return Segments(Path(handle.dirname) / handle.name, page.dataoffsets, page.databytecounts, tables)

    def _read_page(self, index: int, box: Region, out: NDArray[Any]) -> None:
        page = self.segments(index)
        with page.path.open("rb", buffering=0) as file:
            if self.direct and _one_run(page):
                self._read_rows(file, page, index, box, out)
            else:
                for number in self._needed(box):
                    self._paste_segment(file, page, index, number, box, out)

    def _read_rows(self, file: BinaryIO, page: Segments, index: int, box: Region, out: NDArray[Any]) -> None:
        """Uncompressed: only the rows asked for are read."""
        dtype = self.stored.newbyteorder(self._keyframe.parent.byteorder)
        row = self._paged[_COLUMN] * self._paged[_SAMPLE]
        first, last = box.start[_ROW], box.stop[_ROW]
        for s, d in product(range(box.start[0], box.stop[0]), range(box.start[1], box.stop[1])):
            skipped = ((s * self._paged[_DEPTH] + d) * self._paged[_ROW] + first) * row
            nbytes = (last - first) * row * dtype.itemsize
            data = _read_exactly(file, page, page.offsets[0] + skipped * dtype.itemsize, nbytes, index)
            rows = np.frombuffer(data, dtype).reshape(last - first, self._paged[_COLUMN], self._paged[_SAMPLE])
            out[s - box.start[0], d - box.start[1]] = rows[:, box.slices[_COLUMN], box.slices[_SAMPLE]]

    def _needed(self, box: Region) -> list[int]:
        """Numbers of the segments that a part of a page touches."""
        ranges = [range(a // s, -(-b // s)) for a, b, s in zip(box.start, box.stop, self._segment, strict=True)]
        return [int(np.ravel_multi_index(corner, self._grid)) for corner in product(*ranges)]

    def _paste_segment(
        self, file: BinaryIO, page: Segments, index: int, number: int, box: Region, out: NDArray[Any]
    ) -> None:
        """Decode one strip or tile, or take it from the cache, and copy what is needed of it."""
        decode = partial(self._decode, file, page, index, number)
        block = decode() if self._keyframe.compression == 1 else self._recent.get((index, number), decode)
        corner = [int(i) * s for i, s in zip(np.unravel_index(number, self._grid), self._segment, strict=True)]
        lies = Region(tuple(corner), tuple(c + n for c, n in zip(corner, block.shape, strict=True)))
        start = tuple(max(a, c) for a, c in zip(box.start, lies.start, strict=True))
        stop = tuple(max(s, min(b, c)) for s, b, c in zip(start, box.stop, lies.stop, strict=True))
        part = Region(start, stop)
        out[part.relative_to(box.start).slices] = block[part.relative_to(lies.start).slices]

    def _decode(self, file: BinaryIO, page: Segments, index: int, number: int) -> NDArray[Any]:
        if number >= len(page.offsets) or number >= len(page.counts):
            raise ImageError(f"{page.path.name}: page {index} lacks strip or tile {number}: the file is damaged.")
        offset, count = page.offsets[number], page.counts[number]
        if count == 0 and _GDAL_NODATA not in self._keyframe.tags:
            raise ImageError(
                f"{page.path.name}: strip or tile {number} of page {index} was never written. Write the file again."
            )
        if self.block_bytes > max(SURE, _BELIEVABLE_RATIO * count):
            packed = f"{self.block_bytes / MIB:.0f} MiB into {count} bytes"
            raise ImageError(f"{page.path.name}: page {index} packs {packed}: it is damaged. Copy it again.")
        data = _read_exactly(file, page, offset, count, index) if count else None
        if data is not None and self._pictures and not self._keyframe.jpegheader:
            check_coded(data, self._segment[_ROW : _COLUMN + 1], self.stored.itemsize)
        more = {"jpegtables": page.jpegtables, "jpegheader": self._keyframe.jpegheader}
        block, _, shape = self._keyframe.decode(data, number, **(more if self._keyframe.compression in _JPEG else {}))
        if block is None:
            return np.full((1, *shape), self._keyframe.nodata, self.stored)
        wanted = (1, *shape)
        return np.asarray(block).reshape(wanted) if block.size == math.prod(wanted) else np.asarray(block)[None]


def check_page(reader: PageReader, index: int) -> None:
    """Whether the segments of a page lie inside its file."""
    page = reader.segments(index)
    size = page.path.stat().st_size
    ends = [o + c for o, c in zip(page.offsets, page.counts, strict=False)]
    if not ends:
        raise ImageError(f"{page.path.name}: page {index} has no pixels in the file. Copy it again.")
    if max(ends) > size:
        raise ImageError(
            f"{page.path.name}: page {index} should reach to byte {max(ends)}, but the file ends at byte {size}: "
            "it is cut short or damaged. Copy it again."
        )


def _one_run(page: Segments) -> bool:
    """Whether the strips of a page follow each other without a gap."""
    offsets, counts = page.offsets, page.counts
    return all(a + n == b for a, n, b in zip(offsets, counts, offsets[1:], strict=False))


def _read_exactly(file: BinaryIO, page: Segments, offset: int, count: int, index: int) -> bytes:
    file.seek(offset)
    parts, missing = [], count
    while missing > 0:
        part = file.read(missing)
        if not part:
            raise ImageError(
                f"{page.path.name}: page {index} should hold {count} bytes at byte {offset}, but the file ends "
                f"{missing} bytes too early: it is cut short. Copy it again."
            )
        parts.append(part)
        missing -= len(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _segment_shape(keyframe: Any, paged: tuple[int, ...]) -> tuple[int, ...]:
    """A strip or tile along the five axes of a page."""
    if keyframe.is_tiled:
        shape = (1, keyframe.tiledepth, keyframe.tilelength, keyframe.tilewidth, paged[_SAMPLE])
    else:
        shape = (1, 1, keyframe.rowsperstrip, paged[_COLUMN], paged[_SAMPLE])
    return tuple(max(1, int(n)) for n in shape)


def _inner_axes(shape: tuple[int, ...], paged: tuple[int, ...], name: str) -> dict[int, int]:
    """For the last axes of a series, which of the five axes of a page they are; axes of one pixel do not count."""
    inner: dict[int, int] = {}
    remaining = [axis for axis in range(5) if paged[axis] > 1]
    for axis in reversed([axis for axis, n in enumerate(shape) if n > 1]):
        if not remaining or shape[axis] != paged[remaining[-1]]:
            break
        inner[axis] = remaining.pop()
    if remaining:
        raise ImageError(f"{name}: its metadata describe {shape} pixels, its pages {paged}. Write the file again.")
    return dict(sorted(inner.items()))

"""Inputs that fail or change while they are read: chunks tried again, named, filled on request; files watched."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.errors import ImageError
from napari_restore.core.region import Region
from napari_restore.sources import Image
from napari_restore.sources.retrying import WAITS, UnreachableError, read_again
from napari_restore.store.ome_zarr import is_zarr

Unreadable = Literal["fail", "fill"]
"""What becomes of a chunk that cannot be read: the run ends and can be resumed, or its pixels are 0."""

_NAMED = 5


@dataclass(frozen=True)
class Filled:
    """Chunks that could not be read and were filled with 0, by their place in the grid of chunks."""

    chunks: set[tuple[int, ...]] = field(default_factory=set)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __str__(self) -> str:
        named = ", ".join(str(list(chunk)) for chunk in sorted(self.chunks)[:_NAMED])
        return named + (" ..." if len(self.chunks) > _NAMED else "")


def steady(image: Image, filled: Filled, *, unreadable: Unreadable, waits: tuple[float, ...] = WAITS) -> Image:
    """The image with a reader that tries again, and then names the chunk that fails, or fills it with 0.

    Parameters
    ----------
    filled
        Takes the chunks that were filled; they are not tried again.
    waits
        Seconds before each new attempt.

    Raises
    ------
    ImageError
        From the reader, with the chunk and its pixels, after the last attempt. What a server does not give was asked
        for again by its store already, and is named by it: that error passes as it is.
    """

    def read(region: Region) -> NDArray[Any]:
        try:
            return image.read(region)
        except ImageError as error:  # one chunk of many: find out which, and take the others as they are
            if unreadable == "fail" and isinstance(error, UnreachableError):
                raise
            pixels = np.zeros(region.shape, image.dtype)
            for chunk, part in _chunks_of(image, region):
                pixels[part.relative_to(region.start).slices] = one(chunk, part)
            return pixels

    def one(chunk: tuple[int, ...], part: Region) -> NDArray[Any] | int:
        if chunk in filled.chunks:
            return 0
        try:
            return read_again(image, part, waits=waits)
        except ImageError as error:
            if unreadable == "fail":
                if isinstance(error, UnreachableError):
                    raise
                raise ImageError(
                    f"{image.name}: chunk {list(chunk)}, pixels {part.start} to {part.stop}, cannot be read after "
                    f"{len(waits) + 1} attempts. Repair it and start again, or ask for unreadable chunks to be "
                    f"filled with 0 (unreadable: fill). {error}"
                ) from error
        with filled.lock:
            filled.chunks.add(chunk)
        return 0

    return replace(image, reader=read)


def _chunks_of(image: Image, region: Region) -> Iterator[tuple[tuple[int, ...], Region]]:
    """The chunks that a region touches, by their place in the grid, each with the part of the region in it."""
    ranges = [range(a // c, -(-b // c)) for a, b, c in zip(region.start, region.stop, image.chunks, strict=True)]
    for place in product(*ranges):
        start = tuple(max(i * c, a) for i, c, a in zip(place, image.chunks, region.start, strict=True))
        stop = tuple(min((i + 1) * c, b) for i, c, b in zip(place, image.chunks, region.stop, strict=True))
        yield place, Region(start, stop)


def files_state(image: Image) -> str | None:
    """How many files an image is of, their bytes, and when the youngest was changed; None where it has no local path.

    Nothing is read. In a folder that is no Zarr the files of the most frequent extension count: the output and other
    things may lie beside the slices of a series.
    """
    path = Path(image.location) if image.location is not None and "://" not in image.location else None
    if path is None or not path.exists():
        return None
    count, total, youngest = 0, 0, 0
    for file in _files_in(path) if path.is_dir() else [path]:  # one at a time: there may be millions
        facts = file.stat()
        count, total, youngest = count + 1, total + facts.st_size, max(youngest, facts.st_mtime_ns)
    return f"{count} files, {total} bytes, {youngest} ns"


def _files_in(folder: Path) -> Iterator[Path]:
    if is_zarr(folder):
        return (Path(root, name) for root, _, names in os.walk(folder) for name in names)
    files = [entry for entry in folder.iterdir() if entry.is_file() and not entry.name.startswith(".")]
    usual = Counter(file.suffix for file in files).most_common(1)
    return (file for file in files if file.suffix == usual[0][0])

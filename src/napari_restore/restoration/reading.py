"""Inputs that fail or change while they are read: chunks tried again, named, filled on request; files watched."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.errors import ImageError
from napari_restore.core.options import Unreadable
from napari_restore.core.region import Region
from napari_restore.metrics.noise import image_noise
from napari_restore.sources import Image
from napari_restore.sources.retrying import WAITS, UnreachableError, read_again
from napari_restore.store.ome_zarr import is_zarr

_NAMED = 5
"""Chunks that are named, of those that were filled."""
_PROBE = 64
"""Along Y and X, of the boxes that an image is known by again."""


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
    unreadable
        ``"fail"``, or ``"fill"`` to take 0 for a chunk that cannot be read.
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
                    f"{len(waits) + 1} attempts. Repair it and start again, or give `unreadable` = fill to take 0 for "
                    f"its pixels. {error}"
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


@dataclass(frozen=True)
class ImageFacts:
    """What an image is found to be, before it is restored.

    Attributes
    ----------
    noise
        Its standard deviation in the image's units, for integers; None for floating point, of which it is not asked.
    pixels
        A checksum over some of them.
    files
        Their state; None where there are none here.
    """

    noise: float | None
    pixels: str
    files: str | None


def facts_of(image: Image) -> ImageFacts:
    """Look at an image: a few planes for its noise, three small boxes and its files."""
    noise = image_noise(image) if image.dtype.kind != "f" else None
    return ImageFacts(noise, probe(image), files_state(image))


def is_unchanged(image: Image, facts: ImageFacts) -> bool:
    """Whether an image is still what it was found to be."""
    return probe(image) == facts.pixels and files_state(image) == facts.files


def probe(image: Image) -> str:
    """A checksum over three small boxes: enough to tell another image, too few to wait for."""
    digest = hashlib.sha256()
    sizes = tuple(min(n, _PROBE if a in "YX" else 1) for a, n in zip(image.axes, image.shape, strict=True))
    for part in (0.0, 0.5, 1.0):
        start = tuple(int(part * (n - size)) for n, size in zip(image.shape, sizes, strict=True))
        box = Region(start, tuple(s + size for s, size in zip(start, sizes, strict=True)))
        digest.update(np.ascontiguousarray(image.read(box)).tobytes())
    return digest.hexdigest()[:16]


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

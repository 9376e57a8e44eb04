"""Inputs that fail or change while they are read: chunks tried again, named, filled on request; files watched."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.errors import ImageError
from napari_restore.core.options import Unreadable
from napari_restore.core.region import Region
from napari_restore.metrics.noise import image_noise
from napari_restore.sources import Image
from napari_restore.sources.retrying import WAITS, UnreachableError, read_again
from napari_restore.sources.unchanged import files_state, probe

_NAMED = 5
"""Chunks that are named, of those that were filled."""


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
        Its standard deviation in the image's units; None for float32, of which it is not asked.
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
    noise = image_noise(image) if image.dtype != np.float32 else None
    return ImageFacts(noise, probe(image), files_state(image))


def is_unchanged(image: Image, facts: ImageFacts) -> bool:
    """Whether an image is still what it was found to be."""
    return probe(image) == facts.pixels and files_state(image) == facts.files

"""PNG, JPEG and BMP: small single pictures, decoded whole when first read."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.errors import ImageError
from napari_restore.core.region import Region
from napari_restore.sources.caching import RecentBlocks
from napari_restore.sources.coded import check_coded, jpeg_frame
from napari_restore.sources.described import MIB, Described, Wanted, explaining, most_from

_LARGEST = 2**28
"""Pixels; a picture is decoded whole."""

_SURE = 64 * MIB
"""Bytes that a picture of any length may be decoded to, in a second. A larger one has to be a file of some length."""

_PNG_CHANNELS = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}
"""By the colour type in its header; with a palette, red, green and blue come out."""


def open_png(path: Path, wanted: Wanted) -> Described:
    """A PNG of 8 or 16 bits, gray or in colour."""
    import imagecodecs

    width, height, bits, colour = _unpack(path, ">IIBB", 16)
    size = (height, width, _PNG_CHANNELS.get(colour, 4) * max(1, bits // 8))
    described = _describe(path, wanted, size, imagecodecs.png_decode)
    return replace(described, alpha=described.shape[2:] in ((2,), (4,)))


def open_bmp(path: Path, wanted: Wanted) -> Described:
    """A Windows bitmap."""
    import imagecodecs

    width, height = _unpack(path, "<ii", 18)
    return _describe(path, wanted, (abs(height), abs(width), 3), imagecodecs.bmp_decode)


def open_jpeg(path: Path, wanted: Wanted) -> Described:
    """A JPEG; colour comes as red, green and blue."""
    import imagecodecs

    with explaining(f"{path.name} cannot be read as JPEG"):
        frame = jpeg_frame(path.read_bytes())
        if frame is None:
            raise ValueError("it has no frame header")
    size = (frame.rows, frame.columns, frame.channels * (1 if frame.bits <= 8 else 2))

    def decode(data: bytes) -> Any:
        if b"\xff\xd9" not in data[frame.end :]:  # the decoder fills what is missing with gray
            raise ImageError(f"{path.name} ends before its picture does: it is cut short. Copy it again.")
        check_coded(data, size[:2], size[2])
        return imagecodecs.jpeg_decode(data)

    return _describe(path, wanted, size, decode)


def _describe(path: Path, wanted: Wanted, size: tuple[int, int, int], decode: Callable[[bytes], Any]) -> Described:
    """The picture is decoded once to learn its type, and kept while it is among the last ones used.

    ``size`` is rows, columns and bytes of a pixel.
    """
    wanted.only_one(path.name)
    if size[0] * size[1] > _LARGEST or 0 in size[:2]:
        raise ImageError(
            f"{path.name} claims to be {size[0]} x {size[1]} pixels; a picture may have 1 to {_LARGEST}. Use a TIFF."
        )
    nbytes, length = math.prod(size), path.stat().st_size
    if nbytes > most_from(length, nbytes, _SURE):
        raise ImageError(
            f"{path.name} claims to be {size[0]} x {size[1]} pixels, {nbytes / MIB:.0f} MiB, in a file of {length} "
            "bytes: it is damaged, or nothing but one value. Use a TIFF with tiles."
        )
    load = partial(_load, path, decode)
    first = load()
    recent = RecentBlocks(0)
    recent.get(path, lambda: first)
    pixels = _without_single(first)

    def read(region: Region) -> NDArray[Any]:
        return _without_single(recent.get(path, load))[region.slices]

    return Described(
        name=path.stem,
        axes="YXC"[: pixels.ndim],
        shape=pixels.shape,
        dtype=pixels.dtype,
        chunks=pixels.shape,
        reader=read,
        location=str(path),
    )


def _without_single(pixels: NDArray[Any]) -> NDArray[Any]:
    """Gray pictures without an axis for their one channel."""
    return pixels[..., 0] if pixels.shape[2:] == (1,) else pixels


def _load(path: Path, decode: Callable[[bytes], Any]) -> NDArray[Any]:
    with explaining(f"{path.name} cannot be decoded"):
        return np.asarray(decode(path.read_bytes()))


def _unpack(path: Path, form: str, offset: int) -> tuple[int, ...]:
    with explaining(f"{path.name} cannot be read"), path.open("rb") as file:
        file.seek(offset)
        return struct.unpack(form, file.read(struct.calcsize(form)))

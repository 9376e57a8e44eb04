"""PNG, JPEG and BMP: small single pictures, decoded whole when first read."""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.errors import ImageError
from napari_restore.core.region import Region
from napari_restore.sources.caching import RecentBlocks
from napari_restore.sources.described import Described, explaining, only_level

_LARGEST = 2**28
"""Pixels; a picture is decoded whole."""


def open_png(path: Path, level: int) -> Described:
    """A PNG of 8 or 16 bits, gray or in colour."""
    import imagecodecs

    width, height = _unpack(path, ">II", 16)
    return _describe(path, level, (height, width), imagecodecs.png_decode)


def open_bmp(path: Path, level: int) -> Described:
    """A Windows bitmap."""
    import imagecodecs

    width, height = _unpack(path, "<ii", 18)
    return _describe(path, level, (abs(height), abs(width)), imagecodecs.bmp_decode)


def open_jpeg(path: Path, level: int) -> Described:
    """A JPEG; colour comes as red, green and blue."""
    import imagecodecs

    height, width, frame = _jpeg_frame(path)

    def decode(data: bytes) -> Any:
        if b"\xff\xd9" not in data[frame:]:  # the decoder fills what is missing with gray
            raise ImageError(f"{path.name} ends before its picture does: it is cut short. Copy it again.")
        return imagecodecs.jpeg_decode(data)

    return _describe(path, level, (height, width), decode)


def _describe(path: Path, level: int, size: tuple[int, int], decode: Callable[[bytes], Any]) -> Described:
    """The picture is decoded once to learn its type, and kept while it is among the last ones used."""
    only_level(level, 1, path.name)
    if size[0] * size[1] > _LARGEST or 0 in size:
        raise ImageError(
            f"{path.name} claims to be {size[0]} x {size[1]} pixels; a picture may have 1 to {_LARGEST}. Use a TIFF."
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


def _jpeg_frame(path: Path) -> tuple[int, int, int]:
    """Height, width and place of the first frame header."""
    with explaining(f"{path.name} cannot be read as JPEG"), path.open("rb") as file:
        file.seek(2)
        while True:
            _, marker, length = struct.unpack(">BBH", file.read(4))
            if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
                height, width = struct.unpack(">xHH", file.read(5))
                return height, width, file.tell()
            file.seek(length - 2, 1)

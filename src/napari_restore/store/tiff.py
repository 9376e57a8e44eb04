"""OME-TIFF, streamed from a finished array: never the whole image in memory.

Uncompressed, because that is what every other program reads; BigTIFF as soon as 4 GB are not enough.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile
import zarr
from numpy.typing import NDArray

from napari_restore.core.channel import Channel
from napari_restore.core.errors import OutputError
from napari_restore.core.geometry import Geometry
from napari_restore.sources.units import OME_SYMBOLS, TIMES
from napari_restore.store.files import sync_file
from napari_restore.store.names import NAMESPACE

DTYPES = frozenset({"bool", "int8", "int16", "int32", "uint8", "uint16", "uint32", "float32", "float64"})
"""What OME-TIFF can hold."""

_TILE = 512
_LARGEST_PAGE = 64 << 20
_LARGEST_SLAB = 64 << 20
_CLASSIC_LIMIT = (1 << 32) - (1 << 25)


def check_dtype(path: Path, dtype: np.dtype[Any]) -> None:
    """Refuse pixels that OME-TIFF has no name for."""
    if dtype.name not in DTYPES:
        raise OutputError(
            f"{path}: OME-TIFF cannot hold {dtype.name} pixels, only {', '.join(sorted(DTYPES))}: "
            "name the output .zarr, or choose another dtype."
        )


def write_tiff(
    path: Path,
    array: zarr.Array[Any],
    geometry: Geometry,
    *,
    name: str,
    provenance: Mapping[str, Any],
    channels: Sequence[Channel] = (),
) -> None:
    """Write a whole array as one OME-TIFF, in a new file, and wait until it is on the disk."""
    large = prod(array.shape[-2:]) * array.dtype.itemsize > _LARGEST_PAGE
    with path.open("xb") as file:  # never through a link
        tifffile.imwrite(
            file,
            data=_tiles(array) if large else _pages(array),
            shape=array.shape,
            dtype=array.dtype,
            tile=(_TILE, _TILE) if large else None,
            ome=True,
            bigtiff=prod(array.shape) * array.dtype.itemsize > _CLASSIC_LIMIT,
            photometric="minisblack",
            metadata=_metadata(geometry, name=name, provenance=provenance, channels=channels),
        )
    sync_file(path)


def read_provenance(path: Path) -> Mapping[str, Any]:
    """What a whole file of ours says of how it was made; nothing where it is none."""
    try:
        with tifffile.TiffFile(path) as file:
            words = ElementTree.fromstring(file.ome_metadata or "<none/>")
        told = next((m.text for m in words.iter() if m.get("K") == "provenance"), None)
        said = json.loads(told or "{}")
    except (OSError, ValueError, RecursionError, ElementTree.ParseError, tifffile.TiffFileError):
        return {}
    return said if isinstance(said, Mapping) else {}


def _pages(array: zarr.Array[Any]) -> Iterator[NDArray[Any]]:
    """Planes in order; as many at a time as one row of chunks holds, so that a chunk is decoded once."""
    if array.ndim == 2:
        yield np.asarray(array[:])
        return
    *outer, depth = array.shape[:-2]
    plane = prod(array.shape[-2:]) * array.dtype.itemsize
    step = max(1, min(array.chunks[-3], _LARGEST_SLAB // plane))
    for index in np.ndindex(*outer):
        for start in range(0, depth, step):
            yield from np.asarray(array[(*index, slice(start, min(start + step, depth)))])


def _tiles(array: zarr.Array[Any]) -> Iterator[NDArray[Any]]:
    """Square tiles of pages too large to hold, in order, filled up with zeros at the far borders."""
    height, width = array.shape[-2:]
    for index in np.ndindex(*array.shape[:-2]):
        for top in range(0, height, _TILE):
            band = np.asarray(array[(*index, slice(top, min(top + _TILE, height)))])
            for left in range(0, width, _TILE):
                piece = band[:, left : left + _TILE]
                tile = np.zeros((_TILE, _TILE), array.dtype)
                tile[: piece.shape[0], : piece.shape[1]] = piece
                yield tile


def _metadata(
    geometry: Geometry, *, name: str, provenance: Mapping[str, Any], channels: Sequence[Channel]
) -> dict[str, Any]:
    content: dict[str, Any] = {"axes": geometry.axes, "Name": name}
    keys = {"X": "PhysicalSizeX", "Y": "PhysicalSizeY", "Z": "PhysicalSizeZ", "T": "TimeIncrement"}
    for letter, unit in zip(geometry.axes, geometry.units, strict=True):
        # Pixels of length 1 are as good as unknown; finer ones of an image of unknown size are parts of its pixels.
        known = unit != "pixel" or (letter != "T" and geometry.size_of(letter) != 1)
        if letter in keys and unit in OME_SYMBOLS and known:
            content |= {keys[letter]: geometry.size_of(letter), f"{keys[letter]}Unit": OME_SYMBOLS[unit]}
    content |= _positions(geometry)
    if channels:
        content["Channel"] = [_channel(channel) for channel in channels]
    content["MapAnnotation"] = {"Namespace": NAMESPACE, "provenance": json.dumps(dict(provenance))}
    return content


def _channel(channel: Channel) -> dict[str, Any]:
    """What OME-XML says of a channel; a colour is RGBA in 32 bits with a sign."""
    said: dict[str, Any] = {"Name": channel.name} if channel.name else {}
    if channel.colour:
        number = int(f"{channel.colour}FF", 16)
        said["Color"] = number - (1 << 32) if number >= 1 << 31 else number
    return said


def _positions(geometry: Geometry) -> dict[str, Any]:
    """Where and when the first pixel lies, said of every plane, for an image that does not begin at zero."""
    if not any(geometry.origin):
        return {}
    outer = geometry.axes[:-2]
    planes = list(np.ndindex(*geometry.shape[:-2]))
    content: dict[str, Any] = {}
    for letter in geometry.axes:
        first, unit = geometry.origin[geometry.index(letter)], geometry.units[geometry.index(letter)]
        word = "DeltaT" if letter == "T" else f"Position{letter}"
        if letter == "C" or (letter == "T" and (unit not in TIMES or not first)):
            continue
        step = geometry.size_of(letter) if letter in outer else 0.0
        numbers = [plane[outer.index(letter)] if letter in outer else 0 for plane in planes]
        content[word] = [first + step * number for number in numbers]
        content[f"{word}Unit"] = [OME_SYMBOLS.get(unit, "pixel")] * len(planes)
    return {"Plane": content} if content else {}

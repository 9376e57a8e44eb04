"""OME-Zarr 0.5 (zarr v3) and 0.4 (zarr v2): arrays and metadata.

Specification: https://ngff.openmicroscopy.org/0.5/ (Moore et al. 2023, doi:10.1007/s00418-023-02209-1).
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec

from napari_restore.core.channel import Channel
from napari_restore.core.geometry import Geometry
from napari_restore.core.region import Region
from napari_restore.sources.marks import ZARR_MARKS
from napari_restore.sources.naming import channel_label
from napari_restore.sources.units import LENGTHS, TIMES
from napari_restore.store.files import remove, sync_file, sync_folder
from napari_restore.store.names import NAMESPACE

Version = Literal["0.5", "0.4"]

_COLOURS = ("FFFFFF", "00FF00", "FF00FF", "00FFFF", "FFFF00", "FF0000", "0000FF")
_MOST_CHANNELS = 16
_SAMPLED_CHUNKS = 8
_CHUNK = {"T": 1, "C": 1, "Z": 8, "Y": 512, "X": 512}
"""Pixels of a chunk at most, along each axis."""


def create_group(folder: Path, *, version: Version) -> None:
    """An empty group that says it is unfinished; it gets its OME metadata when all pixels are there."""
    zarr.create_group(
        str(folder), zarr_format=_zarr_format(version), attributes={NAMESPACE: {"unfinished": True}}, overwrite=True
    )
    _sync_metadata(folder)


def create_level(
    folder: Path, level: int, geometry: Geometry, *, dtype: np.dtype[Any], blocks: Sequence[int], version: Version
) -> zarr.Array[Any]:
    """An empty array for one level of the pyramid; whatever lay there is removed.

    ``blocks`` are written whole, each a file. A large one is a shard of chunks that a viewer can read by themselves,
    where the version has shards.
    """
    path = folder / str(level)
    remove(path)
    modern = version == "0.5"
    block = tuple(min(c, n) for c, n in zip(blocks, geometry.shape, strict=True))
    chunks = chunks_of(block, geometry.axes) if modern else block
    array = zarr.create_array(
        str(path),
        shape=geometry.shape,
        dtype=dtype,
        chunks=chunks,
        shards=block if chunks != block else None,
        compressors=_codecs(dtype, version),
        fill_value=0,
        zarr_format=_zarr_format(version),
        dimension_names=[a.lower() for a in geometry.axes] if modern else None,
        chunk_key_encoding={"name": "default" if modern else "v2", "separator": "/"},
        config={"write_empty_chunks": True},  # a chunk that does not exist must mean a tile that is not done
    )
    _sync_metadata(path)
    return array


def chunks_of(block: Sequence[int], axes: str) -> tuple[int, ...]:
    """The chunks that a block is cut into: equal ones, so that a plane or a window is read without all of it.

    Of a block of 2048 x 2048 a window of 100 x 100 is read in 1 instead of 20 ms, of 32 planes of 128 x 128 one plane
    in 1.5 instead of 2.4 ms.
    """
    return tuple(_cut(n, _CHUNK[a]) for n, a in zip(block, axes, strict=True))


def _cut(length: int, most: int) -> int:
    """The largest equal part that is no longer than ``most``; the whole length where all would be far shorter."""
    parts = [length // n for n in range(-(-length // most), 2 * -(-length // most) + 1) if length % n == 0]
    return parts[0] if parts else length


def block_of(array: zarr.Array[Any]) -> tuple[int, ...]:
    """What is written whole, and lies in one file: a shard, or a chunk where there are none."""
    return tuple(array.shards or array.chunks)


def open_level(folder: Path, level: int, *, mode: Literal["r", "r+"] = "r+") -> zarr.Array[Any]:
    """An existing level, to write to it or to read it."""
    array = zarr.open_array(str(folder / str(level)), mode=mode)
    return array.with_config({"write_empty_chunks": True})


def write_blocks(array: zarr.Array[Any], path: Path, region: Region, pixels: NDArray[Any]) -> int:
    """Write whole blocks and wait until they are on the disk; gives the CRC-32 of the pixels.

    Two processes may do this to one array at the same time, as long as their regions differ.
    """
    _check_whole_blocks(array, region, pixels)
    array[region.slices] = pixels
    files = files_of(array, path, region)
    for file in files:
        sync_file(file)
    for folder in sorted({p for file in files for p in file.parents if p.is_relative_to(path)}, reverse=True):
        sync_folder(folder)
    return checksum(pixels)


def files_of(array: zarr.Array[Any], path: Path, region: Region) -> list[Path]:
    """Where the blocks of a region lie, of an array in a folder."""
    return [path / array.metadata.encode_chunk_key(corner) for corner in _corners(region, block_of(array))]


def checksum(pixels: NDArray[Any]) -> int:
    """CRC-32 of pixels in C order."""
    return zlib.crc32(np.ascontiguousarray(pixels).data)


def write_metadata(
    folder: Path,
    pyramid: Sequence[Geometry],
    *,
    name: str,
    provenance: Mapping[str, Any],
    version: Version,
    channels: Sequence[Channel] = (),
) -> None:
    """Make the group an OME-Zarr image: the last thing written into it.

    What nobody said of a channel is chosen, as the format wants a colour and viewers show a label.
    """
    multiscales: dict[str, Any] = {
        "name": name,
        "axes": _axes(pyramid[0]),
        "datasets": _datasets(pyramid),
        "type": "mean",
    }
    shown = _channels(folder, pyramid, name=name, known=channels)
    omero = {"omero": {"channels": shown}} if shown else {}
    if version == "0.5":
        image: dict[str, Any] = {"ome": {"version": version, "multiscales": [multiscales], **omero}}
    else:
        image = {"multiscales": [{"version": version, **multiscales}], **omero}
    group = zarr.open_group(str(folder), mode="r+")
    group.attrs.put({**image, NAMESPACE: dict(provenance)})
    _sync_metadata(folder)


def read_provenance(folder: Path) -> Mapping[str, Any]:
    """What a whole image of ours says of how it was made; nothing where it is none."""
    try:
        said = zarr.open_group(str(folder), mode="r").attrs.asdict().get(NAMESPACE)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
    return said if isinstance(said, Mapping) else {}


def is_zarr(folder: Path) -> bool:
    """Whether a folder holds a zarr array or group."""
    return any((folder / file).exists() for file in ZARR_MARKS)


def _sync_metadata(folder: Path) -> None:
    """Wait until the zarr metadata of a group or array is on the disk."""
    for file in ZARR_MARKS:
        if (folder / file).exists():
            sync_file(folder / file)
    sync_folder(folder)


def _zarr_format(version: Version) -> Literal[2, 3]:
    return 3 if version == "0.5" else 2


def _codecs(dtype: np.dtype[Any], version: Version) -> Any:
    # zstd level 1 behind a byte shuffle: 0.6 GB/s a core, and 5 to 14 % smaller than lz4 on restored images.
    if version == "0.4":
        return {"id": "blosc", "cname": "zstd", "clevel": 1, "shuffle": 1, "blocksize": 0}
    # A flipped bit is silent without the checksum (measured).
    return [BloscCodec(typesize=dtype.itemsize, cname="zstd", clevel=1, shuffle="shuffle"), Crc32cCodec()]


def _check_whole_blocks(array: zarr.Array[Any], region: Region, pixels: NDArray[Any]) -> None:
    block = block_of(array)
    whole = all(
        a % c == 0 and (b % c == 0 or b == n)
        for a, b, c, n in zip(region.start, region.stop, block, array.shape, strict=True)
    )
    if not whole or not region.inside(array.shape):
        raise ValueError(
            f"{region} is not a box of whole blocks of {block} in an array of {array.shape}: "
            "a block with two writers loses pixels."
        )
    if pixels.shape != region.shape or pixels.dtype != array.dtype:
        raise ValueError(f"{region} needs {region.shape} {array.dtype}, got {pixels.shape} {pixels.dtype}.")


def _corners(region: Region, block: Sequence[int]) -> list[tuple[int, ...]]:
    """Grid positions of the blocks in a region."""
    first = [a // c for a, c in zip(region.start, block, strict=True)]
    grid = [-(-b // c) - f for b, c, f in zip(region.stop, block, first, strict=True)]
    return [tuple(int(i) + f for i, f in zip(index, first, strict=True)) for index in np.ndindex(*grid)]


def _axes(geometry: Geometry) -> list[dict[str, str]]:
    kinds: dict[str, tuple[str, Mapping[str, object]]] = {"T": ("time", TIMES), "C": ("channel", {})}
    axes = []
    for letter, unit in zip(geometry.axes, geometry.units, strict=True):
        kind, valid = kinds.get(letter, ("space", LENGTHS))
        axes.append({"name": letter.lower(), "type": kind} | ({"unit": unit} if unit in valid else {}))
    return axes


def _datasets(pyramid: Sequence[Geometry]) -> list[dict[str, Any]]:
    # Either every level says where it begins or none does, so that nobody mixes a given with an assumed zero.
    moved = any(any(level.origin) for level in pyramid)
    return [
        {
            "path": str(number),
            "coordinateTransformations": [
                {"type": "scale", "scale": list(level.pixel_size)},
                *([{"type": "translation", "translation": list(level.origin)}] if moved else []),
            ],
        }
        for number, level in enumerate(pyramid)
    ]


def _channels(
    folder: Path, pyramid: Sequence[Geometry], *, name: str, known: Sequence[Channel]
) -> list[dict[str, Any]]:
    """How to show each channel: without it a viewer stretches integers over their whole range and shows black."""
    geometry = pyramid[-1]
    if geometry.length("C") > _MOST_CHANNELS and not known:
        return []
    array = open_level(folder, len(pyramid) - 1, mode="r")
    count = geometry.length("C")
    return [
        {
            "label": channel.name or channel_label(name, number, count),
            "color": channel.colour or _COLOURS[number % len(_COLOURS)],
            "active": True,
            "window": _window(_sample(array, geometry, channel=number)),
        }
        for number, channel in enumerate(known or [Channel()] * count)
    ]


def _sample(array: zarr.Array[Any], geometry: Geometry, *, channel: int) -> NDArray[Any]:
    """Pixels of a channel from a few chunks spread over the array."""
    block = tuple(1 if a == "C" else c for a, c in zip(geometry.axes, array.chunks, strict=True))
    start = tuple(channel if a == "C" else 0 for a in geometry.axes)
    grid = [1 if a == "C" else -(-n // b) for a, n, b in zip(geometry.axes, array.shape, block, strict=True)]
    total = int(np.prod(grid))
    picked = sorted({round(i) for i in np.linspace(0, total - 1, min(total, _SAMPLED_CHUNKS))})
    pieces = []
    for index in picked:
        corner = tuple(int(p) * b for p, b in zip(np.unravel_index(index, grid), block, strict=True))
        region = Region(corner, tuple(c + b for c, b in zip(corner, block, strict=True))).shift(start)
        pieces.append(np.asarray(array[region.clip(array.shape).slices]).ravel())
    return np.concatenate(pieces)


def _window(pixels: NDArray[Any]) -> dict[str, float]:
    finite = pixels[np.isfinite(pixels)] if pixels.dtype.kind == "f" else pixels
    if finite.size == 0:
        return {"min": 0.0, "max": 1.0, "start": 0.0, "end": 1.0}
    start, end = (float(v) for v in np.percentile(finite, (0.1, 99.9)))
    if pixels.dtype.kind in "iu":
        limits = np.iinfo(pixels.dtype)
        low, high = float(limits.min), float(limits.max)
    else:
        low, high = float(finite.min()), float(finite.max())
    return {"min": low, "max": high, "start": start, "end": end if end > start else start + 1.0}

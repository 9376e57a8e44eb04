"""Arrays in memory and lazy arrays: NumPy, dask, zarr, xarray, and whatever can be sliced like them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.errors import ImageError
from napari_restore.core.region import Region
from napari_restore.sources.described import MIB, Described, Reader, explaining, only_level
from napari_restore.sources.image import Image
from napari_restore.sources.mapped import unmapped
from napari_restore.sources.masked import filled, is_masked, note_of, with_nan
from napari_restore.sources.naming import letters_of, unit_name
from napari_restore.sources.origins import files_of

_BLOCK = 16 * MIB


def describe_array(array: Any, level: int, *, name: str = "image", location: str | None = None) -> Described:
    """An array as an image without metadata; xarray says more."""
    only_level(level, 1, name)
    if hasattr(array, "dims") and hasattr(array, "coords"):
        return _describe_xarray(array, name)
    array = as_sliceable(array)
    return Described(
        name=name,
        axes=None,
        shape=_shape_of(array, name),
        dtype=_dtype_of(array),
        chunks=block_of(array),
        reader=reader_of(array, name),
        location=location,
        files=files_of(array),
        notes=_notes_of(array),
    )


def describe_image(image: Image, level: int) -> Described:
    """An image that is open already."""
    only_level(level, 1, image.name)
    geometry = image.geometry
    shape = tuple(n + (a == "C" and image.alpha is not None) for a, n in zip(image.axes, image.shape, strict=True))
    return Described(
        name=image.name,
        axes=image.axes,
        shape=shape,
        dtype=image.dtype,
        chunks=image.chunks,
        reader=image.reader if image.alpha is None else _with_alpha(image),
        alpha=image.alpha is not None,
        pixel_size=dict(zip(image.axes, geometry.pixel_size, strict=True)),
        units=dict(zip(image.axes, geometry.units, strict=True)),
        origin=dict(zip(image.axes, geometry.origin, strict=True)),
        placement=geometry.placement,
        channel_names=tuple(channel.name for channel in image.channels),
        channel_colours=tuple(channel.colour for channel in image.channels),
        location=image.location,
        address=image.address,
        notes=image.notes,
        files=image.files,
        read_optics=lambda: image.optics,
        series=image.series,
        filling=image.filling,
        thickness=image.thickness,
        stored=image.stored,
    )


def _with_alpha(image: Image) -> Reader:
    """Reads all channels, the alpha last."""
    axis, count = image.axes.index("C"), image.geometry.length("C")

    def read(region: Region) -> NDArray[Any]:
        assert image.alpha is not None
        parts = []
        if region.start[axis] < count:
            parts.append(image.read(region.clip(image.shape)))
        if region.stop[axis] > count:
            start, stop = list(region.start), list(region.stop)
            start[axis], stop[axis] = 0, 1
            parts.append(image.alpha(Region(tuple(start), tuple(stop))))
        return np.concatenate(parts, axis)

    return read


def as_sliceable(array: Any) -> Any:
    """The array itself if it is lazy and can be sliced, else as NumPy sees it."""
    if isinstance(array, np.ndarray):
        return array
    if all(hasattr(array, word) for word in ("shape", "dtype", "__getitem__")) and _has_numpy_dtype(array):
        return array
    if hasattr(array, "__array__"):
        with explaining("the array cannot be read"):
            return np.asarray(array)
    raise ImageError(
        f"{_short(array)} is not an image. Give a NumPy, dask or zarr array, a napari image layer, a path or a URL."
    )


def reader_of(array: Any, name: str) -> Reader:
    """A thread-safe reader of anything that can be sliced; dask computes in the calling thread.

    Pixels that are masked come as NaN; what is mapped from a file is read from it.
    """
    if isinstance(array, np.ndarray) and not is_masked(array) and (behind := unmapped(np.asarray(array))) is not None:
        return behind
    masked = is_masked(array)

    def read(region: Region) -> NDArray[Any]:
        with explaining(f"{name}: pixels {region.start} to {region.stop} cannot be read"):
            part = array[region.slices]
            if hasattr(part, "__dask_graph__"):
                part = part.compute(scheduler="synchronous")
            return filled(part) if masked else np.asarray(part)

    return read


def _shape_of(array: Any, name: str) -> tuple[int, ...]:
    """Its lengths, which a lazy array may not know.

    Raises
    ------
    ImageError
        If some of them are no whole numbers.
    """
    shape = array.shape
    if not isinstance(shape, Sequence) or not all(_is_whole(n) for n in shape):
        next_step = (
            "Call compute_chunk_sizes() on it first"
            if hasattr(array, "compute_chunk_sizes")
            else "Give one with whole numbers of pixels"
        )
        raise ImageError(f"{name}: an array of shape {str(shape)[:60]} does not know its lengths. {next_step}.")
    return tuple(int(n) for n in shape)


def _is_whole(length: Any) -> bool:
    return isinstance(length, Integral | np.integer) and int(length) >= 0


def _dtype_of(array: Any) -> np.dtype[Any]:
    return with_nan(np.dtype(array.dtype)) if is_masked(array) else np.dtype(array.dtype)


def _notes_of(array: Any) -> tuple[str, ...]:
    return (note_of(array),) if is_masked(array) else ()


def block_of(array: Any) -> tuple[int, ...]:
    """The block that is cheapest to read whole: shard, chunk, or the last axes of a plain array."""
    shape = tuple(int(n) for n in array.shape)
    itemsize = np.dtype(array.dtype).itemsize
    shards = getattr(array, "shards", None)
    if shards and math.prod(shards) * itemsize <= 16 * _BLOCK:
        return tuple(int(n) for n in shards)
    chunksize = getattr(array, "chunksize", None) or getattr(array, "chunks", None)
    if isinstance(chunksize, tuple) and len(chunksize) == len(shape) and all(isinstance(n, int) for n in chunksize):
        return chunksize
    return plain_block(shape, itemsize)


def plain_block(shape: Sequence[int], itemsize: int) -> tuple[int, ...]:
    """Whole last axes, as many as stay under 16 MiB, and part of the one before them."""
    block = [1] * len(shape)
    room = max(1, _BLOCK // max(1, itemsize))
    for axis in reversed(range(len(shape))):
        block[axis] = max(1, min(shape[axis], room))
        room //= max(1, block[axis])
    return tuple(block)


def _describe_xarray(array: Any, name: str) -> Described:
    """An xarray DataArray: its dimensions are names, its coordinates are pixel sizes."""
    axes = letters_of(array.dims)
    data = as_sliceable(array.data)
    sizes: dict[str, float] = {}
    units: dict[str, str] = {}
    origin: dict[str, float] = {}
    for letter, dim in zip(axes or "", array.dims, strict=False):
        values = np.asarray(array.coords[dim].values) if dim in array.coords else np.empty(0)
        step = _regular_step(values)
        if step is None:
            continue
        sizes[letter], origin[letter] = step, float(values[0])
        units[letter] = unit_name(array.coords[dim].attrs.get("units"))
    return Described(
        name=str(array.name or name),
        axes=axes,
        shape=_shape_of(data, name),
        dtype=_dtype_of(data),
        chunks=block_of(data),
        reader=reader_of(data, name),
        notes=_notes_of(data),
        pixel_size=sizes,
        units=units,
        origin=origin,
        files=files_of(data),
        channel_names=_coordinate_names(array, axes),
        filling=_missing(getattr(array, "attrs", {})),
    )


def _coordinate_names(array: Any, axes: str | None) -> tuple[str, ...]:
    """What the coordinates of the channels call them."""
    dim = array.dims[axes.index("C")] if axes is not None and "C" in axes else None
    values = np.asarray(array.coords[dim].values) if dim is not None and dim in array.coords else np.empty(0)
    return tuple(map(str, values)) if values.ndim == 1 and values.dtype.kind in "UO" else ()


def _missing(attributes: Mapping[str, Any]) -> tuple[tuple[float, float], ...]:
    """Values of pixels without data, by the names that NetCDF and rioxarray have for them."""
    found = [attributes.get(name) for name in ("_FillValue", "missing_value", "nodata")]
    values = {float(value) for value in found if isinstance(value, Real) and math.isfinite(value)}
    return tuple((value, value) for value in sorted(values))


def _regular_step(values: NDArray[Any]) -> float | None:
    """The distance between coordinates that are evenly spaced; below 0 where they fall."""
    if values.ndim != 1 or values.size < 2 or values.dtype.kind not in "iuf":
        return None
    steps = np.diff(values.astype(float))
    step = float(steps.mean())
    return step if step and math.isfinite(step) and np.allclose(steps, step, rtol=1e-3, atol=0) else None


def _has_numpy_dtype(array: Any) -> bool:
    try:
        np.dtype(array.dtype)
    except TypeError:
        return False
    return True


def _short(thing: Any) -> str:
    text = repr(thing)
    return f"{type(thing).__name__} {text if len(text) <= 60 else text[:57] + '...'}"

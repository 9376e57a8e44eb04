"""``open_image``: whatever the user calls an image, as an ``Image``."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from numbers import Integral, Real
from typing import Any

import numpy as np

from napari_restore.core.errors import ImageError
from napari_restore.core.geometry import AXES, SPATIAL, Geometry, canonical_axes, guess_axes, valid_axes
from napari_restore.core.region import Region
from napari_restore.sources import arrays, formats, layers, zarrs
from napari_restore.sources.described import Described, Reader, one_line
from napari_restore.sources.image import Image
from napari_restore.sources.naming import name_unknown


def open_image(
    image: Any,
    *,
    axes: str | Sequence[str] | None = None,
    pixel_size: Mapping[str, float] | Sequence[float] | None = None,
    channel: int | str | None = None,
    level: int = 0,
) -> Image:
    """Open an image where it lies; its pixels are read when they are asked for.

    Parameters
    ----------
    image
        A NumPy, dask, zarr or xarray array, a zarr group, a napari image layer, an ``Image``, a path (TIFF of every
        kind, a folder of slices, OME-Zarr, Zarr, DICOM file or series, PNG, JPEG, BMP, NPY; ``~`` is the home folder)
        or the URL of a Zarr. Pixels of a masked array that are masked come as NaN: nothing is learned from them, and
        they stay.
    axes
        One letter of TCZYX an axis, as a text or a list, for images that say nothing about them or the wrong thing.
    pixel_size
        Distance between pixels by letter, ``{"Z": 0.3, "Y": 0.1, "X": 0.1}``, or as many numbers as there are axes, or
        axes of space: in the image's own unit, in micrometers where it has none.
    channel
        Index or name of the one channel to open; the C axis disappears.
    level
        Of a multiscale image; 0 is the full resolution.

    Raises
    ------
    ImageError
        If it cannot be opened; the message says why and what to do, on one line.
    """
    wanted = _letters(axes)
    described = _describe(image, _whole(level))
    described = _named(described, wanted)
    if channel is not None:
        described = _one_channel(described, channel)
    opened = _image(described) if channel is not None else _without_alpha(_image(described), described)
    if pixel_size is not None and len(sizes := _sizes(pixel_size, opened.axes)):
        opened = replace(opened, geometry=opened.geometry.with_pixel_size(sizes))
    return opened


def _whole(level: Any) -> int:
    if not isinstance(level, Integral):
        raise ImageError(f"`level` = {level!r}: give a whole number; 0 is the full resolution.")
    return int(level)


def _letters(axes: Any) -> str | None:
    """Axes as one text."""
    if axes is None or isinstance(axes, str):
        return axes
    if isinstance(axes, Sequence) and all(isinstance(letter, str) and len(letter) == 1 for letter in axes):
        return "".join(axes)
    raise ImageError(f"`axes` = {axes!r}: give one letter of {AXES} an axis, such as 'ZYX' or ['Z', 'Y', 'X'].")


def _sizes(pixel_size: Any, axes: str) -> dict[str, float]:
    """Pixel sizes by letter; a row of them is for all axes, or for those of space."""
    if not isinstance(pixel_size, Mapping):
        spatial = [a for a in axes if a in SPATIAL]
        row = hasattr(pixel_size, "__len__") and not isinstance(pixel_size, str | bytes)
        letters = {0: [], len(spatial): spatial, len(axes): list(axes)}.get(len(pixel_size) if row else -1)
        if letters is None:
            raise ImageError(
                f"`pixel_size` = {pixel_size!r}: the image has axes {axes}; give a number for each of them or of "
                f"{''.join(spatial)}, or by letter, such as {{'Y': 0.1, 'X': 0.1}}."
            )
        pixel_size = dict(zip(letters, pixel_size, strict=True))
    for letter, size in pixel_size.items():
        real = isinstance(size, Real) and not isinstance(size, bool)
        known = isinstance(letter, str) and canonical_axes(letter) in AXES
        if not (known and real and 0 < float(size) < math.inf):
            raise ImageError(f"`pixel_size` of {letter!r} = {size!r}: give a length over 0 for a letter of {AXES}.")
    return {canonical_axes(letter): float(size) for letter, size in pixel_size.items()}


def _describe(image: Any, level: int) -> Described:
    """Find the loader that knows this kind of thing."""
    if isinstance(image, Image):
        return arrays.describe_image(image, level)
    if isinstance(image, (str, os.PathLike)):
        return formats.open_location(image, level)
    if not isinstance(image, np.ndarray) and layers.is_layer(image):
        return layers.describe_layer(image, level)
    if zarrs.is_group(image):
        return zarrs.describe_group(image, level)
    return arrays.describe_array(image, level)


def _named(described: Described, wanted: str | None) -> Described:
    """Give every axis its letter: the user's, the file's, or a guess that becomes a note."""
    if wanted is not None:
        return _override(described, wanted)
    if described.axes is None:
        axes, note = guess_axes(described.shape)
        return replace(described, axes=axes, notes=(*described.notes, note))
    axes = described.axes.upper()
    unknown = [i for i, (letter, n) in enumerate(zip(axes, described.shape, strict=True)) if letter in "QI" and n == 1]
    described = _without(replace(described, axes=axes), unknown)
    assert described.axes is not None
    named, guess = name_unknown(canonical_axes(described.axes.replace("I", "?").replace("Q", "?")), described.shape)
    return replace(described, axes=named, notes=described.notes + ((guess,) if guess else ()))


def _override(described: Described, wanted: str) -> Described:
    """The user's axes, also where the array has axes of one pixel more than the user names."""
    axes = canonical_axes(wanted.strip())
    spare = len(described.shape) - len(axes)
    if spare > 0:
        singles = [i for i, n in enumerate(described.shape) if n == 1][:spare]
        described = _without(described, singles)
    if not valid_axes(axes, len(described.shape)):
        raise ImageError(
            f"{described.name}: axes {wanted!r} do not fit an array of shape {described.shape}: give one different "
            f"letter of {AXES} for each of its {len(described.shape)} axes, Y and X among them."
        )
    return replace(described, axes=axes)


def _without(described: Described, dropped: list[int]) -> Described:
    """The same pixels without these axes of one pixel."""
    if not dropped:
        return described
    kept = [i for i in range(len(described.shape)) if i not in dropped]
    return replace(
        described,
        axes=None if described.axes is None else "".join(described.axes[i] for i in kept),
        shape=tuple(described.shape[i] for i in kept),
        chunks=tuple(described.chunks[i] for i in kept),
        reader=_at(described.reader, dict.fromkeys(dropped, 0)),
    )


def _at(reader: Reader, fixed: Mapping[int, int]) -> Reader:
    """A reader for the array without the axes in ``fixed``, which stay at one index."""

    def read(region: Region) -> Any:
        start, stop = list(region.start), list(region.stop)
        for axis in sorted(fixed):
            start.insert(axis, fixed[axis])
            stop.insert(axis, fixed[axis] + 1)
        return np.squeeze(reader(Region(tuple(start), tuple(stop))), axis=tuple(fixed))

    return read


def _one_channel(described: Described, channel: int | str) -> Described:
    """The image with a single channel, without the C axis."""
    assert described.axes is not None
    if "C" not in described.axes:
        raise ImageError(
            f"{described.name}: channel {channel!r} of an image with axes {described.axes}, which has no channels. "
            "Leave out the channel, or give axes with a C."
        )
    axis = described.axes.index("C")
    index = _channel_index(channel, described.shape[axis], described)
    kept = [i for i in range(len(described.shape)) if i != axis]
    names = described.channel_names[index : index + 1]
    return replace(
        described,
        axes=described.axes.replace("C", ""),
        shape=tuple(described.shape[i] for i in kept),
        chunks=tuple(described.chunks[i] for i in kept),
        reader=_at(described.reader, {axis: index}),
        channel_names=(),
        notes=(
            *described.notes,
            f"channel {index}{''.join(f' ({one_line(name)})' for name in names)} of {described.shape[axis]}",
        ),
    )


def _channel_index(channel: Any, count: int, described: Described) -> int:
    names = [name.lower() for name in described.channel_names]
    if isinstance(channel, bool) or not isinstance(channel, Integral | str):
        raise ImageError(f"`channel` = {channel!r}: give its name, or a number from 0 to {count - 1}.")
    if isinstance(channel, str) and channel.lower() in names:
        return names.index(channel.lower())
    if isinstance(channel, str) and not re.fullmatch(r"[0-9]{1,9}", channel.strip(" ")):
        known = f"named {one_line(', '.join(described.channel_names), 400)}" if names else "without names"
        raise ImageError(
            f"{described.name}: no channel is called {channel[:40]!r}; the image has {count} channels {known}. "
            f"Give a number from 0 to {count - 1}."
        )
    index = int(channel)
    if not 0 <= index < count:
        raise ImageError(f"{described.name}: channel {index} does not exist; give a number from 0 to {count - 1}.")
    return index


def _image(described: Described) -> Image:
    """The finished image, in a pixel type that everything after it can work with."""
    assert described.axes is not None
    if 0 in described.shape:
        raise ImageError(f"{described.name}: an image of shape {described.shape} has no pixels.")
    geometry = Geometry.of(
        described.axes,
        described.shape,
        pixel_size=described.pixel_size,
        units=described.units,
        origin=described.origin,
    )
    return Image(
        name=described.name,
        geometry=geometry,
        dtype=_plain_dtype(described.dtype, described.name),
        chunks=tuple(max(1, min(c, n)) for c, n in zip(described.chunks, described.shape, strict=True)),
        reader=described.reader,
        location=described.location,
        notes=described.notes,
        address=described.address,
        files=described.files,
        filling=described.filling,
    )


def _without_alpha(image: Image, described: Described) -> Image:
    """The image with its last channel aside, where that is its alpha."""
    if not described.alpha or image.geometry.length("C") < 2:
        return image
    axis, count = image.axes.index("C"), image.geometry.length("C") - 1

    def alpha(region: Region) -> Any:
        return image.read(region.shift([count if i == axis else 0 for i in range(image.ndim)]))

    fewer = tuple(count if i == axis else n for i, n in enumerate(image.shape))
    return replace(
        image,
        geometry=replace(image.geometry, shape=fewer),
        chunks=tuple(min(n, c) for n, c in zip(fewer, image.chunks, strict=True)),
        alpha=alpha,
    )


def _plain_dtype(dtype: np.dtype[Any], name: str) -> np.dtype[Any]:
    """Native byte order; bool becomes uint8, half precision float32; what is no number is refused."""
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.kind in "iu":
        return dtype.newbyteorder("=")
    if dtype.kind == "f":
        return {2: np.dtype(np.float32), 4: np.dtype(np.float32)}.get(dtype.itemsize, np.dtype(np.float64))
    kind = "complex numbers" if dtype.kind == "c" else f"pixels of type {dtype}"
    raise ImageError(f"{name}: {kind} cannot be restored. Give whole or floating-point numbers, such as the magnitude.")

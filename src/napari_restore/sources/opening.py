"""``open_image``: whatever the user calls an image, as an ``Image``."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from functools import partial
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np

from napari_restore.core.channel import channels_of
from napari_restore.core.errors import ImageError
from napari_restore.core.geometry import AXES, SPATIAL, Geometry, canonical_axes, guess_axes, valid_axes
from napari_restore.core.options import Opening
from napari_restore.core.placement import Placement
from napari_restore.core.region import Region
from napari_restore.sources import arrays, formats, layers, zarrs
from napari_restore.sources import axes as axes_text
from napari_restore.sources.described import Described, Wanted, one_line
from napari_restore.sources.image import Image
from napari_restore.sources.naming import name_unknown
from napari_restore.sources.optics import Optics, ReadOptics
from napari_restore.sources.series import index_of, only_series
from napari_restore.sources.units import LENGTHS, TIMES
from napari_restore.sources.views import fixed, split

_MOST_PIXELS = 2**60
"""Of an image: places in it can still be counted."""


def open_image(
    image: Any,
    *,
    axes: str | Sequence[str] | None = None,
    pixel_size: Mapping[str, float] | Sequence[float] | None = None,
    channel: int | str | None = None,
    series: int | str | None = None,
    incomplete: Literal["refuse", "use"] = "refuse",
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
        One letter of TCZYX an axis, as a text or a list, for images that say nothing about them or the wrong thing. A
        number in brackets takes an axis of the file apart: ``TC(2)YX`` where each two planes are a time of 2 channels,
        ``C(2)TYX`` where all times of a channel come first.
    pixel_size
        Distance between pixels by letter, ``{"Z": 0.3, "Y": 0.1, "X": 0.1}``, or as many numbers as there are axes, or
        axes of space: in the image's own unit, in micrometers where it has none.
    channel
        Index or name of the one channel to open; the C axis disappears.
    series
        Index, counted from 0, or name of the image to open, where the file holds several (positions, wells, angles),
        or belongs to files that do: the one whose pixels lie in it where not given. ``Image.series`` lists them.
    incomplete
        Of an acquisition that was stopped, whose metadata promise more than was taken: ``refuse``, or ``use`` for the
        whole time points (or planes, where there are no times) that are there.
    level
        Of a multiscale image; 0 is the full resolution.

    Raises
    ------
    ImageError
        If it cannot be opened; the message says why and what to do, on one line.
    """
    wanted = _letters(axes)
    described = _describe(image, Wanted(_whole(level), series, _incomplete(incomplete), wanted))
    described = _named(described, wanted, incomplete == "use")
    if channel is not None:
        described = _one_channel(described, channel)
    opened = _image(described) if channel is not None else _without_alpha(_image(described), described)
    if pixel_size is not None and len(sizes := _sizes(pixel_size, opened.axes)):
        opened = replace(opened, geometry=opened.geometry.with_pixel_size(sizes))
    return _flipped(described, opened)


def _flipped(described: Described, opened: Image) -> Image:
    """The image with the axes that its file says run the other way: a viewer shows them so."""
    assert described.axes is not None
    signs = tuple(-1 if described.pixel_size.get(axis, 1) < 0 else 1 for axis in described.axes)
    if min(signs) > 0:
        return opened
    geometry = opened.geometry
    scale = tuple(sign * size for sign, size in zip(signs, geometry.pixel_size, strict=True))
    return replace(opened, geometry=replace(geometry, placement=Placement.of(scale, geometry.origin, geometry.units)))


def open_as(image: Any, opening: Opening) -> Image:
    """``open_image`` as a group of options says; ``fill`` is for who looks at the pixels (``settled``)."""
    names = [each.name for each in fields(opening) if each.name != "fill"]
    return open_image(image, **{name: getattr(opening, name) for name in names})


def _whole(level: Any) -> int:
    if not isinstance(level, Integral):
        raise ImageError(f"`level` = {level!r}: give a whole number; 0 is the full resolution.")
    return int(level)


def _incomplete(word: Any) -> Literal["refuse", "use"]:
    if word not in ("refuse", "use"):
        raise ImageError(f"`incomplete` = {word!r}: give refuse or use.")
    return "use" if word == "use" else "refuse"


def _letters(axes: Any) -> str | None:
    """Axes as one text."""
    if axes is None or isinstance(axes, str):
        return axes
    if isinstance(axes, Sequence) and all(isinstance(a, str) and len(a.partition("(")[0]) == 1 for a in axes):
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


def _describe(image: Any, wanted: Wanted) -> Described:
    """Find the loader that knows this kind of thing."""
    if isinstance(image, (str, os.PathLike)):
        return formats.open_location(image, wanted)
    if not isinstance(image, np.ndarray) and zarrs.is_group(image):
        return zarrs.describe_group(image, wanted)
    described = _describe_in_memory(image, wanted.level)
    if not described.series:
        only_series(wanted.series, described.name)
    elif wanted.series is not None and not described.series[index_of(wanted.series, described.series, "")].opened:
        raise ImageError(f"{described.name} is open already, and is not series {wanted.series!r}: give its path.")
    return described


def _describe_in_memory(image: Any, level: int) -> Described:
    """What is open already, or an array."""
    if isinstance(image, Image):
        return arrays.describe_image(image, level)
    if not isinstance(image, np.ndarray) and layers.is_layer(image):
        described = layers.describe_layer(image, level)
        return replace(described, read_optics=partial(_optics_of_layer, image, described))
    return arrays.describe_array(image, level)


def _optics_of_layer(layer: Any, described: Described) -> Optics | None:
    """What its metadata say, else what the file does that it was made from, if that holds such an image."""
    found, path = described.read_optics(), layers.made_from(layer)
    if found is not None or path is None:
        return found
    try:
        behind = open_image(path)
    except (ImageError, OSError):
        return None
    if behind.optics is None or sorted(n for n in described.shape if n > 1) not in _shapes_of(behind):
        return None
    if len(behind.optics.channels) < 2 or math.prod(described.shape) == math.prod(behind.shape):
        return behind.optics
    named = [i for i, channel in enumerate(behind.optics.channels) if channel.name and channel.name in described.name]
    return behind.optics.of_channel(named[0]) if len(named) == 1 else behind.optics


def _shapes_of(image: Image) -> list[list[int]]:
    """Lengths of its axes, and those of one channel, sorted: viewers turn axes, and give each channel a layer."""
    lengths = dict(zip(image.axes, image.shape, strict=True))
    one = {axis: n for axis, n in lengths.items() if axis != "C"}
    return [sorted(n for n in each.values() if n > 1) for each in (lengths, one)]


def _named(described: Described, wanted: str | None, incomplete: bool) -> Described:
    """Give every axis its letter: the user's, the file's, or a guess that becomes a note."""
    if wanted is not None:
        return _override(described, wanted, incomplete)
    if described.axes is None:
        axes, note = guess_axes(described.shape)
        return replace(described, axes=axes, notes=(*described.notes, note))
    axes = described.axes.upper()
    unknown = [i for i, (letter, n) in enumerate(zip(axes, described.shape, strict=True)) if letter in "QI" and n == 1]
    described = _without(replace(described, axes=axes), unknown)
    assert described.axes is not None
    named, guess = name_unknown(canonical_axes(described.axes.replace("I", "?").replace("Q", "?")), described.shape)
    return replace(described, axes=named, notes=described.notes + ((guess,) if guess else ()))


def _override(described: Described, wanted: str, incomplete: bool) -> Described:
    """The user's axes, also where the array has axes of one pixel more than the user names, or one is several."""
    groups = axes_text.parse(wanted.strip())
    axes = axes_text.letters_of(groups)
    spare = len(described.shape) - len(groups)
    if spare > 0:
        singles = [i for i, n in enumerate(described.shape) if n == 1][:spare]
        described = _without(described, singles)
    if len(groups) == len(described.shape):
        for axis in reversed(range(len(groups))):
            if len(groups[axis]) > 1:
                lengths = axes_text.lengths_of(groups[axis], described.shape[axis], described.name, floor=incomplete)
                described = split(described, axis, lengths)
    if not valid_axes(axes, len(described.shape)):
        raise ImageError(
            f"{described.name}: axes {wanted!r} do not fit an array of shape {described.shape}: give one different "
            f"letter of {AXES} for each of its {len(described.shape)} axes, Y and X among them; or, where an axis is "
            "several, the number of planes in brackets, as in TC(2)YX."
        )
    return _renamed(described, axes) if described.placement is not None else replace(described, axes=axes)


def _renamed(described: Described, axes: str) -> Described:
    """A layer with other names for its axes: they keep their sizes, and their units where these fit the new name."""
    assert described.axes is not None
    fitting: dict[str, Mapping[str, object]] = {"T": TIMES, "C": {}}
    named = [(old, new) for old, new in zip(described.axes, axes, strict=True) if old in described.pixel_size]
    units = {new: described.units.get(old, "") for old, new in named}
    return replace(
        described,
        axes=axes,
        pixel_size={new: described.pixel_size[old] for old, new in named},
        origin={new: described.origin[old] for old, new in named},
        units={new: unit for new, unit in units.items() if unit in fitting.get(new, LENGTHS)},
    )


def _without(described: Described, dropped: list[int]) -> Described:
    """The same pixels without these axes of one pixel."""
    return fixed(described, dict.fromkeys(dropped, 0))


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
    names, colours = described.channel_names[index : index + 1], described.channel_colours[index : index + 1]
    return replace(
        fixed(described, {axis: index}),
        read_optics=_of_channel(described.read_optics, index),
        channel_names=names,
        channel_colours=colours,
        notes=(
            *described.notes,
            f"channel {index}{''.join(f' ({one_line(name)})' for name in names if name)} of {described.shape[axis]}",
        ),
    )


def _of_channel(read: ReadOptics, index: int) -> ReadOptics:
    def of_one() -> Optics | None:
        optics = read()
        return optics.of_channel(index) if optics is not None else None

    return of_one


def _channel_index(channel: Any, count: int, described: Described) -> int:
    names = [name.lower() for name in described.channel_names]
    if isinstance(channel, bool) or not isinstance(channel, Integral | str):
        raise ImageError(f"`channel` = {channel!r}: give its name, or a number from 0 to {count - 1}.")
    if isinstance(channel, str) and channel and channel.lower() in names:
        return names.index(channel.lower())
    if isinstance(channel, str) and not re.fullmatch(r"[0-9]{1,9}", channel.strip(" ")):
        known = f"named {one_line(', '.join(described.channel_names), 400)}" if any(names) else "without names"
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
    if max(described.shape) > _MOST_PIXELS or math.prod(described.shape) > _MOST_PIXELS:
        raise ImageError(f"{described.name} claims more than {_MOST_PIXELS:.0e} pixels. It is damaged.")
    geometry = Geometry.of(
        described.axes,
        described.shape,
        pixel_size={axis: abs(size) for axis, size in described.pixel_size.items()},
        units=described.units,
        origin=described.origin,
        placement=described.placement,
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
        read_optics=described.read_optics,
        series=described.series,
        channels=channels_of(described.channel_names, described.channel_colours, geometry.length("C")),
        filling=described.filling,
        thickness=described.thickness,
        stored=described.stored,
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
        channels=image.channels[:count],
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

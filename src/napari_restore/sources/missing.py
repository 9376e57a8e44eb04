"""What of an image is missing: as a mask says, as not finite, or found by how it looks. Missing pixels become NaN."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.errors import ImageError
from napari_restore.core.region import Region
from napari_restore.sources.image import Image
from napari_restore.sources.layers import is_layer
from napari_restore.sources.masked import with_nan
from napari_restore.sources.opening import open_image
from napari_restore.sources.pixels import flat_areas

RULES = ("nan", "zeros", "planes", "lines", "dead", "saturated")
"""How a missing pixel may look."""

AUTO = ("nan", "planes", "lines", "dead")
"""What ``auto`` looks for: nothing that a sound image has."""

Mask = NDArray[np.bool_]
Looks = Callable[[Region], Mask]

_DARKER = 8.0
"""Deviations that a dead pixel lies below the eight about it."""

_LARGEST_PLANE = 2**28
_KEPT_PLANES = 16
_MOST_LINES = 8
_AROUND = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], bool)


def rules_of(words: str) -> tuple[str, ...]:
    """``auto``, or rules with ``+`` between: ``auto+saturated``.

    Raises
    ------
    ImageError
        If one is none.
    """
    found: list[str] = []
    for word in words.lower().replace(" ", "").split("+"):
        if word != "auto" and word not in RULES:
            raise ImageError(f"`missing` = {words!r}: give auto, or some of {', '.join(RULES)} with + between.")
        found += AUTO if word == "auto" else [word]
    return tuple(dict.fromkeys(found))


def with_gaps(image: Image, *, mask: Any = None, rules: Sequence[str] = ()) -> Image:
    """The image with NaN where a pixel is missing; what is not finite is missing anyway.

    Parameters
    ----------
    mask
        Not 0 where a pixel is missing: an array, a file, a layer of labels or shapes. Of the image's shape, or of its
        last axes, as one ``(Y, X)`` for all planes; channels miss the same pixels where it has none.
    rules
        Of ``RULES``: ``zeros`` are 0, ``planes`` are all alike, ``lines`` (whole rows and columns) are all at the least
        or the largest value of their plane, ``dead`` pixels at the least and far below the eight about them,
        ``saturated`` is the type's largest value.

    Raises
    ------
    ImageError
        If the mask does not fit, or a floating-point type has no largest value.
    """
    finders: list[Looks] = []
    if mask is not None:
        finders.append(_mask_of(mask, image))
    if "zeros" in rules:
        finders.append(lambda region: image.read(region) == 0)
    if "saturated" in rules:
        finders.append(_saturated(image))
    whole = tuple(rule for rule in rules if rule in ("planes", "lines", "dead"))
    if whole:
        finders.append(_by_planes(image, whole))

    if not finders:
        return image

    def read(region: Region) -> NDArray[Any]:
        pixels = image.read(region).astype(dtype)
        for finder in finders:
            pixels[finder(region)] = np.nan
        return pixels

    dtype = with_nan(image.dtype)
    return replace(image, reader=read, dtype=dtype, stored=image.dtype)


def checksum_of(mask: Any) -> str:
    """Of a mask's pixels: another mask is another image."""
    outlines = hasattr(mask, "to_labels")
    digest = hashlib.sha256()
    for part in mask.data if outlines else [_opened(mask)]:
        pixels = np.ascontiguousarray(part)
        digest.update(f"{pixels.shape}".encode() + (pixels if outlines else pixels != 0).tobytes())
    return digest.hexdigest()[:16]


def _opened(mask: Any) -> Any:
    """Its pixels, lazy where they lie in a file."""
    if is_layer(mask):
        return mask.data
    return open_image(mask) if isinstance(mask, str) or hasattr(mask, "__fspath__") else mask


def _mask_of(given: Any, image: Image) -> Looks:
    """What gives a mask's pixels of a region of the image."""
    name = str(getattr(given, "name", "") or (given if isinstance(given, str) else "the mask"))
    shape = tuple(n for a, n in zip(image.axes, image.shape, strict=True) if a != "C")
    if hasattr(given, "to_labels"):
        array: Any = given.to_labels(shape[-int(given.ndim) :])
    else:
        array = _opened(given)
    pixels: Any = array if isinstance(array, Image) else np.asarray(array)
    if isinstance(array, Image) and "C" in array.axes and "C" not in image.axes:
        pixels = np.asarray(array.read().any(array.axes.index("C")))
    letters = _letters(tuple(pixels.shape), image, name)
    dropped = tuple(i for i, a in enumerate(image.axes) if a not in letters)

    def looks(region: Region) -> Mask:
        kept = [i for i in range(image.ndim) if i not in dropped]
        part = Region(tuple(region.start[i] for i in kept), tuple(region.stop[i] for i in kept))
        lead = len(pixels.shape) - len(kept)  # axes of one pixel
        part = Region((0,) * lead + part.start, (1,) * lead + part.stop)
        read = pixels.read(part) if isinstance(pixels, Image) else pixels[part.slices]
        missing: Mask = np.nan_to_num(read) != 0
        missing = missing.reshape(missing.shape[lead:])
        return np.broadcast_to(np.expand_dims(missing, dropped), region.shape)

    return looks


def _letters(shape: tuple[int, ...], image: Image, name: str) -> str:
    """Which axes of the image a mask of this shape has."""
    while len(shape) > 2 and shape[0] == 1 and len(shape) > image.ndim:
        shape = shape[1:]
    plain = image.axes.replace("C", "")
    for axes in dict.fromkeys((image.axes, plain, *(plain[k:] for k in range(len(plain) - 1)))):
        if "Y" in axes and "X" in axes and tuple(image.shape[image.axes.index(a)] for a in axes) == shape:
            return axes
    raise ImageError(
        f"`mask`: {name} has shape {shape}, and {image.name} has axes {image.axes} of {image.shape}: give one of the "
        "same shape, or of one plane for all of them."
    )


def _saturated(image: Image) -> Looks:
    if image.dtype.kind not in "iu":
        raise ImageError(
            f"`missing` = saturated: {image.name} is {image.dtype}, which has no largest value. Give a `mask` of what "
            "is saturated."
        )
    top = np.iinfo(image.dtype).max
    return lambda region: image.read(region) == top


def _by_planes(image: Image, rules: Sequence[str]) -> Looks:
    """What is found by looking at whole planes, some of which are remembered."""
    inside = [image.axes.index(a) for a in "YX"]
    size = prod(image.shape[i] for i in inside)
    if size > _LARGEST_PLANE:
        raise ImageError(
            f"`missing`: {image.name} has planes of {size} pixels, and planes, lines and dead pixels are looked for in "
            f"up to {_LARGEST_PLANE}. Give a `mask`, or what can be told pixel by pixel: nan, zeros, saturated."
        )
    rest = [i for i in range(image.ndim) if i not in inside]

    @lru_cache(_KEPT_PLANES)
    def plane(at: tuple[int, ...]) -> Mask:
        start, stop = [0] * image.ndim, list(image.shape)
        for i, k in zip(rest, at, strict=True):
            start[i], stop[i] = k, k + 1
        pixels = image.read(Region(tuple(start), tuple(stop))).transpose(*rest, *inside)
        return looks_missing(pixels.reshape(pixels.shape[-2:]), rules)

    def looks(region: Region) -> Mask:
        found = np.zeros(region.shape, bool)
        moved = found.transpose(*rest, *inside)
        part = tuple(slice(region.start[i], region.stop[i]) for i in inside)
        for at in np.ndindex(*moved.shape[:-2]):
            moved[at] = plane(tuple(int(k) + region.start[i] for k, i in zip(at, rest, strict=True)))[part]
        return found

    return looks


def looks_missing(plane: NDArray[Any], rules: Sequence[str]) -> Mask:
    """What of one plane ``(Y, X)`` looks missing by ``planes``, ``lines`` or ``dead``."""
    finite = np.isfinite(plane)
    values = np.where(finite, plane, 0)
    found = np.zeros(plane.shape, bool)
    if values.size == 0 or np.ptp(values) == 0:
        return np.full(plane.shape, "planes" in rules)
    flat = flat_areas(plane)
    if "lines" in rules:
        for axis in (0, 1):
            alike = (np.ptp(values, axis=1 - axis) == 0) & _extreme(values.take(0, 1 - axis), plane)
            lines = np.moveaxis(np.where(flat, values, np.nan), axis, 0)
            found |= np.expand_dims(_inside(alike, values.take(0, 1 - axis), lines), 1 - axis)
    if "dead" in rules:
        from scipy import ndimage  # a third of what the shell takes to start

        around = ndimage.median_filter(values.astype(np.float64), footprint=_AROUND, mode="mirror")
        apart = around - values
        sound = finite & ~found & ~flat  # the corners of padding lie far below what is about them, too
        if sound.any():
            spread = 1.4826 * float(np.median(np.abs(apart[sound]))) or float(apart[sound].std())
            found |= sound & (values == values[sound].min()) & (apart > _DARKER * spread)
    sure: Mask = found & finite
    return sure


def _extreme(values: NDArray[Any], plane: NDArray[Any]) -> Mask:
    """Which values are the least or the largest of a plane, as those of lines that were never read are."""
    ends: Mask = (values == np.nanmin(plane)) | (values == np.nanmax(plane))
    return ends


def _inside(alike: Mask, values: NDArray[Any], areas: NDArray[Any]) -> Mask:
    """Lines that are one value all along, without a border of many of them, or of areas of this value that go on in it.

    Stitched and rotated images have such borders, and round ones such areas: nothing was ever there. ``values`` are
    those of the lines, and ``areas`` the lines, with NaN where there is none.
    """
    inner = alike.copy()
    for order in (slice(None), slice(None, None, -1)):
        side = inner[order]
        run = int(side.argmin()) if not side.all() else len(side)
        if run > _MOST_LINES or (0 < run < len(side) and (areas[~alike] == values[order][0]).any()):
            side[:run] = False
    return inner

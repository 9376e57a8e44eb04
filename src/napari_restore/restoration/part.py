"""A part of an image to restore: what people may say for it, and where in the world it lies. Pure, without torch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

from napari_restore.core.errors import RestoreError
from napari_restore.core.geometry import Geometry
from napari_restore.core.region import Region
from napari_restore.sources.image import Image

_SPAN = re.compile(r"\s*([A-Za-z])\s*=\s*([0-9]{1,18}|[0-9]{0,18}\s*:\s*[0-9]{0,18})\s*")
_LIKE = "give ranges of pixels by axis, such as Y=0:512,X=100:612 or {'Y': (0, 512), 'X': (100, 612)}"

Span = tuple[int | None, int | None]
"""First pixel and the one after the last, along one axis; None for the border of the image."""


def part_of(region: Any, image: Image) -> Region | None:
    """The pixels of an image that a region means; None where that is all of them.

    Parameters
    ----------
    region
        None, a ``Region``, or along each axis a span of pixels, counted from 0, the last one not included: by letter,
        ``{"Y": (0, 512), "Z": 3}`` or in words ``"Y=0:512,Z=3"``, where axes that are not named are whole; or a
        sequence with one entry an axis. A span is a pair, a slice without a step, or one number for one pixel; a
        border that is left out (``None``, ``"Y=:512"``) is the image's.

    Raises
    ------
    RestoreError
        If it is none of these, names an axis that the image has not, is empty, or reaches outside of the image; or if
        it names some of the channels, which methods restore together.
    """
    if region is None:
        return None
    spans = _spans(region, image)
    ends = [_ends(axis, spans.get(axis, (None, None)), image) for axis in image.axes]
    part = Region(tuple(a for a, _ in ends), tuple(b for _, b in ends))
    return None if part == Region.of_shape(image.shape) else part


def by_axis(part: Region, axes: str) -> dict[str, list[int]]:
    """A part as plain values that survive JSON, and that ``part_of`` takes back: ``{"Y": [0, 512]}``."""
    return {axis: [a, b] for axis, a, b in zip(axes, part.start, part.stop, strict=True)}


def geometry_of(part: Region, whole: Geometry) -> Geometry:
    """Where a part of an image lies in the world."""
    return whole.on_grid(part.start, (1,) * len(part.shape), shape=part.shape)


def _spans(region: Any, image: Image) -> dict[str, Span]:
    """What is said along each axis that is named."""
    if isinstance(region, Region):
        region = list(zip(region.start, region.stop, strict=True))
    if isinstance(region, str):
        return _named(_from_words(region), image)
    if isinstance(region, Mapping):
        return _named({str(axis): _span(given, region) for axis, given in region.items()}, image)
    if not isinstance(region, Sequence):
        raise RestoreError(f"`region` = {region!r}: {_LIKE}.")
    if len(region) != image.ndim:
        raise RestoreError(
            f"`region` has {len(region)} entries and {image.name} has {image.ndim} axes, {image.axes}: give one for "
            "each, or name the axes, such as {'Y': (0, 512)}."
        )
    return {axis: _span(given, region) for axis, given in zip(image.axes, region, strict=True)}


def _from_words(words: str) -> dict[str, Span]:
    found: dict[str, Span] = {}
    for word in words.split(","):
        match = _SPAN.fullmatch(word)
        if match is None or match[1].upper() in found:
            raise RestoreError(f"`region` = {words!r}: {_LIKE}.")
        first, colon, stop = (each.strip() for each in match[2].partition(":"))
        ends = (int(first) if first else None, int(stop) if stop else None)
        found[match[1].upper()] = ends if colon else (int(first), int(first) + 1)
    return found


def _named(spans: Mapping[str, Span], image: Image) -> dict[str, Span]:
    found = {axis.upper(): span for axis, span in spans.items()}
    unknown = [axis for axis in found if axis not in image.axes]
    if unknown or len(found) < len(spans):
        said = f"names axis {unknown[0]}" if unknown else "names an axis twice"
        raise RestoreError(f"`region` {said}: {image.name} has the axes {image.axes}. Name those of them that it cuts.")
    return found


def _span(given: Any, region: Any) -> Span:
    """What one entry says."""
    if _is_pixel(given):
        return int(given), int(given) + 1
    ends = (given.start, given.stop) if isinstance(given, slice) and given.step in (None, 1) else given
    if isinstance(ends, Sequence) and len(ends) == 2 and all(each is None or _is_pixel(each) for each in ends):
        first, stop = (None if each is None else int(each) for each in ends)
        return first, stop
    raise RestoreError(f"`region` = {region!r}: {_LIKE}; {given!r} is no span of pixels.")


def _is_pixel(given: Any) -> bool:
    return isinstance(given, Integral) and not isinstance(given, bool)


def _ends(axis: str, span: Span, image: Image) -> tuple[int, int]:
    """First pixel and the one after the last along an axis, which are inside the image."""
    n = image.geometry.length(axis)
    first, stop = 0 if span[0] is None else span[0], n if span[1] is None else span[1]
    if not 0 <= first < stop <= n:
        raise RestoreError(
            f"`region` {axis}={first}:{stop}: {image.name} has {n} pixels along {axis}. Give a first one from 0 on, "
            f"and after it a last one, not included, up to {n}."
        )
    if axis == "C" and stop - first < n:
        raise RestoreError(
            f"`region` {axis}={first}:{stop}: the {n} channels of {image.name} are restored together. Leave them out "
            "of the region, or take one of them with `channel`."
        )
    return first, stop

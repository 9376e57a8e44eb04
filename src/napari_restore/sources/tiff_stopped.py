"""TIFF of which less is there than its metadata plan: an acquisition that was stopped, files left behind, or damage.

A file that is cut short ends in the middle of a page, which who follows its pages sees first (``tiff.check_chain``).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from napari_restore.core.errors import ImageError
from napari_restore.sources.described import Wanted
from napari_restore.sources.stopped import Whole, whole_of
from napari_restore.sources.tiff_series import TiffImage, files_named, outer_axes, regrouped


@dataclass(frozen=True, eq=False)
class Used:
    """What of an image is opened.

    Attributes
    ----------
    image
        With another series where its pages get other axes.
    cut
        Number of the axis of the series that only the first ``length`` of are there; None where all is.
    pages
        Numbers of the pages that are used; None for all.
    notes
        What was left out.
    """

    image: TiffImage
    cut: int | None = None
    length: int = 0
    pages: Sequence[int] | None = None
    notes: tuple[str, ...] = ()


def used_of(tif: Any, image: TiffImage, path: Path, wanted: Wanted) -> Used:
    """All of an image, or the whole time points that are there, if that is allowed.

    Raises
    ------
    ImageError
        If planes are missing, and that is not allowed or nothing is whole; with what it is, and what to do.
    """
    plan = _planned(tif, image.series)
    pages = len(image.series)
    if plan is not None and math.prod(plan[1]) > pages:
        return _fewer_pages(image, plan, pages, path, wanted)
    if image.series.is_multifile or image.series.kind in ("ome", "mmstack", "ndtiff"):
        return _missing_pages(tif, image, path, wanted)
    return Used(image)


def _fewer_pages(image: TiffImage, plan: tuple[str, tuple[int, ...]], pages: int, path: Path, wanted: Wanted) -> Used:
    """Pages that follow each other, fewer than planned."""
    axes, shape = plan
    each, total = math.prod(shape[1:]), math.prod(shape)
    if pages < 2:  # one long page may be all of a stack
        raise ImageError(
            f"{path.name}: its metadata promise {total} planes and {pages} are there: "
            "it is cut short or damaged. Copy it again."
        )
    whole = Whole(axes[0], shape[0], pages // each, total, total - pages)
    _refuse(whole, path, wanted)
    series = regrouped(image.series, axes, (whole.there, *shape[1:]))
    return Used(replace(image, series=series), notes=(f"{whole.stopped}, and are used",))


def _missing_pages(tif: Any, image: TiffImage, path: Path, wanted: Wanted) -> Used:
    """Pages by their place, some of which are not there."""
    series = image.series
    axes, shape = outer_axes(series)
    there = np.asarray([page is not None for page in series]).reshape(shape)
    numbers = np.arange(there.size).reshape(shape)
    if image.axis is not None:
        there, numbers = (array.take([image.place], axis=image.axis) for array in (there, numbers))
    if there.all():
        return _known_to_be_fewer(tif, image, path, wanted)
    cut, whole = whole_of(there, axes)
    lost = [name for name in files_named(tif, image) if not path.with_name(name).exists()]
    _refuse(whole, path, wanted, lost=lost)
    pages = numbers.take(range(whole.there), axis=cut).ravel().tolist()
    return Used(image, cut, whole.there, pages, (f"{whole.stopped}, and are used",))


def _known_to_be_fewer(tif: Any, image: TiffImage, path: Path, wanted: Wanted) -> Used:
    """A stack of Micro-Manager, of which tifffile leaves out what was planned and is not there."""
    if image.series.kind != "mmstack":
        return Used(image)
    summary = (tif.micromanager_metadata or {}).get("Summary") or {}
    lengths = dict(zip(image.series.get_axes(False), image.series.get_shape(False), strict=True))
    for axis, word in (("T", "Frames"), ("Z", "Slices"), ("C", "Channels")):
        planned, there = int(summary.get(word, 1) or 1), int(lengths.get(axis, 1))
        if planned > there:
            each = math.prod(n for a, n in lengths.items() if a in "TZC" and a != axis)
            whole = Whole(axis, planned, there, each * planned, each * (planned - there))
            _refuse(whole, path, wanted)
            return Used(image, notes=(f"{whole.stopped}, and are used",))
    return Used(image)


def _refuse(whole: Whole, path: Path, wanted: Wanted, *, lost: Sequence[str] = ()) -> None:
    if wanted.incomplete == "use" and whole.there:
        return
    if lost:
        raise ImageError(
            f"{path.name}: {whole.missing} of its {whole.planes} planes are not there, those of {lost[0]} among them. "
            f"Put all files of the OME-TIFF in one folder; or, if the acquisition was stopped: {whole.remedy}"
        )
    raise ImageError(f"{path.name}: {whole.stopped}. {whole.remedy}")


def _planned(tif: Any, series: Any) -> tuple[str, tuple[int, ...]] | None:
    """Axes and lengths of the pages that metadata plan, where tifffile did not find them so."""
    if tif.is_imagej and tif.imagej_metadata and series.kind != "imagej":
        told = tif.imagej_metadata
        counts = [("T", "frames"), ("Z", "slices"), ("C", "channels")]
        plan = [(axis, int(told.get(word, 1))) for axis, word in counts if int(told.get(word, 1)) > 1]
        images = int(told.get("images", 1))
        return _as_plan(plan) if math.prod(n for _, n in plan) >= images else ("I", (images,))
    if tif.is_shaped and tif.shaped_metadata and series.kind != "shaped":
        return _of_shape(tif.shaped_metadata[0], series)
    if tif.is_ome and tif.ome_metadata and series.kind not in ("ome", "mmstack"):
        return "I", (_ome_planes(ElementTree.fromstring(tif.ome_metadata)),)
    return None


def _as_plan(plan: Sequence[tuple[str, int]]) -> tuple[str, tuple[int, ...]]:
    return "".join(axis for axis, _ in plan), tuple(n for _, n in plan)


def _of_shape(told: Any, series: Any) -> tuple[str, tuple[int, ...]]:
    """What tifffile's own description plans: a shape, perhaps with letters."""
    shape = tuple(int(n) for n in told.get("shape", ()))
    axes = str(told.get("axes", ""))
    page, count = math.prod(series.keyframe.shape), len(shape)
    while count and math.prod(shape[count:]) < page:
        count -= 1
    letters = axes[:count] if len(axes) == len(shape) else "I" * count
    return (letters, shape[:count]) if count == 1 or len(set(letters)) == count else ("I", (math.prod(shape[:count]),))


def _ome_planes(root: ElementTree.Element) -> int:
    """Planes of the first image; samples of a pixel count as one."""
    pixels = next((element for element in root.iter() if element.tag.endswith("}Pixels")), None)
    if pixels is None:
        return 0
    channel = next((element for element in pixels if element.tag.endswith("}Channel")), None)
    samples = int((channel.attrib if channel is not None else {}).get("SamplesPerPixel", 1))
    return math.prod(int(pixels.get(f"Size{axis}", 1)) for axis in "ZCT") // max(1, samples)

"""Which of the images that a TIFF, or the files it belongs to, holds is meant.

Every file of an OME-TIFF of several positions carries the metadata of all of them, and tifffile lists all; the one that
a user opens by its file's name is the one whose planes lie in that file.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from napari_restore.core.errors import ImageError
from napari_restore.sources.described import Described, one_line
from napari_restore.sources.series import Held, index_of
from napari_restore.sources.views import fixed

_POSITIONS = {"mmstack": "R", "ndtiff": "R", "lsm": "PM"}
"""By kind of file, axes along which tifffile stacks places of the stage: they are images, and no times."""


@dataclass(frozen=True, eq=False)
class TiffImage:
    """One of the images.

    Attributes
    ----------
    held
        What is told of it.
    series
        Of tifffile; None where no plane of it is there.
    place
        Index along the axis of positions, where tifffile stacks them in one series; ``axis`` is that axis.
    own
        Whether planes of it lie in the file that was opened.
    """

    held: Held
    series: Any
    own: bool
    axis: int | None = None
    place: int = 0

    def pages(self) -> list[int]:
        """Numbers of its pages in the series."""
        return _pages(self.series, self.axis, self.place)

    @property
    def nbytes(self) -> int:
        """Of all its pixels."""
        return math.prod(self.held.shape)


def images_of(tif: Any, path: Path) -> list[TiffImage]:
    """All of them, as the metadata list them: also those whose planes lie elsewhere, or nowhere."""
    there = [series for series in tif.series if math.prod(series.get_shape(False)) > 0]
    if tif.is_ome and tif.ome_metadata and all(series.kind == "ome" for series in there):
        return list(_ome_images(tif, there))
    images = [image for series in there for image in _placed(series, path)]
    return [replace(image, held=replace(image.held, index=i)) for i, image in enumerate(images)]


def choose_image(images: Sequence[TiffImage], wanted: int | str | None, path: Path) -> tuple[TiffImage, list[str]]:
    """The one that is named, else the largest of those in the file, the first of them if several are as large.

    Returns
    -------
    TiffImage, list of str
        Notes, where there are others and none was named.

    Raises
    ------
    ImageError
        If there is none.
    """
    there = [image for image in images if image.series is not None]
    if not there:
        raise ImageError(f"{path.name} is a TIFF without pixels. Check how it was written.")
    held = [image.held for image in images]
    if wanted is not None:
        return images[index_of(wanted, held, path.name)], []
    own = [image for image in there if image.own]
    chosen = max(own or there, key=lambda image: image.nbytes)
    if len(images) == 1:
        return chosen, []
    place = "" if len(own) == len(images) else ", whose planes lie in it," if own else ", which lies in another file,"
    holds = f"{path.name} {'holds' if len(own) == len(images) else 'belongs to'} {len(images)} images"
    return chosen, [f"{holds}; number {chosen.held}{place} is read: `series` takes another"]


def held_by(images: Sequence[TiffImage], chosen: TiffImage) -> tuple[Held, ...]:
    """What is told of all of them; nothing where there is but one, in one file."""
    if len(images) == 1 and len(chosen.held.files) < 2:
        return ()
    return tuple(replace(image.held, opened=image is chosen) for image in images)


def regrouped(series: Any, axes: str, shape: Sequence[int]) -> Any:
    """The first pages of a series with other axes before those of a page; its smaller copies are left out."""
    import tifffile

    pages, frame = series[: math.prod(shape)], series.keyframe
    return tifffile.TiffPageSeries(
        pages, (*shape, *frame.shape), series.dtype, axes + frame.axes, parent=series.parent, name=series.name,
        kind=series.kind, multifile=series.is_multifile, transform=series.transform,
    )  # fmt: skip


def at_place(described: Described, image: TiffImage) -> Described:
    """A series at one of its positions."""
    if image.axis is None:
        return described
    return fixed(described, {axis_of(image.series, image.axis): image.place})


def axis_of(series: Any, axis: int) -> int:
    """Number of an axis of a series among those that are not of one pixel."""
    letters, lengths = series.get_axes(False), series.get_shape(False)
    return sum(lengths[i] > 1 or letters[i] in "YX" for i in range(axis))


def outer_axes(series: Any) -> tuple[str, tuple[int, ...]]:
    """The axes of a series that its pages are stacked along."""
    shape = series.get_shape(False)
    count = next((n for n in reversed(range(len(shape) + 1)) if math.prod(shape[:n]) == len(series)), None)
    if count is None:
        raise ImageError(f"its metadata describe {shape} pixels in {len(series)} pages. Write the file again.")
    return series.get_axes(False)[:count], tuple(int(n) for n in shape[:count])


def files_named(tif: Any, image: TiffImage) -> set[str]:
    """Names of the files that OME-XML says an image lies in."""
    if not tif.is_ome or not tif.ome_metadata or image.series.kind != "ome":
        return set()
    every = list(_described(ElementTree.fromstring(tif.ome_metadata)))
    return _names_in(every[image.held.index][1]) if image.held.index < len(every) else set()


def _placed(series: Any, path: Path) -> Iterator[TiffImage]:
    """The images of a series that is of no OME-TIFF: one for each position of the stage."""
    axes, shape = series.get_axes(False), series.get_shape(False)
    axis = next((i for i, a in enumerate(axes) if a in _POSITIONS.get(series.kind, "") and shape[i] > 1), None)
    for place in range(1 if axis is None else shape[axis]):
        several = series.kind in _POSITIONS
        files = _files_of(series, _pages(series, axis, place)) if several else (str(path),)
        name = f"position {place}" if axis is not None else series.name
        held = Held(0, one_line(name or ""), *_kept(series, axis), files)
        own = not several or _is_in(series.parent, files)
        yield TiffImage(held, series if files else None, own, axis, place)


def _ome_images(tif: Any, there: Sequence[Any]) -> Iterator[TiffImage]:
    """The images that OME-XML describes; tifffile leaves out those of which no plane is there."""
    left = list(there)
    for index, (name, pixels) in enumerate(_described(ElementTree.fromstring(tif.ome_metadata))):
        files = _files_of(left[0], _pages(left[0], None, 0)) if left else ()
        if left and left[0].name == (name or "") and _may_lie_in(pixels, files, tif):
            held = Held(index, one_line(name or ""), *_kept(left[0], None), files)
            yield TiffImage(held, left.pop(0), _is_in(tif, files))
        else:
            sizes = {axis: int(pixels.get(f"Size{axis}", 1)) for axis in "TCZYX"}
            axes = "".join(axis for axis, n in sizes.items() if n > 1 or axis in "YX")
            held = Held(index, one_line(name or ""), axes, tuple(sizes[axis] for axis in axes))
            yield TiffImage(held, None, own=False)


def _described(root: ElementTree.Element) -> Iterator[tuple[str | None, ElementTree.Element]]:
    """Name and Pixels of each image, in the order that tifffile goes through them."""
    for image in root:
        if image.tag.endswith("Image"):
            yield from ((image.get("Name"), pixels) for pixels in image if pixels.tag.endswith("Pixels"))


def _may_lie_in(pixels: ElementTree.Element, files: Sequence[str], tif: Any) -> bool:
    """Whether the files that an image names are some of these; the one that is open may have been renamed."""
    named = {name.casefold() for name in _names_in(pixels)}
    return not named or _is_in(tif, files) or any(Path(file).name.casefold() in named for file in files)


def _names_in(pixels: ElementTree.Element) -> set[str]:
    uuids = (uuid for data in pixels if data.tag.endswith("TiffData") for uuid in data if uuid.tag.endswith("UUID"))
    return {name for uuid in uuids if (name := uuid.get("FileName", ""))}


def _kept(series: Any, without: int | None) -> tuple[str, tuple[int, ...]]:
    """Axes and shape, without axes of one pixel other than rows and columns."""
    letters, lengths = series.get_axes(False), series.get_shape(False)
    kept = [i for i, n in enumerate(lengths) if i != without and (n > 1 or letters[i] in "YX")]
    return "".join(letters[i] for i in kept), tuple(int(lengths[i]) for i in kept)


def _pages(series: Any, axis: int | None, place: int) -> list[int]:
    """Numbers of the pages of a series, or of those at one place along an axis."""
    if axis is None:
        return list(range(len(series)))
    _, shape = outer_axes(series)
    return [int(i) for i in np.arange(len(series)).reshape(shape).take(place, axis=axis).ravel()]


def _files_of(series: Any, pages: Sequence[int]) -> tuple[str, ...]:
    """The files that these pages lie in, in their order; pages that are not there lie in none."""
    handles = {id(page.parent): page.parent.filehandle for i in pages if (page := series[i]) is not None}
    return tuple(dict.fromkeys(str(Path(handle.dirname) / handle.name) for handle in handles.values()))


def _is_in(tif: Any, files: Sequence[str]) -> bool:
    """Whether the file that is open is one of these."""
    return str(Path(tif.filehandle.dirname) / tif.filehandle.name) in files

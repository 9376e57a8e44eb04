"""TIFF of every kind: what is in the file, and whether the file holds what it promises. Pixels: ``tiff_pages``."""

from __future__ import annotations

import math
import struct
import threading
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from napari_restore.core.errors import ImageError
from napari_restore.sources.described import LARGEST_BLOCK, MIB, Described, Wanted, explaining, most_from, only_level
from napari_restore.sources.tiff_claims import check_claims, check_first_page, tiff_header
from napari_restore.sources.tiff_companion import file_of, with_its_metadata
from napari_restore.sources.tiff_pages import PageReader, check_page
from napari_restore.sources.tiff_scales import Scales, optics_of, scales_of
from napari_restore.sources.tiff_scanimage import order_of
from napari_restore.sources.tiff_series import (
    TiffImage,
    at_place,
    axis_of,
    choose_image,
    held_by,
    images_of,
    regrouped,
)
from napari_restore.sources.tiff_stopped import Used, used_of
from napari_restore.sources.views import first

_CHECK_PAGES = 256
"""So many pages are checked against the size of the file on opening; the others when they are read."""

_FEW_PAGES = 10_000
_BYTES_A_PAGE = 256
"""More pages than a few need so many bytes each: 114 for what is said of a page, and some pixels. tifffile takes 50 µs
for each on opening."""

_BELIEVABLE_RATIO = 20_000
"""No lossless codec of TIFF shrinks an image of more than 256 MiB more than this."""


def open_tiff(path: Path, wanted: Wanted) -> Described:
    """One image of a TIFF, at one of its levels. The pages stay in the file."""
    import tifffile

    with explaining(f"{path.name} cannot be read as TIFF"):
        check_first_page(path)
        tif = tifffile.TiffFile(path)
        try:
            tif, beside = with_its_metadata(tif, path)
            described = _describe(tif, path, wanted)
            return replace(described, files=(*described.files, *beside)) if described.files else described
        except BaseException:
            tif.close()
            raise


def open_companion(path: Path, wanted: Wanted) -> Described:
    """The images that a text beside them describes, by the first of its files that is there."""
    return open_tiff(file_of(path), wanted)


def _describe(tif: Any, path: Path, wanted: Wanted) -> Described:
    if not ((tif.is_ndpi or tif.is_lsm) and path.stat().st_size >= 2**32):  # they wrap their offsets there
        check_chain(path)
    check_claims(tif, path)
    images = images_of(tif, path)
    image, notes = choose_image(images, wanted.series, path)
    _check_pixel_type(image.series.keyframe, path)
    image, more = _ordered(tif, image, wanted)
    used = used_of(tif, image, path, wanted)
    image = used.image
    pyramid = image.series.levels
    shown = pyramid[only_level(wanted.level, len(pyramid), path.name)]
    reader = PageReader(shown, path, threading.Lock())
    weakref.finalize(reader, tif.close)
    _check_sizes(shown, reader, used, path)
    scales = scales_of(tif, image.series, image.held.index).at_level(image.series, shown)
    return at_place(
        _cut(
            Described(
                name=_stem(path),
                axes=_letters(shown),
                shape=reader.shape,
                dtype=shown.dtype,
                chunks=reader.chunks,
                reader=reader.read,
                location=str(path),
                notes=(*notes, *more, *used.notes, *_photometric_notes(shown.keyframe), *_part_note(tif)),
                files=_other_files(tif, images),
                series=held_by(images, image),
                read_optics=partial(optics_of, tif, image.series, image.held.index),
                filling=_nodata(shown.keyframe),
                alpha=_has_alpha(shown.keyframe),
                **_scales_as_fields(scales),
            ),
            used,
        ),
        image,
    )


def _cut(described: Described, used: Used) -> Described:
    """Without the planes that are not there."""
    return described if used.cut is None else first(described, axis_of(used.image.series, used.cut), used.length)


def _ordered(tif: Any, image: TiffImage, wanted: Wanted) -> tuple[TiffImage, tuple[str, ...]]:
    """With the axes that the header of its microscope gives the pages, unless the user names them."""
    series = image.series
    if not tif.is_scanimage or series.kind in ("ome", "imagej", "shaped"):
        return image, ()
    order = order_of(tif, len(series))
    if order is not None and wanted.leaves(len(order.shape) + len(series.keyframe.shape)):
        return replace(image, series=regrouped(series, order.axes, order.shape)), (order.note,)
    return replace(image, series=regrouped(series, "I", (len(series),))), ()


def _other_files(tif: Any, images: Sequence[TiffImage]) -> tuple[str, ...]:
    """All files of a TIFF that is of several; tifffile keeps those of an OME-TIFF by name."""
    files = [str(each.filehandle.path) for each in getattr(tif, "_files", {}).values()]
    every = tuple(dict.fromkeys([*files, *(file for image in images for file in image.held.files)]))
    return every if len(every) > 1 else ()


def _has_alpha(page: Any) -> bool:
    """Whether a grey or coloured page has one sample more, which is alpha, associated or not (ExtraSamples 1 or 2)."""
    extra = tuple(int(sample) for sample in page.extrasamples)
    return len(extra) == 1 and extra[0] in (1, 2) and page.samplesperpixel in (2, 4)


def _nodata(page: Any) -> tuple[tuple[float, float], ...]:
    """The value of pixels without data, which GDAL writes as text (tag 42113); NaN needs no telling."""
    tag = page.tags.get(42113)
    try:
        value = float(str(tag.value).strip(" \0")) if tag is not None else math.nan
    except ValueError:
        return ()
    return () if math.isnan(value) else ((value, value),)


def _scales_as_fields(scales: Scales) -> dict[str, Any]:
    return {
        "pixel_size": scales.pixel_size,
        "units": scales.units,
        "origin": scales.origin,
        "channel_names": scales.channel_names,
        "channel_colours": scales.channel_colours,
    }


def _stem(path: Path) -> str:
    return path.name.removesuffix(path.suffix).removesuffix(".ome") or path.name


def _letters(series: Any) -> str | None:
    """The axes in tifffile's letters, or None if some letter comes twice (QQYX)."""
    axes: str = series.get_axes(False)
    keep = [i for i, n in enumerate(series.get_shape(False)) if n > 1 or axes[i] in "YX"]
    letters = "".join(axes[i] for i in keep)
    return letters if len(set(letters)) == len(letters) else None


def check_chain(path: Path) -> int:
    """Follow the chain of pages; its end must lie in the file. Returns how many there are."""
    size = path.stat().st_size
    with path.open("rb") as file:
        order, wide, offset = tiff_header(file)
        seen: set[int] = set()
        while offset:
            if offset in seen:
                raise ImageError(
                    f"{path.name}: page {len(seen)} is an earlier page again: it is damaged. Copy it again."
                )
            seen.add(offset)
            if len(seen) > max(_FEW_PAGES, size // _BYTES_A_PAGE):
                raise ImageError(
                    f"{path.name} has over {len(seen) - 1} pages in {size} bytes: they cannot hold images."
                )
            following = _next_page(file, order, wide, offset) if offset < size else None
            if following is None:
                raise ImageError(
                    f"{path.name}: page {len(seen) - 1} should be at byte {offset}, but the file ends at byte {size}: "
                    "it is cut short or damaged. Copy it again."
                )
            offset = following
    if not seen:
        raise ImageError(f"{path.name} is a TIFF without pages. It was not written to its end; copy it again.")
    return len(seen)


def _next_page(file: BinaryIO, order: str, wide: bool, offset: int) -> int | None:
    """Offset of the page after the one at ``offset``; 0 at the end, None if the file ends before it says."""
    count_format, entry, next_format = ("Q", 20, "Q") if wide else ("H", 12, "I")
    file.seek(offset)
    head = file.read(struct.calcsize(count_format))
    if len(head) < struct.calcsize(count_format):
        return None
    (count,) = struct.unpack(order + count_format, head)
    if count > 65535:
        return None
    file.seek(count * entry, 1)
    tail = file.read(struct.calcsize(next_format))
    return struct.unpack(order + next_format, tail)[0] if len(tail) == struct.calcsize(next_format) else None


def _check_pixel_type(keyframe: Any, path: Path) -> None:
    if keyframe.dtype is None:
        raise ImageError(
            f"{path.name}: pixels of {keyframe.bitspersample} bits and sample format "
            f"{keyframe.sampleformat} are not supported. Convert the file to 8, 16 or 32 bits."
        )


def _check_sizes(series: Any, reader: PageReader, used: Used, path: Path) -> None:
    """Refuse what cannot be: pages outside the file, sizes that no file of this length can hold."""
    size = path.stat().st_size
    nbytes = math.prod(reader.shape) * series.dtype.itemsize
    if not series.is_multifile and nbytes > max(256 * MIB, _BELIEVABLE_RATIO * size):
        shape = "x".join(str(n) for n in reader.shape)
        raise ImageError(
            f"{path.name} claims to be an image of {shape} pixels ({nbytes / MIB:.0f} MiB) in a file of {size} bytes. "
            "It is damaged; copy it again."
        )
    if not reader.direct and reader.block_bytes > LARGEST_BLOCK:
        raise ImageError(
            f"{path.name}: its strips or tiles are {reader.block_bytes / MIB:.0f} MiB each, over the limit of "
            f"{LARGEST_BLOCK // MIB} MiB. Write it with smaller tiles."
        )
    if not reader.direct and not series.is_multifile and reader.block_bytes > most_from(size, reader.block_bytes):
        raise ImageError(
            f"{path.name}: its strips or tiles are {reader.block_bytes / MIB:.0f} MiB each in a file of {size} bytes: "
            "it is damaged, or nothing but one value. Write it with smaller tiles."
        )
    every = range(reader.pages) if used.image.axis is None else used.image.pages()
    pages = used.pages if used.pages is not None else every
    for index in (*pages[:_CHECK_PAGES], *pages[max(_CHECK_PAGES, len(pages) - 1) :]):
        check_page(reader, index)


def _part_note(tif: Any) -> tuple[str, ...]:
    """A part of an OME-TIFF of several files, whose description lies in another of them."""
    if "BinaryOnly" not in (tif.ome_metadata or ""):
        return ()
    return (
        "this file is a part of an OME-TIFF whose metadata are not beside it: only the planes in this file are read",
    )


def _photometric_notes(keyframe: Any) -> tuple[str, ...]:
    """What is stored is what is restored; say where a viewer would show something else."""
    notes: Mapping[int, str] = {
        0: "0 means white in this file; the values are kept as they are stored",
        3: "the colour table is ignored; the values are indices into it",
        5: "the channels are ink (CMYK), as they are stored",
        8: "the channels are CIE L*a*b*, as they are stored",
    }
    note = notes.get(int(keyframe.photometric))
    return (note,) if note else ()

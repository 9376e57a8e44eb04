"""TIFF of every kind: what is in the file, and whether the file holds what it promises. Pixels: ``tiff_pages``."""

from __future__ import annotations

import math
import struct
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO
from xml.etree import ElementTree

from napari_restore.core.errors import ImageError
from napari_restore.sources.described import LARGEST_BLOCK, MIB, Described, explaining, most_from, one_line, only_level
from napari_restore.sources.tiff_claims import check_claims, check_first_page, tiff_header
from napari_restore.sources.tiff_pages import PageReader, check_page
from napari_restore.sources.tiff_scales import Scales, scales_of

_CHECK_PAGES = 256
"""So many pages are checked against the size of the file on opening; the others when they are read."""

_FEW_PAGES = 10_000
_BYTES_A_PAGE = 256
"""More pages than a few need so many bytes each: 114 for what is said of a page, and some pixels. tifffile takes 50 µs
for each on opening."""

_BELIEVABLE_RATIO = 20_000
"""No lossless codec of TIFF shrinks an image of more than 256 MiB more than this."""


def open_tiff(path: Path, level: int) -> Described:
    """A TIFF at one of its levels. The pages stay in the file."""
    import tifffile

    with explaining(f"{path.name} cannot be read as TIFF"):
        check_first_page(path)
        tif = tifffile.TiffFile(path)
        try:
            return _describe(tif, path, level)
        except BaseException:
            tif.close()
            raise


def _describe(tif: Any, path: Path, level: int) -> Described:
    if not ((tif.is_ndpi or tif.is_lsm) and path.stat().st_size >= 2**32):  # they wrap their offsets there
        check_chain(path)
    check_claims(tif, path)
    series, notes = _choose_series(tif, path)
    pyramid = series.levels
    shown = pyramid[only_level(level, len(pyramid), path.name)]
    _check_promises(tif, series, path)
    reader = PageReader(shown, path, threading.Lock())
    weakref.finalize(reader, tif.close)
    _check_sizes(shown, reader, path)
    scales = scales_of(tif, series).at_level(series, shown)
    return Described(
        name=_stem(path),
        axes=_letters(shown),
        shape=reader.shape,
        dtype=shown.dtype,
        chunks=reader.chunks,
        reader=reader.read,
        location=str(path),
        notes=notes + _photometric_notes(shown.keyframe) + _part_note(tif),
        files=_other_files(tif),
        filling=_nodata(shown.keyframe),
        alpha=_has_alpha(shown.keyframe),
        **_scales_as_fields(scales),
    )


def _other_files(tif: Any) -> tuple[str, ...]:
    """All files of an OME-TIFF that is of several; tifffile keeps them by name."""
    files = getattr(tif, "_files", {})
    return tuple(str(each.filehandle.path) for each in files.values()) if len(files) > 1 else ()


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


def _choose_series(tif: Any, path: Path) -> tuple[Any, tuple[str, ...]]:
    """The largest image in the file, the first of them if several are as large."""
    images = [series for series in tif.series if math.prod(series.get_shape(False)) > 0]
    if not images:
        raise ImageError(f"{path.name} is a TIFF without pixels. Check how it was written.")
    chosen = max(images, key=lambda series: math.prod(series.get_shape(False)))
    if chosen.keyframe.dtype is None:
        raise ImageError(
            f"{path.name}: pixels of {chosen.keyframe.bitspersample} bits and sample format "
            f"{chosen.keyframe.sampleformat} are not supported. Convert the file to 8, 16 or 32 bits."
        )
    if len(images) == 1:
        return chosen, ()
    name = f" ({one_line(chosen.name)})" if chosen.name else ""
    return chosen, (f"{path.name} holds {len(images)} images; number {images.index(chosen)}{name} is read",)


def _check_promises(tif: Any, series: Any, path: Path) -> None:
    """Metadata that promise more planes than were found mean a file cut short."""
    planes = math.prod(series.get_shape(False)) // max(1, math.prod(series.keyframe.shape))
    promised = _promised_planes(tif, series)
    if promised > planes:
        raise ImageError(
            f"{path.name}: its metadata promise {promised} planes and {planes} are there: "
            "it is cut short or damaged. Copy it again."
        )
    if series.is_multifile or series.kind == "ome":
        missing = sum(page is None for page in series)
        if missing:
            raise ImageError(
                f"{path.name}: {missing} of its {planes} planes are not there. "
                "Put all files of the OME-TIFF in one folder."
            )


def _promised_planes(tif: Any, series: Any) -> int:
    if tif.is_imagej and tif.imagej_metadata and series.kind != "imagej":
        counts = [int(tif.imagej_metadata.get(word, 1)) for word in ("frames", "slices", "channels")]
        return max(math.prod(counts), int(tif.imagej_metadata.get("images", 1)))
    if tif.is_shaped and tif.shaped_metadata and series.kind != "shaped":
        shape = tif.shaped_metadata[0].get("shape", ())
        return int(math.prod(shape) // max(1, math.prod(series.keyframe.shape)))
    if tif.is_ome and tif.ome_metadata and series.kind != "ome":
        return _ome_planes(ElementTree.fromstring(tif.ome_metadata))
    return 0


def _ome_planes(root: ElementTree.Element) -> int:
    """Planes of the first image; samples of a pixel count as one."""
    pixels = next((element for element in root.iter() if element.tag.endswith("}Pixels")), None)
    if pixels is None:
        return 0
    channel = next((element for element in pixels if element.tag.endswith("}Channel")), None)
    samples = int((channel.attrib if channel is not None else {}).get("SamplesPerPixel", 1))
    return math.prod(int(pixels.get(f"Size{axis}", 1)) for axis in "ZCT") // max(1, samples)


def _check_sizes(series: Any, reader: PageReader, path: Path) -> None:
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
    for index in sorted({*range(min(reader.pages, _CHECK_PAGES)), reader.pages - 1}):
        check_page(reader, index)


def _part_note(tif: Any) -> tuple[str, ...]:
    """A part of an OME-TIFF of several files, whose description lies in another of them."""
    if "BinaryOnly" not in (tif.ome_metadata or ""):
        return ()
    return ("this file is one part of an OME-TIFF of several; only the planes in it are read",)


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

"""What the metadata of a TIFF claim, compared with the file before tifffile believes them.

tifffile makes a list entry of each plane that OME-XML, Micro-Manager or Leica promise, opens the files that they name,
and goes over each page once for every level: a file of 9 kB can ask for a billion planes.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from xml.etree import ElementTree

from napari_restore.core.errors import ImageError
from napari_restore.sources.described import MIB

_FEW_PLANES = 100_000
"""So many planes may be promised by any file: a list of them is nothing, and an acquisition may have been stopped."""

_PLANES_A_PAGE = 10
"""More may be promised by a file with many pages: this for each page, in this file and in each of the others named."""

_FEW_MARKS = 250_000
_BYTES_A_MARK = 64
"""Marks (< and =) of XML: a quarter of a million are parsed in a second. A file whose XML has more must be larger:
OME-XML has about 16 for each plane, whose pixels, page and XML take 2 kB at the least."""

_LONG_TAG = 64 * MIB
_TAG_SHARE = 4
"""A text or table in a page may take so many bytes, or that part of the file: it is read whole, some times over."""

_LONG_JSON = 8 * MIB
"""Of a description in JSON, which takes up to 27 times as much once it is parsed."""

_FEW_STEPS = 1_000_000
"""Planes that the blocks of OME-XML speak of, the same ones again or not: each is a step of tifffile's."""

_MOST_NAMES = 10
"""UUIDs of one file: it has one, and tifffile opens it again for each."""

_MOST_LEVELS = 16
"""Smaller copies of a page: each halves it, so this takes 65 536 pixels to one. Every page is gone over for each."""

_TABLES = frozenset({273, 279, 324, 325})
"""Tags that say where the strips and tiles are: large pages have long ones."""

_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


def check_first_page(path: Path) -> None:
    """Whether the first page of a TIFF has a text or table too long to be read; tifffile reads them on opening.

    Raises
    ------
    ImageError
        With the number of the tag and its length.
    """
    most = max(_LONG_TAG, path.stat().st_size // _TAG_SHARE)
    with path.open("rb") as file:
        order, wide, offset = tiff_header(file)
        file.seek(offset)
        form, entry = ("Q", "HHQ") if wide else ("H", "HHI")
        try:
            (count,) = struct.unpack(order + form, file.read(8 if wide else 2))
            entries = file.read(min(count, 65535) * (20 if wide else 12))
        except (struct.error, OverflowError):
            return  # the file ends here; who follows its pages says so
    for at in range(0, len(entries) - 11, 20 if wide else 12):
        code, kind, length = struct.unpack_from(order + entry, entries, at)
        nbytes = length * _TYPE_BYTES.get(kind, 1)
        if code not in _TABLES and nbytes > most:
            raise ImageError(
                f"{path.name}: its tag {code} has {nbytes} bytes, over the limit of {most}. Write it without it."
            )


def tiff_header(file: BinaryIO) -> tuple[str, bool, int]:
    """Byte order, whether this is a BigTIFF, offset of the first page."""
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    wide = head[2:4] in (b"+\0", b"\0+")
    (offset,) = struct.unpack_from(order + ("Q" if wide else "I"), head, 8 if wide else 4)
    return order, wide, offset


def check_claims(tif: Any, path: Path) -> None:
    """Refuse metadata that promise far more than there is, or name what is not a file beside this one.

    Raises
    ------
    ImageError
        With what is claimed, and what the limit is.
    """
    first = tif.pages.first
    levels = len(first.subifds or ())
    if levels > _MOST_LEVELS:
        raise ImageError(f"{path.name}: its first page has {levels} smaller copies; at most {_MOST_LEVELS} are read.")
    description = first.description
    if description[:1] in "{[" and len(description) > _LONG_JSON:
        raise ImageError(
            f"{path.name}: its description is {len(description)} bytes of JSON, over the limit of {_LONG_JSON}. "
            "Write it without it."
        )
    if description.lstrip()[:1] == "<":
        check_marks(description, path)
    if tif.ome_metadata:
        _check_ome(tif, path)
    elif tif.is_scn:
        _check_leica(description, path)
    if tif.is_micromanager:
        _check_micromanager(tif, path)


def check_marks(xml: str, path: Path) -> None:
    """Whether XML has more marks than its file can need.

    Raises
    ------
    ImageError
        With how many there are, and may be.
    """
    marks, most = xml.count("<") + xml.count("="), max(_FEW_MARKS, path.stat().st_size // _BYTES_A_MARK)
    if marks > most:
        raise ImageError(f"{path.name}: its XML has {marks} marks, over the limit of {most} for a file of its length.")


def _refuse_planes(planes: float, most: int, path: Path) -> None:
    if planes > most:
        raise ImageError(
            f"{path.name}: its metadata promise {planes:.4g} planes; with its pages there can be {most} at most. "
            "It is damaged; copy it again."
        )


def _check_ome(tif: Any, path: Path) -> None:
    """Planes, files and modulo axes that OME-XML speaks of."""
    check_marks(tif.ome_metadata, path)
    root = ElementTree.fromstring(tif.ome_metadata)
    named = [(each.get("FileName"), each.text) for each in root.iter() if each.tag.endswith("UUID")]
    files = {name for name, _ in named if name}
    for name in files:
        check_beside(name, path)
    if len({text for name, text in named if name}) > _MOST_NAMES * (1 + len(files)):
        raise ImageError(f"{path.name}: its metadata give one file more than {_MOST_NAMES} UUIDs. Write it again.")
    pages, first = len(tif.pages), tif.pages.first
    most = max(_FEW_PLANES, _PLANES_A_PAGE * pages * (1 + len(files)))
    every = [each for each in root.iter() if each.tag.endswith("}Pixels") or each.tag == "Pixels"]
    _refuse_planes(sum(_promised(pixels, max(1, first.size)) for pixels in every), most, path)
    blocks = [each for pixels in every for each in pixels if each.tag.endswith("TiffData")]
    _refuse_planes(sum(_of_block(block, pages) for block in blocks), max(_FEW_STEPS, most), path)
    for along in root.iter():
        if "Along" in along.tag and "Start" in along.attrib:
            _refuse_planes(_steps(along.attrib), _FEW_PLANES, path)


def _promised(pixels: ElementTree.Element, page: int) -> float:
    """Planes of an image of OME-XML, or, if that is more, pages that its pixels would fill."""
    sizes = {axis: max(0, int(pixels.get(f"Size{axis}", 1))) for axis in "XYZCT"}
    return max(math.prod(sizes[axis] for axis in "ZCT"), math.prod(sizes.values()) // page)


def _of_block(block: ElementTree.Element, pages: int) -> int:
    """Planes of a TiffData; all pages of its file where it gives no number."""
    told = block.get("PlaneCount", block.get("NumPlanes", "1" if "IFD" in block.attrib else "0"))
    return abs(int(told)) or pages


def _steps(along: Mapping[str, str]) -> float:
    """Places along a modulo axis of OME-XML; tifffile makes an array of them to count them."""
    start, end, step = (float(along.get(word, missing)) for word, missing in (("Start", 0), ("End", 0), ("Step", 1)))
    places = abs((end - start) / step) + 1 if step else math.inf
    return math.inf if math.isnan(places) else places


def check_beside(name: str, path: Path) -> None:
    """What metadata name is a file beside this one, or is not there: a pipe would never be read to its end.

    Raises
    ------
    ImageError
        With the name, where it is anything else.
    """
    if Path(name).name != name or "\\" in name or name in ("..", "."):
        raise ImageError(f"{path.name}: its metadata point at {name!r}, which is not a file beside it.")
    try:
        odd = path.with_name(name).exists() and not path.with_name(name).is_file()
    except (OSError, ValueError):
        odd = True
    if odd:
        raise ImageError(f"{path.name}: its metadata point at {name!r}, which is no file. Take it out of the folder.")


def _check_leica(description: str, path: Path) -> None:
    """Channels and planes that the XML of a Leica SCN file counts up to."""
    for pixels in ElementTree.fromstring(description).iter():
        if pixels.tag.endswith("pixels"):
            ends = [max((int(d.get(axis, 0)) for d in pixels), default=0) + 1 for axis in "cz"]
            _refuse_planes(math.prod(ends), _FEW_PLANES, path)


def _check_micromanager(tif: Any, path: Path) -> None:
    """The planes and files of a dataset of Micro-Manager, from the index in the file or beside it."""
    from tifffile import read_ndtiff_index

    facts = tif.micromanager_metadata or {}
    summary, index = facts.get("Summary"), facts.get("IndexMap")
    if index is not None and len(index) and isinstance(summary, Mapping):
        for beside in path.parent.glob("*_MMStack*.tif"):
            check_beside(beside.name, path)
        ends = [int(n) + 1 for n in index[:, :4].max(axis=0)]
        words = ("Channels", "Slices", "Frames", "Positions")
        counts = [max(end, int(summary.get(word, 1) or 1)) for end, word in zip(ends, words, strict=True)]
        _refuse_planes(math.prod(counts), max(_FEW_PLANES, _PLANES_A_PAGE * len(index)), path)
    listed = path.with_name("NDTiff.index")
    if facts.get("MajorVersion", 0) >= 2 and listed.exists():
        check_beside(listed.name, path)
        _check_ndtiff(read_ndtiff_index(listed), path)


def _check_ndtiff(entries: Iterable[Any], path: Path) -> None:
    """The files that an index names, and how far its axes reach."""
    reach: dict[str, tuple[int, int]] = {}
    names: set[str] = set()
    count = 0
    for axes, name, *_ in entries:
        count += 1
        if name not in names:
            check_beside(name, path)
            names.add(name)
        for axis, place in axes.items():
            if isinstance(place, int):
                low, high = reach.get(axis, (place, place))
                reach[axis] = min(low, place), max(high, place)
    planes = math.prod(high - low + 1 for low, high in reach.values())
    _refuse_planes(planes, max(_FEW_PLANES, _PLANES_A_PAGE * count), path)

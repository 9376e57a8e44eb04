"""OME-TIFF of several files whose metadata lie in one of them, or in a companion of text: ``x.companion.ome``."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from napari_restore.core.errors import ImageError
from napari_restore.sources.described import MIB, explaining, one_line
from napari_restore.sources.tiff_claims import check_beside, check_first_page, check_marks

_LONGEST = 64 * MIB
"""Of a companion's text."""
_LONG_PART = 65_536
"""Of the description of a part, which says no more than where the metadata are."""
_TIFF = (b"II", b"MM")
_UUID = re.compile(r"(<(?:\w+:)?OME\b[^>]*?\sUUID\s*=\s*)([\"']).*?\2", re.DOTALL)


def with_its_metadata(tif: Any, path: Path) -> tuple[Any, tuple[str, ...]]:
    """A part of an OME-TIFF opened with the metadata of the whole, where these lie beside it; any other as it is.

    Returns
    -------
    tifffile.TiffFile, tuple of str
        The file that the metadata lie in, if it is another.

    Raises
    ------
    ImageError
        If the metadata are said to lie where no file beside it can be, or are too long to be read.
    """
    import tifffile

    description = tif.pages.first.description
    if "BinaryOnly" not in description or len(description) > _LONG_PART or tif.ome_metadata is None:
        return tif, ()
    root = ElementTree.fromstring(description)
    named = next((each.get("MetadataFile", "") for each in root if each.tag.endswith("BinaryOnly")), "")
    if not named or named == path.name:
        return tif, ()
    check_beside(named, path)
    whole = _metadata_in(path.with_name(named))
    if whole is None or path.name not in whole:  # renamed: nothing says which of the planes are in it
        return tif, ()
    tif.close()
    # tifffile takes the file that it opens for the one that the first line names.
    own = root.get("UUID", "")
    whole = _UUID.sub(lambda found: f"{found[1]}{found[2]}{own}{found[2]}", whole, 1)
    return tifffile.TiffFile(path, omexml=whole), (str(path.with_name(named)),)


def file_of(path: Path) -> Path:
    """The first of the files that a companion names and that are there.

    Raises
    ------
    ImageError
        If none is there.
    """
    with explaining(f"{path.name} cannot be read as OME-XML"):
        root = ElementTree.fromstring(_metadata_in(path) or "")
        names = list(dict.fromkeys(name for each in root.iter() if (name := each.get("FileName"))))
        for name in names:
            check_beside(name, path)
        there = next((path.with_name(name) for name in names if path.with_name(name).is_file()), None)
    if there is None:
        some = f"names {', '.join(map(one_line, names[:3]))}" if names else "names no file"
        raise ImageError(
            f"{path.name} is OME-XML without pixels; it {some}{' ...' if len(names) > 3 else ''}. Put the files that "
            "it belongs to beside it."
        )
    return there


def _metadata_in(file: Path) -> str | None:
    """OME-XML of a TIFF, or of a file of text; None where it has none that describes images."""
    import tifffile

    if not file.is_file():
        return None
    with file.open("rb") as opened:
        if opened.read(2) in _TIFF:
            check_first_page(file)
            with tifffile.TiffFile(file) as master:
                text = master.ome_metadata or ""
        else:
            length = file.stat().st_size
            if length > _LONGEST:
                raise ImageError(f"{file.name} has {length} bytes of metadata, over the limit of {_LONGEST}.")
            text = file.read_bytes().decode(errors="replace")
    text = text.strip().strip("\ufeff\0")
    check_marks(text, file)
    return text if text.endswith("OME>") and "BinaryOnly" not in text else None

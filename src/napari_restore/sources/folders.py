"""The images in a folder that holds several, each by itself."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

from napari_restore.core.errors import ImageError
from napari_restore.sources.formats import endings, natural, recognises

EVERYTHING = "*"

_IMAGE_NAMES = endings("stack", "plain")
"""Files with these names are taken for images, damaged as they may be: what is wrong with them is to be said."""


def images_in(folder: str | Path, pattern: str = EVERYTHING) -> list[Path]:
    """The image files and Zarr folders right in a folder whose names match, in natural order (``z2`` before ``z10``).

    Parameters
    ----------
    pattern
        As shells have it: ``*.tif``, ``cell?_*``. Of everything, only what looks like an image is taken; of a narrower
        pattern every file, also one that cannot be opened. Hidden files are left out.

    Raises
    ------
    ImageError
        If the folder cannot be listed.
    """
    place = Path(folder).expanduser()
    try:
        found = sorted(place.iterdir(), key=lambda path: natural(path.name))
    except OSError as error:
        raise ImageError(f"{place} cannot be listed: {error.strerror}. Give a folder with images.") from None
    return [path for path in found if not path.name.startswith(".") and _wanted(path, pattern or EVERYTHING)]


def _wanted(path: Path, pattern: str) -> bool:
    if not fnmatch(path.name, pattern):
        return False
    if path.is_dir():
        return recognises(path) == "Zarr"
    return pattern != EVERYTHING or path.name.lower().endswith(_IMAGE_NAMES) or recognises(path) is not None

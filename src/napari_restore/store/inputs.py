"""What a run reads is never what it writes: by no path, link, or other spelling of a name."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from napari_restore.core.errors import OutputError
from napari_restore.sources.image import Image


def check_apart(written: Path, beside: Iterable[Path], image: Image) -> None:
    """Refuse to write over an image, into it, or over a folder that it lies in.

    Parameters
    ----------
    written
        The name that is to be written.
    beside
        Other names that are written on the way.

    Raises
    ------
    OutputError
        With the place of the image.
    """
    for place in places_of(image):
        if same(written, place):
            raise OutputError(f"{written} is the image itself: what is read is never written over. {_NEXT}")
        if lies_in(written, place):
            raise OutputError(f"{written} lies in {place}, which is read: nothing is written into an image. {_NEXT}")
        if lies_in(place, written):
            raise OutputError(f"{written} holds {place}, which is read: what is read is never written over. {_NEXT}")
        for name in beside:
            if os.path.lexists(name) and (same(name, place) or lies_in(place, name)):
                raise OutputError(f"{place} is read, and {name.name} is a name that {written.name} needs. {_NEXT}")


_NEXT = "Choose another name."


class Inputs:
    """Many files and folders that are read, known by their numbers on the disk: a look at one output is quick."""

    def __init__(self, paths: Iterable[Path]) -> None:
        self._read: dict[tuple[int, int], Path] = {}
        self._above: dict[tuple[int, int], Path] = {}
        folders: dict[Path, Path] = {}
        for path in paths:
            number = _number(path)
            if number is not None:
                self._read[number] = path
                folders[_real(path).parent] = path
        for folder, path in folders.items():
            for above in (folder, *folder.parents):
                if (number := _number(above)) is not None:
                    self._above[number] = path

    def check(self, written: Path, beside: Iterable[Path] = ()) -> None:
        """Refuse a name that is one of them, lies in one, or holds one.

        Raises
        ------
        OutputError
            With both places.
        """
        for name in (written, *beside):
            number = _number(name)
            if number in self._read:
                raise OutputError(f"{name} is one of the images: what is read is never written over.")
            if number in self._above:
                raise OutputError(f"{name} holds {self._above[number]}, which is read: that is never written over.")
        self.check_folder(written.parent)

    def check_folder(self, folder: Path) -> None:
        """Refuse a folder that is one of them, or lies in one.

        Raises
        ------
        OutputError
            With both places.
        """
        real = _real(folder)
        for place in (real, *real.parents):
            if place.is_dir() and (number := _number(place)) in self._read:
                raise OutputError(f"{folder} lies in {self._read[number]}, which is read: nothing is written there.")


def _number(path: Path) -> tuple[int, int] | None:
    """What tells a file or folder from all others of this machine, whatever its name; None where there is none."""
    try:
        facts = path.stat()
    except (OSError, ValueError):
        return None
    return facts.st_dev, facts.st_ino


def check_not_file(written: Path, read: Path) -> None:
    """Refuse to write over another file that is read, such as a model or a PSF.

    Raises
    ------
    OutputError
        With its name.
    """
    if same(written, read) or lies_in(written, read) or lies_in(read, written):
        raise OutputError(f"{written} would be written over {read}, which is read. {_NEXT}")


def places_of(image: Image) -> Iterator[Path]:
    """The local files and folders that an image is read from; one that is no longer there is passed over."""
    for given in (image.location, *image.files):
        if given is not None and "://" not in given:
            path = Path(given)
            if os.path.lexists(path):
                yield path


def lies_in(path: Path, folder: Path) -> bool:
    """Whether a path, which need not exist, is inside a folder; links are followed."""
    return folder.is_dir() and any(same(parent, folder) for parent in _real(path).parents)


def same(a: Path, b: Path) -> bool:
    """Whether two names are of one file or folder; a link is what it points at."""
    try:
        return a.samefile(b)
    except OSError:
        return _real(a) == _real(b)


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))

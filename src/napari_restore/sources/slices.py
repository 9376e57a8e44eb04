"""A folder of slices: every file is one plane, in natural order of the names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.errors import ImageError
from napari_restore.core.region import Region
from napari_restore.sources import formats
from napari_restore.sources.described import Described, Wanted

_OPEN_AT_ONCE = 32
_CHECK_FILES = 64
"""So many slices are compared with the first on opening; the others when they are read."""


def open_slices(folder: Path, wanted: Wanted) -> Described:
    """The planes of a folder, stacked along Z; all must agree in size and pixel type."""
    wanted.only_one(folder.name)
    files = _of_one_format(folder)
    first = formats.open_location(str(files[0]))
    if len(files) == 1:
        return first
    _refuse_stacks(first, files[0])
    letters = first.axes or "YX"
    planes = _Planes(files, first)
    planes.check()
    return replace(
        first,
        name=folder.name,
        axes="Z" + letters,
        shape=(len(files), *first.shape),
        chunks=(1, *first.chunks),
        reader=planes.read,
        location=str(folder),
        notes=(*first.notes, f"{len(files)} files are the slices, in the order of their names"),
    )


def _of_one_format(folder: Path) -> list[Path]:
    """The files of the format that most of the folder has."""
    found: dict[str, list[Path]] = {}
    for file in formats.visible_files(folder):
        kind = formats.format_of_file(file)
        if kind in formats.SLICE_FORMATS:
            found.setdefault(kind, []).append(file)
    if not found:
        raise ImageError(f"{folder} holds no images. Give a folder of TIFF, PNG, JPEG or BMP slices.")
    return max(found.values(), key=len)


def _refuse_stacks(first: Described, file: Path) -> None:
    if len(first.shape) > 2 and (first.axes is None or not set(first.axes) <= set("YXCS")):
        raise ImageError(
            f"{file.name} in the folder is a stack of shape {first.shape}, not a slice. Open the files one by one."
        )


class _Planes:
    """Reads slices that are opened when they are needed; the last ones opened stay open."""

    def __init__(self, files: Sequence[Path], first: Described) -> None:
        self._files, self._first = files, first
        self._open = lru_cache(_OPEN_AT_ONCE)(self._checked)

    def _checked(self, index: int) -> Described:
        """The plane at an index, if it is like the first one."""
        plane = formats.open_location(str(self._files[index]))
        first = self._first
        if plane.shape != first.shape or plane.dtype != first.dtype:
            raise ImageError(
                f"{self._files[index].name} is {plane.shape} pixels of {plane.dtype}, {self._files[0].name} is "
                f"{first.shape} of {first.dtype}: all slices of a folder must agree. Take the odd ones out."
            )
        return plane

    def check(self) -> None:
        """Compare slices from all over the folder with the first."""
        for index in np.unique(np.linspace(0, len(self._files) - 1, _CHECK_FILES).astype(int)):
            self._open(int(index))

    def read(self, region: Region) -> NDArray[Any]:
        inner = Region(region.start[1:], region.stop[1:])
        result = np.empty(region.shape, self._first.dtype)
        for plane, index in zip(result, range(region.start[0], region.stop[0]), strict=True):
            plane[...] = self._open(index).reader(inner)
        return result

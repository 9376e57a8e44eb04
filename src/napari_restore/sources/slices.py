"""A folder of slices: every file is one plane, where its name says, else in natural order of the names."""

from __future__ import annotations

import math
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
from napari_restore.sources.described import Described, Wanted, only_level
from napari_restore.sources.plane_names import Grid, grid_of, positions_of
from napari_restore.sources.series import Held, index_of
from napari_restore.sources.stopped import Whole, sizes
from napari_restore.sources.views import split

_OPEN_AT_ONCE = 32
_CHECK_FILES = 64
"""So many slices are compared with the first on opening; the others when they are read."""


def open_slices(folder: Path, wanted: Wanted) -> Described:
    """The planes of a folder, by their names, or stacked along Z; all must agree in size and pixel type."""
    only_level(wanted.level, 1, folder.name)
    every = _of_one_format(folder)
    positions = positions_of([file.stem for file in every])
    held = [
        Held(i, name, None, (), tuple(str(every[k]) for k in own)) for i, (name, own) in enumerate(positions.items())
    ]
    number = 0 if wanted.series is None else index_of(wanted.series, held, folder.name)
    files = [every[k] for k in [*positions.values()][number]]
    first = formats.open_location(str(files[0]))
    if len(every) == 1:
        return first
    _refuse_stacks(first, files[0])
    described = _stacked(folder, files, first, wanted)
    if len(held) == 1:
        return described
    note = f"{folder.name} holds {len(held)} positions; number {held[number]} is read: `series` takes another"
    return replace(
        described,
        notes=(*described.notes, note) if wanted.series is None else described.notes,
        series=tuple(replace(each, opened=each.index == number) for each in held),
    )


def _held(index: int, name: str, files: Sequence[Path]) -> Held:
    return Held(index, name, None, (len(files),), tuple(map(str, files)))


def _stacked(folder: Path, files: Sequence[Path], first: Described, wanted: Wanted) -> Described:
    """Files of one position as one image."""
    letters = first.axes or "YX"
    grid = grid_of([file.stem for file in files])
    if grid is not None and (set(grid.axes) & set(letters) or not wanted.leaves(len(grid.axes) + len(first.shape))):
        grid = None
    if grid is not None:
        files = [files[i] for i in _whole(grid, folder, wanted)]
    planes = _Planes(files, first)
    planes.check()
    described = replace(
        first,
        name=folder.name,
        axes="Z" + letters,
        shape=(len(files), *first.shape),
        chunks=(1, *first.chunks),
        reader=planes.read,
        location=str(folder),
        notes=(*first.notes, f"{len(files)} files are the slices, in the order of their names"),
    )
    if grid is None or grid.axes == "Z":
        return described
    lengths = (len(files) // math.prod(grid.shape[1:]), *grid.shape[1:])
    return replace(
        split(described, 0, lengths),
        axes=grid.axes + letters,
        channel_names=grid.channels,
        notes=(
            *first.notes,
            f"{len(files)} files are {sizes(grid.axes, lengths)}, as their names say: `axes` overrides",
        ),
    )


def _whole(grid: Grid, folder: Path, wanted: Wanted) -> Sequence[int]:
    """Numbers of the files, without those of the last time that is not whole.

    Raises
    ------
    ImageError
        If files are missing, and that was not allowed.
    """
    if not grid.missing:
        return grid.indices
    each, total = math.prod(grid.shape[1:]), math.prod(grid.shape)
    whole = Whole(grid.axes[0], grid.shape[0], grid.whole, total, grid.missing)
    if wanted.incomplete == "refuse" or not grid.whole:
        raise ImageError(
            f"{folder.name}: by their names its files are {sizes(grid.axes, grid.shape)}, {total} planes, and "
            f"{total - grid.missing} are there: the acquisition was stopped, or files are missing. {whole.remedy} "
            "`axes` ZYX takes the files as they come."
        )
    return grid.indices[: grid.whole * each]


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

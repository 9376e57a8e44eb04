"""Slides and other large DICOM planes whose frames are tiles: put together, tile by tile, as they are read.

Source: DICOM PS3.3 C.7.6.17.3: of TILED_FULL columns change fastest, then rows, focal planes, optical paths; of
TILED_SPARSE each frame says its place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.errors import ImageError
from napari_restore.core.region import Region

_SPARSEST = 1000
"""Tiles that there could be to one that is there, at most."""

_COLOUR_ABSENT = 255
"""What a tile that was not taken reads as in colour: the glass of a slide is white."""

Place = tuple[int, int, int, int]
"""Number of the optical path, the focal plane, the row of tiles and the column of tiles."""


@dataclass(frozen=True)
class Tiling:
    """How the frames of a file lie in its planes.

    Attributes
    ----------
    counts
        Of optical paths, focal planes, rows of tiles, columns of tiles.
    total, tile
        Rows and columns of pixels of a plane, and of a tile. The last tiles reach over the border.
    frames
        Which frame is at a place; places without one were not taken.
    """

    counts: Place
    total: tuple[int, int]
    tile: tuple[int, int]
    frames: Mapping[Place, int]

    @property
    def absent(self) -> int:
        """How many tiles were not taken."""
        return int(np.prod(self.counts)) - len(self.frames)


def tiling_of(header: Any, path: Path, frames: int) -> Tiling | None:
    """The tiling that a header describes; None where a frame is a whole plane.

    Raises
    ------
    ImageError
        If it does not fit the frames.
    """
    total = tuple(int(header.get(f"TotalPixelMatrix{word}") or 0) for word in ("Rows", "Columns"))
    tile = (int(header.Rows), int(header.Columns))
    if min(total) < 1 or (frames == 1 and total == tile):
        return None
    if "ConcatenationUID" in header:
        raise ImageError(f"{path.name} is one part of a slide in several files, which are not read. Join them first.")
    grid = (-(-total[0] // tile[0]), -(-total[1] // tile[1]))
    places = list(_places(header, tile, path))
    if len(places) == frames and (header.get("DimensionOrganizationType") != "TILED_FULL"):
        return _sparse(places, grid, (total[0], total[1]), tile, path)
    paths = int(header.get("NumberOfOpticalPaths") or len(header.get("OpticalPathSequence") or ()) or 1)
    counts = (paths, int(header.get("TotalPixelMatrixFocalPlanes") or 1), *grid)
    needed = counts[0] * counts[1] * counts[2] * counts[3]
    if needed != frames:
        raise ImageError(
            f"{path.name}: planes of {total[0]} x {total[1]} pixels take {needed} tiles of {tile[0]} x {tile[1]}, and "
            f"it has {frames} frames without places: it is damaged, or tiled in another way. Convert it to TIFF."
        )
    every = product(range(counts[0]), range(counts[1]), range(counts[2]), range(counts[3]))
    return Tiling(counts, (total[0], total[1]), tile, {at: i for i, at in enumerate(every)})


def _places(header: Any, tile: tuple[int, int], path: Path) -> Iterator[tuple[str, float, int, int]]:
    """Of each frame that says it: optical path, height, row and column of tiles."""
    for frame in header.get("PerFrameFunctionalGroupsSequence") or ():
        where, light = ((frame.get(word) or [None])[0] for word in _GROUPS)
        if where is None or where.get("RowPositionInTotalImagePixelMatrix") is None:
            return
        corner = [int(where.get(f"{word}PositionInTotalImagePixelMatrix")) - 1 for word in ("Row", "Column")]
        if any(at < 0 or at % size for at, size in zip(corner, tile, strict=True)):
            raise ImageError(
                f"{path.name}: a tile begins at row {corner[0]}, column {corner[1]}, which is no multiple of its "
                f"{tile[0]} x {tile[1]} pixels: tiles that overlap are not read. Convert it to TIFF."
            )
        height = float(where.get("ZOffsetInSlideCoordinateSystem") or 0)
        name = str(light.get("OpticalPathIdentifier", "")) if light is not None else ""
        yield name, round(height, 6), corner[0] // tile[0], corner[1] // tile[1]


_GROUPS = ("PlanePositionSlideSequence", "OpticalPathIdentificationSequence")


def _sparse(
    places: Sequence[tuple[str, float, int, int]],
    grid: tuple[int, int],
    total: tuple[int, int],
    tile: tuple[int, int],
    path: Path,
) -> Tiling:
    names = list(dict.fromkeys(place[0] for place in places))
    heights = sorted({place[1] for place in places})
    frames = {(names.index(n), heights.index(h), row, column): i for i, (n, h, row, column) in enumerate(places)}
    counts = (len(names), len(heights), *grid)
    outside = any(row >= grid[0] or column >= grid[1] for _, _, row, column in places)
    if outside or len(frames) < len(places) or int(np.prod(counts, dtype=object)) > _SPARSEST * len(frames):
        raise ImageError(
            f"{path.name}: its {len(places)} tiles do not lie, each in a place of its own, in planes of {total[0]} x "
            f"{total[1]} pixels: it is damaged. Copy it again."
        )
    return Tiling(counts, total, tile, frames)


class Mosaic:
    """Planes put together from the tiles that a region touches, ``(optical paths, focal planes, Y, X[, samples])``."""

    def __init__(
        self, tiling: Tiling, decode: Callable[[int], NDArray[Any]], samples: int, dtype: np.dtype[Any]
    ) -> None:
        self._tiling, self._decode, self._dtype = tiling, decode, dtype
        self.shape = (*tiling.counts[:2], *tiling.total, *((samples,) if samples > 1 else ()))
        self.fill = _COLOUR_ABSENT if samples > 1 and dtype.itemsize == 1 else 0

    def read(self, region: Region) -> NDArray[Any]:
        """The pixels of a region; 255 in colour, else 0, where no tile was taken."""
        result = np.full(region.shape, self.fill, self._dtype)
        spans = zip(region.start, region.stop, (1, 1, *self._tiling.tile), strict=False)
        paths, planes, rows, columns = (range(a // n, -(-b // n)) for a, b, n in spans)
        for place in product(paths, planes, rows, columns):
            frame = self._tiling.frames.get(place)
            if frame is not None:
                self._paste(result, region, place, self._decode(frame))
        return result

    def _paste(self, result: NDArray[Any], region: Region, place: Place, tile: NDArray[Any]) -> None:
        """Copy what is needed of a tile; its pixels past the border of the plane are never asked for."""
        corner = [at * size for at, size in zip(place[2:], self._tiling.tile, strict=True)]
        rows, columns = (
            (max(a, c), min(b, c + n))
            for a, b, c, n in zip(region.start[2:4], region.stop[2:4], corner, self._tiling.tile, strict=True)
        )
        into = (place[0] - region.start[0], place[1] - region.start[1])
        into_rows = slice(rows[0] - region.start[2], rows[1] - region.start[2])
        into_columns = slice(columns[0] - region.start[3], columns[1] - region.start[3])
        part = tile[rows[0] - corner[0] : rows[1] - corner[0], columns[0] - corner[1] : columns[1] - corner[1]]
        result[(*into, into_rows, into_columns)] = part[..., region.slices[4]] if result.ndim == 5 else part

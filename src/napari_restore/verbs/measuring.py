"""Measure: means of regions in an image and in what was restored of it, and whether these agree."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.errors import ImageError, RestoreError
from napari_restore.core.options import Fill
from napari_restore.core.region import Region
from napari_restore.metrics.regions import REACH, RegionMean, RegionSums
from napari_restore.sources import Image, open_image
from napari_restore.sources.settled import settled
from napari_restore.store.files import new_file

_ROWS = 2048
"""Of a plane, that are looked at together."""
_LARGEST_LABEL = 10_000_000


@dataclass(frozen=True)
class Measured(RegionMean):
    """A region of one plane or of the whole stack, see ``RegionMean``.

    Attributes
    ----------
    channel, t, z_plane
        Where it is, counted from 0; None along what the region goes through, or the image has not.
    """

    channel: int | None = None
    t: int | None = None
    z_plane: int | None = None

    def row(self) -> dict[str, Any]:
        """For a table: all of it, and whether it is flagged."""
        return {**asdict(self), "flagged": self.flagged}


def measure(
    raw: Any,
    restored: Any,
    regions: Any = None,
    *,
    grid: int | None = None,
    output: str | Path | None = None,
    axes: str | None = None,
    channel: int | str | None = None,
    series: int | str | None = None,
    fill: Fill = "auto",
) -> list[Measured]:
    """Compare the means of regions in a measured image and in what was restored of it.

    A restored image may be measured where its means are those of the measured one. The noise alone makes them differ;
    a region is flagged where they differ by three standard errors of that or more.

    Parameters
    ----------
    raw, restored
        Of the same shape: paths, arrays, layers, or a result.
    regions
        Labels (whole numbers, 0 is none): ``(Y, X)``, then each plane is measured by itself, or of the image's shape
        without C, then a label is one region throughout. Also a layer of labels or shapes. Or give ``grid``.
    grid
        Side of squares, in pixels, that the image is divided into.
    output
        A new file for the table, of which the name ends in .csv.
    axes, channel, series, fill
        Of the measured image, as wherever one is opened. Pixels that were not measured do not count.

    Returns
    -------
    list of Measured
        One row a region, plane and channel: label, area (pixels), means, their difference, its standard error (what the
        noise gives the measured mean, correlation of neighbours within 4 pixels counted), z; ``flagged``.

    Raises
    ------
    RestoreError
        If the shapes do not fit, there is neither regions nor a grid, or no region has a pixel; or the output exists.
    """
    if (regions is None) == (grid is None):
        raise RestoreError("measure: give either `regions` or `grid`.")
    if grid is not None and not (isinstance(grid, int | np.integer) and grid >= 2):
        raise RestoreError(f"measure: a grid of {grid!r} pixels. Give a whole number of 2 or more.")
    table = None if output is None else new_file(output, ending=".csv", is_what="the table is text")
    image = settled(open_image(raw, axes=axes, channel=channel, series=series), fill=fill)
    result = open_image(restored, axes=image.axes)
    if result.shape != image.shape:
        raise ImageError(
            f"{image.name} has shape {image.shape} and {result.name} {result.shape}: give an image and what was "
            "restored of it, with as many pixels."
        )
    labels = _Labels.of(regions, image, grid)
    rows = [row for place in labels.places() for row in _measured(image, result, labels, place)]
    if table is not None:
        write_table(rows, table)
    return rows


def write_table(rows: Sequence[Measured], path: Path) -> None:
    """Rows as text, a line each; a file that is there is replaced."""
    names = [*(field.name for field in fields(Measured)), "flagged"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(row.row() for row in rows)


@dataclass(frozen=True)
class _Labels:
    """Labels of the planes of an image.

    Attributes
    ----------
    outer
        Axes of the image that are not Y or X, with their lengths.
    through
        Those of them that a region goes through.
    pixels
        ``(*through, Y, X)``; None for a grid.
    """

    outer: dict[str, int]
    through: str
    shape: tuple[int, int]
    pixels: Image | None = None
    grid: int = 0

    @classmethod
    def of(cls, regions: Any, image: Image, grid: int | None) -> _Labels:
        shape = (image.geometry.length("Y"), image.geometry.length("X"))
        outer = {a: image.geometry.length(a) for a in image.axes if a not in "YX"}
        if regions is None:
            return cls(outer, "", shape, grid=int(grid or 0))
        through = "".join(a for a in outer if a != "C")
        whole = (*(outer[a] for a in through), *shape)
        drawn = regions.to_labels(labels_shape=whole) if hasattr(regions, "to_labels") else regions
        there = open_image(drawn)
        if there.dtype.kind not in "iub":
            raise ImageError(f"{there.name} holds {there.dtype}, and labels are whole numbers: give a mask or labels.")
        if there.shape not in (shape, whole):
            raise ImageError(
                f"labels of shape {there.shape}: those of {image.name} have {shape}"
                f"{f' or {whole}' if whole != shape else ''}."
            )
        order = "".join(a for a in image.axes if a in through or a in "YX") if there.shape == whole else "YX"
        return cls(outer, order[:-2] if there.shape == whole else "", shape, open_image(there.read(), axes=order))

    def places(self) -> Iterator[dict[str, int]]:
        """Where rows of their own are: along the axes that no region goes through."""
        apart = [a for a in self.outer if a not in self.through]
        for index in product(*(range(self.outer[a]) for a in apart)):
            yield dict(zip(apart, index, strict=True))

    def planes(self) -> Iterator[dict[str, int]]:
        """Those that a region goes through."""
        for index in product(*(range(self.outer[a]) for a in self.through)):
            yield dict(zip(self.through, index, strict=True))

    def rows(self, plane: dict[str, int], first: int, last: int) -> NDArray[np.int64]:
        """Labels of some rows of a plane."""
        if self.pixels is None:
            y, x = (np.arange(a, b) // self.grid for a, b in ((first, last), (0, self.shape[1])))
            return y[:, None] * (int(x[-1]) + 1) + x + 1
        start = (*(plane[a] for a in self.through), first, 0)
        stop = (*(plane[a] + 1 for a in self.through), last, self.shape[1])
        found = self.pixels.read(Region(start, stop)).reshape(last - first, -1).astype(np.int64)
        if found.size and not -1 < int(found.min()) <= int(found.max()) <= _LARGEST_LABEL:
            raise ImageError(f"labels from {found.min()} to {found.max()}: give numbers from 0 to {_LARGEST_LABEL}.")
        return found


def _measured(image: Image, result: Image, labels: _Labels, place: dict[str, int]) -> Iterator[Measured]:
    """The regions of one channel and, where labels are of one plane, of one plane."""
    sums, height = RegionSums(), labels.shape[0]
    for plane in labels.planes():
        for first in range(0, height, _ROWS):
            rows = min(_ROWS, height - first)
            last = min(height, first + rows + REACH)
            region = _rows_of(image, {**place, **plane}, first, last)
            before, after = (a.reshape(last - first, -1) for a in _both(image, result, region))
            sums.add(before, after, labels.rows(plane, first, last), rows=rows)
    for mean in sums.means():
        yield Measured(**asdict(mean), channel=place.get("C"), t=place.get("T"), z_plane=place.get("Z"))


def _rows_of(image: Image, at: dict[str, int], first: int, last: int) -> Region:
    spans = {**{a: (n, n + 1) for a, n in at.items()}, "Y": (first, last), "X": (0, image.geometry.length("X"))}
    return Region(tuple(spans[a][0] for a in image.axes), tuple(spans[a][1] for a in image.axes))


def _both(image: Image, result: Image, region: Region) -> tuple[NDArray[Any], NDArray[Any]]:
    """Rows as they were measured, with NaN where they were not, and as they were restored; ``(..., Y, X)``."""
    order = sorted(range(image.ndim), key=lambda i: "YX".find(image.axes[i]))
    return image.seen(region).measured.transpose(order), result.read(region).transpose(order)

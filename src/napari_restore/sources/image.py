"""An image where it lies: described at once, read a region at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.channel import Channel
from napari_restore.core.errors import ImageError
from napari_restore.core.geometry import Geometry
from napari_restore.core.region import Region
from napari_restore.sources.optics import Optics, ReadOptics, no_optics
from napari_restore.sources.pixels import PixelRule, Seen, Span
from napari_restore.sources.series import Held


@dataclass(frozen=True, eq=False)
class Image:
    """A lazy image. Nothing is read until ``read`` is called, and ``read`` may be called from any thread.

    Attributes
    ----------
    name
        What to call it: a layer's name or a file's stem.
    geometry
        Axes, shape, pixel size, units, origin.
    dtype
        Of the pixels, as they are stored (native byte order).
    chunks
        The block, one entry an axis, that is cheapest to read whole.
    reader
        Gives the pixels of a region inside the image; thread-safe.
    location
        Path or URL it was opened from, or None for an array in memory. May be shown and written: a URL is without user,
        password and query.
    address
        The whole URL, where ``location`` is less: what another process needs to open it. Never to be shown or written.
    notes
        What was guessed or decided on opening, in words for the user.
    files
        Local files and folders that its pixels come from besides ``location``: others of one image, or what an array in
        memory is a view of, as far as it tells.
    read_optics
        Gives what the metadata say about the microscope; ``optics`` calls it when it is asked for.
    series
        The images that these files hold, this one among them, where there are several, or it lies in several.
    channels
        Name and colour of each channel, of the one where there is no C axis; empty where nothing is known of them.
    stored
        Type of the pixels before some were found missing, which are NaN now; None where none were looked for.
    filling
        Values, from and to, that its file says are no pixels.
    rule
        Which of its pixels count; ``settled`` gives it one.
    alpha
        Gives what is handed on as one channel more: how much of a picture shows. Regions are of this channel alone.
    thickness
        Of a plane along Z, in the unit of the pixel size; None where nothing is known of it.
    """

    name: str
    geometry: Geometry
    dtype: np.dtype[Any]
    chunks: tuple[int, ...]
    reader: Callable[[Region], NDArray[Any]] = field(repr=False)
    location: str | None = None
    notes: tuple[str, ...] = ()
    address: str | None = field(default=None, repr=False)
    files: tuple[str, ...] = field(default=(), repr=False)
    read_optics: ReadOptics = field(default=no_optics, repr=False)
    series: tuple[Held, ...] = field(default=(), repr=False)
    channels: tuple[Channel, ...] = ()
    stored: np.dtype[Any] | None = None
    filling: tuple[Span, ...] = field(default=(), repr=False)
    rule: PixelRule = field(default=PixelRule(), repr=False)
    alpha: Callable[[Region], NDArray[Any]] | None = field(default=None, repr=False)
    thickness: float | None = None

    @cached_property
    def optics(self) -> Optics | None:
        """Objective, immersion and light, as far as the metadata say; None where that is nothing."""
        return self.read_optics()

    @property
    def axes(self) -> str:
        """One letter of TCZYX an axis, in the order of the array."""
        return self.geometry.axes

    @property
    def shape(self) -> tuple[int, ...]:
        """Pixels along each axis."""
        return self.geometry.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Size of all pixels, uncompressed."""
        return Region.of_shape(self.shape).size * self.dtype.itemsize

    def read(self, region: Region | None = None) -> NDArray[Any]:
        """The pixels of a region (all of them without one), with the region's shape and the image's dtype.

        Raises
        ------
        ImageError
            If the region reaches outside the image, or the file does not hold what it promised.
        """
        region = region if region is not None else Region.of_shape(self.shape)
        if not region.inside(self.shape):
            raise ImageError(f"{self.name}: region {region.start} to {region.stop} reaches outside {self.shape}.")
        pixels = self.reader(region)
        if pixels.shape != region.shape:
            raise ImageError(
                f"{self.name}: asked for {region.shape} pixels at {region.start} and got {pixels.shape}; "
                "the file is damaged or changed while it was read."
            )
        return np.asarray(pixels, dtype=self.dtype)

    def seen(self, region: Region) -> Seen:
        """The pixels of a region, and which of them count: the same for every region that holds a pixel."""
        reach = [self.rule.reach if axis in "YX" else 0 for axis in self.axes]
        grown = region.grow(reach).clip(self.shape)
        first = region.start[self.axes.index("C")] if "C" in self.axes else 0
        return self.rule.apply(self.read(grown), self.axes, channel=first).at(region.relative_to(grown.start).slices)

    def __array__(self, dtype: np.dtype[Any] | None = None, copy: bool | None = None) -> NDArray[Any]:
        """All pixels, in memory."""
        return np.asarray(self.read(), dtype=dtype)

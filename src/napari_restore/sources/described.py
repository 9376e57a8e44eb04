"""What a loader hands over: an array as its file describes it, before the user's wishes are applied."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from xml.etree.ElementTree import ParseError

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.errors import ImageError
from napari_restore.core.placement import Placement
from napari_restore.core.region import Region
from napari_restore.sources.axes import parse
from napari_restore.sources.locations import text_without_secrets
from napari_restore.sources.optics import ReadOptics, no_optics
from napari_restore.sources.series import Held, only_series

Reader = Callable[[Region], NDArray[Any]]

MIB = 1024**2
LARGEST_BLOCK = 2048 * MIB
"""A block that cannot be decoded in part must not be larger than this, in bytes."""

SURE = 256 * MIB
"""So many bytes may be unpacked from whatever there is: with the libraries that is less than 500 MB."""

BELIEVABLE = 50
"""More than ``SURE`` is unpacked only from a file or chunk of at least this part of it. Pictures with noise, which are
what there is to restore, shrink to a third or a fifth; masks, blank planes and bombs to a hundredth and less."""

_LIBRARY_ERRORS = (
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RuntimeError,
    OSError,
    EOFError,
    MemoryError,
    ImportError,
    BufferError,
    AssertionError,
    ParseError,
    struct.error,
    zlib.error,
    lzma.LZMAError,
    zipfile.BadZipFile,
)
"""What the format libraries raise on files that are damaged, hostile or too new for them."""


@dataclass(frozen=True)
class Wanted:
    """Which of the things that a file holds is opened.

    Attributes
    ----------
    level
        Of a multiscale image; 0 is the full resolution.
    series
        Index or name of the image, where there are several; None for the one that the file itself holds.
    incomplete
        What becomes of an acquisition that was stopped.
    axes
        That the user gives the array, which come before those that a loader finds in headers or names.
    """

    level: int = 0
    series: int | str | None = None
    incomplete: Literal["refuse", "use"] = "refuse"
    axes: str | None = None

    def leaves(self, ndim: int) -> bool:
        """Whether an array of so many axes is left as it is found, as the user does not name others."""
        return self.axes is None or len(parse(self.axes.strip())) == ndim

    def only_one(self, name: str) -> None:
        """Refuse another level or series than the first of what has one only."""
        only_level(self.level, 1, name)
        only_series(self.series, name)


@dataclass(frozen=True)
class Described:
    """An array and what its file says about it.

    Attributes
    ----------
    axes
        A letter an axis in the words of the format (S, I and Q too), or None where the format says nothing.
    pixel_size, units, origin
        What is known, by letter; a pixel size is negative where the axis runs the other way in the world.
    placement
        Of the viewer's layer that this is, whose axes are the first of the array.
    channel_names, channel_colours
        Names and colours of the channels in order, or empty; of the one channel where there is no C. A text is empty
        where nothing is said of a channel.
    location, address, files, read_optics, series, filling, thickness, stored
        As of an ``Image``.
    alpha
        Whether the last of its channels says how much of the others shows, and is no image.
    """

    name: str
    axes: str | None
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    chunks: tuple[int, ...]
    reader: Reader = field(repr=False)
    pixel_size: Mapping[str, float] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    origin: Mapping[str, float] = field(default_factory=dict)
    placement: Placement | None = None
    channel_names: tuple[str, ...] = ()
    channel_colours: tuple[str, ...] = ()
    location: str | None = None
    address: str | None = field(default=None, repr=False)
    notes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    read_optics: ReadOptics = field(default=no_optics, repr=False)
    series: tuple[Held, ...] = ()
    filling: tuple[tuple[float, float], ...] = ()
    alpha: bool = False
    thickness: float | None = None
    stored: np.dtype[Any] | None = None


def most_from(packed: int, wanted: int, sure: int = SURE) -> int:
    """Of the bytes that are wanted, how many may be unpacked from so many."""
    return min(wanted, max(sure, BELIEVABLE * packed))


@contextmanager
def explaining(what: str, *also: type[Exception]) -> Iterator[None]:
    """Turn what a format library raises into one line that names the file.

    An ``ImageError`` passes as it is. ``also`` are errors of the library that are children of ``Exception`` only.
    """
    caught: tuple[type[Exception], ...] = (*_LIBRARY_ERRORS, *also)
    try:
        yield
    except ImageError:
        raise
    except caught as error:
        text = one_line(text_without_secrets(str(error)), 200) or "no reason given"
        raise ImageError(
            f"{what}: {text} ({type(error).__name__}). The file is damaged or of an unknown kind."
        ) from error


def one_line(text: object, most: int = 80) -> str:
    """A text of a file as it may be shown: on one line, without what moves a cursor, and not too long."""
    shown = "".join(c for c in " ".join(str(text).split()) if c.isprintable())
    return shown if len(shown) <= most else f"{shown[: most - 3]}..."


def only_level(level: int, levels: int, name: str) -> int:
    """The level asked for, if there are so many."""
    if not 0 <= level < levels:
        many = f"has levels 0 to {levels - 1}" if levels > 1 else "has one level only: leave out the level, or give 0"
        raise ImageError(f"{name}: level {level} does not exist; the image {many}.")
    return level

"""How a worker opens the image, and whether it is the one that was meant."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import distributed
from numpy.typing import NDArray

from napari_restore.core.errors import ImageError
from napari_restore.core.options import Opening
from napari_restore.sources import Image, open_as
from napari_restore.sources.locations import without_secrets
from napari_restore.sources.unchanged import probe

LARGEST_ARRAY = 64 * 2**20
"""An image without a path is sent to every worker, up to so many bytes."""


_PLAIN = Opening()


@dataclass(frozen=True, eq=False)
class Source:
    """How a worker opens the image: by ``location`` as the user did, or from ``pixels`` that came along."""

    location: str | None = field(repr=False)  # a URL with its credentials: workers log what they are given
    opening: Opening
    pixels: NDArray[Any] | None = None

    def open(self) -> Image:
        """The image, as this process sees it."""
        return open_as(self.location if self.pixels is None else self.pixels, self.opening)


def find_source(image: Image, opening: Opening = _PLAIN) -> Source:
    """How workers open an image.

    Parameters
    ----------
    image
        As it was opened here.
    opening
        How it was opened here.

    Raises
    ------
    ImageError
        If it lies in memory and is too large to send, or its path alone does not give it again.
    """
    if image.location is None:
        if image.alpha is not None:
            raise ImageError(
                f"{image.name} has an alpha and no path that workers can open: save it, and give that path."
            )
        if image.nbytes > LARGEST_ARRAY:
            raise ImageError(
                f"{image.name} has no path that workers can open, and its {image.nbytes / 2**20:.0f} MiB are over the "
                f"{LARGEST_ARRAY // 2**20} MiB that are sent to each: save it as OME-Zarr where all of them see it, "
                "and give that path."
            )
        return Source(None, Opening(axes=image.axes), pixels=image.read())
    if image.stored is not None:
        raise ImageError(
            f"what is missing of {image.name} was found here and is not in its file, which is what workers open: save "
            "it with NaN where pixels are missing and give that path with `missing` = nan, or leave `client` out."
        )
    place = image.address or image.location
    location = place if "://" in place else str(Path(place).absolute())
    # With a channel, the user's axes are those of the file; without one, the image's, which may have been guessed.
    axes = image.axes if opening.channel is None and opening.axes is None else opening.axes
    source = Source(location, replace(opening, axes=axes, pixel_size=None))
    open_same(source, image.axes, image.shape, image.dtype.str, probe(image))
    return source


def open_same(source: Source, axes: str | None, shape: Sequence[int], dtype: str, pixels: str) -> Image:
    """The image that a source gives here, if it is the one that was meant.

    Raises
    ------
    ImageError
        If it has another shape, other pixels or, where they are told, other axes.
    """
    image = source.open()
    same = image.shape == tuple(shape) and image.dtype.str == dtype and axes in (None, image.axes)
    if not same or probe(image) != pixels:
        raise ImageError(
            f"{without_secrets(str(source.location))} opens as another image on {this_place()} (axes {image.axes}, "
            f"shape {image.shape}): give the path itself, with `axes` and `channel` where needed, of a file that every "
            "worker sees."
        )
    return image


def this_place() -> str:
    """Which worker this is, for a message."""
    with contextlib.suppress(ValueError):
        return f"worker {distributed.get_worker().address}"
    return "this machine"

"""Reading past the border: the image mirrored at its own first and last pixels, the same for every tile."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from napari_restore.core.plan import reflected
from napari_restore.core.region import Region
from napari_restore.sources.image import Image


def read_reflected(image: Image, region: Region) -> NDArray[Any]:
    """The pixels of a region that may reach outside the image; only pixels that exist are read."""
    if region.inside(image.shape):
        return image.read(region)
    indices = [reflected(a, b, n) for a, b, n in zip(region.start, region.stop, image.shape, strict=True)]
    needed = Region(tuple(int(i.min()) for i in indices), tuple(int(i.max()) + 1 for i in indices))
    pixels = image.read(needed)
    for axis, (index, first) in enumerate(zip(indices, needed.start, strict=True)):
        if len(index) != pixels.shape[axis] or index[0] != first or index[-1] != first + len(index) - 1:
            pixels = pixels.take(index - first, axis=axis)
    return pixels

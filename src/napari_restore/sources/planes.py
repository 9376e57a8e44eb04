"""The middles of some planes, spread over an image: what estimates are made from without reading all of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.region import Region
from napari_restore.sources.image import Image

SPREAD = (0.5, 0.25, 0.75, 0.1, 0.9)
"""Where along T, C and Z, from first to last plane, the planes lie."""


def middle(image: Image, *, part: float = 0.5, size: int = 512, channel: int | None = None) -> Region:
    """The middle of one plane, at most ``size`` pixels along Y and X; of one channel where it is given."""
    box = Region.middle_of(image.shape, [size if axis in "YX" else 1 for axis in image.axes])
    start = list(box.start)
    for i, (axis, n) in enumerate(zip(image.axes, image.shape, strict=True)):
        if axis == "C" and channel is not None:
            start[i] = channel
        elif axis not in "YX":
            start[i] = int(part * (n - 1))
    return Region.of_shape(box.shape).shift(start)


def middle_planes(
    image: Image, *, parts: Sequence[float] = SPREAD, size: int = 512, channel: int | None = None
) -> list[NDArray[Any]]:
    """Those planes ``(Y, X)``, each once, as floating point: NaN where nothing was measured, or an outlier lies."""
    regions = dict.fromkeys(middle(image, part=part, size=size, channel=channel) for part in parts)
    order = [image.axes.index(a) for a in "YX"]
    planes = []
    for region in regions:
        pixels = image.seen(region).measured
        rest = [i for i in range(pixels.ndim) if i not in order]
        planes.append(pixels.transpose(*rest, *order).reshape([pixels.shape[i] for i in order]))
    return planes


def planes_of_all(
    images: Sequence[Image], *, most: int = 60, size: int = 512, channel: int | None = None
) -> list[NDArray[Any]]:
    """Planes of several images, about ``most`` in all, as many of each and spread over the list."""
    chosen = [images[int(i)] for i in np.unique(np.linspace(0, len(images) - 1, min(len(images), most)).astype(int))]
    each = max(1, min(len(SPREAD), most // len(chosen)))
    return [p for image in chosen for p in middle_planes(image, parts=SPREAD[:each], size=size, channel=channel)]


def planes_of_channels(images: Sequence[Image]) -> list[list[NDArray[Any]]]:
    """``planes_of_all`` for each channel by itself; one list where there is no axis of channels."""
    channels = images[0].geometry.length("C")
    return [planes_of_all(images, channel=c if channels > 1 else None) for c in range(channels)]

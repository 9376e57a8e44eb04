"""The difference of two stacks of the same pixels, and where it holds structure: of all planes, made as they are seen.

In whichever orientation: what is read is the plane that the viewer shows, and not the blocks of a lazy array around it.
No Qt here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.utils.colormaps import Colormap
from numpy.typing import NDArray

from napari_restore.core.region import Region, split
from napari_restore.sources.layers import placement_of
from napari_restore.sources.lazy import LazyArray

_BLOCK = 1024
"""Pixels along Y and X that are worked on at a time."""

_MARKED = Colormap([(1.0, 0.45, 0.0, 0.0), (1.0, 0.45, 0.0, 0.25), (1.0, 0.65, 0.1, 0.5)], name="structure marked")
"""Nothing where there is noise, so that the image below is seen as it is; orange where there is structure."""


def alike(first: Any, second: Any) -> bool:
    """Whether two layers are stacks of the same pixels in the same place, so that all planes can be compared."""
    one, other = _finest(first), _finest(second)
    if first.rgb or second.rgb or first.ndim < 3 or tuple(one.shape) != tuple(other.shape):
        return False
    if first.units != second.units:
        return False
    a, b = (placement_of(layer).kwargs for layer in (first, second))
    places = {"scale", "translate", "rotate", "shear", "affine"}
    return a.keys() & places == b.keys() & places and all(np.allclose(a[name], b[name]) for name in a.keys() & places)


def whole_difference(first: Any, second: Any, *, looks: Mapping[str, Any]) -> ImageLayer:
    """The first layer minus the second, of all planes; hidden, as a layer that is seen reads its first plane here.

    Parameters
    ----------
    looks
        How it is shown, as arguments of a layer: those of the difference in view.
    """
    return ImageLayer(
        LazyArray(Difference(_finest(first), _finest(second))),
        **placement_of(second).kwargs,
        **looks,
        multiscale=False,
        cache=False,
        visible=False,
    )


def whole_structure(first: Any, second: Any) -> ImageLayer:
    """Where the first layer minus the second holds more than noise, of all planes; hidden as well."""
    return ImageLayer(
        LazyArray(Structure(_finest(first), _finest(second))),
        name=f"structure removed from {first.name}",
        **placement_of(second).kwargs,
        **marked(),
        multiscale=False,
        cache=False,
        visible=False,
    )


class Difference:
    """One stack minus another of the same shape: what is read of it is read of both, along whichever axes."""

    def __init__(self, first: Any, second: Any) -> None:
        self._first, self._second = first, second
        self.shape, self.ndim = tuple(int(n) for n in second.shape), len(second.shape)
        self.dtype: np.dtype[Any] = np.dtype(np.float32)
        self.chunks = (1,) * (self.ndim - 2) + tuple(min(n, _BLOCK) for n in self.shape[-2:])

    def read(self, region: Region | None = None) -> NDArray[np.float32]:
        """The pixels of a box, or all."""
        return self._made(Region.of_shape(self.shape) if region is None else region)

    def _made(self, region: Region) -> NDArray[np.float32]:
        with np.errstate(invalid="ignore"):  # of two infinities there is none: not a number, and nobody is warned
            return self._pixels(self._first, region) - self._pixels(self._second, region)

    def _pixels(self, stack: Any, region: Region) -> NDArray[np.float32]:
        return np.asarray(stack[region.slices], dtype=np.float32)


class Structure(Difference):
    """Where that holds structure. A plane is looked at as it is seen: a cut along Z is a plane, and has its own map."""

    def _made(self, region: Region) -> NDArray[np.float32]:
        found = np.empty(region.shape, np.float32)
        along = seen_along(region.shape)
        block = [_BLOCK if axis in along else 1 for axis in range(self.ndim)]
        parts = [part.shift(region.start) for part in split(region.shape, block)]
        with ThreadPoolExecutor() as pool:
            for part, pixels in zip(parts, pool.map(partial(self._mapped, along), parts), strict=True):
                found[part.relative_to(region.start).slices] = pixels
        return found

    def _mapped(self, along: tuple[int, int], part: Region) -> NDArray[np.float32]:
        """The map of a part of a plane, with as much around it as a pixel sees."""
        from napari_restore.metrics.structure import RADIUS, structure_map

        around = part.grow([RADIUS if axis in along else 0 for axis in range(self.ndim)]).clip(self.shape)
        residual, restored = super()._made(around), self._pixels(self._second, around)
        form = [residual.shape[axis] for axis in along]
        found = structure_map(residual.reshape(form), restored.reshape(form)).reshape(residual.shape)
        return found[part.relative_to(around.start).slices]


def seen_along(shape: Sequence[int]) -> tuple[int, int]:
    """The two axes of the planes in a box: those that it is longer than 1 along if these are two, else the last two."""
    long = [axis for axis, n in enumerate(shape) if n > 1]
    return (long[0], long[1]) if len(long) == 2 else (len(shape) - 2, len(shape) - 1)


def marked() -> dict[str, Any]:
    """How a map of structure lies on an image: that can be read through it."""
    return {"colormap": _MARKED, "contrast_limits": (0, 1), "blending": "translucent", "interpolation2d": "nearest"}


def _finest(layer: Any) -> Any:
    return layer.data[0] if layer.multiscale else layer.data

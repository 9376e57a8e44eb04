"""The difference of two stacks of the same pixels, and where it holds structure: of all planes, made as they are seen.

No Qt here.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.utils.colormaps import Colormap
from numpy.typing import NDArray

from napari_restore.sources.layers import placement_of

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


def whole_difference(first: Any, second: Any, *, like: ImageLayer) -> ImageLayer:
    """The first layer minus the second, of all planes, with the colours of a plane's difference.

    Parameters
    ----------
    like
        The difference in view, whose contrast is taken.
    """
    a, b = _lazy(first), _lazy(second)
    return ImageLayer(
        a - b,
        name=like.name,
        **placement_of(second).kwargs,
        colormap=like.colormap,
        contrast_limits=tuple(like.contrast_limits),
        blending=like.blending,
        interpolation2d="nearest",
        multiscale=False,
        cache=False,
    )


def whole_structure(first: Any, second: Any) -> ImageLayer:
    """Where the first layer minus the second holds more than noise, of all planes."""
    import dask.array as da

    from napari_restore.metrics.structure import RADIUS

    a, b = _lazy(first), _lazy(second)
    depth = {axis: RADIUS if axis >= a.ndim - 2 else 0 for axis in range(a.ndim)}
    given = {"depth": depth, "boundary": "none", "dtype": np.float32, "meta": np.empty((0,) * a.ndim, np.float32)}
    found = da.map_overlap(_mapped, a - b, b, **given)
    return ImageLayer(
        found,
        name=f"structure removed from {first.name}",
        **placement_of(second).kwargs,
        **marked(),
        multiscale=False,
        cache=False,
    )


def marked() -> dict[str, Any]:
    """How a map of structure lies on an image: that can be read through it."""
    return {"colormap": _MARKED, "contrast_limits": (0, 1), "blending": "translucent", "interpolation2d": "nearest"}


def _mapped(residual: NDArray[Any], restored: NDArray[Any]) -> NDArray[np.float32]:
    from napari_restore.metrics.structure import structure_map

    return structure_map(residual, restored)


def _finest(layer: Any) -> Any:
    return layer.data[0] if layer.multiscale else layer.data


def _lazy(layer: Any) -> Any:
    """All planes of a layer, float32, one plane and a part of it at a time."""
    import dask.array as da

    data = _finest(layer)
    chunks = (1,) * (data.ndim - 2) + tuple(min(n, _BLOCK) for n in data.shape[-2:])
    array = data.rechunk(chunks) if isinstance(data, da.Array) else da.from_array(data, chunks=chunks)
    return array.map_blocks(partial(np.asarray, dtype=np.float32), dtype=np.float32)

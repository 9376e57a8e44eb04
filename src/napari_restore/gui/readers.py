"""Opening files in napari: lazily, whatever their size, with axes, pixel size and contrast."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from math import ceil, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.region import Region
from napari_restore.sources import Image, open_image, recognises
from napari_restore.sources.lazy import LazyArray

LayerData = tuple[Any, dict[str, Any], str]

_MOST_BLOCKS = 20_000
"""Blocks of a dask array at most: each costs some microseconds at every slice."""

_MOST_CHANNELS = 16
"""More are a spectrum, and stay one layer with a slider."""

_SAMPLE_SIDE = 512
"""Pixels along Y and X of the places where contrast is measured."""


def get_reader(path: str | Sequence[str]) -> Callable[[str], list[LayerData]] | None:
    """A reader for this path, or None. Looks at the first bytes only, and never raises.

    A list of paths is napari's wish for a stack of them, which is left to others: a folder of slices is one path.
    """
    if not isinstance(path, str) and len(path) != 1:
        return None
    single = path if isinstance(path, str) else path[0]
    return read_layers if recognises(single) else None


def read_layers(path: str | Sequence[str]) -> list[LayerData]:
    """The layers of a file or folder; no pixels are read but a few blocks for the contrast."""
    single = path if isinstance(path, str) else path[0]
    return layers_of(open_image(single))


def layers_of(image: Image) -> list[LayerData]:
    """A layer; or, of channels with names or colours, one for each, called and coloured so."""
    count = image.geometry.length("C")
    if is_colour(image) or count == 1 or not image.channels or count > _MOST_CHANNELS:
        return [layer_of(image)]
    return [layer_of(image, channel=number) for number in range(count)]


def layer_of(image: Image, *, channel: int | None = None) -> LayerData:
    """A lazy image layer that lies where the file says; of one channel where that is given."""
    whole, image = image, image if channel is None else open_image(image, channel=channel)
    rgb = is_colour(image)
    axes = image.axes[:-1] if rgb else image.axes
    arguments: dict[str, Any] = {
        "name": image.name,
        "rgb": rgb,
        "axis_labels": tuple(axes.lower()),
        **image.geometry.placed(len(axes)).kwargs,
        "metadata": {"napari_restore": _origin_of(whole, image, channel)},
    }
    if channel is not None:
        label = image.channels[0].name if image.channels else ""
        arguments |= {"name": f"{image.name} {label or channel}", "blending": "additive"}
    if not rgb:
        arguments["contrast_limits"] = sample_limits(image)
    if not rgb and len(image.channels) == 1:
        arguments["colormap"] = image.channels[0].colormap
    return as_dask(image), arguments, "image"


def _origin_of(whole: Image, image: Image, channel: int | None) -> dict[str, Any]:
    """What the layer remembers of its file: a script says it again, and a result has the same channels."""
    said: dict[str, Any] = {"location": image.location, "notes": list(image.notes)}
    if channel is not None:
        said |= {"channel": channel, "axes": whole.axes}
    return said | ({"channels": [asdict(each) for each in image.channels]} if image.channels else {})


def is_colour(image: Image) -> bool:
    """Whether the last axis is colour, as in photographs; channels of a microscope come before the rows."""
    return image.axes[-1] == "C" and image.shape[-1] in (3, 4) and image.dtype.kind == "u"


def as_dask(image: Image) -> Any:
    """A dask array that reads from the image what is looked at."""
    import dask.array as da

    chunks = display_chunks(image.shape, image.chunks)
    meta = np.empty((0,) * image.ndim, dtype=image.dtype)
    return da.from_array(LazyArray(image), chunks=chunks, name=False, meta=meta)


def display_chunks(shape: Sequence[int], chunks: Sequence[int]) -> tuple[int, ...]:
    """The file's blocks, joined where there are too many of them for dask."""
    joined = list(chunks)
    while prod(counts := [ceil(n / c) for n, c in zip(shape, joined, strict=True)]) > _MOST_BLOCKS:
        axis = counts.index(max(counts))
        joined[axis] = min(2 * joined[axis], shape[axis])
    return tuple(joined)


def sample_limits(image: Image) -> tuple[float, float]:
    """Contrast limits from the first, middle and last plane's centre: nearly all pixels lie between them."""
    values = np.concatenate([_finite(image.read(_centre(image, part))) for part in (0.0, 0.5, 1.0)])
    if values.size == 0:
        return 0.0, 1.0
    low, high = (float(v) for v in np.percentile(values, (0.05, 99.9)))
    return (low, high) if high > low else (low, low + 1.0)


def _centre(image: Image, part: float) -> Region:
    """The middle of the plane that lies at ``part`` of the way along the other axes."""
    spans = []
    for axis, n in zip(image.axes, image.shape, strict=True):
        size = min(n, _SAMPLE_SIDE) if axis in "YX" else n if axis == "C" and n <= 4 else 1
        start = (n - size) // 2 if axis in "YX" else round(part * (n - size))
        spans.append((start, start + size))
    return Region(tuple(a for a, _ in spans), tuple(b for _, b in spans))


def _finite(pixels: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(pixels[np.isfinite(pixels)])

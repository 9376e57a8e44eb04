"""What one layer has more than another, in the part of the plane in view. No Qt here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from numpy.typing import NDArray
from scipy.ndimage import affine_transform

from napari_restore.core.errors import RestoreError
from napari_restore.gui.compare.whole import marked
from napari_restore.sources.layers import placement_of

_SIDE = 2048
"""Pixels along each axis that are compared at most, in the middle of the view: half a second of work."""


class DifferenceError(RestoreError):
    """These two layers cannot be subtracted as they are shown now."""


@dataclass(frozen=True, eq=False)
class Seen:
    """The difference of two layers in the part in view.

    Attributes
    ----------
    pixels
        With all of the second layer's axes.
    place, looks
        Where it lies in the world, and how it is shown, as arguments of a layer.
    """

    pixels: NDArray[np.float32]
    place: dict[str, Any]
    looks: dict[str, Any]

    def layer(self) -> ImageLayer:
        """It, as a layer that lies exactly over the second one."""
        return ImageLayer(self.pixels, **self.place, **self.looks)


def difference(viewer: Any, first: Any, second: Any) -> Seen:
    """The first layer minus the second, in the part in view.

    The first one is interpolated linearly at the second one's pixels, wherever the layers' transforms put them; where
    it has none, the difference is NaN. Of a pyramid, the level in view is taken. Colour counts as its mean.

    Raises
    ------
    DifferenceError
        If the canvas shows 3-D or a grid, or a layer has no plane where the sliders stand.
    """
    if viewer.dims.ndisplay != 2:
        raise DifferenceError("the difference is of a plane: switch the canvas from 3-D to 2-D (Ctrl+Y) first.")
    _check_units(first, second)
    here, there = _Level(viewer, second), _Level(viewer, first)
    start, stop = here.in_view()
    pixels = _removed(here, there, start, stop).reshape(here.thin(stop - start))
    return Seen(pixels, here.place(start), _looks(pixels, name=f"{first.name} - {second.name}"))


@dataclass(frozen=True, eq=False)
class Removed:
    """What the first layer has more than the second in the part in view, ready to be looked at in another thread.

    Attributes
    ----------
    residual, restored
        ``(Y, X)``: the difference, and the second layer.
    place
        Makes a layer over the second one of a map of that shape.
    """

    residual: NDArray[np.float32]
    restored: NDArray[np.float32]
    place: Callable[[NDArray[np.float32]], ImageLayer]


def removed(viewer: Any, first: Any, second: Any) -> Removed:
    """As ``difference``, with the pixels of the second layer, for a map of where structure was removed.

    Raises
    ------
    DifferenceError
        As ``difference``.
    """
    if viewer.dims.ndisplay != 2:
        raise DifferenceError("the map is of a plane: switch the canvas from 3-D to 2-D (Ctrl+Y) first.")
    _check_units(first, second)
    here, there = _Level(viewer, second), _Level(viewer, first)
    start, stop = here.in_view()
    name = f"structure removed from {first.name}"

    def place(found: NDArray[np.float32]) -> ImageLayer:
        return ImageLayer(found.reshape(here.thin(stop - start)), name=name, **here.place(start), **marked())

    return Removed(_removed(here, there, start, stop), here.read(start, stop), place)


def _removed(here: _Level, there: _Level, start: NDArray[np.int64], stop: NDArray[np.int64]) -> NDArray[np.float32]:
    matrix, offset = here.path_to(there, start)
    found = there.sampled(matrix, offset, tuple(int(n) for n in stop - start))
    with np.errstate(invalid="ignore"):  # of two infinities there is none: not a number, and nobody has to be warned
        return np.asarray(found - here.read(start, stop), np.float32)


class _Level:
    """The level of a layer that is in view, the plane of it where the sliders stand, and its place in the world."""

    def __init__(self, viewer: Any, layer: Any) -> None:
        self.layer = layer
        self.data = layer.data[layer.data_level] if layer.multiscale else layer.data
        self.shape = np.array(self.data.shape[: layer.ndim])
        self.step = (
            np.asarray(layer.downsample_factors[layer.data_level], float) if layer.multiscale else np.ones(layer.ndim)
        )
        missing = viewer.dims.ndim - layer.ndim
        self.axes = sorted(axis - missing for axis in viewer.dims.displayed)
        if self.axes[0] < 0:
            raise DifferenceError(f"layer {layer.name} has {layer.ndim} axes, and not both that the canvas shows.")
        self.world = np.asarray(viewer.dims.point, float)[missing:]
        self.at = np.round(self._from_world(self.world)).astype(int)
        for axis, (at, n) in enumerate(zip(self.at, self.shape, strict=True)):
            if axis not in self.axes and not 0 <= at < n:
                raise DifferenceError(
                    f"layer {layer.name} has no plane where the sliders stand: axis {axis} is at {at}, of 0 to {n - 1}."
                )

    def in_view(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First pixel and the one after the last, along the two axes displayed: at most ``_SIDE`` apart."""
        corners = np.asarray(self.layer.corner_pixels)[:, self.axes]
        length = self.shape[self.axes]
        low, high = np.clip(corners[0], 0, length - 1), np.clip(corners[1] + 1, 1, length)
        size = np.minimum(np.maximum(high - low, 1), _SIDE)
        start = np.clip((low + high - size) // 2, 0, length - size)
        return start, start + size

    def read(self, start: NDArray[np.int64], stop: NDArray[np.int64]) -> NDArray[np.float32]:
        """Pixels of the plane between ``start`` and ``stop``, both of length 2."""
        index: list[Any] = [int(i) for i in self.at]
        for axis, a, b in zip(self.axes, start, stop, strict=True):
            index[axis] = slice(int(a), int(b))
        pixels = np.asarray(self.data[tuple(index)], dtype=np.float32)
        return pixels.mean(axis=-1) if self.layer.rgb else pixels

    def sampled(
        self, matrix: NDArray[np.float64], offset: NDArray[np.float64], shape: tuple[int, ...]
    ) -> NDArray[np.float32]:
        """The plane at ``matrix @ pixel + offset`` for each pixel of ``shape``; only what is needed is read."""
        first = np.round(offset).astype(np.int64)
        last = first + np.array(shape)
        on_pixels = np.allclose(matrix, np.eye(2), rtol=0, atol=1e-9) and np.allclose(offset, first, rtol=0, atol=1e-6)
        if on_pixels and (first >= 0).all() and (last <= self.shape[self.axes]).all():
            return self.read(first, last)  # nothing to interpolate, which takes ten times as long as reading
        ends = np.array([[i, j] for i in (0, shape[0] - 1) for j in (0, shape[1] - 1)]) @ matrix.T + offset
        length = self.shape[self.axes]
        low = np.clip(np.floor(ends.min(axis=0)).astype(int) - 1, 0, length - 1)
        high = np.clip(np.ceil(ends.max(axis=0)).astype(int) + 2, low + 1, length)
        plane = self.read(low, high)
        # A finer layer reaches up to half a coarse pixel over the coarse one's outermost centres: these are held.
        held = affine_transform(plane, matrix, offset - low, shape, order=1, mode="nearest")
        rows, columns = np.indices(shape)
        outside = np.zeros(shape, dtype=bool)
        for axis in range(2):
            place = matrix[axis, 0] * rows + matrix[axis, 1] * columns + offset[axis]
            outside |= (place < -0.5 - 1e-6) | (place > length[axis] - 0.5 + 1e-6)
        held[outside] = np.nan
        return np.asarray(held, dtype=np.float32)

    def path_to(self, other: _Level, start: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Matrix (2, 2) and offset (2,) from pixels after ``start`` to the other layer's pixels in its plane."""
        origin, *ends = (self._seen_by(other, start + step) for step in ((0, 0), (1, 0), (0, 1)))
        return np.stack([end - origin for end in ends], axis=1), origin

    def thin(self, size: NDArray[np.int64]) -> tuple[int, ...]:
        """The shape of a plane of that size with all of the layer's axes."""
        shape = [1] * self.layer.ndim
        for axis, n in zip(self.axes, size, strict=True):
            shape[axis] = int(n)
        return tuple(shape)

    def place(self, start: NDArray[np.int64]) -> dict[str, Any]:
        """Where a plane that begins there lies in the world, as arguments of a layer."""
        return dict(placement_of(self.layer).on_grid(self.whole(start), self.step).kwargs)

    def whole(self, pixel: NDArray[Any]) -> NDArray[np.float64]:
        """A pixel of the plane in the layer's data coordinates, along all axes."""
        place = self.at.astype(float)
        place[self.axes] = pixel
        return (place + 0.5) * self.step - 0.5

    def _seen_by(self, other: _Level, pixel: NDArray[Any]) -> NDArray[np.float64]:
        world = np.asarray(self.layer.data_to_world(self.whole(pixel)))
        both = other.world.copy()
        shared = min(len(both), len(world))
        both[-shared:] = world[-shared:]
        return other._from_world(both)[other.axes]

    def _from_world(self, world: NDArray[np.float64]) -> NDArray[np.float64]:
        place: NDArray[np.float64] = (np.asarray(self.layer.world_to_data(world)) + 0.5) / self.step - 0.5
        return place


def _check_units(first: Any, second: Any) -> None:
    """Napari scales layers of different units when it draws them, and only then."""
    for a, b in zip(first.units[::-1], second.units[::-1], strict=False):
        if a != b and a.is_compatible_with(b):
            raise DifferenceError(
                f"layer {first.name} is in {a} and {second.name} in {b}: give both the same units and scale first."
            )


def _looks(pixels: NDArray[np.float32], *, name: str) -> dict[str, Any]:
    """How a difference is shown: white is none, and the contrast leaves out the largest."""
    finite = np.abs(pixels[np.isfinite(pixels)])
    most = float(np.percentile(finite, 99.5)) if finite.size else 0.0
    most = most or float(finite.max(initial=0.0)) or 1.0
    return {
        "name": name,
        "colormap": "PiYG",
        "contrast_limits": (-most, most),
        "blending": "translucent_no_depth",
        "interpolation2d": "nearest",
    }

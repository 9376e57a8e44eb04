"""Run a method on pixels as they come from an image, and give back pixels as they go into one."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_restore.core.layout import from_samples, to_samples
from napari_restore.core.normalisation import FAR, Normalisation
from napari_restore.core.plan import TilePlan, plan_tiles, whole_is_less
from napari_restore.core.region import Region
from napari_restore.methods.method import Method
from napari_restore.sources import Image
from napari_restore.sources.padded import seen_reflected

Precision = Literal["float32", "bfloat16"]
T = TypeVar("T")


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """Where convolutions run in bfloat16, or nothing for float32."""
    if precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def restore_samples(
    method: Method,
    samples: NDArray[np.float32],
    *,
    normalisation: Normalisation,
    device: torch.device,
    precision: Precision = "float32",
) -> NDArray[np.float32]:
    """Restore samples ``(N, C, *S)`` in the image's units; the result is ``(N, C, *(S * rate))``.

    Pixels that are not finite are read as the mean, and as NaN by a method that fills them.
    """
    given = torch.from_numpy(np.ascontiguousarray(samples)).to(device)
    return restore_tensor(method, given, normalisation=normalisation, precision=precision).cpu().numpy()


def restore_tensor(
    method: Method, samples: Tensor, *, normalisation: Normalisation, precision: Precision = "float32"
) -> Tensor:
    """``restore_samples`` on the device where the samples are; nothing waits for it to be done."""
    mean, std = _constants(samples, normalisation)
    with torch.inference_mode():
        pixels = _in_deviations(method, samples, mean, std)
        with autocast(samples.device, precision):
            restored = method.restore(shown(method, pixels))
        restored = in_units(method, restored, pixels)
        return restored * std if method.gives_deviations else restored * std + mean


def squared_error(method: Method, samples: Tensor, *, normalisation: Normalisation) -> NDArray[np.float64] | None:
    """What a method itself tells of its result's error, of each channel, in squared units; see ``Method``."""
    with torch.inference_mode():
        pixels = _in_deviations(method, samples, *_constants(samples, normalisation))
        found = method.mean_squared_error(shown(method, pixels))
    return None if found is None else found * np.square(normalisation.std)


def _constants(samples: Tensor, normalisation: Normalisation) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel, beside samples ``(N, C, *S)``."""
    shape = (1, -1, *[1] * (samples.ndim - 2))
    mean, std = (
        torch.tensor(values, dtype=torch.float32).view(shape).to(samples.device, non_blocking=True)
        for values in (normalisation.mean, normalisation.std)
    )
    return mean, std


def _in_deviations(method: Method, samples: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Samples in units of the image's deviation, and what stands for those that are not finite."""
    pixels = (samples - mean) / torch.where(std > 0, std, 1)
    return pixels.masked_fill_(~torch.isfinite(pixels), method.gap)


def shown(method: Method, pixels: Tensor) -> Tensor:
    """What ``method.restore`` is shown of pixels in units of the image's deviation; they may be written over."""
    return _compressed(pixels.clone() if method.gives_deviations else pixels) if method.compresses else pixels


def in_units(method: Method, restored: Tensor, pixels: Tensor) -> Tensor:
    """What ``method.restore`` gave for these pixels, in their units; it is written over."""
    restored = restored.float()
    if method.gives_deviations:  # wider where pixels were compressed, by as much
        return restored * (pixels.abs() / FAR).clamp_(min=1) if method.compresses else restored
    return _expanded(restored) if method.compresses else restored


def in_units_of(
    image: Image, method: Method, restored: NDArray[np.float32], *, normalisation: Normalisation
) -> NDArray[Any]:
    """What ``restore_tensor`` makes of samples without the mean, in units of the image; a deviation has no mean."""
    return restored if method.gives_deviations else normalisation.uncentred(restored, image.dtype)


def _compressed(units: Tensor) -> Tensor:
    """``core.normalisation.compressed``, in place."""
    beyond = (units.abs() / FAR).clamp_(min=1).log_().mul_(FAR)
    return torch.clamp(units, -FAR, FAR, out=units).add_(beyond.mul_(units.sign()))


def _expanded(units: Tensor) -> Tensor:
    """The inverse, in place."""
    beyond = (units.abs() / FAR - 1).clamp_(min=0).expm1_().mul_(FAR)
    return torch.clamp(units, -FAR, FAR, out=units).add_(beyond.mul_(units.sign()))


def per_axis(axes: str, spatial: str, values: tuple[T, ...], *, default: T) -> tuple[T, ...]:
    """Values given for the spatial axes as one entry for every axis of an image."""
    given = dict(zip(spatial, values, strict=True))
    return tuple(given.get(a, default) for a in axes)


def for_tiles(method: Method, plan: TilePlan, axes: str) -> Method:
    """The method, with the same weights, for tiles of a plan whose axes are these: their halo is not asked of it."""
    asked, halo = copy.copy(method), dict(zip(axes, plan.halo, strict=True))
    asked.unread = tuple(halo[a] for a in method.spatial)
    return asked


def restore_region(
    method: Method,
    image: Image,
    region: Region,
    *,
    normalisation: Normalisation,
    device: torch.device,
    precision: Precision = "float32",
) -> NDArray[Any]:
    """One region of an image restored as it would be in the whole image, in the image's units.

    ``region`` is in image pixels; the result has ``method.rate`` times as many along each spatial axis, in float32, or
    in float64 where the image's type has more digits. Filling and outliers are handed on; what is not finite is not.
    """
    grid = per_axis(image.axes, method.spatial, method.grid, default=1)
    radius = per_axis(image.axes, method.spatial, method.radius, default=0)
    rate = per_axis(image.axes, method.spatial, method.rate, default=1)
    border = per_axis(image.axes, method.spatial, method.border, default=0)
    start, span = zip(*map(_span, region.start, region.stop, image.shape, grid, radius, border), strict=True)
    plan = plan_tiles(span, largest=span, radius=radius, grid=grid, rate=rate, border=border, whole=image.shape)
    read = plan.read(0).shift(start)
    seen = seen_reflected(image, read, apart=per_axis(image.axes, method.spatial, method.apart, default=1))
    samples = normalisation.centred(to_samples(seen.values, image.axes, method.spatial))
    within, asked = normalisation.of_centred, for_tiles(method, plan, image.axes)
    restored = restore_samples(asked, samples, normalisation=within, device=device, precision=precision)
    values = in_units_of(image, method, restored, normalisation=normalisation)
    whole = from_samples(values, plan.restored_shape, image.axes, method.spatial)
    kept = np.isfinite(seen.pixels) & ~np.isfinite(seen.measured)
    if kept.any():
        stored = np.nan if method.gives_deviations else finer(seen.pixels, rate)
        whole = np.where(finer(kept, rate), stored, whole).astype(whole.dtype, copy=False)
    return whole[region.relative_to(read.start).scale(rate).slices]


def _span(first: int, stop: int, length: int, grid: int, radius: int, border: int) -> tuple[int, int]:
    """Where a region begins on the grid along an axis, and how long it is; all of the axis where that is no more."""
    start = first // grid * grid
    if whole_is_less(length, stop - start, radius=radius, border=border):
        return 0, length
    return start, stop - start


def finer(pixels: NDArray[Any], rate: Sequence[int]) -> NDArray[Any]:
    """Each pixel so many times along each axis."""
    for axis, times in enumerate(rate):
        pixels = pixels.repeat(times, axis) if times > 1 else pixels
    return pixels

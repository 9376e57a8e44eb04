"""The part of an image that a denoiser is judged by, in units in which nothing is lost, and what its noise is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_restore.core.errors import ImageError
from napari_restore.core.layout import to_samples
from napari_restore.core.normalisation import Normalisation
from napari_restore.core.region import Region
from napari_restore.judging.part import LEAST_PIXELS, middle
from napari_restore.methods.apply import restore_region, squared_error
from napari_restore.methods.device import find_device
from napari_restore.methods.measuring import known_noise
from napari_restore.metrics.noise_level import varied
from napari_restore.sources import Image, open_image
from napari_restore.sources.pixels import Seen
from napari_restore.store.model import Model

DEPTH = 8
"""Planes that are looked at, where the method looks along Z or T."""


@dataclass(frozen=True)
class Units:
    """Small numbers about 0, in which nothing is lost in float32: pixels less ``offset``, over ``scale``."""

    offset: float
    scale: float

    @classmethod
    def of(cls, constants: Normalisation) -> Units:
        """Of a model; one for all channels, so that they stay as bright beside each other."""
        return cls(float(np.mean(constants.mean)), max(constants.std) or 1.0)

    def take(self, pixels: NDArray[Any]) -> NDArray[np.float32]:
        """Pixels of an image."""
        return ((pixels.astype(np.float64) - self.offset) / self.scale).astype(np.float32)

    def give(self, pixels: NDArray[Any]) -> NDArray[np.float64]:
        """The same in units of the image again."""
        return pixels.astype(np.float64) * self.scale + self.offset

    def constants(self, constants: Normalisation) -> Normalisation:
        """Those of a model, for pixels that were taken."""
        mean = tuple((m - self.offset) / self.scale for m in constants.mean)
        return Normalisation(mean, tuple(s / self.scale for s in constants.std))


def part_looked_at(image: Image, along: str, size: int) -> Seen | None:
    """The middle of the image; None where too few of its pixels were measured, or it cannot be read."""
    region = middle(image, {"C": image.geometry.length("C"), **dict.fromkeys(along, DEPTH), "Y": size, "X": size})
    try:
        seen = image.seen(region)
    except ImageError:
        return None
    return seen if np.isfinite(seen.measured).sum() >= LEAST_PIXELS else None


def denoiser_of(model: Model, axes: str, device: str) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
    """What a model makes of arrays with these axes, on a device."""
    place = find_device(device)
    method = model.method.for_restoring().to(place)

    def denoise(y: NDArray[Any]) -> NDArray[np.float32]:
        part = open_image(y.astype(np.float32), axes=axes)
        whole = Region.of_shape(y.shape)
        return restore_region(method, part, whole, normalisation=model.normalisation, device=place)

    return denoise


def own_error(model: Model, pixels: NDArray[Any], axes: str, device: str) -> float | None:
    """The mean squared error that a method itself tells of its result, in squared units of these pixels; or None.

    Of few planes in the middle where the method looks at their neighbours.
    """
    place = find_device(device)
    method = model.method.for_restoring().to(place)
    samples = torch.from_numpy(to_samples(pixels.astype(np.float32), axes, method.spatial)).to(place)
    if method.neighbours:
        first = max(0, (samples.shape[2] - 2) // 2 - method.neighbours)
        samples = samples[:, :, first : first + 2 + 2 * method.neighbours]
    for axis, (n, g) in enumerate(zip(samples.shape[2:], method.grid, strict=True), 2):
        samples = samples.narrow(axis, 0, n // g * g)
    if 0 in samples.shape or (method.neighbours and samples.shape[2] <= 2 * method.neighbours):
        return None
    errors = squared_error(method, samples, normalisation=model.normalisation)
    return float(np.nanmean(errors)) if errors is not None and np.isfinite(errors).any() else None


@dataclass(frozen=True, eq=False)
class Noise:
    """Its variance at each pixel, the spread of its deviation, and what its correlation makes of an array.

    ``correlation`` is that of the channel whose neighbours are most alike; None for white noise, as ``correlated``.
    """

    variance: NDArray[np.float64]
    spread: float
    correlated: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = None
    correlation: NDArray[np.float64] | None = None


def noise_of(pixels: NDArray[Any], image: Image) -> Noise | None:
    """None where it is not known."""
    known = known_noise([image])
    if known is None or not all(level.reliable and level.sigma > 0 for level in varied(known.levels)):
        return None
    correlated, correlation = None, None
    if known.covariances:
        correlations = [each.correlation for each in known.covariances]
        correlated = partial(_mixed, axes=image.axes, correlations=correlations)
        correlation = max(known.covariances, key=lambda each: max(each.next_yx)).correlation
    split = _channels_first(pixels, image.axes)
    variances = np.stack([level.pixels.unbiased_at(y) for y, level in zip(split, known.levels, strict=True)])
    ordered = np.moveaxis(variances, 0, image.axes.index("C")) if "C" in image.axes else variances[0]
    return Noise(ordered, max(level.spread for level in varied(known.levels)), correlated, correlation)


def _channels_first(pixels: NDArray[Any], axes: str) -> NDArray[Any]:
    return np.moveaxis(pixels, axes.index("C"), 0) if "C" in axes else pixels[None]


def _mixed(
    array: NDArray[np.float64], *, axes: str, correlations: Sequence[NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Each channel's planes convolved with the correlation of its noise."""
    from scipy.signal import fftconvolve  # loads scipy.stats: a second, which a first picture does not wait for

    rest = axes.replace("C", "")
    channels = []
    for each, matrix in zip(_channels_first(array, axes), correlations, strict=True):
        planes = np.moveaxis(each, [rest.index(a) for a in "YX"], [-2, -1])
        wide = matrix.reshape((1,) * (planes.ndim - 2) + matrix.shape)
        channels.append(np.moveaxis(fftconvolve(planes, wide, "same"), [-2, -1], [rest.index(a) for a in "YX"]))
    mixed = np.stack(channels)
    return np.moveaxis(mixed, 0, axes.index("C")) if "C" in axes else mixed[0]

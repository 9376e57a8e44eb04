"""What has to be known of images before a method can be built for them: their constants and their noise."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from napari_restore.core.errors import ImageError
from napari_restore.core.events import Note
from napari_restore.core.normalisation import Normalisation
from napari_restore.metrics.covariance import NoiseCovariance, noise_covariance
from napari_restore.metrics.noise_level import NoiseLevel, describe, estimate, rounded_up, varied
from napari_restore.metrics.whiteness import whiteness
from napari_restore.operators import psf as psfs
from napari_restore.operators.blur import Blur
from napari_restore.operators.inverse import wiener
from napari_restore.operators.noise import flat_covariance
from napari_restore.operators.operator import interior
from napari_restore.sources import Image
from napari_restore.sources.planes import planes_of_all, planes_of_channels

Risk = Literal["sure", "r2r", "correlated"]

_LEAST, _LEAST_PLANES = 16, 4
"""Pixels along Y and X, and planes, of an image whose blur or coarseness is undone."""

_NEARLY_WHITEST = 1.5
_NEARLY_NOISE = 0.985
_TEXTURE_TAKEN_FOR_NOISE = 1.5


@dataclass(frozen=True)
class NoiseAndConstants:
    """What was found. One entry a channel, in units of the images.

    Attributes
    ----------
    sigma
        Standard deviation of the noise; of the read noise where there is a gain.
    gain, offset
        Of Poisson noise: units for one photon and what is read in the dark; gain 0 for Gaussian noise.
    covariance
        Of correlated noise with its neighbours, odd along both axes, about its middle; empty for white noise.
    """

    normalisation: Normalisation
    sigma: tuple[float, ...]
    risk: Risk
    gain: float = 0.0
    offset: float = 0.0
    covariance: tuple[tuple[float, ...], ...] = ()
    notes: tuple[Note, ...] = ()


def measure(
    images: Sequence[Image], *, noise: float | Literal["auto"], risk: str, blurred: bool = False
) -> NoiseAndConstants:
    """Measure constants and noise on the middles of some planes of all images.

    Parameters
    ----------
    noise
        Standard deviation in units of the images, where the user knows it.
    risk
        What the user asked for, or ``"auto"``: SURE, by the covariance where the noise is correlated, R2R where its
        level cannot be told.
    blurred
        Whether nothing as fine as a pixel is left in the images but noise.

    Raises
    ------
    ImageError
        If no pixel looked at is finite.
    """
    planes = planes_of_channels(images)
    channels = len(planes)
    normalisation = constants(planes, images[0].name)
    levels = [estimate(each) for each in planes]
    covariance = _covariance(planes[0], levels[0], noise=noise, risk=risk)
    if noise != "auto":
        settled: Risk = "correlated" if covariance else "sure" if risk == "auto" else risk  # type: ignore[assignment]
        return NoiseAndConstants(
            normalisation, (float(noise),) * channels, settled, 0.0, 0.0, covariance, _warning(covariance)
        )
    said = tuple(Note(describe(level), "info" if level.reliable else "warning") for level in levels)
    poisson = channels == 1 and risk == "auto" and levels[0].reliable and levels[0].gain > 0 and not covariance
    if risk != "auto":
        settled = risk  # type: ignore[assignment]
    else:
        settled = "correlated" if covariance else "sure" if all(level.reliable for level in varied(levels)) else "r2r"
    return NoiseAndConstants(
        normalisation,
        (levels[0].read,) if poisson else tuple(_to_use(level, blurred=blurred) for level in levels),
        settled,
        levels[0].gain if poisson else 0.0,
        levels[0].offset if poisson else 0.0,
        covariance,
        said + _warning(covariance),
    )


@dataclass(frozen=True)
class KnownNoise:
    """Of each channel.

    Attributes
    ----------
    covariances
        None of them where the noise is white in all channels.
    """

    levels: Sequence[NoiseLevel]
    covariances: Sequence[NoiseCovariance] = ()

    @property
    def found(self) -> Sequence[NoiseLevel | NoiseCovariance]:
        """What is filtered by: correlations, too, unless there are none."""
        return self.covariances or self.levels


def known_noise(images: Sequence[Image]) -> KnownNoise | None:
    """The noise of each channel, measured, with its correlation unless it is white in all; None where it is not known.

    Channels of one value have none.
    """
    try:
        levels = noise_levels(images)
        white = all(level.white for level in varied(levels))
        known = KnownNoise(levels, () if white else noise_covariances(images))
    except ImageError:  # too small, or no part of it is finite
        return None
    sure = all(each.reliable for each, level in zip(known.found, levels, strict=True) if not level.constant)
    return known if sure and varied(levels) else None


def check_lengths(image: Image, spatial: str, *, asked: Iterable[str] = (), label: str) -> None:
    """Refuse an image that is too small along an axis for a method to undo something along it.

    Parameters
    ----------
    spatial
        The axes that the method looks along.
    asked
        Axes that something is asked for; they have to be among these.
    label
        Of the method.

    Raises
    ------
    ImageError
        With the axis.
    """
    for axis in (*spatial, *asked):
        least, there = _LEAST if axis != "Z" else _LEAST_PLANES, image.geometry.length(axis)
        if axis not in spatial or there < least:
            raise ImageError(
                f"axis {axis} has {there} pixels: {label} looks along {spatial} and needs at least {least} along "
                f"{axis}. If the axes are wrong, name them with `axes`."
            )


def _to_use(level: NoiseLevel, *, blurred: bool) -> float:
    """The deviation to train with.

    An estimate that is not sure has taken texture for noise, not noise for texture, and too much costs more and more:
    on images 2 x finer, told 0.5, 1, 1.5 and 2 times the true level, R2R ends at 28.0, 28.8, 28.3 and 24.5 dB.
    """
    if level.reliable or blurred:
        return rounded_up(level)
    return level.sigma / _TEXTURE_TAKEN_FOR_NOISE


def choose_psf(images: Sequence[Image], texts: Sequence[str], *, sigma: float) -> tuple[str, Note]:
    """Of some PSFs from narrow to wide, the one that fits by the residual of Wiener's filter, the narrower in doubt.

    Too wide a PSF costs more than too narrow a one (2.2 dB against 0.6 at a fifth), and the whitest residual alone is
    that of a PSF wider by a tenth or more. So the narrowest with at most 1.5 times the least whiteness is taken, or one
    narrower still where the residual is no smaller than the noise: what is left out then is not noise alone.

    Parameters
    ----------
    sigma
        Noise in units of the images.
    """
    plane = max(planes_of_all(images, most=1), key=lambda p: p.size).astype(np.float64)
    plane -= np.nanmean(np.where(np.isfinite(plane), plane, np.nan))
    scale = float(np.std(plane[np.isfinite(plane)])) or 1.0  # squares of small numbers are 0 in float32
    y = torch.from_numpy(np.where(np.isfinite(plane), plane / scale, 0).astype(np.float32))[None, None]
    sigma = sigma / scale
    left, size = [], []
    for text in texts:
        kernel = psfs.parse(text)
        with torch.no_grad():
            whole = y - Blur(kernel)(Blur(wiener(kernel, sigma / (float(y.std()) or 1.0)))(y))
        residual = whole[0, 0].numpy()[interior(plane.shape, [n // 2 for n in kernel.shape])]
        left.append(whiteness(residual))
        size.append(float(residual.std()))
    whitest = next(k for k, white in enumerate(left) if white <= _NEARLY_WHITEST * min(left))
    small = max((k for k, rms in enumerate(size) if rms <= _NEARLY_NOISE * sigma), default=0)
    best = texts[min(whitest, small)]
    each = zip(texts, left, size, strict=True)
    said = ", ".join(f"{text} leaves {rms / (sigma or 1):.2f} (whiteness {white:.2f})" for text, white, rms in each)
    return best, Note(f"PSF {best} fits best, the narrower in doubt; in units of the noise {said}")


def noise_levels(images: Sequence[Image]) -> tuple[NoiseLevel, ...]:
    """The noise of each channel of some images; measured once, for whoever asks while they are open.

    Raises
    ------
    ImageError
        If they are too small to measure it.
    """
    return _levels(tuple(weakref.ref(image) for image in images))


def noise_covariances(images: Sequence[Image]) -> tuple[NoiseCovariance, ...]:
    """That of the noise of each channel of some images; measured once, for whoever asks while they are open.

    Raises
    ------
    ImageError
        If they are too small to measure it.
    """
    return _covariances(tuple(weakref.ref(image) for image in images))


@lru_cache(maxsize=4)
def _levels(references: tuple[weakref.ref[Image], ...]) -> tuple[NoiseLevel, ...]:
    return tuple(estimate(planes) for planes in planes_of_channels(_alive(references)))


@lru_cache(maxsize=4)
def _covariances(references: tuple[weakref.ref[Image], ...]) -> tuple[NoiseCovariance, ...]:
    """With the growth with the signal that smaller blocks show, where it does not show in large ones."""
    each = zip(planes_of_channels(_alive(references)), _levels(references), strict=True)
    return tuple(noise_covariance(planes, line=level.pixels if level.gain > 0 else None) for planes, level in each)


def _alive(references: tuple[weakref.ref[Image], ...]) -> list[Image]:
    return [image for reference in references if (image := reference()) is not None]


def constants(planes: Sequence[Sequence[NDArray[Any]]], name: str) -> Normalisation:
    """Mean and deviation of each channel, from some of its planes; ``name`` is for the error.

    Raises
    ------
    ImageError
        If no pixel is finite.
    """
    if not any(np.isfinite(p).any() for each in planes for p in each):
        raise ImageError(
            f"{name}: no pixel looked at is finite (all are NaN or infinite), so there is nothing to learn from. Is "
            "this the right file, and the right channel?"
        )
    return Normalisation.of(planes)


def _covariance(
    planes: Sequence[NDArray[Any]], level: NoiseLevel, *, noise: float | Literal["auto"], risk: str
) -> tuple[tuple[float, ...], ...]:
    """The covariance of noise that is not white, scaled to the level the user gave; empty where it is white."""
    found = level.reliable and not level.white
    if risk != "correlated" and not (risk == "auto" and found):
        return ()
    largest = max(planes, key=lambda p: p.size)
    matrix = flat_covariance(largest)
    centre = matrix[tuple(n // 2 for n in matrix.shape)]
    variance = float(noise) ** 2 if noise != "auto" else float(centre)
    return tuple(tuple(float(v) for v in row) for row in matrix * (variance / centre))


def _warning(covariance: tuple[tuple[float, ...], ...]) -> tuple[Note, ...]:
    if not covariance:
        return ()
    return (
        Note(
            "the noise is correlated from pixel to pixel, as that of reconstructed CT is: it is fitted by its "
            "covariance, measured where the image is flat. Two reconstructions from separate projections "
            "(`second`) are safer.",
            "warning",
        ),
    )

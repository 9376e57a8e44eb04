"""Images with their gaps closed by what is about them and noise like theirs: what noise is measured on.

Where single pixels are missing all over, no block of an image is whole, and noise is measured on blocks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_restore.core.errors import ImageError
from napari_restore.core.normalisation import Normalisation
from napari_restore.methods.hiding import Window
from napari_restore.methods.measuring import noise_levels
from napari_restore.metrics.noise_level import NoiseLevel, estimate
from napari_restore.sources import Image, open_image

_ABOUT, _LEAST_WEIGHT = 2.0, 0.05
_LEFT, _ROUNDS = 0.01, 8
_SEED = 2007


def as_images(windows: Sequence[Window], normalisation: Normalisation) -> list[Image]:
    """Windows as images of their own, in the units of the image: with their gaps where its noise can be told so.

    Else these are ``closed``.
    """
    images = _in_units([_planes(window.pixels) for window in windows], normalisation)
    return images if measurable(images) else _in_units(closed(windows), normalisation)


def measurable(images: Sequence[Image]) -> bool:
    """Whether the noise of all channels can be told."""
    try:
        return all(level.reliable or level.constant for level in noise_levels(images))
    except ImageError:  # no block of them is whole
        return False


def _in_units(windows: Sequence[NDArray[np.float32]], normalisation: Normalisation) -> list[Image]:
    mean, std = (np.reshape(each, (-1, 1, 1, 1)) for each in (normalisation.mean, normalisation.std))
    return [open_image((each * std + mean).astype(np.float32), axes="CTYX") for each in windows]


def _planes(window: NDArray[Any]) -> NDArray[Any]:
    """Of each channel, ``(C, planes, Y, X)``."""
    return window.reshape(len(window), -1, *window.shape[-2:])


def closed(windows: Sequence[Window]) -> list[NDArray[np.float32]]:
    """Windows whose missing pixels are the mean about them, with noise such as the others have.

    How much noise that is, is measured on the result, beginning without any, until what is drawn and what is measured
    agree: with a share f of the pixels missing, what is too little falls to f of it each time.

    Parameters
    ----------
    windows
        Of one image; channels ``(C, *S)`` in units of its deviation.

    Returns
    -------
    list of NDArray
        ``(C, planes, Y, X)``. NaN where nothing was measured, or where a gap is so wide that its middle has no pixel
        near it.
    """
    given, gone = [_planes(w.pixels) for w in windows], [_planes(w.gone) for w in windows]
    smooth = [_mean_about(each) for each in given]
    begun = [np.where(g, s, y) for y, g, s in zip(given, gone, smooth, strict=True)]
    share = max(float(np.mean([g.mean() for g in gone])), _LEFT)
    found = begun
    for turn in range(min(_ROUNDS, math.ceil(math.log(_LEFT) / math.log(min(share, 0.9))))):
        levels = [_level([plane for each in found for plane in each[c]]) for c in range(len(given[0]))]
        rng = np.random.default_rng((_SEED, turn))
        found = [np.where(g, _noisy(s, levels, rng), s) for g, s in zip(gone, begun, strict=True)]
    return found


def _level(planes: Sequence[NDArray[np.float32]]) -> NoiseLevel | None:
    try:
        return estimate(planes)
    except ImageError:  # too small, or too little of it is whole
        return None


def _noisy(
    smooth: NDArray[np.float32], levels: Sequence[NoiseLevel | None], rng: np.random.Generator
) -> NDArray[np.float32]:
    variance = [np.zeros_like(s) if v is None else v.pixels.at(s) for s, v in zip(smooth, levels, strict=True)]
    return smooth + (np.sqrt(variance) * rng.standard_normal(smooth.shape)).astype(np.float32)


def _mean_about(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Of the pixels of each plane that are finite; NaN where none of them is near."""
    known = np.isfinite(pixels)
    sums, weight = (
        ndimage.gaussian_filter(each.astype(np.float32), (0, 0, _ABOUT, _ABOUT))
        for each in (np.where(known, pixels, 0), known)
    )
    mean: NDArray[np.float32] = np.where(weight > _LEAST_WEIGHT, sums / np.maximum(weight, _LEAST_WEIGHT), np.nan)
    return mean

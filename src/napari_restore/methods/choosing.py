"""Which denoiser suits some images: ``method="auto"``, and why, in one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from napari_restore.core.errors import ImageError
from napari_restore.methods.measuring import noise_covariances, noise_levels
from napari_restore.metrics.correlation import NoiseCorrelation, noise_correlation
from napari_restore.metrics.covariance import NoiseCovariance
from napari_restore.metrics.noise_level import varied
from napari_restore.sources import Image
from napari_restore.sources.planes import planes_of_all

_FEWEST_PIXELS = 16  # along Y and X, for a posterior mean
_LONGEST = 16  # of a mask to either side
_SHARED = 0.2
"""Correlation of neighbouring pixels from which their noise is told by noise of its kind.

Below, Noise2Void predicts little of it, and a covariance that fits roughly costs more: on CT by filtered backprojection
(0.13) N2V2 was 0.9 dB better, on noisy JPEG (0.17) 2.4 dB; with 0.28 to 0.6 it was 3 dB worse and more.
"""

_AGREED = 0.4
"""The same, of a covariance that is not sure, where what else tells of it agrees."""


@dataclass(frozen=True)
class Choice:
    """A method for some images.

    Attributes
    ----------
    method
        Its name.
    reason
        One sentence for the user.
    config
        What was measured and the method is to know, such as the mask that correlated noise asks for.
    """

    method: str
    reason: str
    config: Mapping[str, Any] = field(default_factory=dict)


def choose(images: Sequence[Image], *, second: bool = False, target: bool = False) -> Choice:
    """The denoiser for images of one kind, with or without a second acquisition or a clean image of each.

    What is given beside the image counts most: a clean image, then a second acquisition. Of a noisy image alone the
    noise is looked at: alike in neighbouring pixels, its covariance known, it can be told by fresh noise of its kind;
    along an axis and too far to know, such as the noise of whole lines, it needs structured Noise2Void; white, and its
    variance known, it allows for a posterior mean; else Noise2Void, in its second version, which asks the least.
    """
    if target:
        return Choice("supervised_denoising", "there is a clean image to learn from, and nothing teaches better")
    if second:
        return Choice("noise2noise", "a second acquisition is the best teacher there is without a clean image")
    shortest = min(image.geometry.length(a) for image in images for a in "YX")
    if shortest < _FEWEST_PIXELS:
        return Choice("noise2void", f"the image is only {shortest} px wide, and this asks for the fewest pixels")
    correlation = noise_correlation(planes_of_all(images))
    alike = _most_alike(images)
    try:
        levels = varied(noise_levels(images))
    except ImageError:
        return Choice("noise2void2", "its noise cannot be measured, and this needs no knowledge of it")
    # Each takes some texture, and single bright pixels, for noise that neighbours share: they have to agree.
    agreed = min(max(correlation.lag_1), *(level.correlation for level in levels))
    along = correlation.direction != "none"
    if alike is not None and alike.reliable:
        if min(agreed, max(alike.next_yx)) > _SHARED or (along and min(alike.next_yx) > _SHARED):
            return _shared(alike)
        if along and max(alike.next_yx) <= _SHARED:
            return _little(alike)
    if along:
        return _structured(correlation, shortest)
    if all(level.reliable and level.sigma > 0 and level.white for level in levels):
        kind = " and grows with the signal" if any(level.gain > 0 for level in levels) else ""
        return Choice(
            "posterior",
            f"noise is independent from pixel to pixel{kind}, so that a pixel's own value can be put to use",
        )
    if alike is not None and all(level.reliable for level in levels) and min(agreed, *alike.next_yx) > _AGREED:
        return _shared(alike)
    return Choice("noise2void2", "its noise is not sure enough to use a pixel's own value, and this does without")


def _most_alike(images: Sequence[Image]) -> NoiseCovariance | None:
    """Of the channel whose next neighbours share most of their noise, by the flattest blocks; None where none tell."""
    try:
        return max(noise_covariances(images), key=lambda each: max(each.next_yx))
    except ImageError:
        return None


def _shared(alike: NoiseCovariance) -> Choice:
    y, x = alike.next_yx
    return Choice(
        "recorrupted",
        f"noise of neighbours is alike by {x:.2f} along X and {y:.2f} along Y: it can be told from the image by fresh "
        "noise of the same kind, not by hiding pixels",
    )


def _little(alike: NoiseCovariance) -> Choice:
    y, x = alike.next_yx
    return Choice(
        "noise2void2",
        f"noise of neighbours is alike by no more than {x:.2f} along X and {y:.2f} along Y, too little to be predicted",
    )


def _structured(correlation: NoiseCorrelation, shortest: int) -> Choice:
    """A mask as wide as the noise is alike; what it hides, the network cannot copy."""
    y, x = (min(n, _LONGEST, (shortest - 1) // 4) for n in correlation.length_yx)
    along = " and ".join(f"along {a} over {n} px" for a, n in (("Y", y), ("X", x)) if n)
    strongest = max(correlation.lag_1[-2:])
    cross = np.zeros((2 * y + 1, 2 * x + 1), int)
    cross[y, :] = cross[:, x] = 1
    reason = f"noise is correlated {along}, by {strongest:.2f} between neighbours, and they are hidden together"
    return Choice("struct_noise2void", reason, {"mask": cross.tolist()})

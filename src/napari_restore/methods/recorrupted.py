"""Recorrupted-to-recorrupted: two noisy images from one, for noise that neighbouring pixels share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
import torch.nn.functional as F
from annotated_types import Interval
from numpy.typing import NDArray
from torch import Tensor

from napari_restore.core.events import Note
from napari_restore.core.normalisation import Normalisation
from napari_restore.losses.recorruption import recorrupted
from napari_restore.methods import METHODS
from napari_restore.methods.denoiser import DenoiserConfig
from napari_restore.methods.measuring import noise_covariances
from napari_restore.methods.method import Batch, Fit
from napari_restore.methods.neighbours import Neighbours, own, with_neighbours
from napari_restore.methods.refining import Refining, RefiningConfig, as_rows, noise_settings, similar_if
from napari_restore.metrics.covariance import BLOCK, NoiseCovariance, describe
from napari_restore.metrics.pixel_noise import PixelNoise
from napari_restore.operators.combine import Identity
from napari_restore.sources import Image

_AROUND = 9
"""Side in pixels of the square whose mean tells how bright a pixel is, where noise grows with the signal."""

_FOR_GAUSSIAN, _FOR_PHOTONS = 0.5, 1.0  # strengths
_EVEN = 0.05  # difference of correlations that is put down to chance


@dataclass(frozen=True)
class RecorruptedConfig(RefiningConfig, DenoiserConfig):
    """Settings of recorrupted-to-recorrupted: those of ``DenoiserConfig``, and what its noise is like.

    Attributes
    ----------
    noise
        Standard deviation of the noise in units of the image, or ``"auto"`` to measure it, with its growth with the
        signal. How alike the noise of neighbours is, is always measured, where the image is flat.
    strength
        Noise that is added to what the network sees, over the image's own. ``"auto"`` is 0.5, which was 0.9 dB better
        than 1 on images with Gaussian noise, and 1 where noise grows with the signal: that of few photons is no
        Gaussian's, and on a confocal stack 0.5 left two thirds of it in the dark, 1 less than half.
    neighbours
        Planes to either side, along Z or time, that are looked at beside each plane, for noise that they do not share.
        ``"auto"`` trains with one and with none at first, and goes on with what predicts pixels held out better.
    """

    noise: Literal["auto"] | Annotated[float, Interval(gt=0)] = "auto"
    strength: Literal["auto"] | Annotated[float, Interval(ge=0.1, le=4)] = "auto"
    neighbours: Neighbours = "auto"


class Recorrupted(Refining):
    """R2R (Pang, Zheng, Quan, Ji, CVPR 2021, doi:10.1109/CVPR46437.2021.00208).

    With fresh noise z of the covariance that the noise of the image y has, the noise of ``y + a z`` and that of
    ``y - z / a`` are independent (their theorem 1): a network that learns the second from the first learns the clean
    image. No pixel is hidden, so that noise which neighbours share, and from which a hidden pixel could be predicted,
    does no harm. All depends on the covariance.

    Restoring shows the network the image as it is.
    """

    listed = METHODS["recorrupted"]
    Config: ClassVar[type] = RecorruptedConfig
    config: RecorruptedConfig

    def __init__(self, config: RecorruptedConfig, *, spatial: str, channels: int) -> None:
        super().__init__(config, spatial=spatial, channels=channels)
        self.strength = _FOR_GAUSSIAN if config.strength == "auto" else config.strength

    @classmethod
    def fit_to(cls, config: RecorruptedConfig, images: Sequence[Image]) -> Fit:
        """Settle axes, depth, constants, and the noise of each channel with its neighbours."""
        cls.shortest_side(images, least=BLOCK)
        fit = super().fit_to(config, images)
        found = noise_covariances(images)
        told = None if config.noise == "auto" else PixelNoise(config.noise**2)
        pixels = [told or each.pixels for each in found]
        grows = any(p.gain > 0 for p in pixels)
        similar, more = similar_if(config.similar, noise_is_known=True, images=images, passes=cls.passes)
        settled = replace(
            fit.config,
            strength=config.strength if config.strength != "auto" else _FOR_PHOTONS if grows else _FOR_GAUSSIAN,
            similar=similar,
            correlation=tuple(as_rows(_even(each.correlation)) for each in found),
            **noise_settings(pixels, images),
        )
        said = tuple(_said(each, mean) for each, mean in zip(found, settled.mean, strict=True) if told is None)
        normalisation = Normalisation(settled.mean, settled.std)
        return with_neighbours(Fit(settled, fit.spatial, normalisation, (*said, *more)), images)

    @property
    def turns(self) -> bool:
        """Only where noise that is turned is alike: patches that are turned have theirs turned, too."""
        matrices = [np.array(c) for c in self.config.correlation]
        return all(np.array_equal(m, m[:, ::-1]) and np.array_equal(m, m.T) for m in matrices)

    def forward(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """The squared error towards the other recorruption (Pang et al., eq. 9), less the variance of its noise."""
        identity = Identity(len(self.spatial))
        losses = []
        for c in range(self.channels):
            around = batch.pixels[:, c : c + 1]
            y = own(around, self.neighbours)
            with torch.autocast(y.device.type, enabled=False):
                variance = self.variance(c, y)
                fresh = self.fresh_noise(c, variance, rng)
            losses.append(
                recorrupted(
                    partial(self._learned_from, c, around),
                    identity,
                    y,
                    fresh=fresh,
                    variance=variance,
                    alpha=self.strength,
                    weight=own(batch.target, self.neighbours),
                )[0]
            )
        return torch.stack(losses).mean()

    def _learned_from(self, channel: int, around: Tensor, seen: Tensor) -> Tensor:
        """Of planes that are ``seen`` recorrupted; their neighbours, whose noise is another, as they are."""
        return self.predicted_of(channel, around, seen).float()

    def in_two(self, batch: Batch, rng: torch.Generator) -> Batch:
        """Both recorruptions of each plane, as noisy as each other; its neighbours as they are."""
        seen, partner = batch.pixels.clone(), batch.pixels.clone()
        for c in range(self.channels):
            y = own(batch.pixels[:, c : c + 1], self.neighbours)
            fresh = self.fresh_noise(c, self.variance(c, y), rng)
            own(seen[:, c : c + 1], self.neighbours).add_(fresh)
            own(partner[:, c : c + 1], self.neighbours).sub_(fresh)
        return batch._replace(pixels=seen, partner=partner)

    def variance(self, channel: int, y: Tensor) -> Tensor:
        """Of the noise of each pixel, in units of the image's deviation, by the mean of those around it."""
        if not self.config.sigma or self.config.gain[channel] == 0:
            return self.noise_at(channel, y)
        pool = F.avg_pool2d if y.ndim == 4 else F.avg_pool3d
        around = tuple(_AROUND if a in "YX" else 1 for a in self.spatial)
        half = tuple(n // 2 for n in around)
        return self.noise_at(channel, pool(y, around, stride=1, padding=half, count_include_pad=False))


def _said(found: NoiseCovariance, mean: float) -> Note:
    text = describe(found, mean=mean)
    if found.reliable or found.pixels == PixelNoise(0.0):
        return Note(text)
    return Note(
        f"{text}; not sure: too little of the image is flat to tell noise from texture, so that only that is taken to "
        "be noise which the emptiest parts have. Say how much it is with `noise` where you know",
        "warning",
    )


def _even(correlation: NDArray[np.float64]) -> NDArray[np.float64]:
    """Alike from all sides, where it was found to be so: patches may be turned then."""
    mean = np.mean([np.rot90(m, k) for m in (correlation, correlation.T) for k in range(4)], 0)
    near = slice(len(mean) // 2 - 2, len(mean) // 2 + 3)  # farther away chance is larger
    return mean if np.abs(mean - correlation)[near, near].max() < _EVEN else correlation

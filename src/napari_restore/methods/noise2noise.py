"""Noise2Noise: learn to denoise from two noisy acquisitions of the same scene, each the other's target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from napari_restore.core.errors import ImageError
from napari_restore.losses.supervised import supervised
from napari_restore.methods import METHODS
from napari_restore.methods.denoiser import Denoiser, DenoiserConfig
from napari_restore.methods.method import Batch
from napari_restore.sources import Image
from napari_restore.sources.shifted import neighbouring_frames


@dataclass(frozen=True)
class Noise2NoiseConfig(DenoiserConfig):
    """Settings of Noise2Noise: those of ``DenoiserConfig``, and two of its own.

    Attributes
    ----------
    directions
        ``"both"`` learns from either acquisition towards the other. ``"forward"`` learns from the image towards the
        second alone: for a second one with other noise, such as a longer exposure.
    frames
        Whether neighbouring frames of a time-lapse stand for two acquisitions: ``"auto"`` where no second is given.
        What moves from one frame to the next is blurred.
    """

    directions: Literal["both", "forward"] = "both"
    frames: Literal["auto", "yes", "no"] = "auto"


class Noise2Noise(Denoiser):
    """Noise2Noise (Lehtinen et al. 2018, ICML, arXiv:1803.04189).

    The mean of all that a noisy target could have been is the clean image, so a network that minimises the squared
    error towards it learns the clean image, as long as the noise of the two is independent and has no offset. It may
    be correlated from pixel to pixel. Nothing is hidden: every pixel is seen, and every pixel is a target.

    Two reconstructions of a CT, each from every other projection, are such a pair (Noise2Inverse, Hendriksen, Pelt,
    Batenburg 2020, doi:10.1109/TCI.2020.3019647): the noise of one reconstruction is correlated, that of two is
    independent. The best result is then the mean of both, each restored with this model: whoever has two acquisitions
    has twice the photons of one.
    """

    listed = METHODS["noise2noise"]
    Config: ClassVar[type] = Noise2NoiseConfig
    noisy_targets: ClassVar[bool] = True
    config: Noise2NoiseConfig

    @classmethod
    def partners(cls, config: Noise2NoiseConfig, images: Sequence[Image], second: Sequence[Image]) -> Sequence[Image]:
        """What goes with the images: their second acquisitions, or their own neighbouring frames.

        Raises
        ------
        ImageError
            If neighbouring frames are wanted of an image that has one frame.
        """
        wanted = config.frames == "yes" or (config.frames == "auto" and not second)
        if not wanted:
            return second
        for image in images:
            if image.geometry.length("T") < 2:
                raise ImageError(
                    f"{image.name} has axes {image.axes} and {image.geometry.length('T')} frame: "
                    f"{cls.listed.label} learns from a second acquisition or from neighbouring frames. Give a second "
                    "image, or say which of the axes is T."
                )
        return [neighbouring_frames(image) for image in images]

    def forward(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Mean squared error towards the other acquisition (eq. 6), from either with equal chance.

        A coin for every patch instead of both directions of half as many: more places are seen in the same time.
        """
        assert batch.partner is not None
        pixels, partner = batch.pixels, batch.partner
        if self.config.directions == "both":
            swap = torch.rand([len(pixels)] + [1] * (pixels.ndim - 1), generator=rng) < 0.5
            swap = swap.to(pixels.device, non_blocking=True)
            pixels, partner = torch.where(swap, partner, pixels), torch.where(swap, pixels, partner)
        return supervised(self.learned, pixels, partner, weight=batch.target)[0]

"""Base of the methods whose loss is a sum: of pixels, of features, and of what a judge cannot tell apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

import torch
from annotated_types import Interval
from torch import Tensor

from napari_restore.losses.perceptual import adversarial, perceptual
from napari_restore.losses.sure import mean_of
from napari_restore.methods.fine_grid import FineGrid
from napari_restore.methods.imaging import ImagingConfig
from napari_restore.networks.features import Features
from napari_restore.networks.judge import Judge

_JUDGE_WIDTH = 16

Weight = Annotated[float, Interval(ge=0, le=100)]


@dataclass(frozen=True)
class MixedLossesConfig(ImagingConfig):
    """Settings of a sum of losses, besides those of ``ImagingConfig``.

    Attributes
    ----------
    pixel
        Weight of the squared error, in units of the image's variance.
    perceptual
        Weight of the squared distance of features. It and the next make images look sharper than they are known to be.
    adversarial
        Weight of what a judge, which learns meanwhile, cannot tell from what is wanted. It invents detail.
    features
        What the distance is seen through: ``own`` for filters learned from the images, or the ``.safetensors`` file of
        a VGG network's weights, by their names in torchvision.
    """

    pixel: Weight = 1.0
    perceptual: Weight = 0.0
    adversarial: Weight = 0.0
    features: str = "own"


class MixedLosses(FineGrid):
    """What is given is near to what is wanted by a sum of losses, each with a weight. What is shown is the first.

    The judge is kept with the model, for a training that goes on from it; the features are not.
    """

    Config: ClassVar[type] = MixedLossesConfig
    config: MixedLossesConfig

    def __init__(self, config: MixedLossesConfig, *, spatial: str, channels: int) -> None:
        super().__init__(config, spatial=spatial, channels=channels)
        self.judge = Judge(width=_JUDGE_WIDTH) if config.adversarial > 0 else None
        self.features: Features | None = None

    @property
    def wants_features(self) -> bool:
        """Where their distance has a weight."""
        return self.config.perceptual > 0

    def towards(self, given: Tensor, wanted: Tensor, weight: Tensor, *, like: Tensor | None = None) -> Tensor:
        """The sum of losses ``(B, 1, *S)``; its value is the squared error.

        Parameters
        ----------
        weight
            ``(B, 1, *S)``: what counts. Where nothing does, features and judge see what is given in both.
        like
            What features and judge see instead of ``wanted``, which may have more noise than the image.
        """
        error = mean_of((given - wanted).square(), weight)
        if not self.training or (self.features is None and self.judge is None):
            return error
        learned = self.config.pixel * error
        seen = _planes(given)
        shown = _planes(torch.where(weight > 0, wanted if like is None else like, given.detach()))
        if self.features is not None and self.config.perceptual > 0:
            learned = learned + self.config.perceptual * perceptual(self.features, seen, shown)
        if self.judge is not None:
            deceiving, telling = adversarial(self.judge, seen, shown)
            learned = learned + self.config.adversarial * deceiving + telling
        return learned + (error - learned).detach()

    def for_restoring(self) -> Self:
        """As of every method, and without features and judge."""
        features, judge = self.features, self.judge
        self.features = self.judge = None
        try:
            return super().for_restoring()
        finally:
            self.features, self.judge = features, judge


def _planes(pixels: Tensor) -> Tensor:
    """``(B, 1, *S)`` as planes ``(N, 1, Y, X)``."""
    return pixels.reshape(-1, 1, *pixels.shape[-2:])

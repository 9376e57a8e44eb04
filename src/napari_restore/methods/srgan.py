"""Super-resolution that a judge cannot tell from sharp images: a generative adversarial network, to compare with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from napari_restore.methods import METHODS
from napari_restore.methods.imaging import Restore
from napari_restore.methods.method import Batch
from napari_restore.methods.mixed_losses import MixedLosses, MixedLossesConfig, Weight


@dataclass(frozen=True)
class SrganConfig(MixedLossesConfig):
    """Settings of an adversarial network: those of a sum of losses, with all three of them.

    Attributes
    ----------
    perceptual
        Weight of the squared distance of features.
    adversarial
        Weight of what a judge cannot tell from what is wanted; the paper's is 0.001. It invents detail.
    """

    perceptual: Weight = 0.02
    adversarial: Weight = 0.001


class Srgan(MixedLosses):
    """SRGAN (Ledig et al. 2017, doi:10.1109/CVPR.2017.19), with a small network; ``factor`` 1 to denoise alone."""

    listed = METHODS["srgan"]
    Config: ClassVar[type] = SrganConfig
    config: SrganConfig

    def objective(self, restore: Restore, batch: Batch, rng: torch.Generator) -> Tensor:
        """The sum of losses towards the clean image."""
        assert batch.partner is not None
        weight = batch.target.to(batch.partner.dtype)
        for axis, rate in enumerate(self.rate, start=2):
            weight = weight.repeat_interleave(rate, axis)
        return self.towards(restore(batch.pixels), batch.partner, weight)

"""Supervised denoising: the clean image is there, pixel by pixel, and the network learns to give it."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_restore.losses.supervised import supervised
from napari_restore.methods import METHODS
from napari_restore.methods.denoiser import Denoiser
from napari_restore.methods.method import Batch


class SupervisedDenoising(Denoiser):
    """Mean squared error against the clean image, at every pixel.

    The clean image lies on the pixels of the noisy one and is in its units: a mean of many acquisitions, a long
    exposure, a scan at full dose. Beside ``"supervised"``, which undoes blur and coarse sampling, too, this needs no
    noise level, looks along Z where asked to, and has a choice of networks.
    """

    listed = METHODS["supervised_denoising"]
    keeps_mean = False  # that of the clean image is what is wanted

    def forward(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Mean squared error at targets; the network sees every pixel."""
        assert batch.partner is not None
        return supervised(self.learned, batch.pixels, batch.partner, weight=batch.target)[0]

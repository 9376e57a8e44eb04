"""Supervised denoising: the clean image is there, pixel by pixel, and the network learns to give it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import BeforeValidator
from torch import Tensor

from napari_restore.core.errors import RestoreError
from napari_restore.losses.supervised import supervised
from napari_restore.methods import METHODS
from napari_restore.methods.denoiser import Denoiser, DenoiserConfig
from napari_restore.methods.method import Batch, Fit
from napari_restore.methods.neighbours import own, with_neighbours
from napari_restore.sources import Image


@dataclass(frozen=True)
class SupervisedDenoisingConfig(DenoiserConfig):
    """Settings of supervised denoising: those of ``DenoiserConfig``, and planes to look at.

    Attributes
    ----------
    neighbours
        Planes to either side, along Z or time, that are looked at beside each plane; not with the network ``rdunet``.
    """

    neighbours: Annotated[Literal["0", "1", "2"], BeforeValidator(str)] = "0"


class SupervisedDenoising(Denoiser):
    """Mean squared error against the clean image, at every pixel.

    The clean image lies on the pixels of the noisy one and is in its units: a mean of many acquisitions, a long
    exposure, a scan at full dose. Beside ``"supervised"``, which undoes blur and coarse sampling, too, this needs no
    noise level, looks along Z where asked to, and has a choice of networks.
    """

    listed = METHODS["supervised_denoising"]
    Config: ClassVar[type] = SupervisedDenoisingConfig
    keeps_mean = False  # that of the clean image is what is wanted

    @classmethod
    def fit_to(cls, config: Any, images: Sequence[Image]) -> Fit:
        """As for others, and along which axis neighbouring planes lie.

        Raises
        ------
        RestoreError
            If there are to be some, and the network takes one plane alone.
        """
        if config.neighbours != "0" and config.network == "rdunet":
            raise RestoreError("the network rdunet takes one plane alone: use neighbours 0, or another network.")
        return with_neighbours(super().fit_to(config, images), images)

    def forward(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Mean squared error at targets; the network sees every pixel."""
        assert batch.partner is not None
        wanted, weight = (own(values, self.neighbours) for values in (batch.partner, batch.target))
        return supervised(self.predicted, batch.pixels, wanted, weight=weight)[0]

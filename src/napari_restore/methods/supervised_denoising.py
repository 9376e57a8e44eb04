"""Supervised denoising: the clean image is there, pixel by pixel, and the network learns to give it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import BeforeValidator
from torch import Tensor

from napari_restore.core.errors import RestoreError
from napari_restore.losses.supervised import supervised
from napari_restore.methods import METHODS
from napari_restore.methods.denoiser import DenoiserConfig
from napari_restore.methods.method import Batch, Fit
from napari_restore.methods.neighbours import own, with_neighbours
from napari_restore.methods.refining import LEAST_SHARE, PATCHES, Refining, RefiningConfig, measured_settings
from napari_restore.methods.similar_patches import QUICK, Choice, Groups
from napari_restore.sources import Image

_SPREADS = (1.0, 4.0)  # times what is believed, that are tried
_LEAST = 1e-12


@dataclass(frozen=True)
class SupervisedDenoisingConfig(RefiningConfig, DenoiserConfig):
    """Settings of supervised denoising: those of ``DenoiserConfig``, planes to look at, and similar patches.

    Attributes
    ----------
    neighbours
        Planes to either side, along Z or time, that are looked at beside each plane; not with the network ``rdunet``.
    similar
        Whether patches of the restored image that look alike restore each other once more, which takes some 2 s of one
        core a million pixels. ``"auto"``: where the noise could be measured, in images of up to 33 million pixels.
    unexplained
        Settled from the model that it is a copy of, as its setting of that name.
    """

    neighbours: Annotated[Literal["0", "1", "2"], BeforeValidator(str)] = "0"
    similar: Choice = "no"
    unexplained: tuple[tuple[float, float], ...] = ()


class SupervisedDenoising(Refining):
    """Mean squared error against the clean image, at every pixel.

    The clean image lies on the pixels of the noisy one and is in its units: a mean of many acquisitions, a long
    exposure, a scan at full dose. Beside ``"supervised"``, which undoes blur and coarse sampling, too, this needs no
    noise level, looks along Z where asked to, and has a choice of networks.
    """

    listed = METHODS["supervised_denoising"]
    Config: ClassVar[type] = SupervisedDenoisingConfig
    keeps_mean = False  # that of the clean image is what is wanted
    passes: ClassVar[int] = 1
    groups: ClassVar[Groups] = QUICK

    @classmethod
    def fit_to(cls, config: Any, images: Sequence[Image]) -> Fit:
        """As for others, along which axis neighbouring planes lie, and whether similar patches count.

        Raises
        ------
        RestoreError
            If there are to be some, and the network takes one plane alone.
        """
        if config.neighbours != "0" and config.network == "rdunet":
            raise RestoreError("the network rdunet takes one plane alone: use neighbours 0, or another network.")
        fit = super().fit_to(config, images)
        if config.similar != "no":
            refining, said = measured_settings(config.similar, images, passes=cls.passes)
            fit = replace(fit, config=replace(fit.config, unexplained=(), **refining), notes=(*fit.notes, *said))
        return with_neighbours(fit, images)

    def forward(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Mean squared error at targets; the network sees every pixel."""
        assert batch.partner is not None
        wanted, weight = (own(values, self.neighbours) for values in (batch.partner, batch.target))
        return supervised(self.predicted, batch.pixels, wanted, weight=weight)[0]

    @torch.no_grad()
    def finish(self, batch: Batch) -> None:
        """Find what share of what similar patches say comes nearest to the clean image, at pixels that were no target.

        Others have to find that without it.
        """
        if not self.refines:
            return
        assert batch.partner is not None
        some = slice(None, None, math.ceil(len(batch.pixels) / PATCHES))
        wanted, weight = (own(values, self.neighbours)[some] for values in (batch.partner, batch.target))
        found = []
        for c in range(self.channels):
            y = batch.pixels[some, c : c + 1]
            once = self.once(c, y)
            left = weight * (wanted[:, c : c + 1] - once)
            believed = self.config.alike[c][0][0] if self.config.alike and self.config.alike[c] else self.spread(c, y)
            tried = []
            for spread in (believed * times for times in _SPREADS):
                more = weight * (self._again(c, y, once, spread) - once)
                told, power = max(float((left * more).sum()), 0.0), max(float(more.square().sum()), _LEAST)
                tried.append((told**2 / power, spread, min(told / power, 1.0)))
            _, spread, share = max(tried)  # by how much of the squared distance goes
            found.append(((spread, share),) if share > LEAST_SHARE else ())
        self.config = replace(self.config, alike=tuple(found))

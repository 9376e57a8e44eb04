"""Scale-equivariant imaging: learn to undo blur and coarse sampling from the measured image alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Interval
from torch import Tensor

from napari_restore.losses.equivariance import equivariance
from napari_restore.methods import METHODS
from napari_restore.methods.imaging import Imaging, ImagingConfig, Restore
from napari_restore.methods.method import Batch
from napari_restore.operators.transform import PaperScale, Scale


@dataclass(frozen=True)
class ScaleEquivariantConfig(ImagingConfig):
    """Settings of scale-equivariant imaging, besides those of ``ImagingConfig``.

    Attributes
    ----------
    transform
        ``"scale"``: anti-aliased, and right for any shape. ``"paper"``: the grid of the authors' code.
    factors
        By which images are made smaller, one drawn a step. On natural images blurred by 2 px, 0.6 and 0.75 end
        0.05 dB above the paper's 0.5 and 0.75 after the same time.
    stop_gradient
        Whether the smaller image is held fixed. Without, the network also makes images easier to predict.
    weight
        Of the equivariance against the fit. 2 instead of 1 ends 0.05 dB higher there.
    """

    transform: Literal["scale", "paper"] = "scale"
    factors: tuple[Annotated[float, Interval(gt=0.1, le=1)], ...] = (0.75, 0.6)
    stop_gradient: bool = True
    weight: Annotated[float, Interval(ge=0, le=100)] = 2.0


class ScaleEquivariant(Imaging):
    """Scale-equivariant imaging (Scanvic, Davies, Abry, Tachella, IEEE TCI 2026, arXiv:2312.11232).

    The network fits the measured image through the operator, without fitting its noise; and what it makes of an image
    that is measured after it was made smaller must be that smaller image. The second tells it what the operator
    removed: details of a smaller copy are details that a sharper image would have.
    """

    listed = METHODS["scale_equivariant"]
    Config = ScaleEquivariantConfig
    config: ScaleEquivariantConfig

    def objective(self, restore: Restore, batch: Batch, rng: torch.Generator) -> Tensor:
        """Risk and scale equivariance (L_SURE + L_SEQ there), the transformed image held fixed."""
        risk, restored = self.risk(restore, batch, rng)
        if self.config.transform == "paper":
            transform: Scale | PaperScale = PaperScale(self.config.factors)
        else:
            multiple = tuple(r * g for r, g in zip(self.rate, self.grid, strict=True))
            transform = Scale(self.config.factors, multiple=multiple)
        unlike = equivariance(
            restore, self.operator, restored, transform=transform, noise=self.noise(batch.pixels).sample, rng=rng,
            stop_gradient=self.config.stop_gradient,
        )  # fmt: skip
        return risk + self.config.weight * unlike

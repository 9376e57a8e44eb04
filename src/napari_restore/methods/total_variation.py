"""Total variation: the image with the least of it that measures as what was measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Interval
from torch import Tensor

from napari_restore.methods import METHODS
from napari_restore.methods.imaging import ImagingConfig
from napari_restore.methods.windowed import Windowed
from napari_restore.operators.variation import total_variation


@dataclass(frozen=True)
class TotalVariationConfig(ImagingConfig):
    """Settings of total variation: of those of ``ImagingConfig`` what is undone and its noise, and two more.

    Attributes
    ----------
    weight
        Price of variation, in units of the image's deviation; ``"auto"`` is the one that leaves a residual as large as
        the noise.
    iterations
        Steps of the search.
    """

    weight: Literal["auto"] | Annotated[float, Interval(ge=0, le=100)] = "auto"
    iterations: Annotated[int, Interval(ge=1, le=2000)] = 150


class TotalVariation(Windowed):
    """Rudin, Osher, Fatemi (1992), through an operator; see ``operators.variation``."""

    listed = METHODS["total_variation"]
    Config: ClassVar[type] = TotalVariationConfig
    config: TotalVariationConfig

    def solved(self, y: Tensor, sigma: float) -> Tensor:
        """That of one window."""
        weight = None if self.config.weight == "auto" else self.config.weight
        with torch.no_grad():
            return total_variation(
                y, self.operator, start=self.plain(y), sigma=sigma, weight=weight, steps=self.config.iterations
            )

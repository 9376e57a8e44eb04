"""Super-resolution as denoising: interpolated, noised, and denoised by Noise2Noise or Noise2Void."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Interval
from torch import Tensor

from napari_restore.losses.sure import mean_of
from napari_restore.methods import METHODS
from napari_restore.methods.fine_grid import FineGrid
from napari_restore.methods.imaging import ImagingConfig, Restore
from napari_restore.methods.method import Batch
from napari_restore.methods.noise2void import at, draw_hidden, with_neighbours_shown

_HIDDEN, _REACH = 0.06, 2
"""Share of the pixels that Noise2Void hides, and how far their stand-ins lie."""


@dataclass(frozen=True)
class DenoisedUpsamplingConfig(ImagingConfig):
    """Settings of super-resolution as denoising, besides those of ``ImagingConfig``.

    Attributes
    ----------
    by
        ``"noise2noise"`` learns one noisy copy from another, ``"noise2void"`` hidden pixels of one from around them.
    added
        Standard deviation of the noise that is added to the interpolated image, in units of the image's deviation.
    """

    by: Literal["noise2noise", "noise2void"] = "noise2noise"
    added: Annotated[float, Interval(gt=0, le=4)] = 0.4


class DenoisedUpsampling(FineGrid):
    """Cubic interpolation, noise added, and a network that takes it away (Cadiou and Dervishi, section 4.1).

    What is learned is the mean of what the noisy image can be, and that is the interpolated image: so it ends below
    interpolation, as they found. It is there to compare with.
    """

    listed = METHODS["denoised_upsampling"]
    Config: ClassVar[type] = DenoisedUpsamplingConfig
    config: DenoisedUpsamplingConfig

    def objective(self, restore: Restore, batch: Batch, rng: torch.Generator) -> Tensor:
        """The squared error towards the other noisy copy, or towards the hidden pixels of the same one.

        ``restore`` is not called: it interpolates first, and the noise comes after that.
        """
        fine = self.plain(batch.pixels)
        weight = batch.target.to(fine.dtype)
        for axis, rate in enumerate(self.rate, start=2):
            weight = weight.repeat_interleave(rate, axis)
        if self.config.by == "noise2noise":
            return mean_of((self.improved(self._noised(fine, rng)) - self._noised(fine, rng)).square(), weight)
        noisy = self._noised(fine, rng)
        shape = tuple(noisy.shape[2:])
        hidden = draw_hidden("stratified", _HIDDEN, len(noisy), shape, rng)
        shown = with_neighbours_shown(noisy, hidden, _REACH, rng)
        return mean_of((self.improved(shown) - noisy).square(), weight * at(hidden, noisy))

    def _noised(self, fine: Tensor, rng: torch.Generator) -> Tensor:
        fresh = torch.randn(fine.shape, generator=rng, device=rng.device).to(fine.device)
        return fine + self.config.added * fresh

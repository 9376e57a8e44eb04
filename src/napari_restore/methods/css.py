"""Classic self-supervision: take the measured image for a clean one, and measure it again."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_restore.losses.supervised import measurement_as_clean
from napari_restore.methods import METHODS
from napari_restore.methods.imaging import Imaging, Restore
from napari_restore.methods.method import Batch


class Css(Imaging):
    """The measured image is the target, the same image measured once more the input.

    Right where images look alike at both scales and the noise is small; it learns to restore the noise, too.
    """

    listed = METHODS["css"]

    def objective(self, restore: Restore, batch: Batch, rng: torch.Generator) -> Tensor:
        """Mean squared error against the measured image."""
        return measurement_as_clean(
            restore, self.operator, batch.pixels, noise=self.noise(batch.pixels).sample, rng=rng, multiple=self.grid,
            weight=batch.target,
        )  # fmt: skip

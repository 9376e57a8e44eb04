"""SRCNN: three layers on the interpolated image, the first network for super-resolution. To compare with."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from napari_restore import networks
from napari_restore.losses.supervised import supervised
from napari_restore.methods import METHODS
from napari_restore.methods.fine_grid import FineGrid
from napari_restore.methods.imaging import Restore
from napari_restore.methods.method import Batch


class Srcnn(FineGrid):
    """SRCNN (Dong et al. 2016, doi:10.1109/TPAMI.2015.2439281), from clean images; ``factor`` 1 to denoise alone.

    Layers of 9, 5 and 5 pixels; ``width`` says how many features the first has, 64 in the paper, and the second has
    half of them. What differs: its result is added to the interpolation instead of replacing it. ``depth`` and
    ``blocks`` are not its own.
    """

    listed = METHODS["srcnn"]

    def build(self) -> Any:
        """Its three layers."""
        return networks.build("srcnn", ndim=len(self.spatial), width=self.config.width)

    def objective(self, restore: Restore, batch: Batch, rng: torch.Generator) -> Tensor:
        """The mean squared error."""
        assert batch.partner is not None
        return supervised(restore, batch.pixels, batch.partner, weight=batch.target)[0]

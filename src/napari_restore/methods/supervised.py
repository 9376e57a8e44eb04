"""Supervised: the clean image is there. The measure of what the others reach without it."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_restore.losses.supervised import supervised
from napari_restore.methods import METHODS
from napari_restore.methods.imaging import Imaging, Restore
from napari_restore.methods.method import Batch


class Supervised(Imaging):
    """Mean squared error against the clean image, on the fine grid."""

    listed = METHODS["supervised"]

    def objective(self, restore: Restore, batch: Batch, rng: torch.Generator) -> Tensor:
        """The mean squared error."""
        assert batch.partner is not None
        return supervised(restore, batch.pixels, batch.partner, weight=batch.target)[0]

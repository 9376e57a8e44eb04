"""SURE alone: fits the measured image without its noise, and leaves what the operator removed to the start."""

from __future__ import annotations

import torch
from torch import Tensor

from napari_restore.methods import METHODS
from napari_restore.methods.imaging import Imaging, Restore
from napari_restore.methods.method import Batch


class Sure(Imaging):
    """Stein's unbiased risk estimate through the operator, with nothing to say about what it removed."""

    listed = METHODS["sure"]

    def objective(self, restore: Restore, batch: Batch, rng: torch.Generator) -> Tensor:
        """The risk alone."""
        return self.risk(restore, batch, rng)[0]

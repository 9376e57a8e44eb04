"""SURE alone: fits the measured image without its noise, and leaves what the operator removed to the start."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from napari_restore.methods.imaging import Imaging, Restore
from napari_restore.methods.method import Batch


class Sure(Imaging):
    """Stein's unbiased risk estimate through the operator, with nothing to say about what it removed."""

    label = "SURE"
    citation = (
        "Metzler CA, Mousavi A, Heckel R, Baraniuk RG (2018). Unsupervised Learning with Stein's Unbiased Risk "
        "Estimator. arXiv:1805.10531"
    )
    takes: ClassVar[tuple[str, ...]] = ("second",)

    def objective(self, restore: Restore, batch: Batch, rng: torch.Generator) -> Tensor:
        """The risk alone."""
        return self.risk(restore, batch, rng)[0]

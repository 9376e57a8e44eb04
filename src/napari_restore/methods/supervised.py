"""Supervised: the clean image is there. The measure of what the others reach without it."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from napari_restore.losses.supervised import supervised
from napari_restore.methods.imaging import Imaging, Restore
from napari_restore.methods.method import Batch


class Supervised(Imaging):
    """Mean squared error against the clean image, on the fine grid."""

    label = "Supervised"
    citation = (
        "Zhang K, Li Y, Zuo W, Zhang L, Van Gool L, Timofte R (2022). Plug-and-Play Image Restoration with Deep "
        "Denoiser Prior. IEEE TPAMI 44(10). doi:10.1109/TPAMI.2021.3088914"
    )
    needs: ClassVar[tuple[str, ...]] = ("target",)

    def objective(self, restore: Restore, batch: Batch, rng: torch.Generator) -> Tensor:
        """The mean squared error."""
        assert batch.partner is not None
        return supervised(restore, batch.pixels, batch.partner, weight=batch.target)[0]

"""Equivariant imaging by shifts and by rotations, for comparison with scales."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from napari_restore.losses.equivariance import equivariance
from napari_restore.methods import METHODS
from napari_restore.methods.imaging import Imaging, Restore
from napari_restore.methods.method import Batch
from napari_restore.operators.transform import Rotate, Shift


class _Equivariant(Imaging):
    transform: ClassVar[type[Shift] | type[Rotate]]

    def objective(self, restore: Restore, batch: Batch, rng: torch.Generator) -> Tensor:
        """Risk and equivariance, the transformed image held fixed."""
        risk, restored = self.risk(restore, batch, rng)
        noise = self.noise(batch.pixels).sample
        return risk + equivariance(restore, self.operator, restored, transform=self.transform(), noise=noise, rng=rng)


class EquivariantShift(_Equivariant):
    """A shifted image, measured, is restored to the shifted image."""

    listed = METHODS["equivariant_shift"]
    transform = Shift


class EquivariantRotation(_Equivariant):
    """A rotated image, measured, is restored to the rotated image. Of use where the operator is not isotropic."""

    listed = METHODS["equivariant_rotation"]
    transform = Rotate

"""How much memory training will take, before it starts."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch

from napari_restore.methods.allocated import peak_of
from napari_restore.methods.method import Batch, Method
from napari_restore.sources import Image
from napari_restore.training.session import usual_batch
from napari_restore.training.settings import TrainingSettings, fit_patch

_BYTES_A_VALUE = 5
"""Of the pool: float32, and a byte that says what the pixel is used for."""


def pool_bytes(images: Sequence[Image], *, images_apiece: int = 1, memory: int = TrainingSettings.memory) -> int:
    """Bytes of the pool of patches; ``images_apiece`` is 2 where each image has a partner."""
    return min(memory, sum(prod(image.shape) for image in images) * _BYTES_A_VALUE * images_apiece)


def step_bytes(method: Method, images: Sequence[Image]) -> int:
    """Bytes of the tensors that exist at once in a step of training: weights' gradients and what layers keep.

    One step is made with noise for pixels, on the processor; ``method`` is spoilt for anything else.
    """
    import lightning_fabric  # noqa: F401  training loads it, and torch's compiler with it: 100 MB that are held from now

    row = method.listed
    beside, usual = method.neighbours, method.patch
    patch = fit_patch(images, spatial=method.spatial, grid=method.grid, asked=None, usual=usual, beside=beside)
    count = method.batch or usual_batch(patch)
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randn((count, method.channels, *patch), generator=rng)
    finer = tuple(n * r for n, r in zip(patch, method.rate, strict=True)) if "target" in row.needs else patch
    partner = torch.randn((count, method.channels, *finer), generator=rng) if row.needs or row.takes else None
    batch = Batch(pixels, torch.ones((count, 1, *patch), dtype=torch.bool), partner=partner)
    method.train()
    return peak_of(lambda: method(batch, rng).backward())

"""One small matrix an axis: a separable operator is a product of these, and its adjoint the product of the transposes.

On patches of 64 pixels a dense product is several times quicker than a convolution of one channel, and mirrored
borders, any sampling step and the adjoint are exact by construction.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_restore.core.plan import reflected
from napari_restore.operators.operator import Border


def support(taps: int, step: int) -> tuple[int, int]:
    """First and last fine pixel a measured pixel sees, counted from the first of the ``step`` pixels it stands for.

    The filter's centre lies on the centre of those pixels, so taps and step are both odd or both even.
    """
    first = -((taps - step) // 2)
    return first, first + taps - 1


def margin_of(taps: int, step: int) -> int:
    """Measured pixels from either border that see past it."""
    first, last = support(taps, step)
    return max(-(first // step), -(-(last - step + 1) // step), 0)


@lru_cache(maxsize=256)
def _filter_matrix(taps: tuple[float, ...], step: int, length: int, border: Border) -> NDArray[np.float32]:
    first, last = support(len(taps), step)
    margin = margin_of(len(taps), step) if border == "valid" else 0
    rows = range(margin, length // step - margin)
    matrix = np.zeros((len(rows), length))
    for row, measured in enumerate(rows):
        seen = reflected(measured * step + first, measured * step + last + 1, length)
        np.add.at(matrix[row], seen, taps)
    return matrix.astype(np.float32)


@lru_cache(maxsize=256)
def filter_matrix(
    taps: tuple[float, ...], *, step: int, length: int, border: Border, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """The matrix that filters an axis of ``length`` fine pixels and keeps one value for every ``step`` of them.

    Parameters
    ----------
    taps
        Of the filter, as it is laid over the image (a correlation). As many as ``step`` plus an even number.
    step
        Fine pixels to one measured pixel; ``length`` is a multiple of it.
    """
    with torch.inference_mode(False):  # what a restoration leaves in the cache, training may need a gradient through
        return torch.from_numpy(_filter_matrix(taps, step, length, border)).to(device, dtype)


def apply_along(x: Tensor, matrices: Sequence[Tensor | None]) -> Tensor:
    """Multiply the last axes of ``x`` by one matrix each; None leaves an axis as it is."""
    for axis, matrix in enumerate(reversed(matrices), start=1):
        if matrix is None:
            continue
        if axis == 1:
            x = x @ matrix.T
        elif axis == 2:
            x = matrix @ x
        else:
            flat = matrix @ x.flatten(-axis + 1)
            x = flat.view(*flat.shape[:-1], *x.shape[-axis + 1 :])
    return x

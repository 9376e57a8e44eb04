"""What every PSF is: an array in axis order (Z,) Y, X, odd along every axis, none negative, its sum 1."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.errors import RestoreError

Kernel = NDArray[np.float64]

MOST_TAPS = 511
"""Along an axis."""

MOST_TAPS_IN_ALL = 2**22

RIM = 1e-4
"""Share of the light that may lie outside."""


def symmetric(kernel: NDArray[np.floating], tolerance: float = 1e-6) -> bool:
    """Whether flipping any axis and exchanging the last two (Y and X) leaves the kernel as it is.

    ``tolerance`` is a share of the largest value.
    """
    if kernel.shape[-2] != kernel.shape[-1]:
        return False
    limit = tolerance * float(np.abs(kernel).max())
    turned = [np.flip(kernel, axis) for axis in range(kernel.ndim)] + [np.swapaxes(kernel, -1, -2)]
    return all(float(np.abs(kernel - other).max()) <= limit for other in turned)


def middle(weights: NDArray[np.float64], *, rim: float) -> tuple[slice, ...]:
    """Where the middle of an odd array lies without its outermost values along each axis.

    What is left out along an axis, as much from either end, holds at most ``rim`` of the sum of ``weights``, which are
    0 or more.
    """
    keep = []
    for axis, n in enumerate(weights.shape):
        profile = weights.sum(tuple(a for a in range(weights.ndim) if a != axis)) / weights.sum()
        shells = np.cumsum([float(profile[i] + profile[n - 1 - i]) for i in range(n // 2)])  # from the outermost
        drop = int(np.searchsorted(shells, rim, side="right"))
        keep.append(slice(drop, n - drop))
    return tuple(keep)


def check_ndim(ndim: int) -> None:
    """Refuse a number of axes that no PSF has."""
    if ndim not in (2, 3):
        raise RestoreError(f"a PSF with {ndim} axes: give 2 or 3.")


def check_size(shape: Sequence[int], what: str) -> None:
    """Refuse a kernel that would be huge; ``what`` it is comes first in the words."""
    if max(shape) > MOST_TAPS or math.prod(shape) > MOST_TAPS_IN_ALL:
        raise RestoreError(
            f"{what} has {' x '.join(str(n) for n in shape)} taps, more than {MOST_TAPS} along an axis or "
            f"{MOST_TAPS_IN_ALL} in all: check its numbers and their units, or bin the image."
        )


def normalised(kernel: Kernel) -> Kernel:
    """The kernel with a sum of 1."""
    scaled: Kernel = kernel / kernel.sum()
    return scaled


def trimmed(kernel: Kernel, *, rim: float) -> Kernel:
    """The middle of a centred kernel, without a rim that holds at most ``rim`` of it along each axis; its sum 1."""
    inner = np.ascontiguousarray(kernel[middle(kernel, rim=rim)])
    check_size(inner.shape, "the PSF")
    return normalised(inner)

"""From an array with named axes to the samples a network takes, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def to_samples(pixels: NDArray[Any], axes: str, spatial: str) -> NDArray[Any]:
    """Pixels with ``axes`` as ``(N, C, *S)``: S the spatial axes in their order, N all others in theirs.

    ``pixels`` needs one entry of ``axes`` an axis; an image without C gets one channel.
    """
    rest = [a for a in axes if a not in spatial and a != "C"]
    order = [axes.index(a) for a in (*rest, *(["C"] if "C" in axes else []), *spatial)]
    moved = pixels.transpose(order)
    shape = moved.shape[len(rest) :]
    if "C" not in axes:
        shape = (1, *shape)
    return moved.reshape(-1, *shape)


def from_samples(samples: NDArray[Any], shape: Sequence[int], axes: str, spatial: str) -> NDArray[Any]:
    """The inverse of ``to_samples`` for pixels of ``shape``."""
    rest = [a for a in axes if a not in spatial and a != "C"]
    names = [*rest, *(["C"] if "C" in axes else []), *spatial]
    length = dict(zip(axes, shape, strict=True))
    return np.transpose(samples.reshape([length[a] for a in names]), [names.index(a) for a in axes])

"""Coarser sampling without aliasing: what a detector with larger pixels, or a stack with fewer slices, measures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_restore.operators.matrices import apply_along, filter_matrix, margin_of
from napari_restore.operators.operator import Border, Operator

Sampling = Literal["cubic", "area", "point"]
"""What one measured pixel is of the fine pixels: the anti-aliased cubic mean usual in super-resolution, the mean
over its area (a detector's pixel), or the first of them (a thin slice)."""


class Downsample(Operator):
    """Filter and keep one value for every ``factor`` pixels, an integer for each axis.

    Parameters
    ----------
    factor
        One entry a spatial axis; 1 leaves an axis as it is.
    sampling
        One for all axes or one each. A measured pixel lies at the centre of its fine pixels, but for ``"point"``,
        where it lies on the first.
    """

    def __init__(
        self, factor: Sequence[int], *, sampling: Sampling | Sequence[Sampling] = "cubic", border: Border = "reflect"
    ) -> None:
        super().__init__()
        each = [sampling] * len(factor) if isinstance(sampling, str) else list(sampling)
        self.border: Border = border
        self.rate = tuple(int(f) for f in factor)
        self.taps = [sampling_taps(f, s) for f, s in zip(self.rate, each, strict=True)]
        self.margin = tuple(margin_of(len(t), f) for t, f in zip(self.taps, self.rate, strict=True))

    def forward(self, x: Tensor) -> Tensor:
        """Measured ``(B, C, *S)`` from ``(B, C, *(S * rate))``."""
        return apply_along(x, self._matrices(x.shape[2:], x))

    def adjoint(self, y: Tensor) -> Tensor:
        """Each measured value spread over the fine pixels it was made of."""
        trim = [2 * m * (self.border == "valid") for m in self.margin]
        size = [(n + t) * f for n, t, f in zip(y.shape[2:], trim, self.rate, strict=True)]
        return apply_along(y, [None if m is None else m.T for m in self._matrices(size, y)])

    def _matrices(self, size: Sequence[int], like: Tensor) -> list[Tensor | None]:
        return [
            None
            if f == 1
            else filter_matrix(taps, step=f, length=n, border=self.border, device=like.device, dtype=like.dtype)
            for taps, f, n in zip(self.taps, self.rate, size, strict=True)
        ]


def sampling_taps(factor: int, sampling: Sampling) -> tuple[float, ...]:
    """The filter of one axis; it sums to 1."""
    if factor == 1:
        return (1.0,)
    if sampling == "area":
        return (1 / factor,) * factor
    if sampling == "point":
        return (1.0,) + (0.0,) * (factor - 1)
    count = 4 * factor - factor % 2  # as odd or even as the factor, so that the filter has the pixels' centre
    taps = cubic((np.arange(count) - (count - 1) / 2) / factor)
    return tuple(float(t) for t in taps / taps.sum())


def cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' kernel with a = -1/2 (Keys 1981, doi:10.1109/TASSP.1981.1163711, eq. 15), as in PIL and torch."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x**2 + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))

"""What an operator is: a linear map from the image sought to the image measured, and its adjoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from torch import Tensor, nn

Border = Literal["reflect", "valid"]
"""What a measured pixel near the border sees: the image mirrored at its first and last pixels, or there is none."""


class Operator(nn.Module):
    """A linear map from ``(B, C, *(S * rate))``, the fine grid, to ``(B, C, *S)``, the measured grid.

    Attributes
    ----------
    rate
        Fine pixels to one measured pixel along each spatial axis.
    margin
        Measured pixels along each axis, from either border, that see past the border of the image.
    """

    rate: tuple[int, ...]
    margin: tuple[int, ...]

    def forward(self, x: Tensor) -> Tensor:
        """What is measured of ``x``."""
        raise NotImplementedError

    def adjoint(self, y: Tensor) -> Tensor:
        """The transposed map: ``<forward(x), y> = <x, adjoint(y)>`` for every x and y."""
        raise NotImplementedError


def interior(size: Sequence[int], margin: Sequence[int]) -> tuple[Any, ...]:
    """Where the pixels lie that are at least ``margin`` from every border."""
    return tuple(slice(m, n - m) for n, m in zip(size, margin, strict=True))

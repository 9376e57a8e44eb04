"""Losses of an image against itself: two copies of half its size, made of different pixels, are a pair."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from napari_restore.losses.sure import Restore, mean_of

Halve = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Makes two ``(B, C, Y / 2, X / 2)`` of ``(B, C, Y, X)``."""


def diagonals(x: Tensor) -> tuple[Tensor, Tensor]:
    """Means over the two diagonals of every 2 x 2 pixels (Mansour and Heckel 2023, arXiv:2303.11253, eq. 3)."""
    upper_left, upper_right, lower_left, lower_right = _four(x)
    return (upper_right + lower_left) / 2, (upper_left + lower_right) / 2


def neighbours(which: Tensor) -> Halve:
    """Two pixels with a common side of every 2 x 2 (Huang et al. 2021, arXiv:2101.02824, fig. 3).

    Parameters
    ----------
    which
        ``(B, 1, Y / 2, X / 2)``, 0 to 7: the first pixel of the pair clockwise, and from 4 on the one before it as the
        second instead of the one after it.
    """
    first = which % 4
    second = (first + torch.where(which < 4, 1, 3)) % 4

    def halve(x: Tensor) -> tuple[Tensor, Tensor]:
        upper_left, upper_right, lower_left, lower_right = _four(x)
        clockwise = torch.stack([upper_left, upper_right, lower_right, lower_left])
        here, beside = (clockwise.gather(0, k.expand_as(upper_left)[None])[0] for k in (first, second))
        return here, beside

    return halve


def against_itself(
    restore: Restore, y: Tensor, halve: Halve, *, consistency: float = 0.0, weight: Tensor | None = None
) -> Tensor:
    """Each half from the other, and halves of the restored image like restored halves.

    With ``diagonals`` and ``consistency`` 1 this is the loss of Mansour and Heckel 2023 (section 3.2), whose ``f``
    gives the noise; ``restore`` gives what is left without it.

    Parameters
    ----------
    y
        ``(B, C, Y, X)`` with an even number of rows and columns.
    consistency
        Weight of the second part, which takes the restored whole: 0 saves two thirds of the time.
    weight
        ``(B, 1, Y, X)``: which pixels count. A mean of pixels counts where all of them do.
    """
    halves = halve(y)
    counts = halve(torch.ones_like(y[:, :1]) if weight is None else weight.to(y.dtype))
    first, second = ((n == 1).to(y.dtype) for n in counts)
    restored = restore(torch.cat(halves)).chunk(2)
    loss = mean_of((restored[0] - halves[1]).square(), second) + mean_of((restored[1] - halves[0]).square(), first)
    if consistency:
        of_whole = halve(restore(y))
        apart = [mean_of((r - w).square(), first * second) for r, w in zip(restored, of_whole, strict=True)]
        loss = loss + consistency * (apart[0] + apart[1])
    return loss / 2


def _four(x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The pixels of every 2 x 2, row by row."""
    return x[..., ::2, ::2], x[..., ::2, 1::2], x[..., 1::2, ::2], x[..., 1::2, 1::2]

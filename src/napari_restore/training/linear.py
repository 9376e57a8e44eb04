"""What a straight-line fit makes of neighbouring planes: known in half a second, before anything is trained.

A pixel is predicted by least squares from those around it in its own plane, and from these and the planes beside it; of
a method that hides nothing, from itself, too, where two noisy values of it are made of one. Both are judged by pixels
that they were not fitted to. What helps a straight line helps a network. What does not may still help one, which looks
further and sees objects that move.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from napari_restore.methods.method import Batch

_OWN, _OTHER, _WIDE = 5, 3, 9
"""Pixels along Y and X of the windows that a pixel is predicted from, and of those whose mean takes part."""

_SIDE, _RIDGE, _LEAST = 64, 1e-6, 4
"""Pixels of a patch that are looked at along Y and X, what keeps a flat patch solvable, and fewest patches."""


_Patch = tuple[Tensor, Tensor, Tensor | None]


@dataclass(frozen=True)
class Gain:
    """The part of the squared error that neighbours take away, below 0 where they add to it; and its standard error."""

    part: float
    doubt: float

    def exceeds(self, part: float, *, doubts: float) -> bool:
        """Whether it is more than a part, and more than so many standard errors."""
        return self.part > max(part, doubts * self.doubt)


def linear_gain(learned: Batch, judged: Batch, beside: int) -> Gain:
    """What planes to either side add to a linear prediction.

    Parameters
    ----------
    learned, judged
        The same patches ``(B, 1, P, Y, X)``, the targets of the one being pixels that are none of the other.
    beside
        Planes at either end of P that are only looked at.
    """
    first, second = _patches(learned), _patches(judged)
    alone, with_them = (_errors(first, second, beside, shown=shown) for shown in (0, beside))
    known = alone.isfinite()
    if known.sum() < _LEAST:
        return Gain(0.0, float("inf"))
    gains = (alone - with_them)[known] / alone[known].mean().clamp_min(1e-30)
    return Gain(float(gains.mean()), float(gains.std()) / len(gains) ** 0.5)


def _patches(batch: Batch) -> list[_Patch]:
    """Of each: what is seen, ``(P, Y, X)``, which are predicted, and their other values where none are hidden."""
    others = [None] * len(batch.pixels) if batch.partner is None else list(batch.partner[:, 0])
    return list(zip(batch.pixels[:, 0], batch.target[:, 0], others, strict=True))


def _errors(learned: list[_Patch], judged: list[_Patch], beside: int, *, shown: int) -> Tensor:
    """Mean squared error at the judged pixels of each patch, by a fit to those of all that are learned from."""
    square: Tensor | float = 0.0
    product: Tensor | float = 0.0
    for patch in learned:
        inputs, values = _rows(*patch, beside, shown=shown)
        square, product = square + inputs.T @ inputs, product + inputs.T @ values
    assert isinstance(square, Tensor)
    square += (_RIDGE * square.diagonal().mean() + 1e-30) * torch.eye(len(square), dtype=square.dtype)
    weights = torch.linalg.solve(square, product)
    rows = [_rows(*patch, beside, shown=shown) for patch in judged]
    return torch.stack([(values - inputs @ weights).square().mean() for inputs, values in rows])


def _rows(pixels: Tensor, target: Tensor, other: Tensor | None, beside: int, *, shown: int) -> tuple[Tensor, Tensor]:
    """Of each target: what it is predicted from, ``(N, inputs)``, and its value."""
    pixels, target = pixels[..., :_SIDE, :_SIDE].cpu().double(), target[..., :_SIDE, :_SIDE].cpu()
    told = pixels if other is None else other[..., :_SIDE, :_SIDE].cpu().double()
    inputs, values, mean = [], [], _mean(pixels)
    for z in range(beside, len(pixels) - beside):
        around = _windows(pixels[z], _OWN)
        own, constant = around[_OWN**2 // 2 :][:1].clone(), torch.ones_like(pixels[z])[None]
        around[_OWN**2 // 2] = 0
        wide = mean[z] + (mean[z] - pixels[z]) / (_WIDE**2 - 1)
        others = [p for k in range(1, shown + 1) for p in (z - k, z + k)]
        parts = [part for p in others for part in (_windows(pixels[p], _OTHER), mean[p][None])]
        seen = [] if other is None else [own]
        inputs.append(torch.cat([around, constant, wide[None], *seen, *parts])[:, target[z]].T)
        values.append(told[z][target[z]])
    return torch.cat(inputs), torch.cat(values)


def _windows(plane: Tensor, side: int) -> Tensor:
    """What lies around each pixel ``(side * side, Y, X)``, mirrored at the rim."""
    padded = functional.pad(plane[None, None], [side // 2] * 4, mode="reflect")
    return functional.unfold(padded, side)[0].view(side * side, *plane.shape)


def _mean(planes: Tensor) -> Tensor:
    padded = functional.pad(planes[:, None], [_WIDE // 2] * 4, mode="reflect")
    return functional.avg_pool2d(padded, _WIDE, stride=1)[:, 0]

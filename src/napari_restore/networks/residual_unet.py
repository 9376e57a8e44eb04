"""A residual U-Net without normalisation, for losses that perturb their input, with finer output than input."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_CONV: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}


class ResidualUNet(nn.Module):
    """U-Net of residual blocks (Zhang et al. 2022, DRUNet, doi:10.1109/TPAMI.2021.3088914, with fewer of them).

    No normalisation and no dropout: SURE differentiates the network by perturbing its input (F-sei). Strided
    convolutions down, pixel shuffling up, so that shifting the input by a multiple of ``grid`` shifts the output.
    Its last layer begins at zero: an untrained network gives 0.

    Parameters
    ----------
    ndim
        2 or 3 spatial axes.
    channels_in, channels_out
        Before and after.
    width
        Features of the first level; every level below has twice as many.
    depth
        Times each axis is halved, one entry an axis; an axis with fewer than the others only at the deepest levels.
    blocks
        Residual blocks a level on the way down; half as many, at least one, on the way up.
    fold
        Pixels along each axis that become features before the first layer, so that it works on a coarser grid.
    rate
        Output pixels to one input pixel along each axis.
    """

    def __init__(
        self,
        *,
        ndim: int,
        channels_in: int,
        channels_out: int,
        width: int,
        depth: Sequence[int],
        blocks: int,
        fold: Sequence[int],
        rate: Sequence[int],
    ) -> None:
        super().__init__()
        self.ndim, self.depth, self.fold, self.rate = ndim, tuple(depth), tuple(fold), tuple(rate)
        self.blocks = blocks
        levels = max(depth)
        self.pools = [tuple(2 if k >= levels - d else 1 for d in depth) for k in range(levels)]
        self.unfold_by = tuple(f * r for f, r in zip(fold, rate, strict=True))
        widths = [width * 2**k for k in range(levels + 1)]
        conv = _CONV[ndim]
        self.stem = conv(channels_in * prod(fold), width, 3, padding=1)
        self.down = nn.ModuleList(_blocks(ndim, w, blocks) for w in widths[:-1])
        self.pool = nn.ModuleList(
            conv(w, 2 * w, p, stride=p)  # type: ignore[arg-type]
            for w, p in zip(widths, self.pools, strict=False)
        )
        self.bottom = _blocks(ndim, widths[-1], blocks)
        self.widen = nn.ModuleList(
            conv(2 * w, w * prod(p), 1) for w, p in reversed(list(zip(widths, self.pools, strict=False)))
        )
        self.up = nn.ModuleList(_blocks(ndim, w, self._blocks_up) for w in reversed(widths[:-1]))
        self.head = conv(width, channels_out * prod(self.unfold_by), 3, padding=1)
        nn.init.zeros_(self.head.weight)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)

    @property
    def _blocks_up(self) -> int:
        return max(1, self.blocks // 2)

    @property
    def grid(self) -> tuple[int, ...]:
        """Input lengths must be multiples of this, and tiles start on multiples of it."""
        return tuple(f * 2**d for f, d in zip(self.fold, self.depth, strict=True))

    @property
    def radius(self) -> tuple[int, ...]:
        """How far an output pixel looks along each axis, in input pixels."""
        return tuple(self._radius(axis) for axis in range(self.ndim))

    def _radius(self, axis: int) -> int:
        scale = self.fold[axis]
        # The stem and the head, and what folding misaligns.
        radius = 2 * scale + (scale - 1)
        for pool in self.pools:
            radius += 2 * (self.blocks + self._blocks_up) * scale + scale * (pool[axis] - 1)
            scale *= pool[axis]
        return radius + 2 * self.blocks * scale

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, channels_in, *S)`` to ``(B, channels_out, *(S * rate))``; S must be multiples of ``grid``."""
        x = self.stem(fold(x, self.fold))
        skips = []
        for pool, blocks in zip(self.pool, self.down, strict=True):
            x = blocks(x)
            skips.append(x)
            x = pool(x)
        x = self.bottom(x)
        for widen, by, blocks in zip(self.widen, reversed(self.pools), self.up, strict=True):
            x = blocks(skips.pop() + unfold(widen(x), by))
        # bfloat16 keeps 8 bits: the sum over features is taken in float32 so that the result has more.
        with torch.autocast(x.device.type, enabled=False):
            return unfold(self.head(x.to(self.head.weight.dtype)), self.unfold_by)


class _Residual(nn.Module):
    def __init__(self, ndim: int, width: int) -> None:
        super().__init__()
        self.first = _CONV[ndim](width, width, 3, padding=1)
        self.second = _CONV[ndim](width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(x)))  # type: ignore[no-any-return]


def _blocks(ndim: int, width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(_Residual(ndim, width) for _ in range(count)))


def fold(x: Tensor, by: Sequence[int]) -> Tensor:
    """``(B, C, *S)`` as ``(B, C * prod(by), *(S / by))``: pixels of a small box become features."""
    if prod(by) == 1:
        return x
    if len(by) == 2 and by[0] == by[1]:
        return F.pixel_unshuffle(x, by[0])
    axes = len(by)
    b, c, *size = x.shape
    split = [n for length, f in zip(size, by, strict=True) for n in (length // f, f)]
    order = [0, 1, *(3 + 2 * a for a in range(axes)), *(2 + 2 * a for a in range(axes))]
    coarse = [length // f for length, f in zip(size, by, strict=True)]
    return x.reshape(b, c, *split).permute(order).reshape(b, c * prod(by), *coarse)


def unfold(x: Tensor, by: Sequence[int]) -> Tensor:
    """The inverse of ``fold``."""
    if prod(by) == 1:
        return x
    if len(by) == 2 and by[0] == by[1]:
        return F.pixel_shuffle(x, by[0])
    axes = len(by)
    b, c, *size = x.shape
    order = [0, 1, *(n for a in range(axes) for n in (2 + axes + a, 2 + a))]
    fine = [n * f for n, f in zip(size, by, strict=True)]
    return x.reshape(b, c // prod(by), *by, *size).permute(order).reshape(b, c // prod(by), *fine)

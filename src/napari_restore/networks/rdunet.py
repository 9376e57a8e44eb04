"""A residual dense U-Net: every convolution of a block sees what all before it gave."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

_CONV: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
_TRANSPOSED: dict[int, type[nn.ConvTranspose2d] | type[nn.ConvTranspose3d]] = {
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}
_LAYERS_A_BLOCK = 4


class RDUNet(nn.Module):
    """RDUNet (Gurrola-Ramos, Dalmau, Alarcon 2021, doi:10.1109/ACCESS.2021.3061062) in 2-D or 3-D.

    A U-Net whose levels are dense blocks with a residual: each of four convolutions sees what all before it gave. PReLU
    and no normalisation, strided convolutions down, transposed ones up with as many taps as steps, so that shifting the
    input by a multiple of ``grid`` shifts the output. The network predicts the noise, with the sign turned, and adds
    its input. Two things differ from the paper's: the last layer begins at zero, so that an untrained network gives its
    input; and it has no PReLU, which would start by cutting corrections downwards to a quarter.

    Parameters
    ----------
    ndim
        2 or 3 spatial axes.
    width
        Features of the first level, 128 in the paper; every level below has twice as many.
    depth
        Times each spatial axis is halved, one entry an axis, 3 in the paper; an axis with fewer than the others is
        halved only at the deepest levels.
    blocks
        Dense blocks a level, on the way down and on the way up.
    channels
        Channels in and out.
    """

    def __init__(self, *, ndim: int, width: int, depth: Sequence[int], blocks: int = 2, channels: int = 1) -> None:
        super().__init__()
        if len(depth) != ndim or min(depth) < 0 or max(depth) < 1:
            raise ValueError(f"depth {tuple(depth)}: a {ndim}-D network needs {ndim} entries, one of them at least 1.")
        if width < 2 or blocks < 1:
            raise ValueError(f"width {width} and {blocks} blocks: a network needs a width of 2 and 1 block at least.")
        self.ndim, self.width, self.depth, self.blocks = ndim, width, tuple(depth), blocks
        levels = max(depth)
        self.pools = [tuple(2 if k >= levels - d else 1 for d in depth) for k in range(levels)]
        widths = [width * 2**k for k in range(levels + 1)]
        self.stem = nn.Sequential(*_layer(ndim, channels, width), *_layer(ndim, width, width))
        self.down = nn.ModuleList(_dense_blocks(ndim, w, blocks) for w in widths[:-1])
        self.pool = nn.ModuleList(_halve(ndim, w, pool) for w, pool in zip(widths, self.pools, strict=False))
        self.bottom = _dense_blocks(ndim, widths[-1], blocks)
        climbing = list(reversed(list(zip(widths, self.pools, strict=False))))
        self.unpool = nn.ModuleList(_double(ndim, 2 * w, pool) for w, pool in climbing)
        self.join = nn.ModuleList(nn.Sequential(*_layer(ndim, 3 * w, w)) for w, _ in climbing)
        self.up = nn.ModuleList(_dense_blocks(ndim, w, blocks) for w, _ in climbing)
        self.last = nn.Sequential(*_layer(ndim, width, width))
        self.head = _CONV[ndim](width, channels, 3, padding=1)
        nn.init.zeros_(self.head.weight)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)

    @property
    def grid(self) -> tuple[int, ...]:
        """Input lengths must be multiples of this, and tiles start on multiples of it: 2^depth an axis."""
        return tuple(2**d for d in self.depth)

    @property
    def radius(self) -> tuple[int, ...]:
        """How far an output pixel looks along each axis, in pixels."""
        return tuple(self._radius(axis) for axis in range(self.ndim))

    def _radius(self, axis: int) -> int:
        level = _LAYERS_A_BLOCK * self.blocks
        # Two convolutions before the first level and two after it.
        scale, radius = 1, 4
        for pool in self.pools:
            # Down, joined with what comes from below, and up; halving and doubling misalign by one less.
            radius += (2 * level + 1) * scale + scale * (pool[axis] - 1)
            scale *= pool[axis]
        return radius + level * scale

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, channels, *S)`` to the same shape; S must be multiples of ``grid``."""
        features = self.stem(x)
        skips = []
        for blocks, pool in zip(self.down, self.pool, strict=True):
            features = blocks(features)
            skips.append(features)
            features = pool(features)
        features = self.bottom(features)
        for unpool, join, blocks in zip(self.unpool, self.join, self.up, strict=True):
            features = blocks(join(torch.cat([unpool(features), skips.pop()], 1)))
        features = self.last(features)
        # bfloat16 keeps 8 bits: the sums over features and with the input are taken in float32.
        with torch.autocast(x.device.type, enabled=False):
            bits = self.head.weight.dtype
            return x.to(bits) + self.head(features.to(bits))  # type: ignore[no-any-return]


class _PReLU(nn.PReLU):
    """One slope a feature; in bfloat16 where its input is."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.prelu(x, self.weight.to(x.dtype))


class _Dense(nn.Module):
    """Four convolutions, each with half the features of the block, the last with all; their sum with the input."""

    def __init__(self, ndim: int, width: int) -> None:
        super().__init__()
        grown = max(1, width // 2)
        before = [width + k * grown for k in range(_LAYERS_A_BLOCK)]
        after = [grown] * (_LAYERS_A_BLOCK - 1) + [width]
        self.layers = nn.ModuleList(nn.Sequential(*_layer(ndim, a, b)) for a, b in zip(before, after, strict=True))

    def forward(self, x: Tensor) -> Tensor:
        seen = x
        for layer in self.layers[:-1]:
            seen = torch.cat([seen, layer(seen)], 1)
        return x + self.layers[-1](seen)  # type: ignore[no-any-return]


def _dense_blocks(ndim: int, width: int, count: int) -> nn.Sequential:
    return nn.Sequential(*(_Dense(ndim, width) for _ in range(count)))


def _layer(ndim: int, before: int, after: int) -> list[nn.Module]:
    conv = _CONV[ndim](before, after, 3, padding=1)
    nn.init.kaiming_normal_(conv.weight, a=0.25)
    return [conv, _PReLU(after)]


def _halve(ndim: int, width: int, pool: tuple[int, ...]) -> nn.Sequential:
    return nn.Sequential(_CONV[ndim](width, 2 * width, pool, stride=pool), _PReLU(2 * width))  # type: ignore[arg-type]


def _double(ndim: int, width: int, pool: tuple[int, ...]) -> nn.Sequential:
    return nn.Sequential(_TRANSPOSED[ndim](width, width, pool, stride=pool), _PReLU(width))  # type: ignore[arg-type]

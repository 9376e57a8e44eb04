"""A U-Net whose tiles are exact: no statistics over space, nearest upsampling, a known receptive radius."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_CONV: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
_NORM: dict[int, type[nn.BatchNorm2d] | type[nn.BatchNorm3d]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


class UNet(nn.Module):
    """U-Net (Ronneberger et al., MICCAI 2015, doi:10.1007/978-3-319-24574-4_28) in 2-D or 3-D.

    Two 3-tap convolutions a level, max pooling by 2, nearest upsampling, concatenated skips. Batch
    normalisation is an affine map once trained, so an output pixel depends on its receptive field alone, and
    shifting the input by a multiple of ``grid`` shifts the output.

    Parameters
    ----------
    ndim
        2 or 3 spatial axes.
    width
        Channels of the first level; every level below has twice as many.
    depth
        Times each spatial axis is halved, one entry an axis; an axis with fewer than the others is pooled
        only at the deepest levels.
    channels
        Channels in and out.
    """

    def __init__(self, *, ndim: int, width: int, depth: Sequence[int], channels: int = 1) -> None:
        super().__init__()
        if len(depth) != ndim or min(depth) < 0 or max(depth) < 1:
            raise ValueError(f"depth {tuple(depth)}: a {ndim}-D network needs {ndim} entries, one of them at least 1.")
        self.ndim, self.width, self.depth = ndim, width, tuple(depth)
        levels = max(depth)
        self.pools = [tuple(2 if k >= levels - d else 1 for d in depth) for k in range(levels)]
        widths = [width * 2**k for k in range(levels + 1)]
        self.down = nn.ModuleList(_block(ndim, a, b, b) for a, b in pairwise([channels, *widths[:-1]]))
        self.bottom = _block(ndim, widths[-2], widths[-1], widths[-2])
        self.up = nn.ModuleList(
            _block(ndim, 2 * w, w, widths[max(k - 1, 0)]) for k, w in reversed(list(enumerate(widths[:-1])))
        )
        self.head = _CONV[ndim](width, channels, 1)

    @property
    def grid(self) -> tuple[int, ...]:
        """Input lengths must be multiples of this, and tiles start on multiples of it: 2^depth an axis."""
        return tuple(2**d for d in self.depth)

    @property
    def radius(self) -> tuple[int, ...]:
        """How far an output pixel looks along each axis, in pixels (7 * 2^d - 5 where all levels pool)."""
        return tuple(self._radius(axis) for axis in range(self.ndim))

    def _radius(self, axis: int) -> int:
        scale, radius = 1, 0
        for pool in self.pools:
            # Two convolutions on the way down and two on the way up; pooling and upsampling misalign by one less.
            radius += 4 * scale + scale * (pool[axis] - 1)
            scale *= pool[axis]
        return radius + 2 * scale

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, channels, *S)`` to the same shape; S must be multiples of ``grid``."""
        skips = []
        for pool, block in zip(self.pools, self.down, strict=True):
            x = block(x)
            skips.append(x)
            x = F.max_pool2d(x, pool) if self.ndim == 2 else F.max_pool3d(x, pool)
        x = self.bottom(x)
        for pool, block in zip(reversed(self.pools), self.up, strict=True):
            x = F.interpolate(x, scale_factor=[float(p) for p in pool], mode="nearest")
            x = block(torch.cat([x, skips.pop()], 1))
        # bfloat16 keeps 8 bits: the sum over features is taken in float32 so that the result has more.
        with torch.autocast(x.device.type, enabled=False):
            return self.head(x.float())  # type: ignore[no-any-return]


def _block(ndim: int, first: int, middle: int, last: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in ((first, middle), (middle, last)):
        layers += [
            _CONV[ndim](a, b, 3, padding=1, bias=False),
            _NORM[ndim](b, momentum=0.05),
            nn.LeakyReLU(0.1, inplace=True),
        ]
    return nn.Sequential(*layers)


def fold_batch_norm(network: nn.Module) -> nn.Module:
    """Fold every batch normalisation that follows a convolution into it, in place; for restoring only."""
    network.eval()
    for module in network.modules():
        if not isinstance(module, nn.Sequential):
            continue
        for (name, layer), (after, norm) in pairwise(list(module.named_children())):
            if isinstance(layer, nn.Conv2d | nn.Conv3d) and isinstance(norm, nn.BatchNorm2d | nn.BatchNorm3d):
                setattr(module, name, fuse_conv_bn_eval(layer, norm))
                setattr(module, after, nn.Identity())
    return network

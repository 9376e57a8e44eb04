"""A U-Net whose tiles are exact: no statistics over space, nearest upsampling, a known receptive radius."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_CONV: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
_MAX_POOL = {2: F.max_pool2d, 3: F.max_pool3d}
_CONVOLVE = {2: F.conv2d, 3: F.conv3d}
_NORM: dict[int, type[nn.BatchNorm2d] | type[nn.BatchNorm3d]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}

Pooling = Literal["max", "blur"]


class UNet(nn.Module):
    """U-Net (Ronneberger et al., MICCAI 2015, doi:10.1007/978-3-319-24574-4_28) in 2-D or 3-D.

    Two 3-tap convolutions a level, pooling by 2, nearest upsampling, concatenated skips. Batch
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
    channels_in, channels_out
        Before and after.
    pooling
        ``"max"``, or ``"blur"`` for ``MaxBlurPool``, which aliases less.
    top_skip
        Whether the first level's features go straight to the last block. Without, everything has been pooled at least
        once, as in N2V2 (Hoeck et al., ECCV 2022 workshops, doi:10.1007/978-3-031-25069-9_33).
    dropout
        Share of the features that each level leaves out on the way up while it learns.
    """

    def __init__(
        self,
        *,
        ndim: int,
        width: int,
        depth: Sequence[int],
        channels_in: int = 1,
        channels_out: int = 1,
        pooling: Pooling = "max",
        top_skip: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if pooling not in get_args(Pooling):
            raise ValueError(f"pooling {pooling!r}: it is one of {', '.join(get_args(Pooling))}.")
        if len(depth) != ndim or min(depth) < 0 or max(depth) < 1:
            raise ValueError(f"depth {tuple(depth)}: a {ndim}-D network needs {ndim} entries, one of them at least 1.")
        self.ndim, self.width, self.depth = ndim, width, tuple(depth)
        self.pooling, self.top_skip = pooling, top_skip
        levels = max(depth)
        self.pools = [tuple(2 if k >= levels - d else 1 for d in depth) for k in range(levels)]
        self.pool = nn.ModuleList(MaxPool(p) if pooling == "max" else MaxBlurPool(p) for p in self.pools)
        widths = [width * 2**k for k in range(levels + 1)]
        self.down = nn.ModuleList(_block(ndim, a, b, b) for a, b in pairwise([channels_in, *widths[:-1]]))
        self.bottom = _block(ndim, widths[-2], widths[-1], widths[-2])
        self.up = nn.ModuleList(
            _block(ndim, 2 * w if k or top_skip else w, w, widths[max(k - 1, 0)])
            for k, w in reversed(list(enumerate(widths[:-1])))
        )
        if dropout:
            self.up = nn.ModuleList(nn.Sequential(*block.children(), nn.Dropout(dropout)) for block in self.up)
        self.head = _CONV[ndim](width, channels_out, 1)

    @property
    def grid(self) -> tuple[int, ...]:
        """Input lengths must be multiples of this, and tiles start on multiples of it: 2^depth an axis."""
        return tuple(2**d for d in self.depth)

    @property
    def radius(self) -> tuple[int, ...]:
        """How far an output pixel looks along each axis, in pixels.

        7 * 2^d - 5 where all levels pool, and 8 * 2^d - 6 where they blur, too.
        """
        return tuple(self._radius(axis) for axis in range(self.ndim))

    def _radius(self, axis: int) -> int:
        scale, radius = 1, 0
        for pool in self.pools:
            # Two convolutions on the way down and two on the way up; pooling and upsampling misalign by one less,
            # and a blurred pool sees one more on either side.
            blurred = self.pooling == "blur" and pool[axis] > 1
            radius += 4 * scale + scale * (pool[axis] - 1 + blurred)
            scale *= pool[axis]
        return radius + 2 * scale

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, channels_in, *S)`` to ``(B, channels_out, *S)``; S must be multiples of ``grid``."""
        skips = []
        for pool, block in zip(self.pool, self.down, strict=True):
            x = block(x)
            skips.append(x)
            x = pool(x)
        x = self.bottom(x)
        for size, block in zip(reversed(self.pools), self.up, strict=True):
            x = F.interpolate(x, scale_factor=[float(n) for n in size], mode="nearest")
            skip, is_top = skips.pop(), not skips
            x = block(x if is_top and not self.top_skip else torch.cat([x, skip], 1))
        # bfloat16 keeps 8 bits: the sum over features is taken in float32 so that the result has more.
        with torch.autocast(x.device.type, enabled=False):
            return self.head(x.float())  # type: ignore[no-any-return]


class MaxPool(nn.Module):
    """The largest of each cell of ``size`` pixels, 1 or 2 along each spatial axis."""

    def __init__(self, size: Sequence[int]) -> None:
        super().__init__()
        self.size = tuple(size)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to ``(B, C, *(S / size))``."""
        return _MAX_POOL[len(self.size)](x, self.size)


class MaxBlurPool(MaxPool):
    """The largest of every two neighbours, blurred by 1-2-1 before every other is kept.

    Zhang, ICML 2019, arXiv:1904.11486. Max pooling alone lets through frequencies that the coarser grid
    cannot hold. A cell sees one pixel more on either side, zeros beyond the border as in the convolutions, so it is
    symmetric about the cell's centre. An axis of ``size`` 1 is left alone.
    """

    kernel: Tensor

    def __init__(self, size: Sequence[int]) -> None:
        super().__init__(size)
        kernel = torch.ones(1)
        for length in self.size:
            kernel = kernel[..., None] * torch.tensor([0.25, 0.5, 0.25] if length > 1 else [1.0])
        self.register_buffer("kernel", kernel, persistent=False)  # (1, *K), a constant: models do not hold it

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to ``(B, C, *(S / size))``."""
        ndim, features = len(self.size), x.shape[1]
        margin = [n - 1 for length in reversed(self.size) for n in (length, length)]
        largest = _MAX_POOL[ndim](F.pad(x, margin), self.size, stride=1)
        kernel = self.kernel.to(largest.dtype).expand(features, 1, *self.kernel.shape[1:])
        return _CONVOLVE[ndim](largest, kernel, stride=self.size, groups=features)


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

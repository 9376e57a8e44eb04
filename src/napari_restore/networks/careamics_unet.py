"""The U-Net of CAREamics, layer by layer under the names of its weights, so that weights that it trained fit here."""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_restore.networks.unet import MaxBlurPool, MaxPool

_CONV: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
_NORM: dict[int, type[nn.BatchNorm2d] | type[nn.BatchNorm3d]] = {2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
_CONVOLVE = {2: F.conv2d, 3: F.conv3d}
_LARGEST = {2: F.max_pool2d, 3: F.max_pool3d}
_LINEAR = {2: "bilinear", 3: "trilinear"}


class CareamicsUNet(nn.Module):
    """U-Net of CAREamics (https://careamics.github.io; BSD-3-Clause), after that of Noise2Void.

    Two 3-tap convolutions a level, pooling by 2 along every axis, linear upsampling, concatenated skips.

    Parameters
    ----------
    ndim
        2 or 3 spatial axes.
    channels
        Before and after.
    width
        Features of the first level, for each channel where these are ``apart``; every level below has twice as many.
    depth
        Times each axis is halved.
    n2v2
        Whether pooling blurs and the first level has no skip (Hoeck et al. 2022, doi:10.1007/978-3-031-25069-9_33).
    batch_norm
        Whether features are normalised after each convolution.
    residual
        Whether its input is added to what it gives.
    apart
        Whether each channel has weights of its own.
    """

    def __init__(
        self,
        *,
        ndim: int,
        channels: int = 1,
        width: int = 32,
        depth: int = 2,
        n2v2: bool = False,
        batch_norm: bool = True,
        residual: bool = False,
        apart: bool = True,
    ) -> None:
        super().__init__()
        self.ndim, self.depth, self.n2v2, self.residual = ndim, depth, n2v2, residual
        self.groups = channels if apart else 1
        widths = [width * self.groups * 2**level for level in range(depth)]
        pool = _BlurredPool((2,) * ndim) if n2v2 else MaxPool((2,) * ndim)
        down: list[nn.Module] = []
        for before, after in zip([channels, *widths], widths, strict=False):
            down += [self._block(before, after, after, batch_norm), pool]
        up: list[nn.Module] = []
        for level in reversed(range(depth)):
            seen = widths[level] * (1 if n2v2 and not level else 2)
            after = widths[max(level - 1, 0)]
            up += [nn.Identity(), self._block(seen, after * (2 if level else 1), after, batch_norm)]
        self.encoder = nn.ModuleDict({"encoder_blocks": nn.ModuleList(down)})
        bottom = self._block(widths[-1], 2 * widths[-1], widths[-1], batch_norm)
        self.decoder = nn.ModuleDict({"bottleneck": bottom, "decoder_blocks": nn.ModuleList(up)})
        self.final_conv = _CONV[ndim](widths[0], channels, 1, groups=self.groups)

    def _block(self, before: int, between: int, after: int, batch_norm: bool) -> nn.Sequential:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for number, (a, b) in enumerate(((before, between), (between, after)), start=1):
            layers[f"conv{number}"] = _CONV[self.ndim](a, b, 3, padding=1, groups=self.groups)
            if batch_norm:
                layers[f"batch_norm{number}"] = _NORM[self.ndim](b)
            layers[f"activation{number}"] = nn.ReLU(inplace=True)
        return nn.Sequential(layers)

    @property
    def grid(self) -> tuple[int, ...]:
        """Input lengths must be multiples of this, and tiles start on multiples of it."""
        return (2**self.depth,) * self.ndim

    @property
    def radius(self) -> tuple[int, ...]:
        """How far an output pixel looks along each axis, in pixels."""
        return (max(self._reach(pixel) for pixel in range(2**self.depth)),) * self.ndim

    def _reach(self, pixel: int) -> int:
        """How far an output pixel at this place on the grid looks: from the last layer back to the first."""
        low = high = pixel
        for _ in range(self.depth):
            low, high = low - 2, high + 2
            low, high = (2 * low - 1) // 4, (2 * high - 1) // 4 + 1  # linear, between the two nearest centres
        low, high = low - 2, high + 2
        for _ in range(self.depth):
            low, high = 2 * low - self.n2v2, 2 * high + 1 + self.n2v2
            low, high = low - 2, high + 2
        return max(pixel - low, high - pixel)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, channels, *S)`` to the same shape; S must be multiples of ``grid``."""
        given, skips = x, []
        down, up = self.encoder["encoder_blocks"], self.decoder["decoder_blocks"]
        assert isinstance(down, nn.ModuleList)
        assert isinstance(up, nn.ModuleList)
        for level in range(self.depth):
            skips.append(down[2 * level](x))
            x = down[2 * level + 1](skips[-1])
        x = self.decoder["bottleneck"](x)
        for level in reversed(range(self.depth)):
            x = F.interpolate(x, scale_factor=2.0, mode=_LINEAR[self.ndim])
            if level or not self.n2v2:
                x = _beside(x, skips[level], self.groups)
            x = up[2 * (self.depth - 1 - level) + 1](x)
        restored: Tensor = self.final_conv(x)
        return restored + given if self.residual else restored


class _BlurredPool(MaxBlurPool):
    """``MaxBlurPool`` that sees nothing where a pair of neighbours would reach beyond the border."""

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, C, *S)`` to ``(B, C, *(S / 2))``."""
        ndim, features = len(self.size), x.shape[1]
        largest = _LARGEST[ndim](x, 2, stride=1)
        kernel = self.kernel.to(largest.dtype).expand(features, 1, *self.kernel.shape[1:])
        return _CONVOLVE[ndim](largest, kernel, stride=2, padding=1, groups=features)


def _beside(first: Tensor, second: Tensor, groups: int) -> Tensor:
    """The features of both, those of each channel together."""
    pairs = zip(first.chunk(groups, 1), second.chunk(groups, 1), strict=True)
    return torch.cat([part for pair in pairs for part in pair], 1)

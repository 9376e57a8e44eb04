"""Base of the methods whose network sees the image after it was interpolated to the fine grid."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from napari_restore import networks
from napari_restore.methods.imaging import Imaging


class FineGrid(Imaging):
    """As ``Imaging``, but the network works on what interpolation gives, as many pixels in as out.

    Slower than a network on the measured grid, by the factor along each axis; it is what early papers do.
    """

    shown = 1
    """Channels that the network is shown."""

    def build(self) -> Any:
        """A new network from the fine grid to itself."""
        config = self.config
        return networks.build(
            "residual_unet",
            ndim=len(self.spatial),
            channels_in=self.shown,
            channels_out=1,
            width=config.width,
            depth=[0 if axis == "Z" else config.depth for axis in self.spatial],
            blocks=config.blocks,
            fold=[1 if axis == "Z" else 2 for axis in self.spatial],
            rate=(1,) * len(self.spatial),
        )

    @property
    def radius(self) -> tuple[int, ...]:
        """Of the network, on top of that of the filters before it."""
        inverse = self.inverse.margin if self.inverse is not None else (0,) * len(self.spatial)
        each = zip(self.interpolate.radius, inverse, self.network.radius, self.rate, strict=True)
        return tuple(i + -(-(f + n) // r) for i, f, n, r in each)

    @property
    def grid(self) -> tuple[int, ...]:
        """Of the network, in measured pixels."""
        return tuple(g // math.gcd(g, r) for g, r in zip(self.network.grid, self.rate, strict=True))

    def restore(self, pixels: Tensor) -> Tensor:
        """The start from physics, and what the network adds to it."""
        restored = self.improved(self.plain(pixels.flatten(0, 1)[:, None]))
        return restored.view(*pixels.shape[:2], *restored.shape[2:])

    def improved(self, start: Tensor, *more: Tensor) -> Tensor:
        """Single-channel samples on the fine grid, and what the network adds; it may be shown ``more`` channels."""
        seen = torch.cat([start, *more], 1) if more else start
        layout = torch.channels_last if start.ndim == 4 else torch.channels_last_3d
        added: Tensor = self.network(seen.contiguous(memory_format=layout))
        return start + added.float()

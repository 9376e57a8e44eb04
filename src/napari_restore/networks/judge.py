"""A small network that tells restored images from others, patch by patch."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

_SLOPE = 0.2


class Judge(nn.Module):
    """PatchGAN (Isola et al. 2017, doi:10.1109/CVPR.2017.632, section 3.2) in 2-D, small and without normalisation.

    Parameters
    ----------
    width
        Features of the first layer; each of the next has twice as many and half of the pixels along Y and X.
    """

    def __init__(self, *, width: int) -> None:
        super().__init__()
        widths = [1, width, 2 * width, 4 * width]
        layers: list[nn.Module] = []
        for a, b in pairwise(widths):
            layers += [nn.Conv2d(a, b, 4, stride=2, padding=1), nn.LeakyReLU(_SLOPE)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(widths[-1], 1, 3, padding=1))

    def forward(self, planes: Tensor) -> Tensor:
        """Map ``(N, 1, Y, X)`` to ``(N, 1, Y / 8, X / 8)``: large where it looks true."""
        told: Tensor = self.layers(planes)
        return told

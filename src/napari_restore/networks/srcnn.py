"""Three convolutions, as the first network for super-resolution had."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_CONV: dict[int, type[nn.Conv2d] | type[nn.Conv3d]] = {2: nn.Conv2d, 3: nn.Conv3d}
_SIDES = (9, 5, 5)


class SRCNN(nn.Module):
    """SRCNN 9-5-5 (Dong, Loy, He, Tang 2016, doi:10.1109/TPAMI.2015.2439281). Its last layer begins at zero.

    Parameters
    ----------
    ndim
        2 or 3 spatial axes.
    width
        Features of the first layer, an even number; the second has half of them.
    """

    def __init__(self, *, ndim: int, width: int) -> None:
        super().__init__()
        conv, (first, second, last) = _CONV[ndim], _SIDES
        self.ndim = ndim
        self.first = conv(1, width, first, padding=first // 2)
        self.second = conv(width, max(1, width // 2), second, padding=second // 2)
        self.head = conv(max(1, width // 2), 1, last, padding=last // 2)
        nn.init.zeros_(self.head.weight)
        assert self.head.bias is not None
        nn.init.zeros_(self.head.bias)

    @property
    def grid(self) -> tuple[int, ...]:
        """Any pixel."""
        return (1,) * self.ndim

    @property
    def radius(self) -> tuple[int, ...]:
        """How far an output pixel looks along each axis, in pixels."""
        return (sum(side // 2 for side in _SIDES),) * self.ndim

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, 1, *S)`` to the same shape."""
        x = F.relu(self.second(F.relu(self.first(x))))
        with torch.autocast(x.device.type, enabled=False):
            added: Tensor = self.head(x.to(self.head.weight.dtype))
        return added

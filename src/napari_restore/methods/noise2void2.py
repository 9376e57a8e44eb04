"""Noise2Void2: Noise2Void with a network and stand-ins for hidden pixels that leave no checkerboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Interval
from torch import Tensor

from napari_restore.methods import METHODS
from napari_restore.methods.method import Fit
from napari_restore.methods.neighbours import Neighbours, with_neighbours
from napari_restore.methods.noise2void import Noise2Void, Noise2VoidConfig, around
from napari_restore.sources import Image


@dataclass(frozen=True)
class Noise2Void2Config(Noise2VoidConfig):
    """Settings of Noise2Void2: those of Noise2Void.

    Attributes
    ----------
    neighbourhood
        A hidden pixel is replaced by the median of those at most this many pixels away along each axis.
    neighbours
        Planes to either side, along Z or time, that are looked at beside each plane. ``"auto"`` trains with one and
        with none at first, and goes on with what predicts pixels held out better.
    """

    neighbourhood: Annotated[int, Interval(ge=1, le=8)] = 2
    neighbours: Neighbours = "auto"


class Noise2Void2(Noise2Void):
    """N2V2 (Hoeck, Buchholz, Brachmann, Jug, Freytag, ECCV 2022 workshops, doi:10.1007/978-3-031-25069-9_33).

    Noise2Void at times leaves a checkerboard. Here pooling blurs, the skip at full resolution is gone,
    and a hidden pixel is replaced by the median of its neighbours rather than one of them. Of few photons the median is
    below the mean, and what was learned 2 to 8 % too bright, which ``Denoiser.line`` takes back.
    """

    listed = METHODS["noise2void2"]
    Config = Noise2Void2Config
    unet: ClassVar[Mapping[str, Any]] = {"pooling": "blur", "top_skip": False}
    config: Noise2Void2Config

    @classmethod
    def fit_to(cls, config: Noise2VoidConfig, images: Sequence[Image]) -> Fit:
        """As for Noise2Void, and which planes are looked at beside each."""
        return with_neighbours(super().fit_to(config, images), images)

    def shown(self, pixels: Tensor, hidden: Tensor, rng: torch.Generator) -> Tensor:
        """What the network sees of ``pixels``: each hidden one replaced by the median of its visible neighbours."""
        hidden = hidden.to(pixels.device, non_blocking=True)
        flat = pixels.flatten(2)
        stand_in = visible_median(flat, hidden, pixels.shape[2:], self.config.neighbourhood)
        return flat.scatter(2, hidden[:, None].expand_as(stand_in), stand_in).view_as(pixels)


def visible_median(flat: Tensor, hidden: Tensor, shape: tuple[int, ...], radius: int) -> Tensor:
    """Median of the pixels around each hidden one that are not hidden themselves; 0 where all are.

    Other hidden pixels are left out, which the paper does not say: through one the network would see part of the value
    that it is to predict at the other.

    Parameters
    ----------
    flat
        Pixels ``(B, C, N)``, ``shape`` flattened.
    hidden
        Positions ``(B, K)`` in it, on the same device.
    radius
        At most so many pixels away along each axis, inside the patch.

    Returns
    -------
    Tensor
        ``(B, C, K)``; of an even number of pixels the mean of the middle two.
    """
    offsets = box(len(shape), radius, hidden.device)
    offsets = offsets[(offsets.abs() < torch.tensor(shape, device=hidden.device)).all(1)]
    window = around(hidden, offsets, shape)
    is_hidden = torch.zeros_like(flat[:, 0], dtype=torch.bool).scatter_(1, hidden, True)
    seen = ~is_hidden.gather(1, window.flatten(1)).view_as(window)[:, None].expand(-1, flat.shape[1], -1, -1)
    values = flat.gather(2, window.flatten(1)[:, None].expand(-1, flat.shape[1], -1)).view_as(seen)
    ordered = values.masked_fill(~seen, torch.inf).sort(-1).values
    count = seen.sum(-1, keepdim=True)
    middle = torch.cat([(count - 1).clamp_(min=0) // 2, count // 2], -1)
    return ordered.gather(-1, middle).mean(-1).masked_fill(count[..., 0] == 0, 0)


def box(axes: int, radius: int, device: torch.device | None = None) -> Tensor:
    """Offsets ``((2 radius + 1)^axes, axes)`` of the pixels around one, and its own."""
    side = torch.arange(-radius, radius + 1, device=device)
    return torch.cartesian_prod(*[side] * axes).view(-1, axes)

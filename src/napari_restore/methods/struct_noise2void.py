"""Structured Noise2Void: hide with a pixel those around it whose noise is correlated with its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, get_args

import numpy as np
import torch
from annotated_types import Interval
from pydantic import BeforeValidator
from torch import Tensor

from napari_restore.core.errors import ImageError
from napari_restore.methods import METHODS
from napari_restore.methods.method import Batch, Fit
from napari_restore.methods.noise2void import Noise2Void, Noise2VoidConfig, around, draw_hidden, draw_visible
from napari_restore.sources import Image

_COVERED = 0.25
_LONGEST = 33
Direction = Literal["horizontal", "vertical", "cross"]


def as_text(mask: Any) -> str:
    """A mask in one way of writing: a direction, or rows (and planes) of 0 and 1 in brackets, as in JSON.

    Raises
    ------
    ValueError
        If it is neither, a side is even or longer than 33 pixels, or it has other than 2 or 3 axes.
    """
    if isinstance(mask, str) and mask in get_args(Direction):
        return mask
    try:
        pixels = np.array(json.loads(mask) if isinstance(mask, str) else mask)
    except ValueError:
        pixels = np.array(None)
    if pixels.ndim not in (2, 3) or not np.isin(pixels, (0, 1)).all():
        raise ValueError(
            f"a mask is {', '.join(get_args(Direction))}, or rows (or planes of rows) of 0 and 1 such as [[1, 1, 1]]"
        )
    for side in pixels.shape:
        if side % 2 == 0 or side > _LONGEST:
            raise ValueError(f"a side of {side} pixels: the sides of a mask are odd, {_LONGEST} at most")
    return json.dumps(pixels.astype(int).tolist())


@dataclass(frozen=True)
class StructNoise2VoidConfig(Noise2VoidConfig):
    """Settings of structured Noise2Void: those of Noise2Void, and what is hidden with a pixel.

    Attributes
    ----------
    mask
        ``"horizontal"`` hides pixels along X, ``"vertical"`` along Y, ``"cross"`` both. Or any mask as rows of 0 and 1
        about the pixel in its middle, such as ``[[1, 1, 1, 1, 1]]``, with odd sides; planes of rows for three axes.
    extent
        Pixels that a direction hides on each side. As many as the noise is correlated over: more cost sharpness.
    """

    mask: Annotated[str, BeforeValidator(as_text)] = "horizontal"
    extent: Annotated[int, Interval(ge=1, le=_LONGEST // 2)] = 4


class StructNoise2Void(Noise2Void):
    """structN2V (Broaddus, Krull, Weigert, Schmidt, Myers, ISBI 2020, doi:10.1109/ISBI45749.2020.9098336).

    Right where noise is correlated over a few pixels along known directions, as by readout or reconstruction:
    Noise2Void predicts such noise from its neighbours. Every masked pixel of every hidden one is replaced.
    """

    listed = METHODS["struct_noise2void"]
    Config = StructNoise2VoidConfig
    config: StructNoise2VoidConfig

    def __init__(self, config: StructNoise2VoidConfig, *, spatial: str, channels: int) -> None:
        super().__init__(config, spatial=spatial, channels=channels)
        mask = mask_pixels(config.mask, config.extent)
        self._mask = mask[(None,) * (len(spatial) - mask.ndim)]

    @classmethod
    def fit_to(cls, config: Noise2VoidConfig, images: Sequence[Image]) -> Fit:
        """As for Noise2Void; a mask of three axes looks along three.

        Unasked no patches that look alike are looked for: they hold no more than a piece of a line of noise.
        """
        assert isinstance(config, StructNoise2VoidConfig)
        config = replace(config, similar="no") if config.similar == "auto" else config
        mask = mask_pixels(config.mask, config.extent)
        if mask.ndim == 3:
            if config.dimensions == "2":
                raise ImageError("the mask has three axes and dimensions is 2: use dimensions 3, or a mask of rows.")
            config = replace(config, dimensions="3")
        fit = super().fit_to(config, images)
        lengths = [images[0].geometry.length(axis) for axis in fit.spatial[-mask.ndim :]]
        if mask.all() and all(n <= side for n, side in zip(lengths, mask.shape, strict=True)):
            raise ImageError(
                f"axis {fit.spatial[-1]}: a mask of {mask.shape[-1]} px can hide all {lengths[-1]} px of the image. "
                f"Use one of at most {lengths[-1] // 2 * 2 - 1} px."
            )
        return fit

    @property
    def turns(self) -> bool:
        """Only with a mask that is the same from all sides: patches that are turned have their noise turned, too."""
        mask = self._mask
        flipped = all(torch.equal(mask, mask.flip(axis)) for axis in range(mask.ndim))
        return flipped and torch.equal(mask, mask.transpose(-1, -2))

    def hide(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Positions ``(B, K)`` to predict: so few, and in cells so large, that masks cover a quarter at most.

        Of those that the batch brings, the first.
        """
        fraction = _COVERED / int(self._mask.sum())
        shape = batch.pixels.shape[2:]
        if batch.hidden is not None:
            return batch.hidden[:, : max(1, int(fraction * shape.numel()))]
        return draw_hidden(self.config.sampler, min(self.config.masked, fraction), len(batch.pixels), shape, rng)

    def shown(self, pixels: Tensor, hidden: Tensor, rng: torch.Generator) -> Tensor:
        """What the network sees of ``pixels``: all under a mask replaced by a neighbour that is under none.

        Where a mask leaves no neighbour, by any such pixel of the patch.
        """
        shape = pixels.shape[2:]
        masked = under(self._mask, hidden, shape)
        near, none_near = draw_visible(masked, shape, self.config.neighbourhood, rng)
        far, none_at_all = draw_anywhere(masked, shape.numel(), rng)
        # Where masks overlap a pixel is replaced twice: which of the two counts must not be up to the device.
        source = torch.arange(shape.numel()).repeat(len(masked), 1)
        source.scatter_(1, masked, torch.where(none_near, far, near))
        source, none_at_all = (t[:, None].to(pixels.device, non_blocking=True) for t in (source, none_at_all))
        flat = pixels.flatten(2)
        return flat.gather(2, source.expand_as(flat)).masked_fill(none_at_all, 0).view_as(pixels)


def mask_pixels(mask: Any, extent: int) -> Tensor:
    """A mask as bool pixels of two or three axes, with odd sides and its middle set."""
    text, side = as_text(mask), 2 * extent + 1
    if text == "cross":
        pixels = torch.zeros(side, side, dtype=torch.bool)
        pixels[extent] = pixels[:, extent] = True
    elif text in get_args(Direction):
        pixels = torch.ones((1, side) if text == "horizontal" else (side, 1), dtype=torch.bool)
    else:
        pixels = torch.tensor(json.loads(text), dtype=torch.bool)
    pixels[tuple(n // 2 for n in pixels.shape)] = True
    return pixels


def under(mask: Tensor, hidden: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Positions ``(B, P)`` in the flattened ``shape`` under the masks of ``hidden (B, K)``, some several times."""
    return around(hidden, mask.nonzero() - torch.tensor(mask.shape) // 2, shape).flatten(1)


def draw_anywhere(masked: Tensor, total: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """For each masked position ``(B, P)`` one that is not, each equally likely; and where ``(B, 1)`` there is none."""
    is_free = torch.ones(len(masked), total, dtype=torch.bool).scatter_(1, masked, False)
    count = is_free.sum(1, keepdim=True)
    # One entry more, for a patch that is masked all over after the last free position.
    free = torch.cat([is_free.nonzero()[:, 1], torch.zeros(1, dtype=torch.long)])
    pick = (torch.rand(masked.shape, generator=rng) * count).long().minimum((count - 1).clamp_(min=0))
    return free[count.cumsum(0) - count + pick], count == 0

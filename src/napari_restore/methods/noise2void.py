"""Noise2Void: learn to denoise from the noisy image alone, by predicting hidden pixels from their surroundings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Interval
from pydantic import BeforeValidator
from torch import Tensor, nn

from napari_restore import networks
from napari_restore.core.events import Note
from napari_restore.methods import METHODS
from napari_restore.methods.kept import REACH, Floor, floor_of, kept, noise_by, share_kept
from napari_restore.methods.method import Batch, Fit
from napari_restore.methods.neighbours import own
from napari_restore.methods.refining import PATCHES, Refining, RefiningConfig, measured_settings
from napari_restore.sources import Image

_LEAST = 8
_REDRAWS = 3
_TOLD = 64  # patches, at most, that what noise leaves is told by
_WORTH_SAYING = 0.02


@dataclass(frozen=True)
class Noise2VoidConfig(RefiningConfig):
    """Settings of Noise2Void, and of what comes after it: with ``similar`` and ``keep`` no it is as published.

    Attributes
    ----------
    keep
        Whether pixels stay as they were measured where the network errs by more than their noise, as at sharp edges
        after few steps: nearer to them the more it errs.
    floor, kept
        Settled after training, for each channel: what noise alone leaves, by signal, where it could not be measured
        before; and the share of patches held out that was kept.
    dimensions
        ``"2"`` looks along Y and X, ``"3"`` along Z too, which takes some four times longer a pixel. ``"auto"`` is 2.
    masked
        Fraction of the pixels of a patch that are hidden in a step. Twice the 3 % that are usual: on the 8 benchmark
        images 28.37 dB instead of 28.02 after 60 s on one core, 27.56 instead of 27.12 after 20 s (medians of 3).
    sampler
        ``"stratified"`` hides one pixel in each of many equal cells, ``"uniform"`` any pixels.
    neighbourhood
        A hidden pixel is replaced by one at most this many pixels away along each axis.
    width
        Channels of the U-Net's first level.
    depth
        Times Y and X are halved.
    """

    keep: Literal["yes", "no"] = "yes"
    floor: tuple[Floor, ...] = field(default=(), repr=False)
    kept: tuple[float, ...] = ()
    dimensions: Annotated[Literal["auto", "2", "3"], BeforeValidator(str)] = "auto"
    masked: Annotated[float, Interval(ge=0.001, le=0.25)] = 0.06
    sampler: Literal["stratified", "uniform"] = "stratified"
    neighbourhood: Annotated[int, Interval(ge=1, le=8)] = 2
    width: Annotated[int, Interval(ge=2, le=256)] = 16
    depth: Annotated[int, Interval(ge=1, le=5)] = 2


class Noise2Void(Refining):
    """Noise2Void (Krull, Buchholz, Jug, CVPR 2019, doi:10.1109/CVPR.2019.00223).

    Each channel has a network of its own. Right where noise is independent from pixel to pixel and the signal
    is not.
    """

    listed = METHODS["noise2void"]
    Config: ClassVar[type] = Noise2VoidConfig
    efforts: ClassVar = {
        "quick": {"width": 16, "depth": 2},
        "normal": {"width": 16, "depth": 2},
        "thorough": {"width": 32, "depth": 3},
    }
    learning_rate: float = 2e-3
    clip: ClassVar[float | None] = None
    noisy_targets: ClassVar[bool] = True
    unet: ClassVar[Mapping[str, Any]] = {}
    """What its networks have besides their size."""
    config: Noise2VoidConfig

    def build(self, planes: int = 1) -> nn.Module:
        """A new U-Net for one channel."""
        axes, width = self.network_axes, self.config.width
        depth = [0 if axis == "Z" else self.config.depth for axis in axes]
        network: nn.Module = networks.build(
            "unet", ndim=len(axes), width=width, depth=depth, channels_in=planes, **self.unet
        )
        return network

    @classmethod
    def fit_to(cls, config: Noise2VoidConfig, images: Sequence[Image]) -> Fit:
        """Settle ``dimensions``, a depth that small images leave room for, and whether similar patches count."""
        spatial = cls.axes_for(config.dimensions, images)
        depth = min(config.depth, cls.shortest_side(images[:1], least=_LEAST).bit_length() - 2)
        refining, said = measured_settings(config.similar, images, passes=cls.passes)
        settled = replace(config, dimensions="3" if spatial == "ZYX" else "2", depth=depth, **refining)
        return Fit(settled, spatial, notes=said)

    @property
    def ends_at_the_image(self) -> bool:
        """A U-Net does."""
        return True

    @property
    def after(self) -> int:
        """Pixels about each that tell whether it is kept."""
        return REACH if self.config.keep == "yes" else 0

    def refined(self, channel: int, y: Tensor) -> Tensor:
        """As of others, and pixels kept where that errs by more than their noise."""
        found = super().refined(channel, y)
        floor = self.config.floor[channel] if self.config.floor else ()
        noise = self._noise_by(channel, found, floor) if self.config.keep == "yes" else None
        return found if noise is None else kept(own(y, self.neighbours), found, noise)

    def _noise_by(self, channel: int, found: Tensor, floor: Floor) -> Tensor | None:
        """Its variance as it was measured, or else as it is told by what is left; None where neither tells."""
        if self.knows_noise:
            return self.noise_variance(channel, found)
        return noise_by(floor, found) if floor else None

    def finish(self, batch: Batch) -> None:
        """Measure what is kept of patches held out, and the noise by what is left there where it is not known."""
        super().finish(batch)
        if self.config.keep == "yes":
            some = batch.pixels[:: math.ceil(len(batch.pixels) / _TOLD)]
            told = [self._told(c, some[:, c : c + 1]) for c in range(self.channels)]
            self.config = replace(self.config, floor=tuple(f for f, _ in told), kept=tuple(s for _, s in told))

    def _told(self, channel: int, y: Tensor) -> tuple[Floor, float]:
        found = torch.cat([super(Noise2Void, self).refined(channel, part) for part in torch.split(y, PATCHES)])
        measured = own(y, self.neighbours)
        floor = () if self.knows_noise else floor_of(measured, found)
        noise = self._noise_by(channel, found, floor)
        return floor, 0.0 if noise is None else round(float(share_kept(measured, found, noise).mean()), 4)

    def remarks(self) -> Iterator[Note]:
        """What was kept."""
        yield from super().remarks()
        if (most := max(self.config.kept, default=0.0)) >= _WORTH_SAYING:
            yield Note(
                f"{most:.0%} is kept as it was measured: there the network is off by more than the noise. "
                "More training leaves less of it; `keep` no takes what the network gives"
            )

    def forward(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Mean squared error at hidden pixels, which the network is not shown (eq. 5)."""
        pixels, target = (own(values, self.neighbours) for values in (batch.pixels, batch.target))
        before = self.neighbours * pixels[0, 0, 0].numel()  # pixels of planes that are only looked at
        given = None if batch.hidden is None else batch.hidden - before
        hidden = self.hide(Batch(pixels, target, given), rng)
        predicted = self.predicted(batch.pixels, self.shown(pixels, hidden, rng)).flatten(2)
        hidden = hidden.to(pixels.device, non_blocking=True)
        every = hidden[:, None].expand(-1, self.channels, -1)
        predicted = predicted.gather(2, every)
        weight = target.flatten(2).gather(2, hidden[:, None]).to(predicted.dtype)
        error = (predicted - pixels.flatten(2).gather(2, every)).square().mean(1, keepdim=True)
        return (error * weight).sum() / weight.sum().clamp(min=1)

    def hide(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Positions ``(B, K)`` to predict, in host memory."""
        if batch.hidden is not None:
            return batch.hidden
        return draw_hidden(self.config.sampler, self.config.masked, len(batch.pixels), batch.pixels.shape[2:], rng)

    def shown(self, pixels: Tensor, hidden: Tensor, rng: torch.Generator) -> Tensor:
        """What the network sees of ``pixels``: each hidden one replaced by a neighbour that is not hidden."""
        return with_neighbours_shown(pixels, hidden, self.config.neighbourhood, rng)


def with_neighbours_shown(pixels: Tensor, hidden: Tensor, radius: int, rng: torch.Generator) -> Tensor:
    """``(B, C, *S)`` with each pixel at ``hidden`` ``(B, K)`` replaced by one near it that is not, 0 where none is."""
    neighbours, hidden_too = draw_visible(hidden, pixels.shape[2:], radius, rng)
    hidden, neighbours, hidden_too = (
        t[:, None].to(pixels.device, non_blocking=True) for t in (hidden, neighbours, hidden_too)
    )
    flat, every = pixels.flatten(2), (-1, pixels.shape[1], -1)
    stand_in = flat.gather(2, neighbours.expand(every)).masked_fill(hidden_too, 0)
    return flat.scatter(2, hidden.expand(every), stand_in).view_as(pixels)


def at(hidden: Tensor, like: Tensor) -> Tensor:
    """Positions ``(B, K)`` as bool ``(B, 1, *S)``."""
    marked = torch.zeros(len(like), 1, like[0, 0].numel(), dtype=torch.bool)
    return marked.scatter_(2, hidden[:, None], True).view(-1, 1, *like.shape[2:]).to(like.device)


def draw_hidden(sampler: str, fraction: float, count: int, shape: tuple[int, ...], rng: torch.Generator) -> Tensor:
    """Positions ``(count, K)`` in the flattened ``shape`` to hide, about ``fraction`` of each patch."""
    total = torch.Size(shape).numel()
    if sampler == "uniform":
        k = max(1, round(fraction * total))
        return torch.rand(count, total, generator=rng).topk(k, dim=1).indices
    cell = (1 / fraction) ** (1 / max(1, sum(n > 1 for n in shape)))
    cells = [max(1, round(n / cell)) for n in shape]
    corners = torch.cartesian_prod(*map(torch.arange, cells)).view(-1, len(shape))
    position = torch.zeros(count, len(corners), dtype=torch.long)
    for n, m, corner in zip(shape, cells, corners.unbind(1), strict=True):
        # m cells of n/m pixels, real borders: every pixel is equally likely and cells of any shape fill the patch.
        inside = torch.rand(position.shape, generator=rng)
        position = position * n + ((corner + inside) * (n / m)).long().clamp_(max=n - 1)
    return position


def draw_visible(hidden: Tensor, shape: tuple[int, ...], radius: int, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """A neighbour of each hidden position that is not hidden itself, and where no such neighbour was found.

    Two hidden pixels within reach of each other could otherwise trade places, and the network would see the one it
    is to predict a pixel or two away (measured: 1 % of them at the usual settings, a quarter at ``masked`` 0.25).
    """
    is_hidden = torch.zeros(len(hidden), torch.Size(shape).numel(), dtype=torch.bool).scatter_(1, hidden, True)
    neighbours = draw_neighbours(hidden, shape, radius, rng)
    for _ in range(_REDRAWS):
        again = draw_neighbours(hidden, shape, radius, rng)
        neighbours = torch.where(is_hidden.gather(1, neighbours), again, neighbours)
    return neighbours, is_hidden.gather(1, neighbours)


def draw_neighbours(hidden: Tensor, shape: tuple[int, ...], radius: int, rng: torch.Generator) -> Tensor:
    """For each hidden position another one at most ``radius`` away on each axis, inside the patch, never itself.

    The window is cut at the border, not mirrored there, and the draw is uniform over the pixels that are left.
    """
    lows, lengths, coordinates = [], [], []
    rest = hidden
    for n in reversed(shape):
        at = rest % n
        rest = rest // n
        low = (at - radius).clamp_(min=0)
        lows.append(low)
        lengths.append((at + radius + 1).clamp_(max=n) - low)
        coordinates.append(at)
    window = torch.stack(lengths).prod(0)
    own, stride = torch.zeros_like(hidden), torch.ones_like(hidden)
    for at, low, length in zip(coordinates, lows, lengths, strict=True):
        own += (at - low) * stride
        stride = stride * length
    pick = (torch.rand(hidden.shape, generator=rng) * (window - 1)).long().clamp_(min=0)
    pick += pick >= own
    chosen, stride_out = torch.zeros_like(hidden), 1
    for n, low, length in zip(reversed(shape), lows, lengths, strict=True):
        chosen += (low + pick % length) * stride_out
        pick = pick // length
        stride_out *= n
    return chosen


def around(centres: Tensor, offsets: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Positions ``(B, K, M)`` at each of the ``offsets (M, axes)`` from each centre; outside ``shape``, the centre."""
    rest, stride = centres[..., None], 1
    there, inside = torch.zeros_like(rest), torch.ones_like(rest, dtype=torch.bool)
    for n, offset in zip(reversed(shape), offsets.flip(1).unbind(1), strict=True):
        at = rest % n + offset
        inside = inside & (at >= 0) & (at < n)
        there = there + at * stride
        rest, stride = rest // n, stride * n
    return torch.where(inside, there, centres[..., None])

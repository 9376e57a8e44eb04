"""Inpainting: what the image itself teaches to add to the smoothest surface through what is around a gap."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import torch
import torch.nn.functional as F
from annotated_types import Interval
from torch import Tensor

from napari_restore import networks
from napari_restore.methods import METHODS, completing
from napari_restore.methods.hiding import DEEPEST, DEPTH, Shapes, depth_in_gaps, hidden, weights_by_depth
from napari_restore.methods.interpolation import Interpolation, InterpolationConfig
from napari_restore.methods.method import Batch
from napari_restore.operators import gaps

_NEAR = 2
"""Planes up and down that the network is shown."""

_PHASES = ((0, 0), (0, 1), (1, 0), (1, 1))
_ABOUT = 8
_LEAST_CONTRAST = 1e-3  # of the deviation of the image
_QUANTILES = (0.25, 0.5, 0.75)
_FEWEST = 8  # patches
_SURE = 2.0  # standard errors
_PASSES = {2: 2, 3: 1}
_AT_ONCE = 8
_BLOCK, _SUREST, _OF_SUREST = 16, 0.1, 0.887  # the tenth least of mean squares of 256 normal numbers


@dataclass(frozen=True)
class InpaintingConfig(InterpolationConfig):
    """Settings of inpainting.

    Attributes
    ----------
    dimensions, rule, similar, given, shapes, depths, alike, correlations
        As of ``interpolation``. The network begins with what its rule gives.
    denoise
        Whether pixels that are there are denoised, too: each predicted from those around, and weighed with its own
        value by how well that can be.
    width
        Features of the network's first level.
    depth
        Times Y and X are halved.
    blocks
        Residual blocks a level.
    trust
        Settled after training: the share of the network's result, beside that of interpolation, that comes nearest to
        held-out pixels, hidden by the shapes of the missing ones, for dull to bright surroundings. None of it where
        that is no better than interpolation.
    contrasts
        Settled with it: deviations of the surroundings between which each of these shares holds.
    own
        Settled after training, one entry a channel: the weight of a pixel's own value where noise is taken away.
    """

    denoise: bool = False
    width: Annotated[int, Interval(ge=4, le=256)] = 24
    depth: Annotated[int, Interval(ge=1, le=4)] = 1
    blocks: Annotated[int, Interval(ge=1, le=8)] = 2
    trust: tuple[float, ...] = ()
    contrasts: tuple[float, ...] = ()
    own: tuple[float, ...] = ()


class Inpainting(Interpolation):
    """A network adds to an interpolation what it has learned at known pixels that were hidden.

    They are hidden by the shapes of what is missing, moved and flipped, and predicted from what is left, as blind-spot
    denoisers predict single pixels (Krull et al. 2019, CVPR, doi:10.1109/CVPR.2019.00223); so noise, which cannot be
    predicted, is not learned (Lehtinen et al. 2018, arXiv:1803.04189, section 2). How much of it is used is measured at
    pixels that were never learned from: where it is no gain, the interpolation stays.
    """

    listed = METHODS["inpainting"]
    Config: ClassVar[type] = InpaintingConfig
    efforts: ClassVar = {"quick": {}, "normal": {}, "thorough": {"width": 48, "depth": 2}}
    learning_rate: float = 2e-3
    clip: ClassVar[float | None] = 1.0
    config: InpaintingConfig
    _shapes: Tensor

    def __init__(self, config: InpaintingConfig, *, spatial: str, channels: int) -> None:
        super().__init__(config, spatial=spatial, channels=channels)
        self._planes = 2 * _NEAR + 1 if len(spatial) == 3 else 1
        one = torch.ones(1, 1, 1, 1, dtype=torch.bool)
        masks = torch.from_numpy(Shapes.unpacked(config.shapes).masks) if config.shapes else one
        self.register_buffer("_shapes", masks, persistent=False)
        self.network = networks.build(
            "residual_unet",
            ndim=2,
            channels_in=2 * self._planes,
            channels_out=1,
            width=config.width,
            depth=(config.depth, config.depth),
            blocks=config.blocks,
            fold=(2, 2),
            rate=(1, 1),
        )

    @property
    def keeps(self) -> bool:
        """Unless they are denoised."""
        return not self.config.denoise

    @property
    def radius(self) -> tuple[int, ...]:
        """Of the network, and as far as gaps in what it sees are filled from."""
        further = completing.REACH if self.patches else 0
        along = tuple(max(r, further) + gaps.REACH for r in self._seen)
        return along if len(self.spatial) == 2 else (gaps.PLANES + _NEAR, *along)

    @property
    def border(self) -> tuple[int, ...]:
        """Of the network; what fills gaps is mirrored by itself."""
        return self._seen if len(self.spatial) == 2 else (_NEAR, *self._seen)

    @property
    def _seen(self) -> tuple[int, ...]:
        """Pixels around one, along Y and X, that the network sees, and the contrast that it sees them by."""
        return tuple(r + _ABOUT for r in self.network.radius)

    @property
    def grid(self) -> tuple[int, ...]:
        """Of the network and of patches."""
        along = tuple(map(math.lcm, self.network.grid, super().grid[-2:]))
        return along if len(self.spatial) == 2 else (1, *along)

    @property
    def patch(self) -> tuple[int, ...]:
        """64 pixels along Y and X; as many planes as shapes have."""
        return {2: (64, 64), 3: (DEPTH, 48, 48)}[len(self.spatial)]

    @property
    def batch(self) -> int:
        """Patches a step."""
        return {2: 4, 3: 1}[len(self.spatial)]

    def restore(self, pixels: Tensor) -> Tensor:
        """Missing pixels predicted; the others as they are, or denoised."""
        known = torch.isfinite(pixels)
        found = torch.where(known, pixels, self._predicted(pixels, known))
        if not self.config.denoise:
            return found
        own = torch.tensor(self.config.own or (0.0,) * self.channels, device=pixels.device)
        own = own.view(1, -1, *[1] * len(self.spatial))
        for phase in _phases(known):
            gone = phase & known
            predicted = self._predicted(pixels, known & ~gone)
            found = torch.where(gone, predicted + own * (pixels - predicted), found)
        return found

    def forward(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Mean squared error at the known pixels that are hidden."""
        gone = self._hidden(batch, rng)
        base, added = self._parts(batch.pixels, torch.isfinite(batch.pixels) & ~gone)
        weight = (gone & batch.target).expand_as(base).float()
        error = (base + added - torch.where(weight > 0, batch.pixels, 0)).square() * weight
        mean: Tensor = error.sum() / weight.sum().clamp(min=1)
        return mean

    def finish(self, batch: Batch) -> None:
        """Measure at held-out pixels how much of what is learned is used, and how well pixels are predicted."""
        trust, contrasts = self._trust(batch)
        self.config = replace(self.config, trust=trust, contrasts=contrasts, own=())
        if self.config.denoise:
            self.config = replace(self.config, own=self._own_weights(batch))

    def _trust(self, batch: Batch) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Shares of the network's result with the least squared error, and the contrasts between which they hold.

        A single share would be that of the parts with the largest errors, and spoil the flat ones.
        """
        rng = torch.Generator().manual_seed(0)
        found: list[Tensor] = []
        for number, part in _in_parts(batch, _PASSES[len(self.spatial)]):
            gone = self._hidden(part, rng, denoise=False)
            known = torch.isfinite(part.pixels) & ~gone
            base, added = self._parts(part.pixels, known)
            refined = self.refined(part.pixels, known, base)
            counted = (gone & part.target).expand_as(base)
            patch = (
                (number + torch.arange(len(base), device=base.device)).view(-1, *[1] * (base.ndim - 1)).expand_as(base)
            )
            each = (part.pixels - refined, base + added - refined, _about(base)[1], depth_in_gaps(~known), patch)
            found.append(torch.stack([t[counted].cpu().double() for t in each]))
        left, further, contrast, depth, patch = torch.cat(found, 1)
        if not left.numel():
            return (0.0,), ()
        count = depth.long().bincount(minlength=1 + DEEPEST)[1:]
        weight = weights_by_depth(count.cpu().double(), self.config.depths)[depth.long() - 1]
        edges = contrast.quantile(torch.tensor(_QUANTILES, dtype=contrast.dtype)).unique()
        place = torch.bucketize(contrast, edges)
        chosen = (place == k for k in range(len(edges) + 1))
        shares = (_share(*(t[c] for t in (left, further, weight, patch.long()))) for c in chosen)
        return tuple(shares), tuple(edges.tolist())

    def _own_weights(self, batch: Batch) -> tuple[float, ...]:
        """The variance of the predictions over that of their distance to the pixels, which has the noise in it.

        The noise is what is left where predictions are surest: the tenth of the blocks with the least.
        """
        errors, counts = [], []
        for _, part in _in_parts(batch, 1):
            known = torch.isfinite(part.pixels)
            error = torch.zeros_like(part.pixels)
            for phase in _phases(known):
                gone = phase & known
                found = self._predicted(part.pixels, known & ~gone)
                error = torch.where(gone, (part.pixels - found).square(), error)
            errors.append(error)
            counts.append(known)
        error, known = (torch.cat(each).transpose(0, 1).flatten(1, -3).float() for each in (errors, counts))
        held = batch.target.expand_as(batch.pixels).transpose(0, 1).flatten(1, -3)
        return tuple(_own_weight(*each) for each in zip(error, known, held, strict=True))

    def _predicted(self, pixels: Tensor, known: Tensor) -> Tensor:
        base, added = self._parts(pixels, known)
        refined = self.refined(pixels, known, base)
        if not self.config.trust:
            return refined + added
        shares = torch.tensor(self.config.trust, device=pixels.device)
        edges = torch.tensor(self.config.contrasts, device=pixels.device)
        return refined + shares[torch.bucketize(_about(base)[1], edges)] * (base + added - refined)

    def _parts(self, pixels: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """What is interpolated, and what the network adds to it."""
        with torch.autocast(pixels.device.type, enabled=False):
            base = gaps.fill(pixels, known, self.rule)
            middle, contrast = _about(base)
            shown = self._shown((base - middle) / contrast, known.float())
        added = self.network(shown.contiguous(memory_format=torch.channels_last))
        return base, added.float().view_as(base) * contrast

    def _shown(self, base: Tensor, known: Tensor) -> Tensor:
        """Each plane of each channel as a sample, with those near it as its channels."""
        both = torch.stack([base, known], 2)  # (B, C, 2, *S)
        if self._planes == 1:
            return both.flatten(0, 1)
        depth = base.shape[2]
        index = torch.arange(-_NEAR, depth + _NEAR, device=base.device).abs()
        index = torch.where(index < depth, index, 2 * (depth - 1) - index).clamp(0, depth - 1)
        around = both[:, :, :, index].unfold(3, self._planes, 1)  # (B, C, 2, Z, Y, X, planes)
        return around.permute(0, 1, 3, 2, 6, 4, 5).flatten(3, 4).flatten(0, 2)

    def _hidden(self, batch: Batch, rng: torch.Generator, *, denoise: bool | None = None) -> Tensor:
        """Which known pixels are hidden, ``(B, 1, *S)``; of every other patch single ones where noise is taken away."""
        known = torch.isfinite(batch.pixels).all(1, keepdim=True)
        gone = hidden(self._shapes, len(known), known.shape[2:], rng)
        if self.config.denoise if denoise is None else denoise:
            phase = list(_phases(known))[int(torch.randint(4, (), generator=rng))]
            gone[::2] = phase.expand_as(gone[::2])
        return gone & known


def _about(base: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of what is about each pixel of its plane: the network sees dull parts as it sees bright ones.

    Else what it adds where an image is flat would be noise, small beside its contrast and large beside its error.
    """
    planes = base.reshape(-1, 1, *base.shape[-2:])
    mean = _blurred(planes)
    deviation = (_blurred(planes.square()) - mean.square()).clamp(min=0).sqrt() + _LEAST_CONTRAST
    return mean.view_as(base), deviation.view_as(base)


def _blurred(planes: Tensor) -> Tensor:
    return F.avg_pool2d(planes, 2 * _ABOUT + 1, stride=1, padding=_ABOUT, count_include_pad=False)


def _phases(like: Tensor) -> Iterator[Tensor]:
    """One of every 2 x 2 pixels along Y and X, each of the four in turn."""
    rows, columns = (torch.arange(n, device=like.device) % 2 for n in like.shape[-2:])
    for dy, dx in _PHASES:
        yield (rows == dy)[:, None] & (columns == dx)


def _in_parts(batch: Batch, times: int) -> Iterator[tuple[int, Batch]]:
    """Some patches at once and the number of the first of them, all of them so many times."""
    for _ in range(times):
        for first in range(0, len(batch.pixels), _AT_ONCE):
            part = slice(first, first + _AT_ONCE)
            yield first, Batch(batch.pixels[part], batch.target[part])


def _share(left: Tensor, further: Tensor, weight: Tensor, patch: Tensor) -> float:
    """Of how much further to go towards what is left, 0 to 1; 0 where that is not surely nearer than not to.

    Parameters
    ----------
    left, further, weight
        One entry a pixel; ``weight`` is what its error counts.
    patch
        The number of the patch that each pixel is of: errors of one patch are alike, and count as one witness.
    """
    share = float((weight * left * further).sum() / (weight * further.square()).sum().clamp(min=1e-12))
    share = min(max(share, 0.0), 1.0)
    gain = weight * (2 * share * left * further - share**2 * further.square())
    seen = patch.bincount() > 0
    witnesses = int(seen.sum())
    if witnesses < _FEWEST:
        return 0.0
    sums = patch.bincount(gain)[seen]
    return share if float(sums.mean()) > _SURE * float(sums.std()) / witnesses**0.5 else 0.0


def _own_weight(error: Tensor, known: Tensor, held: Tensor) -> float:
    """Of one channel, from squared errors ``(N, Y, X)``."""
    if not bool(held.any()):
        return 0.0
    total = float(error[held].mean())
    size = min(_BLOCK, *error.shape[-2:])
    sums, counts = (F.avg_pool2d(t[None], size)[0] for t in (error, known))
    means = (sums / counts.clamp(min=1e-6))[counts > 0.5]
    noise = float(means.quantile(_SUREST)) / _OF_SUREST if means.numel() else total
    return max(0.0, 1 - noise / total) if total > 0 else 0.0

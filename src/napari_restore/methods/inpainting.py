"""Inpainting: what the image itself teaches of its missing pixels, beyond the smoothest surface through what is around.

Where the noise of the pixels is known, that is how a denoiser predicts them; where there is none to speak of, what a
network adds to the surface.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, Self

import torch
import torch.nn.functional as F
from annotated_types import Interval
from torch import Tensor, nn

from napari_restore import methods, networks
from napari_restore.core.events import Note
from napari_restore.methods import METHODS, completing
from napari_restore.methods.hiding import (
    DEEPEST,
    DEPTH,
    Shapes,
    Window,
    depth_in_gaps,
    hidden,
    weights_by_depth,
)
from napari_restore.methods.interpolation import Interpolation, InterpolationConfig
from napari_restore.methods.method import Batch, Fit
from napari_restore.methods.posterior import Posterior
from napari_restore.methods.refining import similar_if
from napari_restore.methods.similar_patches import Choice
from napari_restore.methods.without_gaps import as_images, measurable
from napari_restore.operators import gaps
from napari_restore.sources import Image

_NEAR = 2
"""Planes up and down that the network is shown."""

_ABOUT = 8
_LEAST_CONTRAST = 1e-3  # of the deviation of the image
_QUANTILES = (0.25, 0.5, 0.75)
_FEWEST = 8  # patches
_SURE = 2.0  # standard errors
_PASSES, _LOOKS = {2: 2, 3: 1}, 1  # of a network, and of a denoiser
_AT_ONCE = 8
_LEFT = 0.2  # of the variance of the noise, in what a denoiser gives


@dataclass(frozen=True)
class InpaintingConfig(InterpolationConfig):
    """Settings of inpainting.

    Attributes
    ----------
    dimensions, rule, similar, given, shapes, depths, alike, correlations
        As of ``interpolation``. The network begins with what its rule gives.
    denoise
        Whether pixels that are there are denoised, too.
    width
        Features of the first level of the network that adds to interpolation; a denoiser has its own size.
    depth
        Times Y and X are halved.
    blocks
        Residual blocks a level.
    denoiser
        Settled from the images, as names and values: the settings of the posterior mean that predicts what is missing
        where the noise is known and counts, or is to be taken away; empty where a network adds to interpolation.
    units
        Settled before training: as of ``posterior``.
    trust
        Settled after training: the share of what was learned, beside that of interpolation, that comes nearest to
        held-out pixels, hidden by the shapes of the missing ones, for dull to bright surroundings. None of it where
        that is no better than interpolation.
    contrasts
        Settled with it: deviations of the surroundings between which each of these shares holds.
    """

    denoise: bool = False
    width: Annotated[int, Interval(ge=4, le=256)] = 24
    depth: Annotated[int, Interval(ge=1, le=4)] = 1
    blocks: Annotated[int, Interval(ge=1, le=8)] = 2
    denoiser: tuple[tuple[str, Any], ...] = ()
    units: tuple[Literal["image", "noise"], ...] = ()
    trust: tuple[float, ...] = ()
    contrasts: tuple[float, ...] = ()


class Inpainting(Interpolation):
    """What an interpolation is improved by is learned at known pixels, as blind-spot denoisers learn.

    Where pixels have noise that is known, a posterior mean learns to predict them from those around; gaps are filled
    for it first. What it predicts is then what missing pixels are found by once more, in patches that look alike.

    Elsewhere a network adds to the interpolation: known pixels are hidden by the shapes of what is missing, moved and
    flipped, and predicted from what is left (Krull et al. 2019, CVPR, doi:10.1109/CVPR.2019.00223); so noise, which
    cannot be predicted, is not learned (Lehtinen et al. 2018, arXiv:1803.04189, section 2).

    How much of what was learned is used is measured at pixels that were never learned from: where it is no gain, the
    interpolation stays.
    """

    listed = METHODS["inpainting"]
    Config: ClassVar[type] = InpaintingConfig
    efforts: ClassVar = {"quick": {}, "normal": {}, "thorough": {"width": 48, "depth": 2}}
    begins_with: ClassVar[str] = Posterior.begins_with
    learning_rate: float = 2e-3
    clip: ClassVar[float | None] = 1.0
    config: InpaintingConfig
    denoiser: Posterior | None
    network: Any
    _shapes: Tensor

    def __init__(self, config: InpaintingConfig, *, spatial: str, channels: int) -> None:
        super().__init__(config, spatial=spatial, channels=channels)
        self._planes = 2 * _NEAR + 1 if len(spatial) == 3 else 1
        one = torch.ones(1, 1, 1, 1, dtype=torch.bool)
        masks = torch.from_numpy(Shapes.unpacked(config.shapes).masks) if config.shapes else one
        self.register_buffer("_shapes", masks, persistent=False)
        self.denoiser, self.network = None, None
        if config.denoiser:
            self.denoiser = Posterior(_settings_of(config), spatial=spatial[-2:], channels=channels)
            self.learning_rate, self.weight_decay = self.denoiser.learning_rate, self.denoiser.weight_decay
        else:
            self.network = self._new()

    def _new(self) -> nn.Module:
        config = self.config
        network: nn.Module = networks.build(
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
        return network

    @classmethod
    def fit_to(cls, config: InpaintingConfig, images: Sequence[Image]) -> Fit:
        """What interpolation settles, and how what is missing is learned."""
        fit, windows = cls.settled(config, images)
        counts = config.denoise or any(used and noise > 0 for used, noise in fit.config.alike)
        # What is found by patches that look alike needs them no more than once.
        asked: Choice = "no" if fit.config.similar == "yes" else config.similar
        similar, _ = similar_if(asked, noise_is_known=True, images=images, passes=Posterior.passes)
        inner = _denoiser_for(windows, fit, similar=similar, asked=config.denoise) if counts else None
        settings = () if inner is None else tuple((k, v) for k, v in asdict(inner.config).items() if k != "units")
        settled = replace(fit.config, denoiser=settings, units=(), trust=(), contrasts=())
        return replace(fit, config=settled, notes=(*fit.notes, *(inner.notes if inner is not None else ())))

    @classmethod
    def beginning(cls, fit: Fit, known: Any) -> Fit | None:
        """As of the posterior mean, where it is what learns."""
        if not fit.config.denoiser:
            return None
        inner = Posterior.beginning(Fit(_settings_of(fit.config), fit.spatial), known)
        return None if inner is None else replace(fit, config=replace(fit.config, units=inner.config.units))

    def begin_with(self, weights: Mapping[str, Tensor]) -> None:
        """Of the posterior mean."""
        if self.denoiser is None:
            super().begin_with(weights)  # raises
            return
        self.denoiser.begin_with(weights)
        self.begun = True
        self.learning_rate, self.weight_decay = self.denoiser.learning_rate, self.denoiser.weight_decay

    @property
    def keeps(self) -> bool:
        """Unless they are denoised."""
        return not self.config.denoise

    @property
    def radius(self) -> tuple[int, ...]:
        """Of what learned, and as far as gaps in what it sees are filled from."""
        once = completing.REACH if self.patches else 0
        along = tuple(r + once + gaps.REACH for r in self._seen)
        planes = gaps.PLANES + (_NEAR if self.denoiser is None else 0)
        return along if len(self.spatial) == 2 else (planes, *along)

    @property
    def border(self) -> tuple[int, ...]:
        """Of what learned; what fills gaps is mirrored by itself."""
        if len(self.spatial) == 2:
            return self._seen
        return (_NEAR if self.denoiser is None else 0, *self._seen)

    @property
    def _seen(self) -> tuple[int, ...]:
        """Pixels around one, along Y and X, that are seen where gaps are filled."""
        if self.denoiser is not None:
            again = completing.REACH if self.patches else 0
            return tuple(r + again for r in self.denoiser.radius)
        return tuple(r + _ABOUT for r in self.network.radius)

    @property
    def grid(self) -> tuple[int, ...]:
        """Of what learned, and of patches."""
        own = self.network.grid if self.denoiser is None else self.denoiser.grid
        along = tuple(map(math.lcm, own, super().grid[-2:]))
        return along if len(self.spatial) == 2 else (1, *along)

    @property
    def patch(self) -> tuple[int, ...]:
        """64 pixels along Y and X, or as a denoiser's; as many planes as shapes have."""
        if len(self.spatial) == 3:
            return (DEPTH, 48, 48)
        return (64, 64) if self.denoiser is None else self.denoiser.patch

    @property
    def batch(self) -> int:
        """Patches a step."""
        if len(self.spatial) == 3:
            return 1
        return 4 if self.denoiser is None else self.denoiser.batch

    def as_graph(self) -> Self:
        """Without patches that look alike: which these are is decided by their values."""
        clone = super().as_graph()
        if clone.denoiser is not None:
            clone.denoiser = clone.denoiser.as_graph()
        return clone

    def restore(self, pixels: Tensor) -> Tensor:
        """Missing pixels predicted; the others as they are, or denoised."""
        known = torch.isfinite(pixels)
        begun, refined, learned = self._found(pixels, known, denoise=self.config.denoise)
        found = self._mixed(refined, learned) if self.config.trust else refined + (learned - begun)
        return torch.where(known, learned if self.config.denoise else pixels, found)

    def forward(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """What the denoiser minimises; else the mean squared error at the known pixels that are hidden."""
        known = torch.isfinite(batch.pixels)
        if self.denoiser is not None:
            # By a membrane, which takes a sixth of a plate's time: what is learned is used on better.
            filled = gaps.fill(batch.pixels, known, "harmonic")
            loss: Tensor = self.denoiser(self._in_planes(Batch(filled, batch.target)), rng)
            return loss
        gone = self._hidden(batch, rng)
        base, added = self._parts(batch.pixels, known & ~gone)
        weight = (gone & batch.target).expand_as(base).float()
        error = (base + added - torch.where(weight > 0, batch.pixels, 0)).square() * weight
        mean: Tensor = error.sum() / weight.sum().clamp(min=1)
        return mean

    def finish(self, batch: Batch) -> None:
        """Measure at held-out pixels how much of what was learned is used."""
        if self.denoiser is not None:
            known = torch.isfinite(batch.pixels)
            parts = [self.plain(part.pixels) for _, part in _in_parts(batch, 1)]
            self.denoiser.finish(self._in_planes(Batch(torch.cat(parts), batch.target & known.all(1, keepdim=True))))
            own = asdict(self.denoiser.config)
            self.config = replace(self.config, denoiser=tuple((k, v) for k, v in own.items() if k != "units"))
        trust, contrasts = self._trust(batch)
        self.config = replace(self.config, trust=trust, contrasts=contrasts)

    def remarks(self) -> Iterator[Note]:
        """How much of what was learned is used."""
        yield from super().remarks()
        if self.denoiser is not None and self.config.trust:
            each = ", ".join(f"{share:.2f}" for share in self.config.trust)
            yield Note(f"missing pixels are predicted by what was learned of the others, by a share of {each}")

    def _trust(self, batch: Batch) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Shares of what was learned with the least squared error, and the contrasts between which they hold.

        Of a network, a single share would be that of the parts with the largest errors, and spoil the flat ones. Of a
        denoiser, several would be told by too few pixels: these have their noise.
        """
        rng = torch.Generator().manual_seed(0)
        found: list[Tensor] = []
        for number, part in _in_parts(batch, _PASSES[len(self.spatial)] if self.denoiser is None else _LOOKS):
            gone = self._hidden(part, rng)
            known = torch.isfinite(part.pixels) & ~gone
            _, refined, learned = self._found(part.pixels, known)
            counted = (gone & part.target).expand_as(refined)
            patch = (number + torch.arange(len(refined), device=refined.device)).view(-1, *[1] * (refined.ndim - 1))
            depth, contrast = depth_in_gaps(~known), _about(refined)[1]
            each = (part.pixels - refined, learned - refined, contrast, depth, patch.expand_as(refined))
            found.append(torch.stack([t[counted].cpu().double() for t in each]))
        left, further, contrast, depth, patch = torch.cat(found, 1)
        if not left.numel():
            return (0.0 if self.denoiser is None else 1.0,), ()
        count = depth.long().bincount(minlength=1 + DEEPEST)[1:]
        weight = weights_by_depth(count.cpu().double(), self.config.depths)[depth.long() - 1]
        if self.denoiser is not None:
            return (_likely(left, further, weight),), ()
        edges = contrast.quantile(torch.tensor(_QUANTILES, dtype=contrast.dtype)).unique()
        place = torch.bucketize(contrast, edges)
        chosen = (place == k for k in range(len(edges) + 1))
        shares = (_share(*(t[c] for t in (left, further, weight, patch.long()))) for c in chosen)
        return tuple(shares), tuple(edges.tolist())

    def _mixed(self, refined: Tensor, learned: Tensor) -> Tensor:
        """What interpolation gives, and as much of what was learned as comes nearer to held-out pixels."""
        if not self.config.contrasts:
            return refined + self.config.trust[0] * (learned - refined)
        shares = torch.tensor(self.config.trust, device=refined.device)
        edges = torch.tensor(self.config.contrasts, device=refined.device)
        return refined + shares[torch.bucketize(_about(refined)[1], edges)] * (learned - refined)

    def _found(self, pixels: Tensor, known: Tensor, *, denoise: bool = False) -> tuple[Tensor, Tensor, Tensor]:
        """What learning began with, what interpolation gives, and what was learned."""
        if self.denoiser is None:
            base, added = self._parts(pixels, known)
            return base, self.refined(pixels, known, base), base + added
        with torch.autocast(pixels.device.type, enabled=False):
            refined = self.refined(pixels, known, gaps.fill(pixels, known, self.rule))
        learned = self._over_planes(self.denoiser.restore, refined)
        return refined, refined, self._once_more(pixels, known, learned, denoise=denoise)

    def _once_more(self, pixels: Tensor, known: Tensor, predicted: Tensor, *, denoise: bool) -> Tensor:
        """By patches that look alike in what was predicted, where these are used."""
        assert self.denoiser is not None
        found = predicted.clone()
        for c, (used, _) in enumerate(self.config.alike):
            if used:
                found[:, c] = completing.completed(
                    *(each[:, c] for each in (pixels, known, predicted)),
                    noise=self.denoiser.noise_at(c, predicted[:, c]),
                    correlation=completing.believed(self.config.correlations[c]),
                    left=_LEFT,
                    denoise=denoise,
                )
        return found

    def _over_planes(self, restore: Callable[[Tensor], Tensor], pixels: Tensor) -> Tensor:
        """Each plane of ``(B, C, *S)`` restored by itself."""
        if len(self.spatial) == 2:
            return restore(pixels)
        return restore(_folded(pixels)).view(len(pixels), -1, *pixels.shape[1:2], *pixels.shape[3:]).transpose(1, 2)

    def _in_planes(self, batch: Batch) -> Batch:
        """A batch with each plane as a sample."""
        return batch if len(self.spatial) == 2 else Batch(_folded(batch.pixels), _folded(batch.target))

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

    def _hidden(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Which known pixels are hidden, ``(B, 1, *S)``."""
        known = torch.isfinite(batch.pixels).all(1, keepdim=True)
        return hidden(self._shapes, len(known), known.shape[2:], rng) & known


def _settings_of(config: InpaintingConfig) -> Any:
    """Of its posterior mean."""
    return methods.configure("posterior", {**dict(config.denoiser), "units": config.units})


def _denoiser_for(windows: Sequence[Window], fit: Fit, *, similar: Choice, asked: bool) -> Fit | None:
    """A posterior mean for what is not missing; None where it is not ``asked`` for and the noise is not known."""
    assert fit.normalisation is not None
    images = as_images(windows, fit.normalisation)
    if not (asked or measurable(images)):
        return None
    settings = {"dimensions": 2, "neighbours": 0, "similar": similar}
    inner = Posterior.fit_to(methods.configure("posterior", settings), images)
    if not asked and inner.config.combine != "yes":
        return None
    return replace(inner, config=replace(inner.config, mean=fit.normalisation.mean, std=fit.normalisation.std))


def _folded(pixels: Tensor) -> Tensor:
    """Planes of ``(B, C, Z, Y, X)`` as samples."""
    return pixels.transpose(1, 2).flatten(0, 1)


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
    share = _likely(left, further, weight)
    gain = weight * (2 * share * left * further - share**2 * further.square())
    seen = patch.bincount() > 0
    witnesses = int(seen.sum())
    if witnesses < _FEWEST:
        return 0.0
    sums = patch.bincount(gain)[seen]
    return share if float(sums.mean()) > _SURE * float(sums.std()) / witnesses**0.5 else 0.0


def _likely(left: Tensor, further: Tensor, weight: Tensor) -> float:
    """Of how much further to go towards what is left, 0 to 1: what comes nearest."""
    share = float((weight * left * further).sum() / (weight * further.square()).sum().clamp(min=1e-12))
    return min(max(share, 0.0), 1.0)

"""Learned deconvolution on the classical base: a network corrects what Richardson-Lucy leaves wrong, in 2-D and 3-D."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Self

import torch
import torch.nn.functional as F
from annotated_types import Interval
from torch import Tensor

from napari_restore import networks
from napari_restore.core.errors import RestoreError
from napari_restore.core.events import Note
from napari_restore.core.plan import round_up
from napari_restore.methods import METHODS
from napari_restore.methods.method import Batch
from napari_restore.methods.richardson_lucy import RichardsonLucy, RichardsonLucyConfig, Scale
from napari_restore.operators import psf as psfs
from napari_restore.operators.blur import Blur, mirrored
from napari_restore.operators.inverse import wiener
from napari_restore.operators.operator import interior

_SOURCE = {2: (192, 192), 3: (24, 96, 96)}
"""Pixels of the part of the image that is measured again at once: wide beside the PSF, or most of it is border."""

_CROP, _CROPS = {2: (64, 64), 3: (16, 48, 48)}, {2: 6, 3: 2}
"""Pixels of what a step learns from, and how many of them."""

_FIRST, _EVERY, _KEPT = 4, 16, 12
"""Rehearsals before the second step, steps from one to the next, and how many are kept."""

_JUDGED, _TRIED = 2, 8
"""Held-out patches that the loss and the share of the correction are measured on: each is deconvolved some times."""

_LEAST_VARIANCE = 0.1
"""Photons, of a pixel where next to none are expected."""

_SHARPENED = 2.0
"""Times the noise, that the filter is made for by which a correction is judged."""

_STEP, _BLOCK, _SURE = 0.1, {2: 24, 3: 12}, 2.0
"""Of a finite difference, against the noise; side of the blocks whose gains differ by chance alone; standard errors."""


@dataclass(frozen=True)
class LearnedRichardsonLucyConfig(RichardsonLucyConfig):
    """Settings of learned Richardson-Lucy, besides those of ``RichardsonLucyConfig``, which are of its base.

    Attributes
    ----------
    width
        Features of the network's first level.
    depth
        Times Y and X are halved.
    blocks
        Residual blocks a level.
    trust
        Settled after training, one entry a channel: the share of what the network adds that brings the result, seen
        through the instrument, nearest to the truth; 0 where that is no gain, and the classical result stays.
    """

    width: Annotated[int, Interval(ge=4, le=256)] = 16
    depth: Annotated[int, Interval(ge=1, le=4)] = 1
    blocks: Annotated[int, Interval(ge=1, le=8)] = 2
    trust: tuple[Annotated[float, Interval(ge=0, le=1)], ...] = ()


class LearnedRichardsonLucy(RichardsonLucy):
    """What Richardson-Lucy does to an image it does to its own result, measured again: there the truth is known.

    The parametric bootstrap (Efron 1979, doi:10.1214/aos/1176344552): the restored image is blurred and given fresh
    photons and restored again; a network learns to bring that back, and then corrects the image itself. As what is
    restored lacks detail, what it lost once more is added to it before (one step of the iterated bootstrap: Hall 1992,
    "The Bootstrap and Edgeworth Expansion", section 1.4), so that what is learned from is as sharp as the truth.

    How much of the correction is used is told by the image's own noise: the risk in what the instrument sees, for
    photons (Luisier, Blu, Unser 2011, doi:10.1109/TIP.2010.2073477), is a parabola of the share that is used; and so it
    is once that is sharpened.
    """

    listed = METHODS["learned_richardson_lucy"]
    Config: ClassVar[type] = LearnedRichardsonLucyConfig
    efforts: ClassVar = {"quick": {}, "normal": {}, "thorough": {"width": 32}}
    learning_rate: float = 2e-3
    clip: ClassVar[float | None] = 1.0
    config: LearnedRichardsonLucyConfig

    def __init__(self, config: LearnedRichardsonLucyConfig, *, spatial: str, channels: int) -> None:
        super().__init__(config, spatial=spatial, channels=channels)
        self.network = networks.build(
            "residual_unet",
            ndim=len(spatial),
            channels_in=2,
            channels_out=1,
            width=config.width,
            depth=[0 if axis == "Z" else config.depth for axis in spatial],
            blocks=config.blocks,
            fold=[1 if axis == "Z" else 2 for axis in spatial],
            rate=(1,) * len(spatial),
        )
        self._steps = 0
        self._rehearsed: list[Tensor] = []  # (3, *S) each: measured, restored, and what it is to become
        self._held_out: tuple[Tensor, list[Tensor]] | None = None

    @property
    def has_graph(self) -> bool:
        """Not one: it blurs by Fourier transforms, unless the PSF is separable, and looks whether a pixel is seen."""
        return False

    @property
    def radius(self) -> tuple[int, ...]:
        """Of the base, and of the network after it."""
        return tuple(b + n for b, n in zip(super().radius, self.network.radius, strict=True))

    @property
    def border(self) -> tuple[int, ...]:
        """Of the base, and of the network after it where that is not mirrored here."""
        each = zip(super().border, self.network.radius, self._margin, strict=True)
        return tuple(b + max(n - m, 0) for b, n, m in each)

    @property
    def padding(self) -> tuple[int, ...]:
        """Of the base, or what the network is shown past the border."""
        return tuple(map(max, super().padding, self._margin))

    @property
    def _margin(self) -> tuple[int, ...]:
        """By how much the network is shown the mirrored result: the base of a mirrored image is its base mirrored.

        A 3-D image read so much farther to every side would be four times as many voxels to deconvolve.
        """
        if not self.endless.even:
            return (0,) * len(self.spatial)
        return tuple(round_up(n, g) for n, g in zip(self.network.radius, self.grid, strict=True))

    @property
    def grid(self) -> tuple[int, ...]:
        """Of the network."""
        return tuple(self.network.grid)

    @property
    def patch(self) -> tuple[int, ...]:
        """What is measured again at once."""
        each = zip(_SOURCE[len(self.spatial)], self.grid, strict=True)
        return tuple(n // g * g for n, g in each)

    @property
    def batch(self) -> int:
        """One: what is learned from is cut from the last few that were measured again."""
        return 1

    @property
    def turns(self) -> bool:
        """Only where a turned image would have been blurred alike."""
        return psfs.symmetric(self.psf)

    def untaught(self) -> Self:
        """The classical result alone: to ask the network, which adds nothing yet, takes most of the time."""
        made = super().untaught()
        made.config = replace(self.config, trust=(0.0,) * self.channels)
        return made

    def plain(self, pixels: Tensor) -> Tensor:
        """The classical result."""
        return super().restore(pixels)

    def restore(self, pixels: Tensor) -> Tensor:
        """The classical result, and the share of the correction that is trusted."""
        base = self.plain(pixels)
        trust = self.config.trust or (1.0,) * self.channels
        if not any(trust):
            return base
        shares = torch.tensor(trust, device=base.device).view(1, -1, *[1] * len(self.spatial))
        margin = self._margin
        added = self._added(mirrored(pixels, margin), mirrored(base, margin))
        return base + shares * added[(..., *interior(added.shape[2:], margin))]

    def forward(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Mean squared error of corrected rehearsals."""
        known = self._known(batch, rng) if self.training else self._judged(batch, rng)
        measured, base, sharp = torch.stack(known, 1)[:, :, None]
        error = base + self._added(measured, base) - sharp
        mean: Tensor = error.square().mean()
        return mean

    def memory(self) -> Mapping[str, Tensor]:
        """Rehearsals, and the steps since the first."""
        kept = {"rehearsed": torch.stack(self._rehearsed)} if self._rehearsed else {}
        return {"steps": torch.tensor(self._steps), **kept}

    def recall(self, memory: Mapping[str, Tensor]) -> None:
        """Go on with these rehearsals."""
        device = next(self.parameters()).device
        self._steps = int(memory["steps"])
        self._rehearsed = list(memory["rehearsed"].to(device)) if "rehearsed" in memory else []

    def finish(self, batch: Batch) -> None:
        """Settle how much of the correction is used."""
        with torch.autocast(batch.pixels.device.type, enabled=False):
            trust = tuple(self._trust(batch.pixels[:_TRIED], c) for c in range(self.channels))
        self.config = replace(self.config, trust=trust)
        self._held_out = None

    def remarks(self) -> Iterator[Note]:
        """Whether learning paid."""
        for channel, share in enumerate(self.config.trust):
            which = f"channel {channel}: " if self.channels > 1 else ""
            if share > 0:
                yield Note(f"{which}{share:.0%} of what was learned is used, as the image's own noise tells")
            else:
                yield Note(f"{which}learning does not pay here: the classical result is given", "warning")

    def _added(self, pixels: Tensor, base: Tensor) -> Tensor:
        """What the network adds to ``base``, each channel a sample of its own."""
        seen = torch.stack([pixels, base], 2).flatten(0, 1)
        layout = torch.channels_last if seen.ndim == 4 else torch.channels_last_3d
        added: Tensor = self.network(seen.contiguous(memory_format=layout)).float()
        return added.view_as(base)

    def _known(self, batch: Batch, rng: torch.Generator) -> list[Tensor]:
        """Parts of rehearsals to learn from, some of which are new every few steps."""
        if self._steps < _FIRST or self._steps % _EVERY == 0:
            self._rehearsed = [*self._rehearsed, *self._rehearsals(batch.pixels, rng)][-_KEPT:]
        self._steps += 1
        return [self._part(rng) for _ in range(_CROPS[len(self.spatial)])]

    def _part(self, rng: torch.Generator) -> Tensor:
        """A part of one of the rehearsals, turned over by chance: ``(3, *S)``."""
        whole = self._rehearsed[_below(len(self._rehearsed), rng)]
        for axis, (most, step) in enumerate(zip(_CROP[len(self.spatial)], self.grid, strict=True), 1):
            length = min(most, whole.shape[axis]) // step * step
            whole = whole.narrow(axis, _below(whole.shape[axis] - length + 1, rng), length)
        turned = [axis for axis in range(1, whole.ndim) if _below(2, rng)]
        return whole.flip(turned)

    def _judged(self, batch: Batch, rng: torch.Generator) -> list[Tensor]:
        """Rehearsals of held-out patches: always of the same ones, and deconvolution takes its time."""
        if self._held_out is None or self._held_out[0] is not batch.pixels:
            self._held_out = batch.pixels, self._rehearsals(batch.pixels[:_JUDGED], rng)
        return self._held_out[1]

    @torch.no_grad()
    def _rehearsals(self, pixels: Tensor, rng: torch.Generator) -> list[Tensor]:
        """Of ``(B, C, *S)``, for each channel of each: what is measured of a sharp image, restored, and that image."""
        found: list[Tensor] = []
        with torch.autocast(pixels.device.type, enabled=False):
            for c, scale in enumerate(self._scales):
                own = self._deconvolved(self._photons(pixels[:, c : c + 1], scale), scale)
                again = self._deconvolved(self._measured(own, scale, rng), scale)
                sharp = own.mul(2).sub_(again).clamp_(min=0)
                photons = self._measured(sharp, scale, rng)
                base = self._deconvolved(photons, scale)
                seen = (photons * scale.photon + (scale.zero - scale.mean)) / scale.std
                found += torch.cat([seen, self._in_units(base, scale), self._in_units(sharp, scale)], 1).unbind()
        return found

    def _measured(self, sharp: Tensor, scale: Scale, rng: torch.Generator) -> Tensor:
        """Photons that the instrument counts of an image in photons."""
        expected = self.endless(sharp).add_(scale.background).clamp_(min=0)
        return torch.poisson(expected.cpu(), generator=rng).to(expected.device)

    def _photons(self, pixels: Tensor, scale: Scale) -> Tensor:
        return scale.photons(pixels.float() * scale.std + scale.mean)

    def _in_units(self, light: Tensor, scale: Scale) -> Tensor:
        """Photons of light in units of the image's deviation."""
        return (light * scale.photon + (scale.dark - scale.mean)) / scale.std

    def _trust(self, pixels: Tensor, channel: int) -> float:
        """The share of the correction with the least risk; 0 where that is not surely less than without.

        It is asked twice, and the lesser share is taken: of what the instrument sees, each pixel over its variance, and
        of that once Wiener's filter has sharpened it, where the error of fine structure counts as in the image.
        """
        scale = self._scales[channel]
        rng = torch.Generator().manual_seed(channel)
        photons = self._photons(pixels[:, channel : channel + 1], scale)
        noise = torch.randn(photons.shape, generator=rng).to(photons.device) * photons.sqrt()
        sharpen = self._sharpening(photons)
        # One by one: all at once would take more memory than any step of training.
        told = [
            self._told(*each, scale, sharpen)
            for each in zip(torch.split(photons, 1), torch.split(noise, 1), strict=True)
        ]
        return round(min(_share(torch.cat(each)) for each in zip(*told, strict=True)), 3)

    def _told(self, photons: Tensor, noise: Tensor, scale: Scale, sharpen: Blur | None) -> list[Tensor]:
        """What ``_share`` asks of a patch: as the instrument sees it, and sharpened where a filter can.

        It is small; of what it is made of, nothing stays in memory beside the next patch.
        """
        (base, added), (_, added_moved) = (
            self._seen(each, scale) for each in (photons, (photons + _STEP * noise).clamp(min=0))
        )
        left, moved = photons - base - scale.background, (added_moved - added) / _STEP
        variance, side = (base + scale.background).clamp(min=_LEAST_VARIANCE), _BLOCK[len(self.spatial)]
        told = [_by_blocks(left * added - noise * moved, added.square(), variance, side=side)]
        if sharpen is not None:
            fine, doubled = sharpen(added), sharpen.adjoint(sharpen(noise))
            told.append(
                _by_blocks(sharpen(left) * fine - doubled * moved, fine.square(), torch.ones_like(variance), side=side)
            )
        return told

    def _sharpening(self, photons: Tensor) -> Blur | None:
        """Wiener's filter for these; None for a PSF that it is too short for."""
        noise = float(photons.mean().sqrt()) / max(float(photons.std()), 1e-6)
        try:
            return Blur(wiener(self.psf, _SHARPENED * noise)).to(photons.device)
        except RestoreError:
            return None

    def _seen(self, photons: Tensor, scale: Scale) -> tuple[Tensor, Tensor]:
        """The base and what is added to it, in photons, as the instrument sees them."""
        base = self._deconvolved(photons, scale)
        pixels = (photons * scale.photon + (scale.zero - scale.mean)) / scale.std
        added = self._added(pixels, self._in_units(base, scale)) * (scale.std / scale.photon)
        return self.endless(base), self.endless(added)


def _below(count: int, rng: torch.Generator) -> int:
    """A whole number from 0 to ``count - 1``."""
    return int(torch.randint(count, (), generator=rng))


def _share(told: Tensor) -> float:
    """The share with the least risk, 0 where it is not surely less than without.

    With ``e`` what is expected of the base, ``a`` of the correction, and ``n`` the noise of the measured ``y``, the
    risk of a share ``t`` is ``|e + t a - y|^2 + 2 <n, e + t a>``. ``told`` holds, of blocks whose gains differ by
    chance alone, ``<y - e, a> - <n, a>`` and ``|a|^2``, ``(blocks, 2)``.
    """
    pull, square = 2 * told[:, 0], told[:, 1]
    share = min(max(float(pull.mean() / (2 * square.mean()).clamp(min=1e-12)), 0.0), 1.0)
    gain = share * pull - share**2 * square
    sure = float(gain.mean()) > _SURE * float(gain.std()) / len(gain) ** 0.5
    return share if sure else 0.0


def _by_blocks(pull: Tensor, square: Tensor, variance: Tensor, *, side: int) -> Tensor:
    """What ``_share`` asks, of ``(B, 1, *S)``: means over blocks, in rows, all over the noise's ``variance``.

    ``pull`` is ``<y - e, a>`` without a divergence that stands for ``<n, a>``, by a finite difference along noise of
    the same variance (Ramani, Blu, Unser 2008, doi:10.1109/TIP.2008.2001404, eq. 13).
    """
    size = [min(side, n) for n in pull.shape[2:]]
    pool = F.avg_pool2d if pull.ndim == 4 else F.avg_pool3d
    return torch.stack([pool(values / variance, size).flatten() for values in (pull, square)], 1)

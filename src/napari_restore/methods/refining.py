"""Denoisers whose noise is known: what they restore is restored once more, by patches of it that look alike."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal, Self

import torch
from torch import Tensor

from napari_restore.core.events import Note
from napari_restore.methods.denoiser import Denoiser
from napari_restore.methods.method import Batch
from napari_restore.methods.neighbours import own
from napari_restore.methods.similar_patches import RADIUS, STEP, Noise, by_similar_patches
from napari_restore.metrics.pixel_noise import PixelNoise
from napari_restore.sources import Image

Choice = Literal["auto", "yes", "no"]
Alike = tuple[tuple[float, float], ...]

_QUICKLY = 2**25  # pixels in which similar patches are looked for unasked
_SECONDS_A_PIXEL = 4e-6  # of one core, what tiles are shown beyond their borders counted
_PATCHES = 16  # that the share is found by, at most
_TRIED, _SEED, _MORE_NOISE = 2, 2019, 0.6  # times; of the deviation of the noise
_LEAST_SHARE = 0.1  # that is worth its time


def similar_if(asked: Choice, *, noise_is_known: bool, images: Sequence[Image]) -> tuple[Choice, tuple[Note, ...]]:
    """Whether similar patches are looked for, and what is said of it: they are filtered by a noise that is known."""
    if not noise_is_known or asked == "no":
        return "no", ()
    count = sum(math.prod(image.shape) for image in images)
    if asked == "yes" or count <= _QUICKLY:
        return "yes", ()
    minutes = count * _SECONDS_A_PIXEL / 60
    text = f"patches that look alike are not looked for in {count / 1e6:.0f} million pixels: `similar` yes does it"
    return "no", (Note(f"{text}, in some {minutes:.0f} minutes of one core"),)


def stabilised(pixels: Tensor, noise: Noise) -> Tensor:
    """Pixels with noise of about variance 1 at every signal, and 0 where they are 0.

    For a variance that is a line of the signal this is the integral over its root, Anscombe's transform (1948,
    doi:10.1093/biomet/35.3-4.246), with no division by the slope, which may be 0.
    """
    return 2 * pixels / (noise(pixels).sqrt() + noise(torch.zeros_like(pixels)).sqrt())


class Refining(Denoiser):
    """Base of those: see ``similar_patches``. Their settings have ``similar``, and ``alike`` that is found for it."""

    @property
    def refines(self) -> bool:
        """Whether patches that look alike take part in what is restored; how sure it is, is told without them."""
        found = self.config.alike
        return self.config.similar == "yes" and not self.gives_deviations and (not found or any(w for _, w in found))

    @property
    def radius(self) -> tuple[int, ...]:
        """That of the network, and of the patches."""
        more = RADIUS if self.refines else 0
        return tuple(r + more if a in "YX" else r for a, r in zip(self.spatial, super().radius, strict=True))

    @property
    def grid(self) -> tuple[int, ...]:
        """Of the network, and of the patches that others are looked for to."""
        step = STEP if self.refines else 1
        return tuple(math.lcm(g, step) if a in "YX" else g for a, g in zip(self.spatial, super().grid, strict=True))

    def as_graph(self) -> Self:
        """Without patches that look alike: which these are is decided by their values."""
        clone = copy.deepcopy(self)
        clone.config = replace(self.config, similar="no")
        return clone

    def once(self, channel: int, y: Tensor) -> Tensor:
        """What the network makes of one channel ``(B, 1, *S)``; with neighbours, of planes that have them all."""
        return self.predicted_of(channel, y).float()

    def measured_noise(self, channel: int) -> PixelNoise:
        """Of the pixels, as their settings have it, in units of the image's deviation."""
        config, std = self.config, self.config.std[channel] or 1.0
        read, offset = (config.sigma[channel] / std) ** 2, config.offset[channel] - config.mean[channel]
        return PixelNoise(read, config.gain[channel] / std, offset / std)

    def noise_at(self, channel: int, signal: Tensor) -> Tensor:
        """Variance of the noise where the image without it is so bright, in units of the image's variance."""
        raise NotImplementedError

    def fresh_noise(self, channel: int, variance: Tensor, rng: torch.Generator) -> Tensor:
        """Noise such as the image's, drawn anew."""
        return torch.randn(variance.shape, generator=rng).to(variance) * variance.sqrt()

    def correlation(self, channel: int) -> Tensor | None:
        """Of the noise of pixels in a patch; None where it is white."""
        return None

    def spread(self, channel: int, y: Tensor) -> float:
        """Mean square, over the noise's variance, that patches which count differ by."""
        return 1.0

    def finish(self, batch: Batch) -> None:
        """Find what share of what similar patches say lowers the error."""
        if self.config.similar == "yes":
            some = batch.pixels[:: math.ceil(len(batch.pixels) / _PATCHES)]
            found = [self._alike(c, some[:, c : c + 1]) for c in range(self.channels)]
            self.config = replace(self.config, alike=tuple(found))

    def remarks(self) -> Iterator[Note]:
        """What is made of them."""
        yield from super().remarks()
        if self.config.similar == "yes" and self.config.alike:
            shares = ", ".join(f"{share:.2f}" for _, share in self.config.alike)
            yield Note(f"patches that look alike restore each other once more, by a share of {shares}")

    def learned(self, pixels: Tensor) -> Tensor:
        """Each channel through its own network, and then by its similar patches, where these are asked for."""
        restored = pixels.float().clone()
        for c in range(self.channels):
            own(restored[:, c : c + 1], self.neighbours).copy_(self.refined(c, pixels[:, c : c + 1]))
        return restored

    def refined(self, channel: int, y: Tensor) -> Tensor:
        """One channel as ``once`` gives it, restored once more where similar patches take part."""
        found = self.once(channel, y)
        spread, share = self.config.alike[channel] if self.config.alike else (1.0, 1.0)
        if self.refines and share:
            found = found.lerp(self._again(channel, y, found, spread), share)
        return found

    def _again(self, channel: int, y: Tensor, restored: Tensor, spread: float) -> Tensor:
        """Restored once more, by patches that look alike."""
        noise = partial(self.noise_at, channel)
        return by_similar_patches(
            own(y, self.neighbours),
            restored,
            noise,
            alike_in=stabilised(restored, noise),
            spread=spread,
            correlation=self.correlation(channel),
        )

    def _alike(self, channel: int, y: Tensor) -> tuple[float, float]:
        """How far patches that count may differ, and what share of what they say lowers the error of what is restored.

        That share is found without the truth: restored from the image with a little more noise, and compared with the
        image with that noise taken off so much more that its noise is another (Pang et al. 2021,
        doi:10.1109/CVPR46437.2021.00208, eq. 8). Fresh noise of 0.2, 0.45, 0.6 and 0.8 of the image's was tried on
        eight frames of microscopes and five made stacks: with less the share is left to chance, with more it is too
        large.
        """
        rng = torch.Generator().manual_seed(_SEED)
        spread, inner = self.spread(channel, y), own(y, self.neighbours).float()
        noise = self.noise_at(channel, self.once(channel, y))
        weight, told, gained = (inner != 0) / noise, 0.0, 0.0  # what was not measured is the mean
        for _ in range(_TRIED):
            drawn = self.fresh_noise(channel, noise, rng)
            noisier, other = y.clone(), inner - drawn / _MORE_NOISE
            own(noisier, self.neighbours).add_(_MORE_NOISE * drawn)
            restored = self.once(channel, noisier)
            more = self._again(channel, noisier, restored, spread) - restored
            told += float((weight * (other - restored) * more).sum())
            gained += float((weight * more.square()).sum())
        share = min(told / max(gained, 1e-12), 1.0)
        return spread, share if share > _LEAST_SHARE else 0.0

"""Denoisers whose noise is known: what they restore is restored once more, by patches of it that look alike."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from typing import Annotated, Any, ClassVar, Self

import numpy as np
import torch
from annotated_types import Interval
from numpy.typing import NDArray
from torch import Tensor

from napari_restore.core.events import Note
from napari_restore.methods.denoiser import Denoiser
from napari_restore.methods.measuring import constants, known_noise
from napari_restore.methods.method import Batch
from napari_restore.methods.neighbours import own
from napari_restore.methods.similar_patches import (
    RADIUS,
    THOROUGH,
    Choice,
    Groups,
    Noise,
    by_similar_patches,
    correlation_in_a_patch,
    unless_large,
)
from napari_restore.metrics.pixel_noise import PixelNoise
from napari_restore.operators.noise import CorrelatedGaussian, from_covariance
from napari_restore.sources import Image
from napari_restore.sources.planes import planes_of_channels

Alike = tuple[tuple[tuple[float, float], ...], ...]
Matrix = tuple[tuple[float, ...], ...]

_QUICKLY = 2**25  # pixels in which similar patches are looked for unasked
_SECONDS_A_PIXEL = 3e-6  # of one core, each time, what tiles are shown beyond their borders counted
PATCHES = 16  # that the share is found by, at most
_TRIED, _SEED, _MORE_NOISE = 2, 2019, 0.6  # times; of the deviation of the noise
LEAST_SHARE = 0.1  # that is worth its time
_LEAST_NOISE = 1e-8  # variance, in units of the image's: patches are compared by it
_OF_NOISE = ("correlation", "sigma", "gain", "offset", "mean", "std", "unexplained")  # settings that tell it


@dataclass(frozen=True)
class RefiningConfig:
    """Settings of what is restored once more, and of the noise that it is restored by.

    Attributes
    ----------
    similar
        Whether patches of the restored image that look alike restore each other twice more, which takes some 6 s of one
        core a million pixels. ``"auto"``: where the noise could be measured, in images of up to 33 million pixels.
    alike
        Settled after training, one entry a channel, for each time that it is done: mean square, over the noise's
        variance, that patches which count differ by, and the share of what they say in what is restored, 0 to 1.
    correlation, sigma, gain, offset, mean, std
        Settled from the images before training, one entry a channel, in their units: the correlation of a pixel's noise
        with its neighbours', about its middle, none where it is white; noise without signal, its variance for a signal
        one higher, the signal from which it grows; and what the pixels are divided by.
    """

    similar: Choice = "auto"
    alike: Alike = ()
    correlation: tuple[Matrix, ...] = field(default=(), repr=False)
    sigma: tuple[Annotated[float, Interval(ge=0)], ...] = ()
    gain: tuple[float, ...] = ()
    offset: tuple[float, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[Annotated[float, Interval(ge=0)], ...] = ()


def measured_settings(
    asked: Choice, images: Sequence[Image], *, passes: int
) -> tuple[dict[str, Any], tuple[Note, ...]]:
    """Settings of ``RefiningConfig`` for images whose noise is to be measured, and what is said of them."""
    known = known_noise(images)
    similar, said = similar_if(asked, noise_is_known=known is not None, images=images, passes=passes)
    if known is None or similar == "no":
        return {"similar": similar}, said
    matrices = tuple(as_rows(each.correlation) for each in known.covariances)
    pixels = [each.pixels for each in known.found]
    return {"similar": similar, "correlation": matrices, **noise_settings(pixels, images)}, said


def noise_settings(pixels: Sequence[PixelNoise], images: Sequence[Image]) -> dict[str, Any]:
    """The noise of each channel, and what its pixels are divided by, as settings."""
    normalisation = constants(planes_of_channels(images), images[0].name)
    return {
        "alike": (),
        "sigma": tuple(math.sqrt(p.constant) for p in pixels),
        "gain": tuple(p.gain for p in pixels),
        "offset": tuple(p.offset for p in pixels),
        "mean": normalisation.mean,
        "std": normalisation.std,
    }


def as_rows(correlation: NDArray[np.float64]) -> Matrix:
    """As a setting."""
    return tuple(tuple(round(float(v), 4) for v in row) for row in correlation)


@lru_cache(maxsize=16)
def _like_noise(correlation: Matrix) -> CorrelatedGaussian:
    """Draws such noise, of variance 1: made once, and asked for in each step."""
    return from_covariance(np.array(correlation))


def similar_if(
    asked: Choice, *, noise_is_known: bool, images: Sequence[Image], passes: int
) -> tuple[Choice, tuple[Note, ...]]:
    """Whether similar patches are looked for, and what is said of it: they are filtered by a noise that is known."""
    if asked == "no" or (asked == "auto" and not noise_is_known):
        return "no", ()
    if not noise_is_known:
        return "no", (Note("patches that look alike are not looked for: the noise could not be measured", "warning"),)
    found, said = unless_large(
        asked, images, most=_QUICKLY, minutes=lambda count: f"some {count * passes * _SECONDS_A_PIXEL / 60:.0f}"
    )
    return "no" if found == "no" else "yes", said


def stabilised(pixels: Tensor, noise: Noise) -> Tensor:
    """Pixels with noise of about variance 1 at every signal, and 0 where they are 0.

    For a variance that is a line of the signal this is the integral over its root, Anscombe's transform (1948,
    doi:10.1093/biomet/35.3-4.246), with no division by the slope, which may be 0.
    """
    return 2 * pixels / noise(pixels).sqrt_().add_(noise(pixels.new_zeros(())).sqrt())


class Refining(Denoiser):
    """Base of those: see ``similar_patches``. Their settings are those of ``RefiningConfig``, or have its names.

    Attributes
    ----------
    passes
        How often, at most: what is restored once more is a better guide to what looks alike. On the eight pictures of
        the benchmark the second time gave 0.2 dB where neighbours share the noise and 0.6 dB after Noise2Void, a third
        0.1 and 0.3, for as much time and 18 more pixels around each tile.
    groups
        How thoroughly they are looked for.
    """

    passes: ClassVar[int] = 2
    groups: ClassVar[Groups] = THOROUGH

    @property
    def refines(self) -> bool:
        """Whether patches that look alike take part in what is restored; how sure it is, is told without them."""
        return self.config.similar == "yes" and not self.gives_deviations and self._most_passes > 0

    @property
    def after(self) -> int:
        """Pixels along Y and X that what comes after these patches looks at around each."""
        return 0

    @property
    def full(self) -> int:
        """Of the patches, whose groups are held beside the planes."""
        return self.groups.full if self.refines else 0

    @property
    def _most_passes(self) -> int:
        found = self.config.alike
        return max(map(len, found)) if found else self.passes

    @property
    def radius(self) -> tuple[int, ...]:
        """That of the network, and of the patches."""
        more = self.after + (RADIUS * self._most_passes if self.refines else 0)
        return tuple(r + more if a in "YX" else r for a, r in zip(self.spatial, super().radius, strict=True))

    @property
    def grid(self) -> tuple[int, ...]:
        """Of the network, and of the patches that others are looked for to."""
        step = self.groups.step if self.refines else 1
        return tuple(math.lcm(g, step) if a in "YX" else g for a, g in zip(self.spatial, super().grid, strict=True))

    def as_graph(self) -> Self:
        """With the same weights, without patches that look alike: which these are is decided by their values."""
        if self.config.similar == "no":
            return self
        clone = copy.copy(self)
        clone.config = replace(self.config, similar="no")
        return clone

    @property
    def knows_noise(self) -> bool:
        """Whether that of its pixels was measured, and is believed."""
        return bool(getattr(self.config, "sigma", ()))

    def student(self, ratio: float) -> tuple[str, dict[str, Any]]:
        """As of others; it knows the noise, and similar patches restore once what it gives, as they do here."""
        name, settled = super().student(ratio)
        if self.knows_noise:
            settled |= {name: getattr(self.config, name, ()) for name in _OF_NOISE}
        if self.refines:
            settled |= {"similar": "yes", "alike": tuple(found[:1] for found in self.config.alike)}
        return name, settled

    def once(self, channel: int, y: Tensor) -> Tensor:
        """What the network makes of one channel ``(B, 1, *S)``; with neighbours, of planes that have them all."""
        return self.predicted_of(channel, y).float()

    def measured_noise(self, channel: int) -> PixelNoise:
        """Of the pixels, as their settings have it, in units of the image's deviation."""
        config, std = self.config, self.config.std[channel] or 1.0
        read, offset = (config.sigma[channel] / std) ** 2, config.offset[channel] - config.mean[channel]
        return PixelNoise(read, config.gain[channel] / std, offset / std)

    def noise_variance(self, channel: int, signal: Tensor) -> Tensor:
        """Of the noise where the image without it is ``signal``, as first measured; in units of the image's variance.

        Dark pixels keep some: one without noise would be believed whatever its surroundings say.
        """
        if not self.config.sigma:
            return torch.ones_like(signal)
        noise = self.measured_noise(channel)
        variance = torch.full_like(signal, noise.constant) if noise.gain == 0 else noise.smooth_at(signal)
        return variance.clamp(min=_LEAST_NOISE)

    def noise_at(self, channel: int, signal: Tensor) -> Tensor:
        """As ``noise_variance``, and no less than what predictions left unexplained, where that is known."""
        first = self.noise_variance(channel, signal)
        unexplained = getattr(self.config, "unexplained", ())
        if not unexplained:
            return first
        middle, growth = unexplained[channel]
        return torch.maximum(first, middle + growth * signal)

    def fresh_noise(self, channel: int, variance: Tensor, rng: torch.Generator) -> Tensor:
        """Noise such as the image's, as alike in neighbours, drawn anew."""
        if not self._matrices:
            return torch.randn(variance.shape, generator=rng).to(variance) * variance.sqrt()
        return _like_noise(self._matrices[channel]).sample(torch.zeros_like(variance), rng) * variance.sqrt()

    def correlation(self, channel: int) -> Tensor | None:
        """Of the noise of pixels in a patch; None where it is white."""
        return correlation_in_a_patch(np.array(self._matrices[channel])) if self._matrices else None

    @property
    def _matrices(self) -> tuple[Matrix, ...]:
        return getattr(self.config, "correlation", ())

    def spread(self, channel: int, y: Tensor) -> float:
        """Mean square, over the noise's variance, that patches which count differ by."""
        return 1.0

    def finish(self, batch: Batch) -> None:
        """Find what share of what similar patches say lowers the error."""
        if self.config.similar == "yes":
            some = batch.pixels[:: math.ceil(len(batch.pixels) / PATCHES)]
            found = [self._alike(c, some[:, c : c + 1]) for c in range(self.channels)]
            self.config = replace(self.config, alike=tuple(found))

    def remarks(self) -> Iterator[Note]:
        """What is made of them."""
        yield from super().remarks()
        if self.config.similar == "yes" and self.config.alike:
            each = [" and then ".join(f"{share:.2f}" for _, share in found) or "0" for found in self.config.alike]
            yield Note(f"patches that look alike restore each other once more, by a share of {', '.join(each)}")

    def learned(self, pixels: Tensor) -> Tensor:
        """Each channel through its own network, and then by its similar patches, where these are asked for."""
        restored = pixels.float().clone()
        for c in range(self.channels):
            own(restored[:, c : c + 1], self.neighbours).copy_(self.refined(c, pixels[:, c : c + 1]))
        return restored

    def refined(self, channel: int, y: Tensor) -> Tensor:
        """One channel as ``once`` gives it, restored once more where similar patches take part."""
        found = self.once(channel, y)
        if not self.refines:
            return found
        passes = self.config.alike[channel] if self.config.alike else ((1.0, 1.0),) * self.passes
        for more, (spread, share) in enumerate(passes, 1 - len(passes)):
            seen = RADIUS * more - self.after  # by later ones
            unread = tuple(max(0, n + seen) for n in self.unread[-2:]) or (0, 0)
            found = found.lerp(self._again(channel, y, found, spread, unread), share)
        return found

    def _again(
        self, channel: int, y: Tensor, restored: Tensor, spread: float, unread: tuple[int, ...] = (0, 0)
    ) -> Tensor:
        """Restored once more, by patches that look alike."""
        noise = partial(self.noise_at, channel)
        return by_similar_patches(
            own(y, self.neighbours),
            restored,
            noise,
            alike_in=stabilised(restored, noise),
            spread=spread,
            correlation=self.correlation(channel),
            unread=unread,
            groups=self.groups,
        )

    def _alike(self, channel: int, y: Tensor) -> tuple[tuple[float, float], ...]:
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
        if bool((noise <= _LEAST_NOISE).any()):
            return ()
        weight, tries = (inner != 0) / noise, []  # what was not measured is the mean
        for _ in range(_TRIED):
            drawn, noisier = self.fresh_noise(channel, noise, rng), y.clone()
            own(noisier, self.neighbours).add_(_MORE_NOISE * drawn)
            tries.append((noisier, inner - drawn / _MORE_NOISE, self.once(channel, noisier)))
        found: list[tuple[float, float]] = []
        while len(found) < self.passes:
            more = [self._again(channel, noisier, restored, spread) - restored for noisier, _, restored in tries]
            each = list(zip(tries, more, strict=True))
            told = sum(float((weight * (other - restored) * m).sum()) for (_, other, restored), m in each)
            share = min(told / max(sum(float((weight * m.square()).sum()) for m in more), 1e-12), 1.0)
            if share <= LEAST_SHARE:
                break
            found.append((spread, share))
            tries = [(noisier, other, restored.lerp(restored + m, share)) for (noisier, other, restored), m in each]
        return tuple(found)

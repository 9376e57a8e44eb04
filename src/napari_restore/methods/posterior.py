"""Posterior mean: what a pixel's surroundings predict, and how surely, combined with the pixel itself."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from annotated_types import Interval
from numpy.typing import NDArray
from pydantic import BeforeValidator
from torch import Tensor, nn

from napari_restore import networks
from napari_restore.core.errors import ImageError
from napari_restore.core.events import Note
from napari_restore.core.plan import reflected
from napari_restore.methods import METHODS
from napari_restore.methods.borne_out import REACH, STEP, borne_out
from napari_restore.methods.measuring import constants, noise_levels
from napari_restore.methods.method import Batch, Fit
from napari_restore.methods.neighbours import Neighbours, begun_as, beside, in_place, own, with_neighbours
from napari_restore.methods.refining import Alike, Refining, similar_if, stabilised
from napari_restore.methods.similar_patches import Choice
from napari_restore.metrics.noise_level import NoiseLevel, describe, most_noise, varied
from napari_restore.sources import Image
from napari_restore.sources.planes import planes_of_channels

_LEAST = 16
_FIRST, _ALIKE = "networks.0.", ("dimensions", "width", "depth", "blocks")
_BEGUN_RATE, _BEGUN_DECAY = 1e-3, 1.0  # of a network that begins with weights
_PHASES = ((0, 0), (0, 1), (1, 0), (1, 1))
_BINS, _TAIL, _FEWEST, _SUREST = 12, 0.002, 64, 0.1  # of the signal; pixels left out, needed, and share that counts
_OF_ALL = 1 / 60  # needed, where that is fewer: small images are held out few pixels of
_MORE_NOISE_AT_LEAST, _OFF_LINE_AT_MOST, _OVER_MOST = 1.5, 1.25, 2.0  # see ``_unexplained``
_SIGNALS, _SEED, _FAR = 16, 2019, 5.0  # bins of the signal in which noise is drawn; deviations
_OF_ERROR, _OF_ALIKE, _ALIKE_AT_MOST = 0.8, 0.7, 1.5  # see ``_believed``
_LEFT_AT_MOST, _PARTS = 1.0, 3  # see ``_bars``; of the pixels, by their variance
_FOUR = ((0, 1, 0), (1, 0, 1), (0, 1, 0))
_NEAREST = tuple(  # a normal distribution of deviation 0.8 pixels, without the pixel itself
    tuple(math.exp(-(dy**2 + dx**2) / (2 * 0.8**2)) if dy or dx else 0.0 for dx in range(-2, 3)) for dy in range(-2, 3)
)
_LEAST_SPREAD = 1e-3
_SPREAD = 2.5  # of patches that count, over the error of what is restored
_LEAST_VARIANCE = 1e-4  # of a prediction, in units of the image's variance
_HELD, _HELD_WITHIN = 0.9, 1.6449  # share of errors that bars are told by; deviations of a normal one that hold it
_LOST_AT_MOST = 1.5  # times that errors may fall from one restoration to the next, in squares
_CORNER = 48  # pixels along Y and X of a patch that bars are told by

Pairs = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class PosteriorConfig:
    """Settings of the posterior mean.

    Attributes
    ----------
    dimensions
        ``"2"`` looks along Y and X, ``"3"`` along Z too, which takes some three times longer a pixel. ``"auto"`` is 2.
    noise
        Standard deviation of the noise in units of the image, or ``"auto"`` to measure it, with its growth with the
        signal, where the image is flattest.
    neighbours
        Planes to either side, along Z or time, that are looked at beside each plane. ``"auto"`` trains with one and
        with none at first, and goes on with what predicts pixels held out better.
    combine
        Whether the pixel itself takes part in its restored value. ``"auto"``: where the noise could be measured and is
        not correlated; without it what is predicted from around is the result, as for Noise2Void.
    similar
        Whether patches of the restored image that look alike restore each other once more, which takes some 3 s of one
        core a million pixels. ``"auto"``: where the noise could be measured, in images of up to 33 million pixels.
    width
        Features of the network's first level.
    depth
        Times Y and X are halved.
    blocks
        Residual blocks a level.
    sigma, gain, offset, mean, std
        Settled from the images before training, one entry a channel, in their units: noise without signal, its variance
        for a signal one higher, the signal from which it grows; and what the pixels are divided by.
    units
        Settled before training, one entry a channel: whether its network sees the image in units of its ``"noise"``, as
        one does that begins with weights of other pictures, or of the ``"image"``'s deviation. None means the image's.
    unexplained
        Settled after training, one entry a channel, in units of the image's variance: the noise that the predictions
        leave where they are surest, as its variance at the image's mean and its growth with the signal; 0 and 0 where
        that says no more than the image did.
    alike
        Settled after training, one entry a channel, for each time that it is done: mean square, over the noise's
        variance, that patches which count differ by, and the share of what they say in what is restored, 0 to 1.
    errors
        Settled after training, one entry a channel: pairs, in rising order, of the variance that is predicted and of
        the squared error of predictions that was found for it, both over the variance of the noise.
    told
        Settled after training, one entry a channel: such pairs of what is restored, with all that takes part in it.
        ``uncertainty`` is told by them.
    """

    dimensions: Annotated[Literal["auto", "2", "3"], BeforeValidator(str)] = "auto"
    noise: Literal["auto"] | Annotated[float, Interval(ge=0)] = "auto"
    neighbours: Neighbours = "auto"
    combine: Choice = "auto"
    similar: Choice = "auto"
    width: Annotated[int, Interval(ge=4, le=256)] = 16
    depth: Annotated[int, Interval(ge=1, le=4)] = 1
    blocks: Annotated[int, Interval(ge=1, le=8)] = 1
    sigma: tuple[Annotated[float, Interval(ge=0)], ...] = ()
    gain: tuple[float, ...] = ()
    offset: tuple[float, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[Annotated[float, Interval(ge=0)], ...] = ()
    units: tuple[Literal["image", "noise"], ...] = ()
    unexplained: tuple[tuple[float, float], ...] = ()
    alike: Alike = ()
    errors: tuple[Pairs, ...] = ()
    told: tuple[Pairs, ...] = ()


class Posterior(Refining):
    """Posterior mean with a blind network (Laine et al. 2019, NeurIPS, arXiv:1901.10277, section 3).

    The network gives the mean m and the variance v of a pixel from its surroundings; with noise of variance n the
    restored pixel is (m n + y v) / (n + v). That is the posterior mean for a Gaussian prior, and for Poisson noise
    with a gamma prior.

    It is blind by what it is shown, not by how it is built: of every 2 x 2 pixels one is hidden, always the same one of
    the four in one pass, and predicted from the other three, all eight neighbours among them. So a quarter of the
    pixels are targets in a step, where Noise2Void has some percent, and four passes restore an image.

    The noise is measured twice. In flat parts before training, which says nothing of what is bright and nowhere flat.
    And by the predictions after it: n + v is what their errors show, and where v is least it is the noise. The larger
    counts, since too little noise brings back noise; but not what light does not explain, see ``_unexplained``: where
    the network has learned little yet, too much noise leaves a prediction that is far worse than the pixel itself.
    """

    listed = METHODS["posterior"]
    Config: ClassVar[type] = PosteriorConfig
    efforts: ClassVar = {"quick": {}, "normal": {}, "thorough": {"width": 32, "depth": 2, "blocks": 2}}
    begins_with: ClassVar[str] = "posterior.safetensors"
    learning_rate: float = 2e-3
    noisy_targets: ClassVar[bool] = True
    tells_deviations: ClassVar[bool] = True
    passes: ClassVar[int] = 1  # it knows the noise already: a second time gave 0.01 dB on the eight pictures
    narrower: ClassVar[float] = 1.0  # small as it is; what its student saves is three of four passes, and patches
    # One pass is to give what four and patches do. With its own 16 features and 1 block a copy of the eight pictures'
    # model lost 0.18 dB after 3000 steps, with these 0.06 after 2500, without patches.
    least_student: ClassVar[tuple[int, int]] = (24, 2)
    # One image of 512 x 512 is seen a hundred times a minute, and its noise is learned by heart: two W2S frames of 17
    # and 19 dB ended at 33.48 and 31.96 dB with 1e-4, at 33.92 and 32.41 with this; the 8 benchmark images lost 0.06.
    weight_decay: float = 1.0
    config: PosteriorConfig

    def build(self, planes: int = 1) -> nn.Module:
        """A network that gives two numbers a pixel."""
        config, axes = self.config, self.network_axes
        network: nn.Module = networks.build(
            "residual_unet",
            ndim=len(axes),
            channels_in=planes,
            channels_out=2,
            width=config.width,
            depth=[0 if a == "Z" else config.depth for a in axes],
            blocks=config.blocks,
            fold=[1 if a == "Z" else 2 for a in axes],
            rate=(1,) * len(axes),
        )
        return network

    @classmethod
    def fit_to(cls, config: PosteriorConfig, images: Sequence[Image]) -> Fit:
        """Settle axes, depth, constants, and the noise of each channel."""
        shortest = cls.shortest_side(images, least=_LEAST)
        spatial = cls.axes_for(config.dimensions, images)
        normalisation = constants(planes_of_channels(images), images[0].name)
        levels = _measured(images)
        known = config.noise != "auto"
        said = () if known else tuple(Note(describe(level), "info") for level in levels)
        combine = config.combine
        if combine == "auto":
            combine = "yes" if known or all(map(_trusted, varied(levels))) else "no"
            if combine == "no":
                said = (*said, Note("the noise is not sure enough to use a pixel's own value: it is predicted alone"))
        similar, told = similar_if(config.similar, noise_is_known=combine == "yes", images=images, passes=cls.passes)
        settled = replace(
            config,
            dimensions="3" if len(spatial) == 3 else "2",
            combine=combine,
            similar=similar,
            alike=(),
            depth=min(config.depth, shortest.bit_length() - 3),
            sigma=tuple(float(config.noise) if known else _read(level) for level in levels),
            gain=tuple(0.0 if known else level.gain for level in levels),
            offset=tuple(0.0 if known else level.offset for level in levels),
            mean=normalisation.mean,
            std=normalisation.std,
            units=config.units if len(config.units) == len(levels) else (),
            unexplained=(),
            errors=(),
            told=(),
        )
        return with_neighbours(Fit(settled, spatial, normalisation, (*said, *told)), images)

    @classmethod
    def beginning(cls, fit: Fit, known: Any) -> Fit | None:
        """In units of the noise, which has to be known for that, if the network is as large and has two axes."""
        config = fit.config
        known_noise = all(s > 0 or g > 0 for s, g in zip(config.sigma, config.gain, strict=True))
        if not known_noise or any(getattr(config, name) != getattr(known, name) for name in _ALIKE):
            return None
        rival = None if fit.rival is None else cls.beginning(fit.rival, known)
        return replace(fit, config=replace(config, units=("noise",) * len(config.sigma)), rival=rival)

    def begin_with(self, weights: Mapping[str, Tensor]) -> None:
        """Each channel's network with the same; neighbouring planes count for nothing at first."""
        self.begun, self.learning_rate, self.weight_decay = True, _BEGUN_RATE, _BEGUN_DECAY
        alone = {name.removeprefix(_FIRST): weight for name, weight in weights.items() if name.startswith(_FIRST)}
        for network in self.networks:
            begun_as(alone, network, self.neighbours)

    @property
    def knows_noise(self) -> bool:
        """Where a pixel's own value takes part."""
        return self.config.combine == "yes"

    @property
    def radius(self) -> tuple[int, ...]:
        """As of others, one pixel for a phase, one for the mean that stands in for hidden pixels, and the witnesses."""
        more = 2 + (REACH if self._asks_pixels else 0)
        return tuple(r + more if a in "YX" else r for a, r in zip(self.spatial, super().radius, strict=True))

    @property
    def grid(self) -> tuple[int, ...]:
        """As of others, and of the sums of what pixels bear out."""
        step = STEP if self._asks_pixels else 1
        return tuple(math.lcm(g, step) if a in "YX" else g for a, g in zip(self.spatial, super().grid, strict=True))

    @property
    def _asks_pixels(self) -> bool:
        """Whether pixels tell what is believed of their prediction: where their noise is known."""
        return self.config.combine == "yes" and not self.gives_deviations

    @property
    def ends_at_the_image(self) -> bool:
        """No: what its network gives is added to the mean about a pixel."""
        return False

    @property
    def patch(self) -> tuple[int, ...]:
        """88 pixels along Y and X, fewer in a volume."""
        planes = (2 * self.neighbours + 1,) if self.neighbours else ()
        return (*planes, *{2: (88, 88), 3: (8, 56, 56)}[len(self.network_axes)])

    @property
    def batch(self) -> int:
        """Few large patches: their borders, where less can be seen, are a smaller part."""
        return {2: 3, 3: 1}[len(self.network_axes)]

    def forward(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """The negative log-likelihood of the pixels of one phase (Laine et al., eq. 5); its value is the squared error.

        The value is what is shown to the user, and a squared error can be compared with the noise.
        """
        dy, dx = phase = _PHASES[int(torch.randint(4, (), generator=rng))]
        pixels, target = (own(values, self.neighbours) for values in (batch.pixels, batch.target))
        weight = target[..., dy::2, dx::2].float()
        losses = []
        for c in range(self.channels):
            mean, variance = self.blind(c, batch.pixels[:, c : c + 1], phase)
            with torch.autocast(pixels.device.type, enabled=False):
                error = (pixels[:, c : c + 1, ..., dy::2, dx::2] - mean).square()
                total = variance + self.noise_variance(c, mean.detach())
                likely = 0.5 * (total.log() + error / total)
                losses.append(likely + (error - likely).detach())
        return (torch.stack(losses).mean(0) * weight).sum() / weight.sum().clamp(min=1)

    def finish(self, batch: Batch) -> None:
        """Measure the noise once more, by what the predictions leave."""
        target = own(batch.target, self.neighbours)
        predicted = [self._predicted(c, batch.pixels[:, c : c + 1]) for c in range(self.channels)]
        lines = []
        for c, (mean, variance) in enumerate(predicted):
            noise = self.noise_variance(c, mean)
            surest = _surest(*(_numbers(each[target]) for each in (mean, noise + variance, noise)))
            lines.append(_unexplained(*surest, most=_most_noise(own(batch.pixels[:, c], self.neighbours))))
        self.config = replace(self.config, unexplained=tuple(lines))
        errors = [self._errors(c, batch, *each) for c, each in enumerate(predicted)]
        self.config = replace(self.config, errors=tuple(errors))
        super().finish(batch)
        corners = _corners(batch.pixels)
        told = [self._told(c, corners[:, c : c + 1]) for c in range(self.channels)]
        self.config = replace(self.config, told=tuple(told))

    def _predicted(self, channel: int, y: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of every pixel of ``(B, 1, *S)`` from the others; with neighbours, where there are all."""
        mean, variance = (torch.empty_like(own(y, self.neighbours)) for _ in range(2))
        for (dy, dx), told in zip(_PHASES, self._each_phase(channel, y), strict=True):
            mean[..., dy::2, dx::2], variance[..., dy::2, dx::2] = told
        return mean, variance

    def _errors(self, channel: int, batch: Batch, mean: Tensor, variance: Tensor) -> Pairs:
        """What predictions err by, by their variance, both over that of the noise: see ``_believed``."""
        k, y = self.neighbours, batch.pixels[:, channel : channel + 1]
        measured = y != 0  # what was not is the mean
        truth = self._predicted(channel, _mirrored(y, k))[0] if k else mean
        again = torch.where(measured, truth + _redrawn(y - truth, truth, measured, seed=_SEED), y)
        found, truth = self._predicted(channel, again)[0], own(truth, k)
        noise = self.noise_at(channel, mean)
        error = (found - truth).square() / noise
        alike = _beside(_left(own(y, k), mean, noise), _FOUR) - _beside(_left(own(again, k), found, noise), _FOUR)
        return _by_variance(*(_numbers(each[own(measured, k)]) for each in (variance / noise, error, alike)))

    def _told(self, channel: int, y: Tensor) -> Pairs:
        """What restored pixels err by, by the variance of their prediction, over that of the noise: see ``_bars``."""
        variance, _, *found, measured = self._restored_again(channel, y)
        return _bars(*(_numbers(each[measured]) for each in (variance, *found)))

    def mean_squared_error(self, pixels: Tensor) -> NDArray[np.float64]:
        """By the bootstrap that error bars are told by, see ``_bars``, of all errors at once.

        On the pixels themselves it tells more than bars do, which are told of other parts and leave out what is rare:
        of 16 frames with a truth it was off by 1.2 dB in the root of the mean square, they by 1.5.
        """
        return np.array([self._squared_error(c, pixels[:, c : c + 1]) for c in range(self.channels)])

    def _squared_error(self, channel: int, y: Tensor) -> float:
        _, *found, measured = self._restored_again(channel, y)
        noise, first, second, alike = (_numbers(each[measured]) for each in found)
        if not noise.size:
            return math.nan
        weight = noise / noise.mean()
        squares, next_squares = weight * np.square(first), weight * np.square(second)
        more = _lost(squares, next_squares) * _left_more(weight * alike, squares)
        return float(noise.mean() * squares.mean()) * more

    def _restored_again(self, channel: int, y: Tensor) -> tuple[Tensor, ...]:
        """The result with new noise, restored again, and that once more.

        Of each pixel: the variance of its prediction over that of the noise; the noise's; what the second result
        differs by from the first, and the third from the second, in deviations of the noise; the product of what the
        result leaves in it and about it, less that of new noise; and whether it is measured. With neighbours, planes at
        either end see those inside mirrored, as at the ends of an image.
        """
        k, measured = self.neighbours, y != 0  # what was not is the mean
        mean, variance = self._predicted(channel, _mirrored(y, k))
        noise = self.noise_at(channel, mean)
        left = (y - mean) / noise.sqrt()

        def again(restored: Tensor, seed: int) -> Tensor:
            drawn = _redrawn(left, mean, measured, seed=seed, centred=True) * self.noise_at(channel, restored).sqrt()
            return torch.where(measured, restored + drawn, y)

        restored = self.refined(channel, _mirrored(y, k))
        noisier = again(restored, _SEED)
        once = self.refined(channel, _mirrored(noisier, k))
        twice = self.refined(channel, again(once, _SEED + 1))  # of planes at the ends no more is asked
        unit = own(noise, k).sqrt()
        first, second = own(once - restored, k) / unit, (twice - own(once, k)) / unit
        found = [_left(*each, noise) * measured for each in ((y, restored), (noisier, once))]
        alike = own(_beside(found[0], _NEAREST) - _beside(found[1], _NEAREST), k)
        return own(variance / noise, k), own(noise, k), first, second, alike, own(measured, k)

    def once(self, channel: int, y: Tensor) -> Tensor:
        """Predicted as far as the pixels bear it out, and combined with these, where their noise is known."""
        mean, variance = self._predicted(channel, y)
        noise = self.noise_at(channel, mean)
        if self.gives_deviations:
            return (noise * _at(variance / noise, self.config.told[channel])).sqrt()
        if not self._asks_pixels:
            return mean
        pixels = own(y, self.neighbours).float()
        mean, variance = borne_out(pixels, mean, variance, noise)
        return mean + self._share(channel, mean, variance) * (pixels - mean)

    def _each_phase(self, channel: int, y: Tensor) -> Iterable[tuple[Tensor, Tensor]]:
        """Mean and variance of the pixels of each, from all others.

        A graph has the network once and shows it all phases as samples: with four copies of it, it is four times as
        large and takes twice as long to write.
        """
        if not torch.compiler.is_compiling():
            return (self.blind(channel, y, phase) for phase in _PHASES)
        told = self.blind(channel, torch.cat([_moved(y, phase) for phase in _PHASES]), (0, 0))
        return zip(*(each.chunk(len(_PHASES)) for each in told), strict=True)

    def spread(self, channel: int, y: Tensor) -> float:
        """By how much what is restored errs: what patches differ by beyond that is a difference."""
        mean, variance = self._predicted(channel, y)
        error = self._deviation(channel, mean, variance, self._share(channel, mean, variance)).square()
        return max(_SPREAD * float((error / self.noise_at(channel, mean)).mean()), _LEAST_SPREAD)

    def _share(self, channel: int, mean: Tensor, variance: Tensor) -> Tensor:
        """Of the pixel itself in its restored value, 0 to 1."""
        if self.config.combine != "yes":
            return torch.zeros_like(mean)
        total = self.noise_variance(channel, mean) + variance
        return ((total - self.noise_at(channel, mean)) / total).clamp(min=0)

    def _deviation(self, channel: int, mean: Tensor, variance: Tensor, known: Tensor) -> Tensor:
        """Of what is restored before similar patches: predictions err by themselves, and pixels by their own noise.

        For the right variance this is the posterior's, n v / (n + v).
        """
        noise = self.noise_at(channel, mean)
        error = noise * _at(variance / noise, self.config.errors[channel])
        return ((1 - known).square() * error + known.square() * noise).sqrt()

    def foretold(self, pixels: Tensor) -> tuple[Tensor, Tensor] | None:
        """Of each pixel that has all its neighbouring planes; the variance as it is believed, not as it was learned."""
        if not self.config.errors:
            return None
        means, deviations = [], []
        for c in range(self.channels):
            mean, variance = self._predicted(c, pixels[:, c : c + 1])
            noise = self.noise_at(c, mean)
            means.append(mean)
            deviations.append((noise * (1 + _at(variance / noise, self.config.errors[c]))).sqrt())
        return torch.cat(means, 1), torch.cat(deviations, 1)

    def deviations(self) -> Self | None:
        """As of others; None of a model that was trained before these were measured."""
        return super().deviations() if self.config.told and all(self.config.told) else None

    def blind(self, channel: int, y: Tensor, phase: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Mean and variance of the pixels ``y[..., dy::2, dx::2]`` of ``(B, 1, *S)``, from all others.

        With neighbours, of the planes that have them all: these are seen whole.
        """
        k = self.neighbours
        seen = _moved(beside(y, k) if k else y, phase).clone()
        around = mean_around(seen[:, k : k + 1])
        seen[:, k : k + 1, ..., ::2, ::2] = around
        noise = partial(self.noise_variance, channel) if self.in_units_of_noise(channel) else None
        mean, variance = predicted(self.networks[channel], seen, around, noise)
        return (in_place(mean, len(y)), in_place(variance, len(y))) if k else (mean, variance)

    def in_units_of_noise(self, channel: int) -> bool:
        """Whether the network of a channel is shown it with noise of variance 1, instead of with a variance of 1."""
        return bool(self.config.units) and self.config.units[channel] == "noise"


def predicted(
    network: nn.Module, seen: Tensor, around: Tensor, noise: Callable[[Tensor], Tensor] | None
) -> tuple[Tensor, Tensor]:
    """Mean and variance of hidden pixels, which lie on even rows and columns, as a network tells them.

    Parameters
    ----------
    seen
        ``(B, C, *S)`` with the hidden pixels replaced.
    around
        What stands for each of them, ``(B, 1, *(S / 2))``: what the network gives is added to it.
    noise
        Gives the variance of the noise at a signal, in whose units the network works then; None for those of the image.
    """
    shown = seen if noise is None else stabilised(seen, noise)
    layout = torch.channels_last if seen.ndim == 4 else torch.channels_last_3d
    learned = network(shown.contiguous(memory_format=layout)).float()[..., ::2, ::2]
    mean, variance = learned[:, :1], F.softplus(learned[:, 1:] - 1) + _LEAST_VARIANCE
    if noise is None:
        return around + mean, variance
    unit = noise(around)
    return around + unit.sqrt() * mean, unit * variance


def _numbers(pixels: Tensor) -> NDArray[np.float64]:
    found: NDArray[np.float64] = pixels.cpu().double().numpy()
    return found


def _left(pixels: Tensor, restored: Tensor, noise: Tensor) -> Tensor:
    """What a result leaves in each pixel, in deviations of the noise, so that a hot one has no more say than many."""
    return ((pixels - restored) / noise.sqrt()).clamp(-_FAR, _FAR)


def _beside(left: Tensor, weights: Sequence[Sequence[float]]) -> Tensor:
    """The product of each pixel of ``(B, 1, *S)`` with the mean about it in its plane, by weights with 0 amid them."""
    kernel = left.new_tensor(weights)
    planes = left.reshape(-1, 1, *left.shape[-2:])
    mean = F.conv2d(planes, (kernel / kernel.sum())[None, None], padding=len(weights) // 2)
    return left * mean.view(left.shape)


def _corners(patches: Tensor) -> Tensor:
    """One part of each patch, in turn of its four corners: errors differ more between places of an image than in one.

    Of patches about a border of the image, as many corners are there as elsewhere.
    """
    starts = [(0, max(0, n - _CORNER)) for n in patches.shape[-2:]]
    parts = [
        patches[i, ..., starts[0][i % 4 // 2] :, starts[1][i % 2] :][..., :_CORNER, :_CORNER]
        for i in range(len(patches))
    ]
    return torch.stack(parts)


def _mirrored(planes: Tensor, count: int) -> Tensor:
    """``(B, C, P, *S)`` with ``count`` more at either end, so that each of the P has its neighbours."""
    if not count:
        return planes
    index = reflected(-count, planes.shape[2] + count, planes.shape[2])
    return planes[:, :, torch.from_numpy(index).to(planes.device)]


def _redrawn(left: Tensor, signal: Tensor, measured: Tensor, *, seed: int, centred: bool = False) -> Tensor:
    """What is left in each pixel, taken from others of about the same signal, at random: as large, as rare, as skew.

    Where it is ``centred``, its mean is 0 at every signal. More is left above those predictions that are too dark by
    chance, which new noise must not make up for.
    """
    rng = np.random.default_rng(seed)
    known = measured.cpu().numpy()
    values, at = _numbers(left)[known], _numbers(signal)[known]
    place = np.searchsorted(np.unique(np.quantile(at, np.linspace(0, 1, _SIGNALS + 1)[1:-1])), at) if at.size else at
    for each in np.unique(place):
        chosen = np.flatnonzero(place == each)
        values[chosen] = rng.permutation(values[chosen]) - (values[chosen].mean() if centred else 0)
    drawn = np.zeros(known.shape)
    drawn[known] = values
    return torch.from_numpy(drawn).to(left)


def _by_variance(variance: NDArray[np.float64], error: NDArray[np.float64], alike: NDArray[np.float64]) -> Pairs:
    """Pairs of a predicted variance and the squared error that is believed of it, all over the noise's variance.

    Parameters
    ----------
    variance
        That was learned for each pixel.
    error
        Squares of how far a prediction from noise that was drawn anew is from what was taken for the truth there.
    alike
        Products of what predictions leave in pixels beside each other, less those that new noise leaves.
    """
    if variance.size < _FEWEST:
        return ()
    bins = _bins(variance)
    at, *rest = (np.array([a[k].mean() for k in bins]) for a in (variance, error, alike))
    return tuple(zip(at.tolist(), _believed(*rest).tolist(), strict=True))


def _bins(values: NDArray[np.float64]) -> list[NDArray[np.bool_]]:
    """Which of them are in each of some bins of about as many, in rising order."""
    place = np.searchsorted(np.unique(np.quantile(values, np.linspace(0, 1, _BINS + 1)[1:-1])), values)
    return [place == b for b in np.unique(place)]


def _bars(
    variance: NDArray[np.float64],
    first: NDArray[np.float64],
    second: NDArray[np.float64],
    alike: NDArray[np.float64],
) -> Pairs:
    """Pairs of a predicted variance and the square of a restored pixel's error bar, all over the noise's variance.

    What is restored is taken for the truth, gets noise again, and is restored once more, with all that takes part in
    it (the bootstrap of residuals: Efron and Tibshirani 1993, An Introduction to the Bootstrap, chapter 9). That
    noise is what predictions leave, the structure that they lost with it: on ten images with a truth it told errors
    better than noise of the variance that was measured, which is too little where confocal frames are bright. As errors
    are no normal ones, a bar is the range that holds 90 % of them, over that of a normal one of deviation 1.

    The bootstrap lacks the structure that the first restoration has lost. That a second one of the same kind loses
    less again is seen, and corrected for by as much once more (the iterated bootstrap: Hall 1992, The Bootstrap and
    Edgeworth Expansion, section 1.4): the squares of the first errors by the ratio of theirs to the second's.

    What the first has lost of structure is left in the measured pixels, too, alike in those near each other, more than
    new noise leaves it: the squares grow by that share of the error, up to twice, in each third of the pixels by
    itself. That rule was chosen with eight frames, nine made images and eight pictures; eight more frames, looked at
    meanwhile, hold as much (``benchmarks/error_bars.py``).

    Parameters
    ----------
    variance
        That was learned for each pixel.
    first, second
        What the image restored from its result with new noise differs by from that result, and the same once more.
    alike
        Products of what the result leaves in a pixel and about it, less those that new noise leaves.
    """
    if variance.size < _FEWEST:
        return ()
    lost = _lost(np.square(first), np.square(second))
    bins = _bins(variance)
    pairs = []
    for some in np.array_split(np.arange(len(bins)), min(_PARTS, len(bins))):  # in one bin chance tells too much
        there = np.any([bins[b] for b in some], axis=0)
        more = _left_more(alike[there], np.square(first[there]))
        for b in some:
            bar = np.quantile(np.abs(first[bins[b]]), _HELD) / _HELD_WITHIN
            pairs.append((float(variance[bins[b]].mean()), max(lost * more * float(bar) ** 2, _LEAST_VARIANCE)))
    return tuple(pairs)


def _lost(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """How much larger an error is than a bootstrap's, by how much less is lost in the next; both squared."""
    return float(np.clip(first.mean() / max(second.mean(), 1e-12), 1, _LOST_AT_MOST))


def _left_more(alike: NDArray[np.float64], squares: NDArray[np.float64]) -> float:
    """How much larger squared errors are, by what is left of structure as a share of them."""
    return 1 + float(np.clip(alike.mean() / max(squares.mean(), _LEAST_VARIANCE), 0, _LEFT_AT_MOST))


def _believed(error: NDArray[np.float64], alike: NDArray[np.float64]) -> NDArray[np.float64]:
    """The squared error of predictions, over the noise's variance, in bins of the variance that was learned.

    What was learned is n + v less n, and lost in how well n is known where little error is left: 2 % of n is all the
    error at 17 dB. So the prediction is taken for the truth, gets noise again, and is predicted once more (the
    parametric bootstrap: Efron and Tibshirani 1993, An Introduction to the Bootstrap, section 6.5): that errs by as
    much, within a factor of two, whatever n is. Of structure that the first prediction has lost it knows nothing. This
    is left in pixels beside each other alike, as is noise that they share: the more of that, over the error and beyond
    what new noise leaves, the more is believed.

    The two factors were set on every other one of 25 images with a truth, in the order of their names, where intervals
    of 90 % held 87 to 93 % in 9 of 13; in the 12 others in 5, which held 85 to 97 %. The rule itself was made with all
    of them seen. That similar patches then lower the error is not counted.
    """
    more = float(np.mean(alike / np.maximum(error, _LEAST_VARIANCE)))
    factor = _OF_ERROR + _OF_ALIKE * min(max(more, 0.0), _ALIKE_AT_MOST)
    return np.maximum(factor * error, _LEAST_VARIANCE)


def _unexplained(
    signal: NDArray[np.float64],
    variance: NDArray[np.float64],
    noise: NDArray[np.float64],
    *,
    most: NDArray[np.float64],
) -> tuple[float, float]:
    """The line under what the surest predictions leave, where light explains it, and noise that was measured does not.

    Parameters
    ----------
    signal, variance, noise
        As ``_surest`` gives them.
    most
        ``(N, 2)``: signals, and the variance that noise is not above there.

    Returns
    -------
    tuple of float
        Value at 0 and slope; 0 and 0 unless the line is half as high again somewhere as what was measured, as high as
        the surest are at most signals, and nowhere far above what noise can be. What a network has not learned yet lies
        off it: with 0.3 % of noise, it would take the walls of a foam for noise, and its 50 dB to 40.
    """
    if not signal.size:
        return 0.0, 0.0
    line = _least_line(signal, variance)
    told = np.maximum(line[0] + line[1] * signal, noise)
    explained = np.max(told / noise) >= _MORE_NOISE_AT_LEAST and np.median(variance / told) <= _OFF_LINE_AT_MOST
    possible = np.all(line[0] + line[1] * most[:, 0] <= _OVER_MOST * most[:, 1])
    return line if explained and possible else (0.0, 0.0)


def _most_noise(planes: Tensor) -> NDArray[np.float64]:
    """As ``most_noise``; nothing of patches that are too small."""
    try:
        return most_noise(list(_numbers(planes).reshape(-1, *planes.shape[-2:])))
    except ImageError:
        return np.empty((0, 2))


def _surest(
    signal: NDArray[np.float64], variance: NDArray[np.float64], noise: NDArray[np.float64]
) -> tuple[NDArray[np.float64], ...]:
    """Signal, the variance that a tenth of the predictions of about that signal are below, and the noise, in bins.

    What is bright in few pixels counts as much as what is dark in many.
    """
    low, high = np.quantile(signal, (_TAIL, 1 - _TAIL))
    place = np.clip(((signal - low) / max(high - low, 1e-12) * _BINS).astype(int), 0, _BINS - 1)
    inside = (signal >= low) & (signal <= high)
    needed = min(_FEWEST, max(_FEWEST / 8, _OF_ALL * signal.size))
    bins = [chosen for chosen in (inside & (place == b) for b in range(_BINS)) if chosen.sum() >= needed]
    found = [(signal[k].mean(), np.quantile(variance[k], _SUREST), noise[k].mean()) for k in bins]
    return tuple(np.array(found, np.float64).reshape(-1, 3).T)


def _least_line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """The highest line, value at 0 and slope of 0 or more, that all these points lie above.

    A line through them instead of under them would call a texture noise.
    """
    slopes = [0.0, *(g for g in ((y[:, None] - y) / (x[:, None] - x + np.eye(len(x)))).ravel() if g > 0)]
    lines = [(float((y - g * x).min()), float(g)) for g in slopes]
    return max(lines, key=lambda line: line[0] + line[1] * x.mean())


def _at(ratio: Tensor, found: Sequence[tuple[float, float]]) -> Tensor:
    """The squared error found where this variance is predicted, both over that of the noise.

    Between the pairs along a line in their logarithms; the first below them, and in proportion to the last above.
    """
    x, y = torch.tensor(found, dtype=torch.float32, device=ratio.device).log().T.contiguous()
    at = ratio.log()
    inside = at.clamp(x[0], x[-1])
    right = torch.bucketize(inside, x).clamp(min(1, len(x) - 1), len(x) - 1)
    left = (right - 1).clamp(min=0)
    part = (inside - x[left]) / (x[right] - x[left]).clamp(min=_LEAST_VARIANCE)
    between: Tensor = y[left] + part * (y[right] - y[left])
    return (between + (at - inside).clamp(min=0)).exp()


def _measured(images: Sequence[Image]) -> tuple[NoiseLevel, ...]:
    """The noise of each channel; nothing sure where no part of the images is finite and large enough to tell."""
    try:
        return noise_levels(images)
    except ImageError:
        unknown = NoiseLevel(0.0, 0.0, 0.0, 0.0, 0.0, 0.0, reliable=False)
        return (unknown,) * images[0].geometry.length("C")


def _trusted(level: NoiseLevel) -> bool:
    return level.reliable and level.white


def _read(level: NoiseLevel) -> float:
    return level.read if level.gain > 0 else level.sigma


def _moved(y: Tensor, phase: tuple[int, int]) -> Tensor:
    """Moved so that the phase comes to lie on even rows and columns; the last ones are mirrored, not hidden pixels."""
    dy, dx = phase
    if dy:
        y = torch.cat([y[..., 1:, :], y[..., -2:-1, :]], -2)
    if dx:
        y = torch.cat([y[..., 1:], y[..., -2:-1]], -1)
    return y


def mean_around(y: Tensor) -> Tensor:
    """The mean about each pixel on even rows and columns, of its eight neighbours, the nearer ones counting double."""
    y = y.float()
    rows = torch.cat([y[..., 1:2, :], y[..., 1::2, :]], -2)  # those above and below, mirrored at the border
    sides = torch.cat([y[..., ::2, 1:2], y[..., ::2, 1::2]], -1)
    near = rows[..., :-1, ::2] + rows[..., 1:, ::2] + sides[..., :-1] + sides[..., 1:]
    odd = torch.cat([rows[..., 1:2], rows[..., 1::2]], -1)
    far = odd[..., :-1, :-1] + odd[..., 1:, :-1] + odd[..., :-1, 1:] + odd[..., 1:, 1:]
    return (2 * near + far) / 12

"""Richardson-Lucy deconvolution as a method of its own: photons, a dark level, total variation; nothing is learned."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import prod
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from annotated_types import Interval
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from napari_restore.core.errors import RestoreError
from napari_restore.core.events import Note
from napari_restore.core.layout import to_samples
from napari_restore.core.region import Region
from napari_restore.methods import METHODS, thinning
from napari_restore.methods.allocated import peak_of
from napari_restore.methods.classical import Classical, ClassicalConfig
from napari_restore.methods.method import Interrupted
from napari_restore.metrics.noise_level import NoiseLevel
from napari_restore.metrics.pixel_noise import PixelNoise
from napari_restore.operators.blur import Blur
from napari_restore.operators.combine import Identity
from napari_restore.operators.deconvolve import Prior, richardson_lucy
from napari_restore.operators.inverse import wiener
from napari_restore.operators.operator import Operator
from napari_restore.sources import Image
from napari_restore.sources.planes import planes_of_channels

_TYPICAL_UPDATES, _TYPICAL_WEIGHT = 15, 0.002
"""Before they are chosen."""

_CALLED = {"total_variation": "total variation", "hessian": "Hessian"}
"""Priors, where something is said of them."""

_LOOKED_AT = {2: {"Y": 320, "X": 320}, 3: {"Z": 24, "Y": 160, "X": 160}}
"""Pixels of the part that settings are chosen on, at most, by the number of axes."""

_DRAWS = {2: 6, 3: 1}
"""How often photons are tossed: a part of a plane has few of them; of a stack a larger part tells more."""

_FEWEST_UPDATES = 3
"""Of which the last sets out from two before it."""

_TILE = {2: (1024, 1024), 3: (48, 256, 256)}

_DARK_SHARE, _FEWEST_DARK, _DARK_SMOOTH = 1e-3, 16, 1.5
"""Of the pixels, at least so many, that have no light: the darkest once smoothed by a Gaussian of so many pixels."""

_TOLD = 0.05
"""Of the weights of a smoothed pixel, that have to be of finite ones."""

_LEAST_NOISE = 1e-3
"""Of the image's deviation: with less, photons would be countless."""

_SHARPENED = 6.0
"""Times the noise, that the filter is made for by which settings are chosen: with less, chance would choose."""

_MARGINS, _WIDTHS = 1.0, 4.6
"""How far an update changes anything, in margins of the PSF and, times the root of the updates, in its widths."""


_BORDERS, _LEAST_BORDER = 3, {2: 32, 3: 8}
"""Margins of a lopsided PSF, and at least so many pixels by the number of axes, that a whole image is mirrored by."""


@dataclass(frozen=True)
class RichardsonLucyConfig(ClassicalConfig):
    """Settings of Richardson-Lucy deconvolution.

    Attributes
    ----------
    iterations
        Updates, or ``"auto"`` for as many as held-out photons ask for, at most 110 of stacks and 30 of planes. They are
        accelerated: 10 do what 30 and more of other programs do.
    weight
        Price of what ``prior`` says, against noise: 0 for none, 0.002 is light, 0.02 leaves flat patches. ``"auto"``:
        the one that held-out photons ask for.
    prior
        What is smooth: ``"total_variation"`` for flat patches with sharp edges, ``"hessian"`` for slopes that hardly
        bend, such as of structure as fine as the blur. ``"auto"``: of stacks the one that held-out photons ask for, of
        planes total variation.
    offset
        What a pixel without any light has, in units of the image; nothing darker is left. ``"auto"``: what the darkest
        parts of the image have.
    photon, zero, dark, updates, price, priced
        Settled from the images, one entry a channel: units of the image for one photon, the value at which their noise
        would vanish, the offset, and what ``iterations``, ``weight`` and ``prior`` came to.
    """

    iterations: Literal["auto"] | Annotated[int, Interval(ge=1, le=200)] = "auto"
    weight: Literal["auto"] | Annotated[float, Interval(ge=0, le=1)] = "auto"
    prior: Literal["auto", "total_variation", "hessian"] = "auto"
    offset: Literal["auto"] | float = "auto"
    photon: tuple[Annotated[float, Interval(ge=0)], ...] = ()
    zero: tuple[float, ...] = ()
    dark: tuple[float, ...] = ()
    updates: tuple[Annotated[int, Interval(ge=1, le=200)], ...] = ()
    price: tuple[Annotated[float, Interval(ge=0, le=1)], ...] = ()
    priced: tuple[Literal["total_variation", "hessian"], ...] = ()


class RichardsonLucy(Classical):
    """Accelerated Richardson-Lucy deconvolution with a prior; see ``operators.deconvolve.richardson_lucy``.

    The image is brought to photons by the line that its noise's variance is in its signal: gain, offset and read noise
    in one, as a camera's read noise of variance v is that of v more photons (Snyder et al. 1995,
    doi:10.1364/JOSAA.12.000272). Where noise does not grow with the signal, half of it is taken for that of the mean
    signal's photons, the other half for that of the ground.
    """

    listed = METHODS["richardson_lucy"]
    Config: ClassVar[type] = RichardsonLucyConfig
    chooses = True
    config: RichardsonLucyConfig

    def __init__(self, config: RichardsonLucyConfig, *, spatial: str, channels: int) -> None:
        super().__init__(config, spatial=spatial, channels=channels)
        self.endless = Endless(self.psf)
        self._scales = scales_of(config, channels)

    @classmethod
    def settle(cls, config: Any, images: Sequence[Image], levels: Sequence[NoiseLevel]) -> Any:
        """Photons and the dark level of each channel."""
        darkest = [_darkest(each) for each in planes_of_channels(images)]
        dark = darkest if config.offset == "auto" else [float(config.offset)] * len(levels)
        each = zip(levels, dark, config.mean, config.std, strict=True)
        lines = [_line(level, dark=d, mean=m, std=s) for level, d, m, s in each]
        return replace(
            config,
            photon=tuple(photon for photon, _ in lines),
            zero=tuple(zero for _, zero in lines),
            dark=tuple(dark),
        )

    def chosen(
        self, images: Sequence[Image], *, rng: np.random.Generator, stopping: Callable[[], bool]
    ) -> tuple[Self, tuple[Note, ...]]:
        """Iterations, prior and weight of each channel, by photons held out of the middle of the first image."""
        config = self.config
        updates, weights = self._allowed()
        if len(updates) * sum(map(len, weights.values())) == 1:
            prior, (weight,) = next(iter(weights.items()))
            found = [thinning.Tried(updates[0], weight, prior)] * self.channels
        else:
            found = [self._best(images[0], c, updates, weights, rng, stopping) for c in range(self.channels)]
        if config.iterations == "auto":
            found = [thinning.of_all(each, ndim=len(self.spatial)) for each in found]
        settled = replace(
            config,
            updates=tuple(t.updates for t in found),
            price=tuple(t.weight for t in found),
            priced=tuple(t.prior for t in found),
        )
        made = copy.deepcopy(self)
        made.config, made._scales = settled, scales_of(settled, self.channels)
        return made, tuple(Note(self._said(settled, c)) for c in range(self.channels))

    def choosing_bytes(self, images: Sequence[Image]) -> int:
        """Of one update of the prior that takes most; of stacks with what waits for others, where no weight is worse.

        Of planes one weight is asked after the other.
        """
        updates, weights = self._allowed()
        if len(updates) * sum(map(len, weights.values())) == 1:
            return 0
        prior, tried = list(weights.items())[-1]
        rng = np.random.default_rng(0)
        one = {prior: tried[len(tried) // 2 :][:1]}
        taken = peak_of(lambda: self._best(images[0], 0, updates[:1], one, rng, self.stopping))
        waiting = max(map(len, weights.values())) - 1 if len(self.spatial) == 3 else 0
        return taken + waiting * thinning.WAITING * 4 * prod(self._looked_at(images[0]))

    def _allowed(self) -> tuple[tuple[int, ...], dict[Prior, tuple[float, ...]]]:
        """Updates, and weights by prior, that are tried."""
        config, ndim = self.config, len(self.spatial)
        updates = thinning.usual_updates(ndim) if config.iterations == "auto" else (config.iterations,)
        priors: tuple[Prior, ...] = thinning.PRIORS[ndim] if config.prior == "auto" else (config.prior,)
        return updates, {p: thinning.WEIGHTS[p] if config.weight == "auto" else (config.weight,) for p in priors}

    def _looked_at(self, image: Image) -> tuple[int, ...]:
        """Pixels of the part that settings are chosen on, along each axis."""
        most = _LOOKED_AT[len(self.spatial)]
        return tuple(min(most[axis], image.geometry.length(axis)) for axis in self.spatial)

    def _best(
        self,
        image: Image,
        channel: int,
        updates: Sequence[int],
        weights: Mapping[Prior, Sequence[float]],
        rng: np.random.Generator,
        stopping: Callable[[], bool],
    ) -> thinning.Tried:
        """The settings for a channel, by a part of it."""
        scale = self._scales[channel]
        part = torch.from_numpy(busiest(image, self.spatial, channel))[None, None]
        margin = [min(m, n // 4) for m, n in zip(self.endless.margin, part.shape[2:], strict=True)]
        with torch.inference_mode():
            photons = scale.photons(part)
            return thinning.best(
                photons,
                self.endless,
                level=scale.level,
                background=scale.background,
                updates=updates,
                weights=weights,
                sharpen=self._sharpened(photons),
                draws=_DRAWS[len(self.spatial)],
                counted=tuple(slice(m, n - m) for m, n in zip(margin, part.shape[2:], strict=True)),
                rng=rng,
                stopping=stopping,
            )

    def _sharpened(self, photons: Tensor) -> Operator | None:
        """Wiener's filter for some photons of which half are taken; none in 3-D, where chance would choose by it.

        Nor for a PSF that it is too short for.
        """
        if len(self.spatial) == 3:
            return None
        noise = float((photons.mean() / 2).sqrt()) / max(float(photons.std()) / 2, 1e-6)
        try:
            return Blur(wiener(self.psf, _SHARPENED * noise))
        except RestoreError:
            return Identity(len(self.spatial))

    def _said(self, config: RichardsonLucyConfig, channel: int) -> str:
        which = f"channel {channel}: " if self.channels > 1 else ""
        how = "as given" if "auto" not in (config.iterations, config.weight) else "chosen by held-out photons"
        prior = _CALLED[config.priced[channel]]
        return (
            f"{which}{config.updates[channel]} iterations with {prior} {config.price[channel]:g}, {how}; a "
            f"photon is {config.photon[channel]:.3g} of the image's units, no light is {config.dark[channel]:.4g}"
        )

    @property
    def noise(self) -> tuple[PixelNoise, ...]:
        """Photons above the dark level, and what is there without them."""
        return tuple(scale.noise for scale in self._scales)

    @property
    def radius(self) -> tuple[int, ...]:
        """As far as anything changes a pixel by a thousandth of the noise; see ``reach``."""
        return reach(self.psf, max(scale.updates for scale in self._scales))

    @property
    def border(self) -> tuple[int, ...]:
        """None: an image that is seen whole is mirrored here; but the mirror of a lopsided PSF is another one.

        There it is mirrored no farther than tells anything: 3 % of the noise in the outermost pixels, against images
        many times as large for the PSF of real beads, whose halo is long.
        """
        if self.endless.even:
            return (0,) * len(self.spatial)
        least = _LEAST_BORDER[len(self.spatial)]
        return tuple(min(r, max(_BORDERS * m, least)) for r, m in zip(self.radius, self.endless.margin, strict=True))

    @property
    def padding(self) -> tuple[int, ...]:
        """What the PSF sees past the border, where it is not separable."""
        return self.endless.there.padding

    @property
    def tile(self) -> tuple[int, ...]:
        """Large ones: what is read around them is most of the work."""
        return _TILE[len(self.spatial)]

    def in_short(self) -> Self:
        """A copy with as few updates as have all that more of them have at once."""
        short = copy.deepcopy(self)
        short._scales = tuple(replace(scale, updates=_FEWEST_UPDATES) for scale in self._scales)
        return short

    def restore(self, pixels: Tensor) -> Tensor:
        """Each channel by itself, in photons."""
        restored = torch.empty_like(pixels)
        with torch.autocast(pixels.device.type, enabled=False):
            for c, scale in enumerate(self._scales):
                mean, std = scale.mean, scale.std
                found = self._deconvolved(scale.photons(pixels[:, c : c + 1].float() * std + mean), scale)
                restored[:, c : c + 1] = (found * scale.photon + (scale.dark - mean)) / std
        return restored

    def _deconvolved(self, photons: Tensor, scale: Scale) -> Tensor:
        start = torch.full_like(photons, scale.level)
        estimates = richardson_lucy(
            photons,
            self.endless,
            start=start,
            weight=scale.weight,
            prior=scale.prior,
            background=scale.background,
            accelerated=True,
        )
        found = start
        for found in islice(estimates, scale.updates):  # noqa: B007  the last one is asked for
            if self.stopping():
                raise Interrupted
        return found


class Endless(Operator):
    """Blur of an image that goes on mirrored for ever, and what comes back of it: no pixel is nearer to a border.

    What comes back is mirrored at the borders, too, where the adjoint of ``Blur`` folds it: so a part of an image with
    enough of its surroundings, mirrored ones included, is restored as it is in the whole.

    Parameters
    ----------
    kernel
        As of ``Blur``.

    Attributes
    ----------
    even
        Whether the kernel is its own mirror image along each axis, so that a mirrored image stays one.
    """

    def __init__(self, kernel: NDArray[np.float64]) -> None:
        super().__init__()
        flipped = np.ascontiguousarray(np.flip(kernel))
        self.there = Blur(kernel)
        self.even = all(np.allclose(kernel, np.flip(kernel, a), atol=1e-6 * kernel.max()) for a in range(kernel.ndim))
        self.back = self.there if self.even else Blur(flipped)
        self.rate, self.margin = self.there.rate, self.there.margin

    def forward(self, x: Tensor) -> Tensor:
        """Blurred ``(B, C, *S)``."""
        blurred: Tensor = self.there(x)
        return blurred

    def adjoint(self, y: Tensor) -> Tensor:
        """Correlated with the same kernel."""
        correlated: Tensor = self.back(y)
        return correlated


@dataclass(frozen=True, kw_only=True)
class Scale:
    """What a channel's numbers mean, and how it is restored.

    Attributes
    ----------
    photon
        Units of the image for one.
    zero
        The value at which the variance of the noise, ``photon * (value - zero)``, would be 0.
    dark
        The value without any light.
    mean, std
        Of the channel.
    updates, weight, prior
        Of the deconvolution.
    """

    photon: float
    zero: float
    dark: float
    mean: float
    std: float
    updates: int
    weight: float
    prior: Prior

    def photons(self, values: Tensor) -> Tensor:
        """Values of the image as photons, none below 0."""
        return values.sub(self.zero).div_(self.photon).clamp_(min=0)

    @property
    def background(self) -> float:
        """Photons without any light: those that stand for the noise there."""
        return max(0.0, (self.dark - self.zero) / self.photon)

    @property
    def level(self) -> float:
        """Photons of light in the mean, above 0."""
        return max(self.mean - self.dark, self.photon, 1e-3 * self.std) / self.photon

    @property
    def noise(self) -> PixelNoise:
        """The line, as it is judged by."""
        return PixelNoise(self.photon * max(0.0, self.dark - self.zero), self.photon, self.dark)


def scales_of(config: RichardsonLucyConfig, channels: int) -> tuple[Scale, ...]:
    """One for each channel; typical ones where nothing is settled yet."""

    def known(values: Sequence[float], typical: float) -> Sequence[float]:
        return values or (typical,) * channels

    updates = config.updates or (_TYPICAL_UPDATES if config.iterations == "auto" else config.iterations,) * channels
    weight = _TYPICAL_WEIGHT if config.weight == "auto" else config.weight
    prior: Prior = "total_variation" if config.prior == "auto" else config.prior
    columns = zip(
        known(config.photon, 1.0),
        known(config.zero, 0.0),
        known(config.dark, 0.0),
        known(config.mean, 1.0),
        known(config.std, 1.0),
        updates,
        known(config.price, weight),
        config.priced or (prior,) * channels,
        strict=True,
    )
    scales = tuple(
        Scale(photon=p or 1.0, zero=z, dark=d, mean=m, std=s or 1.0, updates=u, weight=w, prior=which)
        for p, z, d, m, s, u, w, which in columns
    )
    if len(scales) != channels:
        raise ValueError(f"settings of {len(scales)} channels for {channels}")
    return scales


def reach(psf: NDArray[np.float64], updates: int) -> tuple[int, ...]:
    """How far a pixel sees along each axis, by a thousandth of the noise, after so many accelerated updates.

    In principle twice the PSF's margin for each update; what is that far off hardly matters. Measured on parts cut from
    larger images (``tests/unit/methods/test_richardson_lucy.py``): twice the margin, and with the root of the updates
    so many times the width of the PSF's core, the deviation that a Gaussian of that sum of squares would have.
    """
    found = []
    for axis, n in enumerate(psf.shape):
        profile = psf.sum(tuple(a for a in range(psf.ndim) if a != axis))
        width = 1 / (2 * math.sqrt(math.pi) * float((profile**2).sum()))
        margin = n // 2
        far = math.ceil(_MARGINS * margin + _WIDTHS * math.sqrt(updates) * width)
        found.append(min(far, 2 * margin * updates) if margin else 0)
    return tuple(found)


def busiest(image: Image, spatial: str, channel: int) -> NDArray[np.float32]:
    """Of the middle of a channel and four parts around it, the one that varies most: settings are for what is there.

    Returns
    -------
    NDArray
        ``(*S)``, its pixels finite: the mean of the others where they are not.
    """
    most = _LOOKED_AT[len(spatial)]
    whole = Region.middle_of(image.shape, [most.get(axis, 1) if axis in spatial else 1 for axis in image.axes])
    start = [channel if axis == "C" else first for axis, first in zip(image.axes, whole.start, strict=True)]
    parts = []
    for y, x in ((0, 0), (-1, -1), (-1, 1), (1, -1), (1, 1)):
        step = {"Y": y, "X": x}
        moved = tuple(
            first + step.get(axis, 0) * (n - size) // 4
            for axis, first, n, size in zip(image.axes, start, image.shape, whole.shape, strict=True)
        )
        parts.append(Region.of_shape(whole.shape).shift(moved))
    read = [to_samples(image.read(part).astype(np.float32), image.axes, spatial)[0, 0] for part in dict.fromkeys(parts)]
    chosen = max(read, key=lambda pixels: float(np.nan_to_num(pixels[np.isfinite(pixels)].std())))
    finite = np.isfinite(chosen)
    mean = chosen[finite].mean() if finite.any() else np.float32(0)
    return np.ascontiguousarray(np.where(finite, chosen, mean).astype(np.float32))


def _darkest(planes: Sequence[NDArray[Any]]) -> float:
    """Mean of a thousandth of the pixels, the darkest once noise is smoothed away.

    Which these are is told by one half of the pixels around them, and what they are by the other half, whose noise is
    not what they were picked for: by their own noise they would be some of its deviations too dark.
    """
    halves = [_halves(plane.astype(np.float32)) for plane in planes if np.isfinite(plane).any()]
    if not halves:
        return 0.0
    one, other = (np.concatenate(each) for each in zip(*halves, strict=True))
    if one.size == 0:
        return 0.0
    count = min(max(_FEWEST_DARK, round(_DARK_SHARE * one.size)), one.size)
    picked = [values[np.argpartition(by, count - 1)[:count]].mean() for by, values in ((one, other), (other, one))]
    return float(np.mean(picked))


def _halves(plane: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Smoothed from every other pixel, as on a chessboard, and from those between; of the finite ones, in a row."""
    finite = np.isfinite(plane)
    white = np.indices(plane.shape).sum(0) % 2 == 0
    smoothed = []
    for half in (white & finite, ~white & finite):
        weight = gaussian_filter(half.astype(np.float32), _DARK_SMOOTH)
        values = gaussian_filter(np.where(half, plane, np.float32(0)), _DARK_SMOOTH)
        smoothed.append((values, weight))
    told = finite & np.all([weight > _TOLD for _, weight in smoothed], axis=0)
    one, other = (values[told] / weight[told] for values, weight in smoothed)
    return one, other


def _line(level: NoiseLevel, *, dark: float, mean: float, std: float) -> tuple[float, float]:
    """Units of the image for one photon, and the value at which there would be no noise."""
    if level.gain > 0:
        return level.gain, level.offset - level.read**2 / level.gain
    light = max(mean - dark, _LEAST_NOISE * std) or 1.0
    sigma = max(level.sigma, _LEAST_NOISE * std) or 1.0
    return sigma**2 / (2 * light), dark - light

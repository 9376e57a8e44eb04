"""What the methods for blurred or coarse images share: the operator, a start from physics, and a learned rest."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from annotated_types import Interval
from numpy.typing import NDArray
from torch import Tensor

from napari_restore import networks
from napari_restore.core.errors import ImageError, RestoreError
from napari_restore.losses.recorruption import r2r, recorrupted, split
from napari_restore.losses.sure import pg_sure, sure
from napari_restore.methods import MOST_FINER
from napari_restore.methods.measuring import check_lengths, choose_psf, measure
from napari_restore.methods.method import Batch, Fit, Method, Undone
from napari_restore.metrics.pixel_noise import PixelNoise
from napari_restore.operators import noise as noises
from napari_restore.operators import psf as psfs
from napari_restore.operators.blur import Blur
from napari_restore.operators.combine import Composed, Identity
from napari_restore.operators.downsample import Downsample, Sampling
from napari_restore.operators.inverse import CubicUpsampling, wiener
from napari_restore.operators.operator import Operator
from napari_restore.sources import Image

Restore = Callable[[Tensor], Tensor]

NARROWEST = 4
"""Features of a network's first level, at least."""

_FINE_PATCH = {2: 84, 3: 40}
_PATCH_PIXELS = 18432


@dataclass(frozen=True)
class ImagingConfig:
    """Settings of the methods that undo blur and coarse sampling.

    Attributes
    ----------
    psf
        Point spread function as a text such as ``gaussian:2`` (see ``operators.psf.parse``), on the fine grid; empty
        for none.
    factor
        Fine pixels to one of the image: a number for Y and X, or by axis, such as ``{"Z": 4}``.
    sampling
        What a pixel of the image is of its fine pixels. ``"auto"`` is ``"cubic"``, ``"area"`` with a PSF, and along Z
        ``"point"``.
    noise
        Standard deviation of the noise in units of the image, or ``"auto"`` to estimate it.
    gain
        Of a camera: units of the image for one photon; 0 for Gaussian noise.
    offset
        Of a camera: what it reads in the dark.
    risk
        How the noisy image is fitted without fitting its noise: ``"sure"`` needs the noise level, ``"r2r"`` noises the
        image further. ``"correlated"`` does so with the covariance that the noise has where the image is flat.
    tau
        Step of SURE's finite difference, in units of the image's deviation. From 0.01 to 0.2 the result is the same
        within 0.03 dB, in bfloat16 too.
    width
        Features of the network's first level.
    depth
        Times Y and X are halved.
    blocks
        Residual blocks a level.
    sigma, mean, std, covariance
        Settled from the images before training, one entry a channel, in their units; ``covariance`` in those of the
        variance, about its middle.
    """

    psf: str = ""
    factor: int | dict[str, int] = 1
    sampling: Literal["auto", "cubic", "area", "point"] = "auto"
    noise: Literal["auto"] | Annotated[float, Interval(ge=0)] = "auto"
    gain: Annotated[float, Interval(ge=0)] = 0.0
    offset: float = 0.0
    risk: Literal["auto", "sure", "r2r", "correlated"] = "auto"
    tau: Annotated[float, Interval(gt=0, le=1)] = 0.05
    width: Annotated[int, Interval(ge=NARROWEST, le=256)] = 24
    depth: Annotated[int, Interval(ge=1, le=4)] = 1
    blocks: Annotated[int, Interval(ge=1, le=8)] = 2
    sigma: tuple[Annotated[float, Interval(ge=0)], ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[Annotated[float, Interval(ge=0)], ...] = ()
    covariance: tuple[tuple[float, ...], ...] = field(default=(), repr=False)


class Imaging(Method):
    """Base of the methods that undo an operator: a regularised inverse of finite extent, and a network for the rest.

    All channels share one network. Subclasses say what is minimised, in ``objective``.
    """

    Config: ClassVar[type] = ImagingConfig
    efforts: ClassVar = {"quick": {}, "normal": {}, "thorough": {"width": 48, "depth": 2}}
    learning_rate: float = 1.5e-3
    clip: ClassVar[float | None] = 1.0
    config: ImagingConfig

    def __init__(self, config: ImagingConfig, *, spatial: str, channels: int) -> None:
        super().__init__(config, spatial=spatial, channels=channels)
        self.suffix = "deblurred" if config.psf else "denoised"
        self._rate = rates(config.factor, spatial)
        self._psf = psfs.parse(config.psf, ndim=len(spatial)) if config.psf else None
        sampling = samplings(config, spatial)
        self._centred = tuple(s != "point" for s in sampling)
        self.operator = build_operator(self._rate, self._psf, sampling)
        self.interpolate = CubicUpsampling(self._rate, centred=self._centred)
        self.inverse = Blur(wiener(self._psf, self._noise_at_the_mean)) if self._psf is not None else None
        # Each channel's noise is taken to be correlated as the first one's is.
        matrix = np.asarray(config.covariance) / (config.std[0] or 1.0) ** 2 if config.covariance else None
        self._correlated = noises.from_covariance(matrix) if matrix is not None else None
        self.network = self.build()

    def build(self) -> Any:
        """A new network, from the measured grid to the fine one."""
        config = self.config
        return networks.build(
            "residual_unet",
            ndim=len(self.spatial),
            channels_in=2 if self._shows_start else 1,
            channels_out=1,
            width=config.width,
            depth=[0 if axis == "Z" else config.depth for axis in self.spatial],
            blocks=config.blocks,
            # The fine grid is twice as fine as the network's.
            fold=[1 if axis == "Z" or r > 1 else 2 for axis, r in zip(self.spatial, self._rate, strict=True)],
            rate=self._rate,
        )

    @classmethod
    def fit_to(cls, config: ImagingConfig, images: Sequence[Image]) -> Fit:
        """Settle axes, noise level and constants; refuse an image too small for the operator."""
        factor = {"Y": config.factor, "X": config.factor} if isinstance(config.factor, int) else dict(config.factor)
        deep = factor.get("Z", 1) > 1 or (bool(config.psf) and psfs.axes_of(config.psf) == 3)
        spatial = "ZYX" if deep else "YX"
        check_lengths(images[0], spatial, asked=factor, label=cls.listed.label)
        measured = measure(images, noise=config.noise, risk=config.risk, blurred=bool(config.psf))
        chosen, notes = config.psf, measured.notes
        if len(tried := psfs.sweep(config.psf)) > 1:
            if max(factor.values()) > 1 or deep:
                raise RestoreError(f"PSF {config.psf!r}: a range is tried on planes that stay as fine; give one value.")
            chosen, note = choose_psf(images, tried, sigma=max(measured.sigma))
            notes = (*notes, note)
        settled = replace(
            config,
            psf=chosen,
            factor=factor,
            risk=measured.risk,
            gain=config.gain or measured.gain,
            offset=config.offset or measured.offset,
            sigma=measured.sigma,
            mean=measured.normalisation.mean,
            std=measured.normalisation.std,
            covariance=measured.covariance,
        )
        check_margin(settled, images, spatial, psfs.parse(chosen, ndim=len(spatial)) if chosen else None)
        return Fit(settled, spatial, measured.normalisation, notes)

    @property
    def noise_levels(self) -> tuple[float, ...]:
        """Of each channel, in units of its deviation."""
        pairs = zip(self.config.sigma or (0.05,), self.config.std or (1.0,), strict=True)
        return tuple(sigma / (std or 1.0) for sigma, std in pairs)

    @property
    def _noise_at_the_mean(self) -> float:
        """That of the noisiest channel, its photons' included, in units of its deviation."""
        config = self.config
        levels = list(self.noise_levels)
        for i, (mean, std) in enumerate(zip(config.mean, config.std, strict=True)):
            photons = config.gain * max(0.0, mean - config.offset) / (std or 1.0) ** 2
            levels[i] = math.sqrt(levels[i] ** 2 + photons)
        return max(levels)

    @property
    def _shows_start(self) -> bool:
        return self._psf is not None and max(self._rate) == 1

    @property
    def radius(self) -> tuple[int, ...]:
        """Of the network, and of the filters before it."""
        inverse = self.inverse.margin if self.inverse is not None else (0,) * len(self.spatial)
        start = [i + -(-f // r) for i, f, r in zip(self.interpolate.radius, inverse, self._rate, strict=True)]
        if self._shows_start:
            return tuple(n + s for n, s in zip(self.network.radius, start, strict=True))
        return tuple(max(n, s) for n, s in zip(self.network.radius, start, strict=True))

    @property
    def grid(self) -> tuple[int, ...]:
        """Of the network."""
        return tuple(self.network.grid)

    @property
    def rate(self) -> tuple[int, ...]:
        """The factor, by axis."""
        return self._rate

    @property
    def centred(self) -> tuple[bool, ...]:
        """False along axes of point samples."""
        return self._centred

    def student(self, ratio: float) -> tuple[str, dict[str, Any]]:
        """The same physics before a narrower network."""
        known = {field.name for field in fields(ImagingConfig)}
        settled = {name: value for name, value in asdict(self.config).items() if name in known}
        return "supervised", {**settled, "width": max(NARROWEST, round(self.config.width * ratio))}

    @property
    def second(self) -> Operator:
        """What a second acquisition was measured with."""
        return self.operator

    @property
    def undoes(self) -> Undone:
        """Its operator, with the noise that it was told of or has found."""
        config = self.config
        std = [s or 1.0 for s in config.std or (1.0,) * self.channels]
        constant = [s**2 for s in config.sigma or (0.0,) * self.channels]
        return Undone(
            operator=self.operator,
            psf=self._psf,
            centred=self._centred,
            noise=tuple(PixelNoise(c, config.gain, config.offset) for c in constant),
            covariance=np.asarray(config.covariance, np.float64) if config.covariance else None,
            step=config.tau * std[0],
        )

    @property
    def turns(self) -> bool:
        """Only where a turned image would have been measured alike, and lies over a turned clean one."""
        alike = len(set(self._rate[-2:])) == 1
        if "target" in self.listed.needs:
            alike = alike and all(c or r == 1 for c, r in zip(self._centred, self._rate, strict=True))
        return alike and (self._psf is None or psfs.symmetric(self._psf))

    @property
    def patch(self) -> tuple[int, ...]:
        """84 fine pixels along Y and X whose surroundings the operator sees, in whole steps of the grid."""
        wanted = _FINE_PATCH[len(self.spatial)]
        each = zip(self.spatial, self._rate, self.operator.margin, self.grid, strict=True)
        return tuple(
            -(-((16 if axis == "Z" else wanted) // rate + 2 * margin) // g) * g for axis, rate, margin, g in each
        )

    @property
    def least_patch(self) -> tuple[int, ...]:
        """Four planes and 16 pixels along Y and X whose surroundings the operator sees: never less than the PSF."""
        each = zip(self.spatial, self.patch, self.operator.margin, self.grid, strict=True)
        return tuple(min(n, -(-((4 if axis == "Z" else 16) + 2 * m) // g) * g) for axis, n, m, g in each)

    @property
    def batch(self) -> int:
        """As many patches as have some 18 000 fine pixels, at least 2."""
        pixels = torch.Size(n * r for n, r in zip(self.patch, self._rate, strict=True)).numel()
        return max(2, round(_PATCH_PIXELS / pixels))

    def plain(self, pixels: Tensor) -> Tensor:
        """The start from physics: cubic interpolation, and Wiener's filter where there is a PSF."""
        with torch.autocast(pixels.device.type, enabled=False):
            start: Tensor = self.interpolate(pixels.float())
            return start if self.inverse is None else self.inverse.forward(start)

    def restore(self, pixels: Tensor) -> Tensor:
        """The start from physics, and what the network adds."""
        single = pixels.flatten(0, 1)[:, None]
        start = self.plain(single)
        seen = torch.cat([single, start], 1) if self._shows_start else single
        layout = torch.channels_last if pixels.ndim == 4 else torch.channels_last_3d
        restored: Tensor = start + self.network(seen.contiguous(memory_format=layout)).float()
        return restored.view(*pixels.shape[:2], *restored.shape[2:])

    def forward(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """What the subclass minimises, each channel a sample of its own."""
        device = batch.pixels.device.type
        lean = torch.is_autocast_enabled(device)
        bits = torch.get_autocast_dtype(device)

        def restore(pixels: Tensor) -> Tensor:
            with torch.autocast(device, bits, enabled=lean):
                return self.restore(pixels)

        channels = self.channels
        single = Batch(
            batch.pixels.flatten(0, 1)[:, None],
            batch.target.repeat_interleave(channels, 0),
            None,
            batch.partner.flatten(0, 1)[:, None] if batch.partner is not None else None,
        )
        # Operators lose their exactness in bfloat16; only the network runs in it.
        with torch.autocast(device, enabled=False):
            return self.objective(restore, single, rng)

    def objective(self, restore: Restore, batch: Batch, rng: torch.Generator) -> Tensor:
        """The loss of single-channel samples ``(B * C, 1, *S)``; ``restore`` runs in the precision of training."""
        raise NotImplementedError

    def risk(self, restore: Restore, batch: Batch, rng: torch.Generator) -> tuple[Tensor, Tensor]:
        """How far the restored image is from the truth, as the measured one sees it; and the restored image."""
        y, weight, config = batch.pixels, batch.target, self.config
        if batch.partner is not None:
            return split(restore, self.second, y, batch.partner, weight=weight)
        noise = self.noise(y)
        if isinstance(noise, noises.PoissonGaussian):
            camera = (noise.gain, noise.offset, noise.read)
            return pg_sure(restore, self.operator, y, camera=camera, rng=rng, tau=config.tau, weight=weight)
        if isinstance(noise, noises.CorrelatedGaussian):
            # With a covariance a little too large SURE has no least value: it ended 8 dB below the noisy image on a CT.
            fresh = noise.sample(torch.zeros_like(y), rng)
            return recorrupted(restore, self.operator, y, fresh=fresh, variance=noise.variance(y), weight=weight)
        assert isinstance(noise, noises.Gaussian)
        if config.risk == "r2r":
            return r2r(restore, self.operator, y, sigma=noise.sigma, rng=rng, weight=weight)
        return sure(restore, self.operator, y, sigma=noise.sigma, rng=rng, tau=config.tau, weight=weight)

    def noise(self, like: Tensor) -> noises.Noise:
        """The noise of single-channel samples in units of the deviation."""
        config, each = self.config, [-1] + [1] * (like.ndim - 1)

        def column(values: Sequence[float]) -> Tensor:
            return torch.tensor(values, device=like.device).repeat(len(like) // self.channels).view(each)

        sigma = column(self.noise_levels)
        if config.gain > 0:
            std = [s or 1.0 for s in config.std]
            gain = column([config.gain / s for s in std])
            offset = column([(config.offset - m) / s for m, s in zip(config.mean, std, strict=True)])
            return noises.PoissonGaussian(gain=gain, offset=offset, read=sigma)
        if self._correlated is not None:
            return self._correlated
        return noises.Gaussian(sigma)


def rates(factor: int | Mapping[str, int], spatial: str) -> tuple[int, ...]:
    """The factor as one entry a spatial axis.

    Raises
    ------
    RestoreError
        If it is not a whole number from 1 to ``MOST_FINER``.
    """
    by_axis = {"Y": factor, "X": factor} if isinstance(factor, int) else factor
    for axis, value in by_axis.items():
        if not 1 <= value <= MOST_FINER:
            raise RestoreError(f"factor {value} along {axis}: give a whole number from 1 to {MOST_FINER}.")
    return tuple(by_axis.get(axis, 1) for axis in spatial)


def samplings(config: ImagingConfig, spatial: str) -> list[Sampling]:
    """What a pixel is of its fine pixels, along each axis."""
    if config.sampling != "auto":
        return [config.sampling] * len(spatial)
    return ["point" if axis == "Z" else "area" if config.psf else "cubic" for axis in spatial]


def check_margin(config: ImagingConfig, images: Sequence[Image], spatial: str, psf: NDArray[np.float64] | None) -> None:
    """Refuse an image in which no pixel sees but what is inside.

    Raises
    ------
    ImageError
        With the axis along which it is too short for ``psf``.
    """
    margin = build_operator(rates(config.factor, spatial), psf, samplings(config, spatial)).margin
    for axis, m in zip(spatial, margin, strict=True):
        # A patch is cut to the network's grid, at most twice as coarse as its deepest level.
        least = 2 * m + (1 if axis == "Z" else 2 * 2**config.depth)
        shortest = min(image.geometry.length(axis) for image in images)
        if shortest < least:
            raise ImageError(
                f"axis {axis} has {shortest} pixels, and a pixel sees {m} to either side: at least {least} are needed. "
                "Use a smaller PSF, or a larger part of the image."
            )


def build_operator(rate: Sequence[int], psf: Any, sampling: Sequence[Sampling]) -> Operator:
    """Blur on the fine grid, then coarser sampling; what is not there is left out."""
    parts: list[Operator] = [] if psf is None else [Blur(psf)]
    if max(rate) > 1:
        parts.append(Downsample(rate, sampling=sampling))
    return Composed(*parts) if len(parts) > 1 else parts[0] if parts else Identity(len(rate))

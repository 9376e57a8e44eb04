"""Finer planes: what lies between two planes, learned from the same stack made coarser along all its axes."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from annotated_types import Interval
from torch import Tensor

from napari_restore import networks
from napari_restore.core.errors import ImageError, RestoreError
from napari_restore.methods import METHODS, MOST_FINER
from napari_restore.methods.measuring import measure
from napari_restore.methods.method import Batch, Fit, Method
from napari_restore.metrics.noise import image_noise
from napari_restore.operators import noise as noises
from napari_restore.operators.downsample import Downsample, cubic
from napari_restore.operators.inverse import CubicUpsampling
from napari_restore.sources import Image

_LEAST_ROWS = 32
_FINE_PATCH = 64


@dataclass(frozen=True)
class FinerPlanesConfig:
    """Settings of finer planes.

    Attributes
    ----------
    factor
        Planes for one, as ``{"Z": 4}``; a number is taken for Z.
    noise
        Standard deviation of the noise in units of the image, or ``"auto"`` to estimate it.
    trust
        Share of what the network adds to cubic interpolation that is used: learned on a coarser copy, it says too much
        of the stack itself. On CT slices between 0.45 and 0.6 were best, whatever the time of training.
    width
        Features of the network's first level.
    depth
        Times Y and X are halved.
    blocks
        Residual blocks a level.
    sigma, mean, std, covariance
        Settled from the images before training; see ``ImagingConfig``.
    """

    factor: int | dict[str, int] = 2
    noise: Literal["auto"] | Annotated[float, Interval(ge=0)] = "auto"
    trust: Annotated[float, Interval(gt=0, le=1)] = 0.6
    width: Annotated[int, Interval(ge=4, le=256)] = 24
    depth: Annotated[int, Interval(ge=1, le=4)] = 1
    blocks: Annotated[int, Interval(ge=1, le=8)] = 2
    sigma: tuple[Annotated[float, Interval(ge=0)], ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[Annotated[float, Interval(ge=0)], ...] = ()
    covariance: tuple[tuple[float, ...], ...] = ()


class FinerPlanes(Method):
    """Planes between planes by scale equivariance (after Scanvic et al. 2026, arXiv:2312.11232).

    The stack made coarser by the factor along Y, X and Z alike is a stack of the same kind, of which the planes between
    are known: those left out. The network predicts them from the four planes about a gap, and is used on the gaps of
    the stack itself. Making it coarser takes noise away; as much is added again, so that the network trusts its input
    as it should. Measured planes are kept as they are.
    """

    listed = METHODS["finer_planes"]
    Config = FinerPlanesConfig
    efforts: ClassVar = {"quick": {}, "normal": {}, "thorough": {"width": 48, "depth": 2}}
    learning_rate: ClassVar[float] = 1.5e-3
    clip: ClassVar[float | None] = 1.0
    config: FinerPlanesConfig

    def __init__(self, config: FinerPlanesConfig, *, spatial: str, channels: int) -> None:
        super().__init__(config, spatial=spatial, channels=channels)
        self.suffix = "superresolved"
        self._factor = f = planes_for_one(config.factor)
        self.interpolate = CubicUpsampling((f, 1, 1), centred=(False, True, True))
        self.coarser = Downsample((f, f))
        between = np.arange(1, f)[:, None] / f - np.arange(-1, 3)
        self.register_buffer("_start", torch.from_numpy(cubic(between)).float(), persistent=False)
        self._start: Tensor
        self.network = networks.build(
            "residual_unet",
            ndim=2,
            channels_in=4,
            channels_out=f - 1,
            width=config.width,
            depth=(config.depth, config.depth),
            blocks=config.blocks,
            fold=(2, 2),
            rate=(1, 1),
        )

    @classmethod
    def fit_to(cls, config: FinerPlanesConfig, images: Sequence[Image]) -> Fit:
        """Measure the noise; refuse what has too few planes."""
        factor = planes_for_one(config.factor)
        geometry = images[0].geometry
        planes, rows = geometry.length("Z"), min(geometry.length("Y"), geometry.length("X"))
        if planes < factor + 1 or rows < _LEAST_ROWS * factor:
            raise ImageError(
                f"{images[0].name} has axes {geometry.axes} and shape {geometry.shape}: planes finer by {factor} are "
                f"learned from at least {factor + 1} planes of {_LEAST_ROWS * factor} pixels along Y and X. If the "
                "axes are wrong, name them with `axes`."
            )
        found = measure(images, noise=config.noise, risk="auto")
        sigma = found.sigma
        if config.noise == "auto":
            # Fine texture counts as noise here: neither goes on from one plane to the next.
            sigma = tuple(max(s, image_noise(images[0])) for s in sigma)
        settled = replace(
            config,
            factor={"Z": factor},
            sigma=sigma,
            mean=found.normalisation.mean,
            std=found.normalisation.std,
            covariance=found.covariance,
        )
        return Fit(settled, "ZYX", found.normalisation, found.notes)

    @property
    def radius(self) -> tuple[int, ...]:
        """Two planes, and the network's along Y and X."""
        return (2, *self.network.radius)

    @property
    def grid(self) -> tuple[int, ...]:
        """Of the network."""
        return (1, *self.network.grid)

    @property
    def rate(self) -> tuple[int, ...]:
        """Finer planes alone."""
        return (self._factor, 1, 1)

    @property
    def centred(self) -> tuple[bool, ...]:
        """A measured plane is the first of its finer ones."""
        return (False, True, True)

    @property
    def patch(self) -> tuple[int, ...]:
        """Four planes of the coarser stack with those left out between them, 64 coarser pixels along Y and X."""
        return 3 * self._factor + 1, _FINE_PATCH * self._factor, _FINE_PATCH * self._factor

    @property
    def batch(self) -> int:
        """Gaps a step."""
        return 8

    def plain(self, pixels: Tensor) -> Tensor:
        """Cubic interpolation along Z."""
        with torch.autocast(pixels.device.type, enabled=False):
            return self.interpolate.forward(pixels.float())

    def restore(self, pixels: Tensor) -> Tensor:
        """``(B, C, Z * factor, Y, X)``: each measured plane, and those to the next one."""
        b, c, z, *size = pixels.shape
        # Mirrored past the first and the last plane.
        around = torch.arange(-1, z + 2, device=pixels.device).abs()
        around = torch.where(around < z, around, 2 * (z - 1) - around).clamp(min=0)
        four = pixels[:, :, around].unfold(2, 4, 1).movedim(-1, 3)  # (B, C, Z, 4, Y, X)
        between = self._between(four.reshape(-1, 4, *size), trust=self.config.trust)
        between = between.view(b, c, z, self._factor - 1, *size)
        return torch.cat([pixels[:, :, :, None], between], 3).flatten(2, 3)

    def forward(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Mean squared error at the planes left out of the coarser stack."""
        f = self._factor
        # The coarser copy has to lie on the network's grid.
        rows, columns = (n // (f * g) * f * g for n, g in zip(batch.pixels.shape[-2:], self.network.grid, strict=True))
        pixels = batch.pixels.flatten(0, 1)[..., :rows, :columns]
        counts = batch.target.repeat_interleave(self.channels, 0)[:, 0, :, :rows, :columns]
        with torch.autocast(pixels.device.type, enabled=False):
            kept, gap = self._about_a_gap(pixels.shape[1])
            four, left_out = self.coarser(pixels[:, kept]), self.coarser(pixels[:, gap + 1 : gap + f])
            four = four + (self._noise(four, rng) - four) * self._lost
            # As much as the pixels a coarser one is made of may be targets.
            weight = self.coarser(counts[:, gap + 1 : gap + f].float()).clamp(min=0)
        error = (self._between(four, trust=1.0) - left_out).square() * weight
        mean: Tensor = error.sum() / weight.sum().clamp(min=1)
        return mean

    def _about_a_gap(self, planes: int) -> tuple[list[int], int]:
        """Which four planes of a patch are kept, and the one before the gap; mirrored where there are too few."""
        f = self._factor
        return ([0, f, 2 * f, 3 * f], f) if planes > 3 * f else ([f, 0, f, 0], 0)

    def _between(self, four: Tensor, *, trust: float) -> Tensor:
        """Planes ``(N, factor - 1, Y, X)`` between the middle two of ``(N, 4, Y, X)``."""
        with torch.autocast(four.device.type, enabled=False):
            start = torch.einsum("nkyx,jk->njyx", four.float(), self._start)
        between: Tensor = start + trust * self.network(four.contiguous(memory_format=torch.channels_last)).float()
        return between

    def _noise(self, like: Tensor, rng: torch.Generator) -> Tensor:
        std = self.config.std[0] or 1.0
        if self.config.covariance:
            return noises.from_covariance(np.asarray(self.config.covariance) / std**2).sample(like, rng)
        levels = [sigma / (each or 1.0) for sigma, each in zip(self.config.sigma, self.config.std, strict=True)]
        each_sample = torch.tensor(levels, device=like.device).repeat(len(like) // self.channels).view(-1, 1, 1, 1)
        return noises.Gaussian(each_sample).sample(like, rng)

    @property
    def _lost(self) -> float:
        """Deviation of the noise that making the stack coarser takes away, of what there was; for white noise."""
        kept = sum(t**2 for t in self.coarser.taps[0]) ** 2
        return math.sqrt(1 - kept)


def planes_for_one(factor: int | Mapping[str, int]) -> int:
    """The factor along Z.

    Raises
    ------
    RestoreError
        If it is not a whole number from 2 to ``MOST_FINER``, or other axes are to be finer, too.
    """
    by_axis = {"Z": factor} if isinstance(factor, int) else dict(factor)
    others = {axis: n for axis, n in by_axis.items() if axis != "Z" and n != 1}
    if others or not 2 <= by_axis.get("Z", 0) <= MOST_FINER:
        raise RestoreError(
            f"factor {by_axis}: this makes planes finer; give Z alone, a whole number from 2 to {MOST_FINER}. For "
            "finer Y and X super-resolve the result once more."
        )
    return by_axis["Z"]

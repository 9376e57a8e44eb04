"""Finer planes: what lies within and between thick planes, learned from the planes themselves, seen from the side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Interval
from torch import Tensor

from napari_restore import networks
from napari_restore.core.errors import ImageError, RestoreError
from napari_restore.core.events import Note
from napari_restore.core.geometry import Geometry
from napari_restore.methods import METHODS, MOST_FINER, MOST_THICK
from napari_restore.methods.measuring import measure
from napari_restore.methods.method import Batch, Fit, Method
from napari_restore.operators import psf as psfs
from napari_restore.operators.inverse import CubicUpsampling
from napari_restore.operators.thick_planes import Profile, ThickPlanes
from napari_restore.sources import Image

_LEAST_ROWS = 16
"""Planes that a row of pixels of an image makes, at least, when it is made as coarse as planes are."""

_PATCH_PLANES = 16
_LEAST_PATCH = 48

_LACKING = 0.05
"""Variance of what interpolated fine planes lack, over that of the image: what noise is weighed against."""


@dataclass(frozen=True)
class FinerPlanesConfig:
    """Settings of finer planes.

    Attributes
    ----------
    factor
        Planes for one, as ``{"Z": 4}``; a number is taken for Z.
    thickness
        Of a plane, its width at half maximum in distances between planes: 1 where each begins where the last one ends,
        0 where planes are far thinner than that. ``"auto"``: what the metadata say, else 1.
    profile
        How a plane weighs what it sees along Z: ``"box"``, evenly, or ``"gaussian"``, like the focus of a microscope.
        Taking a box for a Gaussian costs more than the other way round: 1.4 dB and 0.6 on a tissue's planes.
    noise
        Standard deviation of the noise in units of the image, or ``"auto"`` to estimate it.
    width
        Features of the network's first level.
    depth
        Times Y and X are halved.
    blocks
        Residual blocks a level.
    pixels
        Settled from the images before training: pixels in the plane that a fine plane is as far from the next as.
    sigma, mean, std
        Settled from the images before training; see ``ImagingConfig``.
    """

    factor: int | dict[str, int] = 2
    thickness: Literal["auto"] | Annotated[float, Interval(ge=0, le=MOST_THICK)] = "auto"
    profile: Profile = "box"
    noise: Literal["auto"] | Annotated[float, Interval(ge=0)] = "auto"
    width: Annotated[int, Interval(ge=4, le=256)] = 24
    depth: Annotated[int, Interval(ge=1, le=4)] = 1
    blocks: Annotated[int, Interval(ge=1, le=8)] = 2
    pixels: tuple[int, ...] = ()
    sigma: tuple[Annotated[float, Interval(ge=0)], ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[Annotated[float, Interval(ge=0)], ...] = ()


class FinerPlanes(Method):
    """Finer planes by self-super-resolution (Zhao et al. 2021, doi:10.1109/TMI.2020.3037187; Weigert et al. 2017).

    Y and X are finer than Z: rows of a plane, made as thick and as far apart as planes are, show what a side view
    lacks, and the plane itself is what it should have been. The network learns to see that on 2-D slices and is used on
    those along Z and X, and along Z and Y, whose mean is taken. Whatever it adds, the result seen through the profile
    is the planes that were measured, up to their noise. Making rows thick takes noise away; as much is added again.
    """

    listed = METHODS["finer_planes"]
    Config = FinerPlanesConfig
    efforts: ClassVar = {"quick": {}, "normal": {}, "thorough": {"width": 48, "depth": 2}}
    learning_rate: float = 1.5e-3
    clip: ClassVar[float | None] = 1.0
    config: FinerPlanesConfig

    def __init__(self, config: FinerPlanesConfig, *, spatial: str, channels: int) -> None:
        super().__init__(config, spatial=spatial, channels=channels)
        self.suffix = "superresolved"
        self._factor = f = planes_for_one(config.factor)
        self._pixels = config.pixels[0] if config.pixels else 1
        self._thickness = 1.0 if config.thickness == "auto" else float(config.thickness)
        levels = [s / (d or 1.0) for s, d in zip(config.sigma, config.std, strict=True)]
        damping = max(levels, default=0.0) ** 2 / _LACKING
        self.operator = ThickPlanes(f, thickness=self._thickness, profile=config.profile, damping=damping)
        self.interpolate = CubicUpsampling((f, 1), centred=(self._thickness > 0, True))
        self.network = networks.build(
            "residual_unet",
            ndim=2,
            channels_in=1,
            channels_out=1,
            width=config.width,
            depth=(0, config.depth),
            blocks=config.blocks,
            fold=(1, 2),
            rate=(f, 1),
        )

    @classmethod
    def fit_to(cls, config: FinerPlanesConfig, images: Sequence[Image]) -> Fit:
        """Settle the thickness, measure the noise; refuse what has too few planes, or too few pixels to learn from."""
        factor = planes_for_one(config.factor)
        geometry = images[0].geometry
        planes, rows = geometry.length("Z"), min(each.geometry.length(axis) for each in images for axis in "YX")
        least = _LEAST_ROWS * factor
        if planes < 2 or rows < least:
            raise ImageError(
                f"{images[0].name} has axes {geometry.axes} and shape {geometry.shape}: planes finer by {factor} are "
                f"learned from at least 2 planes of {least} pixels along Y and X. If the axes are wrong, name them "
                "with `axes`."
            )
        found = measure(images, noise=config.noise, risk="auto")
        thickness, said = settled_thickness(config.thickness, images[0])
        settled = replace(
            config,
            factor={"Z": factor},
            thickness=thickness,
            pixels=(min(_pixels_to_a_plane(geometry, factor), rows // least),),
            sigma=found.sigma,
            mean=found.normalisation.mean,
            std=found.normalisation.std,
        )
        return Fit(settled, "ZYX", found.normalisation, found.notes + said)

    @property
    def radius(self) -> tuple[int, ...]:
        """Of the network or of cubic interpolation, and as far as planes are thick; of the network along Y and X."""
        along, across = self.network.radius
        return max(along, *self.interpolate.radius) + self.operator.reach, across, across

    @property
    def grid(self) -> tuple[int, ...]:
        """Of the network, on slices along both axes."""
        along, across = self.network.grid
        return along, across, across

    @property
    def rate(self) -> tuple[int, ...]:
        """Finer planes alone."""
        return (self._factor, 1, 1)

    @property
    def centred(self) -> tuple[bool, ...]:
        """A thick plane lies in the middle of its finer ones; a thin one is the first of them."""
        return (self._thickness > 0, True, True)

    def student(self, ratio: float) -> tuple[str, dict[str, Any]]:
        """The same with a narrower network."""
        return "finer_planes", {**asdict(self.config), "width": max(4, round(self.config.width * ratio))}

    @property
    def patch(self) -> tuple[int, ...]:
        """One plane, as large as 16 planes are far, at least 48 pixels."""
        unit = math.lcm(self._step, self.grid[-1])
        side = -(-max(_PATCH_PLANES * self._step, _LEAST_PATCH) // unit) * unit
        return 1, side, side

    @property
    def least_patch(self) -> tuple[int, ...]:
        """All planes of ``patch``, and 16 coarser pixels along Y and X in whole steps of the network's grid."""
        steps = (-(-16 // g) * g * self._factor for g in self.network.grid)
        return self.patch[0], *(min(n, step) for n, step in zip(self.patch[1:], steps, strict=True))

    @property
    def batch(self) -> int:
        """Planes a step."""
        return 8

    def plain(self, pixels: Tensor) -> Tensor:
        """Cubic interpolation along Z, in line with what was measured."""
        with torch.autocast(pixels.device.type, enabled=False):
            thin = pixels.float().flatten(0, 1).flatten(2)[:, None]  # (B * C, 1, Z, Y * X)
            finer = self.operator.consistent(self.interpolate(thin), thin)
        return finer.view(*pixels.shape[:2], -1, *pixels.shape[3:])

    def restore(self, pixels: Tensor) -> Tensor:
        """``(B, C, Z * factor, Y, X)``: the mean of what both side views come to."""
        along_x = self._finer(pixels.movedim(3, 2).flatten(0, 2)[:, None])
        along_y = self._finer(pixels.movedim(4, 2).flatten(0, 2)[:, None])
        b, c, _, y, x = pixels.shape
        first = along_x.view(b, c, y, -1, x).movedim(2, 3)
        second = along_y.view(b, c, x, -1, y).movedim(2, 4)
        return (first + second) / 2

    def forward(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Mean squared error of planes that were made thick along Y, or along X, and finer again."""
        halves = [
            self._error(batch.pixels[i::2], batch.target[i::2], transposed=i == 1, rng=rng)
            for i in range(min(2, len(batch.pixels)))
        ]
        error, weight = (torch.stack(each).sum() for each in zip(*halves, strict=True))
        mean: Tensor = error / weight.clamp(min=1)
        return mean

    def _error(
        self, pixels: Tensor, target: Tensor, *, transposed: bool, rng: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Sums over patches ``(B, C, Z, Y, X)``: of squared errors at targets, and of the targets."""
        channels, planes = pixels.shape[1:3]
        with torch.autocast(pixels.device.type, enabled=False):
            counts = target.expand_as(pixels).float()
            truth, weight = (self._rows(x.movedim(1, 2), transposed=transposed) for x in (pixels, counts))
            thick = self.operator(truth)
            std = self._noise(len(pixels) * planes, channels, like=thick)
            fresh = torch.randn(thick.shape, generator=rng, device=thick.device)
            lost = math.sqrt(max(0.0, 1 - sum(t**2 for t in self.operator.taps) / self._pixels))
            thick = thick + lost * std * fresh
        return ((self._finer(thick) - truth).square() * weight).sum(), weight.sum()

    def _rows(self, planes: Tensor, *, transposed: bool) -> Tensor:
        """Slices ``(N, 1, Z, X)`` with rows, or columns, of planes ``(B, Z, C, Y, X)`` in place of fine planes."""
        side = planes.flatten(0, 2)[:, None]
        side = side.mT if transposed else side
        rows, columns = side.shape[-2] // self._step * self._step, self.network.grid[1]
        if not rows or side.shape[-1] < columns:
            raise RestoreError(
                f"a patch of {side.shape[-2]} x {side.shape[-1]} pixels: planes are {self._step} pixels apart, so "
                f"`patch` needs at least {max(self._step, columns)} along Y and X."
            )
        side = side[..., :rows, : side.shape[-1] // columns * columns]
        return side.reshape(len(side), 1, rows // self._pixels, self._pixels, -1).mean(-2)

    def _finer(self, slices: Tensor) -> Tensor:
        """Slices ``(N, 1, Z * factor, X)`` from ``(N, 1, Z, X)``."""
        learned = self.network(slices.contiguous(memory_format=torch.channels_last)).float()
        with torch.autocast(slices.device.type, enabled=False):
            return self.operator.consistent(self.interpolate(slices.float()) + learned, slices.float())

    def _noise(self, count: int, channels: int, *, like: Tensor) -> Tensor:
        """Deviation of the noise of slices ``(count * channels, 1, 1, 1)``, the channel the faster one."""
        levels = [sigma / (each or 1.0) for sigma, each in zip(self.config.sigma, self.config.std, strict=True)]
        return torch.tensor(levels or [0.0] * channels, device=like.device).repeat(count).view(-1, 1, 1, 1)

    @property
    def _step(self) -> int:
        """Pixels in the plane that planes are far apart."""
        return self._factor * self._pixels


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


def settled_thickness(thickness: float | Literal["auto"], image: Image) -> tuple[float, tuple[Note, ...]]:
    """In distances between planes, and where it is from, where nobody said it."""
    if thickness != "auto":
        return float(thickness), ()
    known = image.thickness / image.geometry.size_of("Z") if image.thickness is not None else _focus(image)
    if known is not None:
        found = round(min(known, MOST_THICK), 3)
        return found, (Note(f"planes are taken for {found:g} times as thick as far apart, by the metadata"),)
    words = "planes are taken to be as thick as they lie apart: give `thickness` where they are not, 0 for thin ones"
    return 1.0, (Note(words),)


def _focus(image: Image) -> float | None:
    """By how much a microscope's focus is longer than wide, in distances between planes, where metadata say enough.

    As the pixels that are learned from are blurred by its width, that is what is left of its length. Of channels the
    one with the shortest: too thick is worse than too thin.
    """
    optics, apart = image.optics, image.geometry.micrometres("Z")
    if optics is None or not optics.na or apart is None:
        return None
    index = optics.refractive_index or psfs.IMMERSIONS.get(optics.immersion or "")
    if index is None or index <= optics.na:
        return None
    light = [c.excitation if c.mode in ("confocal", "twophoton") else c.emission for c in optics.channels]
    found = [psfs.focus_widths(optics.na, index, wavelength) for wavelength in light if wavelength]
    return min((math.sqrt(along**2 - across**2) / apart for across, along in found), default=None)


def _pixels_to_a_plane(geometry: Geometry, factor: int) -> int:
    """Pixels in the plane that fine planes are apart, where the sizes are known; 1 at least."""
    if len({geometry.units[geometry.index(axis)] for axis in "ZYX"}) > 1:
        return 1
    return max(1, round(geometry.size_of("Z") / factor / math.sqrt(geometry.size_of("Y") * geometry.size_of("X"))))

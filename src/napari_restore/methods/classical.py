"""What the classical methods share: nothing is learned; the PSF, the noise and a few settings are all there is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from annotated_types import Interval

from napari_restore.core.errors import RestoreError
from napari_restore.core.events import Note
from napari_restore.core.options import Effort
from napari_restore.methods.measuring import check_lengths, choose_psf, constants, noise_levels
from napari_restore.methods.method import Fit, Method, Undone
from napari_restore.metrics.noise_level import NoiseLevel, describe
from napari_restore.metrics.pixel_noise import PixelNoise
from napari_restore.operators import psf as psfs
from napari_restore.operators.blur import Blur
from napari_restore.sources import Image
from napari_restore.sources.planes import planes_of_channels

_STUDENT_OF = 48
"""Features of the network that a student's width is a share of, where the teacher has none."""

_RIM = 1e-3
"""Of the PSF's light, along each axis, that may lie past where it is cut off: tails cost more than they tell."""


@dataclass(frozen=True)
class ClassicalConfig:
    """Settings of the classical methods.

    Attributes
    ----------
    psf
        Point spread function as a text such as ``gaussian:2`` (see ``operators.psf.parse``).
    noise
        Standard deviation of the noise in units of the image, or ``"auto"`` to estimate it, and how it grows with the
        signal.
    sigma, mean, std
        Settled from the images, one entry a channel, in their units.
    """

    psf: str = ""
    noise: Literal["auto"] | Annotated[float, Interval(ge=0)] = "auto"
    sigma: tuple[Annotated[float, Interval(ge=0)], ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[Annotated[float, Interval(ge=0)], ...] = ()


class Classical(Method):
    """Base of the methods that undo a blur without learning; a model of one holds its settings alone."""

    efforts: ClassVar[Mapping[Effort, Mapping[str, Any]]] = {}
    config: ClassicalConfig
    suffix = "deblurred"

    def __init__(self, config: ClassicalConfig, *, spatial: str, channels: int) -> None:
        super().__init__(config, spatial=spatial, channels=channels)
        self.psf = kernel_of(config.psf, ndim=len(spatial), label=self.label)
        self.operator = Blur(self.psf)

    @classmethod
    def fit_to(cls, config: Any, images: Sequence[Image]) -> Fit:
        """Settle axes, PSF, noise and constants; refuse an image too small to see the blur in."""
        tried = psfs.sweep(config.psf) if config.psf else [""]
        spatial = "ZYX" if config.psf and psfs.axes_of(tried[0]) == 3 else "YX"
        kernel_of(tried[0], ndim=len(spatial), label=cls.listed.label)
        check_lengths(images[0], spatial, label=cls.listed.label)
        normalisation = constants(planes_of_channels(images), images[0].name)
        levels = _levels(config.noise, images)
        notes = [Note(describe(level), "info" if level.reliable else "warning") for level in levels]
        if config.noise != "auto":
            notes = []
        psf = tried[0]
        if len(tried) > 1:
            if spatial != "YX":
                raise RestoreError(f"PSF {config.psf!r}: a range is tried on planes; give one value.")
            psf, note = choose_psf(images, tried, sigma=max(level.sigma for level in levels))
            notes.append(note)
        settled = replace(
            config,
            psf=psf,
            sigma=tuple(level.sigma for level in levels),
            mean=normalisation.mean,
            std=normalisation.std,
        )
        return Fit(cls.settle(settled, images, levels), spatial, normalisation, tuple(notes))

    @classmethod
    def settle(cls, config: Any, images: Sequence[Image], levels: Sequence[NoiseLevel]) -> Any:
        """What else the config leaves open, once the noise of each channel is known."""
        return config

    @property
    def grid(self) -> tuple[int, ...]:
        """Any pixel."""
        return (1,) * len(self.spatial)

    @property
    def undoes(self) -> Undone:
        """The blur, with the noise that it was told of or has found."""
        std = self.config.std or (1.0,) * self.channels
        step = 0.05 * (std[0] or 1.0)
        return Undone(operator=self.operator, psf=self.psf, centred=self.centred, noise=self.noise, step=step)

    def student(self, ratio: float) -> tuple[str, dict[str, Any]]:
        """A network on what Wiener's filter makes of the image: one pass instead of many updates."""
        kept = {name: getattr(self.config, name) for name in ("psf", "noise", "sigma", "mean", "std")}
        return "supervised", {**kept, "width": max(4, round(_STUDENT_OF * ratio))}

    @property
    def noise(self) -> tuple[PixelNoise, ...]:
        """Of each channel, in units of the image."""
        return tuple(PixelNoise(sigma**2) for sigma in self.config.sigma or (0.0,) * self.channels)


def kernel_of(text: str, *, ndim: int, label: str) -> psfs.Kernel:
    """The PSF that a text stands for, without the rim that holds a thousandth of its light along each axis; its sum 1.

    Raises
    ------
    RestoreError
        If there is none, or the text is of none.
    """
    if not text:
        raise RestoreError(f"{label} undoes a known blur: give its `psf`, such as gaussian:2.")
    whole = psfs.parse(text, ndim=ndim)
    kernel = np.ascontiguousarray(whole[psfs.middle(whole, rim=_RIM)])
    scaled: psfs.Kernel = kernel / kernel.sum()
    return scaled


def _levels(noise: float | Literal["auto"], images: Sequence[Image]) -> tuple[NoiseLevel, ...]:
    """The noise of each channel: measured, or the same at every signal as the user says."""
    if noise == "auto":
        return noise_levels(images)
    given = NoiseLevel(float(noise), 0.0, 0.0, 0.0, 0.0, float(noise), reliable=True)
    return (given,) * images[0].geometry.length("C")

"""An objective in light of one wavelength: what it makes of a point, through sample, cover glass and immersion."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import j0, roots_legendre

from napari_restore.core.errors import RestoreError
from napari_restore.operators.psf.kernel import Kernel

GLASS = 1.5255
"""Refractive index of cover glass (ISO 8255-1)."""

_FIFTH_DARK_RING = 2.62
"""In wavelength / NA."""

_FARTHEST = 25.0
"""From the axis, in wavelength / NA: beyond it the rays of an aberrated focus are too thin to matter."""

_MOST_NODES = 640
"""Of the integral over the aperture."""


@dataclass(frozen=True)
class Media:
    """What the light of a point goes through: sample, cover glass, immersion.

    Attributes
    ----------
    immersion
        Its refractive index.
    sample
        Refractive index around the point; that of the immersion where it is None.
    depth
        Of the point below the cover glass.
    glass
        Refractive index of the cover glass.
    glass_excess
        By how much it is thicker than the objective is made for.
    """

    immersion: float = 1.33
    sample: float | None = None
    depth: float = 0.0
    glass: float = GLASS
    glass_excess: float = 0.0

    @property
    def plain(self) -> bool:
        """Whether the objective works as it is made to."""
        return self.glass_excess == 0 and (self.depth == 0 or self.sample in (None, self.immersion))

    def path(self, sine: Kernel) -> Kernel:
        """Optical path of rays beside the design's; ``sine`` is that of their angle times the refractive index."""
        return self.depth * _cosine(self._around, sine) + self.glass_excess * _cosine(self.glass, sine)

    def focus(self, sine: Kernel) -> Kernel:
        """Where rays cross the axis, in Z: the way the objective goes towards the sample."""
        below = self.depth / _cosine(self._around, sine) + self.glass_excess / _cosine(self.glass, sine)
        return below * _cosine(self.immersion, sine)

    @property
    def _around(self) -> float:
        return self.sample if self.sample is not None else self.immersion


@dataclass(frozen=True)
class Light:
    """An objective in light of one wavelength."""

    na: float
    wavelength: float
    media: Media

    @property
    def aperture(self) -> float:
        """NA of the light that arrives: beyond the sample's index there is none."""
        return self.na if self.media.sample is None else min(self.na, self.media.sample)

    @property
    def resolution(self) -> float:
        """Wavelength / NA."""
        return self.wavelength / self.aperture

    @property
    def axial_minimum(self) -> float:
        """How far from focus the axis is first dark; ``2 n wavelength / NA^2`` for a small NA."""
        n = self.media.immersion
        # n - sqrt(n^2 - NA^2), without the difference of two numbers alike
        return self.wavelength * (n + math.sqrt(max(n**2 - self.aperture**2, 0.0))) / self.aperture**2

    @property
    def foci(self) -> tuple[Kernel, Kernel]:
        """Sines of rays from the axis to nine tenths of the light, and where they cross the axis."""
        sine = np.linspace(0, 0.95 * self.aperture, 64)
        return sine, self.media.focus(sine)

    def reach(self, planes: Kernel) -> float:
        """How far from the axis to look: to the fifth dark ring, or as far as nine tenths of the rays spread."""
        sine, focus = self.foci
        slope = sine / _cosine(self.media.immersion, sine)
        spread = max(float(np.max(np.abs(z - focus) * slope)) for z in (planes[0], planes[-1]))
        if spread > 0:
            spread += 0.61 * self.resolution
        return min(max(_FIFTH_DARK_RING * self.resolution, spread), _FARTHEST * self.resolution)

    def intensity(self, distance: Kernel, planes: Kernel) -> Kernel:
        """Intensity ``(Z, R)`` at distances ``(R)`` from the axis in planes ``(Z)``, any scale.

        The integral of Gibson and Lanni over the aperture, ``s = NA rho``; in ``u = sqrt(1 - (s / NA)^2)`` it has no
        steep end, even where NA is an index of refraction.
        """
        k = 2 * np.pi / self.wavelength
        nodes = self._nodes(float(distance[-1]), planes)
        u, weights = roots_legendre(nodes)
        u, weights = (u + 1) / 2, weights / 2
        sine = self.aperture * np.sqrt(1 - u**2)
        phase = k * (self.media.path(sine) - planes[:, None] * _cosine(self.media.immersion, sine))
        waves = j0(k * sine[:, None] * distance)
        real, imaginary = ((part * (weights * u)) @ waves for part in (np.cos(phase), np.sin(phase)))
        intensity: Kernel = real**2 + imaginary**2
        return intensity

    def _nodes(self, farthest: float, planes: Kernel) -> int:
        """So many that every turn of the Bessel function and of the phase is resolved."""
        k = 2 * np.pi / self.wavelength
        sine = np.linspace(0, self.aperture, 256)
        path = self.media.path(sine) - planes[[0, -1], None] * _cosine(self.media.immersion, sine)
        turns = k * max(farthest * self.aperture, float(np.ptp(path, axis=1).max()))
        if turns > _MOST_NODES - 64:
            raise RestoreError(
                f"the light of a PSF at depth {self.media.depth:g} with a cover glass {self.media.glass_excess:g} "
                f"thicker than it should be comes together nowhere at NA {self.na:g}: give a smaller depth, an "
                "immersion with an index nearer to the sample's (ns), or a smaller NA."
            )
        return 64 + math.ceil(turns)


def _cosine(index: float, sine: Kernel) -> Kernel:
    """Refractive index times the cosine of the angle; 0 where no light goes."""
    cosine: Kernel = np.sqrt(np.maximum(index**2 - sine**2, 0.0))
    return cosine

"""PSFs of microscopes from theory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from scipy.special import j0, j1

from napari_restore.core.errors import RestoreError
from napari_restore.operators.psf.kernel import RIM, Kernel, binned, check_ndim, check_size, subpixels, trimmed

Mode = Literal["widefield", "confocal"]

_FIFTH_DARK_RING = 2.62
"""In wavelength / NA."""


def theory(
    *,
    na: float,
    wavelength: float,
    pixel: float,
    ndim: int = 2,
    refractive_index: float = 1.33,
    mode: Mode = "widefield",
    z_step: float | None = None,
    emission: float | None = None,
) -> Kernel:
    """What a microscope without aberrations makes of a point, by scalar diffraction; a mean over each pixel's area.

    In focus the Airy pattern (Born and Wolf 1999, doi:10.1017/CBO9781139644181, section 8.5.2 eq. 14), out of focus
    their diffraction integral (section 8.8) with the phase of a defocus at any aperture (Stokseth 1969,
    doi:10.1364/JOSA.59.001314): theirs is the limit of small NA, and at NA 1.4 in oil 40 % too long in Z. Confocal:
    the product of the patterns of excitation and emission, which is a pinhole much smaller than the Airy disc
    (Sheppard and Choudhury 1977, doi:10.1080/713819421).

    Parameters
    ----------
    na
        Numerical aperture, above 0 and at most ``refractive_index``.
    wavelength
        In vacuum: of the light detected; with ``"confocal"`` of the excitation.
    pixel
        Side of a pixel at the specimen. Wavelength, pixel and z_step share one unit, such as micrometres.
    ndim
        2: in focus. 3: axes Z, Y, X.
    refractive_index
        Of the immersion: water 1.33, glycerol 1.47, oil 1.515, air 1.
    z_step
        From plane to plane; needed with ``ndim=3``, else not used.
    emission
        Wavelength of the light detected, with ``"confocal"`` alone; that of the excitation where not given.

    Returns
    -------
    Kernel
        Laterally out to the fifth dark ring, which holds 96 % of the light in focus; axially out to twice the first
        axial minimum, as in widefield every plane holds the same light. Less where less holds all but 1e-4 of it.

    Raises
    ------
    RestoreError
        If a value is out of its range, ``z_step`` is missing, or the pixel is so large or so small beside the
        wavelength that they can hardly be in one unit.
    """
    check_ndim(ndim)
    optics = _Optics(na=na, wavelength=wavelength, index=refractive_index)
    step = _check_theory(optics, pixel=pixel, ndim=ndim, mode=mode, z_step=z_step, emission=emission)
    lights = [optics] if mode == "widefield" else [optics, _Optics(na, emission or wavelength, refractive_index)]
    longest = max(lights, key=lambda light: light.wavelength)

    depth = math.floor(2 * longest.axial_minimum / step) if ndim == 3 else 0
    planes = np.arange(-depth, depth + 1, dtype=np.float64) * step  # the one in focus alone in 2-D
    reach = longest.reach(planes[-1])
    radius = math.ceil(reach / pixel)
    check_size((len(planes), 2 * radius + 1, 2 * radius + 1), f"a PSF for pixels of {pixel} and light of {wavelength}")

    table: Kernel = np.arange(0, math.sqrt(2) * (radius + 0.5) * pixel + reach / 100, longest.wavelength / na / 128)
    profile: Any = 1.0
    for light in lights:
        profile = profile * (light.airy(table) if ndim == 2 else light.defocused(table, planes))
    per = 2 * math.ceil(8 * pixel * na / longest.wavelength) + 1
    y = subpixels(radius, per) * pixel
    distance = np.hypot(y[:, None], y[None])
    kernel = np.stack([binned(np.interp(distance, table, plane), per) for plane in profile])
    return trimmed(kernel[0] if ndim == 2 else kernel, rim=RIM)


@dataclass(frozen=True)
class _Optics:
    """An objective in light of one wavelength."""

    na: float
    wavelength: float
    index: float

    @property
    def axial_minimum(self) -> float:
        """How far from focus the axis is first dark; ``2 n wavelength / NA^2`` for a small NA."""
        return self.wavelength / (self.index - math.sqrt(self.index**2 - self.na**2))

    def reach(self, depth: float) -> float:
        """How far from the axis to look: to the fifth dark ring, or as far as nine tenths of the rays spread."""
        sine = 0.95 * self.na / self.index
        spread = depth * sine / math.sqrt(1 - sine**2) + 0.61 * self.wavelength / self.na
        return max(_FIFTH_DARK_RING * self.wavelength / self.na, spread)

    def airy(self, distance: Kernel) -> Kernel:
        """Intensity in focus, 1 on the axis: ``(1, R)`` for distances ``(R)``."""
        v = 2 * np.pi * self.na / self.wavelength * distance
        nonzero = np.where(v > 0, v, 1.0)
        airy: Kernel = np.where(v > 0, 2 * j1(nonzero) / nonzero, 1.0)[None] ** 2
        return airy

    def defocused(self, distance: Kernel, planes: Kernel) -> Kernel:
        """Intensity ``(Z, R)`` at distances ``(R)`` from the axis and ``(Z)`` from the plane of focus; any scale."""
        v = 2 * np.pi * self.na / self.wavelength * distance
        nodes, weights = np.polynomial.legendre.leggauss(64 + math.ceil(v[-1]))  # resolves every turn of J0
        rho = (nodes + 1) / 2
        phase = 2 * np.pi / self.wavelength * np.sqrt(self.index**2 - (self.na * rho) ** 2)
        pupil = np.exp(1j * planes[:, None] * phase) * (weights * rho)
        field = pupil @ j0(rho[:, None] * v[None])
        intensity: Kernel = np.abs(field) ** 2
        return intensity


def _check_theory(
    optics: _Optics, *, pixel: float, ndim: int, mode: str, z_step: float | None, emission: float | None
) -> float:
    """The step in Z, once all values are in their ranges."""
    if mode not in ("widefield", "confocal"):
        raise RestoreError(f"a PSF of mode {mode!r}: give widefield or confocal.")
    if emission is not None and mode == "widefield":
        raise RestoreError(f"an emission of {emission} in widefield: give it as the wavelength, or mode confocal.")
    if ndim == 3 and z_step is None:
        raise RestoreError("a PSF in 3-D without a step in Z: give the distance from plane to plane, such as z=0.3.")
    step = 1.0 if z_step is None else z_step
    named = {"NA": optics.na, "wavelength": optics.wavelength, "pixel": pixel, "refractive index": optics.index}
    for name, value in {**named, "z": step, "emission": optics.wavelength if emission is None else emission}.items():
        if not (math.isfinite(value) and value > 0):
            raise RestoreError(f"a PSF with {name} {value}: give a number above 0.")
    if optics.na > optics.index:
        raise RestoreError(
            f"NA {optics.na} is more than the refractive index {optics.index} of the immersion: give a smaller NA, or "
            "n (water 1.33, glycerol 1.47, oil 1.515)."
        )
    if pixel > 30 * optics.wavelength / optics.na:
        raise RestoreError(
            f"a pixel of {pixel} holds the whole PSF of light of {optics.wavelength} at NA {optics.na} many times: "
            "give both in one unit, such as micrometres; or leave the PSF out, as there is no blur."
        )
    return step

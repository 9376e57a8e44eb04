"""PSFs of microscopes from theory: widefield, confocal, light sheet and two-photon."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from napari_restore.core.errors import RestoreError
from napari_restore.operators.psf.kernel import RIM, Kernel, check_ndim, check_size, trimmed
from napari_restore.operators.psf.light import GLASS, Light, Media
from napari_restore.operators.psf.radial import pixel_means, through_pinhole

Mode = Literal["widefield", "confocal", "lightsheet", "twophoton"]

IMMERSIONS = {"air": 1.0, "water": 1.33, "glycerol": 1.47, "oil": 1.515}
"""Refractive index by what is between objective and cover glass."""

_SMALLEST, _LARGEST = 1e-12, 1e12  # lengths, in whatever unit
_MAIN_LIGHT = {"widefield": "emission", "confocal": "excitation", "lightsheet": "emission", "twophoton": "excitation"}
"""Which light makes the PSF; in a confocal microscope the other one, too."""

_MOST_FOCI = 12.0
"""To either side of the focus, in distances of the first axial minimum."""

_LARGEST_PINHOLE = 10.0
"""In Airy units; one so wide is none."""


@dataclass(frozen=True)
class Instrument:
    """What the lights make together.

    Attributes
    ----------
    excitation, emission
        Those that count in this mode.
    pinhole, sheet
        As of ``theory``.
    """

    mode: Mode
    excitation: Light | None = None
    emission: Light | None = None
    pinhole: float | None = None
    sheet: float | None = None

    @property
    def lights(self) -> list[Light]:
        """One or two."""
        return [light for light in (self.excitation, self.emission) if light is not None]

    @property
    def longest(self) -> Light:
        """The one whose pattern is widest."""
        return max(self.lights, key=lambda light: light.wavelength)

    @property
    def pinhole_radius(self) -> float:
        """At the specimen; 0 where there is none to count."""
        return 0.0 if self.pinhole is None or self.emission is None else 0.61 * self.pinhole * self.emission.resolution

    def profile(self, table: Kernel, planes: Kernel, *, focus: float) -> Kernel:
        """The PSF ``(Z, R)`` in planes ``(Z)`` at distances ``(R)`` from the axis, evenly from 0 on, any scale."""
        seen = np.ones((len(planes), len(table)))
        if self.excitation is not None:
            seen = self.excitation.intensity(table, planes)
        if self.mode == "twophoton":
            return seen**2
        light = self.emission
        assert light is not None
        if self.pinhole_radius:
            detected = through_pinhole(lambda r: light.intensity(r, planes), table, self.pinhole_radius)
        else:
            detected = light.intensity(table, planes)
        if self.sheet is not None:
            detected = detected * np.exp(-4 * math.log(2) * ((planes - focus) / self.sheet) ** 2)[:, None]
        return seen * detected

    def focus(self) -> tuple[float, float]:
        """Where the axis is brightest, and how far from there it has a tenth of that light."""
        light = self.longest
        if light.media.plain:
            return light.media.depth, 0.0
        _, foci = light.foci
        step = light.axial_minimum / 16
        planes = np.arange(foci.min() - light.axial_minimum, foci.max() + light.axial_minimum, step)
        axis = np.ones(len(planes))
        for each in self.lights:
            axis = axis * each.intensity(np.zeros(1), planes)[:, 0]
        i = int(np.argmax(axis[1:-1])) + 1
        best = float(planes[i]) + step * _crest(axis[i - 1 : i + 2])
        bright = planes[axis >= 0.1 * axis.max()]
        return best, float(np.abs(bright - best).max())


def theory(
    *,
    na: float,
    pixel: float,
    wavelength: float | None = None,
    ndim: int = 2,
    refractive_index: float = 1.33,
    mode: Mode = "widefield",
    z_step: float | None = None,
    excitation: float | None = None,
    emission: float | None = None,
    pinhole: float | None = None,
    sheet: float | None = None,
    depth: float = 0.0,
    sample_index: float | None = None,
    glass_index: float = GLASS,
    glass_excess: float = 0.0,
) -> Kernel:
    """What a microscope makes of a point, by scalar diffraction; a mean over each pixel's area.

    The integral of Gibson and Lanni (1992, doi:10.1364/JOSAA.9.000154, eq. 1 and 5) over the aperture, with the paths
    through sample, cover glass and immersion exact at any angle, by Gauss and Legendre's rule. Of their parameters
    those of the design are left out, as differences alone count. Without depth and glass it is the Airy pattern in
    focus (Born and Wolf 1999, doi:10.1017/CBO9781139644181, section 8.5.2) and their integral with the phase of a
    defocus at any aperture out of it (Stokseth 1969, doi:10.1364/JOSA.59.001314).

    *Confocal*: the pattern of the excitation times that of the emission, the latter averaged over the pinhole (Sheppard
    and Choudhury 1977, doi:10.1080/713819421). *Light sheet*: the pattern of the emission times a Gaussian along Z.
    *Two-photon*: the square of the pattern of the excitation, all of its light detected (Denk et al. 1990,
    doi:10.1126/science.2321027).

    Parameters
    ----------
    na
        Numerical aperture, above 0 and at most ``refractive_index``. With a ``sample_index`` below it, light at the
        angles beyond does not arrive.
    pixel
        Side of a pixel at the specimen. All lengths share one unit, such as micrometres.
    wavelength
        In vacuum: ``emission`` in widefield and with a light sheet, else ``excitation``. Give one of the two names.
    ndim
        2: the plane in focus. 3: axes Z, Y, X.
    refractive_index
        Of the immersion: water 1.33, glycerol 1.47, oil 1.515, air 1.
    mode
        ``"widefield"``, ``"confocal"``, ``"lightsheet"`` or ``"twophoton"``.
    z_step
        How far the objective or the sample moves from plane to plane; needed with ``ndim=3``, else not used.
    excitation, emission
        Wavelengths in vacuum of the light that illuminates and that is detected. Confocal takes both; its emission is
        as its excitation where not given.
    pinhole
        Diameter in Airy units (1.22 emission / NA), confocal alone, at most 10. None is one much smaller than 1.
    sheet
        Thickness of a light sheet, the full width at half its maximum; needed with ``ndim=3``.
    depth
        Of the points below the cover glass, 0 or more; needs ``sample_index``. Later planes are deeper.
    sample_index
        Refractive index of what is around the points: water 1.33, cells 1.36 to 1.38, mounting media 1.4 to 1.52.
    glass_index, glass_excess
        Of the cover glass, and by how much it is thicker than the objective (or its collar) is made for.

    Returns
    -------
    Kernel
        The plane where the axis is brightest lies in the middle. Laterally out to the fifth dark ring, which holds 96 %
        of the light in focus, or as far as nine tenths of the rays go, at most 25 wavelengths / NA; axially out to
        twice the first axial minimum beyond where the axis has a tenth of its light, as in widefield every plane holds
        the same light. Less where less holds all but 1e-4 of it.

    Raises
    ------
    RestoreError
        If a value is out of its range, missing, or of no use in this mode; the pixel is so large or so small beside the
        wavelength that they can hardly be in one unit; or the light comes together nowhere.
    """
    check_ndim(ndim)
    media = Media(refractive_index, sample_index, depth, glass_index, glass_excess)
    _check_numbers(na=na, pixel=pixel, z=z_step, pinhole=pinhole, sheet=sheet, media=media)
    _check_use(mode, ndim=ndim, z_step=z_step, pinhole=pinhole, sheet=sheet)
    lights = _lights(mode, wavelength=wavelength, excitation=excitation, emission=emission)
    beams = {name: Light(na, length, media) if length else None for name, length in lights.items()}
    instrument = Instrument(mode, beams["excitation"], beams["emission"], pinhole, sheet if ndim == 3 else None)
    longest = instrument.longest
    if pixel > 30 * longest.wavelength / na:
        raise RestoreError(
            f"a pixel of {pixel} holds the whole PSF of light of {longest.wavelength} at NA {na} many times: "
            "give both in one unit, such as micrometres; or leave the PSF out, as there is no blur."
        )
    focus, bright = instrument.focus()
    far = min(2 * longest.axial_minimum + bright, _MOST_FOCI * longest.axial_minimum)
    count = math.floor(min(far / z_step, 1e6)) if ndim == 3 and z_step is not None else 0
    planes = focus + np.arange(-count, count + 1, dtype=np.float64) * (z_step or 1.0)
    reach = longest.reach(planes)
    radius = math.ceil(min(reach / pixel, 1e6))
    check_size(
        (len(planes), 2 * radius + 1, 2 * radius + 1), f"a PSF for pixels of {pixel} and light of {_said(lights)}"
    )
    means = pixel_means(radius, pixel=pixel, resolution=min(light.resolution for light in instrument.lights))
    kernel = means.over(instrument.profile(means.table, planes, focus=focus))
    return trimmed(kernel[0] if ndim == 2 else kernel, rim=RIM)


def _crest(three: Kernel) -> float:
    """Where a parabola through three values is highest, in steps from the middle one."""
    below, here, above = (float(value) for value in three)
    return (below - above) / (2 * (below - 2 * here + above))


def _said(lights: dict[str, float | None]) -> str:
    return " and ".join(f"{length:g}" for length in dict.fromkeys(lights.values()) if length)


def _lights(
    mode: Mode, *, wavelength: float | None, excitation: float | None, emission: float | None
) -> dict[str, float | None]:
    """Excitation and emission, of which a mode may need one alone."""
    given = {"excitation": excitation, "emission": emission}
    main = _MAIN_LIGHT[mode]
    if wavelength is not None and given[main] is not None:
        raise RestoreError(
            f"a wavelength of {wavelength} and an {main} of {given[main]}: in {mode} they are the same, so give one."
        )
    lights = {**given, main: wavelength if given[main] is None else given[main]}
    (other,) = set(lights) - {main}
    if lights[main] is None:
        raise RestoreError(f"a PSF without a wavelength: {mode} needs that of the {main}, such as {main}=0.52.")
    if mode != "confocal" and lights[other] is not None:
        raise RestoreError(f"an {other} of {lights[other]} in {mode}: only the {main} counts there; leave it out.")
    if mode == "confocal" and lights["emission"] is None:
        lights["emission"] = lights["excitation"]
    for name, length in lights.items():
        if length is not None:
            _check_positive(name if given[name] is not None else "wavelength", length)
    lengths = [length for length in lights.values() if length is not None]
    if max(lengths) > 4 * min(lengths):
        raise RestoreError(
            f"light of {_said(lights)}: one is more than 4 times the other; give both in one unit, such as micrometres."
        )
    return lights


def _check_use(mode: str, *, ndim: int, z_step: float | None, pinhole: float | None, sheet: float | None) -> None:
    """Refuse what has no meaning in a mode, and a stack without what it needs."""
    if mode not in get_args(Mode):
        raise RestoreError(f"a PSF of mode {mode!r}: give {', '.join(get_args(Mode)[:-1])} or {get_args(Mode)[-1]}.")
    for name, value, only in (("pinhole", pinhole, "confocal"), ("sheet", sheet, "lightsheet")):
        if value is not None and mode != only:
            raise RestoreError(f"a {name} of {value} in {mode}: leave it out, or give mode={only}.")
    if ndim == 3 and z_step is None:
        raise RestoreError("a PSF in 3-D without a step in Z: give the distance from plane to plane, such as z=0.3.")
    if ndim == 3 and mode == "lightsheet" and sheet is None:
        raise RestoreError(
            "a PSF of a light sheet without its thickness: give the full width at half its maximum, such as sheet=4."
        )


def _check_numbers(
    *, na: float, pixel: float, z: float | None, pinhole: float | None, sheet: float | None, media: Media
) -> None:
    """Refuse numbers out of their ranges."""
    positive = {
        "NA": na,
        "pixel": pixel,
        "refractive index": media.immersion,
        "refractive index of the glass": media.glass,
    }
    for name, value in {**positive, "z": z, "pinhole": pinhole, "sheet": sheet, "ns": media.sample}.items():
        if value is not None:
            _check_positive(name, value)
    if na > media.immersion:
        raise RestoreError(
            f"NA {na} is more than the refractive index {media.immersion} of the immersion: give a smaller NA, or "
            "n (water 1.33, glycerol 1.47, oil 1.515)."
        )
    if pinhole is not None and pinhole > _LARGEST_PINHOLE:
        raise RestoreError(
            f"a pinhole of {pinhole} Airy units: at most {_LARGEST_PINHOLE:g}; one so wide open is mode=widefield."
        )
    if not (math.isfinite(media.depth) and media.depth >= 0):
        raise RestoreError(f"a PSF at depth {media.depth}: give a number of 0 or more.")
    if media.depth > 0 and media.sample is None:
        raise RestoreError(
            f"a PSF at depth {media.depth:g} without the sample's refractive index: give ns (water 1.33, cells 1.37)."
        )
    if media.sample is not None and not 1 <= media.sample <= 4:
        raise RestoreError(f"a sample with refractive index {media.sample:g}: give ns from 1 to 4.")
    if not math.isfinite(media.glass_excess):
        raise RestoreError(f"a cover glass {media.glass_excess} too thick: give a number, 0 if it is as it should be.")
    if media.glass_excess and na > media.glass:
        raise RestoreError(f"NA {na} is more than the refractive index {media.glass} of the glass: give another ng.")


def _check_positive(name: str, value: float) -> None:
    if not _SMALLEST <= value <= _LARGEST:
        raise RestoreError(f"a PSF with {name} {value}: give a number above 0, from {_SMALLEST:g} to {_LARGEST:g}.")


def focus_widths(na: float, index: float, wavelength: float) -> tuple[float, float]:
    """How wide and how long a focus is: full widths at half maximum across and along the axis, in the light's unit.

    ``0.51 lambda / NA`` and ``0.88 lambda / (n - sqrt(n^2 - NA^2))`` (Wilhelm, Gröbler, Gluch and Heinz 2003, Confocal
    Laser Scanning Microscopy, Carl Zeiss: widths of the light that excites, with a pinhole of an Airy disc or wider).

    Parameters
    ----------
    na
        Numerical aperture, less than ``index``.
    index
        Refractive index of the immersion.
    wavelength
        Of the light, in vacuum.
    """
    return 0.51 * wavelength / na, 0.88 * wavelength / (index - math.sqrt(index**2 - na**2))

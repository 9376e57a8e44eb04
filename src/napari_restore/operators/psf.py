"""Point spread functions: by formula, from theory, from measured pixels, and as a text that a model file can hold.

Each is a NumPy array in axis order (Z,) Y, X: float64, odd along every axis, centred, none negative, its sum 1.
"""

from __future__ import annotations

import base64
import math
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import center_of_mass, gaussian_filter, shift
from scipy.spatial import cKDTree
from scipy.special import j0, j1
from skimage.feature import peak_local_max

from napari_restore.core.errors import RestoreError

Kernel = NDArray[np.float64]
Mode = Literal["widefield", "confocal"]

_MOST_TAPS = 511  # along an axis
_MOST_TAPS_IN_ALL = 2**22
_RIM = 1e-4  # share of the light that may lie outside
_FIFTH_DARK_RING = 2.62  # in wavelength / NA
_NORMAL_MAD = 0.6744897501960817
_BRIGHT = 0.3  # share of the peak: what is brighter tells where a point lies
_OFF = 0.05  # px: below that the interpolation costs more than it mends
_TOLD = 0.1  # px
_NARROWER = 0.8


def gaussian(std: float | Sequence[float], *, ndim: int = 2) -> Kernel:
    """Samples of a Gaussian, out to three standard deviations.

    Parameters
    ----------
    std
        In pixels, 0 or more: one for all axes or one each, in axis order (Z,) Y, X. 0 leaves an axis unblurred.
    ndim
        2 or 3.

    Raises
    ------
    RestoreError
        If ``std`` is negative, not finite or has neither one entry nor ``ndim``, or the kernel would be huge.
    """
    _check_ndim(ndim)
    each = [float(s) for s in np.atleast_1d(np.asarray(std, np.float64))]
    if len(each) not in (1, ndim):
        raise RestoreError(f"a Gaussian with {len(each)} standard deviations in {ndim}-D: give one, or {ndim}.")
    if not all(math.isfinite(s) and s >= 0 for s in each):
        raise RestoreError(f"a Gaussian of standard deviation {std} px: give numbers of 0 or more.")
    each = each * (ndim // len(each))
    radius = [max(1, math.ceil(3 * s)) if s else 0 for s in each]
    _check_size([2 * r + 1 for r in radius], f"a Gaussian of standard deviation {std} px")
    kernel = np.ones((1,) * ndim)
    for axis, (s, r) in enumerate(zip(each, radius, strict=True)):
        taps = np.exp(-0.5 * (np.arange(-r, r + 1) / max(s, 1e-3)) ** 2)  # below that all is in one pixel
        kernel = kernel * np.expand_dims(taps, [a for a in range(ndim) if a != axis])
    return _normalised(kernel)


def box(radius: int, *, ndim: int = 2) -> Kernel:
    """The mean of ``2 * radius + 1`` pixels along each of ``ndim`` axes.

    Raises
    ------
    RestoreError
        If ``radius`` is not a whole number of 0 or more, or the kernel would be huge.
    """
    _check_ndim(ndim)
    if radius != int(radius) or radius < 0:
        raise RestoreError(f"a box of radius {radius} px: give a whole number of 0 or more.")
    shape = (2 * int(radius) + 1,) * ndim
    _check_size(shape, f"a box of radius {radius} px")
    return _normalised(np.ones(shape))


def motion(length: float, angle: float) -> Kernel:
    """A steady movement along a line: the part of each pixel that a bar one pixel wide covers. 2-D.

    Parameters
    ----------
    length
        Of the bar in pixels, 1 or more; 1 along an axis is the identity.
    angle
        In degrees, counter-clockwise from +X as the image is looked at (Y points down); 180 more is the same.

    Raises
    ------
    RestoreError
        If ``length`` is below 1, either is not finite, or the kernel would be huge.
    """
    if not (math.isfinite(length) and math.isfinite(angle) and length >= 1):
        raise RestoreError(f"a motion of {length} px at {angle} degrees: give a length of 1 or more, and an angle.")
    per = 15  # odd, so that a sample lies on the pixel's centre and none on the edge of an upright bar
    turned = math.radians(angle % 180)
    along, across = math.cos(turned), math.sin(turned)
    radius = [
        math.ceil((length * abs(part) + abs(other) - 1) / 2) for part, other in ((across, along), (along, across))
    ]
    _check_size([2 * r + 1 for r in radius], f"a motion of {length} px")
    y, x = (_subpixels(r, per) for r in radius)
    u = x[None] * along - y[:, None] * across
    v = x[None] * across + y[:, None] * along
    inside = (np.abs(u) <= length / 2) & (np.abs(v) <= 0.5)
    return _trimmed(_binned(inside.astype(np.float64), per), rim=0)


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
    _check_ndim(ndim)
    optics = _Optics(na=na, wavelength=wavelength, index=refractive_index)
    step = _check_theory(optics, pixel=pixel, ndim=ndim, mode=mode, z_step=z_step, emission=emission)
    lights = [optics] if mode == "widefield" else [optics, _Optics(na, emission or wavelength, refractive_index)]
    longest = max(lights, key=lambda light: light.wavelength)

    depth = math.floor(2 * longest.axial_minimum / step) if ndim == 3 else 0
    planes = np.arange(-depth, depth + 1, dtype=np.float64) * step  # the one in focus alone in 2-D
    reach = longest.reach(planes[-1])
    radius = math.ceil(reach / pixel)
    _check_size((len(planes), 2 * radius + 1, 2 * radius + 1), f"a PSF for pixels of {pixel} and light of {wavelength}")

    table: Kernel = np.arange(0, math.sqrt(2) * (radius + 0.5) * pixel + reach / 100, longest.wavelength / na / 128)
    profile: Any = 1.0
    for light in lights:
        profile = profile * (light.airy(table) if ndim == 2 else light.defocused(table, planes))
    per = 2 * math.ceil(8 * pixel * na / longest.wavelength) + 1
    y = _subpixels(radius, per) * pixel
    distance = np.hypot(y[:, None], y[None])
    kernel = np.stack([_binned(np.interp(distance, table, plane), per) for plane in profile])
    return _trimmed(kernel[0] if ndim == 2 else kernel, rim=_RIM)


@dataclass(frozen=True, eq=False)
class Taken:
    """A PSF from pixels, and what was done to bring it to its middle.

    Attributes
    ----------
    kernel
        Odd, centred, its sum 1.
    off
        How far from the middle of the pixels its point lay, in pixels by axis.
    wrapped
        Whether the pixels began with the point, in the order of Fourier transforms.
    """

    kernel: Kernel
    off: tuple[float, ...]
    wrapped: bool

    @property
    def said(self) -> str:
        """What the user should know of it; empty where it was in its middle."""
        if self.wrapped:
            return "the PSF's point lay in the corner, as Fourier transforms have it: it was moved to the middle"
        if max(abs(o) for o in self.off) <= _TOLD:
            return ""
        each = ", ".join(f"{round(o, 1) + 0:+.1f}" for o in self.off)
        return (
            f"the PSF's point lay {each} px off the middle of its pixels (along {'ZYX'[-len(self.off) :]}): it was "
            "moved there, so the result lies over the image"
        )


def from_pixels(pixels: NDArray[Any]) -> Kernel:
    """The PSF in a measured or computed picture of one point, such as a bead: the kernel of ``take``."""
    return take(pixels).kernel


def take(pixels: NDArray[Any]) -> Taken:
    """The PSF in a measured or computed picture of one point, such as a bead.

    The median of the picture's border is taken for the background and removed, with all that is not above the
    border's own noise (sqrt(2 log N) of its standard deviations: Donoho and Johnstone 1994,
    doi:10.1093/biomet/81.3.425). Of pixels that are a kernel already (none negative, their sum 1) nothing is removed.
    The point is moved to the middle, whatever the pixels sum to, and the rest cut off where no light is. Where the
    point lies is told by the centre of mass of what is brighter than 0.3 of its peak: that of all light depends, in
    widefield, on how many planes there are on either side of the focus.

    Parameters
    ----------
    pixels
        2-D or 3-D, any real numbers, the point anywhere inside; or in the corner, its other parts in the others, as
        Fourier transforms have it.

    Raises
    ------
    RestoreError
        If the picture has other axes, is empty, constant or partly not finite, nothing stands out from its
        border, the point is cut by the border, or the kernel would be huge.
    """
    y = _picture(pixels)
    wrapped = _wrapped(y)
    for axis in wrapped:
        y = np.roll(y, y.shape[axis] // 2, axis)
    light = y if _is_kernel(y) else _above_background(y)
    if not light.any():
        raise RestoreError(
            f"a PSF of shape {y.shape} in which nothing is brighter than its border: give a picture of a bright point "
            "with darker ground on all sides."
        )
    centre = _place(light)
    off = tuple(_off_middle(float(c), n) for c, n in zip(centre, light.shape, strict=True))
    _check_whole(light, off)
    return Taken(_trimmed(_centred(light, centre), rim=_RIM), off, bool(wrapped))


def from_beads(image: NDArray[Any], *, radius: int | Sequence[int]) -> Kernel:
    """The mean PSF of the isolated beads in a picture of many; it includes the size of the bead.

    Beads are moved onto each other by their centres of mass, to a part of a pixel. Left out: beads with a neighbour
    of a tenth of their brightness in reach, beads cut by the border, those a fifth as bright as the usual one or less,
    and what does not look like the others, such as dust and hot pixels.

    Parameters
    ----------
    image
        2-D or 3-D, bright beads on darker ground.
    radius
        In pixels, 1 or more: how far the light of a bead reaches; one for all axes or one each.

    Raises
    ------
    RestoreError
        If the image has other axes or is partly not finite, ``radius`` does not fit it, or no bead is found.
    """
    y = np.asarray(image).astype(np.float64)
    if y.ndim not in (2, 3) or not np.isfinite(y).all():
        raise RestoreError(f"an image of beads of shape {y.shape}: it needs 2 or 3 axes, and finite numbers alone.")
    each = tuple(int(r) for r in np.broadcast_to(np.asarray(radius), (y.ndim,)))
    if min(each) < 1 or any(2 * r + 1 > n for r, n in zip(each, y.shape, strict=True)):
        raise RestoreError(
            f"beads of radius {radius} px in an image of {y.shape} px: give at least 1, and a box that fits."
        )
    beads = _isolated(y, each)
    if not len(beads):
        raise RestoreError(
            f"no isolated bead of radius {radius} px in an image of {y.shape} px: give a smaller radius, or cut one "
            "bead out and give its picture."
        )
    cuts = np.stack([_aligned(y[_around(bead, each)]) for bead in beads])
    return from_pixels(cuts[_alike(cuts)].mean(0))


def symmetric(kernel: NDArray[np.floating], tolerance: float = 1e-6) -> bool:
    """Whether flipping any axis and exchanging the last two (Y and X) leaves the kernel as it is.

    ``tolerance`` is a share of the largest value.
    """
    if kernel.shape[-2] != kernel.shape[-1]:
        return False
    limit = tolerance * float(np.abs(kernel).max())
    turned = [np.flip(kernel, axis) for axis in range(kernel.ndim)] + [np.swapaxes(kernel, -1, -2)]
    return all(float(np.abs(kernel - other).max()) <= limit for other in turned)


def middle(weights: NDArray[np.float64], *, rim: float) -> tuple[slice, ...]:
    """Where the middle of an odd array lies without its outermost values along each axis.

    What is left out along an axis, as much from either end, holds at most ``rim`` of the sum of ``weights``, which are
    0 or more.
    """
    keep = []
    for axis, n in enumerate(weights.shape):
        profile = weights.sum(tuple(a for a in range(weights.ndim) if a != axis)) / weights.sum()
        shells = np.cumsum([float(profile[i] + profile[n - 1 - i]) for i in range(n // 2)])  # from the outermost
        drop = int(np.searchsorted(shells, rim, side="right"))
        keep.append(slice(drop, n - drop))
    return tuple(keep)


def parse(text: str, *, ndim: int = 2) -> Kernel:
    """The PSF that a text stands for.

    Parameters
    ----------
    text
        ``gaussian:STD``, ``gaussian:STDY,STDX``, ``gaussian:STDZ,STDY,STDX``, ``box:RADIUS``,
        ``motion:LENGTH,ANGLE`` (within planes), ``theory:NA=..,wavelength=..,pixel=..`` with any of ``n=..``,
        ``mode=confocal``, ``z=..`` and ``emission=..``, or ``inline:..`` as ``inline`` writes it. Pixels, degrees,
        and one unit of length for theory.
    ndim
        2 or 3, the axes of the kernel.

    Raises
    ------
    RestoreError
        If the text is of no such kind (a caller that allows files has looked for one before), or has a wrong value.
    """
    _check_ndim(ndim)
    kind, _, rest = text.strip().partition(":")
    reader = _READERS.get(kind.strip().lower())
    if reader is None:
        raise RestoreError(
            f"PSF {text!r}: there is no such kind, so it would be taken for the path of an image file. Give "
            f"a file that exists, or one of {', '.join(_FORMS.values())}; for example gaussian:2."
        )
    if not rest.strip():
        raise RestoreError(f"PSF {text!r}: nothing follows {kind!r}. Write it as {_FORMS[kind.strip().lower()]}.")
    return reader(text.strip(), rest.strip(), ndim)


def axes_of(psf: str) -> int:
    """2 or 3: along how many axes a PSF's text says something."""
    kind, _, rest = psf.partition(":")
    if kind == "inline":
        return rest.partition(":")[0].count("x") + 1
    deep = rest.count(",") == 2 if kind == "gaussian" else "z=" in rest.replace(" ", "")
    return 3 if deep else 2


def sweep(text: str) -> list[str]:
    """Three texts, narrow to wide, for one with a range: ``gaussian:1.5..2.5`` gives those for 1.5, 2 and 2.5.

    One number of ``gaussian`` or ``box``, or the length of ``motion``, may be a range; a box of 1..2 gives two texts,
    as its radius is whole. Any other text is given back alone.

    Raises
    ------
    RestoreError
        If there are several ranges, or one where no number of these kinds is.
    """
    kind, _, rest = text.strip().partition(":")
    kind = kind.strip().lower()
    if ".." not in rest or kind not in _FORMS:
        return [text]
    values = rest.split(",")
    ranges = [i for i, value in enumerate(values) if ".." in value]
    if len(ranges) > 1 or kind not in ("gaussian", "box", "motion") or (kind == "motion" and ranges != [0]):
        raise RestoreError(
            f"PSF {text!r}: one number of gaussian or box, or the length of motion, may be a range, "
            "such as gaussian:1.5..2.5."
        )
    place = ranges[0]
    low, high = sorted(_number(part, text) for part in values[place].split("..", 1))
    widths = [low, (low + high) / 2, high]
    if kind == "box":
        widths = [float(math.floor(w)) if w == widths[1] else w for w in widths]
    each = [[*values[:place], f"{width:.10g}", *values[place + 1 :]] for width in dict.fromkeys(widths)]
    return [f"{kind}:{','.join(value.strip() for value in one)}" for one in each]


def inline(kernel: NDArray[np.floating]) -> str:
    """A text that holds the kernel itself: ``inline:13x13:`` and its float32, compressed, in base64; see ``parse``."""
    shape = "x".join(str(n) for n in kernel.shape)
    data = zlib.compress(np.ascontiguousarray(kernel, "<f4").tobytes(), 9)
    return f"inline:{shape}:{base64.b64encode(data).decode('ascii')}"


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


def _check_ndim(ndim: int) -> None:
    if ndim not in (2, 3):
        raise RestoreError(f"a PSF with {ndim} axes: give 2 or 3.")


def _check_size(shape: Sequence[int], what: str) -> None:
    if max(shape) > _MOST_TAPS or math.prod(shape) > _MOST_TAPS_IN_ALL:
        raise RestoreError(
            f"{what} has {' x '.join(str(n) for n in shape)} taps, more than {_MOST_TAPS} along an axis or "
            f"{_MOST_TAPS_IN_ALL} in all: check its numbers and their units, or bin the image."
        )


def _normalised(kernel: Kernel) -> Kernel:
    scaled: Kernel = kernel / kernel.sum()
    return scaled


def _trimmed(kernel: Kernel, *, rim: float) -> Kernel:
    """The middle of a centred kernel, without a rim that holds at most ``rim`` of it along each axis; its sum 1."""
    inner = np.ascontiguousarray(kernel[middle(kernel, rim=rim)])
    _check_size(inner.shape, "the PSF")
    return _normalised(inner)


def _subpixels(radius: int, per: int) -> Kernel:
    """Places of ``per`` samples in each of ``2 * radius + 1`` pixels, in pixels from the middle one's centre."""
    n = (2 * radius + 1) * per
    return (np.arange(n) - n // 2) / per


def _binned(samples: Kernel, per: int) -> Kernel:
    """Mean over ``per`` x ``per`` samples."""
    height, width = (n // per for n in samples.shape)
    means: Kernel = samples.reshape(height, per, width, per).mean((1, 3))
    return means


def _picture(pixels: NDArray[Any]) -> Kernel:
    """As float64, once it can be a picture of a point."""
    y = np.asarray(pixels)
    if y.ndim not in (2, 3) or y.size == 0:
        raise RestoreError(
            f"a PSF of shape {y.shape}: give a picture of one point with 2 or 3 axes, none of them empty."
        )
    y = y.astype(np.float64)
    if not np.isfinite(y).all():
        raise RestoreError(
            f"a PSF with {np.count_nonzero(~np.isfinite(y))} pixels that are no finite number: mend them."
        )
    if y.min() == y.max() and not _is_kernel(y):
        raise RestoreError(
            f"a PSF whose pixels are all {y.flat[0]:g}: give a picture of a bright point on darker ground."
        )
    return y


def _is_kernel(y: Kernel) -> bool:
    # A file in half precision still sums to 1 within this.
    return float(y.min()) >= 0 and abs(float(y.sum()) - 1) < 1e-3


def _wrapped(y: Kernel) -> tuple[int, ...]:
    """Along which axes the point lies over the border, one half of it at either end: the order of Fourier transforms.

    Its peak is on the border there, and the light is narrower once it is rolled by half.
    """
    peak = np.unravel_index(int(y.argmax()), y.shape)
    ends = [axis for axis, n in enumerate(y.shape) if n > 2 and min(int(peak[axis]), n - 1 - int(peak[axis])) <= 1]
    wide = [axis for axis, n in enumerate(y.shape) if n > 2]
    if not ends or ends not in (wide, wide[-2:]):
        return ()
    rolled = y
    for axis in ends:
        rolled = np.roll(rolled, y.shape[axis] // 2, axis)
    light = rolled if _is_kernel(y) else _above_background(rolled)
    for axis in ends:
        profile = light.sum(tuple(a for a in range(light.ndim) if a != axis))
        if not _spread(profile) < _NARROWER * _spread(np.roll(profile, -(len(profile) // 2))):
            return ()
    return tuple(ends)


def _spread(profile: Kernel) -> float:
    """Standard deviation in pixels; 0 of no light."""
    if not profile.any():
        return 0.0
    at = np.arange(len(profile))
    return math.sqrt(float(np.average((at - np.average(at, weights=profile)) ** 2, weights=profile)))


def _place(light: Kernel) -> Kernel:
    """Where a point lies, in pixels by axis: the bright part alone, as far light pulls with its noise."""
    return np.asarray(center_of_mass(np.clip(light - _BRIGHT * light.max(), 0, None)))


def _off_middle(centre: float, n: int) -> float:
    """From the middle of ``n`` pixels; of an even number any place between the two in the middle is the middle."""
    off = centre - (n - 1) / 2
    return math.copysign(max(0.0, abs(off) - (0.5 if n % 2 == 0 else 0.0)), off)


def _check_whole(light: Kernel, off: Sequence[float]) -> None:
    """Refuse a point that the border cuts: its peak is there, and its bright part on that side of the middle."""
    peak = np.unravel_index(int(light.argmax()), light.shape)
    for axis, (n, at, far) in enumerate(zip(light.shape, peak, off, strict=True)):
        if n > 2 and int(at) in (0, n - 1) and abs(far) > max(0.5, n / 8):
            raise RestoreError(
                f"a PSF of shape {light.shape} whose brightest pixel is on the border along "
                f"{'ZYX'[axis - light.ndim]}: its point is cut. Give a picture with darker ground on all sides."
            )


def _border(y: Kernel) -> Kernel:
    """The outermost values ``(N)``, along axes of more than two pixels; all values where there is no such axis."""
    outer = np.zeros(y.shape, bool)
    for axis, n in enumerate(y.shape):
        if n > 2:  # a single plane is no border
            np.moveaxis(outer, axis, 0)[[0, -1]] = True
    return y[outer] if outer.any() else y.ravel()


def _above_background(y: Kernel) -> Kernel:
    border = _border(y)
    level = np.median(border)
    floor = np.median(np.abs(border - level)) / _NORMAL_MAD * math.sqrt(2 * math.log(y.size))
    return np.where(y - level > floor, y - level, 0.0)


def _centred(light: Kernel, centre: Kernel) -> Kernel:
    """On an odd grid that holds all of it, its ``centre`` on the middle pixel."""
    whole = np.rint(centre).astype(int)
    off = whole - centre
    rim = 2 if np.abs(off).max() > _OFF else 0  # light between two pixels reaches over the last one
    radius = [max(int(c), n - 1 - int(c)) + (rim if n > 1 else 0) for c, n in zip(whole, light.shape, strict=True)]
    grid = np.zeros([2 * r + 1 for r in radius])
    grid[tuple(slice(r - c, r - c + n) for r, c, n in zip(radius, whole, light.shape, strict=True))] = light
    return np.clip(shift(grid, off, order=3, mode="constant"), 0, None) if rim else grid


def _isolated(y: Kernel, radius: tuple[int, ...]) -> NDArray[np.intp]:
    """Pixels ``(N, ndim)`` of the beads whose light meets no other's and no border."""
    smooth = gaussian_filter(y, 1)
    level = float(np.median(smooth))
    noise = float(np.median(np.abs(smooth - level))) / _NORMAL_MAD
    least = level + max(6 * noise, 0.01 * (float(smooth.max()) - level))
    peaks: NDArray[np.intp] = peak_local_max(smooth, min_distance=1, threshold_abs=least, exclude_border=False)
    height = smooth[tuple(peaks.T)] - level
    alone = np.ones(len(peaks), bool)
    near = (
        cKDTree(peaks / (2 * np.asarray(radius))).query_pairs(1, p=np.inf, output_type="ndarray") if len(peaks) else []
    )
    for one, other in near:
        alone[one] &= height[other] < 0.1 * height[one]
        alone[other] &= height[one] < 0.1 * height[other]
    whole = ((peaks >= radius) & (peaks < np.asarray(y.shape) - radius)).all(1)
    chosen = alone & whole
    if chosen.any():
        chosen &= height > 0.2 * np.median(height[chosen])
    return peaks[chosen]


def _around(centre: NDArray[np.intp], radius: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(slice(int(c) - r, int(c) + r + 1) for c, r in zip(centre, radius, strict=True))


def _aligned(cut: Kernel) -> Kernel:
    """A bead without its background, its sum 1, moved so that the centre of its bright part is that of the cut."""
    light = _above_background(cut)
    moved = cut - np.median(_border(cut))
    if light.any():
        # The bright part alone: far pixels hold no light but pull with their noise.
        centre = np.asarray(center_of_mass(np.where(light > _BRIGHT * light.max(), light, 0.0)))
        moved = shift(moved, (np.asarray(cut.shape) - 1) / 2 - centre, order=3, mode="nearest")
    aligned: Kernel = moved / (float(np.abs(moved).sum()) or 1.0)
    return aligned


def _alike(cuts: Kernel) -> NDArray[np.bool_]:
    """Which of the beads ``(N, ...)`` look like their median."""
    flat = cuts.reshape(len(cuts), -1)
    usual = np.median(flat, 0)
    norms = np.linalg.norm(flat, axis=1) * np.linalg.norm(usual)
    likeness = flat @ usual / np.where(norms > 0, norms, 1.0)
    return likeness >= 0.8 * np.median(likeness)


def _number(text: str, whole: str) -> float:
    try:
        value = float(text)
    except ValueError:
        hint = "a range is of no use here; give one number of it" if ".." in text else "give a number there"
        raise RestoreError(f"PSF {whole!r}: {text.strip()!r} is not a number: {hint}.") from None
    if not math.isfinite(value):
        raise RestoreError(f"PSF {whole!r}: {text.strip()!r} is not finite: give a number there.")
    return value


def _numbers(text: str, rest: str, *, kind: str, count: tuple[int, ...]) -> list[float]:
    values = [_number(part, text) for part in rest.split(",")]
    if len(values) not in count:
        allowed = " or ".join(str(c) for c in count)
        raise RestoreError(f"PSF {text!r}: {len(values)} numbers, where {allowed} can be. Write it as {_FORMS[kind]}.")
    return values


def _read_gaussian(text: str, rest: str, ndim: int) -> Kernel:
    return gaussian(_numbers(text, rest, kind="gaussian", count=(1, ndim)), ndim=ndim)


def _read_box(text: str, rest: str, ndim: int) -> Kernel:
    (radius,) = _numbers(text, rest, kind="box", count=(1,))
    if radius != int(radius):
        raise RestoreError(f"PSF {text!r}: a radius of {radius:g} px: give a whole number of 0 or more.")
    return box(int(radius), ndim=ndim)


def _read_motion(text: str, rest: str, ndim: int) -> Kernel:
    length, angle = _numbers(text, rest, kind="motion", count=(2,))
    return _with_axes(motion(length, angle), ndim, text)


_THEORY = {
    "na": "na",
    "wavelength": "wavelength",
    "pixel": "pixel",
    "n": "refractive_index",
    "mode": "mode",
    "z": "z_step",
    "emission": "emission",
}


def _read_theory(text: str, rest: str, ndim: int) -> Kernel:
    values: dict[str, Any] = {}
    for part in rest.split(","):
        key, equals, value = (p.strip() for p in part.partition("="))
        name = _THEORY.get(key.lower())
        if not equals or name is None:
            raise RestoreError(f"PSF {text!r}: {part.strip()!r} is none of {', '.join(f'{k}=..' for k in _THEORY)}.")
        if name in values:
            raise RestoreError(f"PSF {text!r}: {key} is there twice: give it once.")
        values[name] = value.lower() if name == "mode" else _number(value, text)
    missing = [key for key in ("na", "wavelength", "pixel") if key not in values]
    if missing:
        raise RestoreError(
            f"PSF {text!r}: {', '.join(missing)} missing; for example theory:NA=1.4,wavelength=0.52,pixel=0.1,n=1.515 "
            "with wavelength and pixel in micrometres."
        )
    return theory(**values, ndim=ndim)


def _read_inline(text: str, rest: str, ndim: int) -> Kernel:
    name = text if len(text) < 40 else f"{text[:40]}..."
    size, _, data = rest.partition(":")
    if not re.fullmatch(r"\d{0,3}[13579](x\d{0,3}[13579]){1,2}", size, re.ASCII):
        raise RestoreError(f"PSF {name!r}: a size of {size!r}: it needs 2 or 3 odd numbers, such as 13x13.")
    shape = tuple(int(n) for n in size.split("x"))
    _check_size(shape, f"PSF {name!r}")
    expected = 4 * math.prod(shape)
    try:
        # Bounded, as a model file may come from anybody.
        raw = zlib.decompressobj().decompress(base64.b64decode(data, validate=True), expected + 1)
    except (ValueError, zlib.error):  # of base64: letters that are not its own, also beyond ASCII
        raw = b""
    if len(raw) != expected:
        raise RestoreError(f"PSF {name!r}: its data are not {size} numbers: it is cut short or changed; write it anew.")
    kernel: Kernel = np.frombuffer(raw, "<f4").reshape(shape).astype(np.float64)
    if not (np.isfinite(kernel).all() and float(kernel.min()) >= 0 and float(kernel.sum()) > 0):
        raise RestoreError(f"PSF {name!r}: its numbers are not finite, negative or all 0: give a PSF, not a filter.")
    return _with_axes(_normalised(kernel), ndim, name)


def _with_axes(kernel: Kernel, ndim: int, text: str) -> Kernel:
    """A kernel within planes for a stack, or the only plane of a kernel for an image."""
    if kernel.ndim > ndim and kernel.shape[0] > 1:
        raise RestoreError(f"PSF {text!r}: it has {kernel.ndim} axes, the image {ndim}: give a PSF of one plane.")
    return kernel.reshape((1,) * (ndim - kernel.ndim) + kernel.shape[-ndim:])


_READERS: dict[str, Callable[[str, str, int], Kernel]] = {
    "gaussian": _read_gaussian,
    "box": _read_box,
    "motion": _read_motion,
    "theory": _read_theory,
    "inline": _read_inline,
}
_FORMS = {
    "gaussian": "gaussian:STD (px)",
    "box": "box:RADIUS (px)",
    "motion": "motion:LENGTH,ANGLE (px, degrees)",
    "theory": "theory:NA=..,wavelength=..,pixel=.. (one unit)",
    "inline": "inline:SIZExSIZE:DATA",
}

"""PSFs from pixels: a picture of one point, or of many beads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import center_of_mass, gaussian_filter, shift
from scipy.spatial import cKDTree
from skimage.feature import peak_local_max

from napari_restore.core.errors import RestoreError
from napari_restore.operators.psf.kernel import RIM, Kernel, check_size, trimmed

_NORMAL_MAD = 0.6744897501960817
_BRIGHT = 0.3  # share of the peak: what is brighter tells where a point lies
_OFF = 0.05  # px: below that the interpolation costs more than it mends
_TOLD = 0.1  # px
_NARROWER = 0.8
_SMOOTH = 1.0  # px: standard deviation of the Gaussian through which beads are looked for
_REACHES = (5, 4, 3, 2)  # full widths at half maximum
_MOST_BEADS = 200  # that are measured before their reach is known


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
    return Taken(trimmed(_centred(light, centre), rim=RIM), off, bool(wrapped))


def resampled(kernel: Kernel, ratio: Sequence[float]) -> Kernel:
    """The same PSF on pixels of another size.

    Along Y and X a pixel is the light that falls into it: along each the light up to a place is a curve through that
    up to the kernel's pixel borders. A plane of a stack is what is in focus there: along Z the curve goes through the
    planes. Both are monotone as Fritsch and Butland have it (1984, doi:10.1137/0905021): nothing becomes negative.

    Parameters
    ----------
    ratio
        Size of the kernel's pixels in new ones, by axis: 0.5 where the new ones are twice as large.

    Raises
    ------
    RestoreError
        If a ratio is below 1/50 or above 4: then the pixels say nothing, or the units are wrong.
    """
    for axis, (r, n) in enumerate(zip(ratio, kernel.shape, strict=True)):
        if r == 1 or n == 1:
            continue
        letter = "ZYX"[axis - kernel.ndim]
        if not 1 / 50 <= r <= 4:
            raise RestoreError(
                f"a PSF whose pixels are {r:.3g} times as large as the image's along {letter}: from 1/50 to 4 times "
                "can be brought to them. Check both pixel sizes and their units."
            )
        check_size([math.ceil(n * r)], "the PSF in pixels of the image")
        kernel = _planes_at(kernel, r) if letter == "Z" else _light_within(kernel, r, axis)
    return trimmed(np.clip(kernel, 0, None), rim=RIM)


def _planes_at(kernel: Kernel, ratio: float) -> Kernel:
    far = len(kernel) // 2 * ratio
    count = math.floor(far)
    planes = np.arange(-(len(kernel) // 2), len(kernel) // 2 + 1) * ratio
    between: Kernel = PchipInterpolator(planes, kernel, axis=0)(np.arange(-count, count + 1))
    return between


def _light_within(kernel: Kernel, ratio: float, axis: int) -> Kernel:
    n = kernel.shape[axis]
    borders = (np.arange(n + 1) - n / 2) * ratio
    radius = math.ceil(borders[-1] - 0.5)
    light = np.concatenate([np.zeros_like(np.take(kernel, [0], axis)), np.cumsum(kernel, axis)], axis)
    places = np.clip(np.arange(-radius, radius + 2) - 0.5, borders[0], borders[-1])
    return np.diff(PchipInterpolator(borders, light, axis=axis)(places), axis=axis)


@dataclass(frozen=True, eq=False)
class AveragedBeads:
    """The mean of some beads.

    Attributes
    ----------
    kernel
        Odd, centred, its sum 1.
    radius
        How far their light was taken to reach, in pixels by axis.
    used, left_out
        How many beads are in it, and how many are not, as they had neighbours, were cut, or looked different.
    """

    kernel: Kernel
    radius: tuple[int, ...]
    used: int
    left_out: int

    @property
    def said(self) -> str:
        """What the user should know of it."""
        reach = " x ".join(str(r) for r in self.radius)
        return f"the PSF is the mean of {self.used} beads within {reach} px; {self.left_out} others were left out"


def from_beads(image: NDArray[Any], *, radius: int | Sequence[int] | None = None) -> Kernel:
    """The mean PSF of the isolated beads in a picture of many: the kernel of ``average_beads``."""
    return average_beads(image, radius=radius).kernel


def average_beads(image: NDArray[Any], *, radius: int | Sequence[int] | None = None) -> AveragedBeads:
    """The mean PSF of the isolated beads in a picture of many; it includes the size of the bead.

    Beads are moved onto each other by their centres of mass, to a part of a pixel. Left out: beads with a neighbour
    of a tenth of their brightness in reach, beads cut by the border, those a fifth as bright as the usual one or less,
    and what does not look like the others, such as dust and hot pixels.

    Parameters
    ----------
    image
        2-D or 3-D, bright beads on darker ground.
    radius
        In pixels, 1 or more: how far the light of a bead reaches; one for all axes or one each. None measures it:
        five times the full width at half maximum of the usual bead, down to twice where fewer than half of the beads
        have so much room.

    Raises
    ------
    RestoreError
        If the image has other axes or is partly not finite, ``radius`` does not fit it, or no bead is found.
    """
    y = np.asarray(image).astype(np.float64)
    if y.ndim not in (2, 3) or not np.isfinite(y).all():
        raise RestoreError(f"an image of beads of shape {y.shape}: it needs 2 or 3 axes, and finite numbers alone.")
    if radius is None:
        radius = _reach(y)
    each = tuple(int(r) for r in np.broadcast_to(np.asarray(radius), (y.ndim,)))
    if min(each) < 1 or any(2 * r + 1 > n for r, n in zip(each, y.shape, strict=True)):
        raise RestoreError(
            f"beads of radius {radius} px in an image of {y.shape} px: give at least 1, and a box that fits."
        )
    beads, seen = _isolated(y, each)
    if not len(beads):
        raise RestoreError(
            f"no isolated bead of radius {radius} px in an image of {y.shape} px: give a smaller radius, or cut one "
            "bead out and give its picture."
        )
    cuts = np.stack([_aligned(y[_around(bead, each)]) for bead in beads])
    like = _alike(cuts)
    used = int(np.count_nonzero(like))
    return AveragedBeads(from_pixels(_standing_out(cuts[like].mean(0))), each, used, seen - used)


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


def _standing_out(y: Kernel) -> Kernel:
    """A mean of beads without its background: faint light is told by its neighbours, or a tenth would be lost."""
    level = float(np.median(_border(y)))
    return np.where(_above_background(gaussian_filter(y - level, 1.0)) > 0, np.clip(y - level, 0, None), 0.0)


def _centred(light: Kernel, centre: Kernel) -> Kernel:
    """On an odd grid that holds all of it, its ``centre`` on the middle pixel."""
    whole = np.rint(centre).astype(int)
    off = whole - centre
    rim = 2 if np.abs(off).max() > _OFF else 0  # light between two pixels reaches over the last one
    radius = [max(int(c), n - 1 - int(c)) + (rim if n > 1 else 0) for c, n in zip(whole, light.shape, strict=True)]
    grid = np.zeros([2 * r + 1 for r in radius])
    grid[tuple(slice(r - c, r - c + n) for r, c, n in zip(radius, whole, light.shape, strict=True))] = light
    return np.clip(shift(grid, off, order=3, mode="constant"), 0, None) if rim else grid


def _peaks(y: Kernel) -> tuple[NDArray[np.intp], Kernel]:
    """Pixels ``(N, ndim)`` of all bright points, the brightest first, and the smoothed image above its background."""
    smooth = gaussian_filter(y, _SMOOTH)
    smooth = smooth - float(np.median(smooth))
    noise = float(np.median(np.abs(smooth))) / _NORMAL_MAD
    least = max(6 * noise, 0.01 * float(smooth.max()))
    peaks: NDArray[np.intp] = peak_local_max(smooth, min_distance=1, threshold_abs=least, exclude_border=False)
    return peaks, smooth


def _reach(y: Kernel) -> tuple[int, ...]:
    """How far the light of the usual bead reaches, in pixels by axis: at most half of the image."""
    peaks, smooth = _peaks(y)
    widths = np.array([_half_widths(smooth, peak) for peak in peaks[:_MOST_BEADS]])
    if not len(widths):
        return tuple(max(1, min(8, (n - 1) // 2)) for n in y.shape)
    usual = np.median(widths, 0)
    own = 2 * np.sqrt(np.maximum(usual**2 - 2 * math.log(2) * _SMOOTH**2, 0.25))
    for times in _REACHES:
        reach = tuple(max(1, min(math.ceil(times * w), (n - 1) // 2)) for w, n in zip(own, y.shape, strict=True))
        beads, seen = _isolated(y, reach)
        if 2 * len(beads) >= seen:
            break
    return reach


def _half_widths(smooth: Kernel, peak: NDArray[np.intp]) -> list[float]:
    """How far from a peak the light is half as bright, along each axis, on the nearer side."""
    found = []
    for axis in range(smooth.ndim):
        line = smooth[tuple(slice(None) if a == axis else int(p) for a, p in enumerate(peak))]
        at = int(peak[axis])
        half = line[at] / 2
        dark = np.flatnonzero(line < half)
        if not len(dark):
            found.append(len(line) / 2)
            continue
        outside = int(dark[np.argmin(np.abs(dark - at))])
        inside = outside - int(np.sign(outside - at))
        part = (line[inside] - half) / (line[inside] - line[outside])
        found.append(abs(inside - at) + float(part))
    return found


def _isolated(y: Kernel, radius: tuple[int, ...]) -> tuple[NDArray[np.intp], int]:
    """Pixels ``(N, ndim)`` of the beads whose light meets no other's and no border; and how many there are in all."""
    peaks, smooth = _peaks(y)
    height = smooth[tuple(peaks.T)]
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
        bright = height > 0.2 * np.median(height[chosen])
        return peaks[chosen & bright], int(np.count_nonzero(bright))
    return peaks[chosen], len(peaks)


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

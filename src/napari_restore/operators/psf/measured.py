"""PSFs from pixels: a picture of one point, or of many beads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import center_of_mass, gaussian_filter, shift
from scipy.spatial import cKDTree
from skimage.feature import peak_local_max

from napari_restore.core.errors import RestoreError
from napari_restore.operators.psf.kernel import RIM, Kernel, trimmed

_NORMAL_MAD = 0.6744897501960817


def from_pixels(pixels: NDArray[Any]) -> Kernel:
    """The PSF in a measured picture of one point, such as a bead.

    The median of the picture's border is taken for the background and removed, with all that is not above the
    border's own noise (sqrt(2 log N) of its standard deviations: Donoho and Johnstone 1994,
    doi:10.1093/biomet/81.3.425); the rest is moved onto its centre of mass and cut to where its light is. Pixels
    that are a kernel already (odd, none negative, their sum 1) are only cut.

    Parameters
    ----------
    pixels
        2-D or 3-D, any real numbers, the point anywhere inside.

    Raises
    ------
    RestoreError
        If the picture has other axes, is empty, constant or partly not finite, nothing stands out from its
        border, or the kernel would be huge.
    """
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
    if _is_kernel(y):
        return trimmed(y, rim=RIM)
    if y.min() == y.max():
        raise RestoreError(
            f"a PSF whose pixels are all {y.flat[0]:g}: give a picture of a bright point on darker ground."
        )
    light = _above_background(y)
    if not light.any():
        raise RestoreError(
            f"a PSF of shape {y.shape} in which nothing is brighter than its border: give a picture of a bright point "
            "with darker ground on all sides."
        )
    return trimmed(_centred(light), rim=RIM)


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


def _is_kernel(y: Kernel) -> bool:
    # A file in half precision still sums to 1 within this.
    return all(n % 2 for n in y.shape) and float(y.min()) >= 0 and abs(float(y.sum()) - 1) < 1e-3


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


def _centred(light: Kernel) -> Kernel:
    """On an odd grid that holds all of it, its centre of mass on the middle pixel."""
    centre = np.asarray(center_of_mass(light))
    whole = np.rint(centre).astype(int)
    radius = [max(int(c), n - 1 - int(c)) for c, n in zip(whole, light.shape, strict=True)]
    grid = np.zeros([2 * r + 1 for r in radius])
    grid[tuple(slice(r - c, r - c + n) for r, c, n in zip(radius, whole, light.shape, strict=True))] = light
    off = whole - centre
    if np.abs(off).max() > 0.05:  # below that the interpolation costs more than it mends
        grid = np.clip(shift(grid, off, order=3, mode="constant"), 0, None)
    return grid


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
        centre = np.asarray(center_of_mass(np.where(light > 0.3 * light.max(), light, 0.0)))
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

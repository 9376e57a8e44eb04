"""PSFs with a formula in pixels: a Gaussian, a box, a movement along a line."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.errors import RestoreError
from napari_restore.operators.psf.kernel import MOST_TAPS, Kernel, check_ndim, check_size, normalised, trimmed


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
    check_ndim(ndim)
    each = [float(s) for s in np.atleast_1d(np.asarray(std, np.float64))]
    if len(each) not in (1, ndim):
        raise RestoreError(f"a Gaussian with {len(each)} standard deviations in {ndim}-D: give one, or {ndim}.")
    if not all(math.isfinite(s) and s >= 0 for s in each):
        raise RestoreError(f"a Gaussian of standard deviation {std} px: give numbers of 0 or more.")
    each = each * (ndim // len(each))
    radius = [max(1, math.ceil(min(3 * s, MOST_TAPS))) if s else 0 for s in each]
    check_size([2 * r + 1 for r in radius], f"a Gaussian of standard deviation {std} px")
    kernel = np.ones((1,) * ndim)
    for axis, (s, r) in enumerate(zip(each, radius, strict=True)):
        taps = np.exp(-0.5 * (np.arange(-r, r + 1) / max(s, 1e-3)) ** 2)  # below that all is in one pixel
        kernel = kernel * np.expand_dims(taps, [a for a in range(ndim) if a != axis])
    return normalised(kernel)


def box(radius: int, *, ndim: int = 2) -> Kernel:
    """The mean of ``2 * radius + 1`` pixels along each of ``ndim`` axes.

    Raises
    ------
    RestoreError
        If ``radius`` is not a whole number of 0 or more, or the kernel would be huge.
    """
    check_ndim(ndim)
    if radius != int(radius) or radius < 0:
        raise RestoreError(f"a box of radius {radius} px: give a whole number of 0 or more.")
    shape = (2 * int(radius) + 1,) * ndim
    check_size(shape, f"a box of radius {radius} px")
    return normalised(np.ones(shape))


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
    turned = math.radians(angle % 180)
    along, across = math.cos(turned), math.sin(turned)
    radius = [
        math.ceil((length * abs(part) + abs(other) - 1) / 2) for part, other in ((across, along), (along, across))
    ]
    check_size([2 * r + 1 for r in radius], f"a motion of {length} px")
    y, x = np.meshgrid(*(np.arange(-r, r + 1) for r in radius), indexing="ij")
    near = np.abs(x * across + y * along) < 0.5 + math.sqrt(0.5)  # no part of another pixel is in the bar
    kernel = np.zeros(near.shape)
    kernel[near] = _covered(y[near], x[near], length, along, across)
    return trimmed(kernel, rim=0)


def _covered(y: NDArray[np.intp], x: NDArray[np.intp], length: float, along: float, across: float) -> Kernel:
    """How much of each pixel is in the bar, by samples in it."""
    per = 15  # odd, so that a sample lies on the pixel's centre and none on the edge of an upright bar
    inside = (np.arange(per) - per // 2) / per
    down, right = y[:, None, None] + inside[:, None], x[:, None, None] + inside
    within = (np.abs(right * along - down * across) <= length / 2) & (np.abs(right * across + down * along) <= 0.5)
    covered: Kernel = within.mean((1, 2))
    return covered

"""What the pixels themselves bear out of a prediction, place by place: of noise alone a network makes waves.

A blind-spot network predicts a pixel without having seen it, so that the pixel can bear witness. Where the image is
flat, the prediction's deviation from its own local mean is chance, and the noisy pixels do not follow it: their slope
on it is 0. Where there is structure, the slope is 1. The prediction keeps as much of its detail as lowers the error by
that slope (shrinkage by the signal's estimated share: Lee 1980, doi:10.1109/TPAMI.1980.4766994, with the prediction's
detail in place of the pixel's). In the same way the variance that it tells of itself is believed as far as pixels
differ by more than noise.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

STEP = 4  # pixels along Y and X that sums are kept of: windows are far larger
DETAIL, WINDOW = 4, 10  # sums from the middle of a window to its end: that detail is told by, and that is asked
REACH = STEP * (DETAIL + WINDOW) + 2 * (STEP + STEP // 2)
"""Pixels along Y and X by which one is determined."""

_LEAST = 1e-12


def borne_out(measured: Tensor, predicted: Tensor, variance: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
    """A prediction and its variance as far as the pixels bear them out.

    Sums begin at whole steps from the first pixel.

    Parameters
    ----------
    measured
        ``(..., Y, X)``, 0 where nothing was measured: these bear no witness.
    predicted, variance
        Of each pixel from the others, as ``measured``; the variance without that of the noise.
    noise
        Its variance at each pixel.

    Returns
    -------
    tuple of Tensor
        As ``predicted`` and ``variance``, in float32.
    """
    shape = predicted.shape
    y, p, v, n = (each.float().reshape(-1, 1, *shape[-2:]) for each in (measured, predicted, variance, noise))
    known = (y != 0).float()
    smooth = _fine(_sums(known * p, DETAIL) / _sums(known, DETAIL).clamp(min=_LEAST), p)
    detail = p - smooth
    power = _sums(known * detail.square(), WINDOW).clamp(min=_LEAST)
    slope = _sums(known * (y - smooth) * detail, WINDOW) / power
    chance = _sums(known * detail.square() * n, WINDOW, squared=True) / power.square()
    share = (1 - chance / slope.square().clamp(min=_LEAST)).clamp(0, 1) * (slope > 0)
    kept = smooth + _fine(share, p) * detail
    return kept.view(shape), (v * _fine(_believed(y - kept, v, n, known), p)).view(shape)


def _believed(left: Tensor, variance: Tensor, noise: Tensor, known: Tensor) -> Tensor:
    """The share of a variance by which pixels differ from their prediction beyond noise, and what chance may hide."""
    more = _sums(known * (left.square() - noise), WINDOW)
    hidden = (2 * _sums(known * noise.square(), WINDOW, squared=True)).sqrt()
    return ((more + hidden) / _sums(known * variance, WINDOW).clamp(min=_LEAST)).clamp(0, 1)


def _sums(pixels: Tensor, reach: int, *, squared: bool = False) -> Tensor:
    """In a pyramid about each square of ``STEP`` pixels, with weights of 1 and more, or with their squares."""
    beyond = (0, -pixels.shape[-1] % STEP, 0, -pixels.shape[-2] % STEP)
    coarse = F.avg_pool2d(F.pad(pixels, beyond), STEP) * STEP**2
    up = torch.arange(1, reach + 2, device=pixels.device, dtype=pixels.dtype)
    weights = torch.cat([up, up[:-1].flip(0)]) ** (2 if squared else 1)
    across = F.conv2d(coarse, weights.view(1, 1, 1, -1), padding=(0, reach))
    return F.conv2d(across, weights.view(1, 1, -1, 1), padding=(reach, 0))


def _fine(coarse: Tensor, pixels: Tensor) -> Tensor:
    """What is told of squares, told of pixels, along lines between the middles."""
    fine = F.interpolate(coarse, scale_factor=float(STEP), mode="bilinear", align_corners=False)
    return fine[..., : pixels.shape[-2], : pixels.shape[-1]]

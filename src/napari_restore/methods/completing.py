"""Missing pixels of patches from those that look alike: what a Gaussian of theirs expects, given what is known.

After Yu, Sapiro and Mallat 2012 (IEEE Transactions on Image Processing 21(5), doi:10.1109/TIP.2011.2176743, section
III) and Aguerrebere et al. 2017 (SIAM Journal on Imaging Sciences 10(4), doi:10.1137/16M1107668): patches are drawn
from a Gaussian, and a missing pixel is one with noise of no bounds. Theirs are Gaussians of clusters or of groups,
found in turns with the patches; here every group has its own, of the patches as they are filled so far.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from napari_restore.methods.device import one_thread
from napari_restore.methods.similar_patches import RADIUS, SIDE, correlation_in_a_patch, from_groups

PASSES = 2
"""Times that groups are made and missing pixels found by them."""

REACH = PASSES * RADIUS
"""Pixels along Y and X by which one is determined."""

_FAINT = 0.05  # of the variance of the noise: what structure is believed to have at the least where it is not seen
_PRIOR = 0.3  # of what all patches say, over what those of a group say
_EXACT = 1e-3  # of the variance: what is added to a covariance, and what known pixels err by at the least
_LEAST = 1e-8  # variance, in units of the image's: even patches have none
_STEPS = 6
_ABOUT = 8  # pixels to either side, whose mean is taken off before pixels are compared
_FAR = 100.0  # deviations; beyond, patches are not compared


def completed(
    pixels: Tensor,
    known: Tensor,
    filled: Tensor,
    *,
    noise: float | Tensor,
    correlation: Tensor,
    left: float = 1.0,
    denoise: bool = False,
) -> Tensor:
    """Planes with their missing pixels found anew, by patches that look alike.

    Parameters
    ----------
    pixels, known
        ``(..., Y, X)`` in units of the image's deviation, and bool of the same shape; 8 pixels along Y and X, or more.
        What is not known may be anything.
    filled
        As ``pixels``, with values for those that are missing; known ones with their noise, or with what is ``left``.
    noise
        Variance of the noise of known pixels, in these units, of all or of each; it is white.
    correlation
        Of the pixels of a patch with each other, ``(pixels, pixels)``, as ``believed`` gives it: what is taken for
        likely of patches before those of a group are seen.
    left
        Of the variance of the noise, what is in ``filled``: 1 where known pixels are as they were measured.
    denoise
        Whether known pixels are found anew, too, instead of left as they were measured.

    Returns
    -------
    Tensor
        As ``filled``, in float32. Where no patch with a known pixel tells of a pixel, it stays as it was.
    """
    shape = filled.shape
    given = torch.where(known, pixels, 0).float()
    variance = torch.as_tensor(noise, dtype=torch.float32, device=given.device).expand(shape)
    planes = (each.reshape(-1, *shape[-2:]) for each in (given, known, filled.float(), variance))
    with torch.autocast(filled.device.type, enabled=False), one_thread(filled.device) as threads:
        plane = partial(_plane, correlation=correlation.to(given), left=left, denoise=denoise, threads=threads)
        found = torch.stack([plane(*each) for each in zip(*planes, strict=True)]).view(shape)
    return found if denoise else torch.where(known, given, found)


def covariances(planes: Sequence[tuple[Tensor, Tensor, Tensor]]) -> NDArray[np.float64]:
    """Of known pixels, about the mean of what is around, by their distance along Y and X: ``(SIDE, SIDE)``.

    Parameters
    ----------
    planes
        Of ``completed``: pixels, known and filled, each ``(..., Y, X)``, in units of the image's deviation.
    """
    total, count = np.zeros((SIDE, SIDE)), np.zeros((SIDE, SIDE))
    for pixels, known, filled in planes:
        flat = filled.float().reshape(-1, 1, *filled.shape[-2:])
        around = F.avg_pool2d(flat, 2 * _ABOUT + 1, stride=1, padding=_ABOUT, count_include_pad=False)
        left = torch.where(known, pixels.float() - around.view(filled.shape), 0).clamp(-_FAR, _FAR)
        rows, columns = filled.shape[-2:]
        for dy, dx in np.ndindex(SIDE, SIDE):
            up, down, first, last = slice(rows - dy), slice(dy, rows), slice(columns - dx), slice(dx, columns)
            for one, other in ((first, last), (last, first)):  # aslant one way and the other
                total[dy, dx] += float((left[..., up, one] * left[..., down, other]).sum())
                count[dy, dx] += int((known[..., up, one] & known[..., down, other]).sum())
    found: NDArray[np.float64] = total / np.maximum(count, 1)
    return found


def correlations(covariance: NDArray[np.float64], noise: float) -> NDArray[np.float64]:
    """Of pixels at these distances, their noise, which is that of each alone, taken off: ``(SIDE, SIDE)``."""
    middle = max(covariance[0, 0] - noise, covariance[0, 1], covariance[1, 0], _LEAST)
    found: NDArray[np.float64] = np.clip(covariance / middle, -1, 1)
    found[0, 0] = 1
    return found


def believed(correlation: Sequence[Sequence[float]]) -> Tensor:
    """That of the pixels of a patch with each other, from that by their distance along Y and X."""
    apart = np.abs(np.arange(1 - SIDE, SIDE))
    return correlation_in_a_patch(np.asarray(correlation, np.float64)[apart[:, None], apart])


def _plane(
    given: Tensor,
    known: Tensor,
    filled: Tensor,
    noise: Tensor,
    *,
    correlation: Tensor,
    left: float,
    denoise: bool,
    threads: int,
) -> Tensor:
    """One plane ``(Y, X)``. What is known takes part in the next pass with its noise taken away, where it has any."""
    wanted = torch.ones_like(known) if denoise else ~known
    if not (bool(wanted.any()) and bool(known.any())):
        return filled

    def told(patches: Sequence[Tensor], far: Tensor, share: float) -> tuple[Tensor, Tensor]:
        measured, seen, so_far, variance = patches
        found = _expected(measured, seen, so_far, noise=variance, left=share, correlation=correlation)
        return found, seen.amax(-1, keepdim=True).expand_as(seen)

    planes = given, known.float()
    for number in range(PASSES):
        share = 0.0 if number else left
        total, count = from_groups(
            (*planes, filled, noise),
            partial(told, share=share),
            alike_in=filled.clamp(-_FAR, _FAR),
            wanted=wanted,
            threads=threads,
        )
        found = torch.where(count > 0, total / count.clamp(min=1), filled)
        filled = torch.where(known & (noise == 0), given, found)
    return filled


def _expected(
    measured: Tensor, known: Tensor, filled: Tensor, *, noise: Tensor, left: float, correlation: Tensor
) -> Tensor:
    """Patches ``(groups, ALIKE, pixels)`` by the mean and covariance of those that are filled, given what is known.

    The most probable patch z of a group solves ``(P + K) z = K y`` about the mean, where P is the inverse of the
    covariance and K that of the variance of the noise, 0 where a pixel is missing: of one P for all patches of a group.
    What is ``left`` of the variance of the noise in what is filled is no part of the covariance.
    """
    mean = filled.mean(1, keepdim=True)
    apart = filled - mean
    covariance = apart.transpose(1, 2) @ apart / filled.shape[1]
    power = covariance.diagonal(dim1=1, dim2=2).mean(1)[:, None, None] + _LEAST
    noisy = left * noise.mean((1, 2), keepdim=True)
    signal = (power - noisy).clamp(min=0).maximum(_FAINT * noisy)
    share = (signal / power).clamp(max=1)  # of what the patches vary by, that is no noise
    covariance = (share * covariance + (1 - share + _PRIOR) * signal * correlation) / (1 + _PRIOR)
    exact = covariance + _EXACT * power * torch.eye(SIDE**2, device=filled.device)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky_ex(exact).L)
    weight = known / (noise + _EXACT * power)
    diagonal = inverse.diagonal(dim1=1, dim2=2)[:, None] + weight

    def by(z: Tensor) -> Tensor:
        return torch.addcmul(z @ inverse, weight, z)

    return mean + _solved(by, diagonal, weight * (measured - mean), start=apart)


def _solved(by: Callable[[Tensor], Tensor], diagonal: Tensor, wanted: Tensor, *, start: Tensor) -> Tensor:
    """Conjugate gradients, preconditioned by the diagonal (Shewchuk 1994, section 12), of many systems at once."""
    x, left = start, wanted - by(start)
    way = near = left / diagonal
    size = (left * near).sum(-1, keepdim=True)
    for _ in range(_STEPS):
        moved = by(way)
        step = size / (way * moved).sum(-1, keepdim=True).clamp(min=1e-30)
        x, left = torch.addcmul(x, step, way), torch.addcmul(left, step, moved, value=-1)
        near, before = left / diagonal, size
        size = (left * near).sum(-1, keepdim=True)
        way = torch.addcmul(near, size / before.clamp(min=1e-30), way)
    return x

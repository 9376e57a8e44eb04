"""Missing pixels of patches from those that look alike: what a Gaussian of theirs expects, given what is known.

After Yu, Sapiro and Mallat 2012 (IEEE Transactions on Image Processing 21(5), doi:10.1109/TIP.2011.2176743, section
III) and Aguerrebere et al. 2017 (SIAM Journal on Imaging Sciences 10(4), doi:10.1137/16M1107668): patches are drawn
from a Gaussian, and a missing pixel is one with noise of no bounds. Theirs are Gaussians of clusters or of groups,
found in turns with the patches; here every group has its own, of the patches as they are filled so far.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from napari_restore.methods.similar_patches import RADIUS, SIDE, from_groups

PASSES = 2
"""Times that groups are made and missing pixels found by them."""

REACH = PASSES * RADIUS
"""Pixels along Y and X by which one is determined."""

_PRIOR = 0.3  # of what all patches say, over what those of a group say
_EXACT = 1e-3  # of the variance: what is added to a covariance, and what known pixels err by at the least
_LEAST = 1e-8  # variance, in units of the image's: even patches have none
_STEPS = 6
_FAR = 100.0  # deviations; beyond, patches are not compared


def completed(pixels: Tensor, known: Tensor, filled: Tensor, *, noise: float, correlation: Tensor) -> Tensor:
    """Planes with their missing pixels found anew, by patches that look alike.

    Parameters
    ----------
    pixels, known
        ``(..., Y, X)`` in units of the image's deviation, and bool of the same shape; 8 pixels along Y and X, or more.
        What is not known may be anything.
    filled
        As ``pixels``, with values for those that are missing.
    noise
        Variance of the noise of known pixels, in these units; it is white.
    correlation
        Of the pixels of a patch with each other, ``(pixels, pixels)``, as ``correlation_in_a_patch`` gives it: what is
        believed of patches before any are seen.

    Returns
    -------
    Tensor
        As ``filled``, in float32. Where no patch with a known pixel tells of a missing one, it stays as it was.
    """
    shape = filled.shape
    given = torch.where(known, pixels, 0).float()
    planes = (each.reshape(-1, *shape[-2:]) for each in (given, known, filled.float()))
    with torch.autocast(filled.device.type, enabled=False):
        found = torch.stack([_plane(*each, noise, correlation.to(given)) for each in zip(*planes, strict=True)])
    return torch.where(known, given, found.view(shape))


def _plane(given: Tensor, known: Tensor, filled: Tensor, noise: float, correlation: Tensor) -> Tensor:
    """One plane ``(Y, X)``. What is known takes part in the next pass with its noise taken away, where it has any."""
    missing, there = ~known, known.float()
    if not (bool(missing.any()) and bool(known.any())):
        return filled

    def told(patches: Sequence[Tensor], far: Tensor) -> tuple[Tensor, Tensor]:
        measured, seen, so_far = patches
        return _expected(measured, seen, so_far, noise, correlation), seen.amax(-1, keepdim=True).expand_as(seen)

    for _ in range(PASSES):
        total, count = from_groups((given, there, filled), told, alike_in=filled.clamp(-_FAR, _FAR), wanted=missing)
        found = torch.where(count > 0, total / count.clamp(min=1), filled)
        filled = found if noise > 0 else torch.where(known, given, found)
    return filled


def _expected(measured: Tensor, known: Tensor, filled: Tensor, noise: float, correlation: Tensor) -> Tensor:
    """Patches ``(groups, ALIKE, pixels)`` by the mean and covariance of those that are filled, given what is known.

    The most probable patch z of a group solves ``(P + K) z = K y`` about the mean, where P is the inverse of the
    covariance and K that of the variance of the noise, 0 where a pixel is missing: of one P for all patches of a group.
    """
    mean = filled.mean(1, keepdim=True)
    apart = filled - mean
    covariance = apart.transpose(1, 2) @ apart / filled.shape[1]
    power = covariance.diagonal(dim1=1, dim2=2).mean(1)[:, None, None] + _LEAST
    covariance = (covariance + _PRIOR * power * correlation) / (1 + _PRIOR)
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

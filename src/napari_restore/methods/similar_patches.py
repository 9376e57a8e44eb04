"""What patches that resemble each other tell of each: the second step of non-local Bayes, after a first restoration.

Lebrun, Buades and Morel 2013 (SIAM Journal on Imaging Sciences 6(3), doi:10.1137/120874989), section 4, with any first
restoration in place of theirs: patches of the restored image that look alike have a mean and a covariance, and the
noisy ones are filtered by these as Wiener's filter does. A network of some thousand weights sees neither a structure
that comes again farther away than it looks, nor one that only this image has; this does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from napari_restore.core.events import Note
from napari_restore.methods.device import one_thread, side_by_side
from napari_restore.sources import Image

SIDE = 5  # pixels of a patch along Y and X
REACH = 7  # pixels that others lie away, at the most, along Y and X
RADIUS = 2 * REACH + SIDE - 1
"""Pixels along Y and X by which one is determined: its patches, those they are alike to, and where these look."""

_AT_ONCE = 256  # patches whose groups are held in memory, some 10 MB: more are no faster


@dataclass(frozen=True)
class Groups:
    """How many groups there are, and of how many patches.

    Attributes
    ----------
    step
        Pixels from one patch that others are looked for to the next; at most ``SIDE``, so that none lies between.
    alike
        Patches that make a group, itself among them.
    """

    step: int = 4
    alike: int = 24

    @property
    def full(self) -> int:
        """Pixels along Y and X of a plane of which no more groups are held at once, however large it is."""
        return self.step * math.isqrt(_AT_ONCE)


THOROUGH = Groups()
QUICK = Groups(step=5, alike=16)
"""Half the time: 0.02 dB below ``THOROUGH`` on eight natural pictures."""

_EXACT = 1e-5  # of the mean variance: what is added to each, so that no rounding makes a covariance negative
_LEAST_SHARE = 1e-12  # of a patch in its group: the root of 0 has no gradient
_LEAST_POWER = 1e-3  # of white noise's, of what noise that neighbours share lacks
_OUTSIDE = 1e9  # instead of pixels there are not; infinity has no gradient
_BESIDE = 1e6  # squared distance, in units of the noise, of what lies outside

Noise = Callable[[Tensor], Tensor]
"""Gives the variance of the noise at a signal."""

Choice = Literal["auto", "yes", "no"]
"""Whether they are looked for; ``auto`` is where it pays."""

Told = Callable[[Sequence[Tensor], Tensor], tuple[Tensor, Tensor]]
"""Gives new patches ``(groups, alike, pixels)`` and how much each of their pixels counts.

They are made of such patches of some planes, and of the mean squares, ``(groups, alike)``, of what each patch differs
by from the first of its group.
"""


def unless_large(
    asked: Choice, images: Sequence[Image], *, most: int, minutes: Callable[[int], str]
) -> tuple[Choice, tuple[Note, ...]]:
    """What is asked for, but none unasked in images of over ``most`` pixels, and what is then said of it.

    ``minutes`` says how long so many pixels would take.
    """
    count = sum(math.prod(image.shape) for image in images)
    if asked != "auto" or count <= most:
        return asked, ()
    text = f"patches that look alike are not looked for in {count / 1e6:.0f} million pixels: `similar` yes does it"
    return "no", (Note(f"{text}, in {minutes(count)} minutes of one core"),)


def by_similar_patches(
    measured: Tensor,
    restored: Tensor,
    noise: Noise,
    *,
    alike_in: Tensor,
    spread: float,
    correlation: Tensor | None = None,
    unread: tuple[int, ...] = (0, 0),
    groups: Groups = THOROUGH,
) -> Tensor:
    """Planes restored once more, each patch by those that look alike.

    Sizes were set on four fluorescence images of 512 x 512 pixels and on eight natural ones; patches of 6 or 7
    pixels, 32 of them, up to 15 pixels away gain 0.05 dB at the most, and take two to five times as long.

    Parameters
    ----------
    measured, restored
        ``(..., Y, X)`` with noise, and as restored so far; 16 pixels along Y and X, or more.
    noise
        Gives the variance of the noise where the image without it is so bright.
    alike_in
        As ``restored``, in units in which the noise has a variance of about 1 everywhere: patches are compared there.
    spread
        Mean square, in these units, that patches differ by for one to count 1 / e of what the patch itself does. Where
        none is as near, a patch stays as it is restored.
    correlation
        Of the noise of a patch's pixels with each other's, as ``correlation_in_a_patch`` gives it; None for white.
    unread
        Pixels at either end along Y and X that nobody asks for: what is alike to patches of these alone is not looked
        for, which saves a third of the time of a tile of 256 pixels.
    groups
        How thoroughly they are looked for.

    Returns
    -------
    Tensor
        As ``restored``, on the same device, in float32; of any value where it is not asked for.
    """
    shape = restored.shape
    planes = (each.float().reshape(-1, *shape[-2:]) for each in (measured, restored, alike_in))
    with torch.autocast(restored.device.type, enabled=False), one_thread(restored.device) as threads:
        told = partial(_told, noise=noise, spread=spread, correlation=correlation)
        plane = partial(_one_plane, told=told, unread=unread, groups=groups, threads=threads)
        return torch.stack([plane(*each) for each in zip(*planes, strict=True)]).view(shape)


def correlation_in_a_patch(correlation: NDArray[np.float64]) -> Tensor:
    """Of each pixel's noise with every other's, ``(pixels, pixels)``, from that with those around, 1 in its middle."""
    middle = len(correlation) // 2
    rows, columns = (each.ravel() for each in np.indices((SIDE, SIDE)))
    apart = [middle + np.clip(each[:, None] - each, -middle, middle) for each in (rows, columns)]
    found = correlation[apart[0], apart[1]]
    values, vectors = np.linalg.eigh((found + found.T) / 2)  # chance makes some negative
    return torch.from_numpy((vectors * values.clip(_LEAST_POWER)) @ vectors.T).float()


def from_groups(
    planes: Sequence[Tensor],
    told: Told,
    *,
    alike_in: Tensor,
    wanted: Tensor | None = None,
    unread: tuple[int, ...] = (0, 0),
    groups: Groups = THOROUGH,
    threads: int = 1,
) -> tuple[Tensor, Tensor]:
    """What groups of patches that look alike tell of the pixels of a plane.

    Patches begin at whole steps from the first pixel, and cover what is mirrored around the plane.

    Parameters
    ----------
    planes
        Each ``(Y, X)``, 8 pixels along Y and X or more: ``told`` is shown their patches.
    told
        Gives new patches by those of a group.
    alike_in
        ``(Y, X)``: patches are compared in it.
    wanted
        ``(Y, X)`` bool: groups are made for the patches that have one of these pixels; None for all patches.
    unread, groups
        As in ``by_similar_patches``.
    threads
        That look for them side by side in strips of the plane, which changes no bit, inside of ``one_thread``.

    Returns
    -------
    tuple of Tensor
        The sum of all that is told of each pixel, by how much it counts, and the sum of the latter.
    """
    rows, columns = alike_in.shape
    step = groups.step
    after = [step + (SIDE - n) % step for n in (rows, columns)]
    margin = (step, after[1], step, after[0])
    s, *shown = (F.pad(each[None, None], margin, mode="reflect")[0, 0] for each in (alike_in, *planes))
    chosen = None if wanted is None else F.pad(wanted[None, None].float(), margin, mode="reflect")[0, 0]
    around = F.pad(s, (REACH,) * 4, value=_OUTSIDE)
    total, count = torch.zeros_like(s), torch.zeros_like(s)
    within = torch.arange(SIDE, device=s.device)
    patch = (within[:, None] * s.shape[1] + within).flatten()
    down, across = (_asked_for(n, beyond, step) for n, beyond in zip(s.shape, unread, strict=True))

    def strip(some: range) -> tuple[Tensor, Tensor, Tensor] | None:
        alike = _groups(around, chosen, some, across, groups.alike)
        if alike is None:
            return None
        corners, near = alike
        at = corners[..., None] + patch
        flat = at.flatten()  # of which numbers are taken in a third of the time that places along axes take
        seen, *patches = (each.flatten().index_select(0, flat).view(at.shape) for each in (s, *shown))
        far = (seen - seen[:, :1]).square_().mean(-1).masked_fill_(~near, _BESIDE)
        found, weight = told(patches, far)
        return flat, (weight * found).flatten(), weight.flatten()

    together = max(1, _AT_ONCE // len(across))
    strips = [down[n : n + together] for n in range(0, len(down), together)]
    for flat, found, weight in filter(None, side_by_side(strip, strips, threads=threads)):
        total.view(-1).scatter_add_(0, flat, found)
        count.view(-1).scatter_add_(0, flat, weight)
    inner = slice(step, step + rows), slice(step, step + columns)
    return total[inner], count[inner]


def _one_plane(
    measured: Tensor,
    restored: Tensor,
    alike_in: Tensor,
    *,
    told: Told,
    unread: tuple[int, ...],
    groups: Groups,
    threads: int,
) -> Tensor:
    total, count = from_groups(
        (measured, restored), told, alike_in=alike_in, unread=unread, groups=groups, threads=threads
    )
    return torch.where(count > 0, total / count, restored) if any(unread) else total / count


def _told(
    patches: Sequence[Tensor], far: Tensor, *, noise: Noise, spread: float, correlation: Tensor | None
) -> tuple[Tensor, Tensor]:
    noisy, known = patches
    weight = (-far / spread).exp()[..., None]
    share = weight / weight.sum(1, keepdim=True)
    mean = (share * known).sum(1, keepdim=True)
    apart, variance = share.clamp(min=_LEAST_SHARE).sqrt() * (known - mean), noise(mean)
    rounding = _EXACT * apart.square().sum((1, 2), keepdim=True) / known.shape[2]
    if correlation is None:
        unlike = _unlike(noisy - mean, apart, variance + rounding)
        return noisy - variance * unlike, weight.expand_as(noisy)
    deviation = variance.sqrt()
    shared = deviation.transpose(1, 2) * correlation.to(known) * deviation
    signal = apart.transpose(1, 2) @ apart + torch.diag_embed(rounding[:, 0].expand(-1, known.shape[2]))
    factor = torch.linalg.cholesky_ex(signal + shared).L  # waits for nothing
    return noisy - (noisy - mean) @ torch.cholesky_inverse(factor) @ shared, weight.expand_as(noisy)


def _unlike(y: Tensor, apart: Tensor, variance: Tensor) -> Tensor:
    """Patches ``(groups, alike, pixels)`` by the inverse of a covariance (their eq. 21), in which noise is white.

    That is ``variance`` on its diagonal and the sum of products of what patches are ``apart`` by. These are fewer than
    a patch has pixels, so that the matrix of their products with each other is inverted (Woodbury's identity): with the
    noise's part taken off, instead of the signal's part taken over, it is exact where there is little noise.
    """
    shown = apart / variance
    alike = torch.baddbmm(torch.eye(y.shape[1], device=y.device), shown, apart.transpose(1, 2))
    inverse = torch.cholesky_inverse(torch.linalg.cholesky_ex(alike).L)  # waits for nothing
    return y / variance - (y @ shown.transpose(1, 2)) @ inverse @ shown


def _asked_for(length: int, unread: int, step: int) -> range:
    """Where patches begin along an axis of mirrored planes that take part in what is asked for, with what is alike."""
    far = REACH + SIDE - 1 - step
    return range(max(0, step * math.ceil((unread - far) / step)), min(length - SIDE, length + far - unread) + 1, step)


def _groups(
    around: Tensor, wanted: Tensor | None, down: range, across: range, alike: int
) -> tuple[Tensor, Tensor] | None:
    """First pixels of the patches that are alike, ``(groups, alike)``, counted along rows; None where there are none.

    The first of each group begins at a row of ``down`` and a column of ``across``. Groups that no pixel is ``wanted``
    of, which is 0 or 1, are not looked for. ``around`` is the plane with what lies outside. Beside them whether each is
    there, and not beyond the border.
    """
    rows, columns = (n - 2 * REACH for n in around.shape)
    left, wide = across[0], across[-1] - across[0] + SIDE
    step, area, first, last = down.step, SIDE + 2 * REACH, down[0], down[-1]
    seen = around[first : last + area, left : left + wide + 2 * REACH]
    areas = seen.unfold(0, area, step).unfold(1, area, step).flatten(0, 1)
    ys = torch.arange(first, last + 1, step, device=around.device).repeat_interleave(len(across))
    xs = (left + step * torch.arange(len(across), device=around.device)).repeat(len(down))
    if wanted is not None:
        chosen = _any_in_patches(wanted[first : last + SIDE, left : left + wide], step)
        if not len(chosen):
            return None
        areas, ys, xs = areas[chosen], ys[chosen], xs[chosen]
    distances, nearest = _distances(areas).topk(alike, 1, largest=False)
    dy, dx = nearest // (2 * REACH + 1) - REACH, nearest % (2 * REACH + 1) - REACH
    # Where hardly anything is as near as what lies outside, or no number, that is chosen, too: it counts nothing.
    ys, xs = (ys[:, None] + dy).clamp(0, rows - SIDE), (xs[:, None] + dx).clamp(0, columns - SIDE)
    return ys * columns + xs, distances < _BESIDE


def _any_in_patches(wanted: Tensor, step: int) -> Tensor:
    """The numbers of the patches of a strip that have any of these pixels."""
    return F.max_pool2d(wanted[None, None], SIDE, step).flatten().nonzero()[:, 0]


def _distances(areas: Tensor) -> Tensor:
    """Mean squares of what the patch amid each area differs by from those around, ``(areas, moves)``; its own is first.

    As the squares of both less twice their product, which is a convolution: a third of the time that differences take.
    Relative to the pixel in the middle, so that few digits are lost: enough to choose by.
    """
    middle = areas.shape[-1] // 2
    around = areas - areas[:, middle, middle][:, None, None]
    own = around[:, REACH : REACH + SIDE, REACH : REACH + SIDE]
    products = F.conv2d(around[None], own[:, None], groups=len(areas))[0]
    moves = 2 * REACH + 1
    down = _summed([around[:, n : n + moves].square() for n in range(SIDE)])
    squares = _summed([down[..., n : n + moves] for n in range(SIDE)])
    found = (squares + squares[:, REACH, REACH][:, None, None] - 2 * products) / SIDE**2
    found[:, REACH, REACH] = -1
    return found.flatten(1)


def _summed(parts: Sequence[Tensor]) -> Tensor:
    total = parts[0] + parts[1]
    for part in parts[2:]:
        total += part
    return total

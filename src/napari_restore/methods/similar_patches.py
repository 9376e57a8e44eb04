"""What patches that resemble each other tell of each: the second step of non-local Bayes, after a first restoration.

Lebrun, Buades and Morel 2013 (SIAM Journal on Imaging Sciences 6(3), doi:10.1137/120874989), section 4, with any first
restoration in place of theirs: patches of the restored image that look alike have a mean and a covariance, and the
noisy ones are filtered by these as Wiener's filter does. A network of some thousand weights sees neither a structure
that comes again farther away than it looks, nor one that only this image has; this does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from napari_restore.core.events import Note
from napari_restore.sources import Image

SIDE = 5  # pixels of a patch along Y and X
STEP = 4  # pixels from one patch that others are looked for to the next
REACH = 7  # pixels that others lie away, at the most, along Y and X
ALIKE = 24  # patches that make a group, itself among them
RADIUS = 2 * REACH + SIDE - 1
"""Pixels along Y and X by which one is determined: its patches, those they are alike to, and where these look."""

_AT_ONCE = 256  # patches whose groups are held in memory, some 10 MB: more are no faster
FULL = STEP * math.isqrt(_AT_ONCE)
"""Pixels along Y and X of a plane that has so many: of larger ones no more groups are held at once."""

_EXACT = 1e-5  # of the mean variance: what is added to each, so that no rounding makes a covariance negative
_LEAST_POWER = 1e-3  # of white noise's, of what noise that neighbours share lacks
_OUTSIDE = 1e9  # instead of pixels there are not; infinity has no gradient
_BESIDE = 1e6  # squared distance, in units of the noise, of what lies outside

Noise = Callable[[Tensor], Tensor]
"""Gives the variance of the noise at a signal."""

Choice = Literal["auto", "yes", "no"]
"""Whether they are looked for; ``auto`` is where it pays."""

Told = Callable[[Sequence[Tensor], Tensor], tuple[Tensor, Tensor]]
"""Gives new patches ``(groups, ALIKE, pixels)`` and how much each of their pixels counts.

They are made of such patches of some planes, and of the mean squares, ``(groups, ALIKE)``, of what each patch differs
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

    Returns
    -------
    Tensor
        As ``restored``, on the same device, in float32; of any value where it is not asked for.
    """
    shape = restored.shape
    planes = (each.float().reshape(-1, *shape[-2:]) for each in (measured, restored, alike_in))
    with torch.autocast(restored.device.type, enabled=False):
        plane = partial(_one_plane, noise=noise, spread=spread, correlation=correlation, unread=unread)
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
    unread
        As in ``by_similar_patches``.

    Returns
    -------
    tuple of Tensor
        The sum of all that is told of each pixel, by how much it counts, and the sum of the latter.
    """
    rows, columns = alike_in.shape
    after = [STEP + (SIDE - n) % STEP for n in (rows, columns)]
    margin = (STEP, after[1], STEP, after[0])
    s, *shown = (F.pad(each[None, None], margin, mode="reflect")[0, 0] for each in (alike_in, *planes))
    chosen = None if wanted is None else F.pad(wanted[None, None].float(), margin, mode="reflect")[0, 0]
    total, count = torch.zeros_like(s), torch.zeros_like(s)
    within = torch.arange(SIDE, device=s.device)
    patch = (within[:, None] * s.shape[1] + within).flatten()
    asked_for = [_asked_for(n, beyond) for n, beyond in zip(s.shape, unread, strict=True)]
    for corners, far in _groups(s, chosen, *asked_for):
        at = corners[..., None] + patch
        found, weight = told([each.flatten()[at] for each in shown], far)
        total.view(-1).index_add_(0, at.flatten(), (weight * found).flatten())
        count.view(-1).index_add_(0, at.flatten(), weight.flatten())
    inner = slice(STEP, STEP + rows), slice(STEP, STEP + columns)
    return total[inner], count[inner]


def _one_plane(
    measured: Tensor,
    restored: Tensor,
    alike_in: Tensor,
    *,
    noise: Noise,
    spread: float,
    correlation: Tensor | None,
    unread: tuple[int, ...],
) -> Tensor:
    def told(patches: Sequence[Tensor], far: Tensor) -> tuple[Tensor, Tensor]:
        noisy, known = patches
        weight = (-far / spread).exp()[..., None].expand_as(noisy)
        return _filtered(noisy, known, weight, noise, correlation), weight

    total, count = from_groups((measured, restored), told, alike_in=alike_in, unread=unread)
    return torch.where(count > 0, total / count, restored) if any(unread) else total / count


def _asked_for(length: int, unread: int) -> range:
    """Where patches begin along an axis of mirrored planes that take part in what is asked for, with what is alike."""
    far = REACH + SIDE - 1 - STEP
    return range(max(0, STEP * math.ceil((unread - far) / STEP)), min(length - SIDE, length + far - unread) + 1, STEP)


def _groups(s: Tensor, wanted: Tensor | None, down: range, across: range) -> Iterator[tuple[Tensor, Tensor]]:
    """First pixels of the patches that are alike, ``(groups, ALIKE)``, counted along rows, of some groups at a time.

    Beside them the mean squares of what they differ by from the first of each group, which begins at a row of ``down``
    and a column of ``across``. Groups that no pixel is ``wanted`` of, which is 0 or 1, are not looked for.
    """
    (rows, columns), left, wide = s.shape, across[0], across[-1] - across[0] + SIDE
    together = max(1, _AT_ONCE // len(across))
    around = F.pad(s, (REACH,) * 4, value=_OUTSIDE)[:, left : left + wide + 2 * REACH]
    for some in (down[n : n + together] for n in range(0, len(down), together)):
        first, last = some[0], some[-1]
        within = slice(first, last + SIDE), slice(left, left + wide)
        chosen = None if wanted is None else _any_in_patches(wanted[within])
        if chosen is not None and not len(chosen):
            continue
        own = s[within]
        moved = around[first : last + SIDE + 2 * REACH].unfold(1, wide, 1)  # (rows, moves along X, columns)
        far = _distances(own, moved)
        distances, nearest = (far if chosen is None else far[chosen]).topk(ALIKE, 1, largest=False)
        dy, dx = nearest // (2 * REACH + 1) - REACH, nearest % (2 * REACH + 1) - REACH
        ys = torch.arange(first, last + 1, STEP, device=s.device).repeat_interleave(len(across))
        xs = (left + STEP * torch.arange(len(across), device=s.device)).repeat(len(some))
        ys, xs = (ys, xs) if chosen is None else (ys[chosen], xs[chosen])
        # Where hardly anything is as near as what lies outside, or no number, that is chosen, too: it counts nothing.
        ys, xs = (ys[:, None] + dy).clamp(0, rows - SIDE), (xs[:, None] + dx).clamp(0, columns - SIDE)
        yield ys * columns + xs, distances


def _any_in_patches(wanted: Tensor) -> Tensor:
    """The numbers of the patches of a strip that have any of these pixels."""
    return F.max_pool2d(wanted[None, None], SIDE, STEP).flatten().nonzero()[:, 0]


def _distances(own: Tensor, moved: Tensor) -> Tensor:
    """Mean squares of what each patch differs by from those that lie moved, ``(patches, moves)``: along X first.

    Sums along Y come first, and of few: pooling by the library takes three times as long.
    """
    rows = len(own)
    squares = ((moved[dy : dy + rows] - own[:, None]).square_().clamp_(max=_BESIDE) for dy in range(2 * REACH + 1))
    down = torch.cat([_summed([each[n : rows - SIDE + 1 + n : STEP] for n in range(SIDE)]) for each in squares], 1)
    wide = own.shape[1] - SIDE + 1
    found = _summed([down[..., n : wide + n : STEP] for n in range(SIDE)])
    return found.transpose(1, 2).flatten(0, 1) / SIDE**2


def _summed(parts: Sequence[Tensor]) -> Tensor:
    total = parts[0] + parts[1]
    for part in parts[2:]:
        total += part
    return total


def _filtered(y: Tensor, x: Tensor, weight: Tensor, noise: Noise, correlation: Tensor | None) -> Tensor:
    """Noisy patches ``(groups, ALIKE, pixels)`` by the mean and covariance of restored ones (their eq. 21)."""
    share = weight / weight.sum(1, keepdim=True)
    mean = (share * x).sum(1, keepdim=True)
    apart = x - mean
    deviation = noise(mean).sqrt()
    if correlation is None:
        noisy = torch.diag_embed(deviation[:, 0].square())
    else:
        noisy = deviation.transpose(1, 2) * correlation.to(x) * deviation
    covariance = (share * apart).transpose(1, 2) @ apart
    rounding = _EXACT * covariance.diagonal(dim1=1, dim2=2).mean(1, keepdim=True).expand(-1, x.shape[2])
    factor = torch.linalg.cholesky_ex(covariance + noisy + torch.diag_embed(rounding)).L  # waits for nothing
    # The noise's part is taken off, instead of the signal's part taken over: exact where there is little noise.
    unlike = (y - mean) @ torch.cholesky_inverse(factor)
    filtered: Tensor = y - (deviation.square() * unlike if correlation is None else unlike @ noisy)
    return filtered

"""Richardson-Lucy deconvolution by any operator: one update after the other, for whoever says when it is enough."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import torch
from torch import Tensor

from napari_restore.operators.blur import mirrored
from napari_restore.operators.operator import Operator

Prior = Literal["total_variation", "hessian"]
"""What a weight is the price of: steps from pixel to pixel, or changes of slope."""

LEAST_SEEN = 1e-6
"""Of what a measured value may be divided by, and of how well a fine pixel may be seen, of the usual."""

_EDGE = 0.1
"""Photons from pixel to pixel from which on a step counts as an edge: total variation has no gradient at 0."""

_STABLE, _STABLE_BENT = 4.0, 16.0
"""The largest square of a first and of a second difference, along one axis."""

_LEAST_CURB = 0.2
"""Of what the prior divides an update by: as in the original, a heavy weight must not turn its sign."""


def richardson_lucy(
    y: Tensor,
    operator: Operator,
    *,
    start: Tensor,
    weight: float = 0.0,
    prior: Prior = "total_variation",
    background: float = 0.0,
    accelerated: bool = False,
) -> Iterator[Tensor]:
    """The estimates of Richardson and Lucy (1972, doi:10.1364/JOSA.62.000055; 1974, doi:10.1086/111605), endlessly.

    ``x <- x A'(y / (A x + background)) / A'1 / (1 - weight div(grad x / |grad x|))``: each update makes ``y``, photons
    with Poisson noise, more likely to come from ``x``, with a price on the total variation of ``x`` (Dey et al. 2006,
    doi:10.1002/jemt.20294, eq. 13), or on how much it bends.

    Parameters
    ----------
    y
        What was measured, ``(B, C, *S)``, none below 0; in photons where there is a ``weight``.
    operator
        From the fine grid to that of ``y``.
    start
        The first ``x``, ``(B, C, *(S * rate))``, above 0 everywhere. Fine pixels that no measured one sees keep it.
    weight
        Of the prior against the likelihood, 0 or more.
    prior
        ``"total_variation"`` makes flat patches with sharp edges; ``"hessian"``, the sum of the Frobenius norms of the
        second derivatives, slopes without steps (Lefkimmiatis, Bourquard, Unser 2012, doi:10.1109/TIP.2011.2168232).
    background
        Photons that every measured pixel has besides those of ``x``, 0 or more.
    accelerated
        Whether each update sets out from where the last two lead to, ``x + a (x - before)`` (Biggs and Andrews 1997,
        doi:10.1364/AO.36.001766): some three times fewer updates. Their ``a`` is told by the updates of the whole
        image, which would differ from tile to tile; here it is that of Nesterov (1983), ``(k - 1) / (k + 2)`` in the
        k-th update, for every image.

    Yields
    ------
    Tensor
        ``x`` after one more update; not to be changed.
    """
    seen = operator.adjoint(torch.ones_like(y))
    unseen = seen < LEAST_SEEN * seen.amax()
    blind = unseen if bool(unseen.any()) else None
    seen = torch.where(unseen, 1, seen)
    least = LEAST_SEEN * float(start.mean())  # of the start: it is the same for every tile
    update = _Update(y, operator, seen, least, weight, prior, background)
    x = before = start
    done = 0
    while True:
        onward = 1 + (done - 1) / (done + 2) if accelerated and done > 1 else 1.0
        # In a call of its own, so that while the next one is waited for nothing but its result takes memory.
        before, x = x, update.of(x, before, onward)
        x = x if blind is None else torch.where(blind, start, x)
        done += 1
        yield x


@dataclass(frozen=True, eq=False)
class _Update:
    """What all updates of one image have in common; ``least`` is what an estimate is above, everywhere."""

    y: Tensor
    operator: Operator
    seen: Tensor
    least: float
    weight: float
    prior: Prior
    background: float

    def of(self, x: Tensor, before: Tensor, onward: float) -> Tensor:
        """The next estimate, from where the last two lead to."""
        least = self.least
        ahead = torch.lerp(before, x, onward).clamp_(min=least) if onward != 1 else x
        # Operators with negative lobes give values below 0, which the update has no meaning for.
        expected = (self.operator(ahead) + self.background).clamp_(min=least)
        change = self.operator.adjoint(torch.div(self.y, expected, out=expected)).div_(self.seen).clamp_(min=0)
        if self.weight > 0:
            change.div_(CURBS[self.prior](ahead, self.weight).mul_(-self.weight).add_(1).clamp_(min=_LEAST_CURB))
        return change.mul_(ahead)


def curb(x: Tensor, weight: float) -> Tensor:
    """``div(grad x / |grad x|)`` of ``(B, C, *S)``: minus the gradient of the total variation; mirrored at the border.

    The length of the gradient is that of the steps to both sides, so that a mirrored image is curbed to a mirrored one.
    Steps that are small beside what one update of this ``weight`` moves a pixel by count as none: where it is flat, the
    update would overshoot otherwise, and go on from one side to the other for ever.
    """
    steps = {axis: x.diff(dim=axis) for axis in range(2, x.ndim) if x.shape[axis] > 1}
    square = x.mul(_STABLE * len(steps) * weight).square_().add_(_EDGE**2)
    for axis, step in steps.items():
        n = step.shape[axis]
        for first in (0, 1):
            square.narrow(axis, first, n).addcmul_(step, step, value=0.5)
            square.narrow(axis, first * n, 1).addcmul_(*[step.narrow(axis, first * (n - 1), 1)] * 2, value=0.5)
    inverse = square.rsqrt_()
    total = torch.zeros_like(x)
    for axis, step in steps.items():
        n = step.shape[axis]
        flux = step.mul_(inverse.narrow(axis, 0, n) + inverse.narrow(axis, 1, n)).mul_(0.5)
        for first, sign in ((0, 1), (1, -1)):
            total.narrow(axis, first, n).add_(flux, alpha=sign)
            total.narrow(axis, first * n, 1).add_(flux.narrow(axis, first * (n - 1), 1), alpha=sign)
    return total


def bend(x: Tensor, weight: float) -> Tensor:
    """Minus the gradient of the sum of ``|H x|`` over ``(B, C, *S)``, mirrored at the border.

    ``H`` holds the second differences to the neighbours, along two axes those of the four diagonal ones, so that a
    mirrored image is bent to a mirrored one; ``| |`` is the Frobenius norm (Lefkimmiatis, Bourquard, Unser 2012,
    doi:10.1109/TIP.2011.2168232). What is small beside what one update of this ``weight`` moves counts as none.
    """
    axes = [axis for axis in range(2, x.ndim) if x.shape[axis] > 1]
    pairs = [*((a, a, 1.0) for a in axes), *((a, b, 2.0) for a, b in combinations(axes, 2))]
    wide = mirrored(x, (2,) * (x.ndim - 2))
    square = _inner(wide).mul(_STABLE_BENT * len(axes) * weight).square_().add_(_EDGE**2)
    for a, b, count in pairs:
        square.add_(_second(wide, a, b).square_(), alpha=count)
    inverse = square.rsqrt_()
    total = torch.zeros_like(x)
    for a, b, count in pairs:  # made again: to keep all of them would be most of the memory
        total.sub_(_second(_second(wide, a, b).mul_(inverse), a, b), alpha=count)
    return total


def _second(x: Tensor, a: int, b: int) -> Tensor:
    """The second difference along ``a`` and ``b``, one pixel less on every side."""
    if a == b:
        return (_inner(x, {a: 1}) + _inner(x, {a: -1})).sub_(_inner(x), alpha=2)
    rising = _inner(x, {a: 1, b: 1}) + _inner(x, {a: -1, b: -1})
    return rising.sub_(_inner(x, {a: 1, b: -1})).sub_(_inner(x, {a: -1, b: 1})).mul_(0.25)


def _inner(x: Tensor, moved: Mapping[int, int] | None = None) -> Tensor:
    """Without the outermost pixels, moved by one along some axes."""
    for axis in range(2, x.ndim):
        x = x.narrow(axis, 1 + (moved or {}).get(axis, 0), x.shape[axis] - 2)
    return x


CURBS = {"total_variation": curb, "hessian": bend}
"""How each prior moves a pixel."""

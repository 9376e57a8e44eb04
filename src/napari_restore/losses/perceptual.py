"""How unlike two images look: the distance of their features, and whether a network can tell them apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_restore.losses.sure import mean_of

See = Callable[[Tensor], Sequence[Tensor]]
"""Planes ``(N, 1, Y, X)`` as maps of features ``(N, F, y, x)``, one for each level."""


def perceptual(see: See, given: Tensor, wanted: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """Mean squared distance of features, over levels (Johnson et al. 2016, doi:10.1007/978-3-319-46475-6_43, eq. 2).

    Parameters
    ----------
    see
        Gives the features.
    given, wanted
        ``(N, 1, Y, X)`` in units of the image's deviation; no gradient goes to what is wanted.
    weight
        ``(N, 1, Y, X)``: what counts; features are taken to lie where they are by their share of the side.
    """
    mine = see(given)
    with torch.no_grad():
        theirs = see(wanted.detach())
    counted = torch.ones_like(given) if weight is None else weight.to(given.dtype)
    each = [
        mean_of((a - b).square(), F.interpolate(counted, size=a.shape[2:])) for a, b in zip(mine, theirs, strict=True)
    ]
    return torch.stack(each).mean()


def adversarial(judge: nn.Module, given: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Losses of the one that restores, and of the one that judges (Goodfellow et al. 2014, arXiv:1406.2661, sec. 3).

    The first has its gradient by ``given`` alone, the second by the weights of the judge alone: their sum may be
    minimised by one optimiser.

    Parameters
    ----------
    judge
        Maps planes ``(N, 1, Y, X)`` to numbers, large where they look as what is wanted does.
    given, wanted
        ``(N, 1, Y, X)``.

    Returns
    -------
    tuple of Tensor
        ``softplus(-D(given))``, which does not vanish where the judge is sure, and ``softplus(D(given)) +
        softplus(-D(wanted))``; the means.
    """
    fixed = {name: weight.detach() for name, weight in judge.named_parameters()}
    deceiving = F.softplus(-torch.func.functional_call(judge, fixed, (given,))).mean()
    telling = F.softplus(judge(given.detach())).mean() + F.softplus(-judge(wanted.detach())).mean()
    return deceiving, telling

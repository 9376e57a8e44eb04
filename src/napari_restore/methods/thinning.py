"""How many updates, and how smooth: told by photons that were held out, without the truth.

Each photon is put into one half of the image or the other by the toss of a coin. The halves of Poisson noise are then
independent (binomial thinning: Neufeld et al. 2024, "Data thinning for convolution-closed distributions", Journal of
Machine Learning Research 25:57, arXiv:2301.07276): what an estimate from one half, blurred again, leaves of the other
is its error, as the instrument sees it, and noise that does not depend on it. Each half is asked of the other.

It is asked in two ways, as each has a blind side. How likely the other half is: this hardly sees details that a heavy
weight takes from small bright things. And how much is left once Wiener's filter has sharpened it, where errors count as
in the sharp image, as far as the instrument sees them at all (as in the projected risk of Eldar 2009,
doi:10.1109/TSP.2008.2008212): this is left to chance where there is little light. What is the least in both together is
taken, each in units of what usual settings are worse by; of stacks, whose voxels see little light each, a quarter of
the second. All photons bear more updates than half of them do.

Chosen on the cells and filaments of ``benchmarks/deconvolution.py`` (20 to 2000 photons, parts of 96 x 96) and on spots
among smooth bodies (15 to 1500 photons): in 3-D 0.25 and 0.3 dB below the best by the truth, 0.43 dB at worst. With the
second way in full it was 0.6 and 0.5 dB, 1.2 dB at worst; with the first alone 0.2 and 0.6, 1.3 dB at worst.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_restore.methods.method import Interrupted
from napari_restore.operators.deconvolve import richardson_lucy
from napari_restore.operators.operator import Operator

WEIGHTS = (0.0, 0.001, 0.002, 0.004, 0.008, 0.016, 0.03, 0.06)
"""Of the total variation, that are tried."""

MOST_UPDATES = 24
"""Accelerated ones, of half of the photons. More make up what the instrument did not see, nor do these photons."""

_FIRST, _EVERY = 4, 2
_MORE_OF_ALL = 1.25
"""Times as many updates as for half of the photons."""

_SHARPENED = {2: 1.0, 3: 0.25}
"""Weight of what is left once it is sharpened, by the number of axes."""

_DARK = 1e-3
"""Photons that are expected everywhere: none at all would make a single one impossible."""


@dataclass(frozen=True)
class Tried:
    """Settings of an estimate from half of the photons."""

    updates: int
    weight: float


def best(
    photons: Tensor,
    operator: Operator,
    *,
    level: float,
    background: float,
    updates: Sequence[int],
    weights: Sequence[float],
    sharpen: Callable[[Tensor], Tensor],
    draws: int,
    counted: tuple[slice, ...],
    rng: np.random.Generator,
    stopping: Callable[[], bool],
) -> Tried:
    """The settings under which one half of the photons tells most of the other half.

    Parameters
    ----------
    photons
        ``(1, 1, *S)``, in the host's memory, none below 0.
    level, background
        Of the first estimate, and what every pixel has besides it, in photons.
    updates, weights
        That are allowed.
    sharpen
        A linear filter; what is left is compared after it.
    draws
        How often the photons are tossed, for what is chosen to depend less on it.
    counted
        Of ``S``, the pixels that are asked.
    stopping
        Looked at at each update.

    Raises
    ------
    Interrupted
        If it says so.
    """
    pairs = [thinned(photons, rng) for _ in range(draws)]
    # Each half is asked of the other one.
    half, other = (torch.cat([part for pair in pairs for part in pair[::way]]) for way in (1, -1))
    tried, losses = [], []
    for weight in weights:
        estimates = richardson_lucy(
            half,
            operator,
            start=torch.full_like(half, level / 2),
            weight=weight,
            background=background / 2,
            accelerated=True,
        )
        for done, x in enumerate(islice(estimates, max(updates)), 1):
            if stopping():
                raise Interrupted
            if done in updates:
                expected = operator(x).add_(background / 2)
                tried.append(Tried(done, weight))
                losses.append(_losses(expected, other, sharpen, counted))
    weighed = _excess(np.asarray(losses)) @ (1, _SHARPENED[photons.ndim - 2])
    return tried[int(np.argmin(weighed))]


def _losses(
    expected: Tensor, other: Tensor, sharpen: Callable[[Tensor], Tensor], counted: tuple[slice, ...]
) -> tuple[float, float]:
    """Minus the log-likelihood of the other half, and the mean square of what is left, sharpened."""
    likely = expected.clamp(min=_DARK)
    unlikely = (likely - other * likely.log())[:, :, *counted]
    left = sharpen(expected - other)[:, :, *counted]
    return float(unlikely.double().mean()), float(left.double().square().mean())


def _excess(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Losses ``(N, 2)`` over the least of each, in units of what the median is over it."""
    over = losses - losses.min(0)
    usual = np.median(over, 0)
    scaled: NDArray[np.float64] = over / np.where(usual > 0, usual, 1)
    return scaled


def usual_updates() -> tuple[int, ...]:
    """Those after which it is looked."""
    return tuple(range(_FIRST, MOST_UPDATES + 1, _EVERY))


def of_all(tried: Tried) -> Tried:
    """The settings for all photons, found for half of them."""
    return replace(tried, updates=round(_MORE_OF_ALL * tried.updates))


def thinned(photons: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Two halves with a photon in one or the other by chance; parts of photons are rounded up or down by chance."""
    values = photons.numpy().astype(np.float64)
    whole = np.floor(values + rng.random(values.shape)).astype(np.int64)
    half = rng.binomial(whole, 0.5)
    return torch.from_numpy(half.astype(np.float32)), torch.from_numpy((whole - half).astype(np.float32))

"""How many updates, and how smooth: told by photons that were held out, without the truth.

Of the photons four in five, by chance, make an image of their own, and the rest another. Those two of Poisson noise are
independent (binomial thinning: Neufeld et al. 2024, "Data thinning for convolution-closed distributions", Journal of
Machine Learning Research 25:57, arXiv:2301.07276): what an estimate from the most, blurred again, leaves of the rest is
its error, as the instrument sees it, and noise that does not depend on it. It is done several times. What is best for
half of the photons is too smooth, and stopped too early, for all of them; for most of them, less so.

It is asked in two ways, as each has a blind side. How likely the rest is: this hardly sees details that a heavy
weight takes from small bright things. And how much is left once Wiener's filter has sharpened it, where errors count as
in the sharp image, as far as the instrument sees them at all (as in the projected risk of Eldar 2009,
doi:10.1109/TSP.2008.2008212): this is left to chance where there is little light. What is the least in both together is
taken, each in units of what usual settings are worse by; of stacks, whose voxels see little light, the first alone.
All photons bear some more updates than most of them.

Chosen on parts of the cells of ``benchmarks/deconvolution.py`` (20 photons: 0.14 dB below the best by the truth) and on
stacks of spots among smooth bodies (15 to 250 photons: 0.29 dB on average, 0.40 at worst, without the further updates).
From half of the photons the same took 0.35 dB and 0.63 dB, 0.9 at worst.
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
"""Accelerated ones, of most of the photons. More make up what the instrument did not see, as held-out ones do not."""

_FIRST, _EVERY = 4, 2
_MOST = 0.8
"""Of the photons, that an estimate is made from."""

_MORE_OF_ALL = 1.25
"""Times as many updates as for most of the photons."""

_SHARPENED = {2: 1.0, 3: 0.0}
"""Weight of what is left once it is sharpened, by the number of axes."""

_DARK = 1e-3
"""Photons that are expected everywhere: none at all would make a single one impossible."""


@dataclass(frozen=True)
class Tried:
    """Settings of an estimate."""

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
    """The settings under which most of the photons tell most of the rest.

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
    most, rest = (torch.cat(parts) for parts in zip(*(thinned(photons, _MOST, rng) for _ in range(draws)), strict=True))
    tried, losses = [], []
    for weight in weights:
        estimates = richardson_lucy(
            most,
            operator,
            start=torch.full_like(most, _MOST * level),
            weight=weight,
            background=_MOST * background,
            accelerated=True,
        )
        for done, x in enumerate(islice(estimates, max(updates)), 1):
            if stopping():
                raise Interrupted
            if done in updates:
                expected = operator(x).add_(_MOST * background).mul_((1 - _MOST) / _MOST)
                tried.append(Tried(done, weight))
                losses.append(_losses(expected, rest, sharpen, counted))
    weighed = _excess(np.asarray(losses)) @ (1, _SHARPENED[photons.ndim - 2])
    return tried[int(np.argmin(weighed))]


def _losses(
    expected: Tensor, rest: Tensor, sharpen: Callable[[Tensor], Tensor], counted: tuple[slice, ...]
) -> tuple[float, float]:
    """Minus the log-likelihood of the rest, and the mean square of what is left, sharpened."""
    likely = expected.clamp(min=_DARK)
    unlikely = (likely - rest * likely.log())[:, :, *counted]
    left = sharpen(expected - rest)[:, :, *counted]
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
    """The settings for all photons, found for most of them."""
    return replace(tried, updates=round(_MORE_OF_ALL * tried.updates))


def thinned(photons: Tensor, share: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A share of the photons by chance, and the others; parts of photons are rounded up or down by chance."""
    values = photons.numpy().astype(np.float64)
    whole = np.floor(values + rng.random(values.shape)).astype(np.int64)
    kept = rng.binomial(whole, share)
    return torch.from_numpy(kept.astype(np.float32)), torch.from_numpy((whole - kept).astype(np.float32))

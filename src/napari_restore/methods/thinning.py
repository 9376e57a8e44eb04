"""How many updates, and how smooth: told by photons that were held out, without the truth.

Of the photons four in five, by chance, make an image of their own, and the rest another. Those two of Poisson noise are
independent (binomial thinning: Neufeld et al. 2024, "Data thinning for convolution-closed distributions", Journal of
Machine Learning Research 25:57, arXiv:2301.07276): what an estimate from the most, blurred again, leaves of the rest is
its error, as the instrument sees it, and noise that does not depend on it. It is done several times. What is best for
half of the photons is too smooth, and stopped too early, for all of them; for most of them, less so.

Of an image it is asked in two ways, as each has a blind side. How likely the rest is: this hardly sees details that a
heavy weight takes from small bright things. And how much is left once Wiener's filter has sharpened it, where errors
count as in the sharp image, as far as the instrument sees them at all (as in the projected risk of Eldar 2009,
doi:10.1109/TSP.2008.2008212). What is the least in both together is taken, each in units of what usual settings are
worse by.

Of stacks, whose voxels see little light, the second is left to chance, and the first alone is asked. It takes many
settings for alike: of those under which the rest is as likely, within two units of log-likelihood (Edwards 1972,
"Likelihood", section 5.3), the heaviest weight is taken, as what the instrument does not see is noise rather than
detail, and of that the last update, with the Hessian the likeliest. Weights are asked from the middle ones on, and left
once they are clearly worse; the one that is taken goes on to more updates for as long as they are a gain. What is
smooth is asked, too: total variation and the norm of the Hessian each have their settings chosen so, and the one under
which the rest is likelier is taken. A part of a stack is as large as time allows, and photons are tossed once: another
toss of the same photons tells less than other photons do.

All photons bear some more updates than most of them.

The rule for stacks was settled on the cells and the beads of ``benchmarks/deconvolution.py``: for total variation at 20
and 200 photons, after the tables of all four scenes there had been looked at, and for the Hessian beside it at 200 and
2000, after the best by the truth of all four had been looked at; that it goes on, on the beads and filaments at 2000.
At 200 photons it is at most 0.2 dB below the best of total variation by the truth. That for planes was chosen on parts
of those cells.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from operator import itemgetter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_restore.methods.method import Interrupted
from napari_restore.operators.deconvolve import Prior, richardson_lucy
from napari_restore.operators.exact import in_double
from napari_restore.operators.operator import Operator

PRIORS: dict[int, tuple[Prior, ...]] = {2: ("total_variation",), 3: ("total_variation", "hessian")}
"""That are tried, by the number of axes."""

WEIGHTS: dict[Prior, tuple[float, ...]] = {
    "total_variation": (0.0, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.03, 0.06),
    "hessian": (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.03),
}
"""Of each, that are tried."""

MOST_UPDATES = {2: 24, 3: 40}
"""Accelerated ones, of most of the photons, by the number of axes.

More make up what the instrument did not see, as held-out ones do not.
"""

FURTHER = 100
"""Updates that the setting which is taken for a stack goes on to, for as long as it gains: small bright things in much
light go on to get better, and no other setting is asked so long.
"""

_LOOKS = 5
"""Updates looked at, within which it has to gain."""

WAITING = 3
"""Images that the next update of a setting sets out from: the last two estimates, and how well each pixel is seen."""

_FIRST, _EVERY = 4, 2
_MOST = 0.8
"""Of the photons, that an estimate is made from."""

_MORE_OF_ALL = {2: 1.25, 3: 1.1}
"""Times as many updates as for most of the photons, by the number of axes."""

_ALIKE = 2.0
"""Units of log-likelihood, of what one toss holds out, that are no evidence."""

_LATE: dict[Prior, bool] = {"total_variation": True, "hessian": False}
"""Whether the last of such updates is taken: total variation needs them to flatten what is left of the noise."""

_DARK = 1e-3
"""Photons that are expected everywhere: none at all would make a single one impossible."""


@dataclass(frozen=True)
class Tried:
    """Settings of an estimate."""

    updates: int
    weight: float
    prior: Prior = "total_variation"


_Asked = tuple[Tried, tuple[float, ...]]
"""Settings, and what is asked of them: the less the better."""


def best(
    photons: Tensor,
    operator: Operator,
    *,
    level: float,
    background: float,
    updates: Sequence[int],
    weights: Mapping[Prior, Sequence[float]],
    sharpen: Callable[[Tensor], Tensor] | None,
    draws: int,
    counted: tuple[slice, ...],
    rng: np.random.Generator,
    stopping: Callable[[], bool],
) -> Tried:
    """The settings under which most of the photons tell most of the rest; of stacks, the smoothest of such.

    Parameters
    ----------
    photons
        ``(1, 1, *S)``, in the host's memory, none below 0.
    level, background
        Of the first estimate, and what every pixel has besides it, in photons.
    updates, weights
        That are allowed, the latter by prior.
    sharpen
        A linear filter; what is left is compared after it, too. None: how likely the rest is counts alone, and of
        weights that it is alike under the heaviest is taken.
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

    def asked(prior: Prior, weight: float) -> Iterator[_Asked]:
        estimates = richardson_lucy(
            most,
            operator,
            start=most.new_full((), _MOST * level).expand_as(most),  # one number, as many of these wait at once
            weight=weight,
            prior=prior,
            background=_MOST * background,
            accelerated=True,
        )
        for done, x in enumerate(islice(estimates, max(updates)), 1):
            if stopping():
                raise Interrupted
            if done in updates:
                expected = operator(x).add_(_MOST * background).mul_((1 - _MOST) / _MOST)
                yield Tried(done, weight, prior), _losses(expected, rest, sharpen, counted)

    if sharpen is None:
        alike = _ALIKE * draws
        first = MOST_UPDATES[photons.ndim - 2]
        found = [_smoothest(partial(asked, p), weights[p], alike=alike, late=_LATE[p], first=first) for p in weights]
        return min(found, key=itemgetter(0))[1]
    every = [each for prior in weights for weight in weights[prior] for each in asked(prior, weight)]
    least = int(np.argmin(_excess(np.asarray([losses for _, losses in every])).sum(1)))
    return every[least][0]


def _smoothest(
    asked: Callable[[float], Iterator[_Asked]],
    weights: Sequence[float],
    *,
    alike: float,
    late: bool,
    first: int,
) -> tuple[float, Tried]:
    """The least loss; and the heaviest weight that has nearly it, after the update that its ``_Course`` tells.

    From the middle one weights are asked to either side for as long as they are not worse than that, ``first``
    updates each; the one that is taken goes on from there where that is a gain.
    """
    rising = sorted(weights)
    middle = (len(rising) - 1) // 2
    courses: dict[float, _Course] = {}
    for side in (rising[middle:], rising[:middle][::-1]):
        for weight in side:
            courses[weight] = _Course(asked(weight), alike=alike, late=late)
            courses[weight].go_to(first)
            best = min(each.least for each in courses.values())
            for each in courses.values():
                if each.least > best + alike:  # it will not be taken
                    each.close()
            if courses[weight].least > best + alike:
                break
    best = min(each.least for each in courses.values())
    taken = courses[max(weight for weight, each in courses.items() if each.least <= best + alike)]
    taken.go_on()
    return min(best, taken.least), taken.chosen


class _Course:
    """How likely the rest is after one update and the next, of one weight; not looked for past one that is worse."""

    def __init__(self, series: Iterator[_Asked], *, alike: float, late: bool) -> None:
        self._series, self._alike, self._late = series, alike, late
        self._seen: list[tuple[float, Tried]] = []
        self.least = math.inf

    @property
    def chosen(self) -> Tried:
        """After the least loss, or after the last that is nearly as good."""
        return [tried for loss, tried in self._seen if loss <= self.least + self._alike * self._late][-1]

    def go_to(self, most: int) -> None:
        """So many updates, if none before is worse."""
        while self._next() and self._seen[-1][1].updates < most:
            pass

    def go_on(self) -> None:
        """As many as are a gain."""
        while self._gains() and self._next():
            pass

    def close(self) -> None:
        """Let go of what the next update would set out from: it is all that takes memory."""
        self._series = iter(())

    def _gains(self) -> bool:
        before = [loss for loss, _ in self._seen[:-_LOOKS]]
        return bool(before) and self.least < min(before) - self._alike

    def _next(self) -> bool:
        """Look at one more; False once there are none, or one is worse."""
        for tried, (loss,) in self._series:
            self.least = min(self.least, loss)
            if loss > self.least + self._alike:
                self.close()
                return False
            self._seen.append((loss, tried))
            return True
        return False


def _losses(
    expected: Tensor, rest: Tensor, sharpen: Callable[[Tensor], Tensor] | None, counted: tuple[slice, ...]
) -> tuple[float, ...]:
    """Minus the log-likelihood of the rest, and the mean square of what is left, sharpened."""
    likely = expected.clamp(min=_DARK)
    unlikely = float(in_double((likely - rest * likely.log())[:, :, *counted]).sum())
    if sharpen is None:
        return (unlikely,)
    return unlikely, float(in_double(sharpen(expected - rest)[:, :, *counted]).square().mean())


def _excess(losses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Losses ``(N, 2)`` over the least of each, in units of what the median is over it."""
    over = losses - losses.min(0)
    usual = np.median(over, 0)
    scaled: NDArray[np.float64] = over / np.where(usual > 0, usual, 1)
    return scaled


def usual_updates(ndim: int) -> tuple[int, ...]:
    """Those after which it is looked, by the number of axes."""
    most = FURTHER if ndim == 3 else MOST_UPDATES[ndim]
    return tuple(range(_FIRST, most + 1, _EVERY))


def of_all(tried: Tried, *, ndim: int) -> Tried:
    """The settings for all photons, found for most of them."""
    return replace(tried, updates=round(_MORE_OF_ALL[ndim] * tried.updates))


def thinned(photons: Tensor, share: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """A share of the photons by chance, and the others; parts of photons are rounded up or down by chance."""
    values = photons.numpy().astype(np.float64)
    whole = np.floor(values + rng.random(values.shape)).astype(np.int64)
    kept = rng.binomial(whole, share)
    return torch.from_numpy(kept.astype(np.float32)), torch.from_numpy((whole - kept).astype(np.float32))

"""Pixels that are kept as they were measured where a prediction errs by more than their noise.

A network that was not shown a pixel may foretell it worse than it was measured: at edges far sharper than the noise is
strong, in structures that it has seen too seldom, after few steps. What it leaves of the image tells where: noise alone
leaves as much as in the flattest places of about that signal, and a prediction that errs leaves more. With a noise of
variance v, and a prediction off by the square e on average, the two are independent of each other: nearer to the pixel
by v / e where e is larger than v, the result errs by v (1 - v / e + v^2 / e^2), and so never by more than the pixel did
(the filter of Lee 1980, doi:10.1109/TPAMI.1980.4766994, with the prediction for its local mean).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

REACH = 3
"""Pixels along Y and X by which one is determined."""

Floor = tuple[tuple[float, float], ...]
"""Signals, each with the variance of what is left about it in the flattest places, from dark to bright."""

_FLATTEST = 0.2  # of the places of about the same signal
_SIGNALS, _LEAST = 16, 1000  # at most; pixels of each
_ABOVE = 2.5  # times what signals to either side tell, at most
_LARGEST = 6.0  # times the floor, that a pixel counts for where many have to agree: hot ones and impulses are few
_NOISE, _STRUCTURE = 1.5, 2.5  # what then is left, over the floor: up to here it is noise, from there on it is not
_TINY = 1e-12


def floor_of(measured: Tensor, predicted: Tensor) -> Floor:
    """What noise alone leaves, by signal.

    Parameters
    ----------
    measured
        ``(..., Y, X)``, 0 where nothing was measured.
    predicted
        As ``measured``.

    Returns
    -------
    tuple
        Up to 16 pairs; none where nothing was measured.
    """
    left, known = _left(measured, predicted)
    square, mean = torch.split(_mean(torch.cat([left.square(), left], 1), known), 1, 1)
    scatter = square - mean.square()  # about what is off all around
    inner = [slice(REACH, -REACH) if n > 4 * REACH else slice(None) for n in left.shape[-2:]]
    told = torch.stack([_planes(predicted), scatter])[..., inner[0], inner[1]]
    signal, around = told[:, known[..., inner[0], inner[1]] > 0].cpu().numpy()
    order = np.argsort(signal, kind="stable")
    parts = np.array_split(order, max(1, min(_SIGNALS, len(order) // _LEAST)))
    pairs = [(float(signal[p].mean()), float(np.quantile(around[p], _FLATTEST))) for p in parts if p.size]
    pairs = [pair for n, pair in enumerate(pairs) if n == 0 or pair[0] > pairs[n - 1][0]]
    signals, below = np.array(_from_below(pairs) or [(0.0, 0.0)]).T
    return tuple((s, min(v, _ABOVE * float(np.interp(s, signals, below)))) for s, v in pairs)


def _from_below(pairs: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The lower convex hull: signals in between that edges alone have, tell nothing of noise."""
    hull: list[tuple[float, float]] = []
    for pair in pairs:
        while len(hull) > 1 and _turn(hull[-2], hull[-1], pair) <= 0:
            hull.pop()
        hull.append(pair)
    return hull


def _turn(first: tuple[float, float], second: tuple[float, float], third: tuple[float, float]) -> float:
    """Above 0 where the way through the three bends upwards."""
    (x, y), (a, b), (u, v) = first, second, third
    return (a - x) * (v - y) - (b - y) * (u - x)


def noise_by(floor: Floor, predicted: Tensor) -> Tensor:
    """The variance at each predicted pixel: along lines between the floor's signals, as at its ends beyond these."""
    found = torch.full_like(predicted, floor[0][1], dtype=torch.float32)
    for (dark, less), (bright, more) in pairwise(floor):
        found = found + ((predicted - dark) / (bright - dark)).clamp(0, 1) * (more - less)
    return found


def kept(measured: Tensor, predicted: Tensor, noise: Tensor) -> Tensor:
    """The prediction, nearer to the measured pixels the more it errs where it errs by more than their noise.

    Parameters
    ----------
    measured
        ``(..., Y, X)``, 0 where nothing was measured.
    predicted
        As ``measured``.
    noise
        Its variance at each pixel.

    Returns
    -------
    Tensor
        As ``predicted``, in float32.
    """
    return torch.lerp(predicted.float(), measured.float(), share_kept(measured, predicted, noise))


def share_kept(measured: Tensor, predicted: Tensor, noise: Tensor) -> Tensor:
    """How near to the measured pixels that comes, 0 to 1; as ``predicted``, in float32."""
    left, known = _left(measured, predicted)
    squares, noise = left.square(), _planes(noise).clamp(min=_TINY)
    both = torch.cat([torch.minimum(squares, _LARGEST * noise), squares], 1)
    several, all_of_it = torch.split(_others(both, known), 1, 1)
    structure = ((several / noise - _NOISE) / (_STRUCTURE - _NOISE)).clamp(0, 1)
    error = (all_of_it - noise).clamp(min=_TINY)
    return (known * structure * (1 - (noise / error).clamp(max=1))).view(predicted.shape)


def _planes(pixels: Tensor) -> Tensor:
    return pixels.float().reshape(-1, 1, *pixels.shape[-2:])


def _left(measured: Tensor, predicted: Tensor) -> tuple[Tensor, Tensor]:
    """What is left, 0 where nothing was measured; and 1 where something was."""
    y = _planes(measured)
    known = (y != 0).float()
    return known * (y - _planes(predicted)), known


def _mean(values: Tensor, known: Tensor) -> Tensor:
    """Of each channel, of the pixels about each that were measured."""
    total, count = (F.avg_pool2d(each, 2 * REACH + 1, stride=1, padding=REACH) for each in (values, known))
    return total / count.clamp(min=_TINY)


def _others(values: Tensor, known: Tensor) -> Tensor:
    """The same without the pixel itself: whether it is kept is then up to no noise of its own."""
    side = 2 * REACH + 1
    total, count = (F.avg_pool2d(each, side, stride=1, padding=REACH) * side**2 - each for each in (values, known))
    return total.clamp(min=0) / count.clamp(min=1)

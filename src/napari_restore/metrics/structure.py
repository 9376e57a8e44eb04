"""Where a residual holds structure: what a restoration took away that is not noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import chdtri

from napari_restore.core.errors import ImageError

_STD = 4.0  # of the window, in pixels
_TRUNCATED = 3.0
_REACH = round(_STD * _TRUNCATED)
_LAGS = ((0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0), (2, 2), (2, -2))
_FARTHEST = 2

RADIUS = 2 * _REACH + _FARTHEST
"""How far a pixel of the map sees, in pixels along Y and X: a tile read with as much around it gives the same map."""

_LEAST = 1e-6  # of a window, that has to count
_OUTLIER = 3.0  # deviations of the residual around it: one hot pixel is no structure
_BY_CHANCE = 1e-4  # of the pixels of pure noise that are above 0
_FULL = 2.0  # times what chance reaches, where the map becomes 1
_LOOK = 0.5
_CLEAN, _SOME = 0.002, 0.02  # of the pixels above _LOOK


@dataclass(frozen=True)
class Structure:
    """What a map of structure says as a whole.

    Attributes
    ----------
    share
        Of the pixels where the map is above 0.5, 0 to 1.
    strongest
        99.9 % of the map are at most as high.
    verdict
        One sentence for users.
    """

    share: float
    strongest: float
    verdict: str


def structure_map(
    residual: NDArray[Any], restored: NDArray[Any], *, correlation: NDArray[Any] | None = None
) -> NDArray[np.float32]:
    """How surely there is structure in a residual, around each pixel: 0 for noise, 1 beyond doubt.

    Two kinds of evidence are summed. Neighbours in the residual, 1 and 2 pixels apart in eight directions, are more
    alike than those of the noise; less alike counts for nothing, since a restoration that fits some of the noise leaves
    neighbours with opposite signs. And the residual follows the restored image or its slopes, where these vary more
    than noise. Each is a correlation in a Gaussian window of 4 px, in units of what such noise has by chance. The root
    of the sum of their squares is 0 in the map up to what chance reaches in one of 10000 pixels, 1 from twice that on.
    The residual is divided by its own local deviation first, so that noise may grow with the signal.

    Parameters
    ----------
    residual
        Image minus restored, ``(..., Y, X)``; planes are looked at one by one.
    restored
        Of the same shape. Pixels that are not finite in either do not count.
    correlation
        Of the noise with its neighbours, ``(n, n)`` with n odd, 5 or more, and 1 in the middle:
        ``whiteness.autocorrelation(noise, radius=2)``; white noise where it is not given.

    Returns
    -------
    NDArray
        Float32 of the same shape, 0 to 1. A pixel depends on those up to ``RADIUS`` away.

    Raises
    ------
    ImageError
        If the shapes differ or have fewer than two axes, or the correlation has another shape.
    """
    r, s = np.asarray(residual, np.float64), np.asarray(restored, np.float64)
    if r.shape != s.shape or r.ndim < 2:
        raise ImageError(f"structure: shapes {r.shape} and {s.shape}. Give two images (..., Y, X) of the same shape.")
    known, fewer = _known(correlation), _fewer(correlation)
    planes = zip(r.reshape(-1, *r.shape[-2:]), s.reshape(-1, *s.shape[-2:]), strict=True)
    maps = [_of_plane(a, b, known, fewer) for a, b in planes]
    return np.asarray(maps, np.float32).reshape(r.shape)


def summary(found: NDArray[Any]) -> Structure:
    """A map in one number and one sentence.

    Parameters
    ----------
    found
        Of ``structure_map``, not empty.
    """
    share = float(np.mean(np.asarray(found) > _LOOK))
    strongest = float(np.quantile(found, 0.999))
    if share < _CLEAN:
        verdict = "what was removed looks like noise everywhere"
    elif share < _SOME:
        verdict = f"what was removed looks like noise but for {100 * share:.1f} % of the image: look at these places"
    else:
        verdict = f"what was removed holds structure in {100 * share:.0f} % of the image: detail may be lost there"
    return Structure(share, strongest, verdict)


def _known(correlation: NDArray[Any] | None) -> dict[tuple[int, int], float]:
    """What the noise has at each lag."""
    if correlation is None:
        return dict.fromkeys(_LAGS, 0.0)
    c = np.asarray(correlation, np.float64)
    if c.ndim != 2 or any(n % 2 == 0 or n < 2 * _FARTHEST + 1 for n in c.shape):
        raise ImageError(
            f"structure: a correlation of shape {c.shape}. Give an odd number of 5 or more along both axes."
        )
    y, x = (n // 2 for n in c.shape)
    return {(dy, dx): float(c[y + dy, x + dx]) for dy, dx in _LAGS}


def _fewer(correlation: NDArray[Any] | None) -> float:
    """How many pixels of such noise tell as much as one of white noise (Bartlett 1946): what chance is larger by."""
    return 1.0 if correlation is None else max(1.0, float(np.square(np.asarray(correlation, np.float64)).sum()))


def _of_plane(
    residual: NDArray[np.float64], restored: NDArray[np.float64], known: dict[tuple[int, int], float], fewer: float
) -> NDArray[np.float64]:
    good = np.isfinite(residual) & np.isfinite(restored)
    weight = good.astype(np.float64)
    r, s = np.where(good, residual, 0.0), np.where(good, restored, 0.0)
    r = np.where(good, r - _mean(r, weight), 0.0)
    rms = np.sqrt(np.maximum(0, _mean(r * r, weight)))
    least = np.finfo(np.float32).eps * np.abs(s)  # what rounding leaves
    even = np.clip(np.divide(r, rms, out=np.zeros_like(r), where=rms > least), -_OUTLIER, _OUTLIER)
    energy = np.maximum(_mean(even * even, weight), np.finfo(np.float32).tiny)
    evidence = _alike(even, weight, energy, known) + _following(even, s, rms, weight, energy)
    chance = float(
        chdtri(len(_LAGS) / 2 + 3, _BY_CHANCE)
    )  # half of the lags are less alike by chance, and do not count
    evidence = np.sqrt(np.where(good, evidence, 0.0) / (chance * fewer))
    return np.asarray(np.clip((evidence - 1) / (_FULL - 1), 0, 1))


def _window(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(gaussian_filter(values, _STD, truncate=_TRUNCATED, mode="constant"))


def _mean(values: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of the pixels in the window that count; ``values`` are 0 in the others."""
    within = _window(weight)
    return np.divide(_window(values), within, out=np.zeros_like(within), where=within > _LEAST)


def _alike(
    even: NDArray[np.float64],
    weight: NDArray[np.float64],
    energy: NDArray[np.float64],
    known: dict[tuple[int, int], float],
) -> NDArray[np.float64]:
    """Squared excess of the local correlations at all lags, in units of their variance by chance."""
    spread = 1 + 2 * sum(c * c for c in known.values())  # Bartlett 1946, doi:10.2307/2983611, for the lags looked at
    total, squares = np.zeros_like(even), np.zeros_like(even)
    for lag, expected in known.items():
        pairs, both = _pairs(even, lag), _pairs(weight, lag)
        correlation = _mean(pairs, both) / energy
        excess = np.maximum(0, correlation - expected)
        total += np.square(excess) * _independent(both) / spread
        squares += np.square(pairs) / len(known)
    # Where noise is uneven within a window, at the rim of what is bright, few of its pixels make the sum.
    uneven = np.maximum(1.0, _mean(squares, weight) / np.square(energy))
    return np.asarray(total / uneven)


def _pairs(values: NDArray[np.float64], lag: tuple[int, int]) -> NDArray[np.float64]:
    """Products with the pixel a lag away, 0 where there is none."""
    out = np.zeros_like(values)
    at = tuple(slice(max(0, -d), max(0, n - max(0, d))) for d, n in zip(lag, values.shape, strict=True))
    to = tuple(slice(max(0, d), max(0, n + min(0, d))) for d, n in zip(lag, values.shape, strict=True))
    if all(abs(d) < n for d, n in zip(lag, values.shape, strict=True)):
        out[at] = values[at] * values[to]
    return out


def _independent(weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """How many pixels a window's mean is worth: of a whole Gaussian window 4 pi std^2."""
    return 4 * np.pi * _STD**2 * _window(weight)


def _following(
    even: NDArray[np.float64],
    restored: NDArray[np.float64],
    rms: NDArray[np.float64],
    weight: NDArray[np.float64],
    energy: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Squared local correlations of the residual with the restored image and its slopes, as ``_alike``.

    Weighed by how much of their variance is more than noise: what a restoration leaves of the noise goes with what it
    took, in every flat part.
    """
    total = np.zeros_like(even)
    inner = weight * np.pad(weight, 1)[2:, 1:-1] * np.pad(weight, 1)[1:-1, 2:]
    slopes = [np.diff(restored, axis=a, append=np.take(restored, [-1], a)) * inner for a in (0, 1)]
    for signal in (restored, *slopes):
        centred = np.where(weight > 0, signal - _mean(signal * weight, weight), 0.0)
        variance = np.maximum(0, _mean(centred * centred, weight))
        share = np.divide(variance, variance + np.square(rms), out=np.zeros_like(rms), where=rms > 0)
        product = _mean(even * centred, weight)
        squared = np.divide(np.square(product), variance * energy, out=np.zeros_like(rms), where=variance * energy > 0)
        total += squared * share**4 * _independent(weight)
    return total

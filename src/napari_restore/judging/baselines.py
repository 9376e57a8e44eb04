"""Classical restorations of the same measured image: what a learned one has to be better than.

Each is a function of one plane or volume ``y`` ``(*S)``, float32 in units of the image, and the operator that measured
it; it gives ``(*(S * rate))`` float32 in the same units. They share these parameters, used or not:

operator
    From the fine grid to the measured one.
sigma
    Standard deviation of the noise in units of the image, 0 or more.
psf
    The operator's point spread function on the fine grid, or None where it has none.
centred
    Along each axis: whether a pixel of ``y`` lies in the middle of its fine pixels or on the first; all in the middle
    where not given.

Borders are those of the operator: mirrored, never circular and never dark.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.restoration import denoise_tv_chambolle
from torch import Tensor, nn

from napari_restore.core.errors import RestoreError
from napari_restore.operators import deconvolve, inverse
from napari_restore.operators.blur import Blur
from napari_restore.operators.operator import Operator, interior

Pixels = NDArray[np.float32]

_MOST_UPDATES = 200
_STEPS = 40
_INNER_STEPS = 12
_LEAST_WEIGHT = 0.2
_POWER_STEPS = 12


def interpolated(
    y: Pixels,
    operator: Operator,
    *,
    sigma: float = 0.0,
    psf: NDArray[np.float64] | None = None,
    centred: Sequence[bool] | None = None,
) -> Pixels:
    """Cubic interpolation to the fine grid; ``y`` itself where that is the measured grid."""
    _check(y, operator, sigma)
    upsampling = inverse.CubicUpsampling(operator.rate, centred=centred or (True,) * y.ndim)
    return _through(upsampling, y)


def wiener(
    y: Pixels,
    operator: Operator,
    *,
    sigma: float,
    psf: NDArray[np.float64] | None = None,
    centred: Sequence[bool] | None = None,
) -> Pixels:
    """Cubic interpolation, and Wiener's filter for the blur and the noise; see ``operators.inverse.wiener``."""
    start = interpolated(y, operator, sigma=sigma, psf=psf, centred=centred)
    kernel = psf if psf is not None else np.ones((1,) * y.ndim)
    # Interpolated, white noise of the coarse grid lies in a part of the fine grid's frequencies, and is denser there.
    relative = sigma * math.sqrt(math.prod(operator.rate)) / (float(np.std(y)) or 1.0)
    level = float(np.mean(y))  # the filter keeps it, but float32 would lose digits on a large pedestal
    return _through(Blur(inverse.wiener(kernel, relative)), start - level) + np.float32(level)


def richardson_lucy(
    y: Pixels,
    operator: Operator,
    *,
    sigma: float,
    psf: NDArray[np.float64] | None = None,
    centred: Sequence[bool] | None = None,
    iterations: int | None = None,
) -> Pixels:
    """Richardson-Lucy deconvolution (Richardson 1972, doi:10.1364/JOSA.62.000055; Lucy 1974, doi:10.1086/111605).

    ``x <- x A'(y / A x) / A'1`` from a constant, which is ``skimage.restoration.richardson_lucy`` but for the borders,
    dark there, and for operators that are no convolution. Images with negative pixels are lifted by their least one.

    Parameters
    ----------
    iterations
        0 or more. None: as many as bring the residual down to the noise (Morozov's discrepancy principle), at most 200.
    """
    _check(y, operator, sigma)
    most = _MOST_UPDATES if iterations is None else iterations
    target = sigma if iterations is None else None
    return _richardson_lucy(y, operator, centred=centred, most=most, target=target)[0]


def updates_by_discrepancy(
    y: Pixels, operator: Operator, *, sigma: float, centred: Sequence[bool] | None = None
) -> dict[str, Any]:
    """The ``iterations`` that ``richardson_lucy`` chooses."""
    _check(y, operator, sigma)
    return {"iterations": _richardson_lucy(y, operator, centred=centred, most=_MOST_UPDATES, target=sigma)[1]}


def total_variation(
    y: Pixels,
    operator: Operator,
    *,
    sigma: float,
    psf: NDArray[np.float64] | None = None,
    centred: Sequence[bool] | None = None,
    weight: float | None = None,
) -> Pixels:
    """The least ``|A x - y|^2 / 2 + weight TV(x)`` (Rudin, Osher, Fatemi 1992, doi:10.1016/0167-2789(92)90242-F).

    40 steps of FISTA (Beck and Teboulle 2009, doi:10.1137/080716542), the proximal step by
    ``skimage.restoration.denoise_tv_chambolle``.

    Parameters
    ----------
    weight
        In units of the image, 0 or more. None: the one that leaves a residual as large as the noise (the discrepancy
        principle; Wen and Chan 2012, doi:10.1109/TIP.2011.2181401).
    """
    _check(y, operator, sigma)
    if weight is None:
        weight = weight_by_discrepancy(y, operator, sigma=sigma, centred=centred)["weight"]
    return _total_variation(y, operator, centred=centred, weight=weight, target=None)[0]


def weight_by_discrepancy(
    y: Pixels, operator: Operator, *, sigma: float, centred: Sequence[bool] | None = None
) -> dict[str, Any]:
    """The ``weight`` that ``total_variation`` chooses."""
    _check(y, operator, sigma)
    first = 0.1 * sigma * _norm(operator, y.shape)
    return {"weight": _total_variation(y, operator, centred=centred, weight=first, target=sigma)[1]}


def nothing(y: Pixels, operator: Operator, *, sigma: float, centred: Sequence[bool] | None = None) -> dict[str, Any]:
    """No settings: for a baseline that has none to choose."""
    return {}


@dataclass(frozen=True)
class Baseline:
    """A row of ``BASELINES``.

    Attributes
    ----------
    restore
        The restored pixels; see the module.
    settle
        The further arguments of ``restore`` that it would choose for an image itself, so that they can be held fixed.
    label, citation
        For people.
    needs_psf
        Whether it undoes a blur and nothing else: without one it is an interpolation, which has a row.
    """

    restore: Callable[..., Pixels]
    settle: Callable[..., dict[str, Any]]
    label: str
    citation: str
    needs_psf: bool = False


BASELINES: Mapping[str, Baseline] = {
    "bicubic": Baseline(
        interpolated,
        nothing,
        "Bicubic interpolation",
        "Keys R (1981). Cubic convolution interpolation for digital image processing. IEEE Transactions on Acoustics, "
        "Speech, and Signal Processing 29:1153. doi:10.1109/TASSP.1981.1163711",
    ),
    "wiener": Baseline(
        wiener,
        nothing,
        "Wiener filter",
        "Wiener N (1949). Extrapolation, Interpolation, and Smoothing of Stationary Time Series. MIT Press.",
    ),
    "richardson_lucy": Baseline(
        richardson_lucy,
        updates_by_discrepancy,
        "Richardson-Lucy",
        "Richardson WH (1972). Bayesian-based iterative method of image restoration. Journal of the Optical Society of "
        "America 62:55. doi:10.1364/JOSA.62.000055",
        needs_psf=True,
    ),
    "total_variation": Baseline(
        total_variation,
        weight_by_discrepancy,
        "Total variation",
        "Rudin LI, Osher S, Fatemi E (1992). Nonlinear total variation based noise removal algorithms. Physica D "
        "60:259. doi:10.1016/0167-2789(92)90242-F",
    ),
}


def baselines_for(psf: NDArray[np.float64] | None) -> dict[str, Baseline]:
    """The rows of ``BASELINES`` that say something of their own; ``psf`` is what blurs, None where nothing does."""
    return {name: b for name, b in BASELINES.items() if psf is not None or not b.needs_psf}


def forward(operator: Operator, x: Pixels) -> Pixels:
    """What the operator measures of ``x`` ``(*(S * rate))``: ``(*S)``."""
    return _through(operator, x)


def discrepancy(residual: Pixels, operator: Operator) -> float:
    """Root mean square of ``y - A x`` where the operator sees nothing past the border, if that is somewhere."""
    margin = tuple(m if 2 * m < n else 0 for n, m in zip(residual.shape, operator.margin, strict=True))
    return float(np.sqrt(np.mean(np.square(residual[interior(residual.shape, margin)], dtype=np.float64))))


def _richardson_lucy(
    y: Pixels, operator: Operator, *, centred: Sequence[bool] | None, most: int, target: float | None
) -> tuple[Pixels, int]:
    """The estimate and how many updates it took; ``target`` is the residual to stop at."""
    lift = max(0.0, -float(y.min()))
    lifted = y + lift * forward(operator, np.ones(_fine(y, operator), np.float32))
    least = 1e-6 * (float(lifted.mean()) or 1.0)
    seen = _through(operator.adjoint, np.ones_like(y))
    blind = seen < deconvolve.LEAST_SEEN * float(seen.max())  # fine pixels that point samples never see
    begun = np.where(blind, interpolated(lifted, operator, centred=centred), lifted.mean()).clip(least)
    x = _batched(begun)
    with torch.no_grad():
        estimates = deconvolve.richardson_lucy(_batched(lifted), operator, start=x)
        for done in range(most):
            if target is not None and discrepancy(lifted - operator(x)[0, 0].numpy(), operator) <= target:
                return _pixels(x, lift), done
            x = next(estimates)
    return _pixels(x, lift), most


def _batched(x: Pixels) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(x, np.float32))[None, None]


def _pixels(x: Tensor, lift: float) -> Pixels:
    lowered: Pixels = x[0, 0].numpy() - np.float32(lift)
    return lowered


def _total_variation(
    y: Pixels, operator: Operator, *, centred: Sequence[bool] | None, weight: float, target: float | None
) -> tuple[Pixels, float]:
    """The minimiser and its weight, which moves on the way where there is a residual to reach."""
    step = 1 / _norm(operator, y.shape)
    # Heavier ones leave a constant image, and the few inner steps are not stable with them.
    most = float(np.std(y)) / step
    weight, least = min(weight, most), _LEAST_WEIGHT * weight
    x = ahead = interpolated(y, operator, centred=centred)
    momentum = 1.0
    for _ in range(_STEPS):
        seen = forward(operator, ahead)
        if target is not None:
            # The residual grows with the weight: too small a one asks for more. One that no weight leaves, as the
            # noise is larger than it was said to be, would end without any regularisation.
            ratio = target / max(discrepancy(y - seen, operator), 1e-12)
            weight = min(max(weight * min(max(ratio, 0.5), 2.0), least), most)
        before, x = x, _proximal(ahead - step * _through(operator.adjoint, seen - y), weight * step)
        after = (1 + math.sqrt(1 + 4 * momentum**2)) / 2
        ahead = x + np.float32((momentum - 1) / after) * (x - before)
        momentum = after
    return x, weight


def _proximal(x: Pixels, weight: float) -> Pixels:
    """The image nearest to ``x`` with a price on its total variation."""
    if weight <= 0:
        return x
    # A fixed number of steps: where it stops must not jump as the image changes, or SURE could not differentiate it.
    smooth: Pixels = denoise_tv_chambolle(x, weight=weight, eps=0, max_num_iter=_INNER_STEPS)
    return smooth.astype(np.float32, copy=False)


def _norm(operator: Operator, shape: Sequence[int]) -> float:
    """The largest eigenvalue of ``A'A``, by the power method, and a little more."""
    x = np.ones([n * r for n, r in zip(shape, operator.rate, strict=True)], np.float32)
    x += 0.1 * np.random.default_rng(0).standard_normal(x.shape, dtype=np.float32)
    norm = 1.0
    for _ in range(_POWER_STEPS):
        x /= np.linalg.norm(x)
        x = _through(operator.adjoint, forward(operator, x))
        norm = float(np.linalg.norm(x))
    return 1.05 * norm or 1.0


def _through(function: nn.Module | Callable[[Tensor], Tensor], x: Pixels) -> Pixels:
    # Operators keep matrices for reuse in training: made in inference mode they would be of no use there.
    with torch.no_grad():
        result: Pixels = function(_batched(x))[0, 0].numpy()
    return result


def _fine(y: Pixels, operator: Operator) -> tuple[int, ...]:
    return tuple(n * r for n, r in zip(y.shape, operator.rate, strict=True))


def _check(y: Pixels, operator: Operator, sigma: float) -> None:
    if y.ndim != len(operator.rate):
        raise RestoreError(
            f"an image with {y.ndim} axes for an operator along {len(operator.rate)}: give one plane or volume of it."
        )
    if not (math.isfinite(sigma) and sigma >= 0):
        raise RestoreError(f"noise of standard deviation {sigma}: give a number of 0 or more.")
    if not np.isfinite(y).all():
        raise RestoreError("pixels that are not finite: fill them first, such as with the mean of the others.")

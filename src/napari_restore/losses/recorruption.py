"""Risk from two measurements that are independent given the truth: made from one, or given as two.

``restore``, ``operator``, ``weight`` and what comes back are as in ``losses.sure``.
"""

from __future__ import annotations

import torch
from torch import Tensor

from napari_restore.losses.sure import Parameter, Restore, _level, _normal, inside, mean_of
from napari_restore.operators.operator import Operator


def r2r(
    restore: Restore,
    operator: Operator,
    y: Tensor,
    *,
    sigma: Parameter,
    rng: torch.Generator,
    alpha: float = 0.5,
    weight: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Recorrupted-to-recorrupted for Gaussian noise (Pang, Zheng, Quan, Ji 2021, doi:10.1109/CVPR46437.2021.00208).

    ``y + alpha sigma z`` is restored and compared with ``y - sigma z / alpha``, whose noise is independent of the first
    one's; less the second one's noise variance, so that it is the risk of restoring the first.

    Parameters
    ----------
    sigma
        Deviation of the noise in the units of ``y``.
    alpha
        More means a noisier input and a less noisy target.
    """
    level = _level(sigma, y)
    return recorrupted(
        restore, operator, y, fresh=level * _normal(y, rng), variance=level**2, alpha=alpha, weight=weight
    )


def recorrupted(
    restore: Restore,
    operator: Operator,
    y: Tensor,
    *,
    fresh: Tensor,
    variance: Parameter,
    alpha: float = 0.5,
    weight: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """``r2r`` with noise that was drawn before, of any covariance.

    Unlike SURE it has a least value whatever covariance is taken: where that is known roughly only, this is the safer.

    Parameters
    ----------
    fresh
        ``(B, C, *S)``, noise with the covariance of that in ``y``.
    variance
        Its diagonal.
    """
    x1 = restore(y + alpha * fresh)
    excess = _level(variance, y) * (1 + 1 / alpha**2)
    mask = inside(y, operator.margin, weight)
    return mean_of((operator(x1) - (y - fresh / alpha)).square() - excess, mask), x1


def split(
    restore: Restore, operator: Operator, y: Tensor, second: Tensor, *, weight: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Another measurement of the same, with noise of its own, as the target of the measured restored image.

    Lehtinen et al. (2018, Noise2Noise, arXiv:1803.04189); for CT reconstructed from separate projections Hendriksen,
    Pelt, Batenburg (2020, Noise2Inverse, doi:10.1109/TCI.2020.3019647).
    """
    x1 = restore(y)
    return mean_of((operator(x1) - second).square(), inside(y, operator.margin, weight)), x1

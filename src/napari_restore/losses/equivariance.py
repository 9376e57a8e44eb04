"""What is made of a transformed image that is measured must be the transformed image."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from napari_restore.losses.sure import Restore
from napari_restore.operators.operator import Operator

Random = Callable[[Tensor, torch.Generator], Tensor]


def equivariance(
    restore: Restore,
    operator: Operator,
    x: Tensor,
    *,
    transform: Random,
    noise: Random,
    rng: torch.Generator,
    stop_gradient: bool = True,
) -> Tensor:
    """``mean (f(A T x + n) - T x)^2``.

    Equivariant imaging (Chen, Tachella, Davies 2021, doi:10.1109/ICCV48922.2021.00434, eq. 11); with a scale transform
    and the gradient stopped at ``T x``, scale-equivariant imaging (Scanvic et al. 2026, arXiv:2312.11232, L_SEQ).
    Without the stop the network may also make ``x`` easier to predict: 1.7 dB worse on natural images.

    Parameters
    ----------
    x
        Restored ``(B, C, *(S * rate))``.
    transform
        Of fine images; its result has lengths that the operator and the network accept.
    noise
        Measures once: adds fresh noise to ``(B, C, *S)``.
    stop_gradient
        Whether the transformed image is held fixed.
    """
    x2 = transform(x.detach() if stop_gradient else x, rng)
    x3 = restore(noise(operator(x2), rng))
    return (x3 - x2).square().mean()

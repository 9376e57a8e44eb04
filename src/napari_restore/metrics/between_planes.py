"""How alike the noise of one plane is to that of the next, by resampling along Z or by a detector's own pattern."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

_BLOCK = 8
_FINE = 6  # half periods along both axes together, from which structure has little
_FLATTEST, _FEWEST = 0.1, 40  # of the blocks; at least


def noise_between(pairs: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> float:
    """Correlation of the noise of pixels that lie at the same place in two planes, where these are flattest.

    Of blocks of 8 x 8 pixels the fine part of the cosine transform is compared, in the tenth with the least energy in
    the coarse part. Blurred noise of 1 px has enough of it. A texture all over, that goes on from plane to plane, is
    taken for noise: a series of electron micrographs read 0.18, samples with white or blurred noise -0.02 to 0.01, such
    with noise blurred along Z by 0.6 px 0.43, which is right.

    Parameters
    ----------
    pairs
        Two planes ``(Y, X)`` each. Blocks with pixels that are not finite, or all alike, are left out.

    Returns
    -------
    float
        -1 to 1; 0 where fewer than 40 blocks can be used.
    """
    blocks = [_blocks(np.asarray(a, np.float64), np.asarray(b, np.float64)) for a, b in pairs]
    if sum(len(first) for first, _ in blocks) < _FEWEST:
        return 0.0
    first, second = (np.concatenate(each) for each in zip(*blocks, strict=True))
    places = np.add.outer(np.arange(_BLOCK), np.arange(_BLOCK))
    coarse = np.square(first + second)[:, (places > 0) & (places < _FINE)].sum(1)
    flattest = np.argsort(coarse, kind="stable")[: max(_FEWEST, round(_FLATTEST * len(coarse)))]
    a, b = (each[flattest][:, places >= _FINE] for each in (first, second))
    size = float(np.sqrt(np.square(a).sum() * np.square(b).sum()))
    return float((a * b).sum()) / size if size > 0 else 0.0


def _blocks(first: NDArray[np.float64], second: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The cosine transforms of the blocks that were measured in both planes, half of each over the next."""
    if min(first.shape) < _BLOCK:
        return np.empty((0, _BLOCK, _BLOCK)), np.empty((0, _BLOCK, _BLOCK))
    step = _BLOCK // 2
    both = [
        np.lib.stride_tricks.sliding_window_view(p, (_BLOCK, _BLOCK))[::step, ::step].reshape(-1, _BLOCK, _BLOCK)
        for p in (first, second)
    ]
    used = np.logical_and(*(np.isfinite(b).all((1, 2)) & (b != b[:, :1, :1]).any((1, 2)) for b in both))
    a, b = (dctn(each[used], axes=(1, 2), norm="ortho") for each in both)
    return a, b

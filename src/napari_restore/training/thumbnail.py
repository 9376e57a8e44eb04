"""A model's picture of itself: a held-out patch, its left half as it was, its right half as the model restores it."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import avg_pool2d

from napari_restore.methods.method import Method

SIDE = 64
"""Pixels of a thumbnail along Y and X, at most."""

_RESTORED = {"Y": 96, "X": 96}
_RESTORED_DEPTH = 8
"""Pixels of the patch that are restored for it, at most, along Y and X and along Z: less than a training step costs."""

_DULL = 4
"""Pixels of noise that are averaged before one patch is found to have more structure than another."""


def thumbnail(method: Method, pixels: Tensor) -> bytes:
    """An 8-bit grey PNG of the patch with the most to see, shown on the grid of what is restored.

    Nothing is read and nothing is drawn by lot: the patches are in memory, and give the same picture every time.

    Parameters
    ----------
    method
        With its weights, in evaluation mode.
    pixels
        Patches ``(B, C, *S)`` in units of the image's deviation, on the method's device. Channels are averaged, and
        along Z the plane in the middle is shown.

    Returns
    -------
    bytes
        At most ``SIDE`` x ``SIDE`` pixels, where the patches are smaller as many as they have.
    """
    patches = _middle(pixels, method)
    patch = patches[_most_to_see(_plane(patches))][None]
    with torch.inference_mode():
        restored = method.restore(patch)
    measured = patch
    for axis, rate in enumerate(method.rate, 2):
        measured = measured.repeat_interleave(rate, axis)
    return _png(_halves(_shown(measured, method), _shown(restored, method)))


def _middle(pixels: Tensor, method: Method) -> Tensor:
    """The middle of large patches, on the method's grid."""
    for axis, letter, grid in zip(range(2, pixels.ndim), method.spatial, method.grid, strict=True):
        most, n = max(1, _RESTORED.get(letter, _RESTORED_DEPTH) // grid) * grid, pixels.shape[axis]
        if n > most:
            pixels = pixels.narrow(axis, (n - most) // 2, most)
    return pixels


def _plane(pixels: Tensor, *, rate: int = 1) -> Tensor:
    """``(B, Y, X)``: the channels' mean in the middle; with ``rate`` planes for one, on one that was not measured."""
    if pixels.ndim == 5:
        pixels = pixels[:, :, pixels.shape[2] // rate // 2 * rate + rate // 2]
    return pixels.float().mean(1)


def _most_to_see(planes: Tensor) -> int:
    """The patch of whose halves the duller one varies most, noise apart."""
    size = [max(1, min(_DULL, n // 2)) for n in planes.shape[1:]]
    smooth = avg_pool2d(planes[:, None], size)[:, 0]
    halves = [half.flatten(1).var(1, correction=0) for half in smooth.tensor_split(2, dim=-1) if half.numel()]
    return int(torch.stack(halves).amin(0).nan_to_num(0).argmax())


def _shown(restored: Tensor, method: Method) -> NDArray[np.float32]:
    """The middle of one plane, on the grid of what is restored, in host memory."""
    plane = _plane(restored, rate=method.rate[0] if restored.ndim == 5 else 1)[0].nan_to_num(0, 0, 0)
    for axis, n in enumerate(plane.shape):
        plane = plane.narrow(axis, max(0, (n - SIDE) // 2), min(n, SIDE))
    shown: NDArray[np.float32] = plane.cpu().numpy()
    return shown


def _halves(before: NDArray[np.float32], after: NDArray[np.float32]) -> NDArray[np.uint8]:
    """One picture behind a curtain: the left of one, a bright line, the right of the other, in the same greys."""
    low, high = np.percentile(np.stack([before, after]), (0.5, 99.5))
    middle = before.shape[1] // 2
    joined = np.concatenate([before[:, :middle], after[:, middle:]], 1)
    grey = np.clip((joined - low) / max(high - low, 1e-6), 0, 1)
    grey[:, middle] = 1.0
    picture: NDArray[np.uint8] = np.rint(255 * grey).astype(np.uint8)
    return picture


def _png(grey: NDArray[np.uint8]) -> bytes:
    import imagecodecs

    return bytes(imagecodecs.png_encode(np.ascontiguousarray(grey), level=9))

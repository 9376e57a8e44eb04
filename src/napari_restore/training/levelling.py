"""The line that gives a trained denoiser's result the mean and the contrast of what was measured.

A network that has learned for a minute is some percent too bright or too dark, and one that was shown stand-ins for
hidden pixels is so for good where the noise is skewed: the median of few photons is below their mean, so that
restoring, which shows the pixels themselves, shows more light than training did.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import correlate1d

from napari_restore.core.errors import ImageError
from napari_restore.core.normalisation import Normalisation
from napari_restore.core.region import Region
from napari_restore.methods.apply import Precision, restore_region
from napari_restore.methods.method import Method, never
from napari_restore.sources import Image

Pixels = NDArray[np.float64]

_BOXES = 16
_SIDES = {2: {"Y": 256, "X": 256}, 3: {"Z": 16, "Y": 128, "X": 128}}
_AROUND = np.array([1.0, 1, 1, 0, 0, 0, 1, 1, 1])  # 2 to 4 pixels away, along both axes: neither row nor column
_OUTLIER = 20.0  # deviations
_USUAL = 0.995  # of the pixels, from which these deviations are told
_SURE = 0.1  # standard error up to which a gain is worth anything
_MOST = 2.0  # of a gain
_FEWEST, _TOLD_TO = 4, 0.0005  # boxes, and the standard error of their mean as a share of it
_SEED = 2018


def line_to_measured(
    method: Method,
    images: Sequence[Image],
    *,
    normalisation: Normalisation,
    device: torch.device,
    precision: Precision = "float32",
    enough: Callable[[], bool] = never,
) -> NDArray[np.float32]:
    """Gain and offset for restored pixels, in units of the images' deviation.

    With them the mean of the restored pixels is that of the measured ones; and so is their covariance with the
    surroundings of a pixel, whose noise is not its own (an instrumental variable): a regression of measured on restored
    pixels would take noise that was restored for signal.

    Parameters
    ----------
    method
        A trained one, with as many restored pixels as measured ones.
    images
        That it was trained on; up to 16 boxes are looked at, a million pixels, and fewer where these already tell the
        mean to 0.05 % (a standard error, by what the boxes differ by).
    precision
        That it will restore in.
    enough
        Looked at after each box, of which the first lies in the middle: whether those so far have to do.

    Returns
    -------
    NDArray
        ``(2, channels)``, gain and offset.
    """
    sums = [_Channel() for _ in range(method.channels)]
    boxes = _in_turn(_boxes(images, method.spatial[-2:] if method.neighbours else method.spatial))
    for image, box in boxes:
        try:
            measured = image.read(box)
            restored = restore_region(
                method, image, box, normalisation=normalisation, device=device, precision=precision
            )
        except ImageError:  # a chunk that cannot be read any more must not cost the model
            continue
        for c, channel in enumerate(sums):
            scale = normalisation.std[c] or 1.0
            y, r = ((_planes(p, image.axes, c) - normalisation.mean[c]) / scale for p in (measured, restored))
            channel.add(y, r)
        levels = [m / (s or 1.0) for m, s in zip(normalisation.mean, normalisation.std, strict=True)]
        if enough() or all(channel.sure(len(boxes), level) for channel, level in zip(sums, levels, strict=True)):
            break
    return np.array([channel.line() for channel in sums], np.float32).T


def _boxes(images: Sequence[Image], spatial: str) -> Iterator[tuple[Image, Region]]:
    """Up to so many boxes, spread over all images, that do not overlap."""
    sides = _SIDES[len(spatial)]
    edges = [
        [_edges(n, sides.get(a, n if a == "C" else 1)) for a, n in zip(image.axes, image.shape, strict=True)]
        for image in images
    ]
    counts = np.cumsum([math.prod(len(e) - 1 for e in each) for each in edges])
    for number in np.unique(np.linspace(0, counts[-1] - 1, _BOXES).astype(int)):
        which = int(np.searchsorted(counts, number, side="right"))
        each = edges[which]
        within = int(number) - (int(counts[which - 1]) if which else 0)
        place = np.unravel_index(within, [len(e) - 1 for e in each])
        start, stop = zip(*((e[k], e[k + 1]) for e, k in zip(each, place, strict=True)), strict=True)
        yield images[which], Region(start, stop)


def _in_turn(boxes: Iterable[tuple[Image, Region]]) -> list[tuple[Image, Region]]:
    """The one nearest to the middle of its image first; the others shuffled, so that the first few are like all."""
    first, *others = sorted(boxes, key=lambda each: _from_middle(*each))
    return [first, *(others[i] for i in np.random.default_rng(_SEED).permutation(len(others)))]


def _from_middle(image: Image, box: Region) -> float:
    """How far a box lies from the middle of its image, in squares of the image's sides."""
    ends = zip(box.start, box.stop, image.shape, strict=True)
    return sum(((start + stop) / (2 * n) - 0.5) ** 2 for start, stop, n in ends)


def _edges(n: int, most: int) -> list[int]:
    """Where to cut ``n`` pixels into equal parts of at most ``most``."""
    return [int(edge) for edge in np.linspace(0, n, -(-n // most) + 1)]


def _planes(pixels: NDArray[Any], axes: str, channel: int) -> Pixels:
    """``(N, Y, X)`` of one channel."""
    if "C" in axes:
        pixels = pixels.take(channel, axes.index("C"))
    rest = axes.replace("C", "")
    order = [rest.index(a) for a in rest if a not in "YX"] + [rest.index(a) for a in "YX"]
    moved = pixels.transpose(order)
    planes: Pixels = moved.reshape(-1, *moved.shape[-2:]).astype(np.float64)
    return planes


class _Channel:
    """Pixels of one channel: measured, restored, and the mean of what was measured around each."""

    def __init__(self) -> None:
        self._pixels: list[Pixels] = []
        self._means: list[tuple[float, float]] = []

    def add(self, measured: Pixels, restored: Pixels) -> None:
        """Planes ``(N, Y, X)``; pixels that are not finite in either are left out."""
        known = np.isfinite(measured) & np.isfinite(restored)
        around = _around(np.where(known, measured, 0)), _around(known.astype(np.float64))
        known &= around[1] > 0
        self._pixels.append(np.stack([p[known] for p in (measured, restored, around[0] / np.maximum(around[1], 1e-9))]))
        if known.any():
            self._means.append((float(measured[known].mean()), float(restored[known].mean())))

    def sure(self, boxes: int, level: float) -> bool:
        """Whether some of so many boxes tell what all would, as a share of the mean; ``level`` is what 0 stands for."""
        count = len(self._means)
        if count < _FEWEST:
            return False
        measured, restored = np.array(self._means).T
        left = max(0.0, 1 - count / boxes)  # of a mean of all, those that were looked at are known
        error = float(np.std(measured - restored, ddof=1)) * math.sqrt(left / count)
        return error <= _TOLD_TO * abs(level + float(measured.mean()))

    def line(self) -> tuple[float, float]:
        """Gain and offset."""
        y, r, z = np.concatenate([np.empty((3, 0)), *self._pixels], axis=1)
        if len(y):
            kept = _usual(y, r)
            y, r, z = y[kept], r[kept], z[kept]
        if not len(y):
            return 1.0, 0.0
        gain = _gain(y - y.mean(), r - r.mean(), z - z.mean())
        return gain, float(y.mean() - gain * r.mean())


def _around(planes: Pixels) -> Pixels:
    for axis in (1, 2):
        planes = correlate1d(planes, _AROUND / _AROUND.sum(), axis, mode="reflect")
    return planes


def _usual(y: Pixels, r: Pixels) -> NDArray[np.bool_]:
    """All but hot pixels, which have no say in the mean: those many deviations off, more where it is brighter."""
    left = np.abs(y - r)
    deviation = float(np.sqrt(np.mean(left[left <= np.quantile(left, _USUAL)] ** 2)))
    dark = float(np.quantile(r, 1 - _USUAL))
    brighter = (r - dark) / max(float(r.mean()) - dark, 1e-12)
    usual: NDArray[np.bool_] = left <= _OUTLIER * deviation * np.sqrt(np.maximum(brighter, 1))
    return usual if usual.any() else np.ones(len(y), bool)


def _gain(y: Pixels, r: Pixels, z: Pixels) -> float:
    """Nearer to 1 the less sure it is (the positive part of James and Stein's estimate, 1961)."""
    along = float(z @ r)
    if along <= 0:
        return 1.0
    gain = float(z @ y) / along
    left = z * (y - gain * r)
    error = math.sqrt(float(left @ left)) / along
    if error > _SURE or not 1 / _MOST <= gain <= _MOST or gain == 1:
        return 1.0
    return 1 + (gain - 1) * max(0.0, 1 - (error / (gain - 1)) ** 2)

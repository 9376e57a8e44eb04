"""Known pixels hidden by the shapes of missing ones: what filling gaps is learned from and judged by."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from napari_restore.core.layout import to_samples
from napari_restore.core.normalisation import Normalisation
from napari_restore.core.region import Region
from napari_restore.operators import gaps
from napari_restore.operators.exact import in_double
from napari_restore.sources import Image

SIDE = 64
"""Of a shape, along Y and X."""

DEPTH = 2 * gaps.PLANES + 1
"""Planes of a shape, where planes are looked along."""

_LOOKED_AT = 256
_WINDOWS = 6
_WIDTH = 1024
_SHAPES = 16
_DENSE = 0.12
DEEPEST = 8
"""Pixels from the known ones: what lies deeper in a gap is not told apart."""

Fill = Callable[[Tensor, Tensor], Tensor]
"""Gives values to the pixels of ``(C, 1, *S)`` that are not known, by a bool of the same shape."""


@dataclass(frozen=True, eq=False)
class Window:
    """A part of an image that misses something.

    Attributes
    ----------
    pixels
        ``(C, *S)`` in units of the deviation, NaN where nothing was measured: filling and outliers are not missing, and
        nothing is judged by them.
    gone
        Which of them are missing.
    """

    pixels: NDArray[np.float32]
    gone: NDArray[np.bool_]

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Where any channel misses something, ``(Z, Y, X)``."""
        found = self.gone.any(axis=0)
        planes: NDArray[np.bool_] = np.reshape(found, (-1, *self.pixels.shape[-2:]))
        return planes

    @property
    def widest(self) -> float:
        """Half the width of the widest gap, in pixels along Y and X; lost planes are no gap in a plane."""
        planes = [plane for plane in self.missing if not plane.all()]
        return max((float(ndimage.distance_transform_edt(plane).max()) for plane in planes), default=0.0)


@dataclass(frozen=True, eq=False)
class Shapes:
    """What missing pixels look like: ``(N, Z, SIDE, SIDE)`` bool."""

    masks: NDArray[np.bool_]

    def packed(self) -> tuple[str, ...]:
        """As text, one a shape, its depth first."""
        each = (zlib.compress(np.packbits(mask).tobytes(), 9) for mask in self.masks)
        return tuple(f"{self.masks.shape[1]}:{base64.b85encode(part).decode()}" for part in each)

    @classmethod
    def unpacked(cls, texts: Sequence[str]) -> Shapes:
        """The inverse of ``packed``."""
        masks = []
        for text in texts:
            depth, _, part = text.partition(":")
            bits = np.frombuffer(zlib.decompress(base64.b85decode(part)), np.uint8)
            count = int(depth) * SIDE * SIDE
            masks.append(np.unpackbits(bits, count=count).astype(bool).reshape(int(depth), SIDE, SIDE))
        return cls(np.stack(masks))


def windows_of(images: Sequence[Image], spatial: str, normalisation: Normalisation) -> list[Window]:
    """Parts of images with missing pixels, spread over those of some hundred parts that have any."""
    sizes = {"Y": _WIDTH, "X": _WIDTH, **({"Z": DEPTH} if "Z" in spatial else {})}
    some = []
    for image in images:
        for box in _spread(_boxes_over(Region.of_shape(image.shape), image.axes, "TZYX", sizes)):
            if not np.isfinite(image.read(box)).all():
                some.append((image, box))
    found = []
    for k in np.unique(np.linspace(0, len(some) - 1, min(len(some), _WINDOWS)).astype(int)):
        image, box = some[k]
        seen = image.seen(box)
        samples, stored = (to_samples(each, image.axes, spatial) for each in (seen.measured, seen.pixels))
        units = np.where(np.isfinite(samples), normalisation.apply(samples), np.float32(np.nan))
        found.append(Window(units[0], ~np.isfinite(stored[0])))
    return found


def loses_planes(image: Image) -> bool:
    """Whether whole planes of an image are missing, by the middles of some hundred of them at most."""
    sizes = {"C": image.geometry.length("C"), "Y": SIDE, "X": SIDE}
    middle = Region.middle_of(image.shape, [sizes.get(a, n) for a, n in zip(image.axes, image.shape, strict=True)])
    return any(not np.isfinite(image.read(box)).any() for box in _spread(_boxes_over(middle, image.axes, "TZ", {})))


def _spread(boxes: Sequence[Region]) -> Sequence[Region]:
    return boxes[:: max(1, len(boxes) // _LOOKED_AT)]


def _boxes_over(whole: Region, axes: str, along: str, sizes: Mapping[str, int]) -> list[Region]:
    """Boxes that cover a region: of such sizes along some axes, of 1 where none is given, whole along the others."""
    steps = [min(n, sizes.get(a, 1)) if a in along else n for a, n in zip(axes, whole.shape, strict=True)]
    starts = [
        [*range(first, stop - step, step), stop - step]
        for first, stop, step in zip(whole.start, whole.stop, steps, strict=True)
    ]
    return [Region.of_shape(steps).shift(corner) for corner in product(*starts)]


def shapes_of(windows: Sequence[Window]) -> Shapes:
    """Boxes of ``SIDE`` pixels with something missing in them, spread over all there are; thinned where dense.

    Pixels hidden among many that are missing anyway have too little left around: of a dense pattern a part is hidden.
    """
    rng = np.random.default_rng(0)
    boxes = [box for window in windows for box in _boxes(window.missing)]
    chosen = np.unique(np.linspace(0, len(boxes) - 1, min(len(boxes), _SHAPES)).astype(int))
    return Shapes(np.stack([_thinned(boxes[k], rng) for k in chosen]))


def _boxes(missing: NDArray[np.bool_]) -> Iterator[NDArray[np.bool_]]:
    height, width = missing.shape[1:]
    for y in range(0, height, SIDE):
        for x in range(0, width, SIDE):
            part = missing[:, max(0, min(y, height - SIDE)) : y + SIDE, max(0, min(x, width - SIDE)) : x + SIDE]
            part = part[:, :SIDE, :SIDE]
            if part.any():
                yield np.pad(part, [(0, 0), *((0, SIDE - n) for n in part.shape[1:])])


def _thinned(box: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Without some of the connected parts, where they are many and cover much."""
    labels, count = ndimage.label(box)
    covered = float(box.mean())
    if covered <= _DENSE or count < 8:
        return box
    kept = rng.random(count + 1) < _DENSE / covered
    kept[0] = False
    thinned: NDArray[np.bool_] = kept[labels]
    return thinned if thinned.any() else box


def hidden(shapes: Tensor, count: int, size: Sequence[int], rng: torch.Generator, *, turn: bool = True) -> Tensor:
    """Masks ``(count, 1, *size)`` of shapes drawn at random: moved, going on past their end, and flipped."""
    device, deep = shapes.device, len(size) == 3
    masks = []
    for _ in range(count):
        mask = shapes[int(torch.randint(len(shapes), (), generator=rng))]
        moves = [int(torch.randint(n, (), generator=rng)) for n in mask.shape]
        mask = mask.roll(moves, (0, 1, 2))
        flips = [axis for axis in range(3) if turn and int(torch.randint(2, (), generator=rng))]
        mask = mask.flip(flips) if flips else mask
        wanted = tuple(size) if deep else (1, *size)
        times = [-(-n // have) for n, have in zip(wanted, mask.shape, strict=True)]
        mask = mask.repeat(*times)[tuple(slice(n) for n in wanted)]
        masks.append(mask if deep else mask[0])
    return torch.stack(masks)[:, None].to(device)


def hidden_errors(
    windows: Sequence[Window], shapes: Shapes, depths: Sequence[float], fill: Fill, *, side: int
) -> NDArray[np.float64]:
    """Mean squared error at known pixels that are hidden, one entry a channel; NaN where none are.

    Parameters
    ----------
    depths
        As ``depths_of``: hidden pixels count as there are missing ones that lie as deep in a gap. A hidden gap that
        meets a missing one is wider than either, or what is left of it narrower.
    fill
        What is judged.
    side
        Pixels along Y and X of the middle of each window that it is judged by.
    """
    rng, masks = torch.Generator().manual_seed(0), torch.from_numpy(shapes.masks)
    errors, counts = [], []
    for window in windows:
        pixels = torch.from_numpy(_middle(window.pixels, side))[:, None]
        known = torch.isfinite(pixels)
        gone = hidden(masks, len(pixels), pixels.shape[2:], rng) & known
        error = fill(pixels, known & ~gone) - torch.where(gone, pixels, 0)
        depth = torch.where(gone, depth_in_gaps(~known | gone), 0)
        errors.append(_sums(depth, in_double(error).square()))
        counts.append(_sums(depth, in_double(torch.ones_like(error))))
    error, count = (torch.stack(each).sum(0)[:, 1:] for each in (errors, counts))
    weight = weights_by_depth(count.sum(0), depths)
    found: NDArray[np.float64] = ((weight * error).sum(1) / (weight * count).sum(1)).numpy()
    return found


def _sums(depth: Tensor, values: Tensor) -> Tensor:
    """Of the values of each channel, by depth: ``(C, DEEPEST + 1)``."""
    found = torch.zeros(len(depth), DEEPEST + 1, dtype=values.dtype)
    return found.scatter_add_(1, depth.flatten(1), values.flatten(1))


def depth_in_gaps(missing: Tensor) -> Tensor:
    """How many pixels along Y or X, or aslant, it is from a missing one of ``(..., Y, X)`` to a known one; 0 of these.

    At most 8: gaps are as deep as that, or deeper.
    """
    known = (~missing).float().reshape(-1, 1, *missing.shape[-2:])
    depth = torch.zeros_like(known, dtype=torch.long)
    for _ in range(DEEPEST):
        depth += known == 0
        known = F.max_pool2d(known, 3, 1, 1)
    return depth.view(missing.shape)


def depths_of(windows: Sequence[Window]) -> tuple[float, ...]:
    """The share of missing pixels that lie 1 to 8 pixels deep in a gap."""
    counts = np.zeros(DEEPEST + 1)
    for window in windows:
        depth = depth_in_gaps(torch.from_numpy(~np.isfinite(window.pixels))).numpy()
        counts += np.bincount(depth[window.gone], minlength=DEEPEST + 1)
    return tuple((counts[1:] / max(counts[1:].sum(), 1)).tolist())


def weights_by_depth(count: Tensor, depths: Sequence[float]) -> Tensor:
    """What hidden pixels count, by their depth, to be as deep as missing ones; 1 where that is not known.

    Parameters
    ----------
    count
        Of hidden pixels that lie 1 to 8 pixels deep.
    depths
        As ``depths_of``, or empty.
    """
    if not depths:
        return torch.ones_like(count)
    return torch.tensor(depths, dtype=count.dtype, device=count.device) / count.clamp(min=1)


def _middle(pixels: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    parts = [
        slice(max(0, (n - side) // 2), max(0, (n - side) // 2) + side) if axis >= pixels.ndim - 2 else slice(None)
        for axis, n in enumerate(pixels.shape)
    ]
    return np.ascontiguousarray(pixels[tuple(parts)])

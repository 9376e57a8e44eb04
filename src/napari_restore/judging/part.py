"""Which part of an image its result is judged by: the middle, with as many pixels as tell enough in a few seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.layout import to_samples
from napari_restore.core.region import Region
from napari_restore.judging.baselines import Pixels
from napari_restore.methods.apply import per_axis
from napari_restore.methods.method import Method, Undone
from napari_restore.sources import Image
from napari_restore.sources.padded import seen_reflected

LEAST_PIXELS = 4096
"""With fewer, chance is as large as what is looked for."""

_DEPTH = 16  # planes of a volume, at most


@dataclass(frozen=True, eq=False)
class Part:
    """What is looked at, one channel of it, with the surroundings that restoring it needs. Arrays ``(*S)``.

    Attributes
    ----------
    pixels
        In units of the image; the mean of the others where they are not finite.
    finite
        Where they are, and no outliers.
    variance
        Of their noise.
    probe
        -1 or 1, for the SURE estimates.
    counted
        Slices of the part without surroundings, and without what sees past the border of the image.
    inside
        Slices of the part that lie in the image: around them it is mirrored.
    """

    pixels: Pixels
    finite: NDArray[np.bool_]
    variance: NDArray[np.float64]
    probe: Pixels
    counted: tuple[slice, ...]
    inside: tuple[slice, ...]

    def narrowed(self, context: Sequence[int]) -> Part:
        """The same with at most so many pixels of surroundings along each axis, of the image: operators mirror it."""
        each = zip(self.counted, context, self.inside, strict=True)
        box = tuple(slice(max(i.start, c.start - k), min(i.stop, c.stop + k)) for c, k, i in each)
        counted, inside = (
            tuple(slice(s.start - b.start, s.stop - b.start) for s, b in zip(slices, box, strict=True))
            for slices in (self.counted, box)
        )
        return Part(self.pixels[box], self.finite[box], self.variance[box], self.probe[box], counted, inside)


def middle(image: Image, most: Mapping[str, int]) -> Region:
    """The middle of an image, at most so many pixels along each axis, and one along those that are not named."""
    return Region.middle_of(image.shape, [most.get(axis, 1) for axis in image.axes])


def part_of(image: Image, method: Method, undone: Undone, *, size: int, seed: int) -> Part:
    """The middle of the first channel, and around it what the network and the operator see.

    Parameters
    ----------
    size
        Pixels along Y and X, at most; of volumes, a box of about as many pixels.
    seed
        Of the probe.
    """
    depth = min(_DEPTH, image.geometry.length("Z")) if "Z" in method.spatial else 1
    side = round(size / math.sqrt(depth))
    box = middle(image, {"Z": depth, "Y": side, "X": side})
    region = box.shift([-a if axis == "C" else 0 for axis, a in zip(image.axes, box.start, strict=True)])
    read = _read(region, image, method, undone)
    seen = seen_reflected(image, read)
    sample, measured = (to_samples(v, image.axes, method.spatial)[0, 0] for v in (seen.values, seen.measured))
    margin = per_axis(image.axes, method.spatial, undone.operator.margin, default=0)
    inner = [max(0, n - 2 * m) for m, n in zip(margin, image.shape, strict=True)]
    counted = region.relative_to(margin).clip(inner).shift(margin).relative_to(read.start)
    inside = Region.of_shape(image.shape).relative_to(read.start).clip(read.shape)
    pixels = filled(sample.astype(np.float32))
    return Part(
        pixels,
        np.isfinite(measured),
        undone.noise[0].at(pixels),
        np.random.default_rng(seed).choice(np.asarray([-1, 1], np.float32), sample.shape),
        *(tuple(r.slices[image.axes.index(a)] for a in method.spatial) for r in (counted, inside)),
    )


def filled(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of the others where pixels are not finite."""
    finite = np.isfinite(samples)
    return samples if finite.all() else np.where(finite, samples, samples[finite].mean() if finite.any() else 0)


def _read(region: Region, image: Image, method: Method, undone: Undone) -> Region:
    """The region with what is seen around it, in whole steps of the network's grid; mirrored no farther than needed."""
    context = tuple(max(r, m) for r, m in zip(method.radius, undone.operator.margin, strict=True))
    reach, border, grid = (
        per_axis(image.axes, method.spatial, values, default=default)
        for values, default in ((context, 0), (method.border, 0), (method.grid, 1))
    )
    wide = tuple(n + 2 * b for n, b in zip(image.shape, border, strict=True))
    grown = region.grow(reach).shift(border).clip(wide).relative_to(border)
    start = tuple(a // g * g for a, g in zip(grown.start, grid, strict=True))
    stop = tuple(a - (a - b) // g * g for a, b, g in zip(start, grown.stop, grid, strict=True))
    return Region(start, stop)

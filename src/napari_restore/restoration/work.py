"""Tiles: read, restored, cropped. Pure, so that any runner in any order gives the same bytes."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_restore.core.errors import ImageError, RestoreError
from napari_restore.core.geometry import canonical_order
from napari_restore.core.layout import from_samples, to_samples
from napari_restore.core.normalisation import Normalisation
from napari_restore.core.options import Outliers
from napari_restore.core.plan import TilePlan
from napari_restore.core.region import Region
from napari_restore.methods.apply import Precision, finer, in_units_of, per_axis, restore_tensor
from napari_restore.methods.method import Method
from napari_restore.sources import Image
from napari_restore.sources.padded import read_reflected, seen_reflected


@dataclass(frozen=True, eq=False)
class TileJob:
    """Everything a tile needs besides its number.

    Attributes
    ----------
    plan
        Tiles over ``image`` or a part of it, in the order of its axes, and its ``rate`` that of ``method``.
    batch
        Tiles that go through the network together; always so many, the last batch is filled up.
    dtype
        Of the result; integers are rounded and clipped.
    outliers
        Whether they are handed on as they are.
    """

    image: Image
    method: Method
    normalisation: Normalisation
    plan: TilePlan
    batch: int
    dtype: np.dtype[Any]
    device: torch.device
    precision: Precision
    outliers: Outliers = "keep"

    @property
    def through(self) -> Callable[[Tensor], Tensor]:
        """Takes samples ``(N, C, *S)`` on the device through the network, in units of the image without the mean."""
        within = self.normalisation.of_centred
        return partial(restore_tensor, self.method, normalisation=within, precision=self.precision)


def all_asked_for(job: TileJob) -> TileJob:
    """The same of samples that are no tiles, and have no halo: what is measured on them holds for tiles, too."""
    method = copy.copy(job.method)
    method.unread = ()
    return replace(job, method=method)


@dataclass(frozen=True, eq=False)
class Tile:
    """A tile's result, with axes in the order that files are written in; ``region`` is in output pixels."""

    index: int
    region: Region
    pixels: NDArray[Any]


@dataclass(frozen=True, eq=False)
class Read:
    """A tile with its halo, as samples ``(N, C, *S)``.

    Attributes
    ----------
    samples
        For the network, in the image's units without the mean; not finite where there is nothing to restore.
    kept, pixels
        Which pixels are handed on as they are stored, and these; None where none are.
    alpha
        One channel more that is handed on; None where there is none.
    """

    samples: NDArray[np.float32]
    kept: NDArray[np.bool_] | None = None
    pixels: NDArray[Any] | None = None
    alpha: NDArray[Any] | None = None


def read_tile(job: TileJob, index: int) -> Read:
    """A tile with its halo.

    Raises
    ------
    ImageError
        If a value is too large for float32, in which all is computed.
    """
    apart = per_axis(job.image.axes, job.method.spatial, job.method.apart, default=1)
    seen = seen_reflected(job.image, job.plan.read(index), apart=apart)
    shown = seen.measured if job.method.fills and job.outliers == "replace" else seen.values
    values, pixels = (to_samples(a, job.image.axes, job.method.spatial) for a in (shown, seen.pixels))
    narrow = job.normalisation.centred(values)
    known = np.isfinite(narrow)
    outliers = None if seen.outliers is None else to_samples(seen.outliers, job.image.axes, job.method.spatial)
    kept = _kept(job, known, pixels, outliers)
    if values.dtype.itemsize > narrow.itemsize:
        _check_held(job, values, np.isfinite(values) & ~known)
        _check_held(job, pixels, np.isfinite(pixels) & kept & (np.abs(pixels) > _largest(job.dtype)))
    alpha = _alpha(job, index)
    return Read(narrow, kept, pixels, alpha) if kept.any() else Read(narrow, alpha=alpha)


def _kept(
    job: TileJob, known: NDArray[np.bool_], pixels: NDArray[Any], outliers: NDArray[np.bool_] | None
) -> NDArray[np.bool_]:
    """Which samples are handed on as they are stored: what is no signal, or has nothing to restore from.

    Where missing pixels are filled, that is what has a stored value: filling, and all where nothing else is changed.
    """
    kept = ~known
    if job.method.fills:
        there = np.isfinite(pixels)
        kept = there if job.method.keeps else kept & there
    if outliers is not None and job.outliers == "keep":
        kept |= outliers
    elif outliers is not None and job.method.fills:
        kept &= ~outliers
    return kept


def _check_held(job: TileJob, pixels: NDArray[Any], over: NDArray[np.bool_]) -> None:
    if over.any():
        raise ImageError(
            f"{job.image.name} holds {pixels[over].flat[0]:g}, and values are computed in float32, up to 3.4e38: "
            "divide the image by a constant."
        )


def _largest(dtype: np.dtype[Any]) -> float:
    return float(np.finfo(dtype).max) if dtype.kind == "f" else math.inf


def _alpha(job: TileJob, index: int) -> NDArray[Any] | None:
    """The alpha of a tile with its halo, as samples ``(N, 1, *S)``."""
    if job.image.alpha is None:
        return None
    axes, read = job.image.axes, job.plan.read(index)

    def alone(shape: Sequence[int], n: int) -> tuple[int, ...]:
        return tuple(n if a == "C" else m for a, m in zip(axes, shape, strict=True))

    geometry = replace(job.image.geometry, shape=alone(job.image.shape, 1))
    image = replace(job.image, geometry=geometry, reader=job.image.alpha)
    pixels = read_reflected(image, Region(alone(read.start, 0), alone(read.stop, 1)))
    return to_samples(pixels, axes, job.method.spatial)


def run_batch(
    job: TileJob, indices: Sequence[int], *, through: Callable[[NDArray[np.float32]], Tensor] | None = None
) -> list[Tile]:
    """Read, restore and crop the tiles of a batch, one thing after the other.

    ``through`` takes samples through the network, such as ``Fitting.restore``; all at once where it is not given.
    """
    reads = [read_tile(job, index) for index in indices]
    samples = filled_up([read.samples for read in reads], job.batch)
    restored = through(samples) if through is not None else restore_together(job, samples)
    return [finish() for finish in finishers(job, indices, reads, restored)]


def filled_up(reads: Sequence[NDArray[np.float32]], batch: int) -> NDArray[np.float32]:
    """Tiles that have been read, in one array; fewer than ``batch`` are filled up, so that the size never varies."""
    return np.concatenate([*reads, *[reads[-1]] * (batch - len(reads))])


def restore_together(job: TileJob, samples: NDArray[np.float32]) -> Tensor:
    """Samples through the network, all at once; the result is on the device, perhaps not computed yet."""
    return job.through(sent(samples, job.device))


def sent(samples: NDArray[np.float32], device: torch.device) -> Tensor:
    """Pixels on a device; a graphics card fetches them by itself, from memory that cannot be moved meanwhile."""
    tensor = torch.from_numpy(np.ascontiguousarray(samples))
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def finishers(
    job: TileJob, indices: Sequence[int], reads: Sequence[Read], restored: Tensor
) -> list[Callable[[], Tile]]:
    """What makes tiles of a batch that comes from the network: each tile is what the call of its function gives.

    That waits for a graphics card, crops and rounds, in whichever thread calls it, while the card has the next batch.
    """
    pixels = _on_its_way(restored)
    each = len(reads[0].samples)

    def finisher(place: int, index: int, read: Read) -> Callable[[], Tile]:
        return lambda: _finish(job, index, read, pixels()[place * each : (place + 1) * each])

    return [finisher(i, index, read) for i, (index, read) in enumerate(zip(indices, reads, strict=True))]


def _on_its_way(restored: Tensor) -> Callable[[], NDArray[np.float32]]:
    """Pixels that come to host memory by themselves; the function waits for them."""
    if restored.device.type != "cuda":
        return lambda: restored.cpu().numpy()
    host = torch.empty(restored.shape, dtype=restored.dtype, pin_memory=True)
    host.copy_(restored, non_blocking=True)
    there = torch.cuda.Event()  # type: ignore[no-untyped-call]
    there.record(torch.cuda.current_stream(restored.device))

    def pixels() -> NDArray[np.float32]:
        there.synchronize()
        return host.numpy()

    return pixels


def _finish(job: TileJob, index: int, read: Read, restored: NDArray[np.float32]) -> Tile:
    axes = job.image.axes
    crop, rate = job.plan.crop(index), (1, 1, *job.method.rate)

    def cropped(samples: NDArray[Any]) -> NDArray[Any]:
        shape = [samples.shape[1] if a == "C" else n for a, n in zip(axes, job.plan.restored_shape, strict=True)]
        return from_samples(samples, shape, axes, job.method.spatial)[crop]

    values = cropped(in_units_of(job.image, job.method, restored, normalisation=job.normalisation))
    kept = None if read.kept is None else cropped(finer(read.kept, rate))
    _check_finite(values, kept, index)
    pixels = _cast(values if kept is None else np.where(kept, 0, values), job.dtype)
    if kept is not None and job.method.gives_deviations:
        pixels[kept] = np.nan  # nothing was restored there
    elif kept is not None and read.pixels is not None:
        # All output pixels inside one that is handed on have its value.
        pixels[kept] = cropped(finer(read.pixels, rate))[kept].astype(job.dtype)
    stop = list(job.plan.write(index).stop)
    if read.alpha is not None:
        pixels = np.concatenate([pixels, cropped(finer(read.alpha, rate)).astype(job.dtype)], axes.index("C"))
        stop[axes.index("C")] += 1
    order = canonical_order(axes)
    write = job.plan.write(index)
    region = Region(tuple(write.start[i] for i in order), tuple(stop[i] for i in order))
    return Tile(index, region, np.ascontiguousarray(pixels.transpose(order)))


def _check_finite(pixels: NDArray[Any], kept: NDArray[np.bool_] | None, index: int) -> None:
    """Refuse what a broken network, or one whose numbers overflow, makes of pixels that have a value.

    Raises
    ------
    RestoreError
        With how many there are.
    """
    finite = np.isfinite(pixels)
    bad = np.count_nonzero(~finite if kept is None else ~kept & ~finite)
    if bad:
        raise RestoreError(
            f"the network gives {bad} of {pixels.size} pixels of tile {index} values that are not finite, where the "
            "image has a value: the model is damaged, or does not stand this `precision` or `device`. Nothing of it is "
            "written; what is done is kept. Give another model, or `precision` = float32."
        )


def _cast(pixels: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype.kind == "f":
        return pixels.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    # float32 cannot hold the largest 32-bit integers: clip in float64, where all of them are exact.
    return np.rint(pixels.astype(np.float64)).clip(limits.min, limits.max).astype(dtype)

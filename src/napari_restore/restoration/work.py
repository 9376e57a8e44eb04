"""Tiles: read, restored, cropped. Pure, so that any runner in any order gives the same bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_restore.core.geometry import canonical_order
from napari_restore.core.layout import from_samples, to_samples
from napari_restore.core.normalisation import Normalisation
from napari_restore.core.plan import TilePlan
from napari_restore.core.region import Region
from napari_restore.methods.apply import Precision, restore_tensor
from napari_restore.methods.method import Method
from napari_restore.sources import Image
from napari_restore.sources.padded import read_reflected


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
    """

    image: Image
    method: Method
    normalisation: Normalisation
    plan: TilePlan
    batch: int
    dtype: np.dtype[Any]
    device: torch.device
    precision: Precision

    @property
    def through(self) -> Callable[[Tensor], Tensor]:
        """Takes samples ``(N, C, *S)`` on the device through the network, in units of the image."""
        return partial(restore_tensor, self.method, normalisation=self.normalisation, precision=self.precision)


@dataclass(frozen=True, eq=False)
class Tile:
    """A tile's result, with axes in the order that files are written in; ``region`` is in output pixels."""

    index: int
    region: Region
    pixels: NDArray[Any]


def read_tile(job: TileJob, index: int) -> NDArray[np.float32]:
    """A tile with its halo, as samples ``(N, C, *S)`` in the image's units."""
    pixels = read_reflected(job.image, job.plan.read(index)).astype(np.float32, copy=False)
    return to_samples(pixels, job.image.axes, job.method.spatial)


def run_batch(
    job: TileJob, indices: Sequence[int], *, through: Callable[[NDArray[np.float32]], Tensor] | None = None
) -> list[Tile]:
    """Read, restore and crop the tiles of a batch, one thing after the other.

    ``through`` takes samples through the network, such as ``Fitting.restore``; all at once where it is not given.
    """
    reads = [read_tile(job, index) for index in indices]
    samples = filled_up(reads, job.batch)
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
    job: TileJob, indices: Sequence[int], reads: Sequence[NDArray[np.float32]], restored: Tensor
) -> list[Callable[[], Tile]]:
    """What makes tiles of a batch that comes from the network: each tile is what the call of its function gives.

    That waits for a graphics card, crops and rounds, in whichever thread calls it, while the card has the next batch.
    """
    pixels = _on_its_way(restored)
    each = len(reads[0])

    def finisher(place: int, index: int, read: NDArray[np.float32]) -> Callable[[], Tile]:
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


def _finish(job: TileJob, index: int, read: NDArray[np.float32], restored: NDArray[np.float32]) -> Tile:
    axes = job.image.axes
    kept = _hand_on(read, restored, rate=job.method.rate)
    whole = from_samples(kept, job.plan.restored_shape, axes, job.method.spatial)
    pixels = _cast(whole[job.plan.crop(index)], job.dtype)
    order = canonical_order(axes)
    write = job.plan.write(index)
    region = Region(tuple(write.start[i] for i in order), tuple(write.stop[i] for i in order))
    return Tile(index, region, np.ascontiguousarray(pixels.transpose(order)))


def _hand_on(read: NDArray[np.float32], restored: NDArray[np.float32], *, rate: Sequence[int]) -> NDArray[np.float32]:
    """What was not finite has no value to restore: all output pixels inside such a pixel stay as it was found."""
    finite = np.isfinite(read)
    if finite.all():
        return restored
    for axis, times in enumerate(rate, start=2):
        read, finite = read.repeat(times, axis), finite.repeat(times, axis)
    return np.where(finite, restored, read)


def _cast(pixels: NDArray[np.float32], dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype.kind == "f":
        return pixels.astype(dtype, copy=False)
    limits = np.iinfo(dtype)
    # float32 cannot hold the largest 32-bit integers: clip in float64, where all of them are exact.
    return np.rint(pixels.astype(np.float64)).clip(limits.min, limits.max).astype(dtype)

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

from napari_restore.core.errors import ImageError, RestoreError
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
        """Takes samples ``(N, C, *S)`` on the device through the network, in units of the image without the mean."""
        within = self.normalisation.of_centred
        return partial(restore_tensor, self.method, normalisation=within, precision=self.precision)


@dataclass(frozen=True, eq=False)
class Tile:
    """A tile's result, with axes in the order that files are written in; ``region`` is in output pixels."""

    index: int
    region: Region
    pixels: NDArray[Any]


def read_tile(job: TileJob, index: int) -> NDArray[np.float32]:
    """A tile with its halo, as samples ``(N, C, *S)`` in the image's units without the mean.

    Raises
    ------
    ImageError
        If a value is too large for float32, in which all is computed.
    """
    pixels = to_samples(read_reflected(job.image, job.plan.read(index)), job.image.axes, job.method.spatial)
    narrow = job.normalisation.centred(pixels)
    if pixels.dtype.itemsize > narrow.itemsize and pixels.dtype.kind == "f":
        over = np.isfinite(pixels) & ~np.isfinite(narrow)
        if over.any():
            raise ImageError(
                f"{job.image.name} holds {pixels[over].flat[0]:g}, and values are computed in float32, up to 3.4e38: "
                "divide the image by a constant."
            )
    return narrow


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
    crop = job.plan.crop(index)

    def cropped(samples: NDArray[Any]) -> NDArray[Any]:
        return from_samples(samples, job.plan.restored_shape, axes, job.method.spatial)[crop]

    known = None if job.method.fills else _known(read, rate=job.method.rate)
    if known is not None:
        restored = np.where(known, restored, _finer(read, job.method.rate))
    values = cropped(job.normalisation.uncentred(restored, job.image.dtype))
    if job.method.keeps:
        there = job.image.read(job.plan.own(index))  # taking the mean off and adding it again may change the last bit
        values = np.where(np.isfinite(there), there, values)
    _check_finite(values, None if known is None else cropped(known), index)
    pixels = _cast(values, job.dtype)
    order = canonical_order(axes)
    write = job.plan.write(index)
    region = Region(tuple(write.start[i] for i in order), tuple(write.stop[i] for i in order))
    return Tile(index, region, np.ascontiguousarray(pixels.transpose(order)))


def _known(read: NDArray[np.float32], *, rate: Sequence[int]) -> NDArray[np.bool_] | None:
    """Which output pixels have a value to restore; None where all have.

    What was not finite has none: all output pixels inside such a pixel stay as it was found.
    """
    finite = np.isfinite(read)
    return None if finite.all() else _finer(finite, rate)


def _finer(samples: NDArray[Any], rate: Sequence[int]) -> NDArray[Any]:
    for axis, times in enumerate(rate, start=2):
        samples = samples.repeat(times, axis)
    return samples


def _check_finite(pixels: NDArray[Any], known: NDArray[np.bool_] | None, index: int) -> None:
    """Refuse what a broken network, or one whose numbers overflow, makes of pixels that have a value.

    Raises
    ------
    RestoreError
        With how many there are.
    """
    finite = np.isfinite(pixels)
    bad = np.count_nonzero(~finite if known is None else known & ~finite)
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

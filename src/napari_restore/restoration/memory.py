"""How much memory a restoration will take, before it starts: measured on two small tiles, told, and kept to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, prod

import numpy as np
import torch
from scipy.optimize import nnls

from napari_restore.core.plan import round_up
from napari_restore.core.sizes import describe_bytes
from napari_restore.methods.allocated import HEAP, peak_of
from napari_restore.methods.free import free_memory, free_on
from napari_restore.restoration.work import TileJob, all_asked_for, restore_together
from napari_restore.sources.blocks import unpacked_at_once

AHEAD = 2
"""Batches that are read ahead, and batches that wait to be written, at most."""


def helpers(device: torch.device) -> tuple[int, int]:
    """Threads that read, and threads that crop, round, compress and write.

    Beside a processor's own work two and one keep up; a graphics card restores more in a second than that.
    """
    cores = os.cpu_count() or 1
    return (2, 1) if device.type == "cpu" else (min(8, max(2, cores // 2)), min(8, max(2, cores // 2)))


_SIDES = {2: (64, 192), 3: (16, 32)}
_PLANES = 4
"""Of the tile that tells what groups of patches take: they are of one plane at a time."""


@dataclass(frozen=True)
class MemoryPlan:
    """What a run will hold at most, and what there is. All in bytes.

    Attributes
    ----------
    host
        Resident memory of this process at its highest, with what it holds already.
    host_limit
        What it may grow to: what it holds, and the share of the free memory that it may take.
    held
        What it holds already.
    device
        On a graphics card, of this run alone; 0 without one.
    device_limit
        What it may take there; 0 without one.
    """

    host: int
    host_limit: int
    held: int
    device: int = 0
    device_limit: int = 0

    @property
    def fits(self) -> bool:
        """Whether both stay within their limits."""
        return self.host <= self.host_limit and self.device <= self.device_limit

    def __str__(self) -> str:
        more, free = describe_bytes(self.host - self.held), describe_bytes(self.host_limit - self.held)
        said = f"about {describe_bytes(self.host)} of memory: {more} more than is held now, of {free} that may be used"
        if self.device:
            said += f"; and {describe_bytes(self.device)} of {describe_bytes(self.device_limit)} on the graphics card"
        return said


@dataclass(frozen=True)
class Appetite:
    """What the method takes while it restores samples, in bytes.

    Attributes
    ----------
    base, each
        Whatever the samples, and for one sample's voxel.
    padding
        Voxels that the method adds to either side of a sample along each axis.
    padded
        For a voxel of a sample with these around it.
    """

    base: float
    each: float
    padding: tuple[int, ...] = ()
    padded: float = 0.0

    def of(self, sides: Sequence[int], together: int = 1) -> int:
        """For so many samples of these sides at once."""
        wide = prod(n + 2 * p for n, p in zip(sides, self.padding, strict=True)) if self.padding else 0
        return ceil(self.base + together * (self.each * prod(sides) + self.padded * wide))


def appetite(job: TileJob) -> Appetite:
    """Measure the network on two small tiles: what it allocates is a line over their voxels.

    Where the method adds voxels around a sample, these are most of a small tile, and fewer of a larger one: two tiles,
    of twice what is added and half as much again, tell what a voxel of either kind takes. (Of smaller ones the lengths
    that Fourier transforms are rounded up to are most.)

    Groups of patches that look alike take as much of any larger tile, and nearly all of a small one. They come after
    the network, which holds more for a voxel: the line is that of the network alone, and what a small plane with
    patches takes beyond it is added, whatever the tile: once for each thread that looks for them.
    """
    job = all_asked_for(job)
    spatial = [job.image.axes.index(a) for a in job.method.spatial]
    most = [job.plan.read_shape[i] for i in spatial]
    few, many = (_shape_of(job, [side] * len(most), most) for side in _SIDES[len(most)])
    if any(job.method.padding):
        return _of_padded(replace(job, method=job.method.in_short()), many, most)
    if not job.method.full:
        return _of_network(job, few, many)
    network = _of_network(replace(job, method=job.method.as_graph()), few, many)
    planes = max(_PLANES, 2 * job.method.neighbours + 1)
    full = _shape_of(job, [planes if a not in "YX" else job.method.full for a in job.method.spatial], most)
    threads = torch.get_num_threads() if job.device.type == "cpu" else 1
    return replace(network, base=max(network.base, threads * (_allocated(job, full) - network.each * prod(full))))


def _of_network(job: TileJob, few: tuple[int, ...], many: tuple[int, ...]) -> Appetite:
    """A line through what tiles of two sizes take."""
    small, large = _allocated(job, few), _allocated(job, many)
    each = max(0.0, (large - small) / (prod(many) - prod(few))) if prod(many) > prod(few) else small / prod(few)
    return Appetite(max(0.0, small - each * prod(few)), each)


def _of_padded(job: TileJob, many: Sequence[int], most: Sequence[int]) -> Appetite:
    """Of a method that adds voxels around a sample."""
    padding = job.method.padding
    sides = [[max(n, times * m) for n, m in zip(many, padding, strict=True)] for times in (4, 6)]
    shapes = list(dict.fromkeys(_shape_of(job, each, most) for each in sides))
    rows = [(prod(shape), prod(n + 2 * p for n, p in zip(shape, padding, strict=True))) for shape in shapes]
    taken = [_allocated(job, shape) for shape in shapes]
    if len(shapes) == 1:
        return Appetite(0.0, 0.0, padding, taken[0] / rows[0][1])
    (each, padded), _ = nnls(np.asarray(rows, np.float64), np.asarray(taken, np.float64))
    return Appetite(0.0, float(each), padding, float(padded))


def _shape_of(job: TileJob, sides: Sequence[int], most: Sequence[int]) -> tuple[int, ...]:
    """On the method's grid, and no larger than tiles are read."""
    return tuple(min(round_up(side, g), n) for side, g, n in zip(sides, job.method.grid, most, strict=True))


def plan_memory(
    job: TileJob, network: Appetite, *, together: int, pieces: Sequence[int], share: float, now: int
) -> MemoryPlan:
    """What restoring takes when ``together`` samples, each cut into ``pieces``, are in the network at once.

    Read ahead are two batches, with one in the network and the one it came from; each of the readers holds the pixels
    as they are stored besides, and the blocks of a file that are unpacked for them. Two batches, with one more, wait to
    be written, as they came from the network and were read; each of the writers rounds, in float64 for integers, and
    compresses one tile. Of fewer batches there are no more. All of it takes more of the heap than it is, and each
    thread's part of that keeps its own gaps.

    ``now`` is what the process held before the network was measured: what is left of that is used again.
    """
    read, result = prod(job.plan.read_shape), prod(job.plan.restored_shape)
    written = prod(job.plan.output_tile) * job.dtype.itemsize
    readers, writers = helpers(job.device)
    batches = ceil(len(job.plan) / job.batch)
    reading = min(AHEAD + 2, batches) * job.batch * 4 * read + min(readers, len(job.plan)) * (
        read * (job.image.dtype.itemsize + 4) + unpacked_at_once(job.image, job.plan.read_shape)
    )
    card = job.device.type != "cpu"
    batch = job.batch * 4 * read
    rounding = (8 + 8 if job.dtype.kind != "f" else 4) * prod(job.plan.output_tile)
    writing = min(AHEAD + 1, batches) * job.batch * 4 * (result + read) + writers * (rounding + 2 * written)
    inside = network.of(_sides(job, pieces), together)
    host = now + int(HEAP * (reading + batch + (0 if card else inside) + writing))
    limit = now + int(share * free_memory())
    if not card:
        return MemoryPlan(host, limit, now)
    return MemoryPlan(host, limit, now, inside, int(share * free_on(job.device)))


def _sides(job: TileJob, pieces: Sequence[int]) -> list[int]:
    """Of one sample in one piece, with what is read around it."""
    index = [job.image.axes.index(a) for a in job.method.spatial]
    return [
        round_up(ceil(job.plan.tile[i] / n), g) + job.plan.read_shape[i] - job.plan.tile[i]
        for i, n, g in zip(index, pieces, job.method.grid, strict=True)
    ]


def _allocated(job: TileJob, shape: tuple[int, ...]) -> int:
    """Bytes that are allocated at the highest while one sample of this shape is restored."""
    samples = job.method.usual(shape)
    if job.device.type != "cuda":
        return peak_of(lambda: restore_together(job, samples))
    torch.cuda.reset_peak_memory_stats(job.device)
    before = torch.cuda.memory_allocated(job.device)
    restore_together(job, samples)
    return int(torch.cuda.max_memory_allocated(job.device)) - before

"""How much memory a restoration will take, before it starts: measured on two small tiles, told, and kept to."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, prod

import numpy as np
import torch

from napari_restore.core.plan import round_up
from napari_restore.core.sizes import describe_bytes
from napari_restore.methods.allocated import HEAP, peak_of
from napari_restore.methods.free import free_memory, free_on, held
from napari_restore.restoration.work import TileJob, restore_together

AHEAD = 2
"""Batches that are read ahead, and batches that wait to be written, at most."""


def helpers(device: torch.device) -> tuple[int, int]:
    """Threads that read, and threads that crop, round, compress and write.

    Beside a processor's own work two and one keep up; a graphics card restores more in a second than that.
    """
    cores = os.cpu_count() or 1
    return (2, 1) if device.type == "cpu" else (min(8, max(2, cores // 2)), min(8, max(2, cores // 2)))


_SIDES = {2: (64, 192), 3: (16, 32)}


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
    """What the network takes while it restores samples, in bytes: ``base`` and ``each`` for one sample's voxel.

    Voxels are counted with those that the method adds around a sample itself.
    """

    base: float
    each: float

    def of(self, voxels: int) -> int:
        """For so many voxels at once."""
        return ceil(self.base + self.each * voxels)


def appetite(job: TileJob) -> Appetite:
    """Measure the network on two small tiles: what it allocates is a line over their voxels."""
    grid, most = job.method.grid, [n for a, n in zip(job.image.axes, job.plan.read_shape, strict=True)]
    spatial = [job.image.axes.index(a) for a in job.method.spatial]
    found = []
    for side in _SIDES[len(grid)]:
        shape = tuple(min(round_up(side, g), most[i]) for g, i in zip(grid, spatial, strict=True))
        found.append((_with_padding(job, shape), _allocated(job, shape)))
    (few, small), (many, large) = found
    each = max(0.0, (large - small) / (many - few)) if many > few else small / few
    return Appetite(max(0.0, small - each * few), each)


def plan_memory(job: TileJob, network: Appetite, *, together: int, pieces: Sequence[int], share: float) -> MemoryPlan:
    """What restoring takes when ``together`` samples, each cut into ``pieces``, are in the network at once.

    Read ahead are two batches, with one in the network and the one it came from; each of the readers holds the pixels
    as they are stored besides. Two batches, with one more, wait to be written, as they came from the network and were
    read; each of the writers rounds, in float64 for integers, and compresses one tile.
    """
    read, result = prod(job.plan.read_shape), prod(job.plan.restored_shape)
    written = prod(job.plan.output_tile) * job.dtype.itemsize
    readers, writers = helpers(job.device)
    reading = (AHEAD + 2) * job.batch * 4 * read + readers * read * (job.image.dtype.itemsize + 4)
    voxels = _voxels(job, pieces) * together
    card = job.device.type != "cpu"
    batch = job.batch * 4 * read
    rounding = (8 + 8 if job.dtype.kind != "f" else 4) * prod(job.plan.output_tile)
    writing = (AHEAD + 1) * job.batch * 4 * (result + read) + writers * (rounding + 2 * written)
    inside = network.of(voxels)
    now = held()
    host = now + reading + batch + (0 if card else int(HEAP * inside)) + writing
    limit = now + int(share * free_memory())
    if not card:
        return MemoryPlan(host, limit, now)
    return MemoryPlan(host, limit, now, inside, int(share * free_on(job.device)))


def _voxels(job: TileJob, pieces: Sequence[int]) -> int:
    """Of one sample in one piece, with what is read around it."""
    index = [job.image.axes.index(a) for a in job.method.spatial]
    sides = [
        round_up(ceil(job.plan.tile[i] / n), g) + job.plan.read_shape[i] - job.plan.tile[i]
        for i, n, g in zip(index, pieces, job.method.grid, strict=True)
    ]
    return _with_padding(job, sides)


def _with_padding(job: TileJob, sides: Sequence[int]) -> int:
    return prod(n + 2 * m for n, m in zip(sides, job.method.padding, strict=True))


def _allocated(job: TileJob, shape: tuple[int, ...]) -> int:
    """Bytes that are allocated at the highest while one sample of this shape is restored."""
    samples = np.zeros((1, job.method.channels, *shape), np.float32)

    if job.device.type != "cuda":
        return peak_of(lambda: restore_together(job, samples))
    torch.cuda.reset_peak_memory_stats(job.device)
    before = torch.cuda.memory_allocated(job.device)
    restore_together(job, samples)
    return int(torch.cuda.max_memory_allocated(job.device)) - before

"""Who computes tiles, as types: a runner gets ready, plans a job, and what it has planned is run."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Protocol

import torch

from napari_restore.core.events import TileDone
from napari_restore.core.job import Events
from napari_restore.core.options import Computing
from napari_restore.core.region import Region
from napari_restore.core.watch import Watch
from napari_restore.methods.apply import Precision
from napari_restore.restoration.memory import MemoryPlan
from napari_restore.restoration.work import TileJob
from napari_restore.store.model import Model
from napari_restore.store.output import OutputWriter


@dataclass(frozen=True)
class Place:
    """What tiles are computed on, with how many bits, and its name for the user."""

    device: torch.device
    precision: Precision
    name: str


@dataclass(frozen=True)
class Written:
    """A tile that is on the disk.

    Attributes
    ----------
    region
        In output pixels, axes in the order that files are written in.
    unusable
        How many of its pixels are not finite.
    checksum
        CRC-32 of its pixels.
    """

    index: int
    region: Region
    unusable: int
    checksum: int


@dataclass
class Progress:
    """What has been counted so far."""

    done: int
    tiles: int
    began: float = field(default_factory=time.perf_counter)
    here: int = 0
    unusable: int = 0

    def count(self, written: Written) -> TileDone:
        """One more tile is on the disk."""
        self.done, self.here, self.unusable = self.done + 1, self.here + 1, self.unusable + written.unusable
        seconds = time.perf_counter() - self.began
        remaining = seconds / self.here * (self.tiles - self.done)
        return TileDone(written.index, self.done, self.tiles, written.region, seconds, remaining)


class Planned(Protocol):
    """A job that a runner can begin."""

    @property
    def memory(self) -> MemoryPlan | None:
        """What this process will hold; None where others do the work."""

    def run(self, out: OutputWriter, progress: Progress, watch: Watch) -> Events[bool]:
        """Restore every tile that is not in the journal; True when a stop was asked for first."""


class Ready(Protocol):
    """A runner that knows where it computes."""

    @property
    def place(self) -> Place:
        """Where, and with how many bits."""

    def plan(self, job: TileJob, *, share: float) -> Planned:
        """Choose how much is computed at once.

        Parameters
        ----------
        share
            Of the free memory that may be used, over 0 and at most 1.

        Raises
        ------
        RestoreError
            If memory does not suffice for the least.
        """


class Runner(Protocol):
    """Who computes and writes tiles: this process, or the workers of a cluster."""

    def ready(self, model: Model, computing: Computing, watch: Watch) -> Events[Ready]:
        """Choose a place before anything is written."""


def wants_bfloat16(model: Model, computing: Computing) -> bool:
    """Whether a run computes in bfloat16 where the processor has it."""
    return computing.precision == "bfloat16" or (computing.precision == "auto" and model.precision == "bfloat16")

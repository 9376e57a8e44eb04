"""Tiles in this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from napari_restore.core.events import Event, Note
from napari_restore.core.job import Events
from napari_restore.core.options import Computing
from napari_restore.core.watch import Watch
from napari_restore.methods.device import describe, find_device, find_precision, kept_buffers, release_buffers
from napari_restore.methods.free import held
from napari_restore.methods.method import Interrupted
from napari_restore.restoration.fitting import Fitting
from napari_restore.restoration.memory import MemoryPlan
from napari_restore.restoration.pipeline import Pipeline
from napari_restore.restoration.running import Place, Progress, Written, wants_bfloat16
from napari_restore.restoration.work import Tile, TileJob
from napari_restore.store.model import Model
from napari_restore.store.output import OutputWriter

_NEARLY = 0.9
"""Of the memory planned: a process that holds so much after a tile may hold more than that in the next."""


class LocalRunner:
    """Restores tiles in this process."""

    def ready(self, model: Model, computing: Computing, watch: Watch) -> Events[LocalReady]:
        """Choose the device of this machine."""
        yield from ()
        return LocalReady(local_place(model, computing))


def local_place(model: Model, computing: Computing) -> Place:
    """The device of this machine that is asked for, and how many bits it computes with.

    Raises
    ------
    RestoreError
        If there is no such device.
    """
    device = find_device(computing.device)
    bits = find_precision(device) if wants_bfloat16(model, computing) else "float32"
    return Place(device, bits, describe(device))


@dataclass(frozen=True)
class LocalReady:
    """The device of this process."""

    place: Place

    def plan(self, job: TileJob, *, share: float) -> LocalPlanned:
        """What this process will hold; the network sees less at once where memory is short."""
        job.method.to(job.device)
        release_buffers()  # of training or an estimate, of other sizes: they would stay beside all that comes
        fitting = Fitting(job)
        with kept_buffers():
            memory = fitting.plan(share=share)
        return LocalPlanned(job, fitting, memory)


@dataclass(frozen=True, eq=False)
class LocalPlanned:
    """A job, how much of it goes through the network at once, and what memory that takes."""

    job: TileJob
    fitting: Fitting
    memory: MemoryPlan

    def run(self, out: OutputWriter, progress: Progress, watch: Watch) -> Events[bool]:
        """Restore every tile that is not in the journal; True when a stop was asked for first."""
        done = out.done
        todo = [i for i in range(len(self.job.plan)) if i not in done]

        def write(tile: Tile) -> int:
            return out.write(tile.index, tile.region, tile.pixels)

        with kept_buffers(), Pipeline(self.job, todo, write) as pipeline:
            self.job.method.stopping = lambda: watch.stopping
            for batch in pipeline.batches():
                if watch.stopping:
                    break
                try:
                    pipeline.finish(batch, self.fitting.restore(batch.samples()))
                except Interrupted:
                    break
                yield from self._told(pipeline.written(), progress)
                self._keep_to_plan()
            yield from self._told(pipeline.rest(), progress)
        return progress.done < progress.tiles

    def _keep_to_plan(self) -> None:
        """What is freed stays, in gaps that the next tile does not all fill, and with threads: not beyond the plan."""
        if held() > _NEARLY * self.memory.host:
            release_buffers()

    def _told(self, tiles: Iterable[Written], progress: Progress) -> Iterator[Event]:
        for written in tiles:
            yield from (Note(text, "warning") for text in self.fitting.news())
            yield progress.count(written)

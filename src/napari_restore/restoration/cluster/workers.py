"""The runner of a dask cluster: what its workers have in common, and tiles handed to them as tasks."""

from __future__ import annotations

import time
from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

import distributed
import torch

from napari_restore.core.errors import InterruptedWorkError, RestoreError
from napari_restore.core.events import Note
from napari_restore.core.job import Events
from napari_restore.core.options import Computing
from napari_restore.core.version import __version__
from napari_restore.core.watch import Watch
from napari_restore.methods.apply import Precision
from napari_restore.restoration.cluster.recipe import Recipe
from napari_restore.restoration.cluster.source import Source
from napari_restore.restoration.cluster.station import worker_facts
from napari_restore.restoration.cluster.tasks import LOOK, Tasks, blocks, check_there, tasks_of
from napari_restore.restoration.running import Place, Progress, wants_bfloat16
from napari_restore.restoration.work import TileJob
from napari_restore.store.model import Model
from napari_restore.store.output import OutputWriter


class Workers:
    """Restores tiles on the workers of a dask cluster.

    Parameters
    ----------
    client
        A ``distributed.Client`` that is not asynchronous.
    source
        How workers open the image, from ``find_source``.

    Raises
    ------
    RestoreError
        If the client is something else.
    """

    def __init__(self, client: Any, source: Source) -> None:
        if not isinstance(client, distributed.Client) or client.asynchronous:
            kind = "an asynchronous Client" if isinstance(client, distributed.Client) else type(client).__name__
            raise RestoreError(f"`client` is {kind}: give a distributed.Client(...) without asynchronous=True.")
        self._client = client
        self._source = source

    def ready(self, model: Model, computing: Computing, watch: Watch) -> Events[ReadyWorkers]:
        """Wait for a worker, and choose the device and precision that all of them have."""
        yield from _wait_for_workers(self._client, watch)
        common = find_common(_facts(self._client, computing.device), computing.device)
        bits: Precision = "bfloat16" if wants_bfloat16(model, computing) and common.bfloat16 else "float32"
        mine = torch.get_num_threads()
        if common.device == "cpu" and common.threads != mine:
            yield Note(
                f"tasks compute with {_count(common.threads, 'thread')} and this process with {mine}: float32 results "
                "of the two may differ in the last bit"
            )
        if torch.__version__ not in common.torch or len(common.torch) > 1:
            yield Note(f"workers have torch {', '.join(common.torch)}, this process {torch.__version__}", "warning")
        place = Place(torch.device(common.device), bits, common.name)
        return ReadyWorkers(self._client, self._source, model, common, place)


@dataclass(frozen=True, eq=False)
class ReadyWorkers:
    """A cluster that has workers, and what they have in common."""

    client: Any
    source: Source
    model: Model
    common: Common
    place: Place

    def plan(self, job: TileJob, *, share: float) -> PlannedWork:
        """Nothing of it is held here; a worker whose memory runs out takes less through the network at once."""
        return PlannedWork(self, job)


@dataclass(frozen=True, eq=False)
class PlannedWork:
    """A job for the workers of a cluster."""

    ready: ReadyWorkers
    job: TileJob
    memory: None = None

    def run(self, out: OutputWriter, progress: Progress, watch: Watch) -> Events[bool]:
        """Restore every tile that is not in the journal; True when a stop was asked for first."""
        job, client, common = self.job, self.ready.client, self.ready.common
        recipe = Recipe.of(job, self.ready.model, self.ready.source, out, threads=common.threads)
        with tasks_of(client, recipe, {"GPU": 1} if common.declares_gpu else None) as tasks:
            while todo := _left(len(job.plan), out.done):
                before = progress.done
                seconds = tasks.seconds_a_batch(watch)
                if seconds is None:
                    return True
                for block in blocks(todo, batch=job.batch, seconds=seconds, slots=_slots(client, common)):
                    tasks.submit(block)
                for written in tasks.finished(watch):
                    out.record((each.index, each.region, each.checksum) for each in written)
                    yield from map(progress.count, written)
                if tasks.stopped:
                    return progress.done < progress.tiles
                if progress.done == before:
                    raise RestoreError("workers gave back no tile: look at their logs. What is done is kept.")
            return self._make_smaller(out, tasks, watch)

    def _make_smaller(self, out: OutputWriter, tasks: Tasks, watch: Watch) -> bool:
        """The smaller levels, each when the one before it is whole; True when a stop was asked for first."""
        seconds: float | None = None
        for level in out.smaller:
            left = out.left_of(level)
            slots = _slots(self.ready.client, self.ready.common) if len(left) > 1 else 1
            if seconds is None and len(left) > slots:
                seconds = tasks.seconds_a_block(level, watch)
                if seconds is None:
                    return True
            for block in blocks(left, batch=1, seconds=seconds or 0.0, slots=slots):
                tasks.submit_smaller(level, block)
            for made in tasks.finished_smaller(watch):
                out.record_smaller(level, made)
            if tasks.stopped:
                return True
        return False


@dataclass(frozen=True)
class Common:
    """What the workers that get tasks have in common.

    Attributes
    ----------
    device, bfloat16
        Of all of them, and whether all of them compute in bfloat16.
    threads
        Of torch for a task: the fewest that one has.
    declares_gpu
        Whether tasks ask for a ``GPU`` as dask counts them.
    torch
        Its versions.
    name
        For the user.
    """

    device: str
    bfloat16: bool
    threads: int
    declares_gpu: bool
    torch: tuple[str, ...]
    name: str


def find_common(facts: Mapping[str, Mapping[str, Any]], device: str) -> Common:
    """What all workers that will get tasks have.

    Parameters
    ----------
    facts
        Of each worker by its address, from ``worker_facts``.
    device
        That is asked for.

    Raises
    ------
    RestoreError
        If they have other releases than this process, lack the device, or have different ones.
    """
    for address, fact in facts.items():
        if fact["version"] != __version__:
            raise RestoreError(
                f"worker {address} has napari-restore {fact['version']} and this process {__version__}: install the "
                "same on both."
            )
    with_gpu = {a: f for a, f in facts.items() if f["gpus"] >= 1}
    declares_gpu = bool(with_gpu) and device != "cpu"
    used = with_gpu if declares_gpu else dict(facts)
    for address, fact in used.items():
        if fact["device"] is None:
            raise RestoreError(f"worker {address}: {fact['trouble']}")
    devices = sorted({f["device"] for f in used.values()})
    if len(devices) > 1:
        raise RestoreError(
            f"workers have different devices ({', '.join(devices)}), whose results differ: give `device` cpu, or start "
            'those with a GPU with --resources "GPU=1".'
        )
    threads = min(f["threads"] for f in used.values())
    kind = f"CPU, {_count(threads, 'thread')} a task" if devices[0] == "cpu" else devices[0]
    return Common(
        device=devices[0],
        bfloat16=all(f["bfloat16"] for f in used.values()),
        threads=threads,
        declares_gpu=declares_gpu,
        torch=tuple(sorted({f["torch"] for f in used.values()})),
        name=f"{_count(len(used), 'dask worker')} ({kind})",
    )


def _wait_for_workers(client: Any, watch: Watch) -> Events[None]:
    told = False
    while not client.nthreads():
        if not told:
            yield Note("waiting for a worker of the cluster")
            told = True
        if watch.stopping:
            raise InterruptedWorkError("stopped while waiting for a worker: nothing has been begun.")
        check_there(client)
        time.sleep(LOOK)


def _facts(client: Any, device: str) -> dict[str, dict[str, Any]]:
    """What the workers that answer can do; one that is lost just now does not count."""
    answers = client.run(worker_facts, device, on_error="return")
    for address, answer in answers.items():
        if isinstance(answer, ImportError):
            raise RestoreError(f"worker {address} cannot load what it needs ({answer}): install napari-restore there.")
        if isinstance(answer, Exception) and not isinstance(answer, OSError):
            raise answer
    there = {address: answer for address, answer in answers.items() if not isinstance(answer, OSError)}
    if not there:
        raise RestoreError("no worker of the cluster answers: look whether they run, then start it again.")
    return there


def _slots(client: Any, common: Common) -> int:
    """Tasks that run at the same time, with the workers there are now."""
    facts = _facts(client, "cpu").values()
    slots: list[int] = [min(f["slots"], int(f["gpus"])) if common.declares_gpu else f["slots"] for f in facts]
    return max(1, sum(slots))


def _left(tiles: int, done: Container[int]) -> list[int]:
    return [i for i in range(tiles) if i not in done]


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"

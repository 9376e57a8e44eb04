"""What runs on a worker: the state it has of a run, and what tasks and questions do with it."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import distributed
import torch

from napari_restore.core.errors import RestoreError
from napari_restore.core.version import __version__
from napari_restore.methods.device import find_device, find_precision, kept_buffers, use_threads
from napari_restore.restoration.cluster.recipe import Recipe
from napari_restore.restoration.cluster.source import this_place
from napari_restore.restoration.fitting import Fitting
from napari_restore.restoration.pipeline import Pipeline
from napari_restore.restoration.running import Written
from napari_restore.restoration.work import Tile, TileJob, run_batch
from napari_restore.store import ome_zarr, pyramid
from napari_restore.store.files import disk_errors
from napari_restore.store.pyramid import Level

_log = logging.getLogger(__name__)


class WorkerState(distributed.WorkerPlugin):  # type: ignore[misc]
    """What a worker has of a run. The scheduler hands it to workers that come later, too.

    Parameters
    ----------
    name
        Of the run.
    recipe
        For it.
    """

    def __init__(self, name: str, recipe: Recipe) -> None:
        self.name = name
        self.recipe = recipe

    def setup(self, worker: Any) -> None:
        """On arrival at a worker; nothing is opened before the first task."""
        self.running: set[str] = set()
        self.stopping = False
        self._dropped: set[str] = set()
        self._lock = threading.Lock()
        self._begun: tuple[TileJob, Fitting] | None = None

    def transition(self, key: Any, start: str, finish: str, **_: Any) -> None:
        """A task that nobody waits for any more ends at its next batch."""
        if finish in ("cancelled", "released", "forgotten") and key in self.running:
            self._dropped.add(key)

    def job(self) -> tuple[TileJob, Fitting]:
        """The image and the network, and how much of it goes through that at once, from the first task on."""
        use_threads(self.recipe.threads)
        with self._lock:
            if self._begun is None:
                job = self.recipe.job()
                self._begun = job, Fitting(job)
            return self._begun

    def seconds_a_batch(self) -> float:
        """How long a batch takes on this worker, from reading to cropping, the second time."""
        job, fitting = self.job()
        for _ in range(2):
            began = time.perf_counter()
            run_batch(job, [0], through=fitting.restore)
        return time.perf_counter() - began

    def restore(self, key: str, indices: Sequence[int]) -> list[Written]:
        """Tiles that are on the disk now: all, unless stopped."""
        with self._begins(key):
            job, fitting = self.job()
            done: list[Written] = []
            with kept_buffers(), Pipeline(job, indices, self._writer()) as pipeline:
                for batch in pipeline.batches():
                    if self._ends(key):
                        break
                    pipeline.finish(batch, fitting.restore(batch.samples()))
                    done += pipeline.written()
                    for text in fitting.news():
                        _log.warning("%s: %s", this_place(), text)
                done += pipeline.rest()
            return done

    def make(self, key: str, level: Level, indices: Sequence[int]) -> dict[int, int]:
        """Blocks of a smaller level that are on the disk now, with their checksums: all, unless stopped."""
        folder = self._folder()
        with self._begins(key), disk_errors(folder):
            return dict(pyramid.make(folder, level, indices, stopping=lambda: self._ends(key)))

    def seconds_a_block(self, key: str, level: Level) -> float:
        """How long a block of a smaller level takes on this worker."""
        began = time.perf_counter()
        self.make(key, level, [0])
        return time.perf_counter() - began

    @contextlib.contextmanager
    def _begins(self, key: str) -> Iterator[None]:
        self.running.add(key)
        try:
            yield
        finally:
            self.running.discard(key)
            self._dropped.discard(key)

    def _ends(self, key: str) -> bool:
        return self.stopping or key in self._dropped

    def _folder(self) -> Path:
        folder = Path(self.recipe.folder)
        if not (folder / "0").is_dir():
            raise RestoreError(
                f"{folder} is not there on {this_place()}: choose an `output` in a folder that every worker sees under "
                "the same path."
            )
        return folder

    def _writer(self) -> Callable[[Tile], int]:
        folder = self._folder()
        array = ome_zarr.open_level(folder, 0)

        def write(tile: Tile) -> int:
            with disk_errors(folder):
                return ome_zarr.write_blocks(array, folder / "0", tile.region, tile.pixels)

        return write


def restore(name: str, key: str, indices: Sequence[int]) -> list[Written]:
    """A task: restore tiles of a run; runs on a worker."""
    return _state(distributed.get_worker(), name).restore(key, indices)


def seconds_a_batch(name: str, _: str) -> float:
    """A task: how long a batch takes; runs on a worker."""
    return _state(distributed.get_worker(), name).seconds_a_batch()


def make(name: str, key: str, level: Level, indices: Sequence[int]) -> dict[int, int]:
    """A task: make blocks of a smaller level; runs on a worker."""
    return _state(distributed.get_worker(), name).make(key, level, indices)


def seconds_a_block(name: str, key: str, level: Level) -> float:
    """A task: how long a block of a smaller level takes; runs on a worker."""
    return _state(distributed.get_worker(), name).seconds_a_block(key, level)


def stop(name: str, dask_worker: Any) -> None:
    """Tasks of a run end at their next batch; runs on a worker."""
    if name in dask_worker.plugins:
        _state(dask_worker, name).stopping = True


def running(name: str, dask_worker: Any) -> int:
    """How many tasks of a run are under way; runs on a worker."""
    return len(_state(dask_worker, name).running) if name in dask_worker.plugins else 0


def worker_facts(device: str, dask_worker: Any) -> dict[str, Any]:
    """What a worker can do; runs on it."""
    try:
        place, trouble = find_device(device), ""
    except RestoreError as error:
        place, trouble = None, str(error)
    return {
        "device": None if place is None else str(place),
        "trouble": trouble,
        "bfloat16": place is not None and find_precision(place) == "bfloat16",
        "threads": torch.get_num_threads(),
        "slots": dask_worker.state.nthreads,
        "gpus": dask_worker.state.total_resources.get("GPU", 0),
        "version": __version__,
        "torch": torch.__version__,
    }


def _state(worker: Any, name: str) -> WorkerState:
    state: WorkerState = worker.plugins[name]
    return state

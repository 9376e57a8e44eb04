"""Restoring on the workers of a dask cluster: tasks of some seconds each, and the model loaded once a worker.

The process that has the client plans, holds the lock, keeps the journal and finishes the output. A worker opens the
image by its own path, restores the tiles of a task and writes them: whole chunks, each in one task only. It answers
when they are on the disk, and only then the journal names them; what a lost worker had begun is done again by another.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import queue
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import distributed
import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray

from napari_restore import __version__
from napari_restore.core.errors import ImageError, InterruptedWorkError, RestoreError
from napari_restore.core.events import Note
from napari_restore.core.job import Events
from napari_restore.core.normalisation import Normalisation
from napari_restore.core.plan import TilePlan
from napari_restore.methods.apply import Precision
from napari_restore.methods.device import find_device, find_precision, kept_buffers
from napari_restore.restoration.engine import Place, Progress, Written, wants_bfloat16, written_tiles
from napari_restore.restoration.fitting import Fitting
from napari_restore.restoration.prepare import probe
from napari_restore.restoration.work import Tile, TileJob, read_tile, run_batch
from napari_restore.sources import Image, open_image
from napari_restore.sources.locations import without_secrets
from napari_restore.store import ome_zarr
from napari_restore.store.files import disk_errors
from napari_restore.store.model import Model, build_method
from napari_restore.store.output import OutputWriter

_log = logging.getLogger(__name__)

TASK_SECONDS = 10.0
"""A task takes at least so long where there is enough to do: the scheduler needs some milliseconds for each."""

LARGEST_ARRAY = 64 * 2**20
"""An image without a path is sent to every worker, up to so many bytes."""

_DROPPED = "the dask scheduler went away or dropped this run: what is done is kept, start it again to go on."
_GONE = (OSError, RuntimeError, asyncio.CancelledError)
"""What a client raises when its scheduler or it itself is closed."""

_RETRIES = 2
_LOOK = 0.2
_PATIENCE = 60.0
"""Seconds between looks at the stop, and seconds to wait for workers to leave a run that has failed."""


@dataclass(frozen=True, eq=False)
class Source:
    """How a worker opens the image: by ``location`` as the user did, or from ``pixels`` that came along."""

    location: str | None = field(repr=False)  # a URL with its credentials: workers log what they are given
    axes: str | None
    channel: int | str | None = None
    pixels: NDArray[Any] | None = None

    def open(self) -> Image:
        """The image, as this process sees it."""
        return open_image(self.location if self.pixels is None else self.pixels, axes=self.axes, channel=self.channel)


def find_source(image: Image, *, axes: str | None = None, channel: int | str | None = None) -> Source:
    """How workers open an image.

    Parameters
    ----------
    image
        As it was opened here.
    axes, channel
        That it was opened with.

    Raises
    ------
    ImageError
        If it lies in memory and is too large to send, or its path alone does not give it again.
    """
    if image.location is None:
        if image.nbytes > LARGEST_ARRAY:
            raise ImageError(
                f"{image.name} has no path that workers can open, and its {image.nbytes / 2**20:.0f} MiB are over the "
                f"{LARGEST_ARRAY // 2**20} MiB that are sent to each: save it as OME-Zarr where all of them see it, "
                "and give that path."
            )
        return Source(None, image.axes, pixels=image.read())
    place = image.address or image.location
    location = place if "://" in place else str(Path(place).absolute())
    # With a channel, the user's axes are those of the file; without one, the image's, which may have been guessed.
    source = Source(location, image.axes if channel is None else axes, channel)
    _check_same(source, image.axes, image.shape, image.dtype.str, probe(image))
    return source


@dataclass(frozen=True, eq=False)
class Recipe:
    """All that a worker needs for a run; what it makes of it stays with it until the run ends.

    Attributes
    ----------
    source, image_dtype, pixels
        How to open the image, and a checksum over some of its pixels.
    card, weights
        Of the model: plain values, and its tensors in the format of safetensors.
    folder
        The unfinished OME-Zarr.
    threads
        Of torch for a task: the same on every worker, as results may differ with it in the last bit.
    """

    source: Source
    image_dtype: str
    pixels: str
    card: Mapping[str, Any]
    weights: bytes
    plan: TilePlan
    batch: int
    dtype: str
    device: str
    precision: Precision
    folder: str
    threads: int
    version: str = __version__

    def job(self) -> TileJob:
        """Open the image and build the network here."""
        if self.version != __version__:
            raise RestoreError(
                f"{_here()} has napari-restore {__version__} and who asks {self.version}: install the same on both."
            )
        image = _check_same(self.source, None, self.plan.shape, self.image_dtype, self.pixels)
        card, device = self.card, find_device(self.device)
        method = build_method(card["method"], card["config"], spatial=card["spatial"], channels=card["channels"])
        method.load_state_dict(safetensors.torch.load(self.weights))
        return TileJob(
            image=image,
            method=method.eval().for_restoring().to(device),
            normalisation=Normalisation(**{k: tuple(v) for k, v in card["normalisation"].items()}),
            plan=self.plan,
            batch=self.batch,
            dtype=np.dtype(self.dtype),
            device=device,
            precision=self.precision,
        )


class Station(distributed.WorkerPlugin):  # type: ignore[misc]
    """What a worker has of a run. The scheduler hands it to workers that come later, too."""

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
        with self._lock:
            if self._begun is None:
                job = self.recipe.job()
                self._begun = job, Fitting(job)
            return self._begun

    def seconds_a_batch(self) -> float:
        """How long a batch takes on this worker, from reading to cropping, the second time."""
        job, fitting = self._prepared()
        for _ in range(2):
            began = time.perf_counter()
            run_batch(job, [0], [read_tile(job, 0)], through=fitting.restore)
        return time.perf_counter() - began

    def restore(self, key: str, indices: Sequence[int]) -> list[Written]:
        """Tiles that are on the disk now: all, unless stopped."""
        self.running.add(key)
        try:
            job, fitting = self._prepared()
            write, done = self._writer(), []
            with kept_buffers():
                for written in written_tiles(
                    job, indices, write, fitting=fitting, stopping=lambda: self.stopping or key in self._dropped
                ):
                    done.append(written)
                    for text in fitting.news():
                        _log.warning("%s: %s", _here(), text)
            return done
        finally:
            self.running.discard(key)
            self._dropped.discard(key)

    def _prepared(self) -> tuple[TileJob, Fitting]:
        torch.set_num_threads(self.recipe.threads)  # holds for the thread that calls it
        return self.job()

    def _writer(self) -> Callable[[Tile], int]:
        folder = Path(self.recipe.folder)
        if not (folder / "0").is_dir():
            raise RestoreError(
                f"{folder} is not there on {_here()}: choose an output in a folder that every worker sees under the "
                "same path."
            )
        array = ome_zarr.open_level(folder, 0)

        def write(tile: Tile) -> int:
            with disk_errors(folder):
                return ome_zarr.write_blocks(array, folder / "0", tile.region, tile.pixels)

        return write


class Workers:
    """Runs an engine's tiles on the workers of a dask cluster.

    Parameters
    ----------
    client
        A ``distributed.Client`` that is not asynchronous.
    source
        How workers open the image, from ``find_source``.
    """

    def __init__(self, client: Any, source: Source) -> None:
        if not isinstance(client, distributed.Client) or client.asynchronous:
            kind = "an asynchronous Client" if isinstance(client, distributed.Client) else type(client).__name__
            raise RestoreError(f"client is {kind}: give a distributed.Client(...) without asynchronous=True.")
        self._client = client
        self._source = source
        self._model: Model | None = None
        self._crew: _Crew | None = None

    def settle(self, model: Model, *, device: str, precision: str, stop: threading.Event | None) -> Events[Place]:
        """Wait for a worker, and choose the device and precision that all of them have."""
        yield from self._wait_for_workers(stop)
        crew = _settled(_facts(self._client, device), device)
        bits: Precision = "bfloat16" if wants_bfloat16(model, precision) and crew.bfloat16 else "float32"
        mine = torch.get_num_threads()
        if crew.device == "cpu" and crew.threads != mine:
            yield Note(
                f"tasks compute with {_count(crew.threads, 'thread')} and this process with {mine}: float32 results of "
                "the two may differ in the last bit"
            )
        if torch.__version__ not in crew.torch or len(crew.torch) > 1:
            yield Note(f"workers have torch {', '.join(crew.torch)}, this process {torch.__version__}", "warning")
        self._model, self._crew = model, crew
        return Place(torch.device(crew.device), bits, crew.name)

    def plan(self, job: TileJob, *, share: float) -> None:
        """Nothing of it is held here; a worker whose memory runs out takes less through the network at once."""

    def run(self, job: TileJob, out: OutputWriter, progress: Progress, stop: threading.Event | None) -> Events[bool]:
        """Restore every tile that is not in the journal; True when a stop was asked for first."""
        with _stationed(self._client, self._recipe(job, out), self._slot()) as tasks:
            while todo := [i for i in range(len(job.plan)) if i not in out.done]:
                before = progress.done
                seconds = yield from tasks.timed(stop)
                if seconds is None:
                    return True
                for block in blocks(todo, batch=job.batch, seconds=seconds, slots=self._slots()):
                    tasks.submit(block)
                for written in tasks.finished(stop):
                    out.record(written.index, written.region, written.checksum)
                    yield progress.count(written)
                if tasks.stopped:
                    return progress.done < progress.tiles
                if progress.done == before:
                    raise RestoreError("workers gave back no tile: look at their logs. What is done is kept.")
        return False

    def _wait_for_workers(self, stop: threading.Event | None) -> Events[None]:
        told = False
        while not self._client.nthreads():
            if not told:
                yield Note("waiting for a worker of the cluster")
                told = True
            if stop is not None and stop.is_set():
                raise InterruptedWorkError("stopped while waiting for a worker: nothing has been begun.")
            _check_there(self._client)
            time.sleep(_LOOK)

    def _recipe(self, job: TileJob, out: OutputWriter) -> Recipe:
        assert self._model is not None and self._crew is not None, "settle comes first"
        tensors = {k: t.detach().cpu().contiguous() for k, t in self._model.method.state_dict().items()}
        return Recipe(
            source=self._source,
            image_dtype=job.image.dtype.str,
            pixels=probe(job.image),
            card=self._model.card(),
            weights=safetensors.torch.save(tensors),
            plan=job.plan,
            batch=job.batch,
            dtype=job.dtype.name,
            device=str(job.device),
            precision=job.precision,
            folder=str(out.array_path.parent.absolute()),
            threads=self._crew.threads,
        )

    def _slot(self) -> dict[str, int] | None:
        assert self._crew is not None, "settle comes first"
        return {"GPU": 1} if self._crew.declares_gpu else None

    def _slots(self) -> int:
        """Tasks that run at the same time, with the workers there are now."""
        facts = _facts(self._client, "cpu").values()
        gpus = self._slot() is not None
        slots: list[int] = [min(f["slots"], int(f["gpus"])) if gpus else f["slots"] for f in facts]
        return max(1, sum(slots))


def blocks(todo: Sequence[int], *, batch: int, seconds: float, slots: int) -> list[list[int]]:
    """Tiles for tasks: of equal length, ``TASK_SECONDS`` or somewhat more, and for every slot where there are enough.

    Parameters
    ----------
    todo
        Numbers of tiles; a task takes neighbours in this order.
    batch
        Tiles that go through the network together; no task splits them.
    seconds
        That a batch takes.
    slots
        Tasks that run at the same time.
    """
    batches = math.ceil(len(todo) / batch)
    share = batches / slots
    rounds = max(1, math.floor(share * seconds / TASK_SECONDS))
    length = batch * max(1, math.ceil(share / rounds))
    return [list(todo[i : i + length]) for i in range(0, len(todo), length)]


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


@dataclass(frozen=True)
class _Crew:
    """What the workers have in common."""

    device: str
    bfloat16: bool
    threads: int
    declares_gpu: bool
    torch: tuple[str, ...]
    name: str


def _settled(facts: Mapping[str, Mapping[str, Any]], device: str) -> _Crew:
    """What all workers that will get tasks have, or an error that says where they differ."""
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
            f"workers have different devices ({', '.join(devices)}), whose results differ: give device cpu, or start "
            'those with a GPU with --resources "GPU=1".'
        )
    threads = min(f["threads"] for f in used.values())
    kind = f"CPU, {_count(threads, 'thread')} a task" if devices[0] == "cpu" else devices[0]
    return _Crew(
        device=devices[0],
        bfloat16=all(f["bfloat16"] for f in used.values()),
        threads=threads,
        declares_gpu=declares_gpu,
        torch=tuple(sorted({f["torch"] for f in used.values()})),
        name=f"{_count(len(used), 'dask worker')} ({kind})",
    )


class _Tasks:
    """The tasks of a run that are under way."""

    def __init__(self, client: Any, name: str, resources: Mapping[str, int] | None) -> None:
        self._client, self._name, self._resources = client, name, resources
        self._ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._open: dict[str, Any] = {}
        self._count = 0
        self.stopped = False

    def submit(self, indices: Sequence[int]) -> None:
        """Restore these tiles on some worker."""
        self._submit(_restore, list(indices))

    def timed(self, stop: threading.Event | None) -> Events[float | None]:
        """Seconds a batch takes on one of the workers; None when a stop was asked for first."""
        yield from ()
        self._submit(_seconds_a_batch)
        results = list(self._results(stop))
        return None if self.stopped or not results else float(results[0])

    def finished(self, stop: threading.Event | None) -> Iterator[Written]:
        """Tiles as tasks end, until none is under way."""
        for block in self._results(stop):
            yield from block

    def close(self) -> None:
        """Call back what is under way, and wait until workers have let go of it: they must not write any more."""
        if not self._open or self._client.status != "running":
            return
        with contextlib.suppress(*_GONE):
            self._ask_to_stop()
            self._client.cancel(list(self._open.values()), force=True)
            end = time.monotonic() + _PATIENCE
            while any(self._ask(_running).values()) and time.monotonic() < end:
                time.sleep(_LOOK)

    def _submit(self, function: Callable[..., Any], *args: Any) -> None:
        key = f"{self._name}-{self._count}"
        self._count += 1
        future = self._client.submit(
            function, self._name, key, *args, key=key, pure=False, retries=_RETRIES, resources=self._resources
        )
        self._open[key] = future
        future.add_done_callback(self._ended.put)

    def _results(self, stop: threading.Event | None) -> Iterator[Any]:
        while self._open:
            if stop is not None and stop.is_set() and not self.stopped:
                self._stop()
            try:
                future = self._ended.get(timeout=_LOOK)
            except queue.Empty:
                _check_there(self._client)
                continue
            del self._open[future.key]
            if not (future.cancelled() and self.stopped):
                yield _result(future)

    def _stop(self) -> None:
        """Drop what no worker has begun; the others end at their next batch, and what they have done counts."""
        self.stopped = True
        self._ask_to_stop()
        begun = {key for keys in self._client.processing().values() for key in keys}
        self._client.cancel([future for key, future in self._open.items() if key not in begun])

    def _ask_to_stop(self) -> None:
        self._ask(_stop)

    def _ask(self, function: Callable[..., Any]) -> dict[str, Any]:
        return dict(self._client.run(function, self._name, on_error="ignore"))


@contextlib.contextmanager
def _stationed(client: Any, recipe: Recipe, resources: Mapping[str, int] | None) -> Iterator[_Tasks]:
    """Workers have the recipe while inside; tasks that are under way at the end are called back."""
    name = f"napari-restore-{secrets.token_hex(6)}"
    client.register_plugin(Station(name, recipe))
    tasks = _Tasks(client, name, resources)
    try:
        yield tasks
    finally:
        tasks.close()
        if client.status == "running":
            with contextlib.suppress(*_GONE):
                client.unregister_worker_plugin(name)


def _restore(name: str, key: str, indices: Sequence[int]) -> list[Written]:
    return _station(distributed.get_worker(), name).restore(key, indices)


def _seconds_a_batch(name: str, _: str) -> float:
    return _station(distributed.get_worker(), name).seconds_a_batch()


def _stop(name: str, dask_worker: Any) -> None:
    if name in dask_worker.plugins:
        _station(dask_worker, name).stopping = True


def _running(name: str, dask_worker: Any) -> int:
    return len(_station(dask_worker, name).running) if name in dask_worker.plugins else 0


def _station(worker: Any, name: str) -> Station:
    station: Station = worker.plugins[name]
    return station


def _result(future: Any) -> Any:
    """What a task gave back, or why there is nothing."""
    if future.status == "finished":
        return future.result()
    if future.cancelled() or future.status == "lost":
        raise RestoreError(_DROPPED)
    error = future.exception()
    if isinstance(error, distributed.KilledWorker):
        raise RestoreError(
            f"a task ended {error.allowed_failures + 1} workers one after the other, as they do when memory is too "
            "small: give each more, or a smaller tile. What is done is kept."
        ) from None
    raise error


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


def _check_there(client: Any) -> None:
    if client.status in ("closed", "closing"):
        raise RestoreError(_DROPPED)


def _check_same(source: Source, axes: str | None, shape: Sequence[int], dtype: str, pixels: str) -> Image:
    """The image that a source gives here, if it is the one that was meant."""
    image = source.open()
    same = image.shape == tuple(shape) and image.dtype.str == dtype and axes in (None, image.axes)
    if not same or probe(image) != pixels:
        raise ImageError(
            f"{without_secrets(str(source.location))} opens as another image on {_here()} (axes {image.axes}, shape "
            f"{image.shape}): give the path itself, with axes and channel where needed, of a file that every worker "
            "sees."
        )
    return image


def _here() -> str:
    with contextlib.suppress(ValueError):
        return f"worker {distributed.get_worker().address}"
    return "this machine"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number != 1 else ''}"

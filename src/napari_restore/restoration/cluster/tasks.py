"""The tasks of a run: how long they are, handing them out, taking their answers, calling them back."""

from __future__ import annotations

import asyncio
import contextlib
import math
import queue
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import distributed

from napari_restore.core.errors import RestoreError
from napari_restore.core.watch import Watch
from napari_restore.restoration.cluster import station
from napari_restore.restoration.cluster.recipe import Recipe
from napari_restore.restoration.cluster.station import WorkerState
from napari_restore.restoration.running import Written
from napari_restore.store.pyramid import Level

TASK_SECONDS = 10.0
"""A task takes at least so long where there is enough to do: the scheduler needs some milliseconds for each."""

LOOK = 0.2
"""Seconds between looks at the stop."""

_DROPPED = "the dask scheduler went away or dropped this run: what is done is kept, start it again to go on."
_GONE = (OSError, RuntimeError, asyncio.CancelledError)
"""What a client raises when its scheduler or it itself is closed."""

_RETRIES = 2
"""Of a task whose worker was lost."""
_PATIENCE = 60.0
"""Seconds to wait for workers to leave a run that has failed."""


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


class Tasks:
    """The tasks of a run that are under way.

    Attributes
    ----------
    stopped
        Whether a stop was asked for.
    """

    def __init__(self, client: Any, name: str, resources: Mapping[str, int] | None) -> None:
        self._client, self._name, self._resources = client, name, resources
        self._ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._open: dict[str, Any] = {}
        self._count = 0
        self.stopped = False

    def submit(self, indices: Sequence[int]) -> None:
        """Restore these tiles on some worker."""
        self._submit(station.restore, list(indices))

    def submit_smaller(self, level: Level, indices: Sequence[int]) -> None:
        """Make these blocks of a smaller level on some worker."""
        self._submit(station.make, level, list(indices))

    def seconds_a_batch(self, watch: Watch) -> float | None:
        """That a batch takes on one of the workers; None when a stop was asked for first."""
        return self._seconds(watch, station.seconds_a_batch)

    def seconds_a_block(self, level: Level, watch: Watch) -> float | None:
        """That a block of a smaller level takes on one of the workers; None when a stop was asked for first."""
        return self._seconds(watch, station.seconds_a_block, level)

    def finished(self, watch: Watch) -> Iterator[list[Written]]:
        """The tiles of each task as it ends, until none is under way."""
        yield from self._results(watch)

    def finished_smaller(self, watch: Watch) -> Iterator[dict[int, int]]:
        """The blocks of each task as it ends, with their checksums, until none is under way."""
        yield from self._results(watch)

    def close(self) -> None:
        """Call back what is under way, and wait until workers have let go of it: they must not write any more.

        After a stop, too: a cancelled task is done for the client at once, and for the scheduler somewhat later.
        """
        if not (self._open or self.stopped) or self._client.status != "running":
            return
        with contextlib.suppress(*_GONE):
            if self._open:
                self._ask(station.stop)
                self._client.cancel(list(self._open.values()), force=True)
            end = time.monotonic() + _PATIENCE
            while (self._begun() or any(self._ask(station.running).values())) and time.monotonic() < end:
                time.sleep(LOOK)

    def _seconds(self, watch: Watch, function: Callable[..., float], *args: Any) -> float | None:
        self._submit(function, *args)
        results = list(self._results(watch))
        return None if self.stopped or not results else float(results[0])

    def _submit(self, function: Callable[..., Any], *args: Any) -> None:
        key = f"{self._name}-{self._count}"
        self._count += 1
        future = self._client.submit(
            function, self._name, key, *args, key=key, pure=False, retries=_RETRIES, resources=self._resources
        )
        self._open[key] = future
        future.add_done_callback(self._ended.put)

    def _results(self, watch: Watch) -> Iterator[Any]:
        while self._open:
            if watch.stopping and not self.stopped:
                self._stop()
            try:
                future = self._ended.get(timeout=LOOK)
            except queue.Empty:
                check_there(self._client)
                continue
            status = future.status
            if status == "lost":  # with the worker that had computed it: another one does it again
                time.sleep(LOOK)
                future.add_done_callback(self._ended.put)
                continue
            del self._open[future.key]
            if not (status == "cancelled" and self.stopped):
                yield _result(future, status)

    def _stop(self) -> None:
        """Drop what no worker has begun; the others end at their next batch, and what they have done counts."""
        self.stopped = True
        self._ask(station.stop)
        begun = self._begun()
        self._client.cancel([future for key, future in self._open.items() if key not in begun])

    def _begun(self) -> set[str]:
        """Tasks of this run that the scheduler has given to a worker."""
        given = {str(key) for keys in self._client.processing().values() for key in keys}
        return {key for key in given if key.startswith(f"{self._name}-")}

    def _ask(self, function: Callable[..., Any]) -> dict[str, Any]:
        return dict(self._client.run(function, self._name, on_error="ignore"))


@contextlib.contextmanager
def tasks_of(client: Any, recipe: Recipe, resources: Mapping[str, int] | None) -> Iterator[Tasks]:
    """Workers have the recipe while inside; tasks that are under way at the end are called back."""
    name = f"napari-restore-{secrets.token_hex(6)}"
    client.register_plugin(WorkerState(name, recipe))
    tasks = Tasks(client, name, resources)
    try:
        yield tasks
    finally:
        tasks.close()
        if client.status == "running":
            with contextlib.suppress(*_GONE):
                client.unregister_worker_plugin(name)


def check_there(client: Any) -> None:
    """Refuse to go on with a client that was closed.

    Raises
    ------
    RestoreError
        In words, with what to do.
    """
    if client.status in ("closed", "closing"):
        raise RestoreError(_DROPPED)


def _result(future: Any, status: str) -> Any:
    """What a task gave back, or why there is nothing."""
    if status == "finished":
        return future.result()
    if status == "cancelled":
        raise RestoreError(_DROPPED)
    error = future.exception()
    if isinstance(error, distributed.KilledWorker):
        raise RestoreError(
            f"a task ended {error.allowed_failures + 1} workers one after the other, as they do when memory is too "
            "small: give each more, or a smaller `tile`. What is done is kept."
        ) from None
    raise error

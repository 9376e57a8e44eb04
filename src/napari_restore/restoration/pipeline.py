"""Tiles on their way through a process: the next ones are read, and the last ones written, while one is restored."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from napari_restore.core.errors import RestoreError, first_line, out_of_memory
from napari_restore.restoration.memory import AHEAD, helpers
from napari_restore.restoration.running import Written
from napari_restore.restoration.work import Read, Tile, TileJob, filled_up, finishers, read_tile

_T = TypeVar("_T")


@dataclass(frozen=True, eq=False)
class Batch:
    """Tiles that go through the network together, and their pixels with halos: samples ``(N, C, *S)`` for each."""

    indices: Sequence[int]
    reads: Sequence[Read]
    size: int

    def samples(self) -> NDArray[np.float32]:
        """All of them in one array, filled up to the batch's size."""
        return filled_up([read.samples for read in self.reads], self.size)


class Pipeline:
    """Reads batches ahead and writes behind; who uses it takes each batch through the network.

    Use it as a context manager, which waits for what is being written. Batches come from ``batches``; what the network
    made of one goes to ``finish``; ``written`` and ``rest`` give tiles once they are on the disk.

    Parameters
    ----------
    job
        Whose tiles these are.
    indices
        Of the tiles to restore; neighbours make a batch.
    write
        Writes a tile, and gives its checksum.
    """

    def __init__(self, job: TileJob, indices: Sequence[int], write: Callable[[Tile], int]) -> None:
        readers, writers = helpers(job.device)
        self._job = job
        self._write = write
        self._groups = deque(list(indices[i : i + job.batch]) for i in range(0, len(indices), job.batch))
        self._reader = ThreadPoolExecutor(readers, thread_name_prefix="napari-restore read")
        self._writer = ThreadPoolExecutor(writers, thread_name_prefix="napari-restore write")
        self._writing: deque[Future[Written]] = deque()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.shutdown(wait=False, cancel_futures=True)
        self._writer.shutdown()
        self._reader.shutdown()

    def batches(self) -> Iterator[Batch]:
        """Batches of tiles with their pixels; the next ones are read meanwhile."""
        coming: deque[tuple[list[int], list[Future[Read]]]] = deque()
        while self._groups or coming:
            while self._groups and len(coming) <= AHEAD:
                group = self._groups.popleft()
                coming.append((group, [self._reader.submit(read_tile, self._job, index) for index in group]))
            group, futures = coming.popleft()
            yield Batch(group, [_of(future, "reading") for future in futures], self._job.batch)

    def finish(self, batch: Batch, restored: Tensor) -> None:
        """Crop, round and write the tiles of a batch meanwhile, as soon as the device has computed them."""
        for finish in finishers(self._job, batch.indices, batch.reads, restored):
            self._writing.append(self._writer.submit(_written, finish, self._write))

    def written(self) -> Iterator[Written]:
        """Tiles that are on the disk; waits where too many are not."""
        most = AHEAD * self._job.batch
        while self._writing and (len(self._writing) > most or self._writing[0].done()):
            yield _of(self._writing.popleft(), "writing")

    def rest(self) -> Iterator[Written]:
        """All others, as they come to the disk."""
        while self._writing:
            yield _of(self._writing.popleft(), "writing")


def _of(future: Future[_T], doing: str) -> _T:
    """What a thread has made; memory that ran out there ends the run in the words it does elsewhere."""
    try:
        return future.result()
    except (MemoryError, RuntimeError) as error:
        if not out_of_memory(error):
            raise
        reason = first_line(error)
    raise RestoreError(
        f"memory ran out {doing} tiles ({reason}): close other programs, or take less of it with memory_share. What is "
        "done is kept: the same call goes on from there."
    )


def _written(finish: Callable[[], Tile], write: Callable[[Tile], int]) -> Written:
    """Wait for a tile, crop, round and write it."""
    tile = finish()
    checksum = write(tile)
    unusable = int(np.count_nonzero(~np.isfinite(tile.pixels))) if tile.pixels.dtype.kind == "f" else 0
    return Written(tile.index, tile.region, unusable, checksum)

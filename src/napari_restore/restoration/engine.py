"""Restoring an image of any size: read ahead, restore batch by batch, write behind, keep a journal."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from napari_restore.core.errors import ImageError, RestoreError
from napari_restore.core.events import Note, RestorationStarted, Saved, Stopped, TileDone
from napari_restore.core.geometry import canonical_order
from napari_restore.core.job import Events
from napari_restore.core.region import Region
from napari_restore.methods.apply import Precision, per_axis
from napari_restore.methods.device import describe, find_device, find_precision, kept_buffers
from napari_restore.restoration.fitting import Fitting
from napari_restore.restoration.memory import AHEAD, MemoryPlan, helpers
from napari_restore.restoration.prepare import (
    check_fit,
    choose_dtype,
    fingerprint,
    name_suffix,
    output_geometry,
    plan_image,
    probe,
)
from napari_restore.restoration.reading import Filled, Unreadable, files_state, steady
from napari_restore.restoration.result import Restored
from napari_restore.restoration.work import Tile, TileJob, read_tile, restore_together, start_batch
from napari_restore.sources import Image
from napari_restore.store import output as outputs
from napari_restore.store.model import Model
from napari_restore.store.ome_zarr import Version
from napari_restore.store.output import OutputWriter

_SMALL = 128
"""Along each axis, of the tile that computing is timed on, at most."""


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


@dataclass(frozen=True)
class Place:
    """What tiles are computed on, with how many bits, and its name for the user."""

    device: torch.device
    precision: Precision
    name: str


class Runner(Protocol):
    """Who computes and writes tiles: this process, or the workers of a cluster."""

    def settle(self, model: Model, *, device: str, precision: str, stop: threading.Event | None) -> Events[Place]:
        """Choose a place before anything is written."""

    def plan(self, job: TileJob, *, share: float) -> MemoryPlan | None:
        """What this process will hold, before it is begun; None where others do the work.

        Raises
        ------
        RestoreError
            If that is more than there is.
        """

    def run(self, job: TileJob, out: OutputWriter, progress: Progress, stop: threading.Event | None) -> Events[bool]:
        """Restore every tile that is not in the journal; True when a stop was asked for first."""


class Here:
    """Tiles in this process: the next ones are read, and the last ones written, meanwhile."""

    def __init__(self) -> None:
        self._fitting: Fitting | None = None

    def settle(self, model: Model, *, device: str, precision: str, **_: object) -> Events[Place]:
        """Choose the device of this machine."""
        yield from ()
        place = find_device(device)
        bits = find_precision(place) if wants_bfloat16(model, precision) else "float32"
        return Place(place, bits, describe(place))

    def plan(self, job: TileJob, *, share: float) -> MemoryPlan:
        """What this process will hold; the network sees less at once where memory is short."""
        job.method.to(job.device)
        self._fitting = Fitting(job)
        with kept_buffers():
            return self._fitting.plan(job, share=share)

    def run(self, job: TileJob, out: OutputWriter, progress: Progress, stop: threading.Event | None) -> Events[bool]:
        """Restore every tile that is not in the journal; True when a stop was asked for first."""
        todo = [i for i in range(len(job.plan)) if i not in out.done]
        fitting = self._fitting
        assert fitting is not None, "plan comes first"

        def write(tile: Tile) -> int:
            return out.write(tile.index, tile.region, tile.pixels)

        with kept_buffers():
            stopping = stop.is_set if stop is not None else lambda: False
            for written in written_tiles(job, todo, write, fitting=fitting, stopping=stopping):
                yield from (Note(text, "warning") for text in fitting.news())
                yield progress.count(written)
        return progress.done < progress.tiles


def wants_bfloat16(model: Model, precision: str) -> bool:
    """Whether a run computes in bfloat16 where the processor has it."""
    return precision == "bfloat16" or (precision == "auto" and model.precision == "bfloat16")


def restore_events(
    image: Image,
    model: Model,
    *,
    output: Path,
    tile: Sequence[int] | None = None,
    batch: int | None = None,
    device: str = "auto",
    precision: str = "auto",
    resume: bool = True,
    overwrite: bool = False,
    version: Version = "0.5",
    stop: threading.Event | None = None,
    runner: Runner | None = None,
    unreadable: Unreadable = "fail",
    memory_share: float = 0.8,
) -> Events[Restored]:
    """Restore an image tile by tile into a file; yields what happens, returns the result.

    Parameters
    ----------
    image, model
        That fit each other: same channels, and the axes the model looks along.
    output
        A name ending in .zarr, .tif or .tiff.
    tile
        Image pixels a tile restores along each of the model's spatial axes; chosen by the halo where not given. It
        writes ``rate`` times as many, one chunk of the output.
    batch
        Tiles that go through the network together.
    precision
        ``"float32"``, ``"bfloat16"``, or ``"auto"``: what the model was found to stand, where the device has it.
    resume
        Go on with an unfinished output of the same image, model and settings.
    overwrite
        Replace what lies at ``output``, once the new result is complete.
    version
        Of OME-Zarr.
    stop
        Looked at between batches. Once set, what is done is kept and can be resumed.
    runner
        Who computes the tiles: this process where none is given.
    unreadable
        What becomes of a chunk of the image that cannot be read, after it was tried again: ``"fail"`` ends the run,
        which can be resumed; ``"fill"`` takes 0 for its pixels and says so.
    memory_share
        Of the memory that is free now, of this machine and of its graphics card, that may be used: over 0, at most 1.
        Where whole tiles do not fit, they go through the network in pieces.

    Yields
    ------
    Event
        ``Note``, ``RestorationStarted``, ``TileDone`` for each tile, then ``Saved`` or ``Stopped``.

    Raises
    ------
    RestoreError
        If model and image do not fit, the image cannot be read or changes meanwhile, the output cannot be written, or
        memory or the disk does not suffice.
    """
    check_fit(image, model)
    if unreadable == "fill" and runner is not None:
        raise RestoreError("unreadable = 'fill' is for this machine alone: leave it out with a cluster.")
    filled = Filled()
    image = steady(image, filled, unreadable=unreadable)
    outputs.check_destination(output, overwrite=overwrite, resume=resume)
    runner = runner if runner is not None else Here()
    place = yield from runner.settle(model, device=device, precision=precision, stop=stop)
    dtype, why = choose_dtype(image)
    job = _job(image, model, tile=tile, batch=batch, place=place, dtype=dtype)
    yield Note(why)
    marks = _marks(job, model)
    if resume and not overwrite and outputs.tidy(output, fingerprint=marks):
        yield Saved(str(output), "image")
        return _result(output, job, model, {"output_dtype": why, "precision": job.precision}, complete=True)
    going_on = resume and not overwrite and outputs.resumable(output)
    if not going_on:
        warning = outputs.check_space(output, geometry=output_geometry(image, model.method), dtype=dtype)
        if warning is not None:
            yield Note(warning, "warning")
    memory = runner.plan(job, share=memory_share)
    if memory is not None:
        yield Note(f"restoring takes {memory}")
    with _open_output(job, model, output, marks, going_on=going_on, overwrite=overwrite, version=version) as out:
        yield _started(job, out, place, memory)
        progress = Progress(done=len(out.done), tiles=len(job.plan))
        stopped = yield from runner.run(job, out, progress, stop)
        unusable = math.ceil(progress.unusable / math.prod(job.plan.rate))
        report = {
            "output_dtype": why,
            "tiles": len(job.plan),
            "precision": job.precision,
            "not_finite": unusable,
            "filled_chunks": len(filled.chunks),
        }
        if filled.chunks:
            yield Note(f"{len(filled.chunks)} chunks could not be read and were taken as 0: {filled}", "warning")
        if unusable:
            yield Note(f"{unusable} pixels were not finite and are handed on as they are", "warning")
        if stopped:
            yield Stopped("restoration", progress.done, str(output))
            return _result(out.array_path.parent, job, model, report, complete=False)
        _check_unchanged(image, marks, output)
        out.finish()
    yield Saved(str(output), "image")
    return _result(output, job, model, report, complete=True)


def foresee(image: Image, model: Model, *, device: str = "auto", memory_share: float = 0.8) -> tuple[float, MemoryPlan]:
    """Seconds of computing, from one small tile, and memory that restoring an image would take.

    Raises
    ------
    RestoreError
        If the memory does not suffice.
    """
    place = find_device(device)
    bits = find_precision(place) if wants_bfloat16(model, "auto") else "float32"
    job = _job(image, model, tile=None, batch=None, place=Place(place, bits, ""), dtype=image.dtype)
    plan = Here().plan(job, share=memory_share)
    sides = tuple(min(n, _SMALL // g * g) for n, g in zip(job.method.patch, job.method.grid, strict=True))
    samples = np.zeros((1, job.method.channels, *sides), np.float32)
    for _ in range(2):  # the first one warms up
        began = time.perf_counter()
        restore_together(job, samples)
        seconds = time.perf_counter() - began
    voxels = len(job.plan) * math.prod(n for a, n in zip(image.axes, job.plan.read_shape, strict=True) if a != "C")
    return seconds * voxels / math.prod(sides), plan


def _job(
    image: Image,
    model: Model,
    *,
    tile: Sequence[int] | None,
    batch: int | None,
    place: Place,
    dtype: np.dtype[Any],
) -> TileJob:
    return TileJob(
        image=image,
        method=model.method.for_restoring(),
        normalisation=model.normalisation,
        plan=plan_image(image, model.method, tile),
        batch=batch or (1 if place.device.type == "cpu" else 4),
        dtype=dtype,
        device=place.device,
        precision=place.precision,
    )


def _marks(job: TileJob, model: Model) -> dict[str, Any]:
    return fingerprint(
        job.image, model, job.plan, batch=job.batch, dtype=job.dtype, device=job.device.type, precision=job.precision
    )


def _check_unchanged(image: Image, marks: dict[str, Any], output: Path) -> None:
    """Refuse to finish what was restored from two states of an image."""
    if marks["image"]["pixels"] == probe(image) and marks["image"]["state"] == files_state(image):
        return
    raise ImageError(
        f"{image.name} has changed while it was restored: tiles of {output.name} are of two states of it. The "
        "unfinished result is kept; give --overwrite to start again."
    )


def _open_output(
    job: TileJob, model: Model, path: Path, marks: dict[str, Any], *, going_on: bool, overwrite: bool, version: Version
) -> OutputWriter:
    if going_on:
        return outputs.reopen(path, fingerprint=marks)
    order = canonical_order(job.image.axes)
    return outputs.create(
        path,
        geometry=output_geometry(job.image, job.method),
        dtype=job.dtype,
        chunks=tuple(job.plan.output_tile[i] for i in order),
        fingerprint=marks,
        name=job.image.name,
        provenance={"source": job.image.location, "model": model.card()},
        version=version,
        overwrite=overwrite,
    )


def _started(job: TileJob, out: OutputWriter, place: Place, memory: MemoryPlan | None) -> RestorationStarted:
    return RestorationStarted(
        path=str(out.array_path.parent),
        array=out.array_path.name,
        tiles=len(job.plan),
        done=len(out.done),
        tile=job.plan.tile,
        halo=job.plan.halo,
        batch=job.batch,
        dtype=str(job.dtype),
        device=place.name,
        precision=job.precision,
        rate=job.plan.rate,
        centred=per_axis(job.image.axes, job.method.spatial, job.method.centred, default=True),
        suffix=name_suffix(job.method),
        memory=memory.host if memory is not None else None,
        device_memory=memory.device if memory is not None else None,
    )


def written_tiles(
    job: TileJob,
    indices: Sequence[int],
    write: Callable[[Tile], int],
    *,
    fitting: Fitting,
    stopping: Callable[[], bool],
) -> Iterator[Written]:
    """Restore tiles, and give each once it is written; ``write`` gives its checksum.

    The next ones are read, and the last ones cropped, rounded and written, meanwhile. ``stopping`` is asked between
    batches.
    """
    groups = deque(list(indices[i : i + job.batch]) for i in range(0, len(indices), job.batch))
    writing: deque[Future[Written]] = deque()
    readers, writers = helpers(job.device)
    with ExitStack() as stack:
        reader = stack.enter_context(ThreadPoolExecutor(readers, thread_name_prefix="napari-restore read"))
        writer = stack.enter_context(ThreadPoolExecutor(writers, thread_name_prefix="napari-restore write"))
        stack.callback(lambda: reader.shutdown(wait=False, cancel_futures=True))
        for group, samples in _read_ahead(job, groups, reader):
            if stopping():
                break
            for finish in start_batch(job, group, samples, through=fitting.restore):
                writing.append(writer.submit(_written, finish, write))
            yield from _on_disk(writing, most=AHEAD * job.batch)
        yield from _on_disk(writing, most=0)


def _read_ahead(
    job: TileJob, groups: deque[list[int]], reader: ThreadPoolExecutor
) -> Iterator[tuple[list[int], list[NDArray[np.float32]]]]:
    """Batches of tiles with their pixels; the next ones are read meanwhile."""
    coming: deque[tuple[list[int], list[Future[NDArray[np.float32]]]]] = deque()
    while groups or coming:
        while groups and len(coming) <= AHEAD:
            group = groups.popleft()
            coming.append((group, [reader.submit(read_tile, job, index) for index in group]))
        group, futures = coming.popleft()
        yield group, [future.result() for future in futures]


def _on_disk(writing: deque[Future[Written]], *, most: int) -> Iterator[Written]:
    """Tiles that are on disk; waits until at most so many are not."""
    while writing and (len(writing) > most or writing[0].done()):
        yield writing.popleft().result()


def _written(finish: Callable[[], Tile], write: Callable[[Tile], int]) -> Written:
    """Wait for a tile, crop, round and write it."""
    tile = finish()
    checksum = write(tile)
    unusable = int(np.count_nonzero(~np.isfinite(tile.pixels))) if tile.pixels.dtype.kind == "f" else 0
    return Written(tile.index, tile.region, unusable, checksum)


def _result(path: Path, job: TileJob, model: Model, report: dict[str, Any], *, complete: bool) -> Restored:
    return Restored(
        path=path,
        geometry=output_geometry(job.image, job.method),
        model=model,
        report=report,
        complete=complete,
        name=job.image.name,
        contrast_limits=_limits(job),
        suffix=name_suffix(job.method),
    )


def _limits(job: TileJob) -> tuple[float, float] | None:
    """Contrast for a viewer: nearly all pixels of the middle of the source lie between them."""
    start = [(n - min(n, 512)) // 2 if a in "YX" else (0 if a == "C" else n // 2) for a, n in _axes(job)]
    stop = [
        s + (min(n, 512) if a in "YX" else (n if a == "C" else 1)) for s, (a, n) in zip(start, _axes(job), strict=True)
    ]
    pixels = job.image.read(Region(tuple(start), tuple(stop)))
    finite = pixels[np.isfinite(pixels)]
    if finite.size == 0:
        return None
    low, high = (float(v) for v in np.percentile(finite, (0.05, 99.9)))
    return (low, high) if high > low else None


def _axes(job: TileJob) -> list[tuple[str, int]]:
    return list(zip(job.image.axes, job.image.shape, strict=True))

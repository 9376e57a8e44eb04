"""Restoring an image of any size into a file: planned, computed by a runner, and kept so that it can be resumed."""

from __future__ import annotations

import copy
import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_restore.core.errors import ChangedError
from napari_restore.core.events import Note, RestorationStarted, Saved, Stopped
from napari_restore.core.geometry import Geometry, canonical_order
from napari_restore.core.job import Events
from napari_restore.core.normalisation import Normalisation
from napari_restore.core.options import Computing, Restoring, Writing
from napari_restore.core.plan import TilePlan
from napari_restore.core.region import Region
from napari_restore.core.watch import Watch
from napari_restore.methods.apply import for_tiles, per_axis
from napari_restore.methods.method import Method
from napari_restore.restoration.local import LocalReady, LocalRunner, local_place
from napari_restore.restoration.memory import MemoryPlan
from napari_restore.restoration.part import part_of
from napari_restore.restoration.plan import (
    RestorationPlan,
    name_suffix,
    output_geometry,
    plan_restoration,
    tiles_over,
    usual_batch,
)
from napari_restore.restoration.reading import Filled, facts_of, is_unchanged, steady
from napari_restore.restoration.result import Restored
from napari_restore.restoration.running import Place, Progress, Runner
from napari_restore.restoration.work import TileJob, restore_together
from napari_restore.sources import Image, open_image
from napari_restore.store import output as outputs
from napari_restore.store.model import Model
from napari_restore.store.output import Claim, OutputWriter

_SMALL = 128
"""Along each axis, of the tile that computing is timed on, at most."""


def restore_events(
    image: Image,
    model: Model,
    *,
    output: Path | Claim,
    restoring: Restoring,
    computing: Computing,
    writing: Writing,
    watch: Watch,
    runner: Runner | None = None,
) -> Events[Restored]:
    """Restore an image tile by tile into a file; yields what happens, returns the result.

    Parameters
    ----------
    image, model
        That fit each other: same channels, and the axes the model looks along.
    output
        Where to: a name ending in .zarr, .tif or .tiff, or the claim on it that who calls holds. That of ``writing`` is
        not looked at.
    restoring
        Tiles, their number at once, memory, chunks that cannot be read, and the part of the image. A tile writes
        ``rate`` times its pixels, one chunk of the output. A part is what the same crop of the whole image's result
        would be, and lies there in the world.
    computing
        Device and precision: ``"auto"`` is what the model was found to stand, where the device has it.
    writing
        Whether to go on with an unfinished output or to replace one, and the version of OME-Zarr.
    watch
        Looked at between batches. Once it stops, what is done is kept and can be resumed.
    runner
        Who computes the tiles: this process where none is given.

    Yields
    ------
    Event
        ``Note``, ``RestorationStarted``, ``TileDone`` for each tile, then ``Saved`` or ``Stopped``.

    Raises
    ------
    RestoreError
        If model and image do not fit, the image cannot be read or changes meanwhile, the output cannot be written or
        is the image, memory or the disk does not suffice, or the network gives values that are not finite.
    """
    tiles = tiles_over(image, model.method, restoring)
    filled = Filled()
    image = steady(image, filled, unreadable=restoring.unreadable)
    path = output.path if isinstance(output, Claim) else output
    outputs.check_not_input(path, image)
    with outputs.claim(output) as claim:
        outputs.check_destination(claim, overwrite=writing.overwrite, resume=writing.resume)
        ready = yield from (runner or LocalRunner()).ready(model, computing, watch)
        facts = facts_of(image)
        plan = plan_restoration(image, model, tiles, restoring, place=ready.place, facts=facts)
        resume = writing.resume and not writing.overwrite
        if resume and outputs.is_done(claim, fingerprint=plan.fingerprint):
            yield from already_whole(path)
            return _result(image, model, plan, path, {"output_dtype": plan.why, "precision": plan.place.precision})
        yield Note(plan.why)
        going_on = resume and outputs.resumable(path)
        if not going_on:
            yield from _space_looked_at(path, plan)
        job = _job(image, model, tiles, restoring, place=plan.place, batch=plan.batch, dtype=plan.dtype)
        planned = ready.plan(job, share=restoring.memory_share)
        if planned.memory is not None:
            yield Note(f"restoring takes {planned.memory}")
        with _open_output(claim, plan, image, writing, going_on=going_on) as out:
            yield _started(job, plan, out, planned.memory)
            progress = Progress(done=len(out.done), tiles=len(tiles))
            stopped = yield from planned.run(out, progress, watch)
            report = _report(plan, progress, filled)
            yield from _warnings(report, filled)
            if not stopped:
                _check_unchanged(image, plan, path)
                stopped = not out.make_smaller(lambda: watch.stopping)
            if stopped:
                yield Stopped("restoration", progress.done, str(path))
                return replace(_result(image, model, plan, out.array_path.parent, report), complete=False)
            out.finish()
    yield Saved(str(path), "image")
    return _result(image, model, plan, path, report)


def foresee(image: Image, model: Model, *, restoring: Restoring, computing: Computing) -> tuple[float, MemoryPlan]:
    """Seconds of computing, from one small tile, and memory that restoring an image would take.

    Raises
    ------
    RestoreError
        If model and image do not fit, or the memory does not suffice.
    """
    job, memory = _foreseen(image, model, restoring=restoring, computing=computing)
    sides = tuple(min(n, _SMALL // g * g) for n, g in zip(job.method.patch, job.method.grid, strict=True))
    read = [n for a, n in zip(image.axes, job.plan.read_shape, strict=True) if a in job.method.spatial]
    method, times = job.method.timed()
    method.unread = tuple(u * side // n for u, side, n in zip(method.unread, sides, read, strict=True))
    samples, small = method.usual(sides), replace(job, method=method)
    for _ in range(2):  # the first one warms up
        began = time.perf_counter()
        restore_together(small, samples)
        seconds = time.perf_counter() - began
    voxels = math.prod(n for a, n in zip(image.axes, job.plan.read_shape, strict=True) if a != "C")
    return seconds * times * len(job.plan) * voxels / math.prod(sides), memory


def check_memory(image: Image, method: Method, *, restoring: Restoring, computing: Computing) -> None:
    """Refuse to train a network that could not restore the image in the memory that is free now; it stays as it is.

    Raises
    ------
    RestoreError
        In numbers.
    """
    unit = Normalisation((0.0,) * method.channels, (1.0,) * method.channels)
    model = Model("", copy.deepcopy(method).eval(), unit)
    _foreseen(image, model, restoring=restoring, computing=computing)


def _foreseen(image: Image, model: Model, *, restoring: Restoring, computing: Computing) -> tuple[TileJob, MemoryPlan]:
    """What this process would do, and the memory for it."""
    tiles, place = tiles_over(image, model.method, restoring), local_place(model, computing)
    batch = restoring.together or usual_batch(place.device)
    job = _job(image, model, tiles, restoring, place=place, batch=batch, dtype=image.dtype)
    return job, LocalReady(place).plan(job, share=restoring.memory_share).memory


def _job(
    image: Image,
    model: Model,
    tiles: TilePlan,
    restoring: Restoring,
    *,
    place: Place,
    batch: int,
    dtype: np.dtype[Any],
) -> TileJob:
    return TileJob(
        image=image,
        method=for_tiles(model.method.for_restoring(), tiles, image.axes),
        normalisation=model.normalisation,
        plan=tiles,
        batch=batch,
        dtype=dtype,
        device=place.device,
        precision=place.precision,
        outliers=restoring.outliers,
    )


def _space_looked_at(path: Path, plan: RestorationPlan) -> Events[None]:
    warning = outputs.check_space(path, geometry=plan.geometry, dtype=plan.dtype)
    if warning is not None:
        yield Note(warning, "warning")


def _open_output(
    claim: Claim, plan: RestorationPlan, image: Image, writing: Writing, *, going_on: bool
) -> OutputWriter:
    if going_on:
        return outputs.reopen(claim, fingerprint=plan.fingerprint)
    return outputs.create(
        claim,
        geometry=plan.geometry,
        dtype=plan.dtype,
        chunks=plan.chunks,
        fingerprint=plan.fingerprint,
        name=image.name,
        provenance=plan.provenance,
        writing=writing,
        channels=image.channels,
    )


def _started(job: TileJob, plan: RestorationPlan, out: OutputWriter, memory: MemoryPlan | None) -> RestorationStarted:
    return RestorationStarted(
        path=str(out.array_path.parent),
        array=out.array_path.name,
        tiles=len(plan.tiles),
        done=len(out.done),
        tile=plan.tiles.tile,
        halo=plan.tiles.halo,
        batch=plan.batch,
        dtype=str(plan.dtype),
        device=plan.place.name,
        precision=plan.place.precision,
        rate=plan.tiles.rate,
        centred=per_axis(job.image.axes, job.method.spatial, job.method.centred, default=True),
        suffix=plan.suffix,
        method=plan.provenance["model"]["method"],
        memory=memory.host if memory is not None else None,
        device_memory=memory.device if memory is not None else None,
    )


def _report(plan: RestorationPlan, progress: Progress, filled: Filled) -> dict[str, Any]:
    return {
        "output_dtype": plan.why,
        "tiles": len(plan.tiles),
        "precision": plan.place.precision,
        "not_finite": math.ceil(progress.unusable / math.prod(plan.tiles.rate)),
        "filled_chunks": len(filled.chunks),
    }


def _warnings(report: dict[str, Any], filled: Filled) -> Events[None]:
    if filled.chunks:
        yield Note(f"{len(filled.chunks)} chunks could not be read and were taken as 0: {filled}", "warning")
    if report["not_finite"]:
        yield Note(f"{report['not_finite']} pixels were not finite and are handed on as they are", "warning")


def _check_unchanged(image: Image, plan: RestorationPlan, output: Path) -> None:
    """Refuse to finish what was restored from two states of an image."""
    if not is_unchanged(image, plan.facts):
        raise ChangedError(
            f"{image.name} has changed while it was restored: tiles of {output.name} are of two states of it. The "
            "unfinished result is kept; give `overwrite` to start again."
        )


def already_whole(path: Path) -> Events[None]:
    """What is said of a result that lies there already."""
    yield Note(f"{path.name} is whole: nothing is left to do")
    yield Saved(str(path), "image")


def found(image: Image, model: Model | None, output: Path, *, restoring: Restoring, suffix: str) -> Restored:
    """A whole result that lies there already, of this image; by this model, where that is still known."""
    box = part_of(restoring.region, image) or Region.of_shape(image.shape)
    return Restored(
        path=output,
        geometry=output_geometry(image, model.method, box) if model is not None else _lies(output, image),
        model=model,
        name=image.name,
        contrast_limits=_limits(image, box),
        channels=image.channels,
        suffix=name_suffix(model.method) if model is not None else suffix,
    )


def _lies(output: Path, image: Image) -> Geometry:
    """Where the pixels of a file lie, its axes in the order of the image's."""
    there = open_image(output, axes="".join(image.axes[i] for i in canonical_order(image.axes))).geometry
    order = [there.axes.index(a) for a in image.axes]
    return Geometry(
        axes=image.axes,
        shape=tuple(there.shape[i] for i in order),
        pixel_size=tuple(there.pixel_size[i] for i in order),
        units=tuple(there.units[i] for i in order),
        origin=tuple(there.origin[i] for i in order),
    )


def _result(image: Image, model: Model, plan: RestorationPlan, path: Path, report: dict[str, Any]) -> Restored:
    return Restored(
        path=path,
        geometry=plan.geometry,
        model=model,
        report=report,
        name=image.name,
        contrast_limits=_limits(image, plan.tiles.box),
        channels=image.channels,
        suffix=plan.suffix,
    )


def _limits(image: Image, box: Region) -> tuple[float, float] | None:
    """Contrast for a viewer: nearly all pixels of the middle of what was restored lie between them in the source."""
    sizes = [min(n, 512) if a in "YX" else (n if a == "C" else 1) for a, n in zip(image.axes, box.shape, strict=True)]
    start = [
        first + ((n - size) // 2 if a in "YXC" else n // 2)
        for a, first, n, size in zip(image.axes, box.start, box.shape, sizes, strict=True)
    ]
    pixels = image.seen(Region.of_shape(sizes).shift(start)).measured
    finite = pixels[np.isfinite(pixels)]
    if finite.size == 0:
        return None
    low, high = (float(v) for v in np.percentile(finite, (0.05, 99.9)))
    return (low, high) if high > low else None

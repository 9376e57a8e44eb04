"""A teravoxel on 1 to 1000 workers: simulated from rates that are measured here, and held against real local runs.

`rates` are processor time on this machine (waiting for the disk is in `record_seconds`): other work on it changes them
little. `held_against` is a cluster of 2 to 8 workers in this process whose tiles wait as long as they are told, so that
so many workers are real on few cores; seconds are from the first task to the last tile. In one of these runs a worker
is twice as slow, and in another one is lost; in others the blocks of a pyramid wait, and seconds are of its levels
alone. `teravoxel` is simulated: tasks as `blocks` makes them, first of tiles, then of each level of the pyramid when
the one before it is whole; one caller that hands out and notes, one scheduler, workers of unlike speed, and lost ones.
`alone_seconds` is what the pyramid would take one process. `ten_million` is what a plan and a journal of so many tiles
take, in a process of their own.
"""

from __future__ import annotations

import dataclasses
import heapq
import json
import math
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import reporting

SIDE = 10_000
"""Pixels of the teravoxel along Z, Y and X."""
SPREAD = 0.1
"""Deviation of the logarithm of a worker's speed, and of a task's."""
LOST_AFTER, BACK_AFTER, NOTICED_AFTER = 10 * 3600.0, 120.0, 300.0
"""Seconds: a worker lives so long in the mean, another one starts, and dask notices that it is silent."""
LOST_AT = 15.0
"""Seconds after the call, in the real run of which a worker is lost."""
MEASURING = 2
"""Batches that a worker does before the first task, to measure one."""
WORKERS = (1, 3, 10, 30, 100, 300, 1000)
PLANES = 256
"""Of 512 x 512 pixels, of the real runs of a pyramid: a level of half as many blocks."""


@dataclass(frozen=True)
class Rates:
    """Seconds of one process, each."""

    submit: float
    schedule: float
    record: float
    record_tile: float
    tile: float
    block: float = 0.0
    start: float = 0.0


def main() -> None:
    parser = reporting.parser(__doc__, threads=1)
    parser.add_argument("--tiles", type=int, default=192, help="of the real runs")
    parser.add_argument("--wait", type=float, default=0.5, help="seconds that each of these tiles waits")
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 4, 8])
    parser.add_argument("--journal", type=int, default=10_000_000, help="tiles that the journal is to hold; 0 for none")
    parser.add_argument("--hold", type=int, help="for the process that measures the journal")
    given = parser.parse_args()
    if given.hold:
        print(json.dumps(hold(given.hold)))
        return
    machine = reporting.begin(given.threads)
    with tempfile.TemporaryDirectory(prefix="napari-restore-bench-") as folder:
        rates, tile = measured(Path(folder))
        reporting.progress(f"rates: {rates}")
        against = [*held_against(given, Path(folder)), *pyramid_held_against(given, Path(folder))]
    results: dict[str, Any] = {
        "rates": {f"{name}_seconds": value for name, value in asdict(rates).items()} | {"tile": tile},
        "held_against": against,
        "teravoxel": [teravoxel(workers, rates, tile) for workers in WORKERS],
    }
    if given.journal:
        command = [sys.executable, __file__, "--hold", str(given.journal)]
        results["ten_million"] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    settings = {"tiles": given.tiles, "wait": given.wait, "spread": SPREAD, "lost_after_seconds": LOST_AFTER}
    reporting.finish(machine, results=results, settings=settings, out=given.out)


# What is simulated.


def simulate(
    tasks: Sequence[int], workers: int, rates: Rates, *, seed: int = 0, spread: float = 0.0,
    slow: Mapping[int, float] | None = None, lost: Mapping[int, float] | None = None, lives: float = np.inf,
) -> dict[str, float]:  # fmt: skip
    """Seconds until the last tile is noted, and what of them the caller and the scheduler were busy.

    Parameters
    ----------
    tasks
        Tiles of each.
    spread
        Of the logarithm of the speed of a worker, and of a task.
    slow
        How many times as long a worker takes.
    lost
        When a worker is lost for good.
    lives
        Seconds that workers live in the mean; another one starts in the place of one that is lost.
    """
    rng = np.random.default_rng(seed)
    pace = np.exp(spread * rng.normal(size=workers)) * [(slow or {}).get(w, 1.0) for w in range(workers)]
    waiting = deque((rates.start + (number + 1) * rates.submit, tiles) for number, tiles in enumerate(tasks))
    again: list[tuple[float, int]] = []
    free = [(rates.start, worker) for worker in range(workers)]
    ended: list[tuple[float, int]] = []
    scheduler, repeated = rates.start, 0
    while waiting or again:
        at, worker = heapq.heappop(free)
        source = again if again and (not waiting or again[0][0] <= at) else None
        ready, tiles = heapq.heappop(source) if source else waiting.popleft()
        scheduler = max(scheduler, at, ready) + rates.schedule
        took = tiles * rates.tile * pace[worker] * np.exp(spread * rng.normal())
        dies = min((lost or {}).get(worker, np.inf), scheduler + rng.exponential(lives) if lives < np.inf else np.inf)
        if scheduler + took > dies:
            found = dies + (NOTICED_AFTER if lives < np.inf else 0)
            heapq.heappush(again, (found, tiles))
            repeated += 1
            if lives < np.inf:
                heapq.heappush(free, (dies + BACK_AFTER, worker))
            continue
        heapq.heappush(free, (scheduler + took, worker))
        ended.append((scheduler + took, tiles))
    caller = rates.start + len(tasks) * rates.submit
    busy = len(tasks) * rates.submit
    for at, tiles in sorted(ended):
        noting = rates.record + tiles * rates.record_tile
        caller, busy = max(caller, at) + noting, busy + noting
    return {
        "tiles_seconds": caller,
        "workers_seconds": max(at for at, _ in ended),
        "caller_busy": busy / caller,
        "scheduler_busy": len(ended) * rates.schedule / caller,
        "repeated": repeated,
    }


def teravoxel(workers: int, rates: Rates, tile: Sequence[int]) -> dict[str, Any]:
    """So many workers, as the tasks of a run would be cut for them."""
    from napari_restore.core.geometry import Geometry
    from napari_restore.store.pyramid import smaller_levels

    tiles = math.prod(-(-SIDE // n) for n in tile)
    tasks = tasks_of(tiles, rates.tile, workers)
    runs = [simulate(tasks, workers, rates, seed=seed, spread=SPREAD, lives=LOST_AFTER) for seed in range(3)]
    found = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    counts = [len(level) for level in smaller_levels(Geometry.of("ZYX", (SIDE,) * 3), tile)]
    pyramid = statistics.median(levels(counts, workers, rates, seed=seed) for seed in range(3))
    ideal, alone = tiles * rates.tile / workers, sum(counts) * rates.block
    return {
        "workers": workers,
        "tiles": tiles,
        "tasks": len(tasks),
        **{name: round(value, 4) for name, value in found.items()},
        "blocks": sum(counts),
        "pyramid_seconds": round(pyramid, 1),
        "alone_seconds": round(alone),
        "efficiency_tiles": round(ideal / found["tiles_seconds"], 3),
        "efficiency_whole": round((ideal + alone / workers) / (found["tiles_seconds"] + pyramid), 3),
    }


def levels(counts: Sequence[int], workers: int, rates: Rates, *, seed: int = 0, spread: float = SPREAD) -> float:
    """Seconds for the levels of a pyramid, one after the other."""
    blocky = dataclasses.replace(rates, tile=rates.block)
    lives = LOST_AFTER if spread else np.inf
    return sum(
        float(simulate(tasks, workers, blocky, seed=seed, spread=spread, lives=lives)["tiles_seconds"])
        for tasks in (tasks_of(count, rates.block if count > workers else 0.0, workers) for count in counts)
    )


def tasks_of(tiles: int, seconds: float, workers: int) -> list[int]:
    """How many tiles, or blocks, each task has."""
    from napari_restore.restoration.cluster.tasks import blocks

    return [len(each) for each in blocks(range(tiles), batch=1, seconds=seconds, slots=workers)]


# What is measured.


def model() -> Any:
    """The usual denoiser, untrained: as fast as a trained one."""
    import torch

    from napari_restore.core.normalisation import Normalisation
    from napari_restore.store.model import Model, build_method

    torch.manual_seed(0)
    method = build_method("noise2void", {}, spatial="YX", channels=1)
    return Model("noise2void", method.eval(), Normalisation((1000.0,), (100.0,)))


def measured(folder: Path) -> tuple[Rates, tuple[int, ...]]:
    """Processor seconds of each step, and the pixels of a tile along each axis."""
    from napari_restore import restore

    image = np.random.default_rng(0).poisson(1000, (8, 1024, 1024)).astype(np.uint16)
    restore(image[:1], model(), output=folder / "first.zarr", axes="ZYX", device="cpu")
    began = time.process_time()
    result = restore(image, model(), output=folder / "image.zarr", axes="ZYX", device="cpu")
    whole = time.process_time() - began
    pyramid, blocks, tile = pyramid_seconds(folder / "image.zarr", result)
    tiles = math.prod(-(-n // side) for n, side in zip(image.shape, tile, strict=True))
    record, record_tile = journal_seconds(folder)
    each = dask_seconds()
    rates = Rates(
        submit=each / 2, schedule=each / 2, record=record, record_tile=record_tile,
        tile=(whole - pyramid) / tiles, block=pyramid / blocks,
    )  # fmt: skip
    return rates, tile


def pyramid_seconds(path: Path, result: Any) -> tuple[float, int, tuple[int, ...]]:
    """Processor seconds to make the pyramid of a result once more, its blocks, and the pixels of each."""
    from napari_restore.store import ome_zarr, pyramid

    tile = ome_zarr.block_of(ome_zarr.open_level(path, 0))
    found = pyramid.smaller_levels(result.geometry, tile)
    began = time.process_time()
    for level in found:
        pyramid.begin(path, level, dtype=np.dtype(result.dtype), version="0.5")
        list(pyramid.make(path, level, range(len(level))))
    return time.process_time() - began, sum(map(len, found)), tile


def journal_seconds(folder: Path) -> tuple[float, float]:
    """Seconds to note a task of one tile, waiting for the disk, and for each tile more."""
    from napari_restore.store.journal import Entry, Journal

    log, entry = Journal.create(folder / "x.journal", {}), Entry(1, (0, 0, 0, 0, 0), (1, 1, 1, 1024, 1024), 2**31)
    took = []
    for tiles in (1, 1001):
        began = time.perf_counter()
        for _ in range(20):
            log.record(*[entry] * tiles)
        took.append((time.perf_counter() - began) / 20)
    log.close()
    return took[0], max(0.0, (took[1] - took[0]) / 1000)


def dask_seconds(tasks: int = 1000) -> float:
    """Processor seconds of a task that does nothing: caller, scheduler and worker together."""
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        client.gather(client.map(abs, range(10)))
        began = time.process_time()
        client.gather([client.submit(abs, n, pure=False, key=f"n{n}") for n in range(tasks)])
        return (time.process_time() - began) / tasks


OURS = Rates(submit=0.001, schedule=0.001, record=0.005, record_tile=1e-5, tile=0.0)
"""Of the real runs, but for what waits."""


def held_against(given: Any, folder: Path) -> list[dict[str, Any]]:
    """Real runs of workers that wait, and what was foretold of them."""
    rates = dataclasses.replace(OURS, tile=given.wait)
    cases: list[tuple[int, dict[str, Any]]] = [(workers, {}) for workers in given.workers]
    cases += [(given.workers[-1], {"slow": {0: 2.0}}), (given.workers[1], {"lost": {0: LOST_AT}})]
    rows = []
    for workers, case in cases:
        took, begun = real(given, folder, workers=workers, **case)
        tasks = tasks_of(given.tiles, given.wait, workers)
        lost = {worker: at - begun for worker, at in case.get("lost", {}).items()}
        told = float(simulate(tasks, workers, rates, slow=case.get("slow"), lost=lost)["tiles_seconds"])
        names = {"slow": "one twice as slow", "lost": "one lost"}
        rows.append(
            {
                "workers": workers,
                "case": "".join(names[name] for name in case) or "alike",
                "real_seconds": round(took, 2),
                "simulated_seconds": round(told, 2),
                "off_percent": round(100 * (told / took - 1), 1),
                "before_first_task_seconds": round(begun, 2),
            }
        )
        reporting.progress(f"{rows[-1]}")
    return rows


def pyramid_held_against(given: Any, folder: Path) -> list[dict[str, Any]]:
    """Real runs of workers that wait at each block of a smaller level, and what was foretold of them."""
    rows = []
    for workers in given.workers:
        took, begun = real_pyramid(given, folder, workers=workers)
        told = levels([PLANES // 2], workers, dataclasses.replace(OURS, block=given.wait), spread=0.0)
        rows.append(
            {
                "workers": workers,
                "case": "pyramid",
                "real_seconds": round(took, 2),
                "simulated_seconds": round(told, 2),
                "off_percent": round(100 * (told / took - 1), 1),
                "before_first_task_seconds": round(begun, 2),
            }
        )
        reporting.progress(f"{rows[-1]}")
    return rows


def real_pyramid(given: Any, folder: Path, *, workers: int) -> tuple[float, float]:
    """Seconds from the first task to the last block of a smaller level whose blocks wait, and seconds before."""
    import torch
    from distributed import Client, LocalCluster

    from napari_restore import restore
    from napari_restore.restoration.cluster import station
    from napari_restore.store.output import OutputWriter

    make, note, restoring, begun, ended = (
        station.pyramid.make,
        OutputWriter.record_smaller,
        station.Fitting.restore,
        [],
        [],
    )

    def waits(where: Any, level: Any, indices: Any, **words: Any) -> Any:
        for index in indices:
            began = time.perf_counter()
            begun.append(began)
            yield from make(where, level, [index], **words)
            time.sleep(max(0.0, began + given.wait - time.perf_counter()))

    def notes(self: Any, level: Any, blocks: Any) -> None:
        note(self, level, blocks)
        ended.append(time.perf_counter())

    image = np.zeros((PLANES, 512, 512), np.uint8)
    options = {"axes": "ZYX", "tile": (512, 512), "device": "cpu", "overwrite": True}
    station.pyramid.make, OutputWriter.record_smaller = waits, notes  # type: ignore[method-assign]
    station.Fitting.restore = lambda _, samples: torch.from_numpy(samples)  # type: ignore[method-assign]
    try:
        with (
            LocalCluster(n_workers=workers, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
            Client(cluster) as client,
        ):
            restore(image, model(), output=folder / "pyramid.zarr", client=client, **options)
            first = begun[1]  # before it one block is measured
            return ended[-1] - first, first - begun[0]
    finally:
        station.pyramid.make, OutputWriter.record_smaller = make, note  # type: ignore[method-assign]
        station.Fitting.restore = restoring  # type: ignore[method-assign]


def real(
    given: Any,
    folder: Path,
    *,
    workers: int,
    slow: Mapping[int, float] | None = None,
    lost: Mapping[int, float] | None = None,
) -> tuple[float, float]:
    """Seconds from the first task to the last tile on workers of which each tile waits, and seconds before."""
    from distributed import Client, LocalCluster, get_worker

    from napari_restore import restore_events
    from napari_restore.core.events import TileDone
    from napari_restore.restoration.cluster import station

    through, begun = station.Fitting.restore, []

    def waits(self: Any, samples: Any) -> Any:
        began = time.perf_counter()
        begun.append(began)
        restored = through(self, samples)
        wait = len(samples) * given.wait * (slow or {}).get(int(get_worker().name), 1.0)
        time.sleep(max(0.0, began + wait - time.perf_counter()))
        return restored

    image = np.zeros((given.tiles, 64, 64), np.uint16)
    options = {"axes": "ZYX", "tile": (64, 64), "device": "cpu", "overwrite": True}
    station.Fitting.restore = waits  # type: ignore[method-assign]
    try:
        with (
            LocalCluster(n_workers=workers, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
            Client(cluster) as client,
        ):
            called = last = time.perf_counter()
            for worker, at in (lost or {}).items():
                threading.Timer(at, cluster.loop.add_callback, [lose, cluster.workers[worker]]).start()
            for event in restore_events(image, model(), output=folder / "real.zarr", client=client, **options):
                if isinstance(event, TileDone):
                    last = time.perf_counter()
            return last - begun[MEASURING], begun[MEASURING] - called
    finally:
        station.Fitting.restore = through  # type: ignore[method-assign]


async def lose(worker: Any) -> None:
    """As when its machine goes: nothing is waited for."""
    await worker.close(timeout=1, executor_wait=False, nanny=False)


def hold(tiles: int) -> dict[str, Any]:
    """What a plan and a journal of so many tiles take."""
    from napari_restore.core.plan import TilePlan
    from napari_restore.store import journal

    began = time.process_time()
    plan = TilePlan(shape=(tiles, 64, 64), tile=(1, 64, 64), halo=(0, 8, 8))
    assert len(plan) == tiles
    [plan.own(number) for number in range(0, tiles, max(1, tiles // 1000))]
    planned = time.process_time() - began
    with tempfile.TemporaryDirectory(prefix="napari-restore-bench-") as folder:
        path = Path(folder) / "x.journal"
        with path.open("w") as file:
            file.write(json.dumps({"journal": journal.FORMAT}) + "\n")
            for n in range(tiles):
                file.write(
                    f'{{"tile": {n}, "start": [0, 0, {n}, 0, 0], "stop": [1, 1, {n + 1}, 64, 64], "checksum": {n}}}\n'
                )
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        began = time.process_time()
        found = journal.read(path).tiles
        read = time.process_time() - began
        began = time.process_time()
        left = [n for n in range(tiles) if n not in found]
        looked = time.process_time() - began
        assert len(found) == tiles and not left
        size = path.stat().st_size
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {
        "tiles": tiles,
        "plan_seconds": round(planned, 3),
        "journal_bytes": size,
        "journal_read_seconds": round(read, 1),
        "memory_bytes": used * 1024,
        "left_seconds": round(looked, 2),
    }


if __name__ == "__main__":
    main()

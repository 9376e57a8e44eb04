"""Restoring one image on a dask LocalCluster of one worker and of two, in turns, a core each.

Times are from the call to the finished file on a cluster that is up and has restored something small before, so that
libraries are loaded: `whole` with the pyramid, which the calling process builds alone, `tiles` without. `workers_cpu`
is the processor time of all workers, which other work on the machine changes least. The network is large for its
tiles, so that processors and not the disk are measured. The bytes of all results are compared.
"""

from __future__ import annotations

import hashlib
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import reporting


def main() -> None:
    parser = reporting.parser(__doc__, threads=2)
    parser.add_argument("--shape", type=reporting.shape_of, default=(16, 1024, 1024), metavar="Z,Y,X")
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--depth", type=int, default=2)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repeats", type=int, default=2)
    given = parser.parse_args()
    if max(given.workers) > given.threads:
        parser.error(f"--workers {max(given.workers)} with --threads {given.threads}: give each worker a core.")
    machine = reporting.begin(given.threads)
    with tempfile.TemporaryDirectory(prefix="napari-restore-bench-") as folder:
        source = image(Path(folder) / "image.zarr", given.shape)
        runs = measure(source, given)
    settings = {"shape": given.shape, "width": given.width, "depth": given.depth, "repeats": given.repeats}
    reporting.finish(machine, results=table(runs, given), settings=settings, out=given.out)


def image(path: Path, shape: tuple[int, ...]) -> Path:
    """Poisson noise, uint16, in chunks of a plane's quarter."""
    import zarr

    array = zarr.create_array(path, shape=shape, dtype="uint16", chunks=(1, 512, 512), dimension_names=("z", "y", "x"))
    rng = np.random.default_rng(0)
    for z in range(shape[0]):
        array[z] = rng.poisson(1000, shape[1:]).astype(np.uint16)
    return path


def measure(source: Path, given: Any) -> list[dict[str, Any]]:
    """Clusters of each size in turns, so that a slow minute of the machine hits all of them."""
    from distributed import Client, LocalCluster

    model, runs = untrained(given), []
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")  # else workers inherit this process's two
    options = {"threads_per_worker": 1, "dashboard_address": None, "memory_limit": 0, "env": one}
    for number in range(given.repeats):
        for workers in given.workers:
            with LocalCluster(n_workers=workers, **options) as cluster, Client(cluster) as client:
                small = np.zeros((workers, 64, 64), np.uint16)
                restored(small, model, client, source.parent / f"small_{number}_{workers}.zarr")
                runs.append({"workers": workers, **restored(source, model, client, source.parent / "result.zarr")})
            reporting.progress(f"{workers} workers: {runs[-1]['whole']:.1f} s, tiles {runs[-1]['tiles']:.1f} s")
    return runs


def untrained(given: Any) -> Any:
    """A model with random weights: as fast as a trained one."""
    import torch

    from napari_restore.core.normalisation import Normalisation
    from napari_restore.store.model import Model, build_method

    torch.manual_seed(0)
    config = {"width": given.width, "depth": given.depth}
    method = build_method("noise2void", config, spatial="YX", channels=1)
    return Model("noise2void", method.eval(), Normalisation((1000.0,), (100.0,)))


def restored(source: Any, model: Any, client: Any, output: Path) -> dict[str, Any]:
    """One run: seconds to the last tile and to the finished file, the tasks' share, and a checksum of the pixels."""
    from napari_restore import restore_events
    from napari_restore.core.events import TileDone

    busy = sum(client.run(time.process_time).values())
    began, last, count = time.perf_counter(), 0.0, 0
    options = {"axes": "ZYX", "precision": "float32", "device": "cpu", "overwrite": True}
    for event in restore_events(source, model, output=output, client=client, **options):
        if isinstance(event, TileDone):
            last, count = event.seconds, event.tiles
    whole, digest = time.perf_counter() - began, hashlib.sha256()
    busy = sum(client.run(time.process_time).values()) - busy
    for file in sorted((output / "0").rglob("*")):
        digest.update(file.read_bytes() if file.is_file() else b"")
    return {"whole": whole, "tiles": last, "workers_cpu": busy, "count": count, "sha256": digest.hexdigest()[:16]}


def table(runs: list[dict[str, Any]], given: Any) -> dict[str, Any]:
    """Medians for each number of workers, and how many times faster than the smallest each is."""
    rows = []
    for workers in given.workers:
        mine = [run for run in runs if run["workers"] == workers]
        seconds = {key: statistics.median(run[key] for run in mine) for key in ("whole", "tiles", "workers_cpu")}
        rate = np.prod(given.shape) / seconds["whole"] / 1e6
        times = {f"{key}_seconds": round(value, 2) for key, value in seconds.items()}
        rows.append({"workers": workers, **times, "mpx_per_s": round(float(rate), 3)})
    for row in rows:
        row |= {f"{k}_speedup": round(rows[0][f"{k}_seconds"] / row[f"{k}_seconds"], 3) for k in ("whole", "tiles")}
    return {
        "tiles_count": runs[0]["count"],
        "same_bytes": len({run["sha256"] for run in runs}) == 1,
        "by_workers": rows,
    }


if __name__ == "__main__":
    main()

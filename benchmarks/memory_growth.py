"""Peak memory of restoring a volume to an OME-Zarr, by the size of the volume: it should not grow.

The volume is a Zarr whose chunks are made when they are asked for, so that no disk has to hold it. Every size is
restored by a process of its own, which does nothing else. The network is very small, so that the work is in reading,
tiles and writing. `peak_mib` is that process's largest resident memory; `above_start_mib` leaves out what it had when
all libraries were loaded. `plan_mib` is what the run says it will hold at the most, before its first tile.

`--most-tiles N` stops each run after so many tiles: plan, journal and output are those of the whole volume, and 16 GB
need not be written.
"""

from __future__ import annotations

import multiprocessing
import shutil
import tempfile
import threading
import time
from math import ceil, prod
from pathlib import Path
from typing import Any

import numpy as np
import reporting

GB = 10**9
PLANE = (2048, 2048)
CHUNK = (1, 512, 512)


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--gigabytes", type=float, nargs="+", default=[1, 4, 16])
    parser.add_argument("--most-tiles", type=int, metavar="N", help="stop each run after so many tiles")
    parser.add_argument("--tile", type=reporting.shape_of, default=(1024, 1024), metavar="Y,X")
    parser.add_argument("--width", type=int, default=4)
    parser.add_argument("--depth", type=int, default=1)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--folder", type=Path, help="where results are written, and removed (default: temporary)")
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    rows = []
    for gigabytes in given.gigabytes:
        rows.append(in_a_process(gigabytes, given))
        reporting.progress(
            f"{gigabytes} GB: peak {rows[-1]['peak_mib']} of {rows[-1]['plan_mib']} MiB in {rows[-1]['seconds']} s"
        )
    peaks = [row["peak_mib"] for row in rows]
    growth = round(100 * (peaks[-1] / peaks[0] - 1), 2)
    names = ("most_tiles", "tile", "width", "depth", "precision", "device")
    settings = {"plane": PLANE, "chunk": CHUNK, "dtype": "uint16", **{name: getattr(given, name) for name in names}}
    results = {"runs": rows, "peak_growth_percent_first_to_last": growth}
    reporting.finish(machine, results=results, settings=settings, out=given.out)


def in_a_process(gigabytes: float, given: Any) -> dict[str, Any]:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    folder = Path(tempfile.mkdtemp(prefix="napari-restore-", dir=given.folder))
    try:
        work = context.Process(target=restored, args=(gigabytes, given, folder, queue))
        work.start()
        work.join()
        if work.exitcode != 0:
            raise SystemExit(f"restoring {gigabytes} GB ended with {work.exitcode}: see above.")
        row: dict[str, Any] = queue.get()
    finally:
        shutil.rmtree(folder)
    return row


def restored(gigabytes: float, given: Any, folder: Path, queue: Any) -> None:
    import torch

    from napari_restore import restore_events
    from napari_restore.core.events import RestorationStarted, TileDone

    torch.set_num_threads(given.threads)
    volume = synthetic_volume(gigabytes)
    model = untrained(width=given.width, depth=given.depth)
    start, stop, seen, began = memory("VmRSS"), threading.Event(), [], time.perf_counter()
    options = {"tile": given.tile, "axes": "ZYX", "device": given.device, "precision": given.precision, "stop": stop}
    for event in restore_events(volume, model, output=folder / "out.zarr", **options):
        if isinstance(event, RestorationStarted):
            started = event
        elif isinstance(event, TileDone):
            seen.append((event.done, memory("VmRSS")))
            if given.most_tiles and event.done >= given.most_tiles:
                stop.set()
    queue.put(
        {
            "gigabytes": gigabytes,
            "shape": list(volume.shape),
            "tiles": started.tiles,
            "tiles_restored": len(seen),
            "halo": list(started.halo),
            "seconds": round(time.perf_counter() - began, 1),
            "peak_mib": round(memory("VmHWM") / 1024),
            "above_start_mib": round((memory("VmHWM") - start) / 1024),
            "resident_mib_at_a_quarter_and_the_end": [round(seen[i][1] / 1024) for i in (len(seen) // 4, -1)],
            "plan_mib": round(started.memory / 2**20),
            "peak_over_plan": round(memory("VmHWM") * 1024 / started.memory, 3),
        }
    )


def untrained(*, width: int, depth: int, dimensions: str = "2") -> Any:
    """A model with random weights: as fast as a trained one, and as large."""
    import torch

    from napari_restore.core.normalisation import Normalisation
    from napari_restore.store.model import Model, build_method

    torch.manual_seed(0)
    config = {"width": width, "depth": depth, "dimensions": dimensions}
    method = build_method("noise2void", config, spatial="ZYX" if dimensions == "3" else "YX", channels=1)
    return Model("noise2void", method.eval(), Normalisation((1000.0,), (100.0,)))


def synthetic_volume(gigabytes: float, *, plane: tuple[int, int] = PLANE, chunk: tuple[int, ...] = CHUNK) -> Any:
    """A ``zarr.Array`` of uint16, ``gigabytes`` large: waves and noise that depend on the place, made when read."""
    import zarr
    from zarr.storage import MemoryStore

    class MadeOnTheFly(MemoryStore):
        """Metadata in memory; a chunk is one of eight noise fields, brighter from plane to plane."""

        async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
            if not key.startswith("c/"):
                return await super().get(key, prototype, byte_range)
            place = [int(part) for part in key.split("/")[1:]]
            pixels = fields[sum(place) % len(fields)] + np.uint16(place[0] % 64)
            return prototype.buffer.from_bytes(pixels.tobytes())

    rng = np.random.default_rng(0)
    fields = [rng.normal(1000, 50, chunk).astype(np.uint16) for _ in range(8)]
    depth = max(1, ceil(gigabytes * GB / (prod(plane) * 2)))
    return zarr.create_array(
        MadeOnTheFly(), shape=(depth, *plane), chunks=chunk, dtype="uint16", compressors=None, filters=None
    )


def memory(name: str) -> int:
    """KiB of this process since it was executed (Linux): VmRSS now, VmHWM at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


if __name__ == "__main__":
    main()

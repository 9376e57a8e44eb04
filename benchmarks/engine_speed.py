"""What the engine adds to the bare work: to the first training step, to a batch of patches, to a restored tile.

`first_step`: seconds from the call of `train_events` on a Zarr of 50 GB, whose chunks are made when they are asked for,
until training is set up and until one step is done; libraries are loaded before.
`patches`: patches a second from the pool of the training loop, which reads whole blocks ahead and cuts many patches
from each, against reading each patch at its random place from the same compressed Zarr on disk.
`restore`: Zarr to OME-Zarr on disk against the bare network on resident tiles of the same shape, in turns; see
`restore_throughput.py` for the two rates of the bare loop. `over_loop` divides by its `useful` one, that is, by the
time the network alone needs for the same tiles.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import reporting
from memory_growth import synthetic_volume, untrained

PARTS = ("first_step", "patches", "restore")


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--gigabytes", type=float, default=50.0, help="of the volume for the first step")
    parser.add_argument("--shape", type=reporting.shape_of, default=(48, 1024, 1024), metavar="Z,Y,X", help="on disk")
    parser.add_argument("--chunk", type=reporting.shape_of, default=(1, 512, 512), metavar="Z,Y,X")
    parser.add_argument("--seconds", type=float, default=10.0, help="of patches and of the bare loop, each time")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--depth", type=int, default=2)
    parser.add_argument("--tile", type=reporting.shape_of, metavar="Y,X")
    parser.add_argument("--precision", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    machine["device"] = reporting.device_name(given.device)
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="napari-restore-bench-") as folder:
        source = on_disk(Path(folder) / "raw.zarr", given)
        for part in given.parts:
            results[part] = {"first_step": first_step, "patches": patches, "restore": restoring}[part](source, given)
            reporting.progress(f"{part}: {results[part]}")
    names = ("gigabytes", "shape", "chunk", "seconds", "repeats", "width", "depth")
    settings = {name: getattr(given, name) for name in names}
    reporting.finish(machine, results=results, settings=settings, out=given.out)


def on_disk(path: Path, given: argparse.Namespace) -> Any:
    """Waves with Poisson noise, uint16, in zstd-compressed chunks."""
    import zarr

    array = zarr.create_array(path, shape=given.shape, dtype="uint16", chunks=given.chunk)
    rng, (y, x) = np.random.default_rng(0), np.ogrid[: given.shape[1], : given.shape[2]]
    for z in range(given.shape[0]):
        array[z] = rng.poisson(1000 + 200 * np.sin((y + z) / 9) * np.sin(x / 9)).astype(np.uint16)
    return array


def first_step(_: Any, given: argparse.Namespace) -> dict[str, Any]:
    from napari_restore import train_events
    from napari_restore.core.events import Trained, TrainingStarted

    options = {"steps": 1, "device": given.device, "axes": "ZYX"}
    for _ in train_events(synthetic_volume(0.05), "noise2void", **options):  # loads what loads late
        pass
    volume, rows = synthetic_volume(given.gigabytes), []
    for _ in range(given.repeats):
        began, row = time.perf_counter(), {}
        for event in train_events(volume, "noise2void", **options):
            if isinstance(event, (TrainingStarted, Trained)):
                row[type(event).__name__] = time.perf_counter() - began
        rows.append(row)
    return {
        "shape": list(volume.shape),
        "seconds_to_set_up": reporting.median([row["TrainingStarted"] for row in rows]),
        "seconds_to_the_first_step": reporting.median([row["Trained"] for row in rows]),
        "longest_seconds_to_the_first_step": round(max(row["Trained"] for row in rows), 3),
    }


def patches(source: Any, given: argparse.Namespace) -> dict[str, Any]:
    rows = [(pool_rate(source, given), naive_rate(source, given)) for _ in range(given.repeats)]
    pool, naive = (reporting.median(rates, 1) for rates in zip(*rows, strict=True))
    ratios = [a / b for a, b in rows]
    return {"pool_per_s": pool, "naive_per_s": naive, "pool_over_naive": reporting.median(ratios, 2)}


PATCH, BATCH = (64, 64), 16


def pool_rate(source: Any, given: argparse.Namespace) -> float:
    """Patches a second, from opening the pool on: its first blocks are read in that time."""
    import torch

    from napari_restore.sources import open_image
    from napari_restore.training.pool import PatchPool, cut_blocks

    image = open_image(source, axes="ZYX")
    rng, drawn, began = torch.Generator().manual_seed(0), 0, time.perf_counter()
    blocks = cut_blocks([image], spatial="YX", patch=PATCH)
    # A quarter of the image fits, so that blocks go on being replaced.
    pool = PatchPool(blocks, spatial="YX", memory=image.nbytes // 2, seed=0, device=torch.device("cpu"))
    while time.perf_counter() - began < given.seconds:
        pool.advance(drawn // BATCH)
        drawn += len(pool.draw(BATCH, PATCH, rng).pixels)
    seconds = time.perf_counter() - began
    pool.close()
    return drawn / seconds


def naive_rate(source: Any, given: argparse.Namespace) -> float:
    """Patches a second, each read from its random place: what a plain data set over a Zarr does."""
    from napari_restore.core.region import Region
    from napari_restore.sources import open_image

    image = open_image(source, axes="ZYX")
    rng, read, began = np.random.default_rng(0), 0, time.perf_counter()
    while time.perf_counter() - began < given.seconds:
        size = (1, *PATCH)
        corner = tuple(int(rng.integers(n - s + 1)) for n, s in zip(image.shape, size, strict=True))
        image.read(Region(corner, tuple(c + s for c, s in zip(corner, size, strict=True)))).astype(np.float32)
        read += 1
    return read / (time.perf_counter() - began)


def restoring(source: Any, given: argparse.Namespace) -> list[dict[str, Any]]:
    from restore_throughput import measure

    given.loop_seconds = given.seconds
    model = untrained(width=given.width, depth=given.depth)
    rows = []
    for precision in given.precision:
        row = measure(model, source, precision, given)
        row["tiles_over_loop"] = round(row["restore_tiles_mpx_per_s"] / row["loop_useful_mpx_per_s"], 3)
        rows.append({**row, "over_loop": row.pop("restore_over_loop_useful")})
    return rows


if __name__ == "__main__":
    main()

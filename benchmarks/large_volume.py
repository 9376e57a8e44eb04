"""A volume of four times the memory allowed, deconvolved from disk to disk: the plan, and what it took.

The operating system refuses the process any more memory than it holds once its libraries are loaded, and ``--allowed``
(``RLIMIT_DATA``, Linux); what each thread keeps for itself, stack and all, counts there, written to or not. The peak
is that of opening the volume, choosing and restoring. The volume is float32 noise about a few levels, in chunks of a
sixteenth of a plane.
"""

from __future__ import annotations

import math
import resource
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import reporting

MIB = 2**20
SIDE = 2048
PSF = "gaussian:0.7,1,1"


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--allowed", type=int, default=384, help="MiB on top of the libraries")
    parser.add_argument("--times", type=float, default=4.0, help="the volume, in memory allowed")
    parser.add_argument("--iterations", type=int, default=3)
    parser.add_argument("--tile", type=reporting.shape_of, default=(16, 128, 128), help="what fits")
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    planes = math.ceil(given.times * given.allowed * MIB / (4 * SIDE**2))
    with tempfile.TemporaryDirectory() as folder:
        volume = Path(folder) / "volume.zarr"
        with ProcessPoolExecutor(1, get_context("spawn")) as another:  # what that takes is not counted here
            another.submit(made, volume, planes).result()
        found = deconvolved(volume, Path(folder) / "sharp.ome.zarr", given)
    settings = {"shape": [planes, SIDE, SIDE], "psf": PSF, "iterations": given.iterations, "allowed_mib": given.allowed}
    settings["tile"] = list(given.tile)
    reporting.finish(machine, results=found, settings=settings, out=given.out)


def made(path: Path, planes: int) -> None:
    import zarr

    rng = np.random.default_rng(0)
    quarter = SIDE // 4
    volume = zarr.create_array(path, shape=(planes, SIDE, SIDE), chunks=(8, quarter, quarter), dtype="float32")
    plane = rng.poisson(100 + 80 * np.sin(np.arange(SIDE) / 17)[:, None] * np.cos(np.arange(SIDE) / 23))
    for z in range(0, planes, 8):
        many = min(8, planes - z)
        volume[z : z + many] = np.stack([np.roll(plane, 3 * k, 0) for k in range(z, z + many)]).astype(np.float32)


def deconvolved(volume: Path, output: Path, given: Any) -> dict[str, Any]:
    import psutil

    from napari_restore import estimate_cost, open_image, restore, train

    image = open_image(volume, axes="ZYX")
    options: dict[str, Any] = {"psf": PSF, "iterations": given.iterations, "weight": 0.002, "noise": 12.0}
    model = train(image, "richardson_lucy", device="cpu", **options)
    held = psutil.Process().memory_info()
    resource.setrlimit(resource.RLIMIT_DATA, (held.data + given.allowed * MIB, resource.RLIM_INFINITY))
    plan = estimate_cost(image, "richardson_lucy", tile=given.tile, device="cpu", **options)
    began, processor = time.perf_counter(), time.process_time()
    result = restore(image, model, output=output, tile=given.tile, device="cpu")
    return {
        "volume_mib": round(math.prod(image.shape) * 4 / MIB),
        "volume_of_allowed": round(math.prod(image.shape) * 4 / MIB / given.allowed, 2),
        "held_mib": round(held.rss / MIB),
        "plan_mib": round(plan.memory / MIB),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "whole": bool(result.complete),
        "seconds": round(time.perf_counter() - began, 1),
        "processor_seconds": round(time.process_time() - processor, 1),
    }


if __name__ == "__main__":
    main()

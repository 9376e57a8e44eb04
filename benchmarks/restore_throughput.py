"""Restoring an array into an OME-Zarr, against the bare forward loop on tiles that are in memory already.

The bare loop runs the same network on tiles of the same size, halo included; both count megapixels a second. The
loop's `read` pixels include the halo, its `useful` pixels are those that would be written. The restore run also
reads, normalises, crops, writes, flushes and journals, and builds the pyramid.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import reporting


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--shape", type=reporting.shape_of, default=(2048, 2048), metavar="[Z,]Y,X")
    parser.add_argument("--dimensions", choices=("2", "3"), default="2", help="axes the network looks along")
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--depth", type=int, default=2)
    parser.add_argument("--tile", type=reporting.shape_of, metavar="[Z,]Y,X", help="pixels a tile writes")
    parser.add_argument("--precision", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--loop-seconds", type=float, default=10.0, help="of the bare loop, each time")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    machine["device"] = reporting.device_name(given.device)
    config = {"dimensions": given.dimensions, "width": given.width, "depth": given.depth}
    model = untrained(config)
    pixels = noisy_volume(given.shape)
    results = [measure(model, pixels, precision, given) for precision in given.precision]
    settings = {**config, "shape": given.shape, "dtype": str(pixels.dtype), "repeats": given.repeats}
    reporting.finish(machine, results=results, settings=settings, out=given.out)


def untrained(config: dict[str, Any]) -> Any:
    """A model with random weights: as fast as a trained one."""
    import torch

    from napari_restore.core.normalisation import Normalisation
    from napari_restore.store.model import Model, build_method

    torch.manual_seed(0)
    method = build_method("noise2void", config, spatial="ZYX" if config["dimensions"] == "3" else "YX", channels=1)
    return Model("noise2void", method.eval(), Normalisation((1000.0,), (500.0,)))


def noisy_volume(shape: tuple[int, ...]) -> np.ndarray:
    """Smooth structure with Poisson noise, uint16."""
    waves = sum(np.sin(np.arange(n) / 9).reshape([-1 if a == i else 1 for a in range(len(shape))])
                for i, n in enumerate(shape))  # fmt: skip
    return np.random.default_rng(0).poisson(1000 + 200 * waves).astype(np.uint16)


def measure(model: Any, pixels: np.ndarray, precision: str, given: Any) -> dict[str, Any]:
    """Loop and restore run in turns, so that a slow minute of the machine hits both."""
    loops, runs = [], []
    restore_run(model, pixels[tuple(slice(0, 64) for _ in pixels.shape)], precision, given)  # loads what loads late
    for number in range(given.repeats):
        loops.append(bare_loop(model, pixels.shape, precision, given))
        runs.append(restore_run(model, pixels, precision, given))
        reporting.progress(
            f"{precision} {number}: loop {loops[-1]['useful']:.3f}, restore {runs[-1]['whole']:.3f} Mpx/s"
        )
    loop = {f"loop_{k}_mpx_per_s": reporting.median([one[k] for one in loops]) for k in ("read", "useful")}
    rates = {f"restore_{k}_mpx_per_s": reporting.median([one[k] for one in runs]) for k in ("whole", "tiles")}
    ratios = [run["whole"] / one["useful"] for one, run in zip(loops, runs, strict=True)]
    return {
        "precision_asked": precision,
        **{k: runs[0][k] for k in ("precision", "tile", "halo", "batch", "tiles_count", "output_dtype")},
        **loop,
        **rates,
        "restore_over_loop_useful": round(statistics.median(ratios), 3),
        "restore_over_loop_read": round(rates["restore_whole_mpx_per_s"] / loop["loop_read_mpx_per_s"], 3),
    }


def bare_loop(model: Any, shape: tuple[int, ...], precision: str, given: Any) -> dict[str, float]:
    """Megapixels a second of the network alone, on one batch that stays on the device."""
    import torch

    from napari_restore.core.options import Restoring
    from napari_restore.methods.apply import autocast
    from napari_restore.methods.device import find_device, kept_buffers
    from napari_restore.restoration.plan import tiles_over
    from napari_restore.sources import open_image

    device = find_device(given.device)
    method = model.method.for_restoring().to(device)
    axes = "ZYX"[-len(shape) :]
    image = open_image(np.broadcast_to(np.uint16(0), shape), axes=axes)
    plan = tiles_over(image, method, Restoring(tile=given.tile))
    batch = 1 if device.type == "cpu" else 4
    layout = torch.channels_last if len(method.spatial) == 2 else torch.channels_last_3d
    spatial = plan.read_shape[-len(method.spatial) :]
    tiles = torch.randn(batch, 1, *spatial, device=device).contiguous(memory_format=layout)
    with kept_buffers(), torch.inference_mode(), autocast(device, effective(precision, device)):
        seconds = timed(lambda: method.restore(tiles), device.type, given.loop_seconds)
    useful = prod(shape) / len(plan) * batch
    return {"read": batch * prod(spatial) / seconds / 1e6, "useful": useful / seconds / 1e6}


def effective(precision: str, device: Any) -> Any:
    from napari_restore.methods.device import find_precision

    return find_precision(device) if precision == "bfloat16" else precision


def timed(call: Any, device: str, seconds: float) -> float:
    """Seconds a call, measured for at least so long after three calls to warm up."""
    import torch

    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    for _ in range(3):
        call()
    wait()
    calls, began = 0, time.perf_counter()
    while calls == 0 or time.perf_counter() - began < seconds:
        call()
        calls += 1
        if calls % 8 == 0:
            wait()
    wait()
    return (time.perf_counter() - began) / calls


def restore_run(model: Any, pixels: np.ndarray, precision: str, given: Any) -> dict[str, Any]:
    """One array into one OME-Zarr on the disk of the temporary folder."""
    from napari_restore import restore_events
    from napari_restore.core.events import RestorationStarted, TileDone

    started, last, begun = None, 0.0, time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="napari-restore-bench-") as folder:
        options = {"tile": given.tile, "device": given.device, "precision": precision}
        axes = "ZYX"[-pixels.ndim :]
        for event in restore_events(pixels, model, output=Path(folder) / "out.ome.zarr", axes=axes, **options):
            if isinstance(event, RestorationStarted):
                started = event
            elif isinstance(event, TileDone):
                last = event.seconds
        whole = time.perf_counter() - begun
    assert started is not None
    return {
        "whole": pixels.size / whole / 1e6,
        "tiles": pixels.size / last / 1e6,
        "precision": started.precision,
        "tile": started.tile,
        "halo": started.halo,
        "batch": started.batch,
        "tiles_count": started.tiles,
        "output_dtype": started.dtype,
    }


if __name__ == "__main__":
    main()

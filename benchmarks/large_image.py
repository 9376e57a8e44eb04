"""A large image deblurred and super-resolved in tiles: as in one piece, and in how much memory.

*Whole* is computed here, without the package's tile plan; *tiled* is `restore`, from a Zarr on disk to an OME-Zarr. The
peak is that of a process that does nothing else, less what it had before the first tile.
"""

from __future__ import annotations

import multiprocessing
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import reporting

TASKS = {"deblur": {"psf": "gaussian:2"}, "super-resolve": {"factor": 2}}


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--size", type=int, default=4096)
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--steps", type=int, default=30, help="of training, so that the weights are no accident")
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    folder = Path(tempfile.mkdtemp(prefix="napari-restore-"))
    try:
        rows = [one(task, given, folder) for task in given.tasks]
    finally:
        shutil.rmtree(folder)
    settings = {"size": given.size, "steps": given.steps, "precision": "float32"}
    reporting.finish(machine, results=rows, settings=settings, out=given.out)


def one(task: str, given: Any, folder: Path) -> dict[str, Any]:
    import zarr

    from napari_restore import load_model, train

    image = noisy((given.size, given.size))
    source, model_path = folder / f"{task}.zarr", folder / f"{task}.safetensors"
    zarr.create_array(source, data=image, chunks=(512, 512))
    train(image[:512, :512], "scale_equivariant", noise=5.0, steps=given.steps, **TASKS[task]).save(model_path)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    work = context.Process(target=tiled, args=(source, model_path, folder / f"{task}_result.zarr", queue))
    work.start()
    facts = queue.get()
    work.join()
    found = np.asarray(zarr.open_group(folder / f"{task}_result.zarr", mode="r")["0"])
    expected = whole(load_model(model_path), image)
    row = {
        "task": task,
        "output": list(found.shape),
        "difference_over_std": float(np.abs(found - expected).max() / expected.std()),
        **facts,
        "whole_in_one_piece_mib": round(memory("VmHWM") / 1024),
    }
    reporting.progress(f"{task}: {row['difference_over_std']:.1e}, {row['peak_mib_above_start']} MiB")
    return row


def tiled(source: Path, model_path: Path, output: Path, queue: Any) -> None:
    from napari_restore import load_model, restore_events
    from napari_restore.core.events import RestorationStarted
    from napari_restore.core.job import drain

    model = load_model(model_path)
    seen: list[Any] = []
    before = memory("VmRSS")
    began = time.perf_counter()
    drain(restore_events(source, model, output=output, precision="float32"), seen.append)
    seconds = time.perf_counter() - began
    peak = memory("VmHWM")
    started = next(event for event in seen if isinstance(event, RestorationStarted))
    queue.put(
        {
            "tiles": started.tiles,
            "tile": list(started.tile),
            "halo": list(started.halo),
            "seconds": round(seconds, 1),
            "peak_mib_above_start": round((peak - before) / 1024),
            "peak_mib": round(peak / 1024),
        }
    )


def memory(name: str) -> int:
    """KiB of this process since it was executed (Linux): VmRSS now, VmHWM at most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def noisy(shape: tuple[int, int]) -> np.ndarray:
    from scipy import ndimage

    rng = np.random.default_rng(0)
    smooth = ndimage.gaussian_filter(rng.standard_normal(shape, dtype=np.float32), 3)
    return (100 + 300 * smooth + 5 * rng.standard_normal(shape, dtype=np.float32)).astype(np.float32)


def whole(model: Any, image: np.ndarray) -> np.ndarray:
    """The image in one piece, with a mirrored border as wide as the network looks."""
    import torch

    method = model.method.for_restoring()
    sizes = list(zip(image.shape, method.radius, method.grid, method.rate, strict=True))
    border = [(-(-r // g) * g, -(-(n + r) // g) * g - n) for n, r, g, _ in sizes]
    mirrored = model.normalisation.apply(np.pad(image, border, mode="reflect")[None, None])
    with torch.inference_mode():
        restored = method.restore(torch.from_numpy(mirrored)).numpy()
    inside = tuple(slice(low * rate, (low + n) * rate) for (low, _), (n, _, _, rate) in zip(border, sizes, strict=True))
    return model.normalisation.invert(restored)[0, 0][inside]


if __name__ == "__main__":
    main()

"""Many runs in one process, as an open viewer or a service has them: is all that a run takes given back?

Round after round of: a denoising, a restoration, a deblurring, two calls that are refused, a job that is stopped, a
batch; each result is read and dropped. After each round memory (RSS), file descriptors, threads and what lies in the
temporary folder are counted. The first rounds warm up: libraries are loaded, and the allocator finds its size.
"""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import reporting

RUNS_A_ROUND = 7


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--runs", type=int, default=200, help="of all kinds together")
    parser.add_argument("--warm-up", type=int, default=3, help="rounds")
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    folder = Path(tempfile.mkdtemp(prefix="long-life-"))
    temporary = folder / "temporary"
    temporary.mkdir()
    os.environ["TMPDIR"], tempfile.tempdir = str(temporary), str(temporary)
    try:
        rounds = Rounds(folder, temporary)
        counted = [rounds.once() for _ in range(-(-given.runs // RUNS_A_ROUND))]
    finally:
        shutil.rmtree(folder)
    after = counted[given.warm_up - 1 :]
    results = {
        "runs": len(counted) * RUNS_A_ROUND,
        "after_warm_up": after[0],
        "at_the_end": after[-1],
        "most": {name: max(each[name] for each in after) for name in after[0]},
        "rss_mb_a_run": round((after[-1]["rss_mb"] - after[0]["rss_mb"]) / max(1, len(after) - 1) / RUNS_A_ROUND, 4),
        "rounds": counted,
    }
    reporting.finish(machine, results=results, settings={"warm_up": given.warm_up}, out=given.out)


class Rounds:
    """Images and a model, and the runs that are made of them."""

    def __init__(self, folder: Path, temporary: Path) -> None:
        import tifffile
        import torch

        from napari_restore import train

        torch.set_num_threads(1)
        self._folder, self._temporary = folder, temporary
        rng = np.random.default_rng(0)
        y, x = np.ogrid[:96, :100]
        self._image = (100 + 40 * np.sin(y / 9) * np.cos(x / 7) + rng.normal(0, 8, (96, 100))).astype(np.float32)
        (folder / "images").mkdir()
        for name in "ab":
            tifffile.imwrite(folder / f"images/{name}.tif", self._image)
        self._model = folder / "m.safetensors"
        train(self._image, "noise2void", steps=3, width=4, depth=1, save_model=self._model, axes="YX", device="cpu")

    def once(self) -> dict[str, float]:
        """A round, and what there is after it."""
        for run in (self._denoise, self._restore, self._deblur, self._constant, self._no_model, self._stopped):
            run()
        self._batch()
        gc.collect()
        return self._counted()

    def _denoise(self) -> None:
        from napari_restore import denoise

        tiny: dict[str, Any] = {"steps": 4, "effort": "quick", "width": 4, "depth": 1}
        np.asarray(denoise(self._image, method="noise2void", axes="YX", device="cpu", **tiny))

    def _restore(self) -> None:
        from napari_restore import restore

        out = self._folder / "o.ome.zarr"
        np.asarray(
            restore(self._image, self._model, output=out, overwrite=True, axes="YX", device="cpu", tile=(32, 32))
        )

    def _deblur(self) -> None:
        from napari_restore import deblur

        tiny: dict[str, Any] = {"steps": 2, "effort": "quick", "width": 4}
        np.asarray(deblur(self._image, psf="gaussian:1", axes="YX", device="cpu", **tiny))

    def _constant(self) -> None:
        from napari_restore import denoise

        self._refused(
            lambda: denoise(np.zeros_like(self._image), method="noise2void", axes="YX", steps=2, device="cpu")
        )

    def _no_model(self) -> None:
        from napari_restore import restore

        self._refused(lambda: restore(self._image, self._folder / "no.safetensors", axes="YX"))

    def _refused(self, call: Callable[[], object]) -> None:
        from napari_restore.core.errors import RestoreError

        try:
            call()
        except RestoreError:
            return
        raise AssertionError("it was to be refused")

    def _stopped(self) -> None:
        from napari_restore import submit
        from napari_restore.core.events import Measured, TrainingStarted

        job = submit("denoise", self._image, method="noise2void", axes="YX", seconds=60, width=4, depth=1, device="cpu")
        while not isinstance(job.latest, TrainingStarted | Measured) and not job.done():
            threading.Event().wait(0.01)
        job.stop()
        assert job.result() is None

    def _batch(self) -> None:
        from napari_restore import restore_folder

        out = self._folder / "results"
        ended = restore_folder(self._folder / "images", self._model, output=out, axes="YX", device="cpu")
        assert {state.state for state in ended} == {"done"}
        shutil.rmtree(out)

    def _counted(self) -> dict[str, float]:
        import psutil

        own = psutil.Process()
        return {
            "rss_mb": round(own.memory_info().rss / 2**20, 1),
            "descriptors": own.num_fds() if hasattr(own, "num_fds") else 0,
            "threads": own.num_threads(),
            "python_threads": threading.active_count(),
            "temporary": sum(1 for each in self._temporary.iterdir() if each.name.startswith("napari-restore")),
        }


if __name__ == "__main__":
    main()

"""Real frames denoised after so many steps, with the weights that the package ships and with fresh ones.

    python benchmarks/start/frames.py --pair NOISY AVERAGE [--pair ...] --steps 100 300 1000 3000 --out FILE.json

Each frame is a training of its own for each number of steps, as the learning rate follows the budget. PSNR over the
clean range after a fitted gain and offset; seconds are of the processor. Rows already in FILE.json are kept, so that it
can be gone on with. None of these frames was used for the weights, nor to choose how training goes on from them.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import reporting
from real_noise import gray


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--pair", nargs=2, type=Path, action="append", required=True, metavar=("NOISY", "AVERAGE"))
    parser.add_argument("--steps", type=int, nargs="+", default=[100, 300, 1000, 3000])
    parser.add_argument("--starts", nargs="+", default=["none", "auto"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only", nargs="*", help="names of frames")
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    rows: dict[str, Any] = json.loads(given.out.read_text())["results"] if given.out and given.out.exists() else {}
    for steps in given.steps:
        for noisy, clean in given.pair:
            for file in sorted(noisy.iterdir()):
                if given.only and file.name not in given.only:
                    continue
                frame = rows.setdefault(f"{noisy.parent.name}/{file.name}", {})
                for start in given.starts:
                    for seed in given.seeds:
                        name = f"{steps} {start} {seed}"
                        if name not in frame:
                            frame[name] = one(gray(file), gray(clean / file.name), steps, start, seed)
                            reporting.progress(f"{file.name} {name}: {frame[name]}")
                            reporting.finish(machine, results=rows, settings={}, out=given.out)


def one(noisy: np.ndarray, clean: np.ndarray, steps: int, start: str, seed: int) -> dict[str, Any]:
    from napari_restore import denoise
    from napari_restore.metrics.similarity import psnr_fitted

    began = time.process_time()
    result = denoise(noisy, method="posterior", axes="YX", steps=steps, start=start, seed=seed, device="cpu")
    found = psnr_fitted(np.asarray(result), clean)
    took = "none" if "start" not in result.model.provenance else "weights"
    shutil.rmtree(result.path.parent)
    seconds = round(time.process_time() - began, 1)
    return {"psnr": round(found, 2), "held_out": result.model.provenance["held_out_loss"], "took": took, "cpu": seconds}


if __name__ == "__main__":
    main()

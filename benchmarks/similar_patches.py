"""Patches that look alike: PSNR of what the posterior mean restores, without and with them, by one training each.

Frames of microscopes with their averages (PSNR over the clean range after a fitted gain and offset), and made stacks
of ``neighbours.py`` (over the clean range as it is). `share` is that of what they say in the result, as it was found.
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import reporting
from neighbours import CASES
from numpy.typing import NDArray
from real_noise import gray


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--pair", nargs=2, type=Path, action="append", default=[], metavar=("NOISY", "CLEAN"))
    parser.add_argument("--cases", nargs="*", default=sorted(CASES), choices=sorted(CASES))
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    from napari_restore.metrics.similarity import psnr, psnr_fitted

    machine = reporting.begin(given.threads)
    settings = {"steps": given.steps, "seed": given.seed, "device": "cpu"}
    results = {}
    for noisy, clean in given.pair:
        for file in sorted(noisy.iterdir()):
            name = f"{noisy.parent.name}/{file.name}"
            results[name] = one(gray(file), gray(clean / file.name), "YX", psnr_fitted, settings)
            reporting.progress(f"{name}: {results[name]}")
    for name in given.cases:
        clean_stack, noisy_stack, axes = CASES[name]()
        results[name] = one(noisy_stack, clean_stack, axes, psnr, settings)
        reporting.progress(f"{name}: {results[name]}")
    reporting.finish(machine, results=results, settings=settings, out=given.out)


def one(noisy: NDArray[Any], clean: NDArray[Any], axes: str, judged: Any, settings: dict[str, Any]) -> dict[str, Any]:
    from napari_restore import train

    model = train(noisy, "posterior", axes=axes, **settings)
    row = {
        "noisy": round(judged(noisy, clean), 2),
        "share": [round(share, 2) for each in model.method.config.alike for _, share in each],
    }
    for name in ("no", "yes"):
        model.method.config = dataclasses.replace(model.method.config, similar=name)
        pixels, seconds = restored(noisy, model, axes)
        row[name] = {"psnr": round(judged(pixels, clean), 2), "processor_seconds": round(seconds, 2)}
    return row


def restored(noisy: NDArray[Any], model: Any, axes: str) -> tuple[NDArray[Any], float]:
    from napari_restore import restore

    began = time.process_time()
    result = restore(noisy, model, axes=axes, device="cpu")
    seconds = time.process_time() - began
    pixels = np.asarray(result)
    shutil.rmtree(result.path.parent)
    return pixels, seconds


if __name__ == "__main__":
    main()

"""Denoisers: PSNR against training time, on eight images with known truth.

Every budget is a training of its own, because the learning rate follows the budget.
"""

from __future__ import annotations

import shutil
import time
from typing import Any

import numpy as np
import reporting
from images import each_in_the_middle, eight_images, fingerprint, psnr_255


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--methods", nargs="+", default=["noise2void2", "posterior"])
    parser.add_argument("--seconds", type=float, nargs="+", default=[20.0], help="of training; several for a curve")
    parser.add_argument("--seeds", type=int, default=3, help="trainings a budget, with seeds 0, 1, ... (default 3)")
    parser.add_argument("--effort", default="normal", help="quick, normal or thorough: sets the network")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="auto")
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    clean, noisy = eight_images()
    machine["device"] = reporting.device_name(given.device)
    options = {
        "effort": given.effort,
        "device": given.device,
        "precision": given.precision,
        **reporting.settings_of(given.settings),
    }
    budgets = {
        method: [one_budget(clean, noisy, method, seconds, given.seeds, options) for seconds in given.seconds]
        for method in given.methods
    }
    results = {"psnr_noisy": round(psnr_255(noisy, clean), 3), "data": fingerprint(noisy), "methods": budgets}
    reporting.finish(machine, results=results, settings=options, out=given.out)


def one_budget(
    clean: np.ndarray, noisy: np.ndarray, method: str, seconds: float, seeds: int, options: dict[str, Any]
) -> dict[str, Any]:
    runs = [one_run(clean, noisy, method, seconds, seed, options) for seed in range(seeds)]
    return {
        "seconds": seconds,
        "psnr_median": reporting.median([run["psnr"] for run in runs]),
        "estimated_minus_true_median": reporting.median([run["estimated_minus_true"] for run in runs]),
        "train_seconds_median": reporting.median([run["train_seconds"] for run in runs], 2),
        "steps_per_second_median": reporting.median([run["steps_per_second"] for run in runs], 2),
        "runs": runs,
    }


def one_run(
    clean: np.ndarray, noisy: np.ndarray, method: str, seconds: float, seed: int, options: dict[str, Any]
) -> dict[str, Any]:
    """Train, restore, compare. `wall_seconds` and `cpu_seconds` are of all of training, setting up included."""
    from napari_restore import restore, train

    wall, cpu = time.perf_counter(), time.process_time()
    model = train(noisy, method, axes="TYX", seconds=seconds, seed=seed, **options)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    result = restore(noisy, model, axes="TYX", device=options["device"])
    restored = np.asarray(result)
    value = psnr_255(restored, clean)
    shutil.rmtree(result.path.parent)
    facts = model.provenance
    run = {
        "seed": seed,
        "psnr": round(value, 3),
        "estimated_minus_true": estimated_minus_true(noisy, restored, clean, model),
        "train_seconds": facts["seconds"],
        "wall_seconds": round(wall, 2),
        "cpu_seconds": round(cpu, 2),
        "steps": facts["steps"],
        "steps_per_second": round(facts["steps"] / facts["seconds"], 2),
        "batch": facts["batch"],
        "patch": facts["patch"],
        "precision": facts["precision"],
        "parameters": model.card()["parameters"],
    }
    reporting.progress(f"{method}, {seconds:g} s, seed {seed}: {value:.2f} dB after {run['steps']} steps")
    return run


def estimated_minus_true(noisy: np.ndarray, restored: np.ndarray, clean: np.ndarray, model: Any) -> float:
    """In dB, of the error of all images together: SURE, without the truth, of each in the stack's middle, and as it is.

    The noise is measured in the stack, as it is for a user who restores one. ``estimate.py`` has single images, frames
    and other draws of noise.
    """
    from napari_restore.judging.denoised import check
    from napari_restore.sources import open_image

    checks = [check(open_image(stack, axes="TYX"), model) for stack in each_in_the_middle(noisy)]
    known = [c.mse for c in checks if c is not None and c.mse is not None]
    error = np.square(restored.astype(np.float64) - clean).mean()
    return round(float(10 * np.log10(error / np.mean(known))), 3) if known else float("nan")


if __name__ == "__main__":
    main()

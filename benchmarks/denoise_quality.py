"""Denoising pictures that were not trained on: each method trained on noisy pictures of one folder, judged on another.

Methods that learn from one noisy picture get that alone; Noise2Noise gets a second one, and supervised denoising the
clean one. The level of the noise is not told. PSNR over 255 of each picture, then the mean, nothing clipped.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import reporting
from PIL import Image


def main() -> None:
    parser = reporting.parser(__doc__, threads=2)
    parser.add_argument(
        "--train", type=Path, required=True, metavar="DIR", help="pictures to add noise to and train on"
    )
    parser.add_argument("--test", type=Path, required=True, metavar="DIR", help="pictures to judge on")
    parser.add_argument("--sigma", type=float, nargs="+", default=[25.0], help="of the noise, of 255")
    parser.add_argument(
        "--methods", nargs="*", default=["noise2void2", "posterior", "noise2noise", "supervised_denoising"]
    )
    parser.add_argument("--seconds", type=float, help="of training; without this, the effort's")
    parser.add_argument("--effort", default="thorough")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--baselines", action="store_true", help="classical filters, each with its best setting")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    machine["device"] = reporting.device_name(given.device)
    results = [one_sigma(sigma, given) for sigma in given.sigma]
    settings = {"effort": given.effort, "seconds": given.seconds, "seed": given.seed}
    reporting.finish(
        machine, results=results, settings={**settings, **reporting.settings_of(given.settings)}, out=given.out
    )


def one_sigma(sigma: float, given: Any) -> dict[str, Any]:
    clean, truths = pictures(given.train), pictures(given.test)
    noisy = [noised(x, sigma, seed) for seed, x in enumerate(clean)]
    second = [noised(x, sigma, 100_000 + seed) for seed, x in enumerate(clean)]
    tests = [noised(x, sigma, 200_000 + seed) for seed, x in enumerate(truths)]
    partner = {"noise2noise": {"second": second}, "supervised_denoising": {"target": clean}}
    rows = []
    for method in given.methods:
        row = learned(method, noisy, tests, truths, given, partner.get(method, {}))
        rows.append(row)
        reporting.progress(f"sigma {sigma:g}, {method}: {row}")
    found: dict[str, Any] = {"sigma": sigma, "noisy": score(tests, truths), "learned": rows}
    return {**found, "classical": classical(tests, truths, sigma)} if given.baselines else found


def learned(
    method: str, noisy: list[Any], tests: list[Any], truths: list[Any], given: Any, partner: dict[str, Any]
) -> dict[str, Any]:
    from napari_restore import restore, train

    options = {"effort": given.effort, "seconds": given.seconds, "seed": given.seed, "device": given.device}
    began, cpu = time.perf_counter(), time.process_time()
    model = train(noisy, method, **options, **partner, **reporting.settings_of(given.settings))
    wall, cpu = time.perf_counter() - began, time.process_time() - cpu
    restored = [np.asarray(restore(y, model, device=given.device)) for y in tests]
    return {
        "method": method,
        "psnr": score(restored, truths),
        "wall_seconds": round(wall, 1),
        "cpu_seconds": round(cpu, 1),
        "steps": model.provenance["steps"],
        "parameters": model.card()["parameters"],
    }


def classical(tests: list[Any], truths: list[Any], sigma: float) -> dict[str, Any]:
    """Each filter with the setting that is best for all pictures together, which takes the truth to find."""
    from scipy.ndimage import median_filter, uniform_filter
    from skimage.restoration import denoise_nl_means, denoise_tv_chambolle, denoise_wavelet

    filters = {
        "median": (median_filter, [{"size": n} for n in (3, 5)]),
        "mean": (uniform_filter, [{"size": n} for n in (3, 5)]),
        "nlm": (
            denoise_nl_means,
            [{"h": h * sigma, "sigma": sigma, "patch_size": 5, "patch_distance": 6} for h in (0.6, 0.8, 1.0)],
        ),
        "wavelet": (denoise_wavelet, [{"sigma": s * sigma, "method": m, "rescale_sigma": True, "wavelet": "db2"}
                                      for m in ("BayesShrink", "VisuShrink") for s in (0.5, 1.0)]),
        "total_variation": (denoise_tv_chambolle, [{"weight": w * sigma} for w in (0.6, 0.8, 1.0, 1.3)]),
    }  # fmt: skip
    best = {}
    for name, (run, settings) in filters.items():
        scored = [(score([run(y.astype(np.float64), **s) for y in tests], truths), s) for s in settings]
        value, setting = max(scored, key=lambda pair: pair[0])
        best[name] = {"psnr": value, **setting}
        reporting.progress(f"sigma {sigma:g}, {name}: {best[name]}")
    return best


def pictures(folder: Path) -> list[np.ndarray]:
    return [np.asarray(Image.open(p).convert("L"), np.float32) for p in sorted(folder.iterdir()) if p.suffix == ".png"]


def noised(clean: np.ndarray, sigma: float, seed: int) -> np.ndarray:
    return (clean + sigma * np.random.default_rng(seed).standard_normal(clean.shape)).astype(np.float32)


def score(restored: list[Any], truths: list[Any]) -> float:
    errors = [np.square(x.astype(np.float64) - y).mean() for x, y in zip(restored, truths, strict=True)]
    return round(float(np.mean([10 * np.log10(255**2 / e) for e in errors])), 3)


if __name__ == "__main__":
    main()

"""Super-resolution and deblurring without truth: PSNR on images not trained on, against the same network supervised.

Trains on measured images only (blurred or coarse, with noise), restores others, compares with their truth. The data are
two folders of gray pictures, one to train on and one or more to test on.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import reporting

BORDER = 8


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--train", type=Path, required=True, metavar="DIR", help="pictures to measure and train on")
    parser.add_argument("--test", type=Path, nargs="+", required=True, metavar="DIR", help="pictures to judge on")
    parser.add_argument("--psf", default="", help="of the blur, such as gaussian:2; empty for none")
    parser.add_argument("--factor", type=int, default=1, help="fine pixels to a measured one")
    parser.add_argument("--noise", type=float, default=5.0, help="standard deviation of 255 (default 5)")
    parser.add_argument("--methods", nargs="*", default=["scale_equivariant", "supervised"])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--seconds", type=float, help="of training; without this and --steps, the effort's")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--given-noise", nargs="+", default=["true"], help="what the method is told: true, auto, x0.5")
    parser.add_argument("--given-psf", nargs="+", default=[""], help="what it is told; as measured if empty")
    parser.add_argument("--baselines", type=int, default=0, help="classical methods tuned by the truth, so many images")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="NAME=VALUE")
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    measured = Measured(given)
    results: dict[str, Any] = {"interpolated_or_input": round(measured.score(measured.start), 3)}
    if given.baselines:
        results["baselines"] = baselines(measured, given.baselines)
    rows = []
    for method in given.methods:
        for noise in given.given_noise:
            for psf in given.given_psf:
                rows.append(one_row(measured, given, method, noise, psf))
    reporting.finish(machine, results={**results, "rows": rows}, settings=plain(given), out=given.out)


class Measured:
    """Clean pictures, and what an instrument makes of them; the same noise every time."""

    def __init__(self, given: Any) -> None:
        import torch

        from napari_restore.methods.imaging import build_operator
        from napari_restore.operators import psf as psfs

        kernel = psfs.parse(given.psf) if given.psf else None
        rate = (given.factor, given.factor)
        self.rate, self.noise = given.factor, given.noise
        self.sampling = ["area" if given.psf else "cubic"] * 2
        self.operator = build_operator(rate, kernel, self.sampling)
        rng = np.random.default_rng(0)

        def measure(clean: np.ndarray) -> np.ndarray:
            with torch.inference_mode():
                y = self.operator(torch.from_numpy(clean)[None, None])[0, 0].numpy()
            return (y + given.noise * rng.standard_normal(y.shape)).astype(np.float32)

        self.train = pictures([given.train], 4 * given.factor)
        self.test = pictures(given.test, 4 * given.factor)
        self.train_measured = [measure(x) for x in self.train]
        self.test_measured = [measure(x) for x in self.test]

    def start(self, y: np.ndarray) -> np.ndarray:
        import torch

        from napari_restore.operators.inverse import CubicUpsampling

        return CubicUpsampling((self.rate,) * 2, centred=(True, True))(torch.from_numpy(y)[None, None])[0, 0].numpy()

    def score(self, restore: Any) -> float:
        pairs = zip(self.test, self.test_measured, strict=True)
        return float(np.mean([psnr(restore(y), x) for x, y in pairs]))


def pictures(folders: list[Path], multiple: int) -> list[np.ndarray]:
    from skimage.io import imread

    found = [imread(path, as_gray=False).astype(np.float32) for f in folders for path in sorted(f.iterdir())]
    return [x[: x.shape[0] // multiple * multiple, : x.shape[1] // multiple * multiple] for x in found]


def psnr(image: np.ndarray, clean: np.ndarray) -> float:
    error = (np.clip(image, 0, 255) - clean)[BORDER:-BORDER, BORDER:-BORDER]
    return float(10 * np.log10(255**2 / np.mean(np.square(error, dtype=np.float64))))


def one_row(measured: Measured, given: Any, method: str, noise: str, psf: str) -> dict[str, Any]:
    runs = [one_run(measured, given, method, noise, psf, seed) for seed in range(given.seeds)]
    return {
        "method": method,
        "told_noise": noise,
        "told_psf": psf or given.psf,
        "psnr_mean": round(float(np.mean([run["psnr"] for run in runs])), 3),
        "train_seconds": reporting.median([run["train_seconds"] for run in runs], 1),
        "runs": runs,
    }


def one_run(measured: Measured, given: Any, method: str, noise: str, psf: str, seed: int) -> dict[str, Any]:
    import torch

    from napari_restore import open_image, train
    from napari_restore.core.region import Region
    from napari_restore.methods.apply import restore_region

    told: Any = noise
    if noise != "auto":
        told = measured.noise * (float(noise[1:]) if noise.startswith("x") else 1.0)
    budget = {k: v for k, v in (("seconds", given.seconds), ("steps", given.steps)) if v}
    wall, cpu = time.perf_counter(), time.process_time()
    model = train(
        measured.train_measured, method, axes="YX", seed=seed, psf=psf or given.psf, factor=given.factor, noise=told,
        target=measured.train if method == "supervised" else None, **budget, **reporting.settings_of(given.settings),
    )  # fmt: skip
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    trained = model.method.for_restoring()

    def restore(y: np.ndarray) -> np.ndarray:
        image = open_image(y, axes="YX")
        return restore_region(
            trained, image, Region.of_shape(y.shape), normalisation=model.normalisation, device=torch.device("cpu"),
            precision=model.precision,
        )  # fmt: skip

    value = measured.score(restore)
    reporting.progress(f"{method}, noise {noise}, psf {psf or given.psf}, seed {seed}: {value:.3f} dB in {wall:.0f} s")
    return {
        "seed": seed,
        "psnr": round(value, 3),
        "train_seconds": model.provenance["seconds"],
        "wall_seconds": round(wall, 1),
        "cpu_seconds": round(cpu, 1),
        "steps": model.provenance["steps"],
        "sigma": [round(s, 3) for s in model.method.config.sigma],
        "risk": model.method.config.risk,
        "precision": model.provenance["precision"],
        "parameters": model.card()["parameters"],
    }


def baselines(measured: Measured, count: int) -> dict[str, Any]:
    """Several settings by the truth, of each image and of all alike: more than anybody without it could do."""
    from functools import partial

    from napari_restore.judging import baselines as classical

    chosen = np.unique(np.linspace(0, len(measured.test) - 1, count).astype(int))
    sigma = measured.noise
    tried = {
        "total_variation": [{"weight": sigma**2 / s} for s in (64, 32, 16, 8, 4)],
        "richardson_lucy": [{"iterations": n} for n in (5, 10, 20, 40)],
    }
    found: dict[str, Any] = {"images": len(chosen)}
    for name, settings in tried.items():
        method = partial(getattr(classical, name), operator=measured.operator, sigma=sigma)
        pairs = [(measured.test[k], measured.test_measured[k]) for k in chosen]
        values = np.array([[psnr(method(y, **setting), x) for setting in settings] for x, y in pairs])
        found[name] = {
            "best_for_each_image": round(float(values.max(1).mean()), 3),
            "best_for_all": round(float(values.mean(0).max()), 3),
        }
    found["interpolated_or_input"] = round(float(np.mean([psnr(measured.start(y), x) for x, y in pairs])), 3)
    return found


def plain(given: Any) -> dict[str, Any]:
    kept = {k: v for k, v in vars(given).items() if k not in ("out", "train", "test")}
    return {**kept, "train": given.train.name, "test": [f.name for f in given.test]}


if __name__ == "__main__":
    main()

"""Sushir, self-supervised image reconstruction (SSIRN): Tables 2 to 4, and what its three losses do.

    python benchmarks/papers/sushir.py --data ../shared/data/natural --out benchmarks/results/papers_sushir.json

Learned from pictures of BSD400, judged on BSD68. ``super_resolution`` by 2, noise of 5 of 255: SSIRN from the coarse
pictures alone, then the same gone on with on those that it is judged on, SRCNN and SRGAN from sharp ones.
``inpainting``: a quarter of the pixels is missing, noise of 10; PSNR is at these. ``denoising``: noise of 25. Beside
PSNR and SSIM stands the distance of learned features to those of the sharp picture (``perceptual``, less is better).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import interpolated, measured, noised, pictures, reporting, restored, row, scores, trained

SIDE = 128
LOSSES = {
    "SSIRN": {},
    "SSIRN, perceptual 0.05": {"perceptual": 0.05},
    "SSIRN, adversarial 0.01": {"adversarial": 0.01},
}


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="with bsd400_half and bsd68")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=1, help="of SSIRN with each of its losses")
    parser.add_argument("--pictures", type=int, default=40, help="to learn from")
    parser.add_argument("--judged", type=int, default=12)
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    learned = pictures(given.data / "bsd400_half", most=given.pictures, side=176)
    clean = pictures(given.data / "bsd68", most=given.judged, side=SIDE)
    judge = Judged(clean)
    results = {part.__name__: part(given, learned, judge) for part in (super_resolution, inpainting, denoising)}
    settings = {k: v for k, v in vars(given).items() if k not in ("data", "out")}
    reporting.finish(machine, results=results, settings=settings, out=given.out)


class Judged:
    """Sharp pictures, and rows of what comes near to them."""

    def __init__(self, clean: list[np.ndarray]) -> None:
        import torch

        from napari_restore.networks.features import learned_features

        self.clean = clean
        planes = np.stack(clean)[:, None]
        self.mean, self.std = float(planes.mean()), float(planes.std())
        self.see = learned_features(torch.from_numpy((planes - self.mean) / self.std))

    def row(
        self, name: str, seen: list[np.ndarray], restore: Callable[[Any], Any], *, paper: Any = None, model: Any = None
    ):
        from skimage.metrics import structural_similarity

        found = [restore(y) for y in seen]
        pairs = list(zip(found, self.clean, strict=True))
        alike = [structural_similarity(np.clip(a, 0, 255), b, data_range=255) for a, b in pairs]
        return row(
            name,
            scores(lambda y: y, found, self.clean),
            model=model,
            paper=paper,
            ssim=round(float(np.mean(alike)), 3),
            perceptual=round(float(np.mean([self.unlike(a, b) for a, b in pairs])), 4),
        )

    def unlike(self, given: np.ndarray, clean: np.ndarray) -> float:
        import torch

        from napari_restore.losses.perceptual import perceptual

        each = [torch.from_numpy(((x - self.mean) / self.std).astype(np.float32))[None, None] for x in (given, clean)]
        return float(perceptual(self.see, *each))


def by(model: Any) -> Callable[[np.ndarray], np.ndarray]:
    return lambda y: restored(y, model, "YX")


def super_resolution(given: Any, learned: list[np.ndarray], judge: Judged) -> list[dict[str, Any]]:
    coarse = noised([measured(x) for x in learned], 5, seed=2)
    seen = noised([measured(x) for x in judge.clean], 5, seed=1)
    common = {"factor": 2, "noise": 5.0, "steps": given.steps}
    rows = [judge.row("bicubic", seen, interpolated)]
    for name, method, paper in (("SRCNN", "srcnn", "31.8, 0.91"), ("SRGAN", "srgan", "32.0, 0.92 (GANs)")):
        model = trained(coarse, method, target=learned, **common)
        rows.append(judge.row(name, seen, by(model), paper=paper, model=model))
    for name, losses in LOSSES.items():
        for seed in range(given.seeds):
            model = trained(coarse, "ssirn", seed=seed, **losses, **common)
            paper = "32.5, 0.93" if not losses and not seed else None
            rows.append({**judge.row(name, seen, by(model), paper=paper, model=model), "seed": seed})
            if not losses and not seed:
                tuned = trained(seen, "ssirn", start=model, steps=max(1, given.steps // 4))
                rows.append(judge.row("SSIRN, gone on with", seen, by(tuned), model=tuned))
    return rows


def inpainting(given: Any, learned: list[np.ndarray], judge: Judged) -> list[dict[str, Any]]:
    from skimage.restoration import inpaint_biharmonic

    rng = np.random.default_rng(3)
    lost, seen = [rng.random(x.shape) < 0.25 for x in judge.clean], noised(judge.clean, 10, seed=1)
    with_gaps = [np.where(m, np.nan, y).astype(np.float32) for m, y in zip(lost, seen, strict=True)]
    model = trained(noised(learned, 10, seed=2), "ssirn", factor=1, noise=10.0, steps=given.steps)
    filled = {
        "biharmonic": [inpaint_biharmonic(np.nan_to_num(y), m) for y, m in zip(with_gaps, lost, strict=True)],
        "SSIRN": [restored(y, model, "YX") for y in with_gaps],
    }
    rows = []
    for name, found in filled.items():
        pairs = zip(found, judge.clean, lost, strict=True)
        error = [np.mean(np.square((np.clip(a, 0, 255) - b)[m], dtype=np.float64)) for a, b, m in pairs]
        value = float(np.mean([10 * np.log10(255**2 / e) for e in error]))
        facts = {"model": model, "paper": "88.6 % accuracy, SSIM 0.88"} if name == "SSIRN" else {}
        rows.append(row(f"{name}, at missing pixels", value, **facts))
    return rows


def denoising(given: Any, learned: list[np.ndarray], judge: Judged) -> list[dict[str, Any]]:
    noisy, seen = noised(learned, 25, seed=2), noised(judge.clean, 25, seed=1)
    common = {"factor": 1, "noise": 25.0, "steps": given.steps}
    rows = [judge.row("noisy", seen, lambda y: y)]
    for name, method, more, paper in (
        ("SRCNN", "srcnn", {"target": learned}, "27.6, 0.84"),
        ("SRGAN", "srgan", {"target": learned}, "29.1, 0.86 (GANs)"),
        ("SSIRN", "ssirn", {}, "28.9, 0.89"),
    ):
        model = trained(noisy, method, **more, **common)
        rows.append(judge.row(name, seen, by(model), paper=paper, model=model))
    return rows


if __name__ == "__main__":
    main()

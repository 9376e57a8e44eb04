"""Mishra et al., inverse imaging: a U-Net with dropout on pairs; the deep image prior, its targets and when it stops.

    python benchmarks/papers/mishra.py --data ../shared/data/natural --out benchmarks/results/papers_mishra.json

``pairs``: blurred (Gaussian of 1 px, noise of 5 of 255) and sharp pictures of BSD400, judged on BSD68; the paper's are
flowers, and it gives an accuracy. The U-Net of 15 million weights takes a GPU: ``--width`` says how wide it is here.
``prior``: noise of 25; one target or three, stopped by the noise, by the risk, or never.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cadiou import blurred
from common import noised, pictures, psnr, reporting, restored, row, scores, trained

PRIORS = {
    "one target, never stopped": {"targets": "one", "until": "never"},
    "one target, by the noise": {"targets": "one", "until": "noise"},
    "one target, by the risk": {"targets": "one", "until": "sure"},
    "three targets, by the noise": {"targets": "three", "until": "noise"},
}


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="with bsd400_half and bsd68")
    parser.add_argument("--parts", nargs="+", default=["pairs", "prior"], choices=["pairs", "prior"])
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--width", type=int, default=16, help="of the U-Net; 53 in the paper")
    parser.add_argument("--pictures", type=int, default=40, help="to learn from")
    parser.add_argument("--judged", type=int, default=12)
    parser.add_argument("--priors", type=int, default=1, help="pictures restored by the deep image prior")
    parser.add_argument("--iterations", type=int, default=400, help="of the deep image prior")
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    parts = {"pairs": pairs, "prior": prior}
    results = {name: parts[name](given) for name in given.parts}
    settings = {k: v for k, v in vars(given).items() if k not in ("data", "out")}
    reporting.finish(machine, results=results, settings=settings, out=given.out)


def pairs(given: Any) -> list[dict[str, Any]]:
    learned = pictures(given.data / "bsd400_half", most=given.pictures, side=176)
    clean = pictures(given.data / "bsd68", most=given.judged, side=128)
    seen, coarse = (noised([blurred(x, "gaussian:1") for x in e], 5, seed=k) for k, e in ((1, clean), (2, learned)))
    rows = [row("blurred", scores(lambda y: y, seen, clean))]
    for name, method, more in (
        ("U-Net with dropout", "dropout_unet", {"width": given.width}),
        ("the same without dropout", "dropout_unet", {"width": given.width, "dropout": 0.0}),
        ("residual U-Net", "supervised_denoising", {}),
    ):
        model = trained(coarse, method, target=learned, steps=given.steps, **more)
        value = scores(lambda y, m=model: restored(y, m, "YX"), seen, clean)
        rows.append(row(name, value, model=model, paper="92.01 % accuracy" if "with d" in name else None))
    return rows


def prior(given: Any) -> list[dict[str, Any]]:
    clean = pictures(given.data / "bsd68", most=given.priors, side=128)
    seen = noised(clean, 25, seed=1)
    rows = [row("noisy", scores(lambda y: y, seen, clean))]
    found = {"total variation": ("total_variation", {})}
    found |= {name: ("deep_image_prior", {"iterations": given.iterations, **more}) for name, more in PRIORS.items()}
    for name, (method, more) in found.items():
        values = []
        for y, x in zip(seen, clean, strict=True):
            values.append(psnr(restored(y, trained([y], method, noise=25.0, **more), "YX"), x))
        rows.append(row(name, sum(values) / len(values), images=len(values)))
    return rows


if __name__ == "__main__":
    main()

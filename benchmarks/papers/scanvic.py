"""Scanvic et al., scale-equivariant imaging: beside what needs no training, and with the gradient let through.

    python benchmarks/papers/scanvic.py --data ../shared/data/natural --out benchmarks/results/papers_scanvic.json

Gaussian blur of 2 px, noise of 5 of 255. Learned from blurred pictures of BSD400 (supervised: from sharp ones, too),
judged on others. Rows with long budgets, three seeds, other blurs, factors and wrong levels are by
``benchmarks/sei_quality.py`` (``benchmarks/results/sei_*.json``).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cadiou import blurred
from common import noised, pictures, psnr, reporting, restored, row, scores, trained

PSF = "gaussian:2"
PAPER = {"SEI": "25.8", "supervised": "25.9", "measured": "22.8"}
LEARNED = {
    "SEI": ("scale_equivariant", {}),
    "SEI, gradient not stopped": ("scale_equivariant", {"stop_gradient": False}),
    "EI, shifts": ("equivariant_shift", {}),
    "SURE": ("sure", {}),
    "CSS": ("css", {}),
    "supervised": ("supervised", {}),
}


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="with bsd400_half and bsd68")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--methods", nargs="*", default=list(LEARNED))
    parser.add_argument("--pictures", type=int, default=40, help="to learn from")
    parser.add_argument("--judged", type=int, default=12)
    parser.add_argument("--priors", type=int, default=1, help="pictures restored by the deep image prior")
    parser.add_argument("--iterations", type=int, default=300, help="of the deep image prior")
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    learned = pictures(given.data / "bsd400_half", most=given.pictures, side=176)
    clean = pictures(given.data / "bsd68", most=given.judged, side=128)
    seen, coarse = (noised([blurred(x, PSF) for x in each], 5, seed=k) for k, each in ((1, clean), (2, learned)))
    results = [row("measured", scores(lambda y: y, seen, clean), paper=PAPER["measured"])]
    results += [classical(given, seen, clean, "total_variation", "total variation", len(clean))]
    results += [classical(given, seen, clean, "deep_image_prior", "deep image prior", given.priors)]
    for name in given.methods:
        method, more = LEARNED[name]
        partner = {"target": learned} if method == "supervised" else {}
        model = trained(coarse, method, psf=PSF, noise=5.0, steps=given.steps, **more, **partner)
        value = scores(lambda y, m=model: restored(y, m, "YX"), seen, clean)
        results.append(row(name, value, model=model, paper=PAPER.get(name)))
    settings = {k: v for k, v in vars(given).items() if k not in ("data", "out")}
    reporting.finish(machine, results=results, settings=settings, out=given.out)


def classical(given: Any, seen: Any, clean: Any, method: str, name: str, most: int) -> dict[str, Any]:
    """Each picture by itself; beside it what the same pictures are without."""
    more = {"iterations": given.iterations, "targets": "one"} if method == "deep_image_prior" else {}
    found = []
    for y in seen[:most]:
        model = trained([y], method, psf=PSF, noise=5.0, **more)
        found.append(restored(y, model, "YX"))
    before = scores(lambda y: y, seen[:most], clean[:most])
    value = sum(psnr(a, b) for a, b in zip(found, clean[:most], strict=True)) / most
    return row(name, value, images=most, same_images_measured=round(before, 2))


if __name__ == "__main__":
    main()

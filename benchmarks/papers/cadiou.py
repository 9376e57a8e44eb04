"""Cadiou and Dervishi, self-supervised methods for low-level vision: Figure 2, Table 1, and the deblurring of 4.2.

    python benchmarks/papers/cadiou.py --data ../shared/data/natural --out benchmarks/results/papers_cadiou.json

``denoising``: noise of 25 of 255; learned from pictures of BSD400, judged on BSD68. ``table_1``: made coarser by 2,
bicubic interpolation, noise of 25: by their own words; then the same as a method, and scale-equivariant imaging, which
see the coarse picture alone. ``deblurring``: two exposures, blurred by motion of 9 px across and down, noise of 2; the
four variants learned from sharp pictures, ``two_exposures`` from the pair; all restore the first exposure. ``own_blur``
is what a variant makes of the random blurs that it was trained for, which is what the paper shows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from common import interpolated, measured, noised, pictures, psnr, reporting, restored, row, scores, trained

MOTION = ("motion:9,0", "motion:9,90")
VARIANTS = {
    "log": "log-Fourier (4.2.1)",
    "log_without_dc": "DC kept aside (4.2.2)",
    "multiplicative": "multiplicative Fourier noise (4.2.3)",
    "convolve": "Convolve2Convolve (4.2.3)",
}
SMALL_RDUNET = {"network": "rdunet", "width": 12, "depth": 2, "blocks": 1}
PAPER = {"log_without_dc": "about 29, own blur", "multiplicative": "28.89, own blur"}


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="with bsd400_half and bsd68")
    parser.add_argument("--parts", nargs="+", default=["table_1", "deblurring", "denoising"])
    parser.add_argument("--variants", nargs="+", default=list(VARIANTS), choices=list(VARIANTS))
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--pictures", type=int, default=40, help="to learn from")
    parser.add_argument("--judged", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    learned = pictures(given.data / "bsd400_half", most=given.pictures, side=176)
    parts = {"table_1": table_1, "deblurring": deblurring, "denoising": denoising}
    results = {name: parts[name](given, learned) for name in given.parts}
    settings = {k: v for k, v in vars(given).items() if k not in ("data", "out")}
    reporting.finish(machine, results=results, settings=settings, out=given.out)


def budget(given: Any) -> dict[str, int]:
    return {"steps": given.steps, "seed": given.seed}


def denoising(given: Any, learned: list[np.ndarray]) -> list[dict[str, Any]]:
    from scipy.ndimage import median_filter, uniform_filter

    clean = pictures(given.data / "bsd68", most=given.judged, side=256)
    noisy, first, second = noised(clean, 25, seed=1), noised(learned, 25, seed=2), noised(learned, 25, seed=3)
    rows = [
        row("noisy", scores(lambda y: y, noisy, clean)),
        row("mean of 3 x 3", scores(lambda y: uniform_filter(y, 3), noisy, clean)),
        row("median of 3 x 3", scores(lambda y: median_filter(y, 3), noisy, clean)),
    ]
    for name, method, more in (
        ("N2V", "noise2void", {"similar": "no", "keep": "no"}),
        ("N2N", "noise2noise", {"second": second}),
        ("RDUNet", "supervised_denoising", {"target": learned, **SMALL_RDUNET}),
    ):
        model = trained(first, method, **more, **budget(given))
        rows.append(row(name, scores(lambda y, m=model: restored(y, m, "YX"), noisy, clean), model=model))
    return rows


def table_1(given: Any, learned: list[np.ndarray]) -> list[dict[str, Any]]:
    clean = pictures(given.data / "bsd68", most=given.judged, side=256)
    coarse, coarse_learned = [measured(x) for x in clean], [measured(x) for x in learned]
    finer, finer_learned = [interpolated(y) for y in coarse], [interpolated(y) for y in coarse_learned]
    noisy = noised(finer, 25, seed=1)
    first, second = (noised(finer_learned, 25, seed=seed) for seed in (2, 3))
    rows = [row("bicubic", scores(lambda y: y, finer, clean), paper=28.41)]
    for name, method, more, paper in (
        ("N2N", "noise2noise", {"second": second}, 27.88),
        ("N2V", "noise2void", {"similar": "no", "keep": "no"}, 25.82),
    ):
        model = trained(first, method, **more, **budget(given))
        value = scores(lambda y, m=model: restored(y, m, "YX"), noisy, clean)
        rows.append(row(f"{name}, noisy interpolated picture", value, model=model, paper=paper))
    for by in ("noise2noise", "noise2void"):
        model = trained(coarse_learned, "denoised_upsampling", factor=2, by=by, noise=0.0, **budget(given))
        value = scores(lambda y, m=model: restored(y, m, "YX"), coarse, clean)
        rows.append(row(f"denoised_upsampling, by={by}", value, model=model))
    model = trained(coarse_learned, "scale_equivariant", factor=2, noise=0.0, **budget(given))
    rows.append(row("SEI", scores(lambda y: restored(y, model, "YX"), coarse, clean), model=model))
    return rows


def deblurring(given: Any, learned: list[np.ndarray]) -> list[dict[str, Any]]:
    clean = pictures(given.data / "bsd68", most=given.judged, side=128)
    seen = noised([blurred(x, MOTION[0]) for x in clean], 2, seed=1)
    rows = [row("blurred", scores(lambda y: y, seen, clean))]
    for variant in given.variants:
        name = VARIANTS[variant]
        model = trained(learned, "fourier_noise2noise", variant=variant, window=128, **budget(given))
        own = randomly_blurred(model, clean)
        more = {
            "own_blur": round(scores(lambda y, m=model: restored(y, m, "YX"), own, clean), 2),
            "own_blur_before": round(float(np.mean([psnr(y, x) for y, x in zip(own, clean, strict=True)])), 2),
        }
        value = scores(lambda y, m=model: restored(y, m, "YX"), seen, clean)
        rows.append(row(name, value, model=model, paper=PAPER.get(variant), **more))
    if given.variants != list(VARIANTS):  # these alone
        return rows
    pair = [noised([blurred(x, psf) for x in learned], 2, seed=seed) for seed, psf in zip((2, 3), MOTION, strict=True)]
    model = trained(
        pair[0], "two_exposures", second=pair[1], psf=MOTION[0], second_psf=MOTION[1], noise=2.0, **budget(given)
    )
    rows.append(row("two_exposures", scores(lambda y: restored(y, model, "YX"), seen, clean), model=model))
    rows.append(row("its Wiener filter", scores(lambda y: started(y, model), seen, clean)))
    return rows


def blurred(sharp: np.ndarray, psf: str) -> np.ndarray:
    import torch

    from napari_restore.operators import psf as psfs
    from napari_restore.operators.blur import Blur

    with torch.no_grad():
        return Blur(psfs.parse(psf))(torch.from_numpy(sharp)[None, None])[0, 0].numpy()


def randomly_blurred(model: Any, clean: list[np.ndarray]) -> list[np.ndarray]:
    """By the blurs that a variant was trained for, in its units."""
    import torch

    rng = torch.Generator().manual_seed(5)
    constants, found = model.normalisation, []
    for x in clean:
        units = torch.from_numpy(constants.apply(x[None, None]))
        with torch.no_grad():
            found.append(in_grey(model.method.blurred(units, rng).numpy(), model))
    return found


def started(y: np.ndarray, model: Any) -> np.ndarray:
    """What the method begins with."""
    import torch

    constants = model.normalisation
    with torch.no_grad():
        start = model.method.plain(torch.from_numpy(constants.apply(y[None, None])))
    return in_grey(start.numpy(), model)


def in_grey(units: np.ndarray, model: Any) -> np.ndarray:
    """``(1, 1, Y, X)`` in units of the deviation as a picture."""
    (mean,), (std,) = model.normalisation.mean, model.normalisation.std
    return (units[0, 0] * std + mean).astype(np.float32)


if __name__ == "__main__":
    main()

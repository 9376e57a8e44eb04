"""Is what a network makes up flagged, and what is true left alone? Networks of filaments, shown noise.

Each is trained on an image of filaments with noise, one with the clean image and one without. Shown are: that image;
other filaments with as much noise; and noise alone, with the mean and the deviation of the image. Told is the share of
the places with structure in the result that is flagged: false alarms on filaments, found on noise.

    python benchmarks/invented.py --out benchmarks/results/invented.json
"""

from __future__ import annotations

from typing import Any

import numpy as np
import reporting
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

SIGMA = 30.0
Pixels = NDArray[np.float64]


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    rows = []
    for method in ("supervised_denoising", "noise2void2"):
        for seed in range(given.seeds):
            rows.append({"method": method, "seed": seed, **row(method, steps=given.steps, seed=seed)})
            reporting.progress(f"{rows[-1]}")
    reporting.finish(machine, results=rows, settings={"steps": given.steps, "sigma": SIGMA}, out=given.out)


def row(method: str, *, steps: int, seed: int) -> dict[str, Any]:
    from napari_restore import check, train

    rng = np.random.default_rng(seed)
    clean = filaments(rng)
    image = rng.normal(clean, SIGMA)
    partner = {"target": clean} if method == "supervised_denoising" else {}
    model = train(image, axes="YX", method=method, steps=steps, seed=seed, device="cpu", **partner)
    shown = {
        "own_image": image,
        "other_filaments": rng.normal(filaments(rng), SIGMA),
        "noise": rng.normal(image.mean(), image.std(), image.shape),
    }
    found = {name: check(model, pixels, axes="YX", device="cpu") for name, pixels in shown.items()}
    return {
        **{f"{name}_flagged": round(each.unsupported, 4) for name, each in found.items()},
        "noise_with_structure": round(float(np.isfinite(found["noise"].maps["borne_out"]).mean()), 4),
        "noise_kept": round(max(null.kept for null in found["own_image"].null), 4),
        "flags_on_own_image": len(found["own_image"].flags),
        "flags_on_noise": len(found["noise"].flags),
    }


def filaments(rng: np.random.Generator, side: int = 256, count: int = 40) -> Pixels:
    """Lines that bend a little, 100 above a ground of 100 where they are brightest."""
    drawn = np.zeros((side, side))
    for _ in range(count):
        place, way = rng.random(2) * side, rng.random() * 2 * np.pi
        for _ in range(300):
            way += rng.normal(0, 0.05)
            place = place + np.array([np.sin(way), np.cos(way)])
            if (place < 0).any() or (place >= side).any():
                break
            drawn[int(place[0]), int(place[1])] = 1
    soft = gaussian_filter(drawn, 1.2)
    return np.asarray(100 + 100 * soft / soft.max())


if __name__ == "__main__":
    main()

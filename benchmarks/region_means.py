"""Do regions keep their means? Samples, and real images that are given: squares compared before and after.

For each image: restored by its own model, by that times 1.05 (a result that is brighter), and by a model of another
image. Told are the squares, those with |z| under 2 and at or over 3, and how far means are off where they are largest.

    python benchmarks/region_means.py ../images/*.tif --out benchmarks/results/region_means.json
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import reporting

SAMPLES = ("microscopy", "movie", "tissue")


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("images", nargs="*", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--grid", type=int, default=16)
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    from napari_restore import open_image
    from napari_restore.sources.samples import sample_image

    images = {name: sample_image(name) for name in SAMPLES} | {path.name: open_image(path) for path in given.images}
    rows = []
    for name, image in images.items():
        rows += [{"image": name, **row} for row in one(image, given)]
        for row in rows[-3:]:
            reporting.progress(f"{row}")
    settings = {"steps": given.steps, "grid": given.grid}
    reporting.finish(machine, results=rows, settings=settings, out=given.out)


def one(image: Any, given: Any) -> list[dict[str, Any]]:
    from napari_restore import denoise, restore, train

    result = denoise(image, steps=given.steps, device="cpu")
    pixels = np.asarray(result, np.float64)
    rng = np.random.default_rng(0)
    plain = rng.normal(float(pixels.mean()), float(pixels.std()) / 10, (128, 128)).astype(np.float32)
    other = train(plain, axes="YX", method="noise2void", steps=50, device="cpu") if image.ndim == 2 else None
    results = {"own model": pixels, "5 % brighter": 1.05 * pixels}
    if other is not None:
        results["model of another image"] = np.asarray(restore(image, other, device="cpu"), np.float64)
    return [
        {"result": name, "method": result.model.name, **told(image, each, given.grid)} for name, each in results.items()
    ]


def told(image: Any, restored: Any, grid: int) -> dict[str, Any]:
    from napari_restore import measure

    rows = [row for row in measure(image, restored.astype(np.float32), grid=grid) if row.area >= 100]
    z = np.abs([row.z for row in rows])
    off = np.abs([row.difference / row.raw for row in rows if row.raw])
    return {
        "regions": len(rows),
        "z_under_2": round(float(np.mean(z < 2)), 4),
        "flagged": round(float(np.mean(z >= 3)), 4),
        "off_median": round(float(np.median(off)), 5),
        "off_95_percent": round(float(np.quantile(off, 0.95)), 5),
    }


if __name__ == "__main__":
    main()

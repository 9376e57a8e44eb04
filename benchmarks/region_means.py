"""Do regions keep their means? Samples, and real images that are given: squares compared before and after.

For each image: restored by its own model, by that times 1.05 (a result that is brighter), and by a model of another
image; and, of a pair, the average of many frames in the place of a result, brought to the frame by gain and offset:
what a perfect restoration would be told. Told are the squares, those with |z| under 2 and at or over 3, how far means
are off, and how far the noise alone puts the measured ones off.

    python benchmarks/region_means.py --pair NOISY AVERAGE --grid 16 32 64 --out benchmarks/results/region_means.json
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import reporting
from real_noise import names_in_both

SAMPLES = ("microscopy", "movie", "tissue")


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("images", nargs="*", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--pair", nargs=2, type=Path, action="append", default=[], metavar=("NOISY", "AVERAGE"))
    parser.add_argument("--grid", type=int, nargs="+", default=[16], help="sides of squares, in pixels (default 16)")
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    from napari_restore import open_image
    from napari_restore.sources.samples import sample_image

    rows = []
    pairs = [(path, None) for path in given.images]
    for noisy, average in given.pair:
        pairs += [(noisy / name, average / name) for name in names_in_both(noisy, average)]
    images = [(name, sample_image(name), None) for name in SAMPLES]
    images += [(path.name, open_image(path), average) for path, average in pairs]
    for name, image, average in images:
        found = [{"image": name, **row} for row in one(image, average, given)]
        rows += found
        for row in found:
            reporting.progress(f"{row}")
    settings = {"steps": given.steps, "grid": given.grid}
    reporting.finish(machine, results=rows, settings=settings, out=given.out)


def one(image: Any, average: Path | None, given: Any) -> list[dict[str, Any]]:
    from napari_restore import denoise, restore, train

    result = denoise(image, steps=given.steps, device="cpu")
    pixels = np.asarray(result, np.float64)
    rng = np.random.default_rng(0)
    plain = rng.normal(float(pixels.mean()), float(pixels.std()) / 10, (128, 128)).astype(np.float32)
    other = train(plain, axes="YX", method="noise2void", steps=50, device="cpu") if image.ndim == 2 else None
    results = {"own model": pixels, "5 % brighter": 1.05 * pixels}
    if other is not None:
        results["model of another image"] = np.asarray(restore(image, other, device="cpu"), np.float64)
    if average is not None:
        results["average of many frames"] = alike(average, image)
    return [
        {"result": name, "method": result.model.name, "grid": grid, **told(image, each, grid)}
        for name, each in results.items()
        for grid in given.grid
    ]


def alike(average: Path, image: Any) -> np.ndarray:
    """The average with the gain and the offset that come nearest to the frame: published pairs were stretched."""
    from napari_restore import open_image

    clean, noisy = (np.asarray(each.read(), np.float64) for each in (open_image(average), image))
    gain, offset = np.polyfit(clean.ravel(), noisy.ravel(), 1)
    fitted: np.ndarray = gain * clean + offset
    return fitted


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
        "noise_median": round(float(np.median([row.standard_error / abs(row.raw) for row in rows if row.raw])), 5),
    }


if __name__ == "__main__":
    main()

"""Inpainting: PSNR at the missing pixels of images and a CT, against scikit-image's biharmonic and lines along Z.

The images are the eight of the benchmark, by which the method was made, the middles of those in a folder, or those of
the slices of a CT, whose values are stretched to 0 to 255.

The machine that figures are made on is shared: a budget in steps is the same training however busy it is.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import reporting
from images import eight_images

KINDS = ("random", "noisy", "scratches", "lines", "ct")
NOISE = 10.0
SIDE = 256


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--kinds", nargs="+", default=KINDS[:4], choices=KINDS)
    parser.add_argument("--steps", type=int, default=700, help="of training; some 60 s of a free core (default 700)")
    parser.add_argument("--seeds", type=int, default=1, help="of training; 0 for what needs none alone (default 1)")
    parser.add_argument("--images", type=Path, metavar="DIR", help="a folder with gray images, instead of the eight")
    parser.add_argument("--limit", type=int, default=12, help="images of it, at most (default 12)")
    parser.add_argument(
        "--series", type=Path, metavar="DIR", help="a folder with a DICOM series: for ct, or for all kinds"
    )
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    results = {}
    for kind in given.kinds:
        one = lost_slices(given) if kind == "ct" else one_kind(kind, given)
        results[kind] = one
        reporting.progress(f"{kind}: {one}")
    images = given.images.name if given.images else "ct" if given.series else "eight"
    settings = {"steps": given.steps, "seeds": given.seeds, "noise": NOISE, "images": images}
    reporting.finish(machine, results=results, settings=settings, out=given.out)


def one_kind(kind: str, given: Any) -> dict[str, Any]:
    """Biharmonic, biharmonic of the denoised image where there is noise, the rule alone, and the network."""
    from skimage.restoration import inpaint_biharmonic

    clean, axes = eight_images()[0], "TYX"
    if given.images:
        clean = middles(given.images, given.limit)
    elif given.series:
        volume, axes = middle_of_series(given.series)[: given.limit], "ZYX"
        clean = (volume - volume.min()) / np.ptp(volume) * 255
    missing = missing_of(kind, clean.shape)
    noise = np.random.default_rng(1).standard_normal(clean.shape) * (NOISE if kind == "noisy" else 0)
    image = (clean + noise).astype(np.float32)
    found = {"biharmonic": np.stack([inpaint_biharmonic(i, m) for i, m in zip(image, missing, strict=True)])}
    if kind == "noisy":
        found["biharmonic_then_denoised"] = denoised(found["biharmonic"], given, axes=axes)
    return {"missing": round(float(missing.mean()), 4), **judged(clean, image, missing, found, given, axes=axes)}


def lost_slices(given: Any) -> dict[str, Any]:
    """One slice of four is lost; the truth is the slice. Against the line between its neighbours."""
    volume = middle_of_series(given.series)
    missing = np.zeros(volume.shape, bool)
    missing[2:-1:4] = True
    line = volume.copy()
    lost = np.flatnonzero(missing[:, 0, 0])
    line[lost] = (volume[lost - 1] + volume[lost + 1]) / 2
    return judged(volume, volume, missing, {"linear": line}, given, axes="ZYX", span=float(np.ptp(volume)))


def middle_of_series(folder: Path) -> np.ndarray:
    from napari_restore import open_image

    volume = open_image(folder).read().astype(np.float32)
    side = [slice((n - SIDE) // 2, (n - SIDE) // 2 + SIDE) if n > SIDE else slice(None) for n in volume.shape[1:]]
    return volume[:, side[0], side[1]]


def judged(
    clean: np.ndarray,
    image: np.ndarray,
    missing: np.ndarray,
    found: dict[str, np.ndarray],
    given: Any,
    *,
    axes: str,
    span: float = 255.0,
) -> dict[str, Any]:
    from napari_restore import inpaint

    report: dict[str, Any] = {}
    runs = []
    for seed in range(-1, given.seeds):
        budget = {"effort": "instant"} if seed < 0 else {"steps": given.steps, "seed": seed}
        began, cpu = time.perf_counter(), time.process_time()
        result = inpaint(image, mask=missing, axes=axes, **budget)
        pixels = np.asarray(result)
        config = result.model.method.config
        run = {
            "wall_seconds": round(time.perf_counter() - began, 1),
            "cpu_seconds": round(time.process_time() - cpu, 1),
            "rule": config.rule,
            "alike": config.alike,
            "psnr": psnr(pixels, clean, missing, span),
            "unchanged": bool(np.array_equal(pixels[~missing], image[~missing])),
        }
        if seed < 0:
            report["instant"] = run
        else:
            runs.append({"seed": seed, "trust": config.trust, **run})
    others = {name: psnr(pixels, clean, missing, span) for name, pixels in found.items()}
    return {
        **report,
        "others": others,
        "median": reporting.median([run["psnr"] for run in runs]) if runs else None,
        "runs": runs,
    }


def middles(folder: Path, limit: int) -> np.ndarray:
    """The middle 256 x 256 pixels, 0-255, of images evenly spread over the names in a folder; smaller ones left out."""
    from skimage.io import imread

    found = [imread(path).astype(np.float32) for path in sorted(folder.iterdir())]
    large = [image for image in found if min(image.shape) >= SIDE]
    chosen = np.unique(np.linspace(0, len(large) - 1, min(limit, len(large))).astype(int))
    corners = [[(n - SIDE) // 2 for n in large[k].shape] for k in chosen]
    return np.stack([large[k][y : y + SIDE, x : x + SIDE] for k, (y, x) in zip(chosen, corners, strict=True)])


def missing_of(kind: str, shape: tuple[int, ...]) -> np.ndarray:
    """A quarter of the pixels, or ten scratches or sixteen gaps of 4 pixels an image."""
    rng = np.random.default_rng(0)
    if kind in ("random", "noisy"):
        return rng.random(shape) < 0.25
    missing = np.zeros(shape, bool)
    for image in missing:
        if kind == "lines":
            for row in rng.choice(shape[1] - 6, 16, replace=False):
                image[row : row + 4] = True
            continue
        for _ in range(10):
            (y, x), angle = rng.integers(0, shape[1] - 16, 2), rng.random() * np.pi
            for t in range(60):
                row, column = int(y + t * np.sin(angle)), int(x + t * np.cos(angle))
                if row >= 0 and column >= 0:
                    image[row : row + 4, column : column + 4] = True
    return missing


def denoised(image: np.ndarray, given: Any, *, axes: str) -> np.ndarray:
    from napari_restore import denoise

    result = denoise(image.astype(np.float32), axes=axes, method="posterior", steps=given.steps)
    return np.asarray(result)


def psnr(found: np.ndarray, clean: np.ndarray, missing: np.ndarray, span: float) -> float:
    """At the missing pixels, one value an image, averaged; of a volume one value."""
    parts = zip(found, clean, missing, strict=True) if span == 255.0 else [(found, clean, missing)]
    errors = [np.mean((f[m].astype(np.float64) - c[m]) ** 2) for f, c, m in parts]
    return round(float(np.mean([10 * np.log10(span**2 / e) for e in errors])), 3)


if __name__ == "__main__":
    main()

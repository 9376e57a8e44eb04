"""What keeping pixels is worth where the network errs by more than their noise: of one model, with and without.

    python benchmarks/kept.py --pictures set12 --ct sandstone.tif foam.tif --frames noisy average50 --out kept.json

Pictures of 256 x 256 of the folder, all but the first (one of the eight that the settings were chosen on), with white
noise by N2V2, and with noise that is alike along rows by structured Noise2Void; the middle of slices of CT, with weak
noise that neighbours share, by structured Noise2Void with a cross; real frames by N2V2, beside their averages, each
with a gain and an offset of its own. Told are PSNRs in dB, of pictures over 255, of slices over their range.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import reporting
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d

SIDE = 256
CROSS = [[0, 1, 0], [1, 1, 1], [0, 1, 0]]


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--ct", nargs="+", type=Path, required=True)
    parser.add_argument("--frames", nargs=2, type=Path, metavar=("NOISY", "CLEAN"), required=True)
    parser.add_argument("--limit", type=int, default=4, help="frames, at most")
    parser.add_argument("--only", default="", help="cases whose name begins so")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    rows = []
    for seed in given.seeds:
        chosen = (case for case in cases(given, seed) if case[0].startswith(given.only))
        for name, method, noisy, clean, settings in chosen:
            rows.append(
                {"case": name, "method": method, "seed": seed, **row(given, seed, method, noisy, clean, settings)}
            )
            reporting.progress(str(rows[-1]))
    reporting.finish(machine, results=rows, settings={"steps": given.steps, "seeds": given.seeds}, out=given.out)


Case = tuple[str, str, NDArray[np.float32], NDArray[np.float32], dict[str, Any]]


def cases(given: Any, seed: int) -> Iterator[Case]:
    """Name, method, noisy and clean ``(N, Y, X)``, settings."""
    from real_noise import gray, names_in_both
    from skimage.io import imread

    rng = np.random.default_rng(100 + seed)
    pictures = [imread(path).astype(np.float32) for path in sorted(given.pictures.iterdir())[1:]]
    clean = np.stack([p for p in pictures if p.shape == (SIDE, SIDE)])
    for sigma in (5, 10, 25):
        yield f"white {sigma}", "noise2void2", clean + noise(rng, clean, sigma), clean, {}
    rows = gaussian_filter1d(rng.normal(size=clean.shape), 1.5, axis=-1)
    yield "rows 25", "struct_noise2void", clean + scaled(rows, 25), clean, {}
    lines = np.broadcast_to(rng.normal(size=(*clean.shape[:2], 1)), clean.shape)
    yield "lines 15, white 10", "struct_noise2void", clean + scaled(lines, 15) + noise(rng, clean, 10), clean, {}
    for path in given.ct:
        plane = middle(imread(path)).astype(np.float32)[None]
        spread = float(np.quantile(plane, 0.999) - np.quantile(plane, 0.001))
        for percent in (1, 5):
            shared = scaled(gaussian_filter(rng.normal(size=plane.shape), (0, 0.6, 0.6)), spread * percent / 100)
            yield f"{path.stem}, {percent} % of its range", "struct_noise2void", plane + shared, plane, {"mask": CROSS}
    for name in names_in_both(*given.frames)[: given.limit]:
        frame, average = (gray(folder / name)[None] for folder in given.frames)
        yield f"frame {name}", "noise2void2", frame, average, {}


def noise(rng: np.random.Generator, clean: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    return rng.normal(0, sigma, clean.shape).astype(np.float32)


def scaled(pixels: NDArray[np.float64], sigma: float) -> NDArray[np.float32]:
    return (pixels * (sigma / pixels.std())).astype(np.float32)


def middle(plane: NDArray[Any]) -> NDArray[Any]:
    top, left = ((n - SIDE) // 2 for n in plane.shape)
    return plane[top : top + SIDE, left : left + SIDE]


def row(
    given: Any, seed: int, name: str, noisy: NDArray[np.float32], clean: NDArray[np.float32], settings: dict[str, Any]
) -> dict[str, Any]:
    from napari_restore import restore, train
    from napari_restore.metrics.similarity import psnr_fitted

    model = train(noisy, name, axes="TYX", steps=given.steps, seed=seed, **settings)
    bare = replace(model, method=copy.deepcopy(model.method))
    bare.method.config = replace(model.method.config, keep="no")
    spread = float(clean.max() - clean.min()) if "mask" in settings else 255.0

    def score(pixels: NDArray[np.float32]) -> float:
        if noisy.shape[0] == 1 and name == "noise2void2":
            return round(psnr_fitted(pixels[0], clean[0]), 3)
        return round(10 * float(np.log10(spread**2 / np.mean(np.square(pixels - clean, dtype=np.float64)))), 3)

    found = {each.method.config.keep: score(np.asarray(restore(noisy, each, axes="TYX"))) for each in (bare, model)}
    return {
        "psnr_noisy": score(noisy),
        "psnr_without": found["no"],
        "psnr": found["yes"],
        "kept": model.method.config.kept,
    }


if __name__ == "__main__":
    main()

"""BM3D and GAT + BM3D on real frames and on the eight images, its noise told and estimated, in two steps:

    python benchmarks/peers/bm3d_frames.py prepare build/frames.npz --pair NOISY CLEAN [--pair ...]
    build/bm3d-env/bin/python benchmarks/peers/bm3d_frames.py run build/frames.npz --out FILE.json

The first runs where napari-restore is, and writes frames with the noise that it measures in them; the second where
`bm3d` is. That package is for non-commercial use: a peer to measure with, never a dependency.

GAT (Anscombe's transform, generalised): the noise's variance is a line of the signal, and BM3D sees it as 1. *Told*,
the line is fitted to the clean frame, which no user has; the way back is the exact unbiased one of Makitalo and Foi
(2013, doi:10.1109/TIP.2012.2202675). PSNR over the clean range after a fitted gain and offset; of the eight images over
255.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import reporting
from images import SIGMA, eight_images
from numpy.typing import NDArray

Frame = NDArray[np.float32]


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("step", choices=["prepare", "run"])
    parser.add_argument("file", type=Path, metavar="FRAMES.npz")
    parser.add_argument("--pair", nargs=2, type=Path, action="append", default=[], metavar=("NOISY", "CLEAN"))
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    if given.step == "prepare":
        prepare(given)
    else:
        results = {"frames": frames(np.load(given.file)), "eight_images": eight(np.load(given.file))}
        reporting.finish(machine, results=results, settings={"bm3d": "4.0.3, its defaults"}, out=given.out)


def prepare(given: argparse.Namespace) -> None:
    """Write every frame, its clean one, and the line of its variance as napari-restore measures it."""
    from real_noise import gray

    kept: dict[str, Any] = {}
    for noisy, clean in given.pair:
        for file in sorted(noisy.iterdir()):
            name = f"{noisy.parent.name}/{file.name}"
            pixels = gray(file)
            kept |= {f"{name}|noisy": pixels, f"{name}|clean": gray(clean / file.name), f"{name}|line": line_of(pixels)}
    kept["eight|sigma"] = np.array([sigma_of(image) for image in eight_images()[1]])
    np.savez(given.file, **kept)


def line_of(pixels: Frame) -> NDArray[np.float64]:
    """Slope of the variance with the signal, and the variance at signal 0; no slope where none was found."""
    from napari_restore import estimate_noise

    level = estimate_noise(pixels, axes="YX")
    if level.gain > 0:
        return np.array([level.gain, level.read**2 - level.gain * level.offset])
    return np.array([0.0, level.sigma**2])


def sigma_of(pixels: Frame) -> float:
    """Of white noise."""
    from napari_restore import estimate_noise

    return float(estimate_noise(pixels, axes="YX").sigma)


def frames(kept: Any) -> dict[str, dict[str, float]]:
    """PSNR of each frame."""
    rows = {}
    for name in dict.fromkeys(key.split("|")[0] for key in kept.files if not key.startswith("eight")):
        noisy, clean, line = (kept[f"{name}|{part}"] for part in ("noisy", "clean", "line"))
        rows[name] = one_frame(noisy, clean, line)
        reporting.progress(f"{name}: {rows[name]}")
    return rows


def one_frame(noisy: Frame, clean: Frame, measured: NDArray[np.float64]) -> dict[str, float]:
    import bm3d
    from skimage.restoration import estimate_sigma

    began = time.process_time()
    found = {
        "noisy": noisy,
        "bm3d_estimated": bm3d.bm3d(noisy, float(estimate_sigma(noisy))),
        "gat_bm3d_told": gat_bm3d(noisy, *told(noisy, clean)),
        "gat_bm3d_measured": gat_bm3d(noisy, *measured),
    }
    seconds = (time.process_time() - began) / 3
    return {name: round(psnr_fitted(each, clean), 2) for name, each in found.items()} | {"seconds": round(seconds, 1)}


def told(noisy: Frame, clean: Frame) -> tuple[float, float]:
    """The line of the variance, fitted to the clean frame: slope, and value at signal 0."""
    ones = np.ones(clean.size)
    gain, offset = np.linalg.lstsq(np.stack([clean.ravel(), ones], 1), noisy.ravel(), rcond=None)[0]
    signal = (gain * clean + offset).ravel()
    slope, value = np.linalg.lstsq(np.stack([signal, ones], 1), (noisy.ravel() - signal) ** 2, rcond=None)[0]
    return float(slope), float(value)


def gat_bm3d(noisy: Frame, slope: float, value: float) -> NDArray[np.float64]:
    """Denoised where the noise is 1; plainly where it does not grow with the signal."""
    import bm3d

    if slope <= 0:
        return bm3d.bm3d(noisy, float(np.sqrt(max(value, 1e-12))))
    scaled, variance = noisy / slope, value / slope**2  # in photons
    least = 2 * np.sqrt(max(3 / 8 + variance + scaled.min(), 1e-6))
    stable = 2 * np.sqrt(np.maximum(scaled + 3 / 8 + variance, (least / 2) ** 2))
    d = np.maximum(bm3d.bm3d(stable.astype(np.float32), 1.0), 0.5)
    back = d**2 / 4 + np.sqrt(3 / 2) / 4 / d - 11 / 8 / d**2 + 5 / 8 * np.sqrt(3 / 2) / d**3 - 1 / 8 - variance
    return slope * back


def eight(kept: Any) -> dict[str, Any]:
    """The mean of the eight images, sigma told and measured."""
    import bm3d

    clean, noisy = eight_images()
    rows = {
        name: [
            psnr(bm3d.bm3d(image, float(sigma)), truth) for image, truth, sigma in zip(noisy, clean, each, strict=True)
        ]
        for name, each in {"bm3d_told": [SIGMA] * len(clean), "bm3d_measured": kept["eight|sigma"]}.items()
    }
    each = {name: [round(value, 2) for value in values] for name, values in rows.items()}
    return {"sigma_measured": kept["eight|sigma"].round(2).tolist(), "each": each} | {
        f"mean_{name}": round(float(np.mean(values)), 2) for name, values in rows.items()
    }


def psnr(restored: NDArray[Any], clean: Frame) -> float:
    return float(10 * np.log10(255**2 / np.square(restored - clean).mean()))


def psnr_fitted(restored: NDArray[Any], clean: Frame) -> float:
    columns = np.stack([restored.ravel(), np.ones(clean.size)], 1).astype(np.float64)
    error = columns @ np.linalg.lstsq(columns, clean.ravel().astype(np.float64), rcond=None)[0] - clean.ravel()
    return float(10 * np.log10(np.ptp(clean).astype(np.float64) ** 2 / np.square(error).mean()))


if __name__ == "__main__":
    main()

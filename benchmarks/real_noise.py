"""Real noise: each noisy frame is denoised by a network trained on that frame alone, and compared with a clean one.

A pair is two folders with files of the same names. PSNR over the clean image's range, after a least-squares gain and
offset, because published pairs were often stretched one by one. The weight of total variation is the best of six *for
the clean image*, which nobody knows in practice: an upper bound.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import reporting
from scipy import ndimage
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle

TV_WEIGHTS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)


def main() -> None:
    parser = reporting.parser(__doc__, threads=2)
    parser.add_argument("--pair", nargs=2, type=Path, action="append", required=True, metavar=("NOISY", "CLEAN"))
    parser.add_argument("--seconds", type=float, default=60.0, help="of training, each frame (default 60)")
    parser.add_argument("--limit", type=int, help="frames of each folder, at most")
    parser.add_argument("--effort", default="normal")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    machine["device"] = reporting.device_name(given.device)
    options = {"effort": given.effort, "seed": given.seed, "device": given.device}
    options |= {"seconds": given.seconds, **reporting.settings_of(given.settings)}
    folders = [one_pair(noisy, clean, given.limit, options) for noisy, clean in given.pair]
    reporting.finish(machine, results=folders, settings=options, out=given.out)


def one_pair(noisy: Path, clean: Path, limit: int | None, options: dict[str, Any]) -> dict[str, Any]:
    names = sorted(file.name for file in noisy.iterdir() if (clean / file.name).is_file())[:limit]
    if not names:
        sys.exit(f"{noisy} and {clean} have no file names in common.")
    rows = {}
    for name in names:
        rows[name] = one_frame(gray(noisy / name), gray(clean / name), options)
        reporting.progress(f"{name}: {rows[name]}")
    means = {k: round(float(np.mean([row[k] for row in rows.values()])), 2) for k in rows[names[0]]}
    return {"pair": f"{noisy.parent.name}/{noisy.name}", "psnr_fitted": rows, "mean": means}


def one_frame(noisy: np.ndarray, clean: np.ndarray, options: dict[str, Any]) -> dict[str, float]:
    from napari_restore.metrics.similarity import psnr_fitted

    restored = {
        "noisy": noisy,
        "median_3x3": ndimage.median_filter(noisy, 3),
        "nlm": non_local_means(noisy),
        "tv_best_for_clean": total_variation(noisy, clean),
        "noise2void": noise2void(noisy, options),
    }
    return {name: round(psnr_fitted(image, clean), 2) for name, image in restored.items()}


def noise2void(noisy: np.ndarray, options: dict[str, Any]) -> np.ndarray:
    from napari_restore import denoise

    result = denoise(noisy, method="noise2void", axes="YX", **options)
    pixels = np.asarray(result)
    shutil.rmtree(result.path.parent)
    return pixels


def non_local_means(noisy: np.ndarray) -> np.ndarray:
    from napari_restore.metrics.noise import noise_sigma

    sigma = noise_sigma(noisy)
    return denoise_nl_means(noisy, h=0.8 * sigma, sigma=sigma, fast_mode=True, patch_size=5, patch_distance=6)


def total_variation(noisy: np.ndarray, clean: np.ndarray) -> np.ndarray:
    from napari_restore.metrics.similarity import psnr_fitted

    unit = (noisy - noisy.min()) / np.ptp(noisy)
    tried = [denoise_tv_chambolle(unit, weight=weight) for weight in TV_WEIGHTS]
    return max(tried, key=lambda image: psnr_fitted(image, clean))


def gray(path: Path) -> np.ndarray:
    """A frame as float32; colours are averaged."""
    from napari_restore import open_image

    image = open_image(path)
    if set(image.axes) - set("CYX"):
        sys.exit(f"{path} has axes {image.axes}: this benchmark takes single frames.")
    pixels = np.asarray(image).astype(np.float32)
    return pixels.mean(image.axes.index("C")) if "C" in image.axes else pixels


if __name__ == "__main__":
    main()

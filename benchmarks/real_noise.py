"""Real noise: each noisy frame is denoised by a network trained on that frame alone, and compared with a clean one.

A pair is two folders with files of the same names. PSNR over the clean image's range, after a least-squares gain and
offset, because published pairs were often stretched one by one. Each classical filter has the setting that is best
*for the clean image*, which nobody knows in practice: an upper bound.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import reporting
from scipy import ndimage
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle, denoise_wavelet

TV_WEIGHTS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3)
NLM_STRENGTHS = (0.6, 0.8, 1.0, 1.3)


def main() -> None:
    parser = reporting.parser(__doc__, threads=2)
    parser.add_argument("--pair", nargs=2, type=Path, action="append", required=True, metavar=("NOISY", "CLEAN"))
    parser.add_argument("--seconds", type=float, default=60.0, help="of training, each frame (default 60)")
    parser.add_argument("--methods", nargs="*", default=["auto"])
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
    folders = [one_pair(noisy, clean, given.methods, given.limit, options) for noisy, clean in given.pair]
    reporting.finish(machine, results=folders, settings=options, out=given.out)


def one_pair(
    noisy: Path, clean: Path, methods: list[str], limit: int | None, options: dict[str, Any]
) -> dict[str, Any]:
    names = names_in_both(noisy, clean)[:limit]
    if not names:
        sys.exit(f"{noisy} and {clean} have no file names in common.")
    rows = {}
    for name in names:
        rows[name] = one_frame(gray(noisy / name), gray(clean / name), methods, options)
        reporting.progress(f"{name}: {rows[name]}")
    numbers = [k for k, v in rows[names[0]].items() if isinstance(v, float)]
    means = {k: round(float(np.mean([row[k] for row in rows.values()])), 2) for k in numbers}
    return {"pair": f"{noisy.parent.name}/{noisy.name}", "psnr_fitted": rows, "mean": means}


def one_frame(
    noisy: np.ndarray, clean: np.ndarray, methods: list[str], options: dict[str, Any]
) -> dict[str, float | str]:
    from napari_restore.metrics.similarity import psnr_fitted

    row: dict[str, float | str] = {"noisy": round(psnr_fitted(noisy, clean), 2)}
    for name, tried in classical(noisy).items():
        row[name] = round(max(psnr_fitted(run(), clean) for run in tried), 2)
    for method in methods:
        pixels, chosen = learned(noisy, method, options)
        row[method] = round(psnr_fitted(pixels, clean), 2)
        if method == "auto":
            row["auto_took"] = chosen
    return row


def learned(noisy: np.ndarray, method: str, options: dict[str, Any]) -> tuple[np.ndarray, str]:
    from napari_restore import denoise

    result = denoise(noisy, method=method, axes="YX", **options)
    pixels = np.asarray(result)
    shutil.rmtree(result.path.parent)
    return pixels, result.model.name


def classical(noisy: np.ndarray) -> dict[str, list[Callable[[], np.ndarray]]]:
    """Filters, each with the settings to try."""
    from napari_restore.metrics.noise import noise_sigma

    sigma = noise_sigma(noisy)
    unit = (noisy - noisy.min()) / np.ptp(noisy)
    patches = {"sigma": sigma, "fast_mode": True, "patch_size": 5, "patch_distance": 6}
    return {
        "median": [lambda n=n: ndimage.median_filter(noisy, n) for n in (3, 5)],
        "nlm": [lambda h=h: denoise_nl_means(noisy, h=h * sigma, **patches) for h in NLM_STRENGTHS],
        "wavelet": [
            lambda f=f: denoise_wavelet(noisy, sigma=f * sigma, wavelet="db2", rescale_sigma=True)
            for f in (0.7, 1.0, 1.5)
        ],
        "total_variation": [lambda w=w: denoise_tv_chambolle(unit, weight=w) for w in TV_WEIGHTS],
    }


def names_in_both(noisy: Path, clean: Path) -> list[str]:
    """Of the frames that have one without noise."""
    return sorted(file.name for file in noisy.iterdir() if (clean / file.name).is_file())


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

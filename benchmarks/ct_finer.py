"""CT without truth: slices made finer by two in plane, and planes put between planes; against what interpolates.

In plane, each slice is measured with half the pixels and noise of 1 % of the range; the truth is the slice. Across,
every other slice is left out, and is the truth.
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import reporting


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--series", type=Path, required=True, metavar="DIR", help="a folder with a DICOM series")
    parser.add_argument("--seconds", type=float, default=55.0)
    parser.add_argument("--steps", type=int, help="instead of seconds, where the machine does other work")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--tasks", nargs="+", default=["plane", "across"])
    parser.add_argument("--noise", default="true", help="what the method is told: true or auto")
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    from napari_restore import open_image

    volume = open_image(given.series)
    slices = volume.read().astype(np.float32)
    ratio = volume.geometry.size_of("Z") / volume.geometry.size_of("Y")
    results: dict[str, Any] = {}
    for name in given.tasks:
        one = partial(in_plane, slices) if name == "plane" else partial(across, slices, ratio)
        results[name] = [one(given, seed) for seed in range(given.seeds)]
    settings = {**budget(given), "noise": given.noise, "slices": list(slices.shape)}
    reporting.finish(machine, results=results, settings=settings, out=given.out)


def budget(given: Any) -> dict[str, Any]:
    return {"seconds": given.seconds} if given.steps is None else {"steps": given.steps}


def in_plane(slices: np.ndarray, given: Any, seed: int) -> dict[str, Any]:
    import torch

    from napari_restore import super_resolve
    from napari_restore.operators.downsample import Downsample
    from napari_restore.operators.inverse import CubicUpsampling

    span = float(np.ptp(slices))
    sigma = 0.01 * span
    with torch.inference_mode():
        coarse = Downsample((2, 2))(torch.from_numpy(slices)[:, None])[:, 0].numpy()
    measured = (coarse + sigma * np.random.default_rng(0).standard_normal(coarse.shape)).astype(np.float32)
    told = sigma if given.noise == "true" else "auto"
    began = time.perf_counter()
    result = super_resolve(measured, factor=2, noise=told, axes="ZYX", **budget(given), seed=seed)
    wall = time.perf_counter() - began
    found = np.asarray(result)
    plain = CubicUpsampling((2, 2), centred=(True, True))(torch.from_numpy(measured)[:, None])[:, 0].numpy()
    bicubic = torch.nn.functional.interpolate(torch.from_numpy(measured)[:, None], scale_factor=2, mode="bicubic")
    return {
        "seed": seed,
        "wall_seconds": round(wall, 1),
        "psnr": psnr(found, slices, span),
        "psnr_bicubic": max(psnr(plain, slices, span), psnr(bicubic[:, 0].numpy(), slices, span)),
        "bias_percent_of_range": {
            name: round(float(100 * np.mean((found - slices)[where])) / span, 3)
            for name, where in tissues(slices).items()
        },
        "sigma_told": told,
        "sigma_used": result.model.method.config.sigma[0],
        "sigma_true": sigma,
    }


def tissues(slices: np.ndarray) -> dict[str, np.ndarray]:
    """By Hounsfield units, in which a bias would be a wrong diagnosis."""
    limits = {"all": (-5000, 5000), "air": (-1100, -900), "lung_fat": (-900, -30), "soft": (-30, 150)}
    limits["bone"] = (150, 5000)
    return {name: (slices >= low) & (slices < high) for name, (low, high) in limits.items()}


def across(slices: np.ndarray, ratio: float, given: Any, seed: int) -> dict[str, Any]:
    from napari_restore import super_resolve

    kept, span = slices[::2], float(np.ptp(slices))
    left_out = slices[1:-1:2]
    sizes = {"Z": 2 * ratio, "Y": 1.0, "X": 1.0}
    began = time.perf_counter()
    result = super_resolve(kept, factor={"Z": 2}, thickness=0, axes="ZYX", pixel_size=sizes, **budget(given), seed=seed)
    wall = time.perf_counter() - began
    found = np.asarray(result)
    assert np.allclose(found[::2], kept, atol=1e-2), "measured planes are kept"
    padded = np.concatenate([kept[1:2], kept, kept[-2:-1]])
    linear = (kept[:-1] + kept[1:]) / 2
    cubic = (9 * (padded[1:-2] + padded[2:-1]) - padded[:-3] - padded[3:]) / 16
    count = len(left_out)
    return {
        "seed": seed,
        "wall_seconds": round(wall, 1),
        "psnr": psnr(found[1::2][:count], left_out, span),
        "psnr_linear": psnr(linear[:count], left_out, span),
        "psnr_cubic": psnr(cubic[:count], left_out, span),
    }


def psnr(image: np.ndarray, clean: np.ndarray, span: float) -> float:
    error = (image - clean)[..., 8:-8, 8:-8]
    return round(float(10 * np.log10(span**2 / np.mean(np.square(error, dtype=np.float64)))), 3)


if __name__ == "__main__":
    main()

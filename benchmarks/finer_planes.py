"""Planes that are thick and far apart, made finer four times: against cubic interpolation of the same planes.

Of a volume that is as fine along Z as in the plane, each measured plane is the mean of its fine planes: evenly, or by a
Gaussian as wide at half its maximum as planes lie apart; or the first of them. The truth is the volume.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import reporting

FACTOR = 4
FWHM = math.sqrt(8 * math.log(2))

Pixels = np.ndarray


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--volumes", nargs="+", default=["tissue", "microscopy", "ct"], help="samples, or image files")
    parser.add_argument("--profiles", nargs="+", default=["box", "gaussian", "thin"])
    parser.add_argument("--told", nargs="+", default=["auto", "true"], help="what the method is told of the profile")
    parser.add_argument("--noise", type=float, default=0.0, help="of measured planes, in deviations of the volume")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=1)
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    results = [
        row
        for name in given.volumes
        for profile in given.profiles
        for row in rows(volume(name), profile, given, name=Path(name).stem)
    ]
    settings = {"factor": FACTOR, "steps": given.steps, "noise": given.noise}
    reporting.finish(machine, results=results, settings=settings, out=given.out)


def volume(name: str) -> Pixels:
    """Clean, ``(64, 80, 80)`` of a sample; of a file whatever there is."""
    from napari_restore import open_image
    from napari_restore.sources import samples

    made: dict[str, Callable[..., Any]] = {
        "tissue": samples.tissue_stack,
        "microscopy": samples.microscopy_stack,
        "ct": samples.ct_slices,
    }
    pixels = made[name](shape=(64, 80, 80), seed=7)[0] if name in made else open_image(name).read()
    return pixels[: len(pixels) // FACTOR * FACTOR].astype(np.float32)


def rows(clean: Pixels, profile: str, given: Any, *, name: str) -> list[dict[str, Any]]:
    measured = thick(clean, profile)
    rng = np.random.default_rng(0)
    measured += given.noise * clean.std() * rng.standard_normal(measured.shape).astype(np.float32)
    plain = cubic(measured, centred=profile != "thin")
    shared = {"volume": name, "profile": profile, "psnr_cubic": psnr(plain, clean)}
    found = []
    for told in given.told:
        for seed in range(given.seeds):
            found.append({**shared, "told": told, "seed": seed, **finer(measured, clean, profile, told, given, seed)})
            print(found[-1], file=sys.stderr, flush=True)
    return found


def finer(measured: Pixels, clean: Pixels, profile: str, told: str, given: Any, seed: int) -> dict[str, Any]:
    from napari_restore import super_resolve

    known: dict[str, Any] = {"thickness": 0} if profile == "thin" else {"thickness": 1, "profile": profile}
    began = time.perf_counter()
    result = super_resolve(
        measured, factor={"Z": FACTOR}, axes="ZYX", steps=given.steps, seed=seed, **(known if told == "true" else {})
    )
    found = np.asarray(result)
    wall = time.perf_counter() - began
    if profile == "thin" and told == "auto":  # taken for thick, a plane lies in the middle of its fine ones
        from scipy.ndimage import shift

        found = shift(found, (-(FACTOR - 1) / 2, 0, 0), order=3, mode="mirror")
    off = thick(found, profile) - measured
    return {
        "psnr": psnr(found, clean),
        "planes_missed_by": round(float(np.sqrt(np.mean(off**2)) / clean.std()), 4),
        "wall_seconds": round(wall, 1),
    }


def thick(clean: Pixels, profile: str) -> Pixels:
    """The planes that are measured: ``(Z / FACTOR, Y, X)``."""
    if profile == "thin":
        return clean[::FACTOR].copy()
    if profile == "box":
        return clean.reshape(-1, FACTOR, *clean.shape[1:]).mean(1)
    z = np.arange(len(clean))
    at = (np.arange(len(clean) // FACTOR) + 0.5) * FACTOR - 0.5
    weights = np.exp(-(((z - at[:, None]) * FWHM / FACTOR) ** 2) / 2)
    weights /= weights.sum(1, keepdims=True)
    return np.einsum("mz,zyx->myx", weights, clean).astype(np.float32)


def cubic(measured: Pixels, *, centred: bool) -> Pixels:
    """Keys' cubic convolution along Z, where the planes lie."""
    import torch

    from napari_restore.operators.inverse import CubicUpsampling

    with torch.inference_mode():
        along = CubicUpsampling((FACTOR, 1, 1), centred=(centred, True, True))
        return along(torch.from_numpy(measured)[None, None])[0, 0].numpy()


def psnr(found: Pixels, clean: Pixels) -> float:
    """Away from the ends."""
    error = (found - clean)[FACTOR:-FACTOR, 8:-8, 8:-8]
    return round(float(10 * np.log10(np.ptp(clean) ** 2 / np.mean(np.square(error, dtype=np.float64)))), 2)


if __name__ == "__main__":
    main()

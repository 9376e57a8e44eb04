"""Neighbouring planes: PSNR of stacks and movies denoised with 0, 1 or 2 planes to either side, or as it is chosen.

Beside what resembles its neighbours stands what does not: planes in disorder, pictures of different things, objects
that jump several diameters a frame, light that bleaches or flickers. `choice` is what the method took by itself.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import reporting
from scipy.ndimage import gaussian_filter

Pair = tuple[np.ndarray, np.ndarray, str]


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--cases", nargs="+", default=sorted(CASES), choices=sorted([*CASES, "series"]))
    parser.add_argument("--neighbours", nargs="+", default=["0", "1", "2", "auto"])
    parser.add_argument("--method", default="posterior")
    parser.add_argument("--steps", type=int, help="of training, instead of seconds")
    parser.add_argument("--seconds", type=float, default=30.0, help="of training (default 30)")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--series", type=Path, metavar="DIR", help="a folder with a DICOM series, for the case series")
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    budget = {"steps": given.steps} if given.steps else {"seconds": given.seconds}
    results = {}
    for name in given.cases:
        clean, noisy, axes = series(given.series) if name == "series" else CASES[name]()
        results[name] = one_case(clean, noisy, axes, given, budget)
        reporting.progress(f"{name}: {results[name]}")
    settings = {"method": given.method, **budget}
    if given.out is not None and given.out.exists():  # other cases, measured before with the same settings
        there = json.loads(given.out.read_text())
        results = {**(there["results"] if there["settings"] == settings else {}), **results}
    reporting.finish(machine, results=results, settings=settings, out=given.out)


def one_case(clean: np.ndarray, noisy: np.ndarray, axes: str, given: Any, budget: dict[str, Any]) -> dict[str, Any]:
    """PSNR over the range of the clean image, for each setting the median of the seeds."""
    row: dict[str, Any] = {"noisy": psnr(noisy, clean)}
    for asked in given.neighbours:
        runs = [
            one_run(clean, noisy, axes, asked, given.method, {**budget, "seed": seed}) for seed in range(given.seeds)
        ]
        row[asked] = {"psnr": reporting.median([run["psnr"] for run in runs]), "runs": runs}
    return row


def one_run(
    clean: np.ndarray, noisy: np.ndarray, axes: str, asked: str, method: str, options: dict[str, Any]
) -> dict[str, Any]:
    from napari_restore import denoise

    began, cpu = time.perf_counter(), time.process_time()
    result = denoise(noisy, axes=axes, method=method, neighbours=asked, **options)
    pixels = np.asarray(result).astype(np.float64)
    run = {"seed": options["seed"], "psnr": psnr(pixels, clean), "steps": result.model.provenance["steps"]}
    run |= {"wall_seconds": round(time.perf_counter() - began, 1), "cpu_seconds": round(time.process_time() - cpu, 1)}
    return run | ({"choice": result.model.method.config.neighbours} if asked == "auto" else {})


def psnr(found: np.ndarray, clean: np.ndarray) -> float:
    error = np.mean((found.astype(np.float64) - clean) ** 2)
    return round(float(10 * np.log10(np.ptp(clean.astype(np.float64)) ** 2 / error)), 3)


def counted(photons: np.ndarray, *, seed: int) -> np.ndarray:
    """A camera's counts: 100 and 2 for a photon, 6 of read noise."""
    rng = np.random.default_rng([seed, 99])
    return (100 + 2 * rng.poisson(photons) + rng.normal(0, 6, photons.shape)).round().astype(np.float32)


def sample(name: str) -> Pair:
    from napari_restore.sources import samples

    make = {"microscopy": samples.microscopy_stack, "tissue": samples.tissue_stack, "movie": samples.particle_movie}
    clean, noisy = make[name]()
    return clean, noisy, "TYX" if name == "movie" else "ZYX"


def shuffled(name: str) -> Pair:
    """Its planes in an order drawn by lot."""
    clean, noisy, axes = sample(name)
    order = np.random.default_rng(5).permutation(len(clean))
    return clean[order], noisy[order], axes


def pictures() -> Pair:
    """Eight pictures of different things, as if they were a movie."""
    from images import eight_images

    clean, noisy = eight_images()
    return np.asarray(clean, np.float32), np.asarray(noisy, np.float32), "TYX"


def cells(shape: tuple[int, int, int] = (24, 192, 192)) -> np.ndarray:
    """A still haze with a texture, in photons."""
    rng = np.random.default_rng(11)
    haze = gaussian_filter(rng.normal(size=shape[1:]), 12)
    texture = gaussian_filter(rng.normal(size=shape[1:]), 1.5)
    return 8 + 4 * haze / haze.std() * (haze > 0) + 1.5 * texture / texture.std() * (haze > 0)


def jumping(*, still: bool) -> Pair:
    """Objects of 5 pixels that jump 3 to 8 diameters a frame; before a ``still`` haze, or before nothing."""
    rng = np.random.default_rng(3)
    shape, count = (24, 192, 192), 60
    places = rng.uniform(0, 192, (count, 2))
    movie = np.zeros(shape)
    y, x = np.mgrid[:192, :192]
    bright = rng.gamma(4, 10, count)
    for frame in movie:
        for (row, column), light in zip(places, bright, strict=True):
            frame += light * np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * 1.6**2))
        angle, far = rng.uniform(0, 2 * np.pi, count), rng.uniform(15, 40, count)
        places = (places + far[:, None] * np.stack([np.sin(angle), np.cos(angle)], 1)) % 192
    photons = (cells().clip(0) if still else 4.0) + movie
    return 100 + 2 * photons, counted(photons, seed=3), "TYX"


def light(kind: str) -> Pair:
    """The movie sample whose light bleaches to a fifth, or flickers by a third from frame to frame."""
    clean, _, axes = sample("movie")
    photons, rng = (clean - 100) / 2, np.random.default_rng(4)
    gain = np.geomspace(1, 0.2, len(clean)) if kind == "bleaching" else rng.uniform(0.67, 1.33, len(clean))
    photons = photons * gain[:, None, None]
    return 100 + 2 * photons, counted(photons, seed=4), axes


def series(folder: Path) -> Pair:
    """A CT series with white noise of 60 HU."""
    from napari_restore import open_image

    clean = np.clip(open_image(folder).read().squeeze().astype(np.float32), -1000, 1500)
    return clean, clean + np.random.default_rng(0).normal(0, 60, clean.shape).astype(np.float32), "ZYX"


CASES: dict[str, Callable[[], Pair]] = {
    "microscopy": lambda: sample("microscopy"),
    "tissue": lambda: sample("tissue"),
    "movie": lambda: sample("movie"),
    "microscopy_shuffled": lambda: shuffled("microscopy"),
    "movie_shuffled": lambda: shuffled("movie"),
    "pictures": pictures,
    "jumping": lambda: jumping(still=False),
    "jumping_before_still": lambda: jumping(still=True),
    "bleaching": lambda: light("bleaching"),
    "flicker": lambda: light("flicker"),
}


if __name__ == "__main__":
    main()

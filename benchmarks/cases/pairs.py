"""A second acquisition that does not match, a PSF off its middle, few photons."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.registration import phase_cross_correlation

from napari_restore import deblur, denoise

Pixels = np.ndarray


def scene(n: int, *, seed: int, low: float, high: float) -> Pixels:
    """Blobs and lines on dark ground, ``(n, n)``, from low to high."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:n, :n]
    made = np.zeros((n, n))
    for _ in range(n * n // 900):
        cy, cx, std, height = rng.uniform(0, n), rng.uniform(0, n), rng.uniform(1.5, 7), rng.uniform(0.2, 1)
        made += height * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * std**2))
    for _ in range(6):
        turn, off = rng.uniform(0, np.pi), rng.uniform(-0.3, 0.3) * n
        away = (y - n / 2) * np.cos(turn) + (x - n / 2) * np.sin(turn) - off
        made += 0.5 * np.exp(-(away**2) / (2 * 1.3**2))
    return low + (high - low) * made / made.max()


def psnr(result: Pixels, clean: Pixels) -> float:
    return float(10 * np.log10(np.ptp(clean) ** 2 / np.mean((result - clean) ** 2)))


def moved(result: Pixels, clean: Pixels) -> float:
    """By how many pixels, away from the border."""
    inner = (slice(8, -8),) * 2
    shift = phase_cross_correlation(clean[inner], result[inner], upsample_factor=50, normalization=None)[0]
    return float(np.hypot(*shift))


def second(change: Callable[[Pixels, np.random.Generator], Pixels], *, seed: int = 11) -> str:
    """The first as it is, the second changed."""
    clean = scene(160, seed=seed, low=200, high=1500)
    rng = np.random.default_rng(seed)
    first = rng.poisson(clean).astype(np.uint16)
    other = change(clean, rng)
    result = np.asarray(denoise(first, second=other.astype(np.uint16), axes="YX", seconds=12)).astype(float)
    return (
        f"mean {result.mean():.0f} for {first.mean():.0f}, moved {moved(result, clean):.2f} px, "
        f"{psnr(first, clean):.1f} -> {psnr(result, clean):.1f} dB"
    )


def bleached(left: float, offset: float = 0.0, shift: int = 0) -> Callable[[Pixels, np.random.Generator], Pixels]:
    return lambda clean, rng: rng.poisson(left * np.roll(clean, shift, 1)) + offset


def unrelated(clean: Pixels, rng: np.random.Generator) -> Pixels:
    return rng.poisson(scene(len(clean), seed=99, low=200, high=1500))


def one_moved(clean: Pixels, rng: np.random.Generator) -> Pixels:
    """The same scene, in a quarter of which something else is."""
    other = clean.copy()
    n = len(clean) // 2
    other[:n, :n] = scene(len(clean), seed=99, low=200, high=1500)[:n, :n]
    return rng.poisson(other)


def point(n: int, row: float, column: float, std: float = 2.0) -> Pixels:
    y, x = np.mgrid[:n, :n]
    return np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * std**2))


def blurred(psf: Callable[[], Pixels]) -> str:
    """Deblurred with a Gaussian of 2 px that lies elsewhere."""
    clean = scene(160, seed=12, low=100, high=1500)
    noisy = np.random.default_rng(0).poisson(gaussian_filter(clean, 2, mode="reflect")).astype(np.float32)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "psf.npy"
        np.save(file, psf())
        result: Any = np.asarray(deblur(noisy, psf=str(file), axes="YX", seconds=8)).astype(float)
    return f"moved {moved(result, clean):.2f} px, {psnr(noisy, clean):.1f} -> {psnr(result, clean):.1f} dB"


def few_photons(mean: float, method: str) -> str:
    """Mean of the result over that of the image, whole and in its darker and brighter half, as a percentage."""
    clean = scene(256, seed=5, low=0.05, high=3)
    clean *= mean / clean.mean()
    rng = np.random.default_rng(0)
    noisy = rng.poisson(clean).astype(np.float32)
    more = {"second": rng.poisson(clean).astype(np.float32)} if method == "noise2noise" else {}
    result = np.asarray(denoise(noisy, method=method, axes="YX", seconds=15, **more)).astype(float)
    bright = clean > np.median(clean)
    parts = [result[p].mean() / noisy[p].mean() - 1 for p in (np.ones_like(bright), ~bright, bright)]
    rmse = np.sqrt(np.mean((result - clean) ** 2) / np.mean((noisy - clean) ** 2))
    return "mean {:+.1%}, dark half {:+.1%}, bright half {:+.1%}".format(*parts) + f", error {rmse:.2f} of the noise"


CASES: dict[str, Callable[[], str]] = {
    "9 second at 90 %": partial(second, bleached(0.9)),
    "9 second bleached to 60 %": partial(second, bleached(0.6)),
    "9 second with an offset of 300": partial(second, bleached(1.0, 300)),
    "9 second at 60 % with an offset of 300": partial(second, bleached(0.6, 300)),
    "9 second moved by 3 px": partial(second, bleached(1.0, 0, 3)),
    "9 second of another field": partial(second, unrelated),
    "9 second with another quarter": partial(second, one_moved),
    "10 PSF in its middle, sum 1": partial(blurred, lambda: point(17, 8, 8) / point(17, 8, 8).sum()),
    "10 PSF off by 2 px, sum 1": partial(blurred, lambda: point(17, 8, 10) / point(17, 8, 10).sum()),
    "10 PSF off by 2 px, peak 1": partial(blurred, lambda: point(17, 8, 10)),
    "10 PSF even, sum 1": partial(blurred, lambda: point(16, 7.5, 7.5) / point(16, 7.5, 7.5).sum()),
    "10 PSF in the corner": partial(blurred, lambda: np.fft.ifftshift(point(32, 16, 16))),
    **{
        f"14 {mean:g} photons, {method}": partial(few_photons, mean, method)
        for mean in (0.1, 1, 10)
        for method in ("noise2void2", "noise2void", "posterior", "zero_shot", "noise2noise")
    },
}

if __name__ == "__main__":
    for name, case in CASES.items():
        if not sys.argv[1:] or any(word in name for word in sys.argv[1:]):
            print(name, case(), sep=": ", flush=True)

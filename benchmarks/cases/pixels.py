"""Pixels that are none, and numbers that lie far away (cases 2, 3, 12, 13): RMSE, and what is handed on.

Training is in steps, so that a busy machine gives the same figures.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
from scipy.ndimage import binary_dilation, gaussian_filter

from napari_restore import denoise, estimate_noise
from napari_restore.core.errors import RestoreError

STEPS = 250


def scene(n: int = 160, low: float = 100, high: float = 200, seed: int = 0) -> np.ndarray:
    """Blobs of all sizes on a slope."""
    rng = np.random.default_rng(seed)
    parts = [gaussian_filter((rng.random((n, n)) < 0.3 / s**2) * s**2.0, s) for s in (1.5, 3, 6)]
    whole = sum(part / part.max() for part in parts) + np.linspace(0, 0.5, n)
    return low + (high - low) * (whole - whole.min()) / np.ptp(whole)


def rmse(result: Any, truth: np.ndarray, where: np.ndarray) -> float:
    return float(np.sqrt(np.square(np.asarray(result, float) - truth)[..., where].mean()))


def outliers(count: int, value: float) -> Callable[[], str]:
    """Single pixels: the error far from them, and near by."""

    def case() -> str:
        truth = scene()
        image = truth + np.random.default_rng(1).normal(0, 10, truth.shape)
        mask = np.zeros(truth.shape, bool)
        mask.flat[np.random.default_rng(2).choice(mask.size, count, replace=False)] = True
        image[mask] = value
        result = denoise(np.rint(image).clip(0, 65535).astype(np.uint16), axes="YX", steps=STEPS)
        far = rmse(result, truth, ~binary_dilation(mask, iterations=4) if count else ~mask)
        return f"RMSE {far:.2f} far from them ({result.model.name}; noise 10)"

    return case


def beads() -> str:
    truth, (y, x) = scene(), np.mgrid[:160, :160]
    image = truth + np.random.default_rng(1).normal(0, 10, truth.shape)
    distance = np.full(truth.shape, np.inf)
    for cy, cx in ((40, 50), (120, 130), (130, 30)):
        image += 40000 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / 8)
        distance = np.minimum(distance, np.hypot(y - cy, x - cx))
    result = denoise(np.rint(image).clip(0, 65535).astype(np.uint16), axes="YX", steps=STEPS)
    return f"RMSE {rmse(result, truth, distance > 15):.2f} far from them ({result.model.name}; noise 10)"


def movie(lines: slice) -> Callable[[], str]:
    """Lines of one frame of twelve saturated: the error in the others, in parts of the noise."""

    def case() -> str:
        truth = np.stack([scene(96, 300, 900, seed=3)] * 12)
        image = np.random.default_rng(1).normal(truth, 40)
        image[5, lines] = 4095
        result = np.asarray(denoise(np.rint(image).astype(np.uint16), axes="TYX", steps=STEPS), float)
        others = np.arange(12) != 5
        return f"{np.sqrt(np.square(result - truth)[others].mean()) / 40:.2f} of the noise in the other frames"

    return case


def padded(value: float | None, dtype: Any = np.int16) -> Callable[[], str]:
    """A CT within its circle: the error inside and near the rim, and what becomes of the padding."""

    def case() -> str:
        n = 160
        y, x = np.mgrid[:n, :n]
        radius = np.hypot(y - n / 2 + 0.5, x - n / 2 + 0.5)
        truth = np.stack([scene(n, -950, 200, seed) for seed in range(2)])
        image = np.rint(np.random.default_rng(1).normal(truth, 30))
        if value is not None:
            image = np.where(radius < 79, image, value)
        result = np.asarray(denoise(image.astype(dtype), axes="ZYX", steps=STEPS), float)
        inside, rim, outside = radius < 70, (radius > 73) & (radius < 78), radius >= 79
        told = f"RMSE {rmse(result, truth, inside):.1f} inside, {rmse(result, truth, rim):.1f} near the rim (noise 30)"
        if value is None or np.isnan(value):
            return told
        return f"{told}; padding {result[:, outside].min():.0f} to {result[:, outside].max():.0f}"

    return case


def far_away(scale: float, offset: float, dtype: Any) -> Callable[[], str]:
    """The same pixels elsewhere among the numbers: the error in units of the noise."""

    def case() -> str:
        truth = scene(128)
        image = (np.random.default_rng(1).normal(truth, 10) * scale + offset).astype(dtype)
        try:
            result = np.asarray(denoise(image, steps=60), np.float64)
        except (RestoreError, ValueError) as error:
            return f"{type(error).__name__}: {str(error)[:60]}"
        return f"RMSE {np.sqrt(np.square((result - offset) / scale - truth).mean()) / 10:.2f} of the noise"

    return case


def tiny() -> str:
    try:
        pixels = 1e-20 * np.random.default_rng(1).poisson(np.linspace(20, 400, 160 * 160).reshape(160, 160))
        return f"{estimate_noise(pixels).sigma:.3g} for {1e-20 * np.sqrt(210):.3g}"
    except ValueError as error:
        return f"{type(error).__name__}: {error}"


def alpha() -> str:
    grey = np.random.default_rng(1).normal(scene(high=220), 15).clip(0, 255).astype(np.uint8)
    mask = np.full(grey.shape, 255, np.uint8)
    mask[:20] = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.png"
        path.write_bytes(imagecodecs.png_encode(np.stack([grey, grey, grey, mask], -1)))
        result = denoise(path, steps=60)
        pixels = np.moveaxis(np.asarray(result), result.axes.index("C"), -1)
    changed = int((pixels[..., 3] != mask).sum())
    return f"{changed} of {mask.size} pixels of the alpha changed; {result.model.name}"


def empty_channel() -> str:
    truth = scene(high=220)
    noisy = np.random.default_rng(1).normal(truth, 15).clip(0, 255)
    image = np.stack([noisy, np.zeros_like(noisy), noisy]).astype(np.uint8)
    result = denoise(image, axes="CYX", steps=60)
    return f"{result.model.name}; PSNR told: {result.report['checked']['psnr'] is not None}"


CASES: dict[str, Callable[[], str]] = {
    "2 no outliers": outliers(0, 0),
    "2 one pixel of 60000": outliers(1, 60000),
    "2 26 pixels of 4095": outliers(26, 4095),
    "2 26 pixels of 60000": outliers(26, 60000),
    "2 three beads of 40000": beads,
    "2 movie, nothing saturated": movie(slice(0, 0)),
    "2 movie, a saturated frame": movie(slice(None)),
    "2 movie, a saturated band": movie(slice(30, 42)),
    "3 CT without padding": padded(None),
    "3 CT padded with NaN": padded(np.nan, np.float32),
    "3 CT padded with -3024": padded(-3024),
    "3 CT padded with -3024, float32": padded(-3024, np.float32),
    "12 contrast of 1e-30": far_away(1e-30, 0.0, np.float64),
    "12 photons of 1e-20": tiny,
    "12 uint32 near 2^31": far_away(1.0, 2.0**31, np.uint32),
    "12 float64 of 1e9": far_away(1.0, 1e9, np.float64),
    "13 alpha of a PNG": alpha,
    "13 an empty channel": empty_channel,
}
"""Number and name of each case, and the function that gives its figure."""

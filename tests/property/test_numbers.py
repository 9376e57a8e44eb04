"""restore(a x + b) = a restore(x) + b wherever numbers lie that a pixel type can hold, and their digits are kept."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_restore import denoise

SHAPE = (70, 85)


def counts() -> NDArray[np.float64]:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return np.rint(200 + 60 * np.sin(x / 9) * np.cos(y / 7) + np.random.default_rng(0).normal(0, 12, SHAPE))


def restored(pixels: NDArray[np.generic], method: str = "posterior") -> NDArray[np.float64]:
    return np.asarray(denoise(pixels, method=method, steps=8, precision="float32"), np.float64)


@pytest.fixture(scope="module")
def plain() -> dict[str, NDArray[np.float64]]:
    return {method: restored(counts().astype(np.float32), method) for method in ("posterior", "noise2void2")}


@pytest.mark.parametrize("method", ["posterior", "noise2void2"])
@pytest.mark.parametrize(
    ("scale", "offset", "dtype"),
    [
        (2.0**-100, 0.0, np.float32),  # 1e-30 would round the counts, and decide which of two like patches is nearer
        (1e-30, 0.0, np.float64),
        (1.0, 1e9, np.float64),
        (1e-3, -1e6, np.float64),
        (1.0, 2.0**31, np.uint32),
        (1.0, -(2.0**31), np.int32),
        (1.0, 2.0**34, np.int64),
    ],
)
def test_digits_are_kept_wherever_they_are(plain, scale, offset, dtype, method) -> None:
    found = restored((counts() * scale + offset).astype(dtype), method)
    # Whole numbers are rounded; half a unit beside a noise of 12.
    assert np.abs((found - offset) / scale - plain[method]).max() < (0.6 if np.dtype(dtype).kind in "iu" else 0.05)


def test_what_is_said_of_the_result_does_not_depend_on_the_offset() -> None:
    def told(pixels: NDArray[np.generic]) -> dict[str, float]:
        return denoise(pixels, method="posterior", steps=8, precision="float32").report["checked"]

    here, there = told(counts().astype(np.float32)), told(1e-3 * counts() + 1e6)
    for name in ("psnr", "psnr_before", "structure", "whiteness"):
        assert there[name] == pytest.approx(here[name], abs=0.02)
    assert there["mse"] == pytest.approx(1e-6 * here["mse"], rel=0.02)

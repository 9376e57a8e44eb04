"""Whole runs on images that are not all pixels: nothing else is touched by them, and they are handed on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_restore import denoise, restore, super_resolve, train
from napari_restore.core.errors import RestoreError
from napari_restore.sources import open_image

SHAPE = (88, 96)


def scene(seed: int = 0) -> NDArray[np.float64]:
    smooth = gaussian_filter(np.random.default_rng(seed).normal(size=SHAPE), 4)
    return 150 + 25 * smooth / smooth.std()


def noisy(seed: int = 1) -> NDArray[np.float64]:
    return scene() + np.random.default_rng(seed).normal(0, 10, SHAPE)


def rmse(a: NDArray[np.generic], where: NDArray[np.bool_]) -> float:
    return float(np.sqrt(np.square(np.asarray(a, np.float64) - scene())[where].mean()))


def hot(value: float) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
    mask = np.zeros(SHAPE, np.bool_)
    mask.flat[np.random.default_rng(3).choice(mask.size, 8, replace=False)] = True
    return np.rint(np.where(mask, value, noisy())).astype(np.uint16), mask


@pytest.fixture(scope="module")
def plain() -> NDArray[np.generic]:
    return np.asarray(denoise(np.rint(noisy()).astype(np.uint16), steps=60, precision="float32"))


def test_outliers_are_kept_and_cost_the_others_nothing(plain: NDArray[np.generic]) -> None:
    pixels, mask = hot(60000)
    result = denoise(pixels, steps=60, precision="float32")
    assert result.model.name == "posterior"
    assert (np.asarray(result)[mask] == 60000).all()
    assert rmse(result, ~mask) < 1.1 * rmse(plain, ~mask)
    replaced = np.asarray(restore(pixels, result.model, outliers="replace"))
    assert np.abs(replaced[mask] - scene()[mask]).max() < 40
    np.testing.assert_array_equal(replaced[~mask], np.asarray(result)[~mask])


def test_filling_is_as_good_as_nan_and_keeps_its_value(tmp_path: Path) -> None:
    y, x = np.indices(SHAPE)
    inside = np.hypot(y - 43.5, x - 47.5) < 42
    pixels = np.where(inside, np.rint(noisy()), -3024).astype(np.int16)
    result = denoise(pixels, steps=60, precision="float32", output=tmp_path / "a.ome.tif")
    assert result.dtype == np.int16
    assert (np.asarray(result)[~inside] == -3024).all()
    as_nan = denoise(np.where(inside, pixels, np.nan).astype(np.float32), steps=60, precision="float32")
    assert np.abs(np.asarray(result) - np.asarray(as_nan))[inside].max() < 1
    part = restore(pixels, result.model, region={"Y": (3, 60), "X": (10, 90)}, tile=(64, 64))
    np.testing.assert_array_equal(np.asarray(part) == -3024, ~inside[3:60, 10:90])


def test_finer_pixels_of_filling_keep_its_value() -> None:
    pixels = np.rint(noisy()).astype(np.int16)
    pixels[:, :20] = -2000
    fine = np.asarray(super_resolve(pixels, factor=2, noise=10.0, steps=2))
    assert (fine[:, :40] == -2000).all()
    assert (fine[:, 44:] > -1000).all()


def test_tiles_show_the_same_outliers_and_filling_as_the_whole(plain: NDArray[np.generic]) -> None:
    pixels, _ = hot(9000)
    pixels[20:27, 5:70] = 0
    model = train(pixels, "noise2void", steps=2)
    whole, tiled = (np.asarray(restore(pixels, model, tile=tile), np.float64) for tile in ((96, 96), (32, 32)))
    assert np.abs(whole - tiled).max() < 1e-2
    assert (tiled[20:27, 5:70] == 0).all()


def test_nodata_of_a_geotiff_is_filling(tmp_path: Path) -> None:
    pixels = noisy().astype(np.float32)
    pixels[np.random.default_rng(0).random(SHAPE) < 0.1] = -3.4028234663852886e38
    tifffile.imwrite(tmp_path / "a.tif", pixels, extratags=[(42113, "s", 0, "-3.4028234663852886e+38", True)])
    result = denoise(tmp_path / "a.tif", method="noise2void", steps=4)
    lost = pixels < -1e38
    np.testing.assert_array_equal(np.asarray(result)[lost], pixels[lost])
    assert (np.asarray(result)[~lost] > -1000).all()


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_alpha_is_handed_on(tmp_path: Path, kind: str) -> None:
    import imagecodecs

    grey = np.clip(np.rint(noisy()), 0, 255).astype(np.uint8)
    alpha = np.full(SHAPE, 255, np.uint8)
    alpha[:20] = 0
    alpha[20] = 77
    picture = np.stack([grey, grey, grey, alpha], -1)
    path = tmp_path / f"a.{kind}"
    if kind == "png":
        path.write_bytes(imagecodecs.png_encode(picture))
    else:
        tifffile.imwrite(path, picture, photometric="rgb", extrasamples=["unassalpha"])
    image = open_image(path)
    assert image.shape == (*SHAPE, 3)
    result = denoise(path, method="noise2void", steps=2, tile=(64, 64), output=tmp_path / "out.ome.zarr")
    pixels = np.asarray(result)
    assert (result.axes, pixels.shape) == ("YXC", (*SHAPE, 4)) or (result.axes, pixels.shape) == ("CYX", (4, *SHAPE))
    np.testing.assert_array_equal(pixels[..., 3] if result.axes == "YXC" else pixels[3], alpha)
    np.testing.assert_array_equal(np.asarray(open_image(image, channel=3)), alpha)


def test_all_filled_is_refused_in_words() -> None:
    with pytest.raises(RestoreError, match="every pixel looked at is 7"):
        denoise(np.full(SHAPE, 7, np.uint8), fill=7, steps=1)


def test_the_shell_has_both_options(tmp_path: Path) -> None:
    pixels, mask = hot(9000)
    pixels[50:60] = 42
    tifffile.imwrite(tmp_path / "in.tif", pixels)
    words = [
        "denoise",
        "in.tif",
        "-o",
        "out.ome.tif",
        "--method",
        "noise2void",
        "--steps",
        "2",
        "--fill",
        "42",
        "--outliers",
        "replace",
        "--quiet",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "napari_restore", *words], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    restored = tifffile.imread(tmp_path / "out.ome.tif")
    assert (restored[50:60] == 42).all()
    mask[50:60] = False
    assert (restored[mask] < 9000).all()

"""The variance of each pixel's noise, as it is for a camera that is simulated here."""

import numpy as np
import pytest
import torch

from napari_restore.metrics.pixel_noise import PixelNoise

CAMERA = PixelNoise(constant=9.0, gain=4.0, offset=100.0)


def measured(light, *, count, seed=0):
    rng = np.random.default_rng(seed)
    return 100 + 4.0 * rng.poisson(light / 4, count) + 3 * rng.normal(size=count)


@pytest.mark.parametrize("light", [0, 2, 40, 900])
def test_the_line_is_the_variance_that_a_camera_has(light):
    pixels = measured(light, count=200_000)
    signal = np.full(1, 100 + light, np.float32)
    assert CAMERA.at(signal) == pytest.approx(pixels.var(), rel=0.02)
    assert CAMERA.unbiased_at(pixels).mean() == pytest.approx(pixels.var(), rel=0.02)


def test_in_the_dark_only_what_is_averaged_may_fall_below_the_constant():
    dark = np.array([90, 96, 100], np.float32)
    assert CAMERA.at(dark).tolist() == [9, 9, 9]
    assert CAMERA.unbiased_at(dark).tolist() == [-31, -7, 9]
    smooth = CAMERA.smooth_at(torch.from_numpy(dark))
    assert (smooth > 9).all()
    assert float(smooth[-1]) == pytest.approx(9 + 4**2 / 8), "an eighth of a photon"
    bright = np.array([400.0], np.float32)
    assert CAMERA.smooth_at(torch.from_numpy(bright)).item() == pytest.approx(CAMERA.at(bright).item(), rel=1e-3)


def test_photons_alone_leave_something_to_divide_by_in_the_dark():
    assert PixelNoise(0.0, gain=4.0, offset=100.0).at(np.array([90, 100, 108])).tolist() == [2, 2, 32]


def test_noise_without_photons_is_the_same_everywhere():
    assert PixelNoise(4.0).at(np.array([-1e6, 0, 1e6])).tolist() == [4, 4, 4]

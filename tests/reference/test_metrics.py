"""Metrics against scikit-image, and a noise level against the one that was put in."""

import numpy as np
import pytest
from scipy.ndimage import convolve
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from napari_restore.metrics.noise import noise_sigma
from napari_restore.metrics.similarity import psnr, ssim


def pair(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    truth = np.cumsum(np.cumsum(rng.normal(size=shape), -1), -2)
    truth = (truth - truth.min()) / np.ptp(truth) * 200
    return (truth + rng.normal(0, 8, shape)).clip(0, 255).astype(dtype), truth.astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("shape", [(17, 23), (64, 48), (3, 17, 23)])
def test_psnr_is_scikit_images(shape, dtype):
    image, truth = pair(shape, dtype)
    assert psnr(image, truth, data_range=255) == pytest.approx(
        peak_signal_noise_ratio(truth, image, data_range=255), rel=1e-6
    )
    span = float(truth.max()) - float(truth.min())
    assert psnr(image, truth) == pytest.approx(peak_signal_noise_ratio(truth, image, data_range=span), rel=1e-6)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("shape", [(17, 23), (64, 48)])
def test_ssim_is_scikit_images_with_the_settings_of_wang(shape, dtype):
    """The settings that scikit-image documents as those of Wang et al. (2004)."""
    image, truth = pair(shape, dtype)
    wanted = structural_similarity(
        truth.astype(float),
        image.astype(float),
        data_range=255,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert ssim(image, truth, data_range=255) == pytest.approx(wanted, rel=1e-9)
    assert 0.2 < wanted < 0.99


@pytest.mark.parametrize("sigma", [0.5, 5.0, 40.0])
@pytest.mark.parametrize("shape", [(257, 301), (128, 512)])
def test_the_noise_level_is_the_one_that_was_put_in(shape, sigma):
    y, x = np.mgrid[: shape[0], : shape[1]]
    plane = 20 * np.sin(x / 40) * np.cos(y / 50) + np.random.default_rng(1).normal(0, sigma, shape)
    assert noise_sigma(plane) == pytest.approx(sigma, rel=0.05)
    # Immerkaer 1996 (doi:10.1006/cviu.1996.0060): another filter, and a mean where we take a median.
    laplacian = convolve(plane, np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]]))[1:-1, 1:-1]
    assert noise_sigma(plane) == pytest.approx(np.sqrt(np.pi / 2) * np.abs(laplacian).mean() / 6, rel=0.05)

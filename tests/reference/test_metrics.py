"""Metrics against scikit-image, and a noise level against the one that was put in."""

import numpy as np
import pytest
from scipy.ndimage import convolve, gaussian_filter
from skimage import data
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from napari_restore.metrics.noise import noise_sigma
from napari_restore.metrics.noise_level import estimate
from napari_restore.metrics.resolution import frc, single_image_frc
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


def scene(shape, std, seed):
    """White noise blurred by a Gaussian: its power spectrum is 4 pi std^2 exp(-4 pi^2 std^2 f^2) at unit variance."""
    image = gaussian_filter(np.random.default_rng(seed).normal(size=shape), std, mode="wrap")
    return image / image.std()


def curve_of_theory(frequency, std, sigma):
    """FRC = S / (S + N) for a common signal of spectrum S in independent noise of spectrum N."""
    signal = 4 * np.pi * std**2 * np.exp(-4 * np.pi**2 * std**2 * frequency**2)
    return signal / (signal + sigma**2)


@pytest.mark.parametrize("sigma", [0.4, 1.0])
@pytest.mark.parametrize("std", [1.0, 2.0])
def test_fourier_ring_correlation_is_that_of_the_spectra(std, sigma):
    image, rng = scene((250, 300), std, 0), np.random.default_rng(1)
    curve = frc(*(image + rng.normal(0, sigma, image.shape) for _ in range(2)))
    wanted = curve_of_theory(curve.frequency, std, sigma)
    assert np.abs(curve.correlation - wanted)[5:].max() < 0.25
    assert np.abs(curve.correlation - wanted)[5:].mean() < 0.04
    # S = N / 6 at the threshold of 1/7.
    crossing = np.sqrt(np.log(6 * 4 * np.pi * std**2 / sigma**2)) / (2 * np.pi * std)
    assert curve.resolution == pytest.approx(1 / crossing, rel=0.06)


def test_fourier_shell_correlation_is_that_of_the_spectra():
    image, rng = scene((40, 80, 80), 1.5, 0), np.random.default_rng(1)
    curve = frc(*(image + rng.normal(0, 1, image.shape) for _ in range(2)))
    signal = (4 * np.pi * 1.5**2) ** 1.5 * np.exp(-4 * np.pi**2 * 1.5**2 * curve.frequency**2)
    wanted = signal / (signal + 1)
    assert np.abs(curve.correlation - wanted)[3:].mean() < 0.03
    crossing = curve.frequency[np.flatnonzero(wanted < 1 / 7)[0]]
    assert curve.resolution == pytest.approx(1 / crossing, rel=0.05)


def test_single_image_correlation_is_that_of_two_images_on_average():
    """The four-fold noise of the sub-lattices and their shift are taken out: no empirical factor is left to fit."""
    std, sigma, rng = 2.0, 0.7, np.random.default_rng(1)
    curves = [single_image_frc(scene((128, 128), std, i) + rng.normal(0, sigma, (128, 128))) for i in range(12)]
    found = np.mean([curve.correlation for curve in curves], 0)
    wanted = curve_of_theory(curves[0].frequency, std, sigma)
    assert np.abs(found - wanted)[2:].mean() < 0.06
    crossing = np.sqrt(np.log(6 * 4 * np.pi * std**2 / sigma**2)) / (2 * np.pi * std)
    assert np.median([curve.resolution for curve in curves]) == pytest.approx(1 / crossing, rel=0.08)


@pytest.mark.parametrize("sigma", [2.0, 5.0, 25.0])
def test_the_robust_noise_level_is_the_one_that_was_put_in(sigma):
    """On a photograph at half and at a quarter of its size, where the median of Donoho and Johnstone takes texture."""
    image = data.camera().astype(float)
    planes = [image.reshape(512 // f, f, 512 // f, f).mean((1, 3)) for f in (2, 4)]
    rng = np.random.default_rng(0)
    level = estimate([plane + rng.normal(0, sigma, plane.shape) for plane in planes])
    assert level.reliable
    assert level.sigma == pytest.approx(sigma, rel=0.1)

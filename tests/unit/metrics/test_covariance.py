"""The covariance of noise is found between edges, beside texture, and where it grows with the signal."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_restore.core.errors import ImageError
from napari_restore.metrics.covariance import BLOCK, RADIUS, describe, noise_covariance


def blurred(std, *, shape=(192, 224), seed=0):
    """Noise of deviation 1."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), std, mode="wrap")
    return noise / noise.std()


def scene(shape=(192, 224)):
    """Discs, a fine texture and a slope."""
    y, x = np.indices(shape)
    discs = 150.0 * (np.hypot(y - 90, x - 120) < 40) + 90 * (np.hypot(y - 40, x - 60) < 20)
    return discs + 60 * np.sin(x / 1.5) * np.cos(y / 2) * (y > 140) + 0.2 * y + 30


@pytest.mark.parametrize("std", [0, 0.6, 1.0, (0.4, 1.2), 2.0])
def test_a_known_covariance_is_found_between_edges_and_beside_a_texture(std):
    found = noise_covariance([scene() + 12 * blurred(std)])
    spread = np.broadcast_to(std, 2)
    lags = np.arange(-RADIUS, RADIUS + 1)
    y, x = (np.exp(-((lags / (2 * s)) ** 2)) if s > 0.5 else None for s in spread)
    if y is not None and x is not None:  # narrower ones are cut off by the pixels
        assert np.abs(found.correlation - np.outer(y, x)).max() < 0.12
    assert found.pixels.constant**0.5 == pytest.approx(12, rel=0.06)
    assert found.reliable
    assert np.array_equal(found.correlation, found.correlation[::-1, ::-1])
    if std == 0:
        assert max(map(abs, found.next_yx)) < 0.05


def test_what_is_all_texture_is_said_to_be_not_sure():
    rng = np.random.default_rng(0)
    texture = sum(blurred(s, seed=k) for k, s in enumerate((0.7, 2, 4, 8))) + 0.3 * rng.normal(size=(192, 224))
    assert not noise_covariance([20 * texture]).reliable


def test_noise_that_grows_with_the_signal_is_a_line():
    y = np.indices((192, 224))[0] // 24 * 30.0 + 10
    found = noise_covariance([y + np.sqrt(2 * y + 9) * blurred(1.0)])
    assert found.pixels.gain == pytest.approx(2, rel=0.2)
    for signal in (50, 200):
        assert float(found.pixels.at(np.array([signal]))[0]) == pytest.approx(2 * signal + 9, rel=0.15)
    assert "where it is as bright as on average" in describe(found, mean=100)


def test_an_even_noise_does_not_grow_because_bright_parts_have_texture():
    found = noise_covariance([scene() + 100 * (scene() > 120) * np.sin(np.indices((192, 224))[1]) + 9 * blurred(0.8)])
    assert found.pixels.gain == 0


def test_it_scales_with_the_square_and_not_with_the_offset():
    plane = scene() + 12 * blurred(0.8)
    one, other = noise_covariance([plane]), noise_covariance([1e-3 * plane - 7])
    assert other.pixels.constant == pytest.approx(1e-6 * one.pixels.constant, rel=1e-6)
    assert np.allclose(one.correlation, other.correlation, atol=1e-6)


def test_missing_and_saturated_pixels_are_left_out():
    plane = scene() + 12 * blurred(0.8)
    plane[:40], plane[:, -30:] = -500, 900
    plane[100, 100] = np.nan
    assert noise_covariance([plane]).pixels.constant == pytest.approx(144, rel=0.15)


def test_planes_too_small_or_without_noise():
    with pytest.raises(ImageError, match=rf"0 blocks of {BLOCK} x {BLOCK} px can be used of the 8 needed"):
        noise_covariance([np.eye(12)])
    with pytest.raises(ImageError, match="0 blocks"):
        noise_covariance([np.full((64, 64), np.nan)])
    none = noise_covariance([np.full((64, 64), 7.0)])
    assert none.pixels.constant == 0
    assert describe(none, mean=7) == "no noise: all pixels have one value"


@pytest.mark.parametrize("std", [0.6, 1.0, 1.5])
def test_what_varies_slowly_is_not_taken_for_noise(std):
    rough = np.fft.rfft2(np.random.default_rng(21).normal(size=(384, 384)))
    frequency = np.hypot(np.fft.fftfreq(384)[:, None], np.fft.rfftfreq(384)[None])
    texture = np.fft.irfft2(rough / np.maximum(frequency, 1 / 384) ** 1.5)  # falls off linearly, as shapes' does
    found = noise_covariance([blurred(std, shape=texture.shape) + 0.9 * texture / texture.std()])
    told = found.pixels.constant * found.correlation.sum()  # of what varies slowest
    assert found.reliable and told == pytest.approx((2 * std) ** 2 * np.pi, rel=0.2)

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from napari_restore.core.errors import ImageError
from napari_restore.metrics.photon_transfer import describe, photon_transfer, variance_from_residual


def signal(shape=(300, 320), top=500.0, seed=3):
    s = gaussian_filter(np.random.default_rng(seed).uniform(size=shape), 12, mode="wrap")
    return top * (0.05 + (s - s.min()) / np.ptp(s))


def camera(clean, gain, offset, read, seed=0):
    rng = np.random.default_rng(seed)
    return offset + gain * rng.poisson(clean / gain) + rng.normal(0, read, clean.shape)


CAMERAS = [(2.0, 0.0, 0.0), (3.0, 100.0, 10.0), (0.5, 50.0, 3.0)]


@pytest.mark.parametrize(("gain", "offset", "read"), CAMERAS)
def test_a_camera_is_found_from_its_image(gain, offset, read):
    clean = signal()
    found = photon_transfer([camera(clean, gain, offset, read, seed) for seed in range(2)])
    assert found.reliable
    assert found.poisson
    assert found.gain == pytest.approx(gain, rel=0.12)
    variance = gain * clean + read**2
    assert np.median(np.abs(found.variance(clean + offset) / variance - 1)) < 0.08
    assert "like photons" in describe(found)


@pytest.mark.parametrize(("gain", "offset", "read"), CAMERAS)
def test_a_camera_is_found_from_a_residual(gain, offset, read):
    clean = signal()
    found = variance_from_residual(camera(clean, gain, offset, read), clean + offset)
    assert found.reliable
    assert found.gain == pytest.approx(gain, rel=0.05)
    variance = gain * clean + read**2
    assert found.variance(clean + offset) == pytest.approx(variance, rel=0.12)
    assert np.median(np.abs(found.variance_by_curve(clean + offset) / variance - 1)) < 0.06
    assert found.constant == pytest.approx(read**2 - gain * offset, abs=5 * found.constant_error)


def test_gaussian_noise_has_no_gain():
    y = signal() + np.random.default_rng(0).normal(0, 10, (300, 320))
    for found in (photon_transfer([y]), variance_from_residual(y, signal())):
        assert found.reliable
        assert not found.poisson
        assert found.gain < 0.05
        assert found.variance(signal()) == pytest.approx(100, rel=0.06)
        assert "the same at every signal" in describe(found)


def test_standard_errors_are_what_chance_does():
    clean = signal((150, 160))
    found = [variance_from_residual(camera(clean, 2, 50, 5, seed), clean + 50) for seed in range(40)]
    gains = np.array([f.gain for f in found])
    said = np.median([f.gain_error for f in found])
    assert abs(gains.mean() - 2) < 0.05
    assert 0.6 * gains.std() < said < 2.5 * gains.std()


def test_a_stretched_and_clipped_byte_image_keeps_its_line():
    clean = signal()
    stretched = np.clip(np.rint(0.5 * camera(clean, 3, 0, 5) - 40), 0, 200).astype(np.uint8)
    assert (stretched == 0).mean() > 0.01
    assert (stretched == 200).mean() > 0.01
    found = photon_transfer([stretched])
    assert found.gain == pytest.approx(1.5, rel=0.2)
    inside = np.linspace(40, 150, 20)
    wanted = 1.5 * (inside + 40) + 0.25 * 25 + 1 / 12
    assert found.variance(inside) == pytest.approx(wanted, rel=0.15)
    by_residual = variance_from_residual(stretched, 0.5 * clean - 40)
    assert by_residual.variance(inside) == pytest.approx(wanted, rel=0.1)


def test_an_even_image_tells_its_level_and_that_its_gain_is_unknown():
    found = photon_transfer([100 + np.random.default_rng(0).normal(0, 5, (200, 200))])
    assert found.variance(100) == pytest.approx(25, rel=0.06)
    assert found.reliable
    assert not found.poisson


@pytest.mark.parametrize("std", [0.7, 1.0])
def test_correlated_noise_is_unsure(std):
    n = gaussian_filter(np.random.default_rng(0).normal(size=(300, 320)), std)
    y = signal() + 10 * n / n.std()
    for found in (photon_transfer([y]), variance_from_residual(y, signal())):
        assert not found.reliable
        assert "correlated" in found.reason
        assert "not reliable" in describe(found)


def test_texture_alone_is_unsure():
    rng = np.random.default_rng(0)
    texture = sum(40 * gaussian_filter(rng.normal(size=(200, 200)), s) for s in (0.8, 1.5, 4))
    assert not photon_transfer([texture + rng.normal(0, 1, (200, 200))]).reliable


def test_noise_that_follows_no_line_has_a_curve_and_says_so():
    clean = signal((400, 400))
    deviation = np.where(clean > 200, 20.0, 2.0)
    y = clean + deviation * np.random.default_rng(0).normal(size=clean.shape)
    found = variance_from_residual(y, clean)
    assert not found.reliable
    assert "from a line" in found.reason
    sure = np.abs(clean - 200) > 60
    assert found.variance_by_curve(clean)[sure] == pytest.approx((deviation**2)[sure], rel=0.3)


def test_falling_noise_is_unsure():
    clean = signal()
    y = clean + np.sqrt(600 - clean) * np.random.default_rng(0).normal(size=clean.shape)
    found = variance_from_residual(y, clean)
    assert found.gain == 0
    assert (found.reliable, found.reason) == (False, "the noise falls with the signal")


def test_hot_pixels_and_missing_ones_are_left_out():
    clean, rng = signal(), np.random.default_rng(1)
    y = camera(clean, 2, 100, 5)
    y[rng.random(y.shape) < 0.002] += 5000
    y[40:60, 20:90], y[3, 3] = np.nan, np.inf
    found = variance_from_residual(y, clean + 100)
    assert found.gain == pytest.approx(2, rel=0.1)
    assert found.variance(clean + 100) == pytest.approx(2 * clean + 25, rel=0.15)


@pytest.mark.parametrize(("scale", "shift"), [(7.0, 1000.0), (1e-4, 0.0)])
def test_the_line_scales_with_the_image(scale, shift):
    clean = signal()
    y = camera(clean, 2, 100, 5)
    one, other = variance_from_residual(y, clean), variance_from_residual(scale * y + shift, scale * clean + shift)
    assert other.gain == pytest.approx(scale * one.gain, rel=1e-3)
    assert other.variance(scale * clean + shift) == pytest.approx(scale**2 * one.variance(clean), rel=1e-3)


@settings(max_examples=25)
@given(
    shape=st.tuples(st.integers(8, 40), st.integers(8, 40)),
    kind=st.sampled_from(["constant", "noise", "bytes", "ramp"]),
    seed=st.integers(0, 99),
)
def test_small_images_give_numbers(shape, kind, seed):
    rng = np.random.default_rng(seed)
    plane = {
        "constant": np.full(shape, 5.0),
        "noise": rng.normal(size=shape),
        "bytes": rng.integers(0, 3, shape).astype(np.uint8),
        "ramp": np.add.outer(np.arange(shape[0]), np.arange(shape[1])),
    }[kind]
    found = [photon_transfer([plane])]
    if plane.size >= 200:
        found.append(variance_from_residual(plane, np.zeros(shape)))
    for f in found:
        assert f.gain >= 0
        assert np.isfinite(f.variance(plane)).all()
        assert np.isfinite(f.variance_by_curve(plane)).all()
        assert (f.variance(plane) >= 0).all()
        assert not math.isnan(f.spread)
        assert f.reliable == (not f.reason)
        if kind == "constant":
            assert not f.reliable


def test_what_does_not_fit_is_refused():
    with pytest.raises(ImageError, match=r"shapes \(4, 4\) and \(4, 5\) differ"):
        variance_from_residual(np.ones((4, 4)), np.ones((4, 5)))
    with pytest.raises(ImageError, match="16 finite pixels in both images, and 200 are needed"):
        variance_from_residual(np.ones((4, 4)), np.ones((4, 4)))

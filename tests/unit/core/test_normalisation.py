import numpy as np
import pytest

from napari_restore.core.normalisation import Normalisation


def samples(seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(2, 3, 17, 23)) * [[[[3.0]], [[0.1]], [[40.0]]]] + [[[[100.0]], [[0.0]], [[-7.0]]]]).astype(
        np.float32
    )


def test_normalised_samples_have_zero_mean_and_unit_deviation_in_each_channel():
    pixels = samples()
    normal = Normalisation.measure([pixels]).apply(pixels)
    assert normal.dtype == np.float32
    assert np.allclose(normal.mean((0, 2, 3)), 0, atol=1e-4)
    assert np.allclose(normal.std((0, 2, 3)), 1, atol=1e-4)


def test_samples_measured_together_count_by_their_pixels():
    pixels = samples()
    parts = [pixels[:, :, :5], pixels[:, :, 5:]]
    whole, together = Normalisation.measure([pixels]), Normalisation.measure(parts)
    assert together.mean == pytest.approx(whole.mean)
    assert together.std == pytest.approx(whole.std)


def test_a_large_offset_does_not_cost_the_deviation():
    """The mean of squares less the square of the mean, in float32, would be off by hundreds."""
    pixels = (np.random.default_rng(1).normal(size=(1, 1, 400, 400)) + 60000).astype(np.float32)
    assert Normalisation.measure([pixels]).std[0] == pytest.approx(1, abs=0.01)


def test_a_constant_channel_becomes_zero():
    pixels = samples()
    pixels[:, 1] = 1234.5
    normalisation = Normalisation.measure([pixels])
    assert normalisation.std[1] == 0
    assert (normalisation.apply(pixels)[:, 1] == 0).all()


def test_pixels_that_are_not_finite_are_not_measured():
    pixels = samples()
    wanted = Normalisation.measure([pixels[:, :, :9]])
    pixels[:, :, 9:] = np.nan
    pixels[0, :, 9] = np.inf
    assert Normalisation.measure([pixels]) == wanted


def test_a_channel_without_a_finite_pixel_counts_as_constant():
    pixels = samples()
    pixels[:, 2] = np.nan
    normalisation = Normalisation.measure([pixels])
    assert (normalisation.mean[2], normalisation.std[2]) == (0, 0)


def test_volumes_are_normalised_like_planes():
    pixels = samples()
    normalisation = Normalisation.measure([pixels])
    volume = pixels[:, :, None]
    assert np.array_equal(normalisation.apply(volume)[:, :, 0], normalisation.apply(pixels))

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_restore.core.errors import ImageError
from napari_restore.metrics.whiteness import autocorrelation, whiteness, whiteness_against


def noise(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.mark.parametrize("shape", [(4000,), (256, 256), (20, 64, 64)])
def test_white_noise_is_white(shape):
    assert whiteness(noise(shape)) < 0.1


def test_structure_is_not():
    values = [whiteness(gaussian_filter(noise((128, 128)), std)) for std in (0, 0.5, 0.7, 1, 2)]
    assert values == sorted(values)
    assert values[0] < 0.05 < 0.3 < values[1]
    y, x = np.mgrid[:64, :64]
    assert whiteness((-1.0) ** (x + y)) > 4  # every shift correlates fully, with either sign


def test_small_noise_is_not_taken_for_structure():
    assert np.mean([whiteness(noise((17, 23), seed)) for seed in range(30)]) < 0.15


def test_it_has_no_scale_and_no_offset():
    structured = gaussian_filter(noise((64, 48)), 1)
    assert whiteness(1e-9 * structured) == pytest.approx(whiteness(structured))
    assert whiteness(1e5 * structured + 7e5) == pytest.approx(whiteness(structured))


def test_pixels_that_are_not_finite_are_left_out():
    residual = gaussian_filter(noise((200, 200)), 0.7)
    wanted = whiteness(residual)
    residual[np.random.default_rng(1).random(residual.shape) < 0.2] = np.nan
    residual[5, 5] = np.inf
    assert whiteness(residual) == pytest.approx(wanted, rel=0.1)


@pytest.mark.parametrize("residual", [np.zeros((9, 9)), np.full((17, 23), 0.1), np.full((5, 5), np.nan), np.ones(1)])
def test_nothing_is_white(residual):
    assert whiteness(residual) == 0


def test_the_autocorrelation_is_that_of_its_definition():
    residual = gaussian_filter(noise((17, 23)), (1.0, 0.5))
    residual[4, 7] = np.nan
    found = autocorrelation(residual, radius=4)
    rest = residual - np.nanmean(residual)
    assert found.shape == (9, 9)
    assert found[4, 4] == 1
    assert np.allclose(found, found[::-1, ::-1])
    for dy, dx in ((0, 1), (3, 0), (2, 4), (4, -3)):
        ahead = rest[dy:, max(0, dx) : 23 + min(0, dx)]
        behind = rest[: 17 - dy, max(0, -dx) : 23 - max(0, dx)]
        assert found[4 + dy, 4 + dx] == pytest.approx(np.nanmean(ahead * behind) / np.nanmean(rest**2))


def test_shifts_longer_than_an_axis_have_no_correlation():
    found = autocorrelation(noise((1, 40)), radius=2)
    assert found.shape == (5, 5)
    assert not found[[0, 1, 3, 4]].any()
    assert np.array_equal(autocorrelation(noise((8, 8)), radius=0), [[1]])


def test_a_negative_radius_is_refused():
    with pytest.raises(ImageError, match="radius of -1 px is negative"):
        autocorrelation(noise((8, 8)), radius=-1)


def test_a_stack_has_the_mean_of_its_planes():
    image, truth = gaussian_filter(noise((3, 40, 31)), (0, 1, 1)), np.zeros((3, 40, 31))
    assert whiteness_against(image, truth) == pytest.approx(np.mean([whiteness(p) for p in image]))

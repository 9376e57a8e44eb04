import math

import numpy as np
import pytest

from napari_restore import metrics
from napari_restore.metrics.similarity import mean_squared_error, psnr, psnr_fitted, ssim


def pair(shape=(48, 64), seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 200, shape).astype(np.uint8)
    return truth + rng.normal(0, 5, shape), truth


@pytest.mark.parametrize("name", ["psnr", "psnr_fitted", "ssim"])
def test_every_row_is_a_measure_that_the_truth_wins(name):
    measure = metrics.find(name)
    image, truth = pair()
    assert measure(truth.astype(float), truth) > measure(image, truth) > measure(image[::-1], truth)


@pytest.mark.parametrize("name", ["frc", "whiteness"])
def test_the_truth_wins_where_less_is_better(name):
    measure = metrics.find(name)
    image, truth = pair()
    assert measure(truth.astype(float), truth) <= measure(image, truth) < measure(image[::-1], truth)


def test_every_row_is_tried():
    assert set(metrics.WITH_REFERENCE) == {"psnr", "psnr_fitted", "ssim", "frc", "whiteness"}


def test_an_image_like_the_truth_is_perfect():
    _, truth = pair()
    assert psnr(truth, truth) == math.inf
    assert psnr_fitted(truth / 3 + 7, truth) > 200
    assert ssim(truth.astype(float), truth) == 1


def test_unsigned_integers_do_not_wrap():
    assert mean_squared_error(np.array([[0]], np.uint8), np.array([[255]], np.uint8)) == 255**2


def test_pixels_that_are_not_finite_in_either_do_not_count():
    image, truth = pair()
    wanted = psnr(image[:, :50], truth[:, :50], data_range=200)
    truth = truth.astype(float)
    image[:, 50:60], truth[:, 60:] = np.nan, np.nan
    assert psnr(image, truth, data_range=200) == pytest.approx(wanted)


@pytest.mark.parametrize(("gain", "offset"), [(1, 0), (0.01, -3), (250, 1e4)])
def test_a_fitted_psnr_does_not_depend_on_gain_and_offset(gain, offset):
    image, truth = pair()
    assert psnr_fitted(gain * image + offset, truth) == pytest.approx(psnr_fitted(image, truth), abs=1e-6)
    assert psnr_fitted(image, truth) >= psnr(image, truth)


def test_a_constant_image_has_a_fitted_psnr():
    _, truth = pair()
    wanted = psnr(np.full(truth.shape, truth.mean()), truth)
    assert psnr_fitted(np.zeros(truth.shape), truth) == pytest.approx(wanted)


def test_a_stack_has_the_mean_of_its_planes():
    image, truth = pair((3, 24, 31))
    planes = [ssim(a, b, data_range=200) for a, b in zip(image, truth, strict=True)]
    assert ssim(image, truth, data_range=200) == pytest.approx(np.mean(planes))
    assert len(set(planes)) == 3

import math

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_restore import evaluate, metrics
from napari_restore.core.errors import ImageError
from napari_restore.metrics.resolution import frc, frc_resolution, single_image_frc, single_image_resolution


def scene(shape, std=2.0, seed=0):
    image = gaussian_filter(np.random.default_rng(seed).normal(size=shape), std, mode="wrap")
    return image / image.std()


def noisy(image, sigma=0.5, seed=1):
    return image + np.random.default_rng(seed).normal(0, sigma, image.shape)


@pytest.mark.parametrize("shape", [(17, 23), (64, 64), (5, 24, 31), (1, 32, 33)])
def test_identical_images_agree_everywhere(shape):
    image = noisy(np.zeros(shape))
    curve = frc(image, 3 * image + 10)
    assert np.allclose(curve.correlation, 1)
    assert curve.resolution == 2
    assert np.allclose(frc(image, -image).correlation, -1)


def test_what_has_nothing_in_common_has_no_resolution():
    assert frc(noisy(np.zeros((90, 100))), noisy(np.zeros((90, 100)), seed=2)).resolution > 10
    assert frc(np.zeros((20, 20)), np.zeros((20, 20))).resolution == math.inf
    assert frc(noisy(np.zeros((20, 20))), np.full((20, 20), np.nan)).resolution == math.inf


def test_the_pixel_size_scales_the_resolution():
    one, two = noisy(scene((80, 120))), noisy(scene((80, 120)), seed=2)
    pixels, units = frc(one, two), frc(one, two, pixel_size=0.25)
    assert units.resolution == pytest.approx(0.25 * pixels.resolution)
    assert units.frequency == pytest.approx(4 * pixels.frequency)
    assert pixels.frequency[-1] <= 0.5
    assert single_image_frc(one, pixel_size=0.25).resolution == pytest.approx(0.25 * single_image_frc(one).resolution)


def test_every_axis_may_have_its_own_pixel_size():
    volume = np.stack([scene((48, 48), 2)] * 16)
    one, two = noisy(volume), noisy(volume, seed=2)
    assert frc(one, two, pixel_size=(3, 1, 1)).frequency[-1] <= 0.5
    thin = frc(np.repeat(one, 2, 2), np.repeat(two, 2, 2), pixel_size=(1, 1, 0.5))
    assert thin.frequency[-1] > 0.9


def test_pixels_that_are_not_finite_are_filled():
    one, two = noisy(scene((64, 64))), noisy(scene((64, 64)), seed=2)
    wanted = frc(one, two).resolution
    one[3, 5], two[40, 40:43] = np.nan, np.inf
    assert frc(one, two).resolution == pytest.approx(wanted, rel=0.1)
    assert math.isfinite(single_image_frc(one).resolution)


@pytest.mark.parametrize("std", [1.5, 2.0, 3.0])
def test_one_image_tells_about_what_two_do(std):
    """Within a quarter: theirs are different noise, and four times fewer frequencies."""
    one, two = (noisy(scene((256, 240), std), 1.0, seed) for seed in (1, 2))
    assert single_image_frc(one).resolution == pytest.approx(max(4.0, frc(one, two).resolution), rel=0.25)


def test_a_sharp_image_ends_at_four_pixels():
    assert single_image_frc(scene((64, 65), 2)).resolution == 4


def test_more_noise_or_blur_is_worse():
    image = scene((128, 128))
    assert frc_resolution(noisy(image, 0.2), image) < frc_resolution(noisy(image, 2), image)
    assert single_image_resolution(noisy(image, 0.5)) < single_image_resolution(noisy(gaussian_filter(image, 4), 0.1))


def test_a_stack_has_the_median_of_its_planes():
    image = np.stack([scene((40, 50), seed=i) for i in range(3)])
    other = noisy(image)
    planes = [frc(a, b).resolution for a, b in zip(other, image, strict=True)]
    assert frc_resolution(other, image) == np.median(planes)
    assert single_image_resolution(other) == np.median([single_image_frc(p).resolution for p in other])


@pytest.mark.parametrize(
    ("one", "two", "said"),
    [
        (np.zeros((20, 20)), np.zeros((20, 21)), "Give the same shape"),
        (np.zeros((15, 20)), np.zeros((15, 20)), "Give 16 x 16 px or more"),
        (np.zeros(20), np.zeros(20), "1 axes"),
    ],
)
def test_unfit_images_are_refused(one, two, said):
    with pytest.raises(ImageError, match=said):
        frc(one, two)


def test_an_unfit_pixel_size_or_volume_is_refused():
    with pytest.raises(ImageError, match="must be positive"):
        frc(np.zeros((20, 20)), np.zeros((20, 20)), pixel_size=0)
    with pytest.raises(ImageError, match="is no plane"):
        single_image_frc(np.zeros((20, 20, 20)))


def test_all_rows_are_found():
    image = noisy(scene((32, 40)))
    for name in metrics.ALONE:
        assert math.isfinite(metrics.find(name)(image))
    with pytest.raises(KeyError):
        metrics.find("beauty")


def test_evaluate_leaves_out_what_an_image_is_too_small_for_unless_asked():
    small, large = noisy(np.zeros((12, 15))), noisy(scene((2, 40, 50)))
    assert set(evaluate(small)) == {"noise_sigma"}
    assert set(evaluate(small, small)) == {"noise_sigma", "psnr", "psnr_fitted", "ssim", "whiteness"}
    assert set(evaluate(large)) == {"noise_sigma", *metrics.ALONE}
    assert set(evaluate(large, large)) == {"noise_sigma", *metrics.ALONE, *metrics.WITH_REFERENCE}
    for name in ("resolution", "frc"):
        with pytest.raises(ImageError, match="Give 16 x 16 px"):
            evaluate(small, small, measures=[name])


def test_evaluate_measures_planes_whatever_the_order_of_the_axes():
    image = noisy(scene((3, 40, 50)))
    truth = scene((3, 40, 50))
    wanted = evaluate(image, truth, axes="ZYX")
    assert evaluate(image.transpose(2, 0, 1), truth.transpose(2, 0, 1), axes="XZY") == pytest.approx(wanted)

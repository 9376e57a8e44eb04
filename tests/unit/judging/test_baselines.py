"""Classical restorations, on a photograph that was blurred or coarsened here."""

import numpy as np
import pytest
import torch
from skimage.data import camera
from skimage.restoration import richardson_lucy as skimage_richardson_lucy

from napari_restore.core.errors import RestoreError
from napari_restore.judging.baselines import (
    BASELINES,
    baselines_for,
    discrepancy,
    forward,
    interpolated,
    richardson_lucy,
    total_variation,
    weight_by_discrepancy,
    wiener,
)
from napari_restore.metrics.similarity import psnr
from napari_restore.operators import inverse
from napari_restore.operators.blur import Blur
from napari_restore.operators.combine import Composed, Identity
from napari_restore.operators.downsample import Downsample
from napari_restore.operators.psf import gaussian

SIGMA = 5.0


@pytest.fixture(scope="module")
def truth():
    return camera()[100:228, 180:308].astype(np.float32)


def measured(operator, x, *, sigma=SIGMA, seed=0):
    clean = forward(operator, x)
    return clean + sigma * np.random.default_rng(seed).standard_normal(clean.shape, dtype=np.float32)


def inner(x, width=16):
    return x[(slice(width, -width),) * x.ndim]


@pytest.mark.parametrize(("name", "least"), [("wiener", 0.5), ("richardson_lucy", 0.5), ("total_variation", 0.8)])
def test_each_is_nearer_to_the_truth_than_the_blurred_image(truth, name, least):
    psf = gaussian(2)
    operator = Blur(psf)
    y = measured(operator, truth)
    restored = BASELINES[name].restore(y, operator, sigma=SIGMA, psf=psf)
    assert restored.dtype == np.float32
    gain = psnr(inner(restored), inner(truth), data_range=255) - psnr(inner(y), inner(truth), data_range=255)
    assert gain > least


@pytest.mark.parametrize("name", ["wiener", "richardson_lucy", "total_variation"])
def test_borders_are_neither_dark_nor_circular(name):
    psf = gaussian(2)
    y = np.tile(np.linspace(50, 150, 48, dtype=np.float32), (40, 1))
    restored = BASELINES[name].restore(y, Blur(psf), sigma=1.0, psf=psf)
    assert np.abs(restored - y).max() < 12
    assert np.abs(restored.mean(0) - y.mean(0))[8:-8].max() < 2


def test_wiener_is_the_filter_for_the_blur_and_the_noise(truth):
    psf = gaussian(1.5)
    y = measured(Blur(psf), truth)
    kernel = inverse.wiener(psf, SIGMA / float(y.std()))
    padded = np.pad(y.astype(np.float64), kernel.shape[0] // 2, mode="reflect")
    size = [n + k - 1 for n, k in zip(padded.shape, kernel.shape, strict=True)]
    whole = np.fft.irfft2(np.fft.rfft2(padded, size) * np.fft.rfft2(kernel, size), size)
    expected = whole[tuple(slice(k - 1, k - 1 + n) for k, n in zip(kernel.shape, y.shape, strict=True))]
    assert np.allclose(wiener(y, Blur(psf), sigma=SIGMA, psf=psf), expected, atol=0.02)


def test_richardson_lucy_is_that_of_scikit_image_away_from_the_border(truth):
    psf = gaussian(1.5)
    y = measured(Blur(psf), truth).clip(1)
    ours = richardson_lucy(y, Blur(psf), sigma=SIGMA, iterations=4)
    # The operator folds back what the padding only imitates, which shows near the border.
    theirs = skimage_richardson_lucy(np.pad(y, 64, mode="reflect"), psf, num_iter=4, clip=False)[64:-64, 64:-64]
    assert np.allclose(inner(ours, 30), inner(theirs, 30), atol=0.01)


def test_richardson_lucy_keeps_flux_and_stays_above_the_least_pixel(truth):
    operator = Blur(gaussian(2))
    y = measured(operator, truth).clip(0)
    restored = richardson_lucy(y, operator, sigma=SIGMA, iterations=20)
    assert restored.min() >= 0
    assert restored.sum() == pytest.approx(y.sum(), rel=1e-4)


def test_images_with_negative_pixels_are_lifted(truth):
    operator = Blur(gaussian(2))
    y = measured(operator, truth)
    low = y - y.min() - 1000
    assert np.allclose(
        richardson_lucy(low, operator, sigma=SIGMA, iterations=5) + 1000,
        richardson_lucy(y - y.min(), operator, sigma=SIGMA, iterations=5),
        atol=0.05,
    )


@pytest.mark.parametrize(
    "operator",
    [
        Blur(gaussian(2)),
        Downsample((2, 2)),
        Composed(Blur(gaussian(1)), Downsample((2, 2), sampling="area")),
        Identity(2),
    ],
    ids=["blur", "coarse", "both", "noise only"],
)
def test_total_variation_leaves_a_residual_as_large_as_the_noise(truth, operator):
    y = measured(operator, truth)
    restored = total_variation(y, operator, sigma=SIGMA)
    assert discrepancy(y - forward(operator, restored), operator) == pytest.approx(SIGMA, rel=0.03)


def test_richardson_lucy_stops_where_the_residual_is_that_of_the_noise(truth):
    operator = Blur(gaussian(2))
    y = measured(operator, truth)
    chosen = BASELINES["richardson_lucy"].settle(y, operator, sigma=SIGMA)["iterations"]
    assert 1 < chosen < 100

    def left(iterations):
        restored = richardson_lucy(y, operator, sigma=SIGMA, iterations=iterations)
        return discrepancy(y - forward(operator, restored), operator)

    assert left(chosen) <= SIGMA < left(chosen - 1)


@pytest.mark.parametrize("name", list(BASELINES))
def test_the_settings_a_baseline_chooses_give_what_it_gives_alone(truth, name):
    psf = gaussian(2)
    operator = Blur(psf)
    y = measured(operator, truth[:64, :64])
    baseline = BASELINES[name]
    settled = baseline.settle(y, operator, sigma=SIGMA)
    alone = baseline.restore(y, operator, sigma=SIGMA, psf=psf)
    assert np.array_equal(baseline.restore(y, operator, sigma=SIGMA, psf=psf, **settled), alone)


def test_a_heavier_weight_is_smoother_and_none_is_least_squares(truth):
    operator = Identity(2)
    y = measured(operator, truth[:64, :64])

    def variation(x):
        return np.abs(np.diff(x, axis=0)).sum() + np.abs(np.diff(x, axis=1)).sum()

    smooth = [variation(total_variation(y, operator, sigma=SIGMA, weight=w)) for w in (0, 2, 8)]
    assert smooth[0] > smooth[1] > smooth[2]
    assert np.allclose(total_variation(y, operator, sigma=SIGMA, weight=0), y, atol=1e-3)


def test_total_variation_twice_as_bright_is_twice_as_bright(truth):
    operator = Blur(gaussian(1.5))
    y = measured(operator, truth[:64, :64])
    one, two = (total_variation(k * y, operator, sigma=k * SIGMA) for k in (1, 2))
    assert np.allclose(2 * one, two, atol=0.5)


def test_coarse_images_come_out_finer_and_nearer_to_the_truth(truth):
    operator = Downsample((2, 2))
    y = measured(operator, truth)
    restored = {name: b.restore(y, operator, sigma=SIGMA) for name, b in BASELINES.items()}
    assert all(x.shape == truth.shape for x in restored.values())
    nearness = {name: psnr(inner(x), inner(truth), data_range=255) for name, x in restored.items()}
    assert nearness["total_variation"] > nearness["bicubic"] + 0.3


def test_point_samples_lie_on_the_first_of_their_pixels(truth):
    operator = Downsample((2, 2), sampling="point")
    y = forward(operator, truth)
    fine = interpolated(y, operator, centred=(False, False))
    assert np.allclose(fine[::2, ::2], y, atol=1e-3)
    # Fine pixels that no sample sees are the interpolation's, not what the update was started from.
    updated = richardson_lucy(y, operator, sigma=SIGMA, centred=(False, False), iterations=3)
    assert np.allclose(updated, fine.clip(0), atol=0.1)


def test_an_odd_image_and_a_small_volume():
    rng = np.random.default_rng(0)
    odd = rng.normal(100, 10, (17, 23)).astype(np.float32)
    volume = rng.normal(100, 10, (5, 12, 11)).astype(np.float32)
    measured_by = [
        (odd, Blur(gaussian(1)), gaussian(1)),
        (odd, Downsample((3, 2)), None),
        (volume, Blur(gaussian((0.5, 1, 1), ndim=3)), gaussian((0.5, 1, 1), ndim=3)),
        (volume, Downsample((2, 1, 1), sampling="point"), None),
    ]
    for y, operator, psf in measured_by:
        seen = forward(operator, interpolated(y, operator))
        for baseline in BASELINES.values():
            restored = baseline.restore(seen, operator, sigma=1.0, psf=psf)
            assert restored.shape == tuple(n * r for n, r in zip(y.shape, operator.rate, strict=True))
            assert np.isfinite(restored).all()


def test_operators_can_still_be_trained_through_afterwards():
    operator = Blur(gaussian(1))
    y = np.ones((16, 16), np.float32)
    total_variation(y, operator, sigma=1.0)
    x = torch.ones(1, 1, 16, 16, requires_grad=True)
    operator(x).sum().backward()
    assert x.grad is not None


def test_what_cannot_be_restored_is_refused_in_words():
    y = np.ones((8, 8), np.float32)
    with pytest.raises(RestoreError, match="3 axes for an operator along 2"):
        interpolated(y[None], Identity(2))
    with pytest.raises(RestoreError, match="deviation -1: give a number of 0 or more"):
        weight_by_discrepancy(y, Identity(2), sigma=-1)
    with pytest.raises(RestoreError, match="not finite: fill them first"):
        wiener(np.full((8, 8), np.nan, np.float32), Identity(2), sigma=1)


def test_richardson_lucy_without_a_blur_is_an_interpolation_and_has_no_row(truth):
    operator = Downsample((2, 2))
    y = measured(operator, truth)
    chosen = BASELINES["richardson_lucy"].settle(y, operator, sigma=SIGMA)
    interpolation, updated = (
        psnr(inner(x), inner(truth), data_range=255)
        for x in (interpolated(y, operator), richardson_lucy(y, operator, sigma=SIGMA, **chosen))
    )
    assert abs(updated - interpolation) < 0.05
    assert list(baselines_for(gaussian(2))) == list(BASELINES)
    assert list(baselines_for(None)) == [name for name in BASELINES if name != "richardson_lucy"]


def test_every_baseline_names_its_source():
    for baseline in BASELINES.values():
        assert "doi:" in baseline.citation or "MIT Press" in baseline.citation
        assert baseline.label[0].isupper()

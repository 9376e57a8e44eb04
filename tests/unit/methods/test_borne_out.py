"""What pixels bear out of a prediction is kept, and what is chance is not; a tile is told the same as the whole."""

from __future__ import annotations

import pytest
import torch

from napari_restore.methods.borne_out import REACH, STEP, borne_out

SHAPE = (157, 203)


def noise_of(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def waves(shape: tuple[int, ...], height: float) -> torch.Tensor:
    y, x = (torch.arange(n, dtype=torch.float32) for n in shape[-2:])
    return height * (torch.sin(y / 3)[:, None] * torch.sin(x / 3)).expand(shape)


def told(measured: torch.Tensor, predicted: torch.Tensor, variance: float = 0.1) -> tuple[torch.Tensor, torch.Tensor]:
    return borne_out(measured, predicted, torch.full_like(predicted, variance), torch.ones_like(predicted))


def test_waves_that_the_pixels_do_not_follow_are_left_out():
    mean, variance = told(noise_of(SHAPE, 0), waves(SHAPE, 0.2))
    assert mean.std() < waves(SHAPE, 0.2).std() / 3
    assert variance.mean() < 0.09


def test_waves_that_are_in_the_pixels_are_kept():
    truth = waves(SHAPE, 1.0)
    mean, _ = told(truth + noise_of(SHAPE, 0), truth)
    torch.testing.assert_close(mean, truth, atol=0.02, rtol=0)


def test_detail_is_kept_where_it_is_in_the_pixels_alone():
    predicted, measured = waves((200, 400), 0.5), noise_of((200, 400), 1)
    measured[:, :200] += predicted[:, :200]
    mean, _ = told(measured, predicted)
    inner = slice(70, 130)
    assert mean[inner, 50:120].std() > 0.9 * predicted[inner, 50:120].std()
    assert mean[inner, 280:350].std() < 0.3 * predicted[inner, 280:350].std()


def test_a_variance_is_believed_where_pixels_differ_by_more_than_noise():
    _, variance = told(1.5 * noise_of(SHAPE, 2), torch.zeros(SHAPE), variance=1.0)
    assert variance.min() > 0.99
    _, variance = told(noise_of(SHAPE, 2), torch.zeros(SHAPE), variance=1.0)
    assert variance.mean() < 0.1


@pytest.mark.parametrize("shape", [(16, 16), (17, 41), (3, 1, 5, 33, 18)])
def test_every_shape_comes_back_finite_and_flat_stays_flat(shape):
    for each in told(noise_of(shape, 3), torch.full(shape, 2.0)):
        assert each.shape == shape
        assert each.isfinite().all()
    mean, _ = told(noise_of(shape, 3), torch.full(shape, 2.0))
    torch.testing.assert_close(mean, torch.full(shape, 2.0))


def test_what_was_not_measured_bears_no_witness():
    measured, predicted = noise_of(SHAPE, 4), waves(SHAPE, 0.3)
    measured[40:70, 60:120] = 0
    other = predicted.clone()
    other[45:65, 65:115] = 9
    means = [told(measured, each)[0] for each in (predicted, other)]
    outside = torch.ones(SHAPE, dtype=torch.bool)
    outside[40:70, 60:120] = False
    torch.testing.assert_close(means[0][outside], means[1][outside])


def test_where_nothing_was_measured_all_is_finite():
    for each in told(torch.zeros(SHAPE), waves(SHAPE, 0.3)):
        assert each.isfinite().all()


@pytest.mark.parametrize("corner", [(0, 0), (4, 8), (60, 96)])
def test_a_tile_is_told_the_same_as_the_whole(corner):
    shape = (2 * REACH + 80, 2 * REACH + 121)
    whole = told(noise_of(shape, 5) + waves(shape, 0.4), waves(shape, 0.5))
    top, left = corner
    assert top % STEP == left % STEP == 0
    tile = slice(top, top + 2 * REACH + 17), slice(left, left + 2 * REACH + 23)
    part = told((noise_of(shape, 5) + waves(shape, 0.4))[tile], waves(shape, 0.5)[tile])
    inner = slice(REACH, REACH + 17), slice(REACH, REACH + 23)
    for a, b in zip(whole, part, strict=True):
        torch.testing.assert_close(a[tile][inner], b[inner], atol=1e-5, rtol=1e-5)

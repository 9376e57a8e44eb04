"""Transforms keep what they promise to keep, for shapes of any kind."""

from __future__ import annotations

import math

import pytest
import torch

from napari_restore.operators.transform import PaperScale, Rotate, Scale, Shift, resampling_matrix


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("size", [(17, 23), (5, 17, 23)])
def test_scaling_by_one_is_the_identity(size):
    x = torch.rand(2, 3, *size, generator=seeded())
    torch.testing.assert_close(Scale((1.0,), (1,) * len(size))(x, seeded(1)), x, atol=1e-6, rtol=0)


@pytest.mark.parametrize("factor", [0.75, 0.6, 0.5, 0.33])
@pytest.mark.parametrize(("size", "multiple"), [((37, 53), (4, 4)), ((9, 37, 26), (1, 4, 2))])
def test_constants_stay_and_lengths_are_multiples(factor, size, multiple):
    for seed in range(10):
        small = Scale((factor,), multiple)(torch.full((1, 1, *size), 3.5), seeded(seed))
        assert all(n % m == 0 and 0 < n <= s * factor for n, m, s in zip(small.shape[2:], multiple, size, strict=True))
        torch.testing.assert_close(small, torch.full_like(small, 3.5), atol=1e-5, rtol=0)


def test_a_wave_below_the_new_limit_stays_and_one_above_vanishes():
    n, count = 128, 64
    place = torch.arange(n).double()
    coarse = (torch.arange(count).double() + 0.5) / 0.5 - 0.5
    matrix = resampling_matrix(n, count, factor=0.5).double()
    inside = slice(6, -6)
    slow, fast = 0.04, 0.45
    kept = matrix @ torch.cos(2 * math.pi * slow * place)
    torch.testing.assert_close(kept[inside], torch.cos(2 * math.pi * slow * coarse)[inside], atol=0.03, rtol=0)
    assert (matrix @ torch.cos(2 * math.pi * fast * place))[inside].abs().max() < 0.05


def test_every_pixel_is_used_and_every_row_is_a_mean():
    used = torch.zeros(40)
    for seed in range(200):
        x = torch.zeros(1, 1, 40, 40, requires_grad=True)
        Scale((0.75, 0.5), (8, 8))(x, seeded(seed)).sum().backward()
        used += x.grad[0, 0].abs().sum(0) > 1e-3
    assert (used > 0).all()
    rows = resampling_matrix(23, 11, factor=0.5, start=0.3).sum(1)
    torch.testing.assert_close(rows, torch.ones(11))


def test_both_factors_are_drawn_and_a_seed_fixes_them():
    x = torch.rand(1, 1, 64, 64, generator=seeded())
    sizes = {tuple(Scale((0.75, 0.5), (4, 4))(x, seeded(k)).shape[2:]) for k in range(20)}
    assert sizes == {(48, 48), (32, 32)}
    assert torch.equal(Scale()(x, seeded(5)), Scale()(x, seeded(5)))


def test_the_papers_grid_keeps_the_size_and_scrambles_what_is_not_square():
    square = torch.arange(32.0).expand(1, 1, 32, 32).contiguous()
    scaled = PaperScale((0.5,))(square, seeded())
    assert scaled.shape == square.shape
    # A ramp along X becomes one that rises, or where it is mirrored falls, by two a pixel.
    steps = scaled[0, 0, 16].diff().abs()
    assert (steps - 2).abs().median() < 0.12
    # On a wide image the grid's axes are exchanged, as in the authors' code: the result is a tall one.
    assert PaperScale((0.5,))(torch.zeros(1, 1, 24, 48), seeded()).shape == (1, 1, 24, 48)


def test_a_shift_only_moves_pixels():
    x = torch.rand(1, 2, 17, 23, generator=seeded())
    moved = Shift()(x, seeded(3))
    assert not torch.equal(moved, x)
    assert torch.equal(moved.flatten(2).sort(-1).values, x.flatten(2).sort(-1).values)


@pytest.mark.parametrize("size", [(33, 33), (25, 41), (3, 25, 41)])
def test_what_is_round_stays_when_it_is_turned(size):
    y, x = (torch.arange(n).float() - (n - 1) / 2 for n in size[-2:])
    disc = torch.exp(-(y[:, None] ** 2 + x**2) / 30).expand(2, 1, *size).contiguous()
    for seed in range(3):
        turned = Rotate()(disc, seeded(seed))
        # Farther out than the shorter side reaches, the mirrored image comes in.
        middle = (..., slice(size[-1] // 2 - 8, size[-1] // 2 + 9))
        torch.testing.assert_close(turned[middle], disc[middle], atol=0.03, rtol=0)
    bar = torch.zeros(1, 1, *size)
    bar[..., size[-2] // 2, :] = 1
    assert (Rotate()(bar, seeded(4)) - bar).abs().max() > 0.3

"""Gain, offset, shift and likeness of two noisy pictures are those they were made with."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, shift

from napari_restore.metrics.matching import line_between, move_between, moved_by_planes


def scene(shape, *, seed=0, high=800.0):
    """Blobs of a few pixels on dark ground, from 100 on."""
    rng = np.random.default_rng(seed)
    points = (rng.random(shape) > 0.99) * rng.random(shape)
    picture = gaussian_filter(points, 2) + 0.3 * gaussian_filter(points, 6)
    return 100 + high * picture / picture.max()


def seen(clean, seed):
    return np.random.default_rng(seed).poisson(np.maximum(clean, 0)).astype(float)


@settings(max_examples=15, deadline=None)
@given(
    st.tuples(st.integers(61, 160), st.integers(61, 160)),
    st.floats(0.05, 8),
    st.floats(-50, 500),
    st.integers(0, 99),
)
def test_the_line_is_found_within_its_error_though_both_are_noisy(shape, gain, offset, seed):
    clean = scene(shape, seed=seed)
    line = line_between([seen(clean, 1)], [seen(gain * clean, 2) + offset])
    assert abs(line.gain - gain) < 5 * line.gain_error + 1e-3 * gain
    assert line.gain_error < 0.12 * gain
    assert line.likeness > 0.95 and line.seen and line.differing == 0


def test_a_regression_would_find_too_small_a_gain_where_this_does_not():
    clean = scene((160, 160), high=30)
    first, second = seen(clean, 1), seen(clean, 2)
    assert np.polyfit(first.ravel(), second.ravel(), 1)[0] < 0.4
    assert line_between([first], [second]).gain == pytest.approx(1, abs=0.12)


def test_a_flat_pair_has_a_step_and_no_gain():
    line = line_between([seen(np.full((96, 96), 100.0), 1)], [seen(np.full((96, 96), 60.0), 2)])
    assert line.gain == 1 and line.step == pytest.approx(-40, abs=1) and np.isnan(line.likeness) and line.seen


def test_a_part_that_differs_neither_bends_the_line_nor_is_overlooked():
    clean = scene((160, 160))
    other = clean.copy()
    other[:80, :80] = scene((80, 80), seed=7)
    line = line_between([seen(clean, 1)], [seen(0.5 * other, 2)])
    assert line.gain == pytest.approx(0.5, abs=0.02)
    assert 0.08 < line.differing <= 0.25


def test_another_scene_is_unlike_and_noise_alone_is_not_seen():
    first = seen(scene((160, 160)), 1)
    assert abs(line_between([first], [seen(scene((160, 160), seed=9), 2)]).likeness) < 0.3
    assert not line_between([first], [seen(np.full((160, 160), 100.0), 2)]).seen


def test_pixels_that_are_not_finite_do_not_count():
    clean = scene((96, 96))
    first, second = seen(clean, 1), seen(0.5 * clean, 2)
    second[:30] = np.nan
    assert line_between([first], [second]).gain == pytest.approx(0.5, abs=0.02)
    assert line_between([first], [np.full_like(second, np.nan)]) is None
    assert move_between(first, np.full_like(second, np.nan)) is None


@settings(max_examples=10, deadline=None)
@given(st.floats(-9, 9), st.floats(-9, 9), st.integers(0, 99))
def test_a_move_is_found_to_a_part_of_a_pixel_at_any_brightness(y, x, seed):
    wide = scene((170, 150), seed=seed)
    moved = shift(wide, (y, x), order=5)
    inner = (slice(20, -20),) * 2
    move = move_between(seen(wide[inner], 1), seen(0.5 * moved[inner], 2) + 40)
    np.testing.assert_allclose(move.by, (y, x), atol=0.15)
    assert max(move.error) < 0.1


def test_the_error_of_a_move_is_that_of_many():
    clean = scene((96, 96), high=60)
    moves = [move_between(seen(clean, k), seen(clean, 100 + k)) for k in range(12)]
    found = np.sqrt(np.mean([np.square(move.by) for move in moves]))
    told = np.mean([move.error for move in moves])
    assert found < 1.5 * told < 6 * found


def test_two_of_noise_or_of_two_scenes_tell_no_move():
    flat = np.full((96, 96), 100.0)
    assert move_between(seen(flat, 1), seen(flat, 2)) is None
    assert move_between(seen(scene((160, 160)), 1), seen(scene((160, 160), seed=9), 2)) is None


def test_on_a_ramp_noise_is_not_taken_for_a_move():
    """Uneven light: the correlation hardly falls, and had its highest place elsewhere in 32 of 60."""
    y, x = np.mgrid[:160, :240]
    ramp = 0.6 * y + 30 * np.sin(x / 40)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        move = move_between(*(ramp + rng.normal(0, 40, ramp.shape) for _ in range(2)))
        assert move is None or all(abs(by) - 3 * error <= 0.3 for by, error in zip(move.by, move.error, strict=True))


@pytest.mark.parametrize("planes", [-2, -1, 0, 1, 2])
def test_planes_that_have_moved_are_told_from_those_that_have_not(planes):
    ends = scene((96, 96)), scene((96, 96), seed=5)
    stack = [w * ends[0] + (1 - w) * ends[1] for w in np.linspace(0, 1, 9)]
    first = tuple(seen(stack[4 + k], k) for k in (0, 1))
    second = tuple(seen(0.6 * stack[4 - planes + k], 10 + k) for k in (0, 1))
    assert moved_by_planes(first, second) == np.sign(planes)

"""Patches that look alike restore each other: as the formula says it, alike from tile to tile, and never made up."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from napari_restore.methods.similar_patches import (
    QUICK,
    RADIUS,
    REACH,
    SIDE,
    THOROUGH,
    by_similar_patches,
    correlation_in_a_patch,
)


def drawn(seed, *shape):
    rng = np.random.default_rng(seed)
    clean = np.cumsum(rng.normal(size=shape), -1) / 4
    noisy = clean + 0.5 * rng.normal(size=shape)
    return (torch.from_numpy(each.astype(np.float32)) for each in (noisy, clean + 0.1 * rng.normal(size=shape)))


def constant(variance):
    return lambda signal: torch.full_like(signal, variance)


def growing(signal):
    return 0.2 + 0.05 * (signal + 5).clamp(0, 10)


def plainly(measured, restored, variance, spread, groups):
    """One patch after the other, in numpy and double precision."""
    step = groups.step
    after = [step + (SIDE - n) % step for n in measured.shape]
    y, x = (np.pad(each, [(step, a) for a in after], mode="reflect").astype(float) for each in (measured, restored))
    windows, seen = (sliding_window_view(each, (SIDE, SIDE)) for each in (x, y))
    total, count = np.zeros_like(x), np.zeros_like(x)
    rows, columns = windows.shape[:2]
    for r in range(0, rows, step):
        for c in range(0, columns, step):
            inside = [range(max(0, at - REACH), min(n, at + REACH + 1)) for at, n in ((r, rows), (c, columns))]
            places = [(a, b) for a in inside[0] for b in inside[1]]
            far = np.array([np.square(windows[p] - windows[r, c]).mean() / variance for p in places])
            nearest = np.argsort(far, kind="stable")[: groups.alike]
            weight = np.exp(-far[nearest] / spread)
            known = np.array([windows[places[k]].ravel() for k in nearest])
            mean = np.average(known, axis=0, weights=weight)
            signal = np.cov(known.T, aweights=weight, bias=True)
            wiener = signal @ np.linalg.inv(signal + variance * np.eye(SIDE**2))
            for k, w in zip(nearest, weight, strict=True):
                a, b = places[k]
                filtered = mean + wiener @ (seen[a, b].ravel() - mean)
                total[a : a + SIDE, b : b + SIDE] += w * filtered.reshape(SIDE, SIDE)
                count[a : a + SIDE, b : b + SIDE] += w
    return (total / count)[step : -after[0], step : -after[1]]


@pytest.mark.parametrize(
    ("shape", "groups"),
    [
        ((16, 23), THOROUGH),
        ((21, 18), THOROUGH),
        ((30, 40), QUICK),  # in smaller ones a patch amid what is mirrored is as far from both of a pair
        ((35, 27), QUICK),
    ],
)
def test_as_the_formula_says_it(shape, groups):
    measured, restored = drawn(3, *shape)
    found = by_similar_patches(measured, restored, constant(0.25), alike_in=2 * restored, spread=0.7, groups=groups)
    assert np.allclose(found, plainly(measured.numpy(), restored.numpy(), 0.25, 0.7, groups), atol=2e-4)


@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 99), st.sampled_from([THOROUGH, QUICK]))
@settings(max_examples=12, deadline=None)
def test_a_part_is_restored_as_in_the_whole(down, right, seed, groups):
    measured, restored = drawn(seed, 83, 91)
    how = {"spread": 0.3, "groups": groups}
    whole = by_similar_patches(measured, restored, growing, alike_in=2 * restored, **how)
    part = (slice(groups.step * down, 83), slice(groups.step * right, 90))
    alone = by_similar_patches(measured[part], restored[part], growing, alike_in=2 * restored[part], **how)
    inner = (slice(RADIUS, -RADIUS), slice(RADIUS, -RADIUS))
    assert torch.allclose(alone[inner], whole[part][inner], atol=1e-5)


@given(st.integers(0, 40), st.integers(0, 30))
@settings(max_examples=12, deadline=None)
def test_what_is_asked_for_does_not_depend_on_what_is_not(down, right):
    measured, restored = drawn(13, 83, 71)
    whole, part = (
        by_similar_patches(measured, restored, growing, alike_in=2 * restored, spread=0.3, unread=unread)
        for unread in ((0, 0), (down, right))
    )
    inner = (slice(down, 83 - down), slice(right, 71 - right))
    assert torch.allclose(part[inner], whole[inner], atol=1e-5) and part.isfinite().all()


def test_planes_are_restored_each_by_itself():
    measured, restored = drawn(5, 2, 3, 17, 20)
    found = by_similar_patches(measured, restored, constant(0.25), alike_in=restored, spread=0.5)
    alone = by_similar_patches(measured[1, 2], restored[1, 2], constant(0.25), alike_in=restored[1, 2], spread=0.5)
    assert found.shape == restored.shape and torch.allclose(found[1, 2], alone, atol=1e-6)


def test_what_nothing_resembles_stays_as_it_is_restored():
    measured, restored = drawn(7, 30, 33)
    assert torch.allclose(
        by_similar_patches(measured, restored, constant(0.25), alike_in=restored, spread=1e-6), restored, atol=1e-5
    )


def test_so_does_what_is_no_nearer_than_what_lies_outside():
    """Differences from 1000 deviations of the noise on count alike, and beyond the border nothing may be read."""
    measured, restored = drawn(7, 30, 33)
    found = by_similar_patches(measured, restored, constant(0.25), alike_in=1e7 * restored, spread=1.0)
    assert torch.allclose(found, restored, atol=1e-5)


def test_what_is_no_number_stays_where_it_is():
    """As of a channel without noise, in units of that: it once ended with an index out of range."""
    measured, restored = drawn(7, 30, 43)
    broken = restored.clone()
    broken[:, 0] = torch.nan
    whole, found = (
        by_similar_patches(measured, restored, constant(0.25), alike_in=alike, spread=1.0)
        for alike in (restored, broken)
    )
    assert torch.allclose(found[:, RADIUS:], whole[:, RADIUS:], atol=1e-5)


def test_without_noise_the_image_comes_back():
    measured, restored = drawn(9, 30, 33)
    found = by_similar_patches(measured, restored, constant(1e-9), alike_in=restored, spread=100.0)
    assert torch.allclose(found, measured, atol=2e-3)


@pytest.mark.parametrize("level", [0.0, 1e3])
def test_an_even_image_stays_even(level):
    even = torch.full((20, 24), level)
    found = by_similar_patches(even, even, constant(1e-8), alike_in=even, spread=1e-3)
    assert torch.allclose(found, even)


def test_what_comes_again_is_restored_by_what_it_resembles():
    rng = np.random.default_rng(11)
    clean = np.tile(rng.normal(size=(6, 6)), (8, 8)).astype(np.float32)
    noisy = clean + 0.5 * rng.normal(size=clean.shape).astype(np.float32)
    once = torch.from_numpy(clean + 0.3 * rng.normal(size=clean.shape).astype(np.float32))  # errors that do not repeat
    found = by_similar_patches(torch.from_numpy(noisy), once, constant(0.25), alike_in=2 * once, spread=1.0).numpy()
    assert np.square(found - clean).mean() < 0.4 * np.square(once.numpy() - clean).mean()


@pytest.mark.parametrize("shape", [(150, 133), (3, 40, 41)])
@pytest.mark.parametrize("correlated", [False, True])
def test_it_has_the_same_bits_however_many_threads_there_are(shape, correlated):
    """Strips of a large plane are made side by side, and small planes by one thread."""
    noisy, restored = drawn(5, *shape)
    correlation = correlation_in_a_patch(np.array([[0.1, 0.3, 0.1], [0.3, 1, 0.3], [0.1, 0.3, 0.1]]))
    before, made = torch.get_num_threads(), []
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        try:
            with torch.inference_mode():
                made.append(
                    by_similar_patches(
                        noisy,
                        restored,
                        constant(0.25),
                        alike_in=restored / 0.5,
                        spread=0.5,
                        correlation=correlation if correlated else None,
                    )
                )
            assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(before)
    assert all(torch.equal(made[0], each) for each in made)

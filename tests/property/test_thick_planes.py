"""Thick planes: the operator of a slice profile, and what brings finer planes into line with measured ones."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from napari_restore.operators.downsample import sampling_taps
from napari_restore.operators.thick_planes import FWHM, ThickPlanes, profile_taps

FACTORS = st.integers(2, 8)
WIDTHS = st.one_of(st.just(0.0), st.floats(0.1, 2))
PROFILES = st.sampled_from(["box", "gaussian"])
SIZES = st.tuples(st.integers(1, 9), st.integers(1, 7))


def normal(shape, seed):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@given(FACTORS, WIDTHS, PROFILES, SIZES, st.integers(0, 99))
def test_its_adjoint_and_what_it_makes_of_constants(factor, thickness, profile, size, seed):
    operator = ThickPlanes(factor, thickness=thickness, profile=profile)
    planes, columns = size
    x, y = normal((2, 1, planes * factor, columns), seed), normal((2, 1, planes, columns), seed + 1)
    left, right = (operator(x) * y).sum(), (x * operator.adjoint(y)).sum()
    assert abs(left - right) <= 1e-4 * operator(x).norm() * y.norm() + 1e-6
    assert torch.allclose(operator(torch.ones_like(x)), torch.ones_like(y), atol=1e-5)


@given(FACTORS, WIDTHS, PROFILES)
def test_a_profile_is_as_wide_as_it_says_and_symmetric(factor, thickness, profile):
    taps = np.array(profile_taps(factor, thickness, profile))
    assert taps.sum() == pytest.approx(1) and taps.min() >= 0 and (len(taps) - factor) % 2 == 0
    if thickness * factor < 4:  # a few fine planes tell nothing of a width
        return
    assert np.allclose(taps, taps[::-1])
    z = np.arange(len(taps)) - (len(taps) - 1) / 2
    deviation = {"box": thickness * factor / math.sqrt(12), "gaussian": thickness * factor / FWHM}[profile]
    assert np.sqrt((taps * z**2).sum()) == pytest.approx(deviation, rel=0.1)


def test_planes_that_touch_are_means():
    for factor in range(2, 9):
        assert profile_taps(factor, 1.0, "box") == pytest.approx(sampling_taps(factor, "area"))


@given(FACTORS, st.floats(0.1, 1.5), PROFILES, st.integers(0, 99))
def test_consistent_is_the_regularised_projection(factor, thickness, profile, seed):
    """Against its formula with whole matrices, away from the border, where the filter is cut off."""
    operator = ThickPlanes(factor, thickness=thickness, profile=profile)
    planes = 33
    x, y = normal((1, 1, planes * factor, 2), seed), normal((1, 1, planes, 2), seed + 1)
    a = operator(torch.eye(planes * factor)[None, None])[0, 0].double()
    damping = 0.02 * sum(t**2 for t in operator.taps) * max(1, thickness) ** 3
    solved = torch.linalg.solve(a @ a.T + damping * torch.eye(planes), y[0, 0].double() - a @ x[0, 0].double())
    expected = x[0, 0].double() + a.T @ solved
    inner = slice(12 * factor, 21 * factor)
    off = (operator.consistent(x, y)[0, 0].double() - expected)[inner]
    assert off.std() < 0.1 * (expected - x[0, 0].double())[inner].std()


@given(FACTORS, SIZES, st.integers(0, 99))
def test_thin_planes_are_put_in_as_they_are(factor, size, seed):
    operator = ThickPlanes(factor, thickness=0)
    planes, columns = size
    x, y = normal((2, 1, planes * factor, columns), seed), normal((2, 1, planes, columns), seed + 1)
    found = operator.consistent(x, y)
    assert torch.equal(found[..., ::factor, :], y) and operator.reach == 0
    others = [i for i in range(planes * factor) if i % factor]
    assert torch.equal(found[..., others, :], x[..., others, :])

"""A difference of means is told with the error that the noise gives it, whatever the pieces it is summed from."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from napari_restore.core.errors import ImageError
from napari_restore.metrics.regions import REACH, RegionSums


def means(raw, restored, labels):
    sums = RegionSums()
    sums.add(raw, restored, labels)
    return sums.means()


def squares(shape, side):
    y, x = (np.arange(n) // side for n in shape)
    return y[:, None] * (x[-1] + 1) + x + 1


@pytest.mark.parametrize("width", [0, 0.7, (0, 1.0)])
def test_the_z_of_a_true_mean_is_that_of_chance_also_where_neighbours_share_their_noise(width):
    shape, found = (384, 384), []
    for seed in range(3):
        noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), width)
        truth = np.full(shape, 100.0)
        found += [each.z for each in means(truth + 10 * noise / noise.std(), truth, squares(shape, 16))]
    assert np.std(found) == pytest.approx(1, abs=0.12)
    assert np.mean(np.abs(found) < 2) > 0.93
    assert np.mean(np.abs(found) >= 3) < 0.01


def test_a_result_that_is_brighter_is_flagged_and_noise_that_grows_with_the_signal_is_the_regions_own():
    rng = np.random.default_rng(0)
    truth = np.repeat(np.linspace(5, 500, 8), 32)[None].repeat(64, 0)
    labels = squares(truth.shape, 32)
    raw = rng.poisson(truth).astype(np.uint16)
    good = means(raw, truth, labels)
    for each, mean in zip(good, [5 + i % 8 * 495 / 7 for i in range(16)], strict=True):
        assert each.standard_error == pytest.approx(math.sqrt(mean / each.area), rel=0.15)
        assert not each.flagged
    assert all(each.flagged for each in means(raw, 1.2 * truth, labels))


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 70), st.integers(1, 37)),
    cuts=st.lists(st.sampled_from([16, 32, 48, 64]), max_size=3),
    seed=st.integers(0, 99),
)
def test_pieces_give_what_the_whole_gives_and_the_sums_are_those_of_all_pairs(shape, cuts, seed):
    rng = np.random.default_rng(seed)
    raw, restored = rng.normal(9, 2, (2, *shape))
    raw[rng.random(shape) < 0.1] = np.nan
    labels = rng.integers(0, 3, shape)
    if not np.isfinite(raw[labels > 0]).any():
        labels[:], raw[:] = 1, 5.0
    whole, pieces = RegionSums(), RegionSums()
    whole.add(raw, restored, labels)
    edges = sorted({0, shape[0], *(c for c in cuts if c < shape[0])})
    for a, b in pairwise(edges):
        part = slice(a, min(shape[0], b + REACH))
        pieces.add(raw[part], restored[part], labels[part], rows=b - a)
    for one, other in zip(whole.means(), pieces.means(), strict=True):
        assert (one.label, one.area) == (other.label, other.area)
        np.testing.assert_allclose(
            [one.raw, one.restored, one.standard_error, one.z],
            [other.raw, other.restored, other.standard_error, other.z],
            rtol=1e-9,
            equal_nan=True,
        )
        inside = (labels == one.label) & np.isfinite(raw)
        assert one.area == inside.sum()
        assert one.raw == pytest.approx(raw[inside].mean())
        assert one.difference == pytest.approx((restored - raw)[inside].mean())


def test_structure_that_is_gone_is_no_noise():
    rng = np.random.default_rng(0)
    restored = np.full((96, 128), 100.0)
    raw = restored + rng.normal(0, 5, restored.shape)
    raw[8:24, 8:24] += 10
    found = {each.label: each for each in means(raw, restored, squares(restored.shape, 16))}
    touched = {1, 2, 9, 10}
    assert all(found[n].flagged for n in touched)
    assert not any(each.flagged for n, each in found.items() if n not in touched)


def test_no_region_is_said_and_one_pixel_has_no_error():
    with pytest.raises(ImageError, match="no region has a pixel"):
        means(np.ones((4, 4)), np.ones((4, 4)), np.zeros((4, 4), int))
    (one,) = means(
        np.ones((3, 3)), np.ones((3, 3)) + 1, np.eye(3, dtype=int)[[0]].repeat(1, 0).repeat(3, 0) * [[1], [0], [0]]
    )
    assert (one.area, one.difference, one.flagged) == (1, 1.0, False)
    assert math.isnan(one.standard_error) and math.isnan(one.z)

"""Guards: what noise, planted structures and made-up ones do to denoisers of which the answer is known."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from napari_restore.judging import guards
from napari_restore.judging.guards import CONTRASTS, Planted

SHAPES = [(128, 120), (1, 96, 131), (2, 8, 70, 90)]


def rng(seed=0):
    return np.random.default_rng(seed)


def one_signal(value, deviation):
    return {"middle": (np.asarray(value, float), np.asarray(deviation, float))}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("denoise", "kept"), [(lambda y: y, 1.0), (lambda y: 0 * y + 7, 0.0)])
def test_noise_stays_or_goes(shape, denoise, kept):
    (row,) = guards.null_test(denoise, one_signal(7, 3), shape, margin=4, rng=rng())
    assert row.kept == pytest.approx(kept, abs=0.05) and row.flat == (kept == 0)


def test_a_filter_keeps_the_root_of_its_squared_weights():
    (row,) = guards.null_test(lambda y: gaussian_filter(y, 2), one_signal(100, 9), (256, 256), margin=8, rng=rng())
    assert row.kept == pytest.approx(1 / np.sqrt(4 * np.pi * 4), rel=0.1)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("share", [1.0, 0.4])
def test_what_is_planted_comes_back_as_the_denoiser_lets_it(shape, share):
    image = rng().normal(50, 5, shape)
    planted = guards.planted_test(lambda y: share * y, image, share * image, np.asarray(5.0), depth=len(shape) == 4)
    assert [row.recovered for row in planted] == pytest.approx([share] * len(planted))
    assert {row.found for row in planted} == {1.0 if share > 0.5 else 0.0}
    assert guards.detectable(planted, "small") == (CONTRASTS[0] if share > 0.5 else None)


def test_a_wide_filter_loses_what_is_small():
    image = rng().normal(50, 5, (128, 128))
    rows = guards.planted_test(
        lambda y: gaussian_filter(y, 3), image, gaussian_filter(image, 3), np.asarray(5.0), depth=False
    )
    small, large = ({row.recovered for row in rows if row.size == size} for size in guards.SIZES)
    assert max(small) < 0.5 < min(large)


@given(st.lists(st.floats(0, 1), min_size=len(CONTRASTS), max_size=len(CONTRASTS)))
def test_from_the_detectable_contrast_on_all_come_back(shares):
    rows = [Planted("small", contrast, 1.0, share) for contrast, share in zip(CONTRASTS, shares, strict=True)]
    found = guards.detectable(rows, "small")
    assert (found is None) == (shares[-1] < 0.9)
    if found is not None:
        assert CONTRASTS[0] <= found <= CONTRASTS[-1]
        assert all(share >= 0.9 for contrast, share in zip(CONTRASTS, shares, strict=True) if contrast > found)


def blobs(seed):
    return 100 + 300 * gaussian_filter(rng(seed).normal(size=(160, 160)), 2)


def test_structure_that_the_image_bears_out_is_told_from_one_that_is_made_up():
    image, variance = rng().normal(blobs(0), 20), np.full((160, 160), 400.0)

    def told(restored):
        return guards.support(lambda y: restored + 0 * y, image, restored, variance, rng=rng(1))

    assert told(blobs(0)).share < 0.02, "the truth itself"
    assert told(blobs(1)).share > 0.95, "another image's structure"
    assert told(blobs(0)).own.max() == 0, "nothing of it comes of the pixels"


def test_what_follows_the_noise_is_not_borne_out_by_it():
    """It lies near the image because it was made of it: the probe tells."""
    variance, image = np.full((160, 160), 400.0), rng().normal(100, 20, (160, 160))

    def amplified(y):
        smooth = gaussian_filter(y, 1.2) - gaussian_filter(y, 3)
        return 100 + 3 * smooth

    told = guards.support(amplified, image, amplified(image), variance, rng=rng(1), probes=4)
    assert told.share > 0.9
    assert np.isfinite(told.borne_out).mean() > 0.9


def test_a_result_without_structure_is_not_asked():
    image = rng().normal(100, 20, (96, 96))
    told = guards.support(lambda y: 0 * y + 100, image, np.full_like(image, 100), np.full_like(image, 400), rng=rng())
    assert np.isnan(told.borne_out).all() and told.share == 0


def test_places_are_apart_and_inside():
    for width in guards.SIZES.values():
        places = guards._places((3, 200, 64), width)
        assert places and all(0 <= y < 200 and 0 <= x < 64 for y, x in places)
        assert all(abs(a - b) >= 8 * width - 1 for a, b in pairwise(sorted({y for y, _ in places})))

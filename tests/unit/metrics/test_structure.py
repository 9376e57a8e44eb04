import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from napari_restore.core.errors import ImageError
from napari_restore.metrics.structure import RADIUS, structure_map, summary
from napari_restore.metrics.whiteness import autocorrelation


def noise(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def disk(shape=(192, 200), edge=100.0):
    y, x = np.ogrid[: shape[0], : shape[1]]
    return edge * (np.hypot(y - 96, x - 100) < 50)


RESTORED = {
    "flat": np.zeros((192, 200)),
    "smooth": 300 * gaussian_filter(noise((192, 200), 9), 6),
    "disk": disk(),
    "texture": 300 * gaussian_filter(noise((192, 200), 9), 1.5),
}


@pytest.mark.parametrize("name", RESTORED)
def test_pure_noise_leaves_the_map_empty(name):
    maps = np.array([structure_map(5 * noise((192, 200), seed), RESTORED[name]) for seed in range(6)])
    assert np.quantile(maps, 0.999) <= 0.01
    assert maps.max() < 0.25
    assert summary(maps[0]).share == 0
    assert "like noise everywhere" in summary(maps[0]).verdict


def test_photons_count_alike_in_bright_and_dark_parts():
    clean = 3 + disk(edge=300)
    residual = np.random.default_rng(0).poisson(clean) - clean
    assert structure_map(residual, clean).max() < 0.25


@pytest.mark.parametrize("std", [0.7, 1.0, 2.0])
def test_what_a_filter_took_of_pure_noise_is_no_structure(std):
    y = noise((192, 200))
    restored = gaussian_filter(y, std)
    assert structure_map(y - restored, restored).max() < 0.25


@pytest.mark.parametrize(("std", "least"), [(1.0, 0.3), (2.0, 0.6)])
def test_an_edge_that_was_blurred_shows(std, least):
    y = disk() + 5 * noise((192, 200))
    restored = gaussian_filter(y, std)
    found = structure_map(y - restored, restored)
    h, x = np.ogrid[:192, :200]
    apart = np.abs(np.hypot(h - 96, x - 100) - 50)
    assert found[apart < 2].mean() > least
    assert found[apart > 26].max() < 0.05
    said = summary(found)
    assert said.share > 0.002
    assert "like noise everywhere" not in said.verdict


def test_an_edge_in_the_residual_shows_whatever_was_restored():
    residual = noise((160, 160)) + 3 * (np.arange(160) >= 80) * (np.arange(160) < 84)
    found = structure_map(residual, np.zeros((160, 160)))
    assert found[20:140, 80:84].min() > 0.3
    assert found[:, :40].max() < 0.1


def test_lost_contrast_shows_where_the_signal_is():
    signal = 300 * gaussian_filter(noise((192, 200), 9), 3)
    signal[:, 100:] = signal[:, :1]
    found = structure_map(noise((192, 200)) + 0.05 * signal, 0.95 * signal)
    assert found[20:-20, 20:70].mean() > found[20:-20, 140:].mean() + 0.05


def test_the_noise_is_allowed_its_own_correlation():
    n = gaussian_filter(noise((256, 256)), 0.6)
    white = structure_map(n, np.zeros_like(n))
    known = structure_map(n, np.zeros_like(n), correlation=autocorrelation(n, radius=2))
    assert white.mean() > 0.3
    assert np.quantile(known, 0.999) < 0.1


def test_a_tile_gives_the_whole_image_s_map():
    y = disk() + 5 * noise((192, 200))
    restored = gaussian_filter(y, 2)
    whole = structure_map(y - restored, restored)
    inner = (slice(60, 100), slice(70, 130))
    read = tuple(slice(s.start - RADIUS, s.stop + RADIUS) for s in inner)
    part = structure_map((y - restored)[read], restored[read])[RADIUS:-RADIUS, RADIUS:-RADIUS]
    assert whole[inner].max() > 0.5
    np.testing.assert_allclose(part, whole[inner], atol=1e-5)


def test_a_pixel_sees_no_farther_than_the_radius():
    residual, restored = noise((90, 90)), disk((90, 90))
    before = structure_map(residual, restored)
    residual[45, 45] += 50
    restored[45, 45] += 50
    y, x = np.nonzero(np.abs(structure_map(residual, restored) - before) > 0)
    assert not len(y) or max(np.abs(y - 45).max(), np.abs(x - 45).max()) <= RADIUS


def test_scale_and_level_do_not_matter():
    y = disk() + 5 * noise((192, 200))
    restored = gaussian_filter(y, 1.5)
    one = structure_map(y - restored, restored)
    np.testing.assert_allclose(structure_map(1e-3 * (y - restored), 1e-3 * restored + 4), one, atol=1e-3)


@settings(max_examples=12)
@given(
    shape=st.lists(st.integers(1, 23), min_size=2, max_size=3).map(tuple),
    kind=st.sampled_from(["noise", "zero", "nan", "bytes"]),
    seed=st.integers(0, 99),
)
def test_any_shape_has_a_map_of_its_shape(shape, kind, seed):
    residual = {
        "noise": noise(shape, seed),
        "zero": np.zeros(shape),
        "nan": np.where(noise(shape, seed) > 0, np.nan, 1.0),
        "bytes": np.random.default_rng(seed).integers(0, 9, shape).astype(np.uint8),
    }[kind]
    found = structure_map(residual, np.full(shape, 100.0))
    assert found.shape == shape
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 1
    if kind in ("zero", "nan"):
        assert not found.any()


def test_planes_are_looked_at_one_by_one():
    stack = noise((3, 60, 70))
    stack[1] += 4 * (np.arange(70) == 35)
    found = structure_map(stack, np.zeros_like(stack))
    np.testing.assert_array_equal(found[1], structure_map(stack[1], np.zeros((60, 70))))
    assert found[1].max() > 0.3 > found[0].max()


def test_what_does_not_fit_is_refused():
    with pytest.raises(ImageError, match=r"shapes \(4, 4\) and \(4, 5\)"):
        structure_map(np.ones((4, 4)), np.ones((4, 5)))
    with pytest.raises(ImageError, match=r"correlation of shape \(3, 3\)"):
        structure_map(np.ones((9, 9)), np.ones((9, 9)), correlation=np.ones((3, 3)))

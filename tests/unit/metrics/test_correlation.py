import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from napari_restore.core.errors import ImageError
from napari_restore.metrics.correlation import LAGS, noise_correlation


def noise(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def cells(shape, seed=0):
    blobs = gaussian_filter(noise(shape, 1000 + seed), 6)
    return gaussian_filter(60.0 * (blobs > 1.2 * blobs.std()), 1.5)


def blurred_along(axes, shape=(256, 288), std=0.6, seed=0):
    n = gaussian_filter(noise(shape, seed), std, axes=axes)
    return 10 * n / n.std()


def lines(shape=(256, 288), seed=0):
    return 7 * noise(shape, seed) + 7 * noise((shape[0], 1), seed + 1)


FOUND = [
    ((1,), "horizontal", lambda y, x: x >= 1 and y == 0),
    ((0,), "vertical", lambda y, x: y >= 1 and x == 0),
    ((0, 1), "both", lambda y, x: 1 <= x <= 3 and 1 <= y <= 3),
]


def test_white_noise_on_an_image_is_not_correlated():
    wrong = [noise_correlation([cells((160, 170), i) + 10 * noise((160, 170), i)]).direction for i in range(40)]
    assert wrong == ["none"] * 40


def test_white_noise_alone_is_known_to_be_white():
    for seed in range(10):
        found = noise_correlation([noise((130, 150), seed)])
        assert found.reliable
        assert found.length_yx == (0, 0)
        assert max(map(abs, found.lag_1)) < 5 * max(found.standard_error)


@pytest.mark.parametrize(("axes", "direction", "length"), FOUND)
def test_the_direction_of_blurred_noise_is_found(axes, direction, length):
    n = blurred_along(axes)
    found = noise_correlation([n])
    assert found.direction == direction
    assert length(*found.length_yx)
    wanted = [
        np.corrcoef(n[1:].ravel(), n[:-1].ravel())[0, 1],
        np.corrcoef(n[:, 1:].ravel(), n[:, :-1].ravel())[0, 1],
    ]
    assert found.lag_1 == pytest.approx(wanted, abs=0.06)


@pytest.mark.parametrize(("axes", "direction", "length"), FOUND)
def test_it_is_found_under_an_image_too(axes, direction, length):
    found = noise_correlation([cells((256, 288), i) + blurred_along(axes, seed=i) for i in range(2)])
    assert (found.direction, found.reliable) == (direction, True)
    assert length(*found.length_yx)


def test_lines_reach_as_far_as_is_looked():
    found = noise_correlation([cells((256, 288)) + lines()])
    assert found.direction == "horizontal"
    assert found.length_yx == (0, LAGS)
    turned = noise_correlation([(cells((256, 288)) + lines()).T])
    assert (turned.direction, turned.length_yx) == ("vertical", (LAGS, 0))


@pytest.mark.parametrize("std", [0.0, 0.5])
def test_noise_that_grows_with_the_signal_counts_alike_everywhere(std):
    shape = (300, 320)
    deviation = 1 + 20 * np.linspace(0, 1, shape[1])
    n = gaussian_filter1d(noise(shape), std, axis=1) if std else noise(shape)
    found = noise_correlation([100 + deviation * n])
    assert found.direction == ("horizontal" if std else "none")


def test_texture_is_not_taken_for_noise():
    texture = 40 * gaussian_filter(noise((300, 300)), 1.5) + 40 * gaussian_filter(noise((300, 300), 1), 4)
    found = noise_correlation([texture + 0.5 * noise((300, 300), 2)])
    assert (found.direction, found.reliable) == ("none", False)
    assert "coarse structure" in found.reason


def test_clipped_and_missing_parts_do_not_count():
    plane = 3 + 5 * noise((256, 256))
    plane[:, 128:] += 40
    plane = np.clip(plane, 0, None)
    plane[30:60, 150:200] = np.nan
    found = noise_correlation([plane])
    assert (found.direction, found.reliable) == ("none", True)


def test_it_has_no_scale_and_no_offset():
    plane = cells((200, 210)) + blurred_along((1,), (200, 210))
    one, other = noise_correlation([plane]), noise_correlation([1e-5 * plane + 3])
    assert other.lag_1 == pytest.approx(one.lag_1, abs=1e-4)
    assert other.direction == one.direction


@settings(max_examples=30)
@given(
    shape=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    kind=st.sampled_from(["white", "constant", "nan", "bytes"]),
    seed=st.integers(0, 99),
)
def test_small_and_empty_planes_give_an_answer(shape, kind, seed):
    plane = {
        "white": noise(shape, seed),
        "constant": np.full(shape, 7.0),
        "nan": np.full(shape, np.nan),
        "bytes": (10 * noise(shape, seed) + 100).astype(np.uint8),
    }[kind]
    found = noise_correlation([plane])
    assert found.direction == "none"
    assert found.length_yx == (0, 0)
    assert found.reliable or found.reason
    if kind in ("constant", "nan") or min(shape) < 16:
        assert not found.reliable


def test_other_numbers_of_axes_are_refused():
    for array in (np.zeros(5), np.zeros((1, 2, 3, 4))):
        with pytest.raises(ImageError, match="is no plane"):
            noise_correlation([array])

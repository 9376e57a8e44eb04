"""Which pixels of an image count: the same in every part of it, and none that was measured is lost."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.stats import norm

from napari_restore.core.region import Region
from napari_restore.sources import Image, open_image
from napari_restore.sources.padded import seen_reflected
from napari_restore.sources.pixels import Seen
from napari_restore.sources.settled import settled

Pixels = NDArray[np.generic]


def noisy(shape: tuple[int, ...], *, level: float = 1000, noise: float = 30, seed: int = 0) -> NDArray[np.float64]:
    """A texture with noise."""
    rng = np.random.default_rng(seed)
    smooth = gaussian_filter(rng.normal(size=shape), [3 if n > 8 else 0 for n in shape])
    return level * (1 + 0.3 * smooth / smooth.std()) + rng.normal(0, noise, shape)


def circle(shape: tuple[int, int], part: float = 0.98) -> NDArray[np.bool_]:
    y, x = np.indices(shape)
    return np.hypot(y - (shape[0] - 1) / 2, x - (shape[1] - 1) / 2) < min(shape) / 2 * part


def whole(image: Image) -> Seen:
    return image.seen(Region.of_shape(image.shape))


def found(pixels: Pixels, **options: object) -> tuple[NDArray[np.bool_], NDArray[np.bool_], list[str]]:
    """Filling, outliers, and what was said."""
    image = settled(open_image(pixels), **options)  # type: ignore[arg-type]
    seen = whole(image)
    outliers = np.zeros(pixels.shape, np.bool_) if seen.outliers is None else seen.outliers
    return ~np.isfinite(seen.values), outliers, [note for note in image.notes if "learned from" in note]


@st.composite
def parts(draw: st.DrawFn, shape: tuple[int, ...]) -> Region:
    start, stop = [], []
    for n in shape:
        a = draw(st.integers(-9, n - 1))
        start.append(a)
        stop.append(draw(st.integers(max(a + 1, 1), n + 9)))
    return Region(tuple(start), tuple(stop))


@settings(max_examples=60, deadline=None)
@given(region=parts((3, 47, 61)))
def test_a_part_tells_the_same_as_the_whole(region: Region) -> None:
    pixels = np.rint(noisy((3, 47, 61)))
    pixels[:, ~circle((47, 61), 0.9)] = -3024
    pixels[1, :9] = 4095
    pixels.reshape(-1)[[3300, 3301, 4000, 5500, 7777]] = 30000
    image = settled(open_image(pixels.astype(np.int16), axes="ZYX"))
    assert whole(image).outliers is not None
    seen, wanted = seen_reflected(image, region), seen_reflected(image, Region((-9,) * 3, (12, 56, 70)))
    index = region.relative_to((-9,) * 3).slices
    np.testing.assert_array_equal(seen.values, wanted.values[index])
    np.testing.assert_array_equal(seen.pixels, wanted.pixels[index])
    nothing = np.zeros(seen.values.shape, np.bool_)
    np.testing.assert_array_equal(
        nothing if seen.outliers is None else seen.outliers,
        nothing if wanted.outliers is None else wanted.outliers[index],
    )


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("value", [-3024.0, 0.0, 20000.0])
def test_filling_is_told_to_the_pixel(dtype: type, value: float) -> None:
    inside = circle((120, 131))
    filling, outliers, said = found(np.where(inside, np.rint(noisy((120, 131))), value).astype(dtype))
    np.testing.assert_array_equal(filling, ~inside)
    assert not outliers.any()
    assert f"exactly {value:g}" in said[0]


@pytest.mark.parametrize("shape", [(1, 200), (5, 90), (64, 64), (300, 17)])
def test_noise_alone_has_no_filling_and_no_outliers(shape: tuple[int, int]) -> None:
    filling, outliers, said = found(np.rint(noisy(shape)).astype(np.int32))
    assert not filling.any()
    assert not outliers.any()
    assert said == []


@pytest.mark.parametrize("photons", [0.0003, 0.003, 0.03, 0.1, 0.4, 1.0, 3.0])
@pytest.mark.parametrize("gain", [1, 37.5])
def test_the_dark_between_photons_is_measured(photons: float, gain: float) -> None:
    rate = np.where(circle((200, 210), 0.4), 20 * photons, photons)
    counts = np.random.default_rng(1).poisson(rate) * gain
    filling, outliers, _ = found(counts.astype(np.uint16 if gain == 1 else np.float32))
    assert not filling.any()
    assert not outliers.any()


def test_an_image_without_noise_is_all_measured() -> None:
    levels = np.rint(noisy((90, 90), noise=0) / 300).astype(np.uint8)
    assert not found(levels)[0].any()
    assert not found(np.full((40, 40), 7, np.uint16))[0].any()


@pytest.mark.parametrize("count", [1, 40])
@pytest.mark.parametrize("value", [60000, 9000, -9000])
def test_hot_and_dead_pixels_are_outliers_each_of_them(count: int, value: int) -> None:
    pixels = noisy((190, 200), level=1500)
    rng = np.random.default_rng(2)
    place = np.unravel_index(rng.choice(pixels.size, count, replace=False), pixels.shape)
    pixels[place] = value
    filling, outliers, said = found(np.rint(pixels).astype(np.int32))
    assert not filling.any()
    assert outliers.sum() == outliers[place].sum() == count
    assert said[0].startswith(f"{count} pixel")


@pytest.mark.parametrize("std", [0.7, 1.0, 2.0, 9.0])
@pytest.mark.parametrize("place", [0.0, 0.3, 0.5])
def test_what_optics_allow_is_no_outlier(std: float, place: float) -> None:
    """Beads and nuclei, lines, and their photons; a pixel has the light that falls on it."""

    def along(n: int, centre: float) -> NDArray[np.float64]:
        return np.diff(norm.cdf(np.arange(n + 1) - 0.5, centre, std)) / norm.pdf(0, 0, std)

    signal = np.full((160, 170), 50.0)
    for y, x, height in ((40, 50, 5000), (120, 150, 40000), (90, 20, 900)):
        signal += height * np.outer(along(160, y + place), along(170, x + place))
    signal += 3000 * along(170, 100 + place)
    assert not found(np.random.default_rng(0).poisson(signal).astype(np.uint16))[1].any()


def test_stand_ins_are_like_what_lies_around() -> None:
    pixels = np.full((60, 60), 100.0) + np.random.default_rng(0).normal(0, 2, (60, 60))
    pixels[30:32, 20:22] = 9000
    image = settled(open_image(pixels))
    seen = whole(image)
    assert seen.outliers is not None
    assert seen.outliers.sum() == 4
    assert np.abs(seen.values[seen.outliers] - 100).max() < 3
    assert np.isnan(seen.measured[seen.outliers]).all()


def test_fill_says_what_filling_is() -> None:
    pixels = np.where(circle((80, 80)), np.rint(noisy((80, 80))), 0).astype(np.int32)
    pixels[40, 40:44] = -9999
    assert not found(pixels, fill="none")[0].any()
    filling, _, _ = found(pixels, fill=-9999)
    np.testing.assert_array_equal(filling, pixels == -9999)


def test_a_saturated_frame_and_band_are_left_out_and_a_bright_area_with_noise_is_not() -> None:
    movie = np.rint(noisy((9, 70, 80), noise=20)).clip(0, 4095)
    movie[4] = 4095
    movie[7, 20:32] = 4095
    filling, _, _ = found(movie.astype(np.uint16))
    np.testing.assert_array_equal(filling, movie == 4095)


def test_filling_is_so_in_all_channels_and_an_empty_channel_is_none() -> None:
    pixels = np.rint(np.stack([noisy((90, 95), seed=i) for i in range(3)]))
    pixels[0, :, :50] = 0  # an empty part of one colour
    pixels[:, :30] = 0
    pixels[2] = 7
    image = settled(open_image(pixels.astype(np.int16), axes="CYX"))
    filling = ~np.isfinite(whole(image).values)
    assert filling[:, :30].all()
    assert not filling[:, 30:].any()
    assert np.isfinite(image.seen(Region((2, 0, 0), (3, 90, 95))).values).all()

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from skimage import data

from napari_restore.core.errors import ImageError
from napari_restore.metrics.noise import noise_sigma
from napari_restore.metrics.noise_level import NoiseLevel, describe, estimate, most_noise, rounded_up
from napari_restore.metrics.pixel_noise import PixelNoise
from napari_restore.sources import open_image
from napari_restore.sources.planes import middle_planes
from napari_restore.sources.samples import microscopy_stack


def noise(shape, sigma=5.0, seed=0):
    return np.random.default_rng(seed).normal(0, sigma, shape)


def half_textured(shape=(160, 200), seed=0):
    """A flat half beside one with structure down to the pixel."""
    plane = 40 * gaussian_filter(np.random.default_rng(seed).normal(size=shape), 0.6)
    plane[:, : shape[1] // 2] = 100
    return plane


def camera(factor):
    image = data.camera().astype(float)
    return image.reshape(512 // factor, factor, 512 // factor, factor).mean((1, 3))


@pytest.mark.parametrize("shape", [(17, 23), (64, 48), (256, 256)])
def test_white_noise_on_nothing_is_found(shape):
    level = estimate([noise(shape)])
    assert level.sigma == pytest.approx(5, rel=3 * level.spread)
    assert level.gain == 0
    assert level.read == level.sigma
    assert abs(level.correlation) < 0.3
    assert level.reliable == (min(shape) > 40)


def test_a_texture_beside_a_flat_part_is_not_taken_for_noise():
    level = estimate([half_textured() + noise((160, 200))])
    assert level.reliable
    assert level.sigma == pytest.approx(5, rel=0.05)
    assert noise_sigma(half_textured() + noise((160, 200))) > 6


def photographs(side=256):
    """Middles of eight pictures, each over all gray levels."""
    names = ("camera", "coins", "brick", "gravel", "cell", "moon", "grass", "text")
    pictures = [getattr(data, name)().astype(float) for name in names]
    middles = [p[(p.shape[0] - side) // 2 :, (p.shape[1] - side) // 2 :][:side, :side] for p in pictures]
    return [255 * (m - m.min()) / np.ptp(m) for m in middles]


def pink(shape, seed):
    """A texture with as much energy in each octave, as natural ones have, of deviation 1."""
    frequency = np.hypot(*np.meshgrid(*map(np.fft.fftfreq, shape), indexing="ij"))
    frequency[0, 0] = np.inf
    texture = np.fft.ifft2(np.fft.fft2(noise(shape, 1, seed)) / frequency).real
    return texture / texture.std()


def errors(clean, sigma, draws=3):
    """Of the variance, relative, for several draws of noise."""
    found = []
    for seed in range(draws):
        drawn = [noise(plane.shape, sigma, 100 * seed + i) for i, plane in enumerate(clean)]
        level = estimate([plane + each for plane, each in zip(clean, drawn, strict=True)])
        found.append(level.sigma**2 / np.mean(np.concatenate([np.square(each).ravel() for each in drawn])) - 1)
    return np.array(found)


@pytest.mark.parametrize("sigma", [25, 50])
def test_structure_in_the_flattest_blocks_of_photographs_is_no_noise(sigma):
    """1 % of the variance is 0.3 dB of what is told of a result that is 10 dB nearer to the truth."""
    assert abs(errors(photographs(), sigma).mean()) < 0.004


def test_of_a_texture_that_ends_nowhere_most_is_taken_off():
    textures = [2 * pink((256, 320), seed) * np.linspace(0.05, 1.5, 320) for seed in (11, 12, 13, 14)]
    assert abs(np.mean([errors([texture], 1.0, draws=1) for texture in textures])) < 0.04  # 0.06 with it


@pytest.mark.parametrize("std", [0.5, 0.6])
def test_a_texture_everywhere_is_flagged(std):
    """It weakens towards one side, but nowhere ends: less structure goes with less of what is taken for noise."""
    texture = 40 * gaussian_filter(noise((180, 240), 1), std) * np.linspace(0.1, 2, 240)
    level = estimate([texture + noise((180, 240), 2, seed=3)])
    assert level.spread > 0.1
    assert not level.reliable
    assert "not reliable" in describe(level)


@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("sigma", [5.0, 10.0])
def test_a_photograph_of_low_resolution_has_the_noise_that_was_put_in(factor, sigma):
    plane = camera(factor)
    level = estimate([plane + noise(plane.shape, sigma)])
    assert level.reliable
    assert level.sigma == pytest.approx(sigma, rel=0.12)


def test_planes_are_pooled():
    planes = [half_textured(seed=i) + noise((160, 200), seed=i) for i in range(5)]
    one, all_of_them = estimate(planes[:1]), estimate(planes)
    assert all_of_them.spread < one.spread
    assert all_of_them.sigma == pytest.approx(5, rel=0.04)
    textured = estimate([half_textured()[:, 110:] + noise((160, 90)), planes[1]])
    assert textured.sigma == pytest.approx(5, rel=0.06)


@pytest.mark.parametrize(("scale", "shift"), [(7, 1000), (1e-6, 0), (250, -1e4)])
def test_the_level_scales_with_the_image_and_ignores_its_offset(scale, shift):
    plane = half_textured() + noise((160, 200))
    one, other = estimate([plane]), estimate([scale * plane + shift])
    assert other.sigma == pytest.approx(scale * one.sigma, rel=1e-6)
    assert other.correlation == pytest.approx(one.correlation, abs=1e-6)


def test_noise_that_grows_with_the_signal_has_a_line():
    rng = np.random.default_rng(3)
    signal = gaussian_filter(rng.uniform(0, 4000, (300, 320)), 12, mode="wrap")
    signal = 500 * (signal - signal.min()) / np.ptp(signal)
    level = estimate([2.0 * rng.poisson(signal / 2.0) + rng.normal(0, 10, signal.shape)])
    assert level.gain == pytest.approx(2, rel=0.1)
    assert level.read == pytest.approx(10, abs=5)
    assert level.offset == 0
    assert level.sigma == pytest.approx(np.sqrt(100 + 2 * signal.mean()), rel=0.05)
    assert "growing with the signal" in describe(level)


def test_a_camera_offset_is_where_the_variance_vanishes():
    rng = np.random.default_rng(3)
    signal = np.tile(np.linspace(0, 400, 320), (300, 1))
    level = estimate([100 + 3.0 * rng.poisson(signal / 3.0)])
    assert level.gain == pytest.approx(3, rel=0.1)
    assert level.offset == pytest.approx(100, abs=5)
    assert level.read == 0


def test_noise_is_found_to_grow_where_little_of_the_image_is_bright():
    clean, noisy = microscopy_stack()
    level = estimate(list(noisy[::5]))
    bright = clean[clean > np.quantile(clean, 0.95)]
    assert level.pixels.at(bright).mean() == pytest.approx(np.mean(81 + 2 * (bright - 100)), rel=0.1)


def walls(seed=7):
    """Of a foam, sharp, with a fine texture: nothing of them is flat, and the bubbles are."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:192, :192]
    found = 1 + 0.1 * gaussian_filter(rng.normal(size=(192, 192)), 0.7)
    for cy, cx, r in zip(*rng.uniform(0, 192, (2, 160)), rng.uniform(4, 10, 160), strict=True):
        found[np.hypot(y - cy, x - cx) < r] = 0
    return found


@pytest.mark.parametrize("seed", [7, 8, 9])
def test_what_is_less_noisy_than_something_darker_shows_that_to_be_structure(seed):
    """Half light, half dark blocks have edges: they passed for noise that grows with the light, 37 times as much."""
    level = estimate([walls(seed) + 0.004 * np.random.default_rng(1).normal(size=(192, 192))])
    assert level.gain == 0
    assert level.sigma == pytest.approx(0.004, rel=0.1)


def test_noise_is_not_above_the_finest_of_flat_parts():
    rng = np.random.default_rng(0)
    light = np.repeat(np.linspace(20, 300, 8), 40)[:, None] + 6 * gaussian_filter(rng.normal(size=(320, 300)), 2)
    mean, most = most_noise([rng.poisson(np.maximum(light, 1)).astype(float)]).T
    assert len(mean) >= 6 and np.all(np.diff(mean) > 0)
    assert np.all(most > 0.9 * mean), "of photons it is the mean"
    assert np.median(most / mean) < 1.3
    assert most_noise([np.ones((20, 20))]).shape == (0, 2) or np.all(most_noise([np.ones((20, 20))])[:, 1] == 0)


@pytest.mark.parametrize("unit", [1.0, 0.37, 12.0])
def test_no_photons_are_as_many_as_they_are(unit):
    rng = np.random.default_rng(3)
    signal = np.full((256, 256), 0.3)
    signal[40:90, 60:180] = np.hypot(*np.mgrid[-25:25, -60:60]) / 25 + 0.3
    level = estimate([unit * rng.poisson(signal)])
    assert level.gain == pytest.approx(unit, rel=0.1)
    assert level.sigma == pytest.approx(unit * np.sqrt(signal.mean()), rel=0.1)


def test_white_noise_on_a_slope_has_no_line():
    level = estimate([np.tile(np.linspace(0, 400, 320), (300, 1)) + noise((300, 320))])
    assert level.gain == level.offset == 0


@pytest.mark.parametrize("axis", [0, 1, (0, 1)])
def test_correlated_noise_is_told_with_its_level(axis):
    plane = gaussian_filter(noise((256, 256), 1), 0.6, axes=axis)
    plane *= 5 / plane.std()
    apart = [np.corrcoef(plane[1:].ravel(), plane[:-1].ravel())[0, 1]] if axis != 1 else []
    apart += [np.corrcoef(plane[:, 1:].ravel(), plane[:, :-1].ravel())[0, 1]] if axis != 0 else []
    level = estimate([plane])
    assert level.correlation == pytest.approx(max(apart), abs=0.06)
    assert level.sigma == pytest.approx(5, rel=0.05)
    assert level.reliable
    assert "correlated by" in describe(level)


def test_clipped_and_filled_parts_do_not_count():
    plane = 3 + noise((200, 200))
    plane[:, 100:] += 100
    plane[:60, 120:180] = 57.0
    assert estimate([np.clip(plane, 0, None)]).sigma == pytest.approx(5, rel=0.06)


def test_pixels_that_are_not_finite_are_left_out():
    plane = noise((200, 301))
    plane[50:70, 10:200], plane[3, 3] = np.nan, np.inf
    assert estimate([plane, np.full((40, 40), np.nan)]).sigma == pytest.approx(5, rel=0.05)


def test_an_image_without_noise_has_no_reliable_level():
    ramp = np.add.outer(np.arange(40.0), 3 * np.arange(50.0))
    for plane in (np.full((17, 23), 8), ramp, ramp + 1e6):
        level = estimate([plane])
        assert (level.sigma, level.reliable) == (0, False)


@pytest.mark.parametrize("planes", [[], [np.zeros((7, 40))], [np.full((20, 20), np.nan)]])
def test_planes_without_a_block_are_refused(planes):
    with pytest.raises(ImageError, match="no block of 8 x 8 finite pixels"):
        estimate(planes)


def test_integers_do_not_wrap():
    plane = (noise((200, 200), 3) + 100).round()
    assert estimate([plane.astype(np.uint8)]) == estimate([plane])


def test_the_middle_of_a_large_image_is_enough():
    image = open_image(np.broadcast_to(noise((600, 700)).astype(np.float32), (50, 600, 700)), axes="ZYX")
    sizes = []

    def counted(region):
        sizes.append(region.size)
        return image.reader(region)

    assert estimate(middle_planes(replace(image, reader=counted))).sigma == pytest.approx(5, rel=0.03)
    assert sum(sizes) <= 5 * 512 * 512


def test_a_channel_has_its_own_level():
    image = open_image(np.stack([noise((90, 100), 3), noise((90, 100), 12)], 1), axes="YCX")
    assert estimate(middle_planes(image, channel=0)).sigma == pytest.approx(3, rel=0.1)
    assert estimate(middle_planes(image, channel=1)).sigma == pytest.approx(12, rel=0.1)


def level(**known):
    whole = {"sigma": 5.0, "spread": 0.04, "correlation": 0.0, "gain": 0.0, "offset": 0.0, "read": 5.0}
    return NoiseLevel(**{**whole, "reliable": True, **known})


def test_noise_is_white_enough_up_to_one_correlation_of_either_sign():
    assert [level(correlation=c).white for c in (0, 0.14, -0.14, 0.16, -0.16)] == [True, True, True, False, False]


def test_the_noise_of_pixels_is_that_of_the_level():
    assert level(read=3.0, gain=2.0, offset=100.0).pixels == PixelNoise(9.0, 2.0, 100.0)


@pytest.mark.parametrize(("spread", "wanted"), [(0.001, 5.1), (0.04, 5.2), (0.5, 5.5)])
def test_a_level_is_rounded_up_by_a_few_percent(spread, wanted):
    assert rounded_up(level(spread=spread)) == pytest.approx(wanted)


def test_a_level_is_said_in_a_sentence():
    assert describe(level()) == "noise estimated at 5 ± 0.2 (white)"
    assert describe(level(), units="HU") == "noise estimated at 5 ± 0.2 HU (white)"
    assert describe(level(correlation=0.4)) == "noise estimated at 5 ± 0.2 (neighbouring pixels correlated by 0.40)"
    grows = describe(level(gain=2.0, read=1.5))
    assert grows == "noise estimated at 5 ± 0.2 (growing with the signal, 1.5 without any)"


@pytest.mark.parametrize("scale", [2.0**-500, 2.0**-100, 8.0, 2.0**100])
@pytest.mark.parametrize("photons", [False, True])
def test_the_units_of_an_image_do_not_matter(scale, photons):
    """To the last bit where scaling rounds nothing."""
    planes = np.random.default_rng(3).poisson(np.linspace(1, 100, 200), (160, 200)) if photons else noise((160, 200))
    here, there = estimate([planes]), estimate([scale * planes.astype(np.float64)])
    assert there == replace(
        here, sigma=scale * here.sigma, gain=scale * here.gain, offset=scale * here.offset, read=scale * here.read
    )


@pytest.mark.parametrize("scale", [1e-150, 1e-30, 1e-20, 3.0, 1e30])
def test_the_smallest_and_the_largest_units_are_none_too_many(scale):
    here, there = estimate([noise((160, 200))]), estimate([scale * noise((160, 200))])
    assert there.sigma == pytest.approx(scale * here.sigma, rel=1e-6, abs=0)
    assert there.reliable == here.reliable


@pytest.mark.parametrize("width", [0.6, 1.0, 1.5])
def test_noise_that_neighbours_share_has_its_whole_level_or_is_not_reliable(width):
    shared = gaussian_filter(np.random.default_rng(3).normal(size=(160, 200)), width, mode="wrap")
    shared *= 12 / shared.std()
    flat = estimate([half_textured() + shared])
    assert flat.reliable
    assert flat.sigma == pytest.approx(12, rel=0.12)  # 1 dB
    assert not flat.white
    assert f"correlated by {flat.correlation:.2f}" in describe(flat)
    texture = sum(gaussian_filter(np.random.default_rng(k).normal(size=(160, 200)), 2.0**k) * 2.0**k for k in range(4))
    told = estimate([30 * texture + shared])
    assert not told.reliable or told.sigma == pytest.approx(12, rel=0.12)

from dataclasses import replace

import numpy as np
import pytest

from napari_restore.metrics.noise import image_noise, noise_sigma
from napari_restore.sources import open_image


def noise(shape, sigma=5.0, seed=0):
    return np.random.default_rng(seed).normal(0, sigma, shape)


def smooth(shape):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return 100 * np.sin(x / 20) * np.cos(y / 30)


def test_noise_scales_with_the_image_and_ignores_its_offset():
    plane = noise((64, 80))
    assert noise_sigma(7 * plane + 1000) == pytest.approx(7 * noise_sigma(plane))


def test_a_smooth_image_has_none():
    assert noise_sigma(np.full((17, 23), 8)) == 0
    assert noise_sigma(np.add.outer(np.arange(40.0), 3 * np.arange(50.0))) == 0
    assert noise_sigma(smooth((200, 300))) < 0.2


@pytest.mark.parametrize("shape", [(1, 40), (40, 1), (1, 1)])
def test_a_line_has_no_diagonal_and_no_answer(shape):
    assert noise_sigma(noise(shape)) == 0


def test_pixels_that_are_not_finite_are_left_out():
    plane = noise((200, 301))
    plane[50:70, 10:200] = np.nan
    plane[3, 3] = np.inf
    assert noise_sigma(plane) == pytest.approx(5, rel=0.05)
    assert noise_sigma(np.full((8, 8), np.nan)) == 0


def test_unsigned_integers_do_not_wrap():
    plane = noise((200, 200), 3) + 100
    assert noise_sigma(plane.round().astype(np.uint8)) == pytest.approx(3, rel=0.06)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [((300, 300), "YX"), ((5, 100, 100), "ZYX"), ((100, 6, 100), "XZY"), ((2, 3, 4, 90, 90), "TCZYX")],
)
def test_the_noise_of_an_image_is_that_of_its_planes(shape, axes):
    assert image_noise(open_image(noise(shape, 12), axes=axes)) == pytest.approx(12, rel=0.05)


def test_only_a_part_of_a_large_image_is_read():
    image = open_image(np.broadcast_to(np.float32(3), (50, 4000, 4000)), axes="ZYX")
    sizes = []
    read = image.reader

    def counted(region):
        sizes.append(region.size)
        return read(region)

    assert image_noise(replace(image, reader=counted)) == 0
    assert sum(sizes) <= 5 * 512 * 512

"""The part that is looked at lies in the middle, and sees what a restoration of the whole would see."""

import numpy as np
import pytest

from napari_restore.core.region import Region
from napari_restore.judging.part import filled, middle, part_of
from napari_restore.methods.imaging import Imaging, ImagingConfig
from napari_restore.sources import open_image

RAW = np.random.default_rng(0).normal(100, 5, (3, 2, 9, 70, 81)).astype(np.float32)


class Untrained(Imaging):
    label = "Untrained"
    citation = "None."


def method_for(spatial="YX", *, channels=1, **config):
    each = {"sigma": (5.0,) * channels, "mean": (100.0,) * channels, "std": (5.0,) * channels}
    settled = ImagingConfig(**{"psf": "gaussian:1", "width": 4, **each, **config})
    return Untrained(settled, spatial=spatial, channels=channels)


def test_the_middle_is_one_pixel_long_where_nothing_is_said():
    image = open_image(RAW, axes="TCZYX")
    assert middle(image, {"C": 2, "Y": 20, "X": 999}) == Region((1, 0, 4, 25, 0), (2, 2, 5, 45, 81))


@pytest.mark.parametrize(("axes", "spatial"), [("TCZYX", "YX"), ("CYX", "YX"), ("YXC", "YX"), ("ZYX", "ZYX")])
def test_what_counts_is_the_middle_of_the_first_channel(axes, spatial):
    whole = {"TCZYX": RAW, "CYX": RAW[0, :, 0], "YXC": np.moveaxis(RAW[0, :, 0], 0, 2), "ZYX": RAW[0, 0]}[axes]
    psf = "gaussian:1" if spatial == "YX" else "gaussian:0,1,1"
    method = method_for(spatial, channels=2 if "C" in axes else 1, psf=psf)
    size = 20 if spatial == "YX" else 60  # of a volume about as many pixels, over its nine planes
    part = part_of(open_image(whole, axes=axes), method, method.undoes, size=size, seed=0)
    wanted = {"TCZYX": lambda: RAW[1, 0, 4], "CYX": lambda: RAW[0, 0, 0], "YXC": lambda: RAW[0, 0, 0]}
    expected = wanted[axes]()[25:45, 30:50] if axes in wanted else RAW[0, 0, :, 25:45, 30:50]
    assert np.array_equal(part.pixels[part.counted], expected)
    assert all(n % g == 0 for n, g in zip(part.pixels.shape, method.grid, strict=True))
    assert set(np.unique(part.probe)) == {-1, 1}


def test_what_sees_past_the_border_does_not_count():
    method = method_for(psf="gaussian:2")
    part = part_of(open_image(RAW[0, 0, 0]), method, method.undoes, size=999, seed=0)
    y, x = method.operator.margin
    assert np.array_equal(part.pixels[part.counted], RAW[0, 0, 0][y:-y, x:-x])
    near = part.narrowed((3, 4))
    assert near.pixels.shape == (70 - 2 * y + 6, 81 - 2 * x + 8)
    assert np.array_equal(near.pixels[near.counted], part.pixels[part.counted])


class Mirroring(Untrained):
    """Mirrors for itself what it is shown whole."""

    @property
    def border(self):
        return (2, 0)


def test_no_more_is_mirrored_than_the_method_asks_for_and_operators_none_of_it():
    image = open_image(RAW[0, 0, 0])
    seen = method_for(psf="gaussian:2", width=4)
    part = part_of(image, seen, seen.undoes, size=999, seed=0)
    assert part.pixels[part.inside].shape == (70, 81) and min(part.pixels.shape) > 81
    assert part.narrowed((50, 50)).pixels.shape == (70, 81)
    own = Mirroring(seen.config, spatial="YX", channels=1)
    part = part_of(image, own, own.undoes, size=999, seed=0)
    assert np.array_equal(part.pixels[part.inside], RAW[0, 0, 0])
    assert all(
        n - m - 2 * b < 2 * g for n, m, b, g in zip(part.pixels.shape, (70, 81), own.border, own.grid, strict=True)
    )


def test_an_image_that_sees_past_its_border_everywhere_has_nothing_that_counts():
    method = method_for(psf="gaussian:2")
    part = part_of(open_image(RAW[0, 0, 0, :9, :9]), method, method.undoes, size=256, seed=0)
    assert part.pixels[part.counted].size == 0


def test_pixels_that_are_not_finite_are_the_mean_of_the_others():
    pixels = np.array([1, np.nan, 3, np.inf], np.float32)
    assert filled(pixels).tolist() == [1, 2, 3, 2]
    assert filled(np.full(3, np.nan, np.float32)).tolist() == [0, 0, 0]

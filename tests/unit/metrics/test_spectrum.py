"""The power of a residual by frequency, and how sure a mean over its pixels is."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_restore.core.errors import ImageError
from napari_restore.metrics.spectrum import RINGS, ring_period, ring_power, standard_error


def test_noise_has_the_same_power_everywhere_and_a_wave_where_it_is():
    white = np.random.default_rng(0).standard_normal((200, 256))
    spectrum = ring_power(white)
    assert np.allclose(spectrum[spectrum > 0], 1, atol=0.15)
    wave = np.cos(2 * np.pi * np.arange(256) * 0.19)
    ring = int(np.argmax(ring_power(white + wave)[1:])) + 1
    assert ring == int(0.19 * 2 * RINGS)
    assert ring_period(ring) == pytest.approx(1 / 0.19, rel=0.05)


def test_few_frequencies_say_nothing_and_many_planes_say_more():
    rng = np.random.default_rng(0)
    assert (ring_power(rng.standard_normal((17, 23))) == 0).all()
    assert (ring_power(rng.standard_normal((60, 40, 44)))[1:] > 0).all()


def test_a_line_has_no_spectrum():
    with pytest.raises(ImageError, match=r"residual of shape \(9,\). Give an array"):
        ring_power(np.zeros(9))


def test_the_standard_error_of_a_mean_is_what_chance_does_to_smooth_fields():
    fields = [gaussian_filter(np.random.default_rng(seed).normal(size=(130, 150)), 2) for seed in range(60)]
    said = np.median([standard_error(field) for field in fields])
    assert said == pytest.approx(np.std([field.mean() for field in fields]), rel=0.25)

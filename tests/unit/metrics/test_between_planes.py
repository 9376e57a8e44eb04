"""How alike the noise of planes beside each other is."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_restore.metrics.between_planes import noise_between


def stack(blur, *, seed=0, shape=(5, 90, 77)):
    """One scene with edges in all planes, and noise that was blurred along Z, Y and X."""
    rng = np.random.default_rng(seed)
    scene = 100.0 * (gaussian_filter(rng.normal(size=shape[1:]), 8) > 0)
    noise = gaussian_filter(rng.normal(size=shape), blur, mode="wrap")
    return scene + 10 * noise / noise.std()


def pairs(planes):
    return list(pairwise(planes))


@pytest.mark.parametrize("blur", [(0, 0, 0), (0, 1, 1), (0, 0, 0.8)])
def test_what_planes_show_alike_is_not_their_noise(blur):
    assert abs(noise_between(pairs(stack(blur)))) < 0.1


@pytest.mark.parametrize("blur", [(0.6, 0, 0), (0.6, 0.6, 0.6), (0.6, 1, 1)])
def test_noise_that_was_blurred_from_plane_to_plane_is_found(blur):
    line = np.zeros(31)
    line[15] = 1
    spread = gaussian_filter(line, 0.6)
    wanted = float(spread[1:] @ spread[:-1] / (spread @ spread))
    assert noise_between(pairs(stack(blur))) == pytest.approx(wanted, abs=0.08)


def test_what_was_not_measured_does_not_count():
    planes = stack((0.6, 0, 0))
    planes[:, :20] = np.nan
    planes[:, :, 60:] = 7
    assert noise_between(pairs(planes)) > 0.3


@pytest.mark.parametrize("planes", [np.zeros((2, 5, 90)), np.full((2, 64, 64), 7.0), np.full((2, 64, 64), np.nan)])
def test_where_nothing_can_be_told_nothing_is_alike(planes):
    assert noise_between(pairs(planes)) == 0


def test_of_no_planes_nothing_is_alike():
    assert noise_between([]) == 0

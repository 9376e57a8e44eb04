"""What methods are told of the noise: sure estimates are rounded up, doubtful ones are not trusted whole."""

import numpy as np
import pytest

from napari_restore.methods.measuring import measure
from napari_restore.metrics.noise_level import estimate
from napari_restore.sources import open_image


def textured(seed=0):
    """Nothing flat: a texture as fine as a pixel, stronger from place to place."""
    rng = np.random.default_rng(seed)
    strength = np.kron(rng.uniform(2, 40, (6, 7)), np.ones((13, 11)))
    return (100 + strength * rng.normal(size=strength.shape)).astype(np.float32)


def flat(seed=0):
    return (100 + 5 * np.random.default_rng(seed).normal(size=(93, 111))).astype(np.float32)


@pytest.mark.parametrize("blurred", [False, True])
def test_a_sure_level_is_rounded_up_and_taken_by_sure(blurred):
    level = estimate([flat()])
    assert level.reliable
    found = measure([open_image(flat())], noise="auto", risk="auto", blurred=blurred)
    assert found.risk == "sure"
    assert level.sigma < found.sigma[0] <= 1.1 * level.sigma


def test_a_doubtful_level_is_an_upper_bound_and_taken_by_r2r():
    level = estimate([textured()])
    assert not level.reliable
    found = measure([open_image(textured())], noise="auto", risk="auto")
    assert found.risk == "r2r"
    assert 0 < found.sigma[0] < 0.7 * level.sigma
    assert any("not reliable" in note.text for note in found.notes)


def test_in_a_blurred_image_what_is_fine_is_noise():
    found = measure([open_image(textured())], noise="auto", risk="auto", blurred=True)
    assert found.sigma[0] > estimate([textured()]).sigma


def test_what_the_user_says_is_taken_as_it_is():
    found = measure([open_image(textured())], noise=7.0, risk="auto")
    assert (found.sigma, found.risk) == ((7.0,), "sure")

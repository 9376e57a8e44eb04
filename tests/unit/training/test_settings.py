import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from napari_restore.core.errors import RestoreError
from napari_restore.core.options import Computing, Training
from napari_restore.sources import open_image
from napari_restore.store.model import build_method
from napari_restore.training.settings import Budget, TrainingSettings, fit_patch, learning_rate_at

USUAL = (64, 64)


def zeros(*shape, axes=None):
    return open_image(np.zeros(shape, np.uint8), axes=axes)


def tiny(spatial):
    return build_method("noise2void", {"width": 4, "depth": 1}, spatial=spatial, channels=1)


def test_a_budget_ends_with_whichever_is_first():
    budget = Budget(steps=100, seconds=10)
    assert budget.fraction(0, 0) == 0
    assert budget.fraction(50, 1) == 0.5
    assert budget.fraction(5, 9) == 0.9
    assert budget.fraction(1000, 1) == 1
    assert Budget(seconds=10).fraction(10**9, 5) == 0.5


@pytest.mark.parametrize("value", [0, -1, math.inf, math.nan])
@pytest.mark.parametrize("name", ["steps", "seconds"])
def test_a_budget_is_a_positive_number(name, value):
    with pytest.raises(RestoreError, match=f"{name} = {value}"):
        Budget(**{name: value})


def test_a_budget_must_be_given():
    with pytest.raises(RestoreError, match="give steps or seconds"):
        Budget()


def test_settings_are_what_the_options_come_to():
    asked = Training(patch=[32, 32], batch=3, learning_rate=1e-3, steps=7)
    settings = TrainingSettings.settled(asked, Computing(seed=5, precision="float32"), usual_seconds=60, run="run")
    assert settings == TrainingSettings(
        Budget(steps=7), patch=(32, 32), batch=3, learning_rate=1e-3, precision="float32", seed=5, run=Path("run")
    )


@pytest.mark.parametrize(
    ("given", "budget"),
    [
        ({}, Budget(seconds=60)),
        ({"steps": 5}, Budget(steps=5)),
        ({"seconds": 2.5}, Budget(seconds=2.5)),
        ({"steps": 5, "seconds": 2.5}, Budget(5, 2.5)),
    ],
)
def test_the_usual_seconds_are_the_budget_where_none_is_given(given, budget):
    assert TrainingSettings.settled(Training(**given), Computing(), usual_seconds=60).budget == budget


@pytest.mark.parametrize("value", [0, -1e-3, math.inf, math.nan])
def test_a_learning_rate_is_a_positive_number(value):
    """Zero is not the method's own: that is None."""
    with pytest.raises(RestoreError, match=f"`learning_rate` = {value}: give a number over 0") as error:
        Training(learning_rate=value)
    assert "\n" not in str(error.value)
    assert TrainingSettings.settled(Training(), Computing(), usual_seconds=60).learning_rate is None


def test_the_learning_rate_rises_stays_and_falls_to_zero():
    rates = [learning_rate_at(i / 1000, peak=2e-3) for i in range(1001)]
    assert 0 < rates[0] < 2e-4
    assert rates[300] == max(rates) == 2e-3
    assert all(b >= a for a, b in pairwise(rates[:51]))
    assert set(rates[50:301]) == {2e-3}
    assert all(b < a for a, b in pairwise(rates[300:]))
    assert rates[-1] == pytest.approx(0, abs=1e-12)
    assert max(abs(b - a) for a, b in pairwise(rates)) < 0.05 * 2e-3, "a jump"


@pytest.mark.parametrize(
    ("shape", "axes", "spatial", "grid", "patch"),
    [
        ((512, 512), "YX", "YX", (4, 4), (64, 64)),
        ((17, 23), "YX", "YX", (4, 4), (16, 20)),
        ((100, 8, 700), "ZYX", "YX", (8, 8), (8, 64)),
        ((100, 512, 512), "ZYX", "ZYX", (1, 4, 4), (16, 48, 48)),
        ((5, 17, 512), "ZYX", "ZYX", (1, 4, 4), (5, 16, 48)),
        ((512, 30), "XY", "YX", (4, 4), (28, 64)),
    ],
)
def test_the_usual_patch_lies_in_the_image_and_on_the_grid(shape, axes, spatial, grid, patch):
    usual = {2: (64, 64), 3: (16, 48, 48)}[len(spatial)]
    image = zeros(*shape, axes=axes)
    assert fit_patch([image], spatial=spatial, grid=grid, asked=None, usual=usual) == patch
    assert tiny(spatial).patch == usual, "what methods have that say nothing else"


def test_a_patch_lies_in_every_image():
    images = [zeros(512, 17), zeros(23, 512)]
    assert fit_patch(images, spatial="YX", grid=(2, 2), asked=None, usual=USUAL) == (22, 16)


def test_a_patch_that_was_asked_for_is_taken_or_refused_but_not_changed():
    image = zeros(40, 56)
    assert fit_patch([image], spatial="YX", grid=(4, 4), asked=(40, 8), usual=USUAL) == (40, 8)
    with pytest.raises(RestoreError, match="axis Y: a patch of 44 px does not fit an image of 40 px in multiples of 4"):
        fit_patch([image], spatial="YX", grid=(4, 4), asked=(44, 8), usual=USUAL)
    with pytest.raises(RestoreError, match=r"axis X: a patch of 30 px .* Use at most 56"):
        fit_patch([image], spatial="YX", grid=(4, 4), asked=(40, 30), usual=USUAL)


def test_an_image_smaller_than_the_grid_is_refused():
    with pytest.raises(RestoreError, match=r"axis X: a patch of 64 px does not fit an image of 5 px .*smaller depth"):
        fit_patch([zeros(40, 5)], spatial="YX", grid=(8, 8), asked=None, usual=USUAL)

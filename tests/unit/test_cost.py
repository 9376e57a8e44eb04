"""What a run will take is said before it starts, for every method."""

from functools import partial
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest

from napari_restore import estimate_cost, methods
from napari_restore.core.errors import RestoreError
from napari_restore.methods.free import held
from napari_restore.restoration import memory
from napari_restore.sources import open_image
from napari_restore.store.model import build_method

RNG = np.random.default_rng(0)
STACK = RNG.normal(100, 10, (6, 96, 96)).astype(np.float32)
SMALL = {"width": 4}
FILLING = ("inpainting", "interpolation")
"""Methods that want something missing."""


def settings(name: str) -> dict[str, object]:
    if name == "finer_planes":
        return {"factor": {"Z": 2}}
    if name == "interpolation":
        return {}
    if not methods.listed(name).learns:
        return {"psf": "gaussian:1", "noise": 10.0} | ({"iterations": 1} if name == "deep_image_prior" else {})
    fields = methods.find(name).Config.__dataclass_fields__
    if "second_psf" in fields:
        return {"psf": "gaussian:1", "second_psf": "gaussian:2", "noise": 10.0} | SMALL
    undone = {"factor": 2, "noise": 10.0} if "factor" in fields else {"psf": "gaussian:1"} if "psf" in fields else {}
    return undone | (SMALL if "width" in fields else {})


@pytest.mark.parametrize("name", ["auto", *(name for name in methods.METHODS if name != "careamics")])
def test_every_method_can_be_estimated(name: str) -> None:
    stack = np.where(RNG.random(STACK.shape) < 0.1, np.nan, STACK) if name in FILLING else STACK
    cost = estimate_cost(stack, name, axes="ZYX", **(SMALL if name == "auto" else settings(name)))
    assert cost.method in methods.METHODS and name in ("auto", cost.method)
    assert cost.fits and held() / 2 < cost.memory < cost.memory_limit
    assert cost.restoring_seconds > 0 and cost.training_seconds


def test_more_pixels_take_longer_and_at_most_the_pool_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The small tile that is timed takes a second each time, however busy the machine is."""
    clock = SimpleNamespace(perf_counter=partial(next, count()))
    monkeypatch.setattr("napari_restore.restoration.engine.time", clock)
    large = np.broadcast_to(RNG.normal(100, 10, (1, 256, 256)).astype(np.float32), (2000, 256, 256))
    asked = {"axes": "ZYX", "similar": "no", **SMALL}  # patches are looked for in images that are not large alone
    few, many = (estimate_cost(x, "noise2void", **asked) for x in (large[:10], large))
    assert many.restoring_seconds == 200 * few.restoring_seconds > 0
    assert many.memory - few.memory < 1.1 * 2**30


def test_a_deep_image_prior_takes_as_long_as_all_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """The few that are timed take a second; an image of zeros, where it stops at once, would tell nothing."""
    clock = SimpleNamespace(perf_counter=partial(next, count()))
    monkeypatch.setattr("napari_restore.restoration.engine.time", clock)
    given = {"psf": "gaussian:1", "noise": 10.0, "targets": "one", "axes": "YX"}
    costs = [estimate_cost(STACK[0], "deep_image_prior", iterations=n, **given) for n in (8, 80, 800)]
    few, some, many = (cost.restoring_seconds for cost in costs)
    assert some == pytest.approx(10 * few) and many == pytest.approx(100 * few)


def test_what_is_timed_misses_something_where_that_takes_time() -> None:
    """Interpolation of an image that is whole takes no time."""
    gapped = np.where(RNG.random(STACK[0].shape) < 0.2, np.nan, STACK[0])
    image = open_image(gapped, axes="YX")
    fit = methods.find("interpolation").fit_to(methods.configure("interpolation", {}), [image])
    method = build_method("interpolation", fit.config, spatial=fit.spatial, channels=1, seed=0)
    assert 0.05 < np.isnan(method.usual((64, 64))).mean() < 0.4


def test_a_budget_in_steps_has_no_time() -> None:
    assert estimate_cost(STACK, "noise2void", axes="ZYX", steps=10, **SMALL).training_seconds is None
    assert estimate_cost(STACK, "noise2void", axes="ZYX", seconds=7, **SMALL).training_seconds == 7


def test_what_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 2**18)
    with pytest.raises(RestoreError, match="more than is held now"):
        estimate_cost(STACK, "noise2void", axes="ZYX", **SMALL)


def test_an_effort_that_is_none_is_refused() -> None:
    with pytest.raises(RestoreError, match="`effort` = 'heroic': give instant, quick, normal or thorough"):
        estimate_cost(STACK, "noise2void", axes="ZYX", effort="heroic")  # type: ignore[arg-type]

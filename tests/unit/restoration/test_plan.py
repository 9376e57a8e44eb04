"""What is settled before the first tile, without reading a pixel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from napari_restore.core.errors import ModelError, RestoreError
from napari_restore.core.normalisation import Normalisation
from napari_restore.core.options import Restoring
from napari_restore.restoration.plan import (
    RestorationPlan,
    check_tile,
    choose_dtype,
    plan_restoration,
    tiles_over,
    usual_tile,
)
from napari_restore.restoration.reading import ImageFacts, facts_of
from napari_restore.restoration.running import Place
from napari_restore.sources import Image, open_image
from napari_restore.store.model import Model, build_method


def small_model(*, spatial: str = "YX", channels: int = 1, depth: int = 2, seed: int = 0) -> Model:
    config = {"dimensions": str(len(spatial)), "width": 2, "depth": depth}
    method = build_method("noise2void", config, spatial=spatial, channels=channels, seed=seed)
    return Model("noise2void", method.eval(), Normalisation((0.0,) * channels, (1.0,) * channels))


def test_an_image_with_other_channels_is_refused_with_both_numbers() -> None:
    image = open_image(np.zeros((3, 20, 20), np.uint8), axes="CYX")
    with pytest.raises(ModelError, match="3 channels and the model was trained on 1"):
        tiles_over(image, small_model().method, Restoring())


def test_an_image_without_an_axis_the_model_looks_along_is_refused() -> None:
    with pytest.raises(ModelError, match="needs Z"):
        tiles_over(open_image(np.zeros((20, 20), np.uint8)), small_model(spatial="ZYX").method, Restoring())


def test_tiles_take_one_plane_and_all_channels() -> None:
    image = open_image(np.zeros((4, 3, 5, 60, 70), np.uint8), axes="TCZYX")
    plan = tiles_over(image, small_model(channels=3).method, Restoring())
    assert plan.tile == (1, 3, 1, 60, 72)
    assert plan.halo == (0, 0, 0, 28, 28)
    assert len(plan) == 20


def test_a_tile_of_the_wrong_number_of_axes_is_refused() -> None:
    with pytest.raises(RestoreError, match="give 2 positive lengths, along YX"):
        tiles_over(open_image(np.zeros((20, 20), np.uint8)), small_model().method, Restoring(tile=(5, 5, 5)))
    with pytest.raises(RestoreError, match=r"`tile` = .*give 3 positive lengths, along ZYX"):  # before there is a model
        check_tile((5, 5), "ZYX")


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_halos_cost_at_most_a_quarter(depth: int) -> None:
    method = small_model(depth=depth).method
    tile = usual_tile(method)
    assert (tile[0] + 2 * method.radius[0]) ** 2 / tile[0] ** 2 <= 1.25


@pytest.mark.parametrize(("sigma", "expected"), [(30, np.uint16), (2, np.float32), (0, np.float32)])
def test_integers_are_kept_where_rounding_is_lost_in_the_noise(sigma: float, expected: type) -> None:
    pixels = np.random.default_rng(0).normal(1000, sigma, (128, 128)).round().astype(np.uint16)
    image = open_image(pixels)
    dtype, why = choose_dtype(image.dtype, facts_of(image).noise)
    assert dtype == expected
    assert str(np.dtype(expected)) in why


def test_floating_point_stays_float32() -> None:
    image = open_image(np.zeros((20, 20), np.float32))
    assert facts_of(image).noise is None
    assert choose_dtype(image.dtype, None)[0] == np.float32
    assert choose_dtype(np.dtype(np.float64), 0.1, Normalisation((3.0,), (1.0,)))[0] == np.float32


@pytest.mark.parametrize(
    ("source", "noise", "middle", "expected"),
    [
        (np.float64, 0.05, 1e9, np.float64),
        (np.float64, 0.0, 1e9, np.float64),
        (np.float64, 50.0, 1e6, np.float32),
        (np.float32, None, 1e9, np.float32),
        (np.uint32, 10.0, 2.0**31, np.uint32),
        (np.uint32, 1.0, 2.0**31, np.float64),
        (np.uint32, 1.0, 100.0, np.float32),
    ],
)
def test_a_result_has_the_digits_that_its_image_needs(source, noise, middle, expected) -> None:
    assert choose_dtype(np.dtype(source), noise, Normalisation((middle,), (3.0,)))[0] == expected


FACTS = ImageFacts(noise=None, pixels="0123456789abcdef", files=None)


def planned(image: Image, model: Model, facts: ImageFacts = FACTS, **options: object) -> RestorationPlan:
    restoring = Restoring(**options)  # type: ignore[arg-type]
    place = Place(torch.device("cpu"), "float32", "CPU")
    tiles = tiles_over(image, model.method, restoring)
    return plan_restoration(image, model, tiles, restoring, place=place, facts=facts)


def test_the_fingerprint_tells_images_and_models_apart() -> None:
    rng = np.random.default_rng(0)
    first, second = (open_image(rng.normal(size=(40, 50)).astype(np.float32)) for _ in range(2))
    model, other = small_model(), small_model(seed=1)

    def mark(image: Image, model: Model) -> Mapping[str, Any]:
        return planned(first, model, facts_of(image)).fingerprint

    assert mark(first, model) == mark(first, model)
    assert mark(first, model)["image"] != mark(second, model)["image"]
    assert mark(first, model)["model"] != mark(first, other)["model"]


def test_a_region_is_in_the_fingerprint_and_what_is_written_and_the_whole_image_is_in_neither() -> None:
    image, model = open_image(np.zeros((3, 40, 50), np.float32), axes="ZYX"), small_model()
    whole, part = planned(image, model), planned(image, model, region={"Y": (7, 40), "Z": 1})
    assert planned(image, model, region={"Y": (0, 40)}).fingerprint == whole.fingerprint
    assert "region" not in {**whole.fingerprint, **whole.provenance}
    said = {"Z": [1, 2], "Y": [7, 40], "X": [0, 50]}
    assert part.fingerprint["region"] == part.provenance["region"] == said
    assert part.geometry.shape == (1, 33, 50) and part.geometry.origin == (1.0, 7.0, 0.0)
    same = {"image", "model", "halo", "rate", "batch", "dtype", "device", "precision"}
    assert {k: part.fingerprint[k] for k in same} == {k: whole.fingerprint[k] for k in same}


def test_planning_reads_no_pixel() -> None:
    def broken(_: object) -> None:
        raise AssertionError("read")

    image = replace(open_image(np.zeros((40, 50), np.float32)), reader=broken)  # type: ignore[arg-type]
    assert planned(image, small_model(), tile=(16, 16), together=3).batch == 3

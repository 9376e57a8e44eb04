"""What is settled before the first tile."""

from __future__ import annotations

import numpy as np
import pytest

from napari_restore.core.errors import ModelError, RestoreError
from napari_restore.core.normalisation import Normalisation
from napari_restore.restoration.prepare import check_fit, choose_dtype, fingerprint, plan_image, usual_tile
from napari_restore.sources import open_image
from napari_restore.store.model import Model, build_method


def small_model(*, spatial: str = "YX", channels: int = 1, depth: int = 2, seed: int = 0) -> Model:
    config = {"dimensions": str(len(spatial)), "width": 2, "depth": depth}
    method = build_method("noise2void", config, spatial=spatial, channels=channels, seed=seed)
    return Model("noise2void", method.eval(), Normalisation((0.0,) * channels, (1.0,) * channels))


def test_an_image_with_other_channels_is_refused_with_both_numbers() -> None:
    image = open_image(np.zeros((3, 20, 20), np.uint8), axes="CYX")
    with pytest.raises(ModelError, match="3 channels and the model was trained on 1"):
        check_fit(image, small_model())


def test_an_image_without_an_axis_the_model_looks_along_is_refused() -> None:
    with pytest.raises(ModelError, match="needs Z"):
        check_fit(open_image(np.zeros((20, 20), np.uint8)), small_model(spatial="ZYX"))


def test_tiles_take_one_plane_and_all_channels() -> None:
    image = open_image(np.zeros((4, 3, 5, 60, 70), np.uint8), axes="TCZYX")
    plan = plan_image(image, small_model(channels=3).method, None)
    assert plan.tile == (1, 3, 1, 60, 72)
    assert plan.halo == (0, 0, 0, 24, 24)
    assert len(plan) == 20


def test_a_tile_of_the_wrong_number_of_axes_is_refused() -> None:
    with pytest.raises(RestoreError, match="give 2 positive lengths, along YX"):
        plan_image(open_image(np.zeros((20, 20), np.uint8)), small_model().method, (5, 5, 5))


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_halos_cost_at_most_a_quarter(depth: int) -> None:
    method = small_model(depth=depth).method
    tile = usual_tile(method)
    assert (tile[0] + 2 * method.radius[0]) ** 2 / tile[0] ** 2 <= 1.25


@pytest.mark.parametrize(("sigma", "expected"), [(30, np.uint16), (2, np.float32), (0, np.float32)])
def test_integers_are_kept_where_rounding_is_lost_in_the_noise(sigma: float, expected: type) -> None:
    pixels = np.random.default_rng(0).normal(1000, sigma, (128, 128)).round().astype(np.uint16)
    dtype, why = choose_dtype(open_image(pixels))
    assert dtype == expected
    assert str(np.dtype(expected)) in why


def test_floating_point_stays_float32() -> None:
    assert choose_dtype(open_image(np.zeros((20, 20), np.float64)))[0] == np.float32


def test_the_fingerprint_tells_images_and_models_apart() -> None:
    rng = np.random.default_rng(0)
    first, second = (open_image(rng.normal(size=(40, 50)).astype(np.float32)) for _ in range(2))
    model, other = small_model(), small_model(seed=1)

    def mark(image: object, model: Model) -> dict[str, object]:
        plan = plan_image(first, model.method, None)
        return fingerprint(
            image,
            model,
            plan,
            batch=1,
            dtype=np.dtype("f4"),
            device="cpu",
            precision="float32",  # type: ignore[arg-type]
        )

    assert mark(first, model) == mark(first, model)
    assert mark(first, model)["image"] != mark(second, model)["image"]
    assert mark(first, model)["model"] != mark(first, other)["model"]

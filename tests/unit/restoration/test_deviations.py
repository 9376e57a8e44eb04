"""The standard deviation of each restored pixel lies with the result, made by the same tiles."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_restore import restore, restore_events
from napari_restore.core.errors import OutputError
from napari_restore.core.events import Note, RestorationStarted, TileDone
from napari_restore.core.job import drain
from napari_restore.core.normalisation import Normalisation
from napari_restore.core.region import Region
from napari_restore.methods.apply import restore_region
from napari_restore.restoration.deviations import deviations_path, made_at
from napari_restore.sources import open_image
from napari_restore.store.model import Model, build_method

SETTLED = {"sigma": (10.0,), "gain": (0.5,), "offset": (80.0,), "mean": (100.0,), "std": (20.0,), "combine": "yes"}
PAIRS = ((0.01, 0.03), (0.1, 0.1), (2.0, 1.0))


def model_of(name: str = "posterior", **config: Any) -> Model:
    torch.manual_seed(0)
    method = build_method(name, {"width": 4, "depth": 1, **config}, spatial="YX", channels=1)
    for parameter in method.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return Model(name, method.eval(), Normalisation((100.0,), (20.0,)))


@pytest.fixture(scope="module")
def model() -> Model:
    return model_of(**SETTLED, told=(PAIRS,))


@pytest.fixture
def pixels() -> Any:
    return np.random.default_rng(0).normal(100, 20, (60, 70)).astype(np.float32)


@pytest.mark.parametrize("name", ["r.ome.zarr", "r.ome.tif", "r.tiff", ""])
def test_they_lie_with_the_result_and_are_those_of_the_whole_image(
    model: Model, pixels: Any, tmp_path: Path, name: str
) -> None:
    output = tmp_path / name if name else None
    result = restore(pixels, model, uncertainty=True, output=output, tile=(32, 32), device="cpu")
    method = model.method.deviations()
    image = open_image(pixels)
    wanted = restore_region(
        method, image, Region.of_shape(image.shape), normalisation=model.normalisation, device=torch.device("cpu")
    )
    found = np.asarray(result.uncertainty)
    np.testing.assert_allclose(found, wanted, rtol=1e-4)
    assert found.dtype == np.float32 and (found > 0).all() and result.uncertainty.suffix == "std"
    assert result.uncertainty.pixel_size == result.pixel_size
    if output is not None:
        place = deviations_path(output)
        np.testing.assert_array_equal(open_image(place).read(), found)
        assert {p.name for p in tmp_path.iterdir()} == {name, *([] if name.endswith("zarr") else [place.name])}


@pytest.mark.parametrize("name", ["r.ome.zarr", "r.ome.tif"])
def test_they_are_gone_on_with_after_a_stop_and_made_once(model: Model, pixels: Any, tmp_path: Path, name: str) -> None:
    how: dict[str, Any] = {"uncertainty": True, "output": tmp_path / name, "tile": (32, 32), "device": "cpu"}
    events, beside = restore_events(pixels, model, **how), False
    for event in events:
        beside = beside or (isinstance(event, RestorationStarted) and event.suffix == "std")
        if beside and isinstance(event, TileDone):
            break
    events.close()
    assert (tmp_path / name).exists() and not deviations_path(tmp_path / name).exists()
    seen: list[Any] = []
    result = drain(restore_events(pixels, model, **how), seen.append)
    begun = [event for event in seen if isinstance(event, RestorationStarted)]
    assert [event.suffix for event in begun] == ["std"] and begun[0].done >= 1
    whole = restore(pixels, model, **{**how, "output": None})
    np.testing.assert_array_equal(np.asarray(result.uncertainty), np.asarray(whole.uncertainty))
    again: list[Any] = []
    drain(restore_events(pixels, model, **how), again.append)
    assert not any(isinstance(event, TileDone) for event in again)


def test_what_is_handed_on_has_none(model: Model, pixels: Any) -> None:
    pixels[5, 6], pixels[20:23] = np.nan, np.nan
    found = np.asarray(restore(pixels, model, uncertainty=True, device="cpu").uncertainty)
    np.testing.assert_array_equal(np.isnan(found), np.isnan(pixels))


def test_twice_the_units_are_twice_the_deviations(model: Model, pixels: Any) -> None:
    twice = replace(
        model,
        method=model_of(**SETTLED, told=(PAIRS,)).method,
        normalisation=Normalisation((207.0,), (40.0,)),
    )
    one, two = (
        np.asarray(restore(y, m, uncertainty=True, device="cpu").uncertainty)
        for y, m in ((pixels, model), (2 * pixels + 7, twice))
    )
    np.testing.assert_allclose(two, 2 * one, rtol=1e-3)


@pytest.mark.parametrize(
    ("name", "config", "words"),
    [("noise2void", {}, "cannot tell how sure"), ("posterior", SETTLED, "trained before uncertainty could be told")],
)
def test_a_method_that_cannot_tell_says_so(pixels: Any, name: str, config: Any, words: str) -> None:
    seen: list[Any] = []
    result = drain(restore_events(pixels, model_of(name, **config), uncertainty=True, device="cpu"), seen.append)
    assert result.uncertainty is None and result.complete
    assert any(isinstance(event, Note) and words in event.text for event in seen)


def test_a_file_of_somebody_else_in_their_place_is_refused_before_anything_is_done(
    model: Model, pixels: Any, tmp_path: Path
) -> None:
    taken = made_at(tmp_path / "r.tif")
    taken.write_bytes(b"mine")
    with pytest.raises(OutputError, match="exists already"):
        restore(pixels, model, uncertainty=True, output=tmp_path / "r.tif", device="cpu")
    assert taken.read_bytes() == b"mine" and not (tmp_path / "r.tif").exists()

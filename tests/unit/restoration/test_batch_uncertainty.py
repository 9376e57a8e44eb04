"""A folder restored with how sure each pixel is: beside the results, made once, gone on with, never over a stranger."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from napari_restore import open_image, restore, restore_folder, restore_folder_events
from napari_restore.core.events import Note, RestorationStarted, TileDone
from napari_restore.core.job import drain
from napari_restore.core.normalisation import Normalisation
from napari_restore.store.model import Model, build_method

PAIRS = ((0.01, 0.03), (0.1, 0.1), (2.0, 1.0))
SETTLED = {"sigma": (5.0,), "gain": (0.0,), "offset": (0.0,), "mean": (100.0,), "std": (20.0,), "similar": "no"}


def model_of(name: str = "posterior", **config: Any) -> Model:
    torch.manual_seed(0)
    method = build_method(name, {"width": 4, "depth": 1, **config}, spatial="YX", channels=1)
    return Model(name, method.eval(), Normalisation((100.0,), (20.0,)))


@pytest.fixture(scope="module")
def model() -> Model:
    return model_of(**SETTLED, told=(PAIRS,))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng, place = np.random.default_rng(0), tmp_path / "images"
    place.mkdir()
    tifffile.imwrite(place / "a.tif", rng.normal(100, 20, (40, 52)).astype(np.float32))
    np.save(place / "b.npy", rng.normal(100, 20, (37, 33)).astype(np.float32))
    return place


def run(*args: Any, stop: threading.Event | None = None, **options: Any) -> tuple[dict[str, str], list[Any]]:
    """States by name, and events; stopped at the first tile of the second restoration, which is of deviations."""
    seen: list[Any] = []

    def look(event: Any) -> None:
        seen.append(event)
        begun = [e for e in seen if isinstance(e, RestorationStarted)]
        if stop is not None and isinstance(event, TileDone) and len(begun) > 1:
            stop.set()

    states = drain(restore_folder_events(*args, stop=stop, **options), look)
    return {Path(each.path).name: each.state for each in states}, seen


def test_they_lie_with_each_result_and_are_made_once(folder: Path, model: Model) -> None:
    """Also where results lie among the images, whose deviations are no images then."""
    how: dict[str, Any] = {"output": folder, "uncertainty": True, "device": "cpu"}
    states, _ = run(folder, model, **how)
    assert states == {"a.tif": "done", "b.npy": "done"}
    alone = restore(folder / "a.tif", model, uncertainty=True, device="cpu")
    found = open_image(folder / "a_denoised_std.tif").read()
    np.testing.assert_array_equal(found, np.asarray(alone.uncertainty))
    assert open_image(folder / "b_denoised.ome.zarr" / "uncertainty.zarr").shape == (37, 33)
    again, seen = run(folder, model, **how)
    assert again == {"a.tif": "skipped", "b.npy": "skipped"}
    assert not [event for event in seen if isinstance(event, TileDone)]


def test_asked_for_later_the_results_stay(folder: Path, model: Model, tmp_path: Path) -> None:
    out = tmp_path / "out"
    restore_folder(folder, model, output=out, device="cpu")
    before = {path.name: path.stat().st_mtime_ns for path in out.glob("a_denoised.tif")}
    states, _ = run(folder, model, output=out, uncertainty=True, device="cpu")
    assert set(states.values()) == {"done"} and (out / "a_denoised_std.tif").is_file()
    assert before == {path.name: path.stat().st_mtime_ns for path in out.glob("a_denoised.tif")}
    (out / "a_denoised_std.tif").unlink()
    assert run(folder, model, output=out, uncertainty=True, device="cpu")[0] == {"a.tif": "done", "b.npy": "skipped"}


def test_a_stop_amid_them_is_gone_on_with(folder: Path, model: Model, tmp_path: Path) -> None:
    how: dict[str, Any] = {"output": tmp_path / "out", "uncertainty": True, "tile": (16, 16), "device": "cpu"}
    states, _ = run(folder, model, stop=threading.Event(), **how)
    assert states == {"a.tif": "waiting", "b.npy": "waiting"}
    states, _ = run(folder, model, **how)
    assert set(states.values()) == {"done"}
    alone = restore(folder / "a.tif", model, uncertainty=True, tile=(16, 16), device="cpu")
    np.testing.assert_array_equal(open_image(tmp_path / "out/a_denoised_std.tif").read(), np.asarray(alone.uncertainty))


def test_a_stranger_of_that_name_is_kept(folder: Path, model: Model, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "a_denoised_std.tif").write_text("mine")
    states, _ = run(folder, model, output=out, uncertainty=True, device="cpu")
    assert states == {"a.tif": "failed", "b.npy": "done"}
    assert (out / "a_denoised_std.tif").read_text() == "mine" and (out / "a_denoised.tif").is_file()
    states, _ = run(folder, model, output=out, uncertainty=True, overwrite=True, device="cpu")
    assert states == {"a.tif": "done", "b.npy": "skipped"}


def test_who_cannot_tell_says_so_once_and_restores(folder: Path, tmp_path: Path) -> None:
    states, seen = run(folder, model_of("noise2void"), output=tmp_path / "out", uncertainty=True, device="cpu")
    assert set(states.values()) == {"done"}
    said = [event.text for event in seen if isinstance(event, Note) and "cannot tell how sure" in event.text]
    assert len(said) == 1

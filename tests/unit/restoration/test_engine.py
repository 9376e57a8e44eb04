"""The way to a tile, and what a run asks of its runner."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_restore.core.errors import ModelError, RestoreError
from napari_restore.core.job import drain
from napari_restore.core.normalisation import Normalisation
from napari_restore.core.options import Computing, Restoring, Writing
from napari_restore.core.watch import Watch
from napari_restore.methods.noise2void import Noise2Void
from napari_restore.restoration.engine import foresee, restore_events
from napari_restore.restoration.local import LocalRunner
from napari_restore.restoration.result import Restored
from napari_restore.sources import Image, open_image
from napari_restore.store.model import Model, build_method

PACKAGE = "napari_restore"


@pytest.fixture
def image() -> Image:
    return open_image(np.random.default_rng(0).normal(100, 20, (60, 70)).astype(np.float32))


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    method = build_method("noise2void", {"width": 4, "depth": 1}, spatial="YX", channels=1)
    return Model("noise2void", method.eval(), Normalisation((100.0,), (20.0,)))


def run(image: Image, model: Model, output: Path, *, runner: object = None, **how: object) -> Restored:
    return drain(
        restore_events(
            image,
            model,
            output=output,
            restoring=Restoring(**how),  # type: ignore[arg-type]
            computing=Computing(device="cpu"),
            writing=Writing(),
            watch=Watch(),
            runner=runner,  # type: ignore[arg-type]
        )
    )


@pytest.mark.parametrize("share", [0.8, 0.002])
def test_five_functions_from_the_engine_to_the_forward_pass_of_a_tile(
    image: Image, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    """In pieces, too: the share is so small that tiles are cut."""
    seen: list[list[str]] = []
    real = Noise2Void.restore

    def restore(method: Noise2Void, pixels: torch.Tensor) -> torch.Tensor:
        frame, names = sys._getframe(1), ["restore"]
        while frame is not None:
            if frame.f_globals["__name__"].startswith(PACKAGE):
                names.append(frame.f_code.co_name)
            frame = frame.f_back
        seen.append(names)
        return real(method, pixels)

    monkeypatch.setattr(Noise2Void, "restore", restore)
    run(image, model, tmp_path / "o.zarr", tile=(32, 32), memory_share=share)
    ways = {tuple(names) for names in seen if "run" in names}
    assert ways == {("restore", "restore_tensor", "restore", "run", "restore_events", "drain")}


def test_what_does_not_fit_is_refused_before_a_runner_is_asked(image: Image, model: Model, tmp_path: Path) -> None:
    class Never:
        def ready(self, *_: object) -> object:
            raise AssertionError("asked")

    colour = open_image(np.zeros((3, 20, 20), np.uint8), axes="CYX")
    with pytest.raises(ModelError, match="3 channels"):
        run(colour, model, tmp_path / "o.zarr", runner=Never())
    for how, said in (({"tile": (5,)}, "`tile`"), ({"region": "Y=0:61"}, "`region`")):
        with pytest.raises(RestoreError, match=said):
            run(image, model, tmp_path / "o.zarr", runner=Never(), **how)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_a_runner_may_be_given(image: Image, model: Model, tmp_path: Path) -> None:
    mine = np.asarray(run(image, model, tmp_path / "a.zarr", runner=LocalRunner()))
    np.testing.assert_array_equal(mine, np.asarray(run(image, model, tmp_path / "b.zarr")))


def test_a_part_is_foreseen_to_take_less_time_and_no_more_memory(model: Model) -> None:
    image = open_image(np.zeros((4, 512, 512), np.float32), axes="ZYX")
    computing, tile = Computing(device="cpu"), (64, 64)
    long, _ = foresee(image, model, restoring=Restoring(tile=tile), computing=computing)
    short, memory = foresee(image, model, restoring=Restoring(tile=tile, region="Z=0,Y=0:64"), computing=computing)
    assert short < long / 4
    assert memory.fits
    with pytest.raises(RestoreError, match="`memory_share`"):
        foresee(image, model, restoring=Restoring(memory_share=1e-9), computing=computing)

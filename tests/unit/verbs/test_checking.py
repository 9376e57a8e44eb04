"""A model and an image are put to the guards at every door; a model of something else is flagged."""

from __future__ import annotations

import copy
import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from scipy.ndimage import gaussian_filter

from napari_restore import check, train
from napari_restore.cli import main
from napari_restore.core.errors import RestoreError
from napari_restore.store.model import build_method


def scene(seed=0, n=96):
    field = gaussian_filter(np.random.default_rng(seed).normal(size=(n, n)), 4)
    return 100 + 200 * (field - field.min())


@pytest.fixture(scope="module")
def noisy():
    return np.random.default_rng(1).normal(scene(), 6).astype(np.float32)


@pytest.fixture(scope="module")
def model(noisy):
    return train(noisy, axes="YX", method="posterior", width=8, steps=60, device="cpu")


def test_what_is_found_is_the_same_in_python_in_the_shell_and_in_json(model, noisy, tmp_path, monkeypatch, capsys):
    found = check(model, noisy, device="cpu")
    assert len(found.null) == 3 and all(0 < row.kept < 1 for row in found.null)
    assert [row.contrast for row in found.planted] == 2 * [0.5, 1, 2, 4, 8]
    assert found.maps["restored"].shape == found.maps["own"].shape == noisy.shape
    assert not any("trained on images of" in flag or "bear out" in flag for flag in found.flags), found.flags
    file, image = model.save(tmp_path / "m.safetensors"), tmp_path / "i.tif"
    tifffile.imwrite(image, noisy)
    for more in ([], ["--json"], ["-o", str(tmp_path / "f.json")]):
        monkeypatch.setattr(sys, "argv", ["napari-restore", "check", str(file), str(image), "--device", "cpu", *more])
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code
        said = capsys.readouterr().out
        if more == ["--json"]:
            assert {**json.loads(said), "image": "image"} == json.loads(json.dumps(found.report()))
        else:
            assert "noise alone keeps" in said and f"{len(found.flags)} flags" in said
    assert json.loads((tmp_path / "f.json").read_text())["null"][0]["name"] == "dark"


def test_the_same_image_at_twice_the_gain_is_flagged(model, noisy):
    found = check(model, 2 * noisy, device="cpu", size=64)
    assert any("another gain, exposure or content" in flag for flag in found.flags)


def test_a_model_that_makes_things_up_is_flagged(model, noisy):
    class MakesUp(type(model.method)):
        """Shows another image, whatever it is shown."""

        def restore(self, pixels):
            size = pixels.shape[-1]
            field = scene(7, size)[: pixels.shape[-2]]
            return 0 * pixels + pixels.new_tensor((field - field.mean()) / field.std())

    method = copy.deepcopy(model.method)
    method.__class__ = MakesUp
    found = check(replace(model, method=method), noisy, device="cpu", size=96)
    assert found.unsupported > 0.9 and any("does not bear out" in flag for flag in found.flags)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"size": 10}, "Give 64 or more"), ({"output": "x.txt"}, "ends in .json"), ({"output": "no/x.json"}, "not exist")],
)
def test_what_cannot_be_is_refused(model, noisy, options, words):
    with pytest.raises(RestoreError, match=words):
        check(model, noisy, device="cpu", **options)


def test_a_model_that_does_more_than_denoise_and_an_image_too_small_are_refused(model, noisy):
    with pytest.raises(RestoreError, match="64 x 64"):
        check(model, noisy[:40, :40], device="cpu")
    with pytest.raises(RestoreError, match="does not only take noise away"):
        method = build_method("richardson_lucy", {"psf": "gaussian:1"}, spatial="YX", channels=1)
        check(replace(model, name="richardson_lucy", method=method), noisy, device="cpu")
    with pytest.raises(RestoreError, match="has 3 channels and the model was trained on 1"):
        check(model, np.stack([noisy] * 3), axes="CYX", device="cpu")


def test_colour_planes_and_depth_are_looked_at(noisy):
    stack = np.stack([noisy, 3 * noisy])
    found = check(train(stack, axes="CYX", method="posterior", width=4, steps=3, device="cpu"), stack, axes="CYX")
    assert len(found.noise) == 2 and found.noise[1] == pytest.approx(3 * found.noise[0], rel=0.3)

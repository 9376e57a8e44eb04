"""Finer pixels and no blur, from Python and from the shell: a file that lies over its image, and one line where not."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from napari_restore import deblur, open_image, super_resolve
from napari_restore.cli import main
from napari_restore.core.errors import InterruptedWorkError
from napari_restore.core.events import Compared, from_json
from napari_restore.core.region import Region

QUICK = {"steps": 20, "width": 4, "blocks": 1, "device": "cpu"}
TINY = ("--steps", 20, "--set", "width=4", "--set", "blocks=1", "--device", "cpu")


def picture(*shape: int, seed: int = 0) -> Any:
    """Blobs under noise of 4 of 120 grey values, as a camera gives them."""
    rng = np.random.default_rng(seed)
    along = np.meshgrid(*[np.arange(n) for n in shape], indexing="ij")
    clean = 200 + 60 * np.sin(along[-1] / 5) * np.cos(along[-2] / 6) + 5 * along[0] / shape[0]
    return (clean + rng.normal(0, 4, shape)).round().astype(np.uint16)


def transform(path: Path) -> tuple[list[float], list[float]]:
    """Scale and translation of the pixels, from the file's own words (OME-NGFF 0.5)."""
    (scale,) = zarr.open_group(path, mode="r").attrs["ome"]["multiscales"]  # type: ignore[misc,index,call-overload]
    found = {t["type"]: t[t["type"]] for t in scale["datasets"][0]["coordinateTransformations"]}
    return found["scale"], found.get("translation", [0.0] * len(found["scale"]))


def test_a_finer_image_covers_exactly_what_its_image_covers(tmp_path: Path) -> None:
    size = {"Y": 0.5, "X": 0.2}
    result = super_resolve(picture(48, 60), factor=3, pixel_size=size, output=tmp_path / "o.zarr", **QUICK)
    assert result.shape == (144, 180)
    assert np.isfinite(np.asarray(result)).all()
    scale, translation = transform(tmp_path / "o.zarr")
    assert scale == pytest.approx([0.5 / 3, 0.2 / 3])
    assert translation == pytest.approx([(0.5 / 3 - 0.5) / 2, (0.2 / 3 - 0.2) / 2])
    back = open_image(tmp_path / "o.zarr")
    assert back.shape == (144, 180) and back.geometry == result.geometry
    first, last = back.geometry.origin[1], back.geometry.origin[1] + 179 * 0.2 / 3
    assert (first - 0.1 / 3, last + 0.1 / 3) == pytest.approx((-0.1, 59 * 0.2 + 0.1))
    coarse = np.asarray(result).reshape(48, 3, 60, 3).mean((1, 3))
    assert np.corrcoef(coarse.ravel(), picture(48, 60).ravel())[0, 1] > 0.95


def test_a_sharper_image_lies_where_its_image_does(tmp_path: Path) -> None:
    result = deblur(
        picture(48, 60), psf="gaussian:1", pixel_size={"Y": 0.5, "X": 0.2}, **QUICK, output=tmp_path / "o.zarr"
    )
    assert result.shape == (48, 60)
    scale, translation = transform(tmp_path / "o.zarr")
    assert scale == pytest.approx([0.5, 0.2]) and translation == pytest.approx([0, 0])


def test_results_are_called_what_was_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tifffile.imwrite("cells.tif", picture(40, 44))
    kernel = np.zeros((5, 5))
    kernel[2, 1:4] = 1 / 3
    finer, sharper = super_resolve("cells.tif", **QUICK), deblur("cells.tif", psf=kernel, **QUICK)
    assert [r.layer_kwargs["name"] for r in (finer, sharper)] == ["cells_superresolved", "cells_deblurred"]
    assert [r.path.name.partition(".")[0] for r in (finer, sharper)] == ["cells_superresolved", "cells_deblurred"]
    assert sharper.model.method.config.psf.startswith("inline:"), "the model can be used without the array"


def test_planes_between_thin_planes_leave_the_measured_ones_as_they_are(tmp_path: Path) -> None:
    stack = picture(5, 64, 70)
    size = {"Z": 2.0, "Y": 0.5, "X": 0.5}
    thin = {"factor": {"Z": 2}, "thickness": 0}
    result = super_resolve(stack, axes="ZYX", pixel_size=size, output=tmp_path / "o.zarr", **thin, **QUICK)
    found = np.asarray(result)
    assert found.shape == (10, 64, 70)
    np.testing.assert_array_equal(found[::2], stack)
    assert np.isfinite(found).all()
    between = (stack[:-1].astype(float) + stack[1:]) / 2
    assert np.abs(found[1:-1:2] - between).mean() < 10
    scale, translation = transform(tmp_path / "o.zarr")
    assert scale == pytest.approx([1.0, 0.5, 0.5]) and translation == pytest.approx([0, 0, 0])


class StopAfter(threading.Event):
    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks = looks

    def is_set(self) -> bool:
        self.looks -= 1
        return self.looks < 0


@pytest.mark.parametrize("verb", [super_resolve, deblur])
def test_stopped_and_resumed_is_as_never_stopped(verb: Any, tmp_path: Path) -> None:
    given = {"psf": "gaussian:1"} if verb is deblur else {"factor": 2}
    common = {**QUICK, **given, "tile": (32, 32), "precision": "float32"}
    whole = verb(picture(48, 60), output=tmp_path / "whole.zarr", **common)
    with pytest.raises(InterruptedWorkError):
        verb(picture(48, 60), output=tmp_path / "o.zarr", stop=StopAfter(7), **common)
    assert list((tmp_path / "o.zarr.training").glob("checkpoint-*.safetensors"))
    resumed = verb(picture(48, 60), output=tmp_path / "o.zarr", resume=True, **common)
    np.testing.assert_array_equal(np.asarray(resumed), np.asarray(whole))
    assert not [p.name for p in tmp_path.iterdir() if p.name.startswith("o.zarr.")]


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Any:
    """What the shell runs, without the seconds a process takes to start: exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["napari-restore", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        said = capfd.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return run


def test_super_resolve_from_the_shell(say: Any, tmp_path: Path) -> None:
    pixels = picture(40, 44)
    tifffile.imwrite(
        tmp_path / "raw.tif", pixels, imagej=True, resolution=(4.0, 4.0), metadata={"axes": "YX", "unit": "um"}
    )
    code, out, err = say("super-resolve", "raw.tif", "-o", "o.zarr", "--factor", 2, *TINY, "--json")
    assert code == 0, err
    events = [from_json(line) for line in out.splitlines()]
    names = [type(event).__name__ for event in events]
    assert names.index("Trained") < names.index("RestorationStarted") < names.index("Saved")
    assert not [e for e in events if isinstance(e, Compared)] or names.index("Compared") > names.index("Saved")
    code, out, _ = say("info", "o.zarr", "--json")
    card = json.loads(out)
    assert (code, card["shape"]) == (0, [80, 88])
    assert card["pixel_size"] == pytest.approx([0.125, 0.125])
    scale, translation = transform(tmp_path / "o.zarr")
    assert scale == pytest.approx([0.125] * 2) and translation == pytest.approx([-0.0625] * 2)


def test_deblur_from_the_shell_with_a_model_used_again(say: Any, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "raw.tif", picture(40, 44))
    code, _, err = say(
        "deblur", "raw.tif", "-o", "o.zarr", "--psf", "gaussian:1", *TINY, "--save-model", "m.safetensors"
    )
    assert code == 0, err
    code, _, err = say("restore", "raw.tif", "--model", "m.safetensors", "-o", "again.zarr", "--device", "cpu")
    assert code == 0, err
    one, other = (open_image(tmp_path / name) for name in ("o.zarr", "again.zarr"))
    whole = Region.of_shape(one.shape)
    np.testing.assert_array_equal(one.read(whole), other.read(whole))


def test_planes_from_the_shell(say: Any, tmp_path: Path) -> None:
    stack = picture(4, 96, 96)
    tifffile.imwrite(tmp_path / "raw.tif", stack, imagej=True, metadata={"axes": "ZYX"})
    code, _, err = say("super-resolve", "raw.tif", "-o", "o.zarr", "--factor", "Z=3", "--thickness", 0, *TINY)
    assert code == 0, err
    np.testing.assert_array_equal(np.asarray(open_image(tmp_path / "o.zarr").read())[::3], stack)


BAD = [
    (("super-resolve", "good.tif", "-o", "o.zarr", "--factor", "0"), "--factor = 0: give a whole number from 1 to 8"),
    (("super-resolve", "good.tif", "-o", "o.zarr", "--factor", "9"), "--factor = 9: give a whole number from 1 to 8"),
    (("super-resolve", "good.tif", "-o", "o.zarr", "--factor", "two"), "--factor two: write it as in 2, or Z=4"),
    (("super-resolve", "good.tif", "-o", "o.zarr", "--factor", "1.5"), "--factor 1.5: write it as in 2, or Z=4"),
    (("super-resolve", "good.tif", "-o", "o.zarr", "--factor", "Z=x"), "--factor Z=x"),
    (("super-resolve", "good.tif", "-o", "o.zarr", "--factor", "T=2"), "axis T"),
    (("super-resolve", "good.tif", "-o", "o.zarr", "--factor", "Z=2"), "planes"),
    (("super-resolve", "good.tif", "-o", "o.zarr", "--noise", "much"), "noise 'much': give a number"),
    (("super-resolve", "good.tif", "-o", "o.zarr", "--method", "supervised"), "needs target"),
    (
        ("super-resolve", "good.tif", "-o", "o.zarr", "--second", "small.tif"),
        "small has axes YX and shape (12, 44); to go with good",
    ),
    (("super-resolve", "small.tif", "-o", "o.zarr"), "needs at least 16"),
    (("deblur", "good.tif", "-o", "o.zarr", "--psf", "nonsense"), "PSF 'nonsense': there is no such kind"),
    (("deblur", "good.tif", "-o", "o.zarr", "--psf", "gaussian:-2"), "give numbers of 0 or more"),
    (("deblur", "good.tif", "-o", "o.zarr", "--psf", "gaussian:1,1,1"), "axis Z"),
    (("deblur", "good.tif", "-o", "o.zarr", "--psf", "missing.tif"), "missing.tif"),
    (("deblur", "good.tif", "-o", "o.zarr", "--psf", "flat.tif"), "bright point"),
    (("deblur", "good.tif", "-o", "o.zarr", "--psf", "gaussian:30"), "smaller PSF"),
    (("deblur", "good.tif", "-o", "o.zarr"), "--psf"),
]


@pytest.mark.parametrize(("words", "expected"), BAD, ids=[" ".join(w[4:]) or "no psf" for w, _ in BAD])
def test_what_cannot_be_is_one_line_and_exit_2(words: tuple[str, ...], expected: str, say: Any, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "good.tif", picture(40, 44))
    tifffile.imwrite(tmp_path / "small.tif", picture(12, 44))
    tifffile.imwrite(tmp_path / "flat.tif", np.full((9, 9), 3, np.uint8))
    before = {p.name for p in tmp_path.iterdir()}
    code, out, err = say(*words, "--steps", 2)
    last = err.rstrip("\n").splitlines()[-1]
    assert (code, out) == (2, "")
    assert expected in last and last.startswith("napari-restore: ")
    assert "Traceback" not in err
    assert {p.name for p in tmp_path.iterdir()} == before

"""What people give by mistake, through a script and through the shell: one line that names it, soon, and nothing left.

Each row is a call and what its message has to say. ``pytest -s`` prints how many there were and the slowest of them.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import napari_restore as nr
from napari_restore.cli import main
from napari_restore.core.errors import RestoreError

LONGEST = 20.0
"""Seconds that a refusal may take, on a busy machine; nearly all take some milliseconds, the first ones load torch."""

RNG = np.random.default_rng(3)
IMAGE = RNG.normal(100, 10, (3, 40, 44)).astype(np.float32)
FLAT = np.full((3, 40, 44), 7, np.uint16)
AXES = {"axes": "ZYX"}


def psf_of(shape: tuple[int, ...]) -> np.ndarray:
    return np.zeros(shape, np.float32)


PYTHON: list[tuple[str, tuple[Any, ...], dict[str, Any], str]] = [
    ("denoise", (), {}, "denoise needs `image`"),
    ("denoise", (IMAGE, "noise2void"), AXES, "by place"),
    ("denoise", (IMAGE,), {**AXES, "image": IMAGE}, "by place"),
    ("denoise", (None,), {}, "NoneType"),
    ("denoise", (7,), {}, "int"),
    ("denoise", ("",), {}, ""),
    ("denoise", ("a\0.tif",), {}, ""),
    ("denoise", ("nowhere.tif",), {}, "nowhere.tif does not exist"),
    ("denoise", ([IMAGE, IMAGE],), {}, ""),
    ("denoise", (np.zeros(9),), {}, ""),
    ("denoise", (np.zeros((2,) * 7),), {}, ""),
    ("denoise", (np.array([["a", "b"], ["c", "d"]]),), {}, ""),
    ("denoise", (np.zeros((40, 40), complex),), {}, "complex"),
    ("denoise", (np.zeros((40, 40), object),), {}, "object"),
    ("denoise", (np.zeros((0, 40, 40)),), AXES, ""),
    ("denoise", (FLAT,), {**AXES, "method": "noise2void"}, "every pixel is 7"),
    ("denoise", (np.full((40, 40), np.nan),), {"method": "noise2void"}, "no pixel looked at is finite"),
    ("denoise", (IMAGE,), {"axes": "YX"}, "axes"),
    ("denoise", (IMAGE,), {"axes": "ZYY"}, "axes"),
    ("denoise", (IMAGE,), {"axes": "zyq"}, "axes"),
    ("denoise", (IMAGE,), {"axes": 5}, "`axes` = 5"),
    ("denoise", (IMAGE,), {**AXES, "pixel_size": {"Y": "a"}}, "`pixel_size`"),
    ("denoise", (IMAGE,), {**AXES, "pixel_size": {"!": 1.0}}, "!"),
    ("denoise", (IMAGE,), {**AXES, "pixel_size": 3}, "`pixel_size` = 3"),
    ("denoise", (IMAGE,), {**AXES, "channel": 4}, "channel"),
    ("denoise", (IMAGE,), {**AXES, "channel": float("nan")}, "`channel` = nan"),
    ("denoise", (IMAGE,), {**AXES, "method": "magic"}, "no method 'magic'"),
    ("denoise", (IMAGE,), {**AXES, "method": None}, "`method` = None"),
    ("denoise", (IMAGE,), {**AXES, "method": "noise2void", "width": 1}, "width = 1"),
    ("denoise", (IMAGE,), {**AXES, "method": "noise2void", "widht": 8}, "widht"),
    ("denoise", (IMAGE,), {**AXES, "method": "noise2noise"}, "Give a second image"),
    ("denoise", (IMAGE,), {**AXES, "method": "noise2void", "second": IMAGE}, "leave"),
    ("denoise", (IMAGE,), {**AXES, "second": IMAGE, "target": IMAGE}, "leave second out"),
    ("denoise", (IMAGE,), {**AXES, "second": IMAGE[:, :20], "method": "noise2noise"}, "same"),
    ("denoise", (IMAGE,), {**AXES, "effort": "huge"}, "`effort` = 'huge'"),
    ("denoise", (IMAGE,), {**AXES, "steps": "a"}, "`steps` = 'a'"),
    ("denoise", (IMAGE,), {**AXES, "steps": 0}, "`steps` = 0"),
    ("denoise", (IMAGE,), {**AXES, "seconds": -1}, "`seconds` = -1"),
    ("denoise", (IMAGE,), {**AXES, "seed": None}, "`seed` = None"),
    ("denoise", (IMAGE,), {**AXES, "seed": 2**63}, "`seed`"),
    ("denoise", (IMAGE,), {**AXES, "device": None}, "`device` = None"),
    ("denoise", (IMAGE,), {**AXES, "device": "gpu7"}, "gpu7"),
    ("denoise", (IMAGE,), {**AXES, "precision": "bf16"}, "`precision` = 'bf16'"),
    ("denoise", (IMAGE,), {**AXES, "patch": (4000, 4000), "method": "noise2void"}, "patch"),
    ("denoise", (IMAGE,), {**AXES, "patch": 64}, "`patch` = 64"),
    ("denoise", (IMAGE,), {**AXES, "batch": 2.5}, "`batch` = 2.5"),
    ("denoise", (IMAGE,), {**AXES, "learning_rate": 0}, "`learning_rate` = 0"),
    ("denoise", (IMAGE,), {**AXES, "tile": (0, 0)}, "`tile` = (0, 0)"),
    ("denoise", (IMAGE,), {**AXES, "tile": (8,), "method": "noise2void"}, "tile"),
    ("denoise", (IMAGE,), {**AXES, "memory_share": 1.5}, "`memory_share` = 1.5"),
    ("denoise", (IMAGE,), {**AXES, "unreadable": "Fail"}, "`unreadable` = 'Fail'"),
    ("denoise", (IMAGE,), {**AXES, "region": {"Y": (0, 900)}}, "region"),
    ("denoise", (IMAGE,), {**AXES, "region": {"Q": (0, 9)}}, "region"),
    ("denoise", (IMAGE,), {**AXES, "region": "Y=9:3"}, "region"),
    ("denoise", (IMAGE,), {**AXES, "client": "tcp://nowhere"}, "client"),
    ("denoise", (IMAGE,), {**AXES, "model": 5}, "5"),
    ("denoise", (IMAGE,), {**AXES, "output": 5}, "`output` = 5"),
    ("denoise", (IMAGE,), {**AXES, "output": "o.png"}, ".png"),
    ("denoise", (IMAGE,), {**AXES, "output": "nowhere/o.zarr"}, "nowhere"),
    ("denoise", (IMAGE,), {**AXES, "output": "a\0.zarr"}, ""),
    ("denoise", (IMAGE,), {**AXES, "save_model": "m.pt"}, "m.pt"),
    ("denoise", (IMAGE,), {**AXES, "save_model": "nowhere/m.safetensors"}, "nowhere"),
    ("denoise", (IMAGE,), {**AXES, "version": 0.5}, "`version` = 0.5"),
    ("denoise", (IMAGE,), {**AXES, "resume": "no"}, "`resume` = 'no'"),
    ("super_resolve", (IMAGE,), {**AXES, "factor": 0}, "`factor` = 0"),
    ("super_resolve", (IMAGE,), {**AXES, "factor": 2.5}, "`factor` = 2.5"),
    ("super_resolve", (IMAGE,), {**AXES, "factor": {"Y": 99}}, "99"),
    ("super_resolve", (IMAGE,), {**AXES, "noise": "loud"}, "loud"),
    ("deblur", (IMAGE,), AXES, "deblur needs `psf`"),
    ("deblur", (IMAGE,), {**AXES, "psf": "gaussian:wide"}, "gaussian"),
    ("deblur", (IMAGE,), {**AXES, "psf": "gaussian:-1"}, "standard deviation [-1.0]"),
    ("deblur", (IMAGE,), {**AXES, "psf": "nowhere.tif"}, "nowhere.tif"),
    ("deblur", (IMAGE,), {**AXES, "psf": "inline:3x3:é"}, "PSF"),
    ("deblur", (IMAGE,), {**AXES, "psf": psf_of((5, 5))}, ""),
    ("deblur", (IMAGE,), {**AXES, "psf": "gaussian:1", "noise": -1}, "noise"),
    ("deblur", (IMAGE,), {**AXES, "psf": "gaussian:1", "noise": float("nan")}, "noise"),
    ("deblur", (IMAGE,), {**AXES, "psf": "gaussian:1", "noise": float("inf")}, "noise"),
    ("train", ([],), {}, "no image to train on"),
    ("train", ([IMAGE, IMAGE[0]],), {}, ""),
    ("train", (IMAGE, "magic"), AXES, "no method 'magic'"),
    ("train", (IMAGE,), {**AXES, "start": "nowhere.safetensors"}, "nowhere.safetensors"),
    ("train", (IMAGE,), {**AXES, "output": "o.zarr"}, "train has no `output`"),
    ("restore", (IMAGE,), AXES, "restore needs `model`"),
    ("restore", (IMAGE, "nowhere.safetensors"), AXES, "nowhere.safetensors"),
    ("restore", (IMAGE, None), AXES, ""),
    ("restore", (IMAGE, "m.safetensors"), {**AXES, "steps": 3}, "steps"),
    ("restore_folder", (".", "m.safetensors"), {}, "restore_folder needs `output`"),
    ("restore_folder", ("nowhere", "nowhere.safetensors"), {"output": "out"}, "nowhere"),
    ("submit", ("fly", IMAGE), {}, "submit 'fly'"),
    ("submit", ("denoise", IMAGE), {**AXES, "stop": threading.Event()}, "leave `stop` out"),
    ("evaluate", (IMAGE,), {"measures": ["beauty"], **AXES}, "beauty"),
    ("evaluate", (IMAGE, IMAGE[:, :9]), AXES, "same shape"),
    ("estimate_cost", (IMAGE,), {**AXES, "effort": "huge"}, "`effort`"),
    ("load_model", ("nowhere.safetensors",), {}, "nowhere.safetensors"),
]

SHELL: list[tuple[str, str]] = [
    ("denoise", "Missing argument"),
    ("denoise good.tif", "--output"),
    ("denoise good.tif -o o.zarr --magic 3", "--magic"),
    ("denoise nowhere.tif -o o.zarr", "nowhere.tif does not exist"),
    ("denoise . -o o.zarr", ""),
    ("denoise good.tif -o good.tif --overwrite", "good.tif"),
    ("denoise good.tif -o o.png", ".png"),
    ("denoise good.tif -o nowhere/o.zarr", "nowhere"),
    ("denoise good.tif -o o.zarr --seed -1", "--seed"),
    ("denoise good.tif -o o.zarr --seed 18446744073709551616", "--seed"),
    ("denoise good.tif -o o.zarr --seed one", "--seed"),
    ("denoise good.tif -o o.zarr --steps 0", "--steps"),
    ("denoise good.tif -o o.zarr --steps 2.5", "--steps"),
    ("denoise good.tif -o o.zarr --seconds 0", "--seconds"),
    ("denoise good.tif -o o.zarr --seconds nan", "--seconds"),
    ("denoise good.tif -o o.zarr --seconds inf", "--seconds"),
    ("denoise good.tif -o o.zarr --effort huge", "--effort"),
    ("denoise good.tif -o o.zarr --precision bf16", "--precision"),
    ("denoise good.tif -o o.zarr --device gpu7", "gpu7"),
    ("denoise good.tif -o o.zarr --axes QQ", "TCZYX"),
    ("denoise good.tif -o o.zarr --axes YX", "axes"),
    ("denoise good.tif -o o.zarr --channel 9", "channel"),
    ("denoise good.tif -o o.zarr --channel ²", "channel"),
    ("denoise good.tif -o o.zarr --pixel-size wide", "--pixel-size"),
    ("denoise good.tif -o o.zarr --pixel-size Y=wide", "--pixel-size"),
    ("denoise good.tif -o o.zarr --method magic", "no method 'magic'"),
    ("denoise good.tif -o o.zarr --method noise2noise", "Give a second image"),
    ("denoise good.tif -o o.zarr --set masked", "NAME=VALUE"),
    ("denoise good.tif -o o.zarr --set =3", "NAME=VALUE"),
    ("denoise good.tif -o o.zarr --set image=x", "image"),
    ("denoise good.tif -o o.zarr --set output=x", "--output"),
    ("denoise good.tif -o o.zarr --set stop=1", "stop"),
    ("denoise good.tif -o o.zarr --set version=9", "--ome-zarr"),
    ("denoise good.tif -o o.zarr --set suffix=x --method noise2void", "suffix"),
    ("denoise good.tif -o o.zarr --set factors=[0.5 --method scale_equivariant", "factors"),
    ("denoise good.tif -o o.zarr --method noise2void --set masked=2", "masked"),
    ("denoise good.tif -o o.zarr --method noise2void --set masked=nan", "masked"),
    ("denoise good.tif -o o.zarr --patch 64", "patch"),
    ("denoise good.tif -o o.zarr --patch 64,x", "--patch"),
    ("denoise good.tif -o o.zarr --batch 0", "--batch"),
    ("denoise good.tif -o o.zarr --learning-rate 0", "--learning-rate"),
    ("denoise good.tif -o o.zarr --tile 0,0", "--tile"),
    ("denoise good.tif -o o.zarr --tile 8", "tile"),
    ("denoise good.tif -o o.zarr --together 0", "--together"),
    ("denoise good.tif -o o.zarr --memory-share 1.5", "--memory-share"),
    ("denoise good.tif -o o.zarr --unreadable Fail", "--unreadable"),
    ("denoise good.tif -o o.zarr --region Y=0:900", "region"),
    ("denoise good.tif -o o.zarr --region Y:3", "region"),
    ("denoise good.tif -o o.zarr --save-model m.pt", "m.pt"),
    ("denoise good.tif -o o.zarr --save-model nowhere/m.safetensors", "nowhere"),
    ("denoise good.tif -o o.zarr --model good.tif", "good.tif"),
    ("denoise good.tif -o o.zarr --ome-zarr 0.6", "--ome-zarr"),
    ("super-resolve good.tif -o o.zarr --factor 0", "--factor"),
    ("super-resolve good.tif -o o.zarr --factor two", "--factor"),
    ("super-resolve good.tif -o o.zarr --factor Z=two", "--factor"),
    ("super-resolve good.tif -o o.zarr --factor Y=2,Y=3", "--factor"),
    ("super-resolve good.tif -o o.zarr --noise -1", "noise"),
    ("deblur good.tif -o o.zarr", "--psf"),
    ("deblur good.tif -o o.zarr --psf box", "box"),
    ("deblur good.tif -o o.zarr --psf gaussian:1 --noise inf", "noise"),
    ("train good.tif -o m.pt", "m.pt"),
    ("train good.tif -o nowhere/m.safetensors", "nowhere does not exist"),
    ("train good.tif -o m.safetensors --resume", "--run"),
    ("train good.tif -o m.safetensors --start good.tif", "good.tif"),
    ("restore good.tif -o o.zarr", "--model"),
    ("restore good.tif --model nowhere.safetensors -o o.zarr", "nowhere.safetensors"),
    ("restore good.tif --model good.tif -o o.zarr --match-intensity", "good.tif"),
    ("batch . --model good.tif -o out", "good.tif"),
    ("evaluate nowhere.tif", "nowhere.tif"),
    ("evaluate good.tif --reference small.tif", "same shape"),
    ("info nowhere.tif", "nowhere.tif"),
    ("methods magic", "no method 'magic'"),
    ("fly", "No such command"),
]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a good image and a smaller one, which is the working and the temporary folder, too."""
    plain = {"metadata": AXES, "photometric": "minisblack"}
    tifffile.imwrite(tmp_path / "good.tif", RNG.integers(90, 110, (3, 40, 44)).astype(np.uint16), **plain)
    tifffile.imwrite(tmp_path / "small.tif", RNG.integers(90, 110, (3, 9, 9)).astype(np.uint16), **plain)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files_in(place: Path) -> set[Path]:
    """All there is, but for the cache that torch makes for its compiler when it is first loaded."""
    return {path for path in place.rglob("*") if not path.name.startswith("torchinductor")}


def timed(call: Callable[[], object], place: Path, row: object) -> float:
    """Seconds that a refusal took; nothing may be there afterwards that was not there before."""
    before, threads, began = files_in(place), threading.active_count(), time.perf_counter()
    call()
    seconds = time.perf_counter() - began
    assert files_in(place) == before, row
    assert threading.active_count() <= threads + 1, row
    assert seconds < LONGEST, row
    return seconds


def test_a_script_is_refused_with_the_name_of_what_is_wrong(place: Path) -> None:
    slowest = (0.0, "")
    for verb, args, options, expected in PYTHON:
        row = f"{verb} {[type(a).__name__ for a in args]} { {k: v for k, v in options.items() if k != 'axes'} }"

        def call(verb=verb, args=args, options=options, expected=expected, row=row) -> None:
            with pytest.raises(RestoreError) as refused:
                getattr(nr, verb)(*args, **options)
            assert expected in str(refused.value), f"{row}: {refused.value}"
            assert "\n" not in str(refused.value), row

        slowest = max(slowest, (timed(call, place, row), row))
    assert len(PYTHON) >= 60
    print(f"\n{len(PYTHON)} bad calls refused; the slowest took {slowest[0]:.1f} s: {slowest[1]}")


def test_the_shell_refuses_in_one_line_with_exit_2(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slowest = (0.0, "")
    for line, expected in SHELL:

        def call(line=line, expected=expected) -> None:
            monkeypatch.setattr(sys, "argv", ["napari-restore", *line.split(" ")])
            with pytest.raises(SystemExit) as end:
                main()
            said = capsys.readouterr().err.rstrip("\n").splitlines()
            assert end.value.code == 2, f"{line}: {said}"
            assert said[-1].startswith("napari-restore: ") and expected in said[-1], f"{line}: {said}"
            assert "Traceback" not in "".join(said), line

        slowest = max(slowest, (timed(call, place, line), line))
    assert len(SHELL) >= 60
    print(f"\n{len(SHELL)} bad lines refused; the slowest took {slowest[0]:.1f} s: {slowest[1]}")

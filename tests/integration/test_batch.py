"""``napari-restore batch`` as users call it: a process, its files, its exit code and its one line."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from napari_restore.cli import main
from napari_restore.core.events import FileState, Stopped, TileDone, from_json
from napari_restore.core.normalisation import Normalisation
from napari_restore.sources import open_image
from napari_restore.store.finished import NAME
from napari_restore.store.model import Model, build_method

Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture
def shell(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """What the process does, without the seconds it takes to start: exit code, stdout and stderr."""
    monkeypatch.chdir(place)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["napari-restore", "batch", *words])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err

    return run


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A model, and a folder with three stacks of 40 planes: 40 tiles each."""
    torch.manual_seed(0)
    method = build_method("noise2void", {"dimensions": "2", "width": 2, "depth": 1}, spatial="YX", channels=1)
    Model("noise2void", method.eval(), Normalisation((100.0,), (20.0,))).save(tmp_path / "m.safetensors")
    (tmp_path / "raw").mkdir()
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        pixels = rng.normal(1000, 30, (40, 37, 23)).astype(np.uint16)
        tifffile.imwrite(tmp_path / "raw" / f"{name}.tif", pixels, imagej=True, metadata={"axes": "ZYX"})
    return tmp_path


MODEL = ("--model", "m.safetensors")


def test_a_folder_of_stacks_is_no_folder_of_slices(place: Path, shell: Shell) -> None:
    code, _, said = shell("raw", *MODEL, "-o", "out", "--pattern", "*.tif")
    assert code == 0, said
    assert {p.name for p in (place / "out").iterdir()} == {*(f"{n}_denoised.tif" for n in "abc"), NAME}
    assert all(open_image(place / "out" / f"{n}_denoised.tif").shape == (40, 37, 23) for n in "abc")
    assert "image 2 of 3, b.tif: running" in said


def test_one_bad_file_is_exit_2_with_its_reason_and_the_others_are_done(place: Path, shell: Shell) -> None:
    (place / "raw" / "b.tif").write_bytes((place / "raw" / "b.tif").read_bytes()[:9000])
    code, out, said = shell("raw", *MODEL, "-o", "out", "--quiet")
    assert (code, out) == (2, "")
    assert said.startswith("napari-restore: 1 of 3 images failed, the others are done. b.tif: ")
    assert said.count("\n") == 1
    assert {p.name for p in (place / "out").iterdir()} == {"a_denoised.tif", "c_denoised.tif", NAME}


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT and SIGKILL")
@pytest.mark.parametrize("how", ["SIGINT", "SIGKILL"])
def test_stopped_or_killed_it_goes_on_where_it_was(place: Path, shell: Shell, how: str) -> None:
    words = ("raw", *MODEL, "-o", "out", "--json")
    command = [sys.executable, "-m", "napari_restore", "batch", *words]
    process = subprocess.Popen(command, cwd=place, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    seen, tiles = [], 0
    for line in process.stdout:
        seen.append(from_json(line))
        tiles += '"TileDone"' in line
        if tiles == 45:  # within the second image
            process.send_signal(getattr(signal, how))
            tiles += 1
    process.communicate()
    assert process.wait(60) == (130 if how == "SIGINT" else -9)
    assert isinstance(seen[-1], Stopped) == (how == "SIGINT")
    assert not (place / "out" / "b_denoised.tif").exists()
    code, out, said = shell(*words)
    assert code == 0, said
    events = [from_json(line) for line in out.splitlines()]
    last = {Path(e.path).name: e.state for e in events if isinstance(e, FileState)}
    assert last == {"a.tif": "skipped", "b.tif": "done", "c.tif": "done"}
    assert sum(isinstance(event, TileDone) for event in events) < 80, "tiles that were done stay done"
    assert shell("raw", *MODEL, "-o", "whole")[0] == 0
    for name in (f"{n}_denoised.tif" for n in "abc"):
        one, other = (open_image(place / folder / name).read() for folder in ("out", "whole"))
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere", *MODEL, "-o", "out"), "nowhere is not a folder"),
        (("raw", *MODEL, "-o", "out", "--pattern", "*.czi"), "names match '*.czi'"),
        (("raw", "--model", "raw/a.tif", "-o", "out"), "not a safetensors file"),
        (("raw", *MODEL, "-o", "m.safetensors"), "m.safetensors is a file"),
    ],
)
def test_what_cannot_begin_is_one_line_and_exit_2(place: Path, shell: Shell, words: tuple[str, ...], said: str) -> None:
    code, out, error = shell(*words)
    assert (code, out) == (2, "")
    assert said in error
    assert error.count("\n") == 1
    assert not (place / "out").exists()


def test_json_says_the_state_of_every_file(place: Path, shell: Shell) -> None:
    _, out, _ = shell("raw", *MODEL, "-o", "out", "--format", "zarr", "--json")
    states = [event for event in map(from_json, out.splitlines()) if isinstance(event, FileState)]
    assert [s.state for s in states] == ["waiting"] * 3 + ["running", "done"] * 3
    assert Path(states[-1].output).name == "c_denoised.ome.zarr"
    assert (place / "out" / "c_denoised.ome.zarr").is_dir()

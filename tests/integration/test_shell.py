"""The shell as users call it: a process, its files, its exit code and its one line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from napari_restore.cli import main
from napari_restore.core.events import from_json
from napari_restore.training import loop

ENVIRONMENT = {**os.environ, "COLUMNS": "100"}
SMALL = ("--set", "width=4", "--set", "similar=no")
"""Of a posterior mean, which ``auto`` chooses here: where what it restores is not looked at."""


def shell(*words: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "napari_restore", *map(str, words)]
    return subprocess.run(command, cwd=cwd, env=ENVIRONMENT, capture_output=True, text=True, timeout=300)


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The same without the seconds that a process takes to start, for what does not end as a process does."""

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", ["napari-restore", *map(str, words)])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return subprocess.CompletedProcess(words, int(end.value.code or 0), said.out, said.err)

    return run


@pytest.fixture
def raw(tmp_path: Path, noisy_stack: Any) -> Path:
    path = tmp_path / "raw.tif"
    metadata = {"axes": "ZYX", "spacing": 0.5, "unit": "um"}
    tifffile.imwrite(path, noisy_stack, imagej=True, resolution=(4.0, 4.0), metadata=metadata)
    return path


def test_denoise_to_ome_zarr_and_ome_tiff_keeps_shape_axes_and_pixel_size(
    raw: Path, tmp_path: Path, command: Command
) -> None:
    for name in ("out.ome.zarr", "out.ome.tif"):
        done = command("denoise", raw, "-o", name, "--steps", 2, *SMALL, "--save-model", f"{name}.safetensors")
        assert done.returncode == 0, done.stderr
        said = json.loads(command("info", name, "--json").stdout)
        assert said["axes"] == "ZYX"
        assert said["shape"] == [5, 70, 83]
        assert said["pixel_size"] == pytest.approx([0.5, 0.25, 0.25])
        assert said["units"] == ["micrometer"] * 3
        assert said["dtype"] == "uint16"
    group = zarr.open_group(tmp_path / "out.ome.zarr", mode="r")
    assert group.attrs["ome"]["version"] == "0.5"
    with tifffile.TiffFile(tmp_path / "out.ome.tif") as tif:
        assert tif.is_ome
        assert tif.series[0].shape == (5, 70, 83)
    left = {p.name for p in tmp_path.iterdir()}
    assert not [name for name in left if "partial" in name or "journal" in name or name.endswith("lock")]
    assert "out.ome.zarr.safetensors" in left


def test_train_then_restore_then_evaluate(raw: Path, command: Command) -> None:
    trained = command("train", raw, "-o", "m.safetensors", "--steps", 60, "--run", "run")
    assert trained.returncode == 0, trained.stderr
    assert command("restore", raw, "--model", "m.safetensors", "-o", "r.zarr").returncode == 0
    card = json.loads(command("info", "m.safetensors", "--json").stdout)
    assert card["method"] == "posterior"
    estimated = json.loads(command("evaluate", raw, "--model", "m.safetensors", "--json").stdout)
    assert estimated["estimated_psnr"] > estimated["psnr_before"]
    measured = command("evaluate", "r.zarr", "--reference", raw, "--json")
    values = json.loads(measured.stdout)
    assert set(values) == {"noise_sigma", "resolution", "psnr", "psnr_fitted", "ssim", "frc", "whiteness"}
    before = json.loads(command("evaluate", raw, "--json").stdout)["noise_sigma"]
    assert values["noise_sigma"] < 0.5 * before


def test_events_are_json_lines_on_stdout_and_nothing_else(raw: Path, tmp_path: Path) -> None:
    done = shell("denoise", raw, "-o", "o.zarr", "--steps", 5, "--set", "neighbours=0", *SMALL, "--json", cwd=tmp_path)
    events = [from_json(line) for line in done.stdout.splitlines()]
    names = [type(event).__name__ for event in events]
    assert names.index("TrainingStarted") < names.index("Trained") < names.index("RestorationStarted")
    assert names.count("TileDone") == 5
    assert names[-2:] == ["Saved", "Note"], "and last what can be said of the result without a truth"


def test_quiet_is_silent(raw: Path, tmp_path: Path) -> None:
    done = shell("denoise", raw, "-o", "o.zarr", "--region", "Z=0:1", "--steps", 2, *SMALL, "--quiet", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def make_bad_inputs(folder: Path) -> None:
    rng = np.random.default_rng(0)
    (folder / "text.tif").write_text("this is not a picture")
    tifffile.imwrite(folder / "whole.tif", rng.integers(0, 999, (6, 64, 64), dtype=np.uint16), compression="zlib")
    data = (folder / "whole.tif").read_bytes()
    (folder / "cut.tif").write_bytes(data[: len(data) // 2])
    tifffile.imwrite(folder / "constant.tif", np.full((64, 64), 7, np.uint8))
    tifffile.imwrite(folder / "row.tif", rng.normal(100, 10, (1, 300)).astype(np.float32))
    tifffile.imwrite(folder / "good.tif", rng.normal(100, 10, (64, 64)).astype(np.float32))
    np.save(folder / "nan.npy", np.full((64, 64), np.nan, np.float32))


BAD = [
    (("denoise", "missing.tif", "-o", "o.zarr"), "missing.tif does not exist"),
    (("denoise", "text.tif", "-o", "o.zarr"), "text.tif is not a TIFF"),
    (("denoise", "cut.tif", "-o", "o.zarr"), "cut.tif"),
    (("denoise", "constant.tif", "-o", "o.zarr"), "every pixel is 7"),
    (("denoise", "row.tif", "-o", "o.zarr"), "axis Y has 1 pixels"),
    (("denoise", "nan.npy", "-o", "o.zarr"), "no pixel looked at is finite"),
    (("denoise", "good.tif", "-o", "text.tif/o.zarr"), "the folder text.tif"),
    (("denoise", "good.tif", "-o", "o.png"), "name the output .zarr"),
    (("denoise", "good.tif", "-o", "whole.tif"), "exists already"),
    (("denoise", "good.tif", "-o", "o.zarr", "--method", "magic"), "no method 'magic'"),
    (("denoise", "good.tif", "-o", "o.zarr", "--method", "noise2void", "--set", "masked=2"), "masked = '2'"),
    (("denoise", "good.tif", "-o", "o.zarr", "--steps", "-3"), "--steps = -3: give a whole number over 0"),
    (("denoise", "good.tif", "-o", "o.zarr", "--method", "noise2void", "--second", "good.tif"), "leave second out"),
    (("denoise", "good.tif", "-o", "o.zarr", "--axes", "QQ"), "TCZYX"),
    (("restore", "good.tif", "--model", "text.tif", "-o", "o.zarr"), "not a safetensors file"),
    (("train", "good.tif", "-o", "nowhere/m.safetensors"), "nowhere does not exist"),
    (("methods", "magic"), "no method 'magic'"),
    (("frobnicate",), "No such command"),
]


def test_bad_input_is_one_line_exit_2_and_leaves_nothing_behind(tmp_path: Path, command: Command) -> None:
    make_bad_inputs(tmp_path)
    before = {p.name for p in tmp_path.iterdir()}
    for words, expected in BAD:
        done = command(*words)
        last = done.stderr.rstrip("\n").splitlines()[-1]
        assert done.returncode == 2, words
        assert expected in last, words
        assert last.startswith("napari-restore: ")
        assert {p.name for p in tmp_path.iterdir()} == before, words


def test_a_closed_stderr_is_no_error_of_its_own(tmp_path: Path) -> None:
    command = f"{sys.executable} -m napari_restore denoise missing.tif -o o.zarr 2>&-"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 2 and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: 8 bytes")])
def test_memory_that_runs_out_in_training_is_one_line(
    raw: Path, command: Command, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(loop, "PatchPool", full)
    done = command("denoise", raw, "-o", "out.ome.zarr", "--method", "noise2void2", "--steps", 2, "--quiet")
    assert done.returncode == 2 and done.stderr.startswith(f"napari-restore: memory ran out ({error or 'MemoryError'}")
    assert "--memory-share" in done.stderr and "--region" in done.stderr and done.stderr.count("\n") == 1


def test_methods_and_help_are_there_without_loading_torch_or_scipy() -> None:
    code = (
        "import contextlib, io, sys; from napari_restore.cli import main\n"
        "for words in (['--help'], ['denoise', '--help'], ['methods', '--json']):\n"
        "    sys.argv, said = ['napari-restore', *words], io.StringIO()\n"
        "    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(said): main()\n"
        "print(said.getvalue()); print(bool({'torch', 'scipy'} & {*sys.modules}), file=sys.stderr)"
    )
    listed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    rows = {row.pop("name"): row for row in json.loads(listed.stdout)}
    assert listed.stderr.strip() == "False" and listed.returncode == 0
    assert rows["noise2noise"].keys() == {"label", "needs", "citation"} and rows["noise2noise"]["needs"] == "second"


def test_a_method_tells_what_it_is_and_what_can_be_set(command: Command) -> None:
    def said(*words: str) -> str:
        done = command("methods", *words)
        assert done.returncode == 0
        return done.stdout

    told = json.loads(said("noise2noise", "--json"))
    assert (told["needs"], told["seconds"]["quick"]) == (["second"], 20) and "Lehtinen" in told["citation"]
    settings = {setting.pop("name"): setting for setting in told["settings"]}
    assert settings["width"] == {
        "type": "whole",
        "allowed": "a whole number from 2 to 256",
        "low": 2,
        "high": 256,
        "choices": [],
        "default": 24,
        "by_effort": {"quick": 24, "normal": 24, "thorough": 48},
        "meaning": "Features of the network's first level.",
    }
    assert settings["directions"]["choices"] == ["both", "forward"] and settings["directions"]["default"] == "both"
    lines = said("noise2noise").splitlines()
    assert lines[0].startswith("Noise2Noise. ") and "needs: --second" in lines
    assert "width: a whole number from 2 to 256; usually 24, thorough 48" in lines
    assert "    Features of the network's first level." in lines
    assert "noise: auto or a number from 0; usually auto" in said("scale_equivariant").splitlines()


def untrained(path: Path) -> Path:
    """A file with a model that changes pixels."""
    import torch

    from napari_restore.core.normalisation import Normalisation
    from napari_restore.store.model import Model, build_method

    torch.manual_seed(0)
    method = build_method("noise2void", {"width": 4, "depth": 1}, spatial="YX", channels=1)
    Model("noise2void", method.eval(), Normalisation((1000.0,), (50.0,))).save(path)
    return path


def test_a_chunk_that_cannot_be_read_ends_the_run_or_is_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command
) -> None:
    model = untrained(tmp_path / "m.safetensors")
    pixels = np.random.default_rng(0).integers(900, 1100, (3, 90, 70)).astype(np.uint16)
    zarr.create_array(tmp_path / "raw.zarr", data=pixels, chunks=(1, 64, 64))
    chunk = tmp_path / "raw.zarr" / "c" / "1" / "0" / "0"  # of the plane that the result is judged by
    data = chunk.read_bytes()
    chunk.write_bytes(bytes(len(data) // 2) + data[len(data) // 2 :])
    monkeypatch.setattr("napari_restore.sources.retrying.time.sleep", lambda _: None)

    def restored(name: str, *more: str) -> tuple[int, str]:
        words = ("restore", tmp_path / "raw.zarr", "--model", model, "-o", name, "--axes", "ZYX", "--device", "cpu")
        done = command(*words, *more)
        return done.returncode, done.stderr

    code, said = restored(str(tmp_path / "failed.zarr"))
    assert code == 2 and "chunk [1, 0, 0]" in said and not (tmp_path / "failed.zarr").exists()
    assert restored(str(tmp_path / "failed.zarr"), "--unreadable", "fail", "--resume")[0] == 2
    code, said = restored(str(tmp_path / "filled.zarr"), "--unreadable", "fill")
    assert code == 0, said
    assert "1 chunks could not be read and were taken as 0: [1, 0, 0]" in said
    assert zarr.open_group(tmp_path / "filled.zarr", mode="r")["0"].shape == (3, 90, 70)
    code, said = restored(str(tmp_path / "none.zarr"), "--unreadable", "skip")
    assert code == 2 and "skip" in said and "fill" in said


def test_bad_input_shows_no_traceback(tmp_path: Path) -> None:
    done = shell("denoise", "missing.tif", "-o", "o.zarr", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "napari-restore: missing.tif does not exist. Check the path.\n"


@pytest.fixture
def many_planes(tmp_path: Path) -> tuple[Path, Path]:
    """60 small planes, so 60 tiles, and a model for them."""
    path = tmp_path / "planes.tif"
    pixels = np.random.default_rng(1).normal(1000, 50, (60, 72, 80)).astype(np.uint16)
    tifffile.imwrite(path, pixels, imagej=True, metadata={"axes": "ZYX"})
    return path, untrained(tmp_path / "m.safetensors")


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL, which Windows lacks")
def test_a_killed_restore_resumed_gives_the_bytes_of_one_never_killed(
    many_planes: tuple[Path, Path], tmp_path: Path, command: Command
) -> None:
    image, model = many_planes
    words = ["restore", str(image), "--model", str(model), "-o"]
    assert command(*words, "whole.zarr").returncode == 0
    journal = tmp_path / "killed.zarr.journal"
    for lines in (4, 15, 30):
        started = [sys.executable, "-m", "napari_restore", *words, "killed.zarr", "--resume"]
        process = subprocess.Popen(started, cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
        wait_for(lambda: journal.exists() and journal.read_bytes().count(b"\n") > lines, process)  # noqa: B023
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "killed.zarr").exists()
        assert (tmp_path / "killed.zarr.partial").is_dir()
    refused = command(*words, "killed.zarr")
    assert refused.returncode == 2
    assert "--resume goes on with it" in refused.stderr
    assert command(*words, "killed.zarr", "--resume").returncode == 0
    assert content(tmp_path / "killed.zarr") == content(tmp_path / "whole.zarr")


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGINT")
def test_ctrl_c_exits_130_and_the_same_command_goes_on(raw: Path, tmp_path: Path, command: Command) -> None:
    words = ["denoise", str(raw), "-o", "o.zarr", *SMALL, "--seconds", "600"]
    started = [sys.executable, "-m", "napari_restore", *words, "--json"]
    process = subprocess.Popen(started, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if '"Measured"' in line:
            process.send_signal(signal.SIGINT)
            break
    process.communicate()
    assert process.wait(60) == 130
    assert list((tmp_path / "o.zarr.training").glob("checkpoint-*.safetensors"))
    assert not (tmp_path / "o.zarr").exists()
    other = command(*words[:-2], "--steps", 1, "--set", "width=6", "--resume")
    assert other.returncode == 2
    assert "config" in other.stderr
    again = command(*words[:-2], "--steps", 1, "--resume")
    assert again.returncode == 0, again.stderr
    assert "continuing from step" in again.stderr
    assert zarr.open_group(tmp_path / "o.zarr", mode="r")["0"].shape == (5, 70, 83)
    assert not [p.name for p in tmp_path.iterdir() if p.name.startswith("o.zarr.")]


def wait_for(condition: Any, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)

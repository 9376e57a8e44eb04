"""A restoration killed at random moments, refused, or out of disk: nothing is lost, and the end is what it would be.

Run as a script, this file is the process that is killed: it loads everything once, and forks a child for each line.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_restore import restore, restore_events
from napari_restore.cli import main
from napari_restore.core.errors import OutputError
from napari_restore.core.events import Event, Saved, TileDone
from napari_restore.core.job import drain
from napari_restore.store import journal, output

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork and SIGKILL, which Windows lacks")

KILLS = 10
SHAPE = (2, 270, 150)
TILE = (32, 32)
OPTIONS: dict[str, Any] = {"tile": TILE, "axes": "ZYX", "device": "cpu", "precision": "float32"}


def serve() -> None:
    """For each line of JSON: fork a child that restores, print its number, and how it ended."""
    import torch

    torch.set_num_threads(1)
    for line in sys.stdin:
        words = json.loads(line)
        if (pid := os.fork()) == 0:
            os._exit(work(**words))
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def work(image: str, model: str, destination: str, pause: float = 0.0) -> int:
    """Restore, going on with what is there; sleep after the first tile if asked."""
    try:
        for event in restore_events(image, model, output=destination, resume=True, **OPTIONS):
            if pause and isinstance(event, TileDone):
                time.sleep(pause)
    except OutputError as error:
        print(error, file=sys.stderr, flush=True)
        return 2
    return 0


class Children:
    """Processes that restore, each forked from one that has loaded everything."""

    def __init__(self, log: Path) -> None:
        with log.open("wb") as errors:
            self._server = subprocess.Popen(
                [sys.executable, __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )

    def start(self, **words: object) -> int:
        assert self._server.stdin is not None
        self._server.stdin.write(
            json.dumps({k: v if isinstance(v, float) else str(v) for k, v in words.items()}) + "\n"
        )
        self._server.stdin.flush()
        return int(self._answer())

    def wait(self) -> int:
        return int(self._answer())

    def close(self) -> None:
        assert self._server.stdin is not None and self._server.stdout is not None
        self._server.stdin.close()
        self._server.wait(60)
        self._server.stdout.close()

    def _answer(self) -> str:
        assert self._server.stdout is not None
        return self._server.stdout.readline()


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> Iterator[None]:
    """As the children have: another number of threads may add in another order."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("crash")


@pytest.fixture(scope="module")
def given(folder: Path) -> dict[str, Path]:
    """An image and a model for it: random weights, large enough that no two pixels of the result are much alike."""
    import torch
    import zarr

    from napari_restore.core.normalisation import Normalisation
    from napari_restore.store.model import Model, build_method

    pixels = np.random.default_rng(3).normal(1000, 50, SHAPE).astype(np.uint16)
    zarr.create_array(folder / "raw.zarr", data=pixels, chunks=(1, 128, 128))
    torch.manual_seed(0)
    method = build_method("noise2void", {"width": 4, "depth": 1}, spatial="YX", channels=1)
    for weights in method.parameters():
        weights.data.mul_(2.0)
    Model("noise2void", method.eval(), Normalisation((1000.0,), (50.0,))).save(folder / "m.safetensors")
    return {"image": folder / "raw.zarr", "model": folder / "m.safetensors"}


@pytest.fixture(scope="module")
def children(folder: Path) -> Iterator[Children]:
    started = Children(folder / "log.txt")
    yield started
    started.close()


@pytest.fixture(scope="module")
def whole(folder: Path, given: dict[str, Path], children: Children) -> tuple[dict[str, bytes], float]:
    """The files of an uninterrupted run, and the seconds it took."""
    began = time.monotonic()
    children.start(**given, destination=folder / "whole.zarr")
    assert children.wait() == 0
    seconds = time.monotonic() - began
    return content(folder / "whole.zarr"), seconds


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def check_remains(path: Path, whole: dict[str, bytes], before: set[int], *, twice: int = 1) -> set[int]:
    """What a kill left: whole chunks only, all tiles of earlier journals, and few tiles without their line."""
    if not output.resumable(path):
        return set()
    tiles = set(journal.read(output.journal_path(path)).tiles)
    assert before <= tiles, "a tile that was in the journal is gone"
    found = content(output.partial_path(path))
    chunks = {name: data for name, data in found.items() if "/c/" in name and not name.endswith(".partial")}
    torn = [name for name, data in chunks.items() if data != whole[name]]
    assert not torn
    first = {name for name in chunks if name.startswith("0/")}
    assert {chunk_of(tile) for tile in tiles} <= first, "the journal names a tile that is not on the disk"
    assert len(first) - len(tiles) <= twice, "more will be done twice than was being written"
    return tiles


def chunk_of(tile: int) -> str:
    grid = [-(-n // t) for n, t in zip(SHAPE, (1, *TILE), strict=True)]
    return "0/c/" + "/".join(str(i) for i in np.unravel_index(tile, grid))


def test_killed_at_random_moments(
    folder: Path, given: dict[str, Path], children: Children, whole: tuple[dict[str, bytes], float]
) -> None:
    expected, seconds = whole
    rng, path = np.random.default_rng(11), folder / "killed.zarr"
    kills, finished, tiles = 0, 0, set[int]()
    while kills < KILLS or not finished:
        pid = children.start(**given, destination=path)
        if kills < KILLS:
            time.sleep(rng.uniform(0, 0.4 * seconds))
            with contextlib.suppress(ProcessLookupError):  # it may have ended by then
                os.kill(pid, signal.SIGKILL)
        code = children.wait()
        assert code in (0, -signal.SIGKILL)
        kills += code != 0
        # Killed while the finished result was being judged, it is as whole as that of a run that ended by itself.
        if code == 0 or (path.exists() and not output.journal_path(path).exists()):
            finished += 1
            assert content(path) == expected
            assert not [p.name for p in folder.iterdir() if p.name.startswith("killed.zarr.")]
            shutil.rmtree(path)
            tiles = set()
        else:
            tiles = check_remains(path, expected, tiles)


@pytest.mark.parametrize("name", ["renamed.zarr", "renamed.tif"])
def test_killed_between_the_new_name_and_the_end_of_the_journal(
    folder: Path,
    given: dict[str, Path],
    whole: tuple[dict[str, bytes], float],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    path = folder / name

    def killed(gone: Path) -> None:
        if gone == output.journal_path(path) and path.exists():
            raise KeyboardInterrupt
        remove(gone)

    remove = output.remove
    with monkeypatch.context() as patch:
        patch.setattr(output, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            restore(given["image"], given["model"], output=path, **OPTIONS)
    assert output.journal_path(path).exists()
    kept = path.stat()
    seen: list[Event] = []
    again = drain(restore_events(given["image"], given["model"], output=path, **OPTIONS), seen.append)
    assert again.complete
    assert Saved(str(path), "image") in seen and not any(isinstance(event, TileDone) for event in seen)
    assert path.stat().st_mtime_ns == kept.st_mtime_ns, "it is not written again"
    if path.is_dir():
        assert content(path) == whole[0]
    assert not [p.name for p in folder.iterdir() if p.name.startswith(f"{name}.")]
    once_more = restore(given["image"], given["model"], output=path, **OPTIONS)  # as of any whole result
    assert once_more.complete and path.stat().st_mtime_ns == kept.st_mtime_ns


def test_a_second_process_is_refused_and_harms_nothing(
    folder: Path, given: dict[str, Path], children: Children, whole: tuple[dict[str, bytes], float]
) -> None:
    path = folder / "shared.zarr"
    pid = children.start(**given, destination=path, pause=120.0)
    wait_for(lambda: output.resumable(path) and len(output.journal_path(path).read_bytes().splitlines()) > 1)
    for words in ({"resume": True}, {"overwrite": True}):
        with pytest.raises(OutputError, match=rf"shared\.zarr is being written by process {pid}") as error:
            next(restore_events(given["image"], given["model"], output=path, **words, **OPTIONS))
        assert "\n" not in str(error.value)
    os.kill(pid, signal.SIGKILL)
    assert children.wait() == -signal.SIGKILL
    restore(given["image"], given["model"], output=path, **OPTIONS)
    assert content(path) == whole[0]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """A disk of its own, mounted and mounted again with other options."""
    place = tmp_path / "disk"
    place.mkdir()

    def mount(options: str) -> Path:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            pytest.skip(f"a disk can be mounted by root alone, and not in every container: {done.stderr.strip()}")
        return place

    if not sys.platform.startswith("linux"):
        pytest.skip("needs tmpfs, which Linux has")
    yield mount
    while subprocess.run(["umount", str(place)], capture_output=True, check=False).returncode == 0:
        continue


def shell(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    """Exit code and last line of the command, without the seconds that a process takes to start."""
    monkeypatch.setattr(sys, "argv", ["napari-restore", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main()
    lines = capsys.readouterr().err.rstrip("\n").splitlines()
    return int(end.value.code or 0), lines[-1] if lines else ""


def test_a_full_disk_is_one_line_and_goes_on_when_there_is_space(
    small_disk: Callable[[str], Path],
    folder: Path,
    given: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = small_disk("size=300k") / "out.zarr"
    pixels = np.random.default_rng(5).normal(1000, 50, (8, 256, 256)).astype(np.uint16)  # 128 KiB a tile
    tifffile.imwrite(folder / "planes.tif", pixels, imagej=True, metadata={"axes": "ZYX"})
    words = ("restore", folder / "planes.tif", "--model", given["model"], "-o", path, "--device", "cpu", "--quiet")
    code, line = shell(monkeypatch, capsys, *words)
    assert (code, "No space left on device" in line) == (2, True), line
    assert line.startswith("napari-restore: ")
    kept = len(journal.read(output.journal_path(path)).tiles)
    assert 0 < kept < 8
    code, line = shell(monkeypatch, capsys, *words, "--resume")
    assert (code, "No space left on device" in line) == (2, True), line
    small_disk("remount,size=20m")
    assert shell(monkeypatch, capsys, *words, "--resume") == (0, "")
    assert sorted(p.name for p in path.parent.iterdir()) == ["out.zarr"]


def test_a_disk_that_became_read_only_is_one_line_and_goes_on_when_it_can_be_written(
    small_disk: Callable[[str], Path],
    folder: Path,
    given: dict[str, Path],
    children: Children,
    whole: tuple[dict[str, bytes], float],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = small_disk("size=40m") / "out.zarr"
    pid = children.start(**given, destination=path, pause=120.0)
    wait_for(lambda: output.resumable(path) and len(output.journal_path(path).read_bytes().splitlines()) > 1)
    os.kill(pid, signal.SIGKILL)
    children.wait()
    small_disk("remount,ro")
    words = ("restore", given["image"], "--model", given["model"], "-o", path, "--resume", "--quiet")
    code, line = shell(monkeypatch, capsys, *words)
    assert (code, "Read-only file system" in line) == (2, True), line
    small_disk("remount,rw")
    children.start(**given, destination=path)
    assert children.wait() == 0
    assert content(path) == whole[0]


@contextlib.contextmanager
def failing_after(lines: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Journals that cannot be written any more after so many lines, as on a disk that breaks."""
    real, count = os.write, 0

    def write(handle: int, data: bytes) -> int:
        nonlocal count
        if data.startswith(b'{"tile"'):
            count += 1
            if count > lines:
                raise OSError(5, "Input/output error")
        return real(handle, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        yield


def test_a_journal_that_cannot_be_written_is_one_line_and_goes_on_later(
    folder: Path,
    given: dict[str, Path],
    children: Children,
    whole: tuple[dict[str, bytes], float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = folder / "unwritable.zarr"
    with failing_after(20, monkeypatch), pytest.raises(OutputError, match="cannot be written: Input/output") as error:
        restore(given["image"], given["model"], output=path, **OPTIONS)
    assert "\n" not in str(error.value)
    check_remains(path, whole[0], set(range(20)), twice=3)  # what waits to be written is still tried
    children.start(**given, destination=path)
    assert children.wait() == 0
    assert content(path) == whole[0]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


if __name__ == "__main__":
    serve()

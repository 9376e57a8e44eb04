"""Whatever becomes of an output: never half a result, no tile lost, one owner, and nothing of others destroyed.

A crash is what a killed process leaves: the folder is copied at that very moment, in the middle of a call of the
operating system, and life goes on in the copy, where nobody holds a lock. A full disk refuses every such call that
needs room, from a drawn moment on until the operation has ended.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from napari_restore.core.errors import OtherRunError, OutputError
from napari_restore.core.geometry import Geometry
from napari_restore.core.options import Writing
from napari_restore.core.region import split
from napari_restore.store import output
from napari_restore.store.beside import replaced_path, temporary_path
from napari_restore.store.output import OutputWriter

SHAPE, CHUNKS = (16, 24), (8, 8)
TILES = list(split(SHAPE, CHUNKS))
CALLS = ("rename", "replace", "unlink", "rmdir", "mkdir", "write", "fsync", "truncate", "ftruncate")
NEED_ROOM = ("mkdir", "write", "fsync")
MOMENTS = st.integers(0, 40)


class KilledError(BaseException):
    """Ends an operation where a process would have ended."""


def pixels_of(run: int) -> Any:
    """What a run writes: no two pixels of two runs are alike."""
    return (np.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE) + 1000 * run).astype(np.uint16)


@contextmanager
def every_call(before: Callable[[str], None]) -> Iterator[None]:
    """Do something before each call that changes a disk."""
    real = {name: getattr(os, name) for name in CALLS}

    def watched(name: str) -> Callable[..., Any]:
        def call(*args: Any, **words: Any) -> Any:
            before(name)
            return real[name](*args, **words)

        return call

    for name in CALLS:
        setattr(os, name, watched(name))
    try:
        yield
    finally:
        for name in CALLS:
            setattr(os, name, real[name])


class OutputLife(RuleBasedStateMachine):
    """One output, and all that may happen to it."""

    @initialize(name=st.sampled_from(["x.zarr", "x.tif"]))
    def begins(self, name: str) -> None:
        self.place = Path(tempfile.mkdtemp(prefix="life-", dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        self.folder, self.name, self.copies = self.place / "0", name, 0
        (self.folder / "other.zarr").mkdir(parents=True)
        (self.folder / "other.zarr" / "zarr.json").write_text("{}")
        (self.folder / f"{name}.txt").write_text("mine")
        self.run = 0
        self.begun: int | None = None
        """The run that is unfinished on the disk, if that is certain."""
        self.writer: OutputWriter | None = None
        self.noted: set[int] = set()
        self.perhaps: set[int] = set()
        """Tiles that were being written when something happened: they may be there."""
        self.final: int | str | None = None
        """The run whose result has the name; or a text, which somebody else has laid there."""
        self.uncertain = False
        """Whether an operation was cut short that may have begun, finished or replaced."""

    @property
    def path(self) -> Path:
        return self.folder / self.name

    def words(self, run: int) -> dict[str, Any]:
        return {
            "geometry": Geometry.of("YX", SHAPE),
            "dtype": "uint16",
            "chunks": CHUNKS,
            "fingerprint": {"run": run},
            "name": "x",
            "provenance": {"model": {"run": run}},
        }

    def settle(self) -> None:
        """After an operation that was whole, what lies there is certain, whatever was cut short before."""
        if self.uncertain and not isinstance(self.final, str):
            there = os.path.lexists(self.path)
            self.final = "file" if self.is_file() else (int(self.pixels().flat[0]) // 1000 if there else None)
        self.uncertain = False

    def is_file(self) -> bool:
        return self.path.is_file() and self.path.read_bytes() == b"mine"

    # Operations, whole or cut short -----------------------------------------------------------------------------------

    def attempt(self, operation: Callable[[], Any], *, killed: int | None = None, full: int | None = None) -> str:
        """Do it, and say how it ended: ``done``, ``refused`` or ``killed``."""
        count, dead = 0, False

        def before(name: str) -> None:
            nonlocal count, dead
            count += 1
            if dead:  # what unwinds now is not in the copy
                return
            if killed is not None and count > killed:
                dead = True
                self.copy()
                raise KilledError
            if full is not None and count > full and name in NEED_ROOM:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        try:
            with every_call(before):
                operation()
        except KilledError:
            self.goes_on_in_the_copy()
            return "killed"
        except OutputError as error:
            assert "\n" not in str(error)
            return "refused"
        return "done"

    def copy(self) -> None:
        self.copies += 1
        shutil.copytree(self.folder, self.place / str(self.copies), symlinks=True)

    def goes_on_in_the_copy(self) -> None:
        if self.writer is not None:
            self.writer.close()
        self.writer = None
        shutil.rmtree(self.folder)
        self.folder = self.place / str(self.copies)

    @rule(overwrite=st.booleans(), killed=st.none() | MOMENTS, full=st.none() | MOMENTS)
    def create(self, overwrite: bool, killed: int | None, full: int | None) -> None:
        self.run += 1
        writers: list[OutputWriter] = []

        def operation() -> None:
            writers.append(output.create(self.path, **self.words(self.run), writing=Writing(overwrite=overwrite)))

        held, free = self.writer, self.final is None and self.begun is None and not self.uncertain
        ended = self.attempt(operation, killed=None if held else killed, full=None if killed is not None else full)
        if held is not None:
            assert ended == "refused", "it has a writer"
            return
        if ended == "done":
            assert overwrite or free or self.uncertain, "nobody asked to replace it"
            self.writer = writers[0]
            self.begun, self.noted, self.perhaps = self.run, set(), set()
            self.settle()
        elif ended == "killed" or full is not None:
            self.uncertain = self.uncertain or overwrite or free
        else:
            assert not free or killed is not None, "nothing is in the way"

    @precondition(lambda self: self.writer is not None)
    @rule(tile=st.integers(0, len(TILES) - 1), killed=st.none() | MOMENTS, full=st.none() | MOMENTS)
    def write(self, tile: int, killed: int | None, full: int | None) -> None:
        assert self.writer is not None and self.begun is not None
        writer, run = self.writer, self.begun
        ended = self.attempt(
            lambda: writer.write(tile, TILES[tile], pixels_of(run)[TILES[tile].slices]),
            killed=killed,
            full=None if killed is not None else full,
        )
        (self.noted if ended == "done" else self.perhaps).add(tile)

    @precondition(lambda self: self.writer is not None)
    @rule()
    def write_all(self) -> None:
        for tile in range(len(TILES)):
            self.write(tile, None, None)

    @precondition(lambda self: self.writer is not None)
    @rule(killed=st.none() | MOMENTS, full=st.none() | MOMENTS)
    def finish(self, killed: int | None, full: int | None) -> None:
        assert self.writer is not None
        writer, run = self.writer, self.begun
        complete = writer.done == set(range(len(TILES)))
        in_the_way = self.final == "folder" or (self.final is not None and not writer.plan.overwrite)
        ended = self.attempt(writer.finish, killed=killed, full=None if killed is not None else full)
        if ended == "done":
            assert complete and not (in_the_way and not self.uncertain)
            self.final, self.begun, self.writer, self.uncertain = run, None, None, False
            left = {each.name for each in self.folder.iterdir()} - {"other.zarr", f"{self.name}.txt"}
            assert left == {self.name}, left
        elif ended == "killed" and complete:
            self.uncertain = True
            if self.final == "file" and writer.plan.overwrite:
                self.final = None  # which was asked for
        elif full is not None and complete:
            self.uncertain = True
            if self.final == "file" and writer.plan.overwrite:
                self.final = None
            writer.close()
            self.writer = None
        elif ended == "refused":
            assert not complete or in_the_way

    @rule()
    def cancel(self) -> None:
        if self.writer is not None:
            self.writer.close()
        self.writer = None

    @precondition(lambda self: self.writer is not None)
    @rule()
    def crash(self) -> None:
        self.copy()
        self.goes_on_in_the_copy()

    @precondition(lambda self: self.writer is None)
    @rule(killed=st.none() | MOMENTS, full=st.none() | MOMENTS)
    def resume(self, killed: int | None, full: int | None) -> None:
        """Whatever happened, an unfinished run goes on with every tile that was noted."""
        if not output.resumable(self.path):
            assert self.begun is None or self.uncertain, "an unfinished run is lost"
            return
        run = output._planned(self.path).fingerprint["run"]
        with pytest.raises(OtherRunError):
            output.reopen(self.path, fingerprint={"run": -1})
        writers: list[OutputWriter] = []
        ended = self.attempt(
            lambda: writers.append(output.reopen(self.path, fingerprint={"run": run})),
            killed=killed,
            full=None if killed is not None else full,
        )
        if ended != "done":
            assert killed is not None or full is not None
            return
        self.writer = writers[0]
        if run == self.begun:
            assert self.noted <= self.writer.done <= self.noted | self.perhaps
        self.begun, self.noted, self.perhaps = run, set(self.writer.done), set()
        self.settle()
        array = zarr.open_array(self.writer.array_path, mode="r")
        for tile in self.writer.done:
            assert np.array_equal(array[TILES[tile].slices], pixels_of(run)[TILES[tile].slices])

    @precondition(lambda self: self.writer is None)
    @rule(killed=st.none() | MOMENTS)
    def tidied(self, killed: int | None) -> None:
        """What a run that was killed after its result had got the name has left."""
        if not output._published(self.path):
            return
        run = output._planned(self.path).fingerprint["run"]
        ended = self.attempt(lambda: output.is_done(self.path, fingerprint={"run": run}), killed=killed)
        if ended == "done":
            assert output.made(self.path) is not None and not output.resumable(self.path)
            self.final, self.begun, self.uncertain = run, None, False

    # Others -----------------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.writer is not None)
    @rule()
    def a_second_writer(self) -> None:
        before = self.names()
        for attempt in (
            lambda: output.claim(self.path),
            lambda: output.create(self.path, **self.words(-2), writing=Writing(overwrite=True)),
            lambda: output.reopen(self.path, fingerprint={"run": self.begun}),
            lambda: output.check_destination(self.path, overwrite=True, resume=False),
        ):
            with pytest.raises(OutputError, match="is being written by process"):
                attempt()
        assert self.names() == before

    @precondition(lambda self: self.final is not None and not self.uncertain)
    @rule()
    def the_result_is_renamed(self) -> None:
        self.path.rename(self.place / f"away-{self.run}-{self.copies}-{len(list(self.place.iterdir()))}")
        self.final = None

    @precondition(lambda self: self.final is None and not self.uncertain and not self.path.exists())
    @rule(folder=st.booleans())
    def something_is_laid_there(self, folder: bool) -> None:
        if folder:
            self.path.mkdir()
            (self.path / "mine").write_text("mine")
        else:
            self.path.write_text("mine")  # which may be replaced where that is asked for
        self.final = "folder" if folder else "file"

    @precondition(lambda self: self.writer is None)
    @rule(
        beside=st.sampled_from(
            [output.partial_path, output.journal_path, output.lock_path, replaced_path, temporary_path]
        ),
        folder=st.booleans(),
        overwrite=st.booleans(),
    )
    def a_name_beside_it_is_taken(self, beside: Callable[[Path], Path], folder: bool, overwrite: bool) -> None:
        name = beside(self.path)
        told_by_the_journal = beside in (replaced_path, temporary_path) and output.journal_path(self.path).exists()
        told_by_the_pixels = beside is output.journal_path and output.partial_path(self.path).exists()  # a damaged one
        if os.path.lexists(name) or told_by_the_journal or told_by_the_pixels:
            return
        inside = name / "mine" if folder else name
        if folder:
            name.mkdir()
        inside.write_text("mine")
        before = self.names()
        with pytest.raises(OutputError):
            output.create(self.path, **self.words(-3), writing=Writing(overwrite=overwrite)).close()
        if output.resumable(self.path):
            with pytest.raises(OutputError):
                output.reopen(self.path, fingerprint={"run": self.begun}).close()
        assert inside.read_text() == "mine" and self.names() == before
        shutil.rmtree(name) if folder else name.unlink()

    # What always holds ------------------------------------------------------------------------------------------------

    def names(self) -> set[str]:
        """All names in the folder but that of the lock."""
        return {str(p.relative_to(self.folder)) for p in self.folder.rglob("*")} - {f"{self.name}.lock"}

    @invariant()
    def nothing_of_others_is_destroyed(self) -> None:
        assert (self.folder / "other.zarr" / "zarr.json").read_text() == "{}"
        assert (self.folder / f"{self.name}.txt").read_text() == "mine"

    @invariant()
    def what_has_the_name_is_whole(self) -> None:
        if isinstance(self.final, str):
            assert (self.path / "mine" if self.final == "folder" else self.path).read_text() == "mine"
            return
        if not os.path.lexists(self.path):
            assert self.final is None or self.uncertain, "a result is gone"
            return
        if self.uncertain and self.is_file():
            return
        found = self.pixels()
        run = int(found.flat[0]) // 1000
        assert np.array_equal(found, pixels_of(run)), "half a result"
        assert self.uncertain or run == self.final

    def pixels(self) -> Any:
        if self.name.endswith("tif"):
            return tifffile.imread(self.path)
        group = zarr.open_group(self.path, mode="r")
        assert group.attrs["ome"]["multiscales"]
        return group["0"][:]

    def teardown(self) -> None:
        if hasattr(self, "place"):
            with suppress(OutputError):
                self.cancel()
            shutil.rmtree(self.place)


def test_an_output_in_any_order_of_events() -> None:
    examples = int(os.environ.get("EXAMPLES", "25"))
    run_state_machine_as_test(
        OutputLife,
        settings=settings(max_examples=examples, stateful_step_count=20, derandomize=examples == 25, database=None),
    )

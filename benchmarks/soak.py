"""A restoration killed with SIGKILL at random moments, again and again, and what each kill left.

Each child is forked from a process that has loaded everything, so that kills hit the restoration and not the imports.
After a kill the files beside the output are looked at: is every chunk there whole (equal to that of a run that was
never killed), is every tile that a journal ever named still in it, and how many tiles will be done twice. The same call
goes on until the output is finished, which is compared byte by byte, and another output is begun.

`files_left_behind` counts what lies beside finished outputs by the end of its name: a `.lock` is of a process killed
between its last act, the removal of the journal, and letting go. `on_disk_twice` are tiles that were on the disk and
not in the journal yet; `computed_twice` also counts those that had been through the network and waited to be written.
Needs fork: Linux or macOS.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import reporting


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--shape", type=reporting.shape_of, default=(2, 270, 300), metavar="Z,Y,X")
    parser.add_argument("--tile", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    folder = Path(tempfile.mkdtemp(prefix="napari-restore-soak-"))
    try:
        results = Soak(folder, given).run()
    finally:
        shutil.rmtree(folder)
    settings = {"kills": given.kills, "shape": given.shape, "tile": given.tile, "seed": given.seed}
    reporting.finish(machine, results=results, settings=settings, out=given.out)


def restore_in_child(folder: Path, name: str, tile: int) -> None:
    """What is killed. Every tile that has been through the network is a byte in a file."""
    import torch

    from napari_restore import restore
    from napari_restore.restoration import pipeline

    torch.set_num_threads(1)
    log = os.open(folder / "computed", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    finishers = pipeline.finishers

    def counted(*given: Any) -> Any:
        tiles = finishers(*given)
        os.write(log, b"." * len(tiles))
        return tiles

    pipeline.finishers = counted
    options = {"tile": (tile, tile), "axes": "ZYX", "device": "cpu", "precision": "float32"}
    restore(folder / "raw.zarr", folder / "m.safetensors", output=folder / name, **options)


@dataclass
class Soak:
    """The output that is killed, and what has been counted."""

    folder: Path
    given: Any
    expected: dict[str, bytes] = field(default_factory=dict)
    journalled: set[int] = field(default_factory=set)
    counts: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)
    on_disk_twice: int = 0
    computed_twice: int = 0
    computed: int = 0

    def run(self) -> dict[str, Any]:
        make_inputs(self.folder, self.given.shape)
        self._start("whole.zarr").join()
        began = time.perf_counter()
        shutil.rmtree(self.folder / "whole.zarr")
        self._start("whole.zarr").join()
        seconds = time.perf_counter() - began
        self.expected = content(self.folder / "whole.zarr")
        (self.folder / "computed").unlink()
        refused = self._second_process()
        rng = np.random.default_rng(self.given.seed)
        while self.counts["kills"] < self.given.kills or self.journalled:
            self._once(rng.uniform(0, 0.5 * seconds) if self.counts["kills"] < self.given.kills else None)
        names = (
            *("kills", "killed_before_the_journal", "killed_after_the_last_tile", "torn_chunks"),
            *("journalled_tiles_lost", "runs_finished", "runs_that_differ"),
        )
        return {
            "seconds_of_an_uninterrupted_run": round(seconds, 2),
            **{name: self.counts[name] for name in names},
            "files_left_behind": dict(self.left),
            "on_disk_twice_at_most": self.on_disk_twice,
            "computed_twice_at_most": self.computed_twice,
            "second_process_refused_after_seconds": refused,
        }

    def _start(self, name: str) -> Any:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["napari_restore.restoration.engine", "napari_restore.api"])
        child = context.Process(target=restore_in_child, args=(self.folder, name, self.given.tile))
        child.start()
        return child

    def _once(self, delay: float | None) -> None:
        child = self._start("killed.zarr")
        child.join(delay)
        if child.exitcode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(child.pid, signal.SIGKILL)
        child.join()
        if child.exitcode == -signal.SIGKILL:
            self.counts["kills"] += 1
            self._look()
            if self.published:
                self._finished()
            if self.counts["kills"] % 10 == 0:
                reporting.progress(f"{self.counts['kills']} kills, {dict(self.counts)}")
        elif child.exitcode == 0:
            self._finished()
        else:
            raise SystemExit(f"a resumed run ended with {child.exitcode}: see above. Counted so far: {self.counts}")

    @property
    def published(self) -> bool:
        """Whether the result has its name, and is only being judged."""
        from napari_restore.store import output

        path = self.folder / "killed.zarr"
        return path.exists() and not output.journal_path(path).exists()

    def _look(self) -> None:
        """What a kill left."""
        from napari_restore.store import journal, output

        path = self.folder / "killed.zarr"
        computed = size(self.folder / "computed")
        if path.exists():
            self.counts["killed_after_the_last_tile"] += 1
            return
        if not output.resumable(path):
            self.counts["killed_before_the_journal"] += 1
            return
        tiles = set(journal.read(output.journal_path(path)).tiles)
        self.counts["journalled_tiles_lost"] += len(self.journalled - tiles)
        found = content(output.partial_path(path))
        chunks = {name: data for name, data in found.items() if "/c/" in name and not name.endswith(".partial")}
        self.counts["torn_chunks"] += sum(data != self.expected[name] for name, data in chunks.items())
        there = sum(name.startswith("0/") for name in chunks)
        self.counts["killed_after_the_last_tile"] += len(tiles) == sum(n.startswith("0/c/") for n in self.expected)
        self.on_disk_twice = max(self.on_disk_twice, there - len(tiles))
        self.computed_twice = max(self.computed_twice, computed - self.computed - len(tiles - self.journalled))
        self.journalled, self.computed = tiles, computed

    def _finished(self) -> None:
        path = self.folder / "killed.zarr"
        self.counts["runs_finished"] += 1
        self.counts["runs_that_differ"] += content(path) != self.expected
        self.left.update(p.suffix for p in self.folder.iterdir() if p.name.startswith("killed.zarr."))
        shutil.rmtree(path)
        (self.folder / "computed").unlink(missing_ok=True)
        self.journalled, self.computed = set(), 0

    def _second_process(self) -> float:
        """Seconds until a second process on the same output is refused, from the call."""
        from napari_restore import load_model, restore
        from napari_restore.core.errors import OutputError
        from napari_restore.store import output

        path = self.folder / "killed.zarr"
        model = load_model(self.folder / "m.safetensors")
        child = self._start("killed.zarr")
        while not output.journal_path(path).exists():
            time.sleep(0.001)
        os.kill(child.pid, signal.SIGSTOP)
        began = time.perf_counter()
        try:
            restore(self.folder / "raw.zarr", model, output=path, axes="ZYX")
        except OutputError as error:
            seconds = time.perf_counter() - began
            assert "is being written by process" in str(error), error
        else:
            raise SystemExit("a second process was not refused")
        os.kill(child.pid, signal.SIGKILL)
        child.join()
        self._look()
        return round(seconds, 3)


def make_inputs(folder: Path, shape: tuple[int, ...]) -> None:
    """An image, and a model with random weights that are large enough to make pixels differ."""
    import torch
    import zarr

    from napari_restore.core.normalisation import Normalisation
    from napari_restore.store.model import Model, build_method

    pixels = np.random.default_rng(3).normal(1000, 50, shape).astype(np.uint16)
    zarr.create_array(folder / "raw.zarr", data=pixels, chunks=(1, 128, 128))
    torch.manual_seed(0)
    method = build_method("noise2void", {"width": 4, "depth": 1}, spatial="YX", channels=1)
    for weights in method.parameters():
        weights.data.mul_(2.0)
    Model("noise2void", method.eval(), Normalisation((1000.0,), (50.0,))).save(folder / "m.safetensors")


def content(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


if __name__ == "__main__":
    main()

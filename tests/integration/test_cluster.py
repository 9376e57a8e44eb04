"""Restoring on a dask cluster: the bytes of a run in one process, whoever dies, whenever it is stopped."""

from __future__ import annotations

import copy
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dask.config
import numpy as np
import pytest
import tifffile
import torch
import zarr
from distributed import Client, LocalCluster, Scheduler, SpecCluster, Worker, get_worker
from hypothesis import given
from hypothesis import strategies as st

from napari_restore import open_image, restore, restore_events
from napari_restore.cli import main, verbs
from napari_restore.core.errors import ImageError, InterruptedWorkError, RestoreError
from napari_restore.core.events import RestorationStarted, Stopped, TileDone
from napari_restore.core.job import drain
from napari_restore.core.normalisation import Normalisation
from napari_restore.core.options import Opening
from napari_restore.core.watch import Watch
from napari_restore.restoration.cluster import source as sources
from napari_restore.restoration.cluster import station, tasks
from napari_restore.restoration.cluster.station import WorkerState
from napari_restore.restoration.cluster.workers import find_common
from napari_restore.sources.unchanged import probe
from napari_restore.store import pyramid
from napari_restore.store.model import Model, build_method
from napari_restore.store.output import OutputWriter, journal_path, lock_path, partial_path

SHAPE, TILE = (3, 131, 173), (24, 24)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Workers have one thread of torch, and so has the run they are compared with."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module", autouse=True)
def two_smaller_levels() -> Iterator[None]:
    """Also of a small image."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(pyramid, "COARSEST", 64)
        yield


@pytest.fixture(scope="module")
def two_workers() -> Iterator[Client]:
    """Two processes, which a nanny starts again when they die.

    A cluster gives a worker up that is away 15 s after it died, be it that it is still loading its libraries (on a
    busy machine) or that it died once more (where this test is repeated): here it is waited for.
    """
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "600s"}),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0") as cluster,
        Client(cluster) as client,
    ):
        yield client


@pytest.fixture(scope="module")
def model() -> Model:
    torch.manual_seed(0)
    method = build_method("noise2void", {"width": 4, "depth": 1}, spatial="YX", channels=1)
    return Model("noise2void", method.eval(), Normalisation((1000.0,), (500.0,)))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("images") / "stack.zarr"
    pixels = np.random.default_rng(0).normal(1000, 100, SHAPE).astype(np.float32)
    zarr.create_array(path, data=pixels, chunks=(1, 64, 50), dimension_names=("z", "y", "x"))
    return path


@pytest.fixture(scope="module")
def serial(stack: Path, model: Model, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a run in this process."""
    output = tmp_path_factory.mktemp("serial") / "o.zarr"
    restore(stack, model, output=output, tile=TILE)
    return files(output)


@pytest.fixture
def short_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "TASK_SECONDS", 0.02)


def files(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def pixels_of(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in files(folder).items() if "/" in name}


def leftovers(output: Path) -> list[Path]:
    return [p for p in (partial_path(output), journal_path(output), lock_path(output)) if p.exists()]


def test_workers_give_the_bytes_of_one_process(
    two_workers: Client, stack: Path, model: Model, serial: dict[str, bytes], tmp_path: Path, short_tasks: None
) -> None:
    events: list[Any] = []
    result = drain(
        restore_events(stack, model, output=tmp_path / "o.zarr", tile=TILE, client=two_workers), events.append
    )
    assert result.complete and files(tmp_path / "o.zarr") == serial
    assert not leftovers(tmp_path / "o.zarr")
    tiles = [e for e in events if isinstance(e, TileDone)]
    (started,) = (e for e in events if isinstance(e, RestorationStarted))
    assert started.device == "2 dask workers (CPU, 1 thread a task)"
    assert sorted(e.index for e in tiles) == list(range(started.tiles))
    assert [e.done for e in tiles] == list(range(1, started.tiles + 1))
    assert sum(e.region.size for e in tiles) == math.prod(SHAPE)


def pixels_of_level(folder: Path) -> list[str]:
    return [name for name in files(folder) if name.startswith("0/c/")]


def test_a_killed_worker_is_replaced(
    two_workers: Client, stack: Path, model: Model, serial: dict[str, bytes], tmp_path: Path, short_tasks: None
) -> None:
    before = two_workers.run(os.getpid)
    victim = next(iter(before.values()))
    killed_at = None
    for event in restore_events(stack, model, output=tmp_path / "o.zarr", tile=TILE, client=two_workers):
        if isinstance(event, TileDone) and killed_at is None:
            killed_at = event.done / event.tiles
            os.kill(victim, signal.SIGKILL)
    assert killed_at is not None and killed_at < 0.5
    assert files(tmp_path / "o.zarr") == serial
    two_workers.wait_for_workers(2, timeout=600)  # a new process loads its libraries: on a busy machine, for minutes
    assert victim not in two_workers.run(os.getpid).values()


def test_a_result_that_dies_with_its_worker_is_waited_for() -> None:
    """The scheduler has it computed elsewhere, and the client's future says ``lost`` until then."""

    class Future:
        key = "run-0"

        def __init__(self) -> None:
            self._states = iter(["lost", "lost", "finished"])

        @property
        def status(self) -> str:
            return next(self._states)

        def result(self) -> list[str]:
            return ["tile"]

        def add_done_callback(self, call: Any) -> None:
            call(self)

    class Scheduler:
        status = "running"

        def submit(self, *_: Any, **__: Any) -> Future:
            return Future()

    some = tasks.Tasks(Scheduler(), "run", None)
    some.submit([0])
    assert list(some.finished(Watch())) == [["tile"]]


@pytest.mark.parametrize("first", ["cluster", "here"])
def test_what_was_stopped_is_finished_by_either(
    first: str,
    two_workers: Client,
    stack: Path,
    model: Model,
    serial: dict[str, bytes],
    tmp_path: Path,
    short_tasks: None,
) -> None:
    output, stop, events = tmp_path / "o.zarr", threading.Event(), []
    client, other = (two_workers, None) if first == "cluster" else (None, two_workers)

    def see(event: Any) -> None:
        events.append(event)
        if isinstance(event, TileDone):
            stop.set()

    begun = drain(restore_events(stack, model, output=output, tile=TILE, client=client, stop=stop), see)
    assert isinstance(events[-1], Stopped) and not begun.complete
    assert not any(two_workers.processing().values()), "nobody writes any more"
    done = len(journal_path(output).read_text().splitlines()) - 1
    assert done == events[-1].step == sum(isinstance(e, TileDone) for e in events)
    again: list[Any] = []
    assert drain(restore_events(stack, model, output=output, tile=TILE, client=other), again.append).complete
    assert sum(isinstance(e, TileDone) for e in again) == len(pixels_of_level(output)) - done > 0
    assert files(output) == serial


def test_workers_restore_a_region(
    two_workers: Client, stack: Path, model: Model, tmp_path: Path, short_tasks: None
) -> None:
    options: dict[str, Any] = {"tile": TILE, "region": "Z=1:,Y=5:100,X=30:131"}
    assert restore(stack, model, output=tmp_path / "a.zarr", client=two_workers, **options).shape == (2, 95, 101)
    restore(stack, model, output=tmp_path / "b.zarr", **options)
    assert files(tmp_path / "a.zarr") == files(tmp_path / "b.zarr")


def test_workers_make_the_deviations_of_one_process(two_workers: Client, stack: Path, tmp_path: Path) -> None:
    settled = {"sigma": (10.0,), "gain": (0.0,), "offset": (0.0,), "mean": (600.0,), "std": (180.0,), "width": 4}
    method = build_method("posterior", {**settled, "told": (((0.1, 0.2),),)}, spatial="YX", channels=1)
    teller = Model("posterior", method.eval(), Normalisation((600.0,), (180.0,)))
    how: dict[str, Any] = {"uncertainty": True, "tile": (32, 32), "device": "cpu"}
    alone = restore(stack, teller, output=tmp_path / "a.zarr", **how)
    together = restore(stack, teller, output=tmp_path / "b.zarr", client=two_workers, **how)
    np.testing.assert_array_equal(np.asarray(together.uncertainty), np.asarray(alone.uncertainty))
    assert {path.name for path in tmp_path.iterdir()} == {"a.zarr", "b.zarr"}


def test_values_that_are_not_finite_stop_a_run_on_workers_too(
    two_workers: Client, stack: Path, model: Model, tmp_path: Path, short_tasks: None
) -> None:
    broken = copy.deepcopy(model)
    for weights in broken.method.parameters():
        weights.data.fill_(float("nan"))
    with pytest.raises(RestoreError, match="values that are not finite, where the image has a value"):
        restore(stack, broken, output=tmp_path / "o.zarr", tile=TILE, client=two_workers)
    assert not (tmp_path / "o.zarr").exists() and not lock_path(tmp_path / "o.zarr").exists()


def test_an_array_is_sent_and_a_page_of_a_tiff_is_opened_there(
    two_workers: Client, stack: Path, model: Model, serial: dict[str, bytes], tmp_path: Path
) -> None:
    pixels = zarr.open_array(stack, mode="r")[:]
    chunks = {name: content for name, content in serial.items() if "/" in name}
    restore(pixels, model, axes="ZYX", output=tmp_path / "a.zarr", tile=TILE, client=two_workers)
    assert pixels_of(tmp_path / "a.zarr") == chunks
    tifffile.imwrite(tmp_path / "two.tif", np.stack([np.zeros_like(pixels), pixels]), metadata={"axes": "CZYX"})
    restore(tmp_path / "two.tif", model, channel=1, output=tmp_path / "b.tif", tile=TILE, client=two_workers)
    here = restore(tmp_path / "two.tif", model, channel=1, output=tmp_path / "c.tif", tile=TILE)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "b.tif"), np.asarray(here))


def test_the_shell_takes_the_address_of_a_scheduler(
    two_workers: Client,
    stack: Path,
    model: Model,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    saved, address = model.save(tmp_path / "m.safetensors"), two_workers.scheduler.address
    shared = ["restore", str(stack), "--model", str(saved), "--quiet"]
    assert shell(monkeypatch, *shared, "-o", str(tmp_path / "a.zarr")) == 0
    assert shell(monkeypatch, *shared, "-o", str(tmp_path / "b.zarr"), "--dask", address) == 0
    assert pixels_of(tmp_path / "a.zarr") == pixels_of(tmp_path / "b.zarr")
    monkeypatch.setattr(verbs, "_ANSWER", 0.3)
    capsys.readouterr()
    assert shell(monkeypatch, *shared, "-o", str(tmp_path / "c.zarr"), "--dask", "tcp://127.0.0.1:9") == 2
    assert "--dask tcp://127.0.0.1:9: no dask scheduler answers" in capsys.readouterr().err
    assert not leftovers(tmp_path / "c.zarr")


def shell(monkeypatch: pytest.MonkeyPatch, *words: str) -> Any:
    monkeypatch.setattr(sys, "argv", ["napari-restore", *words])
    with pytest.raises(SystemExit) as left:
        main()
    return left.value.code or 0


def workers_in_threads(*options: dict[str, Any]) -> SpecCluster:
    """A cluster inside this process, which starts at once."""
    workers = {n: {"cls": Worker, "options": {"nthreads": 1, **each}} for n, each in enumerate(options)}
    scheduler = {"cls": Scheduler, "options": {"dashboard": False, "protocol": "inproc://"}}
    return SpecCluster(workers=workers, scheduler=scheduler)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, Any]]:
    """Which worker of this process wrote which region."""
    noted: list[tuple[int, Any]] = []
    make = WorkerState._writer

    def noting(state: WorkerState) -> Any:
        write, name = make(state), get_worker().name

        def both(tile: Any) -> None:
            time.sleep(0.01)
            noted.append((name, tile.region))
            write(tile)

        return both

    monkeypatch.setattr(WorkerState, "_writer", noting)
    return noted


def test_every_tile_is_written_once_and_where_a_gpu_is_declared(
    stack: Path, model: Model, tmp_path: Path, short_tasks: None, written: list[tuple[int, Any]]
) -> None:
    with workers_in_threads({}, {"resources": {"GPU": 1}}) as cluster, Client(cluster) as client:
        for device, workers in (("auto", {1}), ("cpu", {0, 1})):
            written.clear()
            output = tmp_path / f"{device}.zarr"
            restore(stack, model, output=output, tile=TILE, client=client, device=device)
            assert {worker for worker, _ in written} == workers
            assert len(written) == len({region for _, region in written}) == len(pixels_of_level(output))


def test_without_workers_it_waits_and_can_be_stopped(stack: Path, model: Model, tmp_path: Path) -> None:
    stop = threading.Event()
    with workers_in_threads() as cluster, Client(cluster) as client:
        events = restore_events(stack, model, output=tmp_path / "o.zarr", client=client, stop=stop)
        assert any("waiting for a worker" in getattr(next(events), "text", "") for _ in range(3))
        stop.set()
        with pytest.raises(InterruptedWorkError, match="waiting for a worker"):
            next(events)
    assert not leftovers(tmp_path / "o.zarr")


def test_workers_leave_a_run_whose_client_is_gone(
    stack: Path, model: Model, serial: dict[str, bytes], tmp_path: Path, written: list[tuple[int, Any]]
) -> None:
    """One task for each worker: they end at their next tile, so that nothing is written behind a later run's back."""
    output, failed = tmp_path / "o.zarr", []
    with workers_in_threads({}, {}) as cluster:
        client = Client(cluster)

        def run() -> None:
            with pytest.raises(RestoreError, match="scheduler went away"):
                restore(stack, model, output=output, tile=TILE, client=client)
            failed.append(True)

        thread = threading.Thread(target=run)
        thread.start()
        wait_until(lambda: len(written) > 4)
        client.close()
        thread.join(20)
        assert failed
        with Client(cluster) as another:
            wait_until(lambda: not any(another.run(running_tasks).values()))
            count = len(written)
            assert count < math.prod(-(-n // t) for n, t in zip(SHAPE, (1, *TILE), strict=True)) / 2
            assert restore(stack, model, output=output, tile=TILE, client=another).complete
    assert files(output) == serial


def test_workers_make_the_smaller_levels_and_what_was_stopped_is_not_made_again(
    stack: Path, model: Model, serial: dict[str, bytes], tmp_path: Path, short_tasks: None, monkeypatch: Any
) -> None:
    output, stop, made = tmp_path / "o.zarr", threading.Event(), []
    note = OutputWriter.record_smaller

    def noting(out: OutputWriter, level: Any, blocks: Any) -> None:
        note(out, level, blocks)
        made.extend((level.number, index) for index in blocks)
        stop.set()

    monkeypatch.setattr(OutputWriter, "record_smaller", noting)
    with workers_in_threads({}, {}) as cluster, Client(cluster) as client:
        with monkeypatch.context() as patched:  # nothing of them is left to who calls
            patched.setattr(OutputWriter, "make_smaller", lambda *_: pytest.fail("made by who calls"))
            begun = restore(stack, model, output=output, tile=TILE, client=client, stop=stop)
        first = len(made)
        assert not begun.complete and 0 < first < 24
        assert restore(stack, model, output=output, tile=TILE, client=client).complete
    assert len(made) == len(set(made)) == sum(name.startswith(("1/c/", "2/c/")) for name in serial)
    assert files(output) == serial


def running_tasks(dask_worker: Any) -> int:
    states = [p for p in dask_worker.plugins.values() if isinstance(p, WorkerState)]
    return sum(len(state.running) for state in states)


def wait_until(true: Any, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it takes too long"
        time.sleep(0.01)


def test_what_fails_on_a_worker_is_said_here_and_can_be_resumed(
    stack: Path, model: Model, serial: dict[str, bytes], tmp_path: Path, short_tasks: None, monkeypatch: Any
) -> None:
    output = tmp_path / "o.zarr"
    write, broken = station.ome_zarr.write_blocks, threading.Event()

    def full(array: Any, path: Path, region: Any, pixels: Any) -> int:
        if region.start[0] == 2:
            broken.set()
            raise OSError(28, "No space left on device")
        return write(array, path, region, pixels)

    with workers_in_threads({}, {}) as cluster, Client(cluster) as client:
        with monkeypatch.context() as patched:
            patched.setattr(station.ome_zarr, "write_blocks", full)
            with pytest.raises(RestoreError, match="No space left on device"):
                restore(stack, model, output=output, tile=TILE, client=client)
        assert broken.is_set() and not any(client.processing().values())
        assert not any(name.startswith("napari-restore") for name in plugins_of(client))
        restore(stack, model, output=output, tile=TILE, client=client)
    assert files(output) == serial


def plugins_of(client: Client) -> list[str]:
    return [str(n) for names in client.run(lambda dask_worker: list(dask_worker.plugins)).values() for n in names]


def test_what_workers_cannot_open_is_refused(
    stack: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "LARGEST_ARRAY", 2**20)
    with pytest.raises(ImageError, match=r"3 MiB are over the 1 MiB .* OME-Zarr"):
        sources.find_source(open_image(np.zeros((4, 500, 400), np.float32), axes="ZYX"))
    tifffile.imwrite(tmp_path / "two.tif", np.random.default_rng(0).random((2, 40, 50)), metadata={"axes": "CYX"})
    with pytest.raises(ImageError):  # the path alone gives both channels
        sources.find_source(open_image(tmp_path / "two.tif", channel=1))
    with pytest.raises(RestoreError, match=r"`client` is str: give a distributed.Client"):
        restore(stack, model, output=tmp_path / "o.zarr", client="tcp://host:8786")
    with pytest.raises(RestoreError, match=r"`unreadable` = fill is for this machine alone"):
        restore(stack, model, output=tmp_path / "o.zarr", client="tcp://host:8786", unreadable="fill")


def test_another_file_under_the_same_path_is_refused(tmp_path: Path, stack: Path) -> None:
    image = open_image(stack)
    source = sources.find_source(image)
    assert source.open().shape == image.shape
    other = tmp_path / "other.zarr"
    zarr.create_array(other, data=np.ones(SHAPE, np.float32), chunks=(1, 64, 50), dimension_names=("z", "y", "x"))
    elsewhere = sources.Source(str(other), Opening(axes=image.axes))
    with pytest.raises(ImageError, match="opens as another image on this machine"):
        sources.open_same(elsewhere, image.axes, image.shape, image.dtype.str, probe(image))


FACTS = {
    "device": "cpu", "trouble": "", "bfloat16": True, "threads": 4, "slots": 1, "gpus": 0,
    "version": station.__version__, "torch": torch.__version__,
}  # fmt: skip


def test_workers_settle_on_what_all_of_them_have() -> None:
    common = find_common({"a": FACTS, "b": {**FACTS, "threads": 2, "bfloat16": False}}, "auto")
    assert (common.threads, common.bfloat16, common.device, common.declares_gpu) == (2, False, "cpu", False)
    gpu = {**FACTS, "device": "cuda", "gpus": 1}
    common = find_common({"a": FACTS, "b": gpu}, "auto")
    assert (common.device, common.declares_gpu, common.name) == ("cuda", True, "1 dask worker (cuda)")
    with pytest.raises(RestoreError, match=r"different devices \(cpu, cuda\).*GPU=1"):
        find_common({"a": FACTS, "b": {**gpu, "gpus": 0}}, "auto")
    with pytest.raises(RestoreError, match=r"worker b has napari-restore 0\.0\.1"):
        find_common({"a": FACTS, "b": {**FACTS, "version": "0.0.1"}}, "auto")
    with pytest.raises(RestoreError, match="worker a: no such device"):
        find_common({"a": {**FACTS, "device": None, "trouble": "no such device"}}, "cuda")


@given(
    tiles=st.integers(1, 3000), batch=st.integers(1, 9), seconds=st.floats(1e-4, 100), slots=st.integers(1, 40)
)  # fmt: skip
def test_tasks_share_the_tiles_and_are_long_enough(tiles: int, batch: int, seconds: float, slots: int) -> None:
    todo = list(range(5, 5 + 2 * tiles, 2))
    made = tasks.blocks(todo, batch=batch, seconds=seconds, slots=slots)
    assert [i for block in made for i in block] == todo
    assert all(block and len(block) % batch == 0 for block in made[:-1]), "only the last batch is filled up"
    longest = max(math.ceil(len(block) / batch) for block in made) * seconds
    share = math.ceil(tiles / batch) / slots * seconds
    if share >= tasks.TASK_SECONDS:
        assert longest >= tasks.TASK_SECONDS * 0.999
    assert longest <= max(2 * tasks.TASK_SECONDS, share) + seconds, "and not much longer than that"

"""Where results go in a folder, and how a run goes on with what a crash or a stop has left there."""

from __future__ import annotations

import threading
from types import SimpleNamespace

import numpy as np
import pytest

from napari_restore.core.errors import OtherRunError, OutputError
from napari_restore.core.events import Note
from napari_restore.core.job import PreviewRequest
from napari_restore.gui.restore import work
from napari_restore.gui.restore.widget import RestoreWidget
from napari_restore.gui.restore.work import doing, names
from napari_restore.sources import open_image
from napari_restore.store import output as outputs
from napari_restore.store.lock import Lock
from napari_restore.verbs.request import ask

IMAGE = open_image(np.ones((6, 30, 20), np.uint16), axes="ZYX")


class ListingEngine:
    """Takes notes of the outputs asked for; refuses those that it is told are of something else."""

    def __init__(self, *, others=(), complete: bool = True) -> None:
        self.outputs: list[str] = []
        self.others, self.complete = others, complete
        self.resumes: list[bool] = []

    def run(self, request, watch):
        name = request.writing.output.name
        self.outputs.append(name)
        self.resumes.append(request.writing.resume)
        if name in self.others:
            raise OtherRunError(f"the unfinished {name} was begun with seed 1, this run has 0.")
        return SimpleNamespace(complete=True) if self.complete else SimpleNamespace()
        yield


def done(engine, folder, request=None, *, suffix="denoised") -> list:
    request = request or ask("denoise", IMAGE)
    return list(doing(engine, request, PreviewRequest(), folder=folder, suffix=suffix)(threading.Event()))


def unfinished(folder, name, *, model=True):
    """As a crash while restoring leaves it."""
    path = folder / name
    (outputs.partial_path(path) / "0").mkdir(parents=True)
    outputs.journal_path(path).touch()
    if model:
        outputs.model_path(path).touch()
    return path


def first(folder, request=None) -> str:
    name = next(names(folder, request or ask("denoise", IMAGE), suffix="denoised")).name
    return name.removeprefix(f"{IMAGE.name}_").removesuffix(".ome.zarr")


def test_what_is_there_already_is_left_alone(tmp_path):
    assert first(tmp_path) == "denoised"
    (tmp_path / f"{IMAGE.name}_denoised.ome.zarr").mkdir()
    (tmp_path / f"{IMAGE.name}_denoised_2.ome.zarr.partial").mkdir()
    assert first(tmp_path) == "denoised_3"


def test_what_a_crash_left_gives_its_name_to_the_next_run(tmp_path):
    (tmp_path / f"{IMAGE.name}_denoised.ome.zarr").mkdir()
    path = unfinished(tmp_path, f"{IMAGE.name}_denoised_2.ome.zarr")
    assert first(tmp_path) == "denoised_2"
    engine = ListingEngine()
    done(engine, tmp_path)
    assert (engine.outputs, engine.resumes) == ([path.name], [True])


def test_a_training_that_was_cut_off_goes_on(tmp_path):
    outputs.training_path(tmp_path / f"{IMAGE.name}_denoised.ome.zarr").mkdir()
    assert first(tmp_path) == "denoised"


def test_only_work_of_the_same_kind_goes_on(tmp_path):
    """A restore has no model beside its output; a denoise without one would begin anew, and be refused."""
    unfinished(tmp_path, f"{IMAGE.name}_denoised.ome.zarr", model=False)
    assert first(tmp_path) == "denoised_2"
    assert first(tmp_path, ask("restore", IMAGE, model="m.safetensors")) == "denoised"
    outputs.model_path(tmp_path / f"{IMAGE.name}_denoised.ome.zarr").touch()
    assert first(tmp_path) == "denoised"
    assert first(tmp_path, ask("restore", IMAGE, model="m.safetensors")) == "denoised_2"


def test_what_another_process_writes_is_left_to_it(tmp_path):
    path = unfinished(tmp_path, f"{IMAGE.name}_denoised.ome.zarr")
    lock = Lock.acquire(outputs.lock_path(path))
    assert first(tmp_path) == "denoised_2"
    lock.release()
    assert first(tmp_path) == "denoised"


def test_unfinished_work_of_something_else_stays_and_that_is_said(tmp_path):
    path = unfinished(tmp_path, f"{IMAGE.name}_denoised.ome.zarr")
    engine = ListingEngine(others=[path.name])
    (note,) = [event for event in done(engine, tmp_path) if isinstance(event, Note)]
    assert path.name in note.text and "another name" in note.text
    assert engine.outputs == [path.name, f"{IMAGE.name}_denoised_2.ome.zarr"]
    assert outputs.journal_path(path).exists()


def test_any_other_failure_is_one(tmp_path):
    class Fails(ListingEngine):
        def run(self, request, watch):
            self.outputs.append(request.writing.output.name)
            raise OutputError("the disk is full.")
            yield

    engine = Fails()
    unfinished(tmp_path, f"{IMAGE.name}_denoised.ome.zarr")
    with pytest.raises(OutputError, match="disk is full"):
        done(engine, tmp_path)
    assert len(engine.outputs) == 1 and not work._HELD


def test_two_runs_of_this_program_never_share_a_name(tmp_path):
    path = tmp_path / f"{IMAGE.name}_denoised.ome.zarr"

    class Nested(ListingEngine):
        def run(self, request, watch):
            outputs.training_path(path).mkdir(exist_ok=True)  # it trains: there is no lock yet
            inner = ListingEngine()
            done(inner, tmp_path)
            self.outputs += inner.outputs
            return SimpleNamespace(complete=True)
            yield

    engine = Nested()
    done(engine, tmp_path)
    assert engine.outputs == [f"{IMAGE.name}_denoised_2.ome.zarr"]


def test_a_training_that_the_user_stops_leaves_nothing_but_the_model_in_the_window(tmp_path):
    path = tmp_path / f"{IMAGE.name}_denoised.ome.zarr"
    outputs.training_path(path).mkdir()
    done(ListingEngine(complete=False), tmp_path)
    assert not outputs.training_path(path).exists()


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


def test_a_run_of_the_window_that_was_cut_off_goes_on_with_its_model(qtbot, viewer, tmp_path, brief):
    """With the real engine: stopped while it restores, the next click restores the rest, without training again."""
    pixels = np.random.default_rng(0).poisson(90, (40, 40, 50)).astype(np.uint16)
    viewer.add_image(pixels, name="raw", axis_labels=("t", "y", "x"))
    engine = brief(method="noise2void", steps=3)
    plain, seen, stops = engine.run, [], [True]

    def run(request, watch):
        events = plain(request, watch)
        while True:
            try:
                event = next(events)
            except StopIteration as end:
                return end.value
            seen.append(type(event).__name__)
            if stops and seen.count("TileDone") == 3:
                watch.stop.set()  # as the button does
            yield event

    engine.run = run
    widget = RestoreWidget(viewer, engine=engine)
    viewer.window.add_dock_widget(widget, name="Restore")
    folder = tmp_path / "results"
    folder.mkdir()
    widget.form.place.use(folder)
    widget.run()
    qtbot.waitUntil(lambda: not widget.session.runner.running, timeout=60_000)
    assert widget.buttons.words.text() == "Stopped", widget.outcome.messages.toPlainText()
    path = folder / "raw_denoised.ome.zarr"
    assert outputs.resumable(path) and outputs.model_path(path).exists()
    stops.clear()
    before = len(seen)
    widget.run()
    qtbot.waitUntil(lambda: not widget.session.runner.running, timeout=60_000)
    assert widget.buttons.words.text() == "Done", widget.outcome.messages.toPlainText()
    assert "TrainingStarted" not in seen[before:] and "TileDone" in seen[before:]
    assert sorted(each.name for each in folder.iterdir()) == [path.name]
    assert viewer.layers["raw_denoised_noise2void"].data.shape == pixels.shape

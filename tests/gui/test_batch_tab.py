"""The tab "Batch": rows and their states, a stop, a viewer that goes away, results in the viewer."""

from __future__ import annotations

import shutil
import sys
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from qtpy.QtCore import QObject, QPoint, QRect, Qt, Signal
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_restore.core.errors import RestoreError
from napari_restore.core.events import (
    FileState,
    Measured,
    Note,
    RestorationStarted,
    Saved,
    Stopped,
    TileDone,
    TrainingStarted,
)
from napari_restore.core.region import Region
from napari_restore.core.watch import Watch
from napari_restore.gui.batch.table import FileRow
from napari_restore.gui.batch.widget import BatchWidget
from napari_restore.gui.parts import runner as room
from napari_restore.gui.restore.doors import BATCH, IN_THE_WINDOW
from napari_restore.gui.restore.work import package_engine
from napari_restore.store.finished import Finished
from napari_restore.verbs.words import asked

TILES = 4


class PretendFolderEngine:
    """Says what the real engine says of a folder: b fails, c is done before, the others have four tiles."""

    def __init__(self) -> None:
        self.calls: list[dict] = []
        self.threads: list[threading.Thread] = []
        self.step = threading.Event()
        self.step.set()
        self.closed = 0
        self.raises: Exception | None = None

    def run(self, request, watch):
        assert isinstance(watch, Watch)
        stop = watch.stop
        if request.verb == "train":
            yield from self._train(request, stop)
            return
        folder, output, pattern = request.image, request.own.output, request.own.pattern
        assert request.verb == "restore_folder"
        self.calls.append({"folder": folder, **asked(request)})
        self.threads.append(threading.current_thread())
        if self.raises is not None:
            raise self.raises
        paths = sorted(folder.glob(pattern))
        files = [(str(p), str(output / f"{p.stem}_denoised.tif")) for p in paths]
        try:
            for i, file in enumerate(files):
                yield FileState(i, len(files), *file, "waiting")
            for i, file in enumerate(files):
                state = {"b": "failed", "c": "skipped"}.get(paths[i].stem, "done")
                if state == "done":
                    yield FileState(i, len(files), *file, "running")
                    yield Note("the result is uint16")
                    yield RestorationStarted("p", "0", TILES, 0, (8, 8), (0, 0), 1, "uint16", "cpu", "float32")
                    for tile in range(TILES):
                        while not self.step.wait(0.01) and not stop.is_set():
                            pass
                        if stop.is_set():
                            yield FileState(i, len(files), *file, "waiting")
                            yield Stopped("batch", i, str(output))
                            return
                        yield TileDone(tile, tile + 1, TILES, Region((0,), (1,)), 0.1, None)
                    Path(file[1]).parent.mkdir(exist_ok=True)
                    tifffile.imwrite(file[1], np.full((20, 30), i, np.uint8))
                    yield Saved(file[1], "image")
                yield FileState(i, len(files), *file, state, "it is an empty file." if state == "failed" else "")
        finally:
            self.closed += 1

    def _train(self, request, stop):
        self.calls.append({"images": [image.name for image in request.image], **asked(request)})
        if self.raises is not None:
            raise self.raises
        yield TrainingStarted("posterior", "cpu", "float32", 1, (64, 64), 8, 10, None)
        for step in range(1, 11):
            while not self.step.wait(0.01) and not stop.is_set():
                pass
            if stop.is_set():
                yield Stopped("training", step, None)
                break
            yield Measured(step, 0.1 * step, 1.0, None, 1e-3, step / 10, 10.0 - step)
        request.writing.save_model.write_bytes(b"model")


@pytest.fixture
def engine():
    return PretendFolderEngine()


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def folder(tmp_path):
    place = tmp_path / "raw"
    place.mkdir()
    for name in "abcd":
        tifffile.imwrite(place / f"{name}.tif", np.ones((20, 30), np.uint8))
    np.save(place / "e.npy", np.ones((20, 30)))
    return place


@pytest.fixture
def widget(viewer, engine):
    widget = BatchWidget(viewer, engine=engine)
    viewer.window.add_dock_widget(widget, name="Batch")
    return widget


@pytest.fixture
def ready(widget, folder, tmp_path):
    widget.form.folder.line.setText(str(folder))
    widget.form.pattern.setText("*.tif")
    widget.form.model.use(tmp_path / "m.safetensors")
    return widget


def wait(qtbot, widget):
    qtbot.waitUntil(lambda: not widget.runner.running, timeout=10_000)


def cells(widget, column=1, role=Qt.ItemDataRole.DisplayRole):
    return [widget.rows.data(widget.rows.index(i, column), role) for i in range(widget.rows.rowCount())]


def test_nothing_runs_before_everything_is_chosen(qtbot, widget, folder, tmp_path, monkeypatch):
    assert not widget.run_button.isEnabled() and "folder" in widget.run_button.toolTip()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))
    widget.form.folder.button.click()
    assert widget.form.results.path == folder / "restored", "suggested, not asked for"
    assert not widget.run_button.isEnabled() and "model" in widget.run_button.toolTip()
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_: (str(tmp_path / "m.safetensors"), ""))
    widget.form.model.setCurrentIndex(widget.form.model.count() - 1)
    widget.form.model.activated.emit(widget.form.model.count() - 1)
    assert widget.form.model.model == str(tmp_path / "m.safetensors")
    assert widget.run_button.isEnabled() and not widget.cancel_button.isEnabled()
    widget.form.results.line.clear()
    assert not widget.run_button.isEnabled()


def test_the_images_are_listed_before_and_results_among_them_are_not(qtbot, widget, folder, monkeypatch):
    threads = []
    real = Finished.open
    monkeypatch.setattr(Finished, "open", lambda path: (threads.append(threading.current_thread()), real(path))[1])
    widget.form.folder.line.setText(str(folder))
    qtbot.waitUntil(lambda: len(widget.rows.rows) == 5, timeout=5000)
    assert cells(widget, 0) == ["a.tif", "b.tif", "c.tif", "d.tif", "e.npy"]
    assert set(cells(widget)) == {"waiting"} and widget.words.text() == "5 images"
    widget.form.pattern.setText("*.npy")
    qtbot.waitUntil(lambda: len(widget.rows.rows) == 1, timeout=5000)
    widget.form.folder.line.setText(str(folder / "nowhere"))
    qtbot.waitUntil(lambda: not widget.rows.rows, timeout=5000)
    assert "cannot be listed" in widget.words.text()
    widget.form.results.line.setText(str(folder))
    widget.form.folder.line.setText(str(folder))
    widget.form.pattern.setText("")
    qtbot.waitUntil(lambda: len(widget.rows.rows) == 5, timeout=5000)
    assert threads and threading.main_thread() not in threads


def test_a_run_shows_the_state_of_every_file(qtbot, ready, folder, engine):
    ready.run_button.click()
    assert not ready.run_button.isEnabled() and ready.cancel_button.isEnabled() and not ready.form.folder.isEnabled()
    wait(qtbot, ready)
    given = {"folder": folder, "model": str(folder.parent / "m.safetensors"), "output": folder / "restored"}
    assert engine.calls == [{**given, "pattern": "*.tif"}] and threading.main_thread() not in engine.threads
    assert cells(ready) == ["done", "it is an empty file: failed", "done before", "done"]
    tips = cells(ready, role=Qt.ItemDataRole.ToolTipRole)
    assert "it is an empty file." in tips[1] and "open it in the viewer" in tips[0] and "open the image" in tips[1]
    assert ready.words.text() == "2 done, 1 done before, 1 failed" and ready.bar.value() == 1000
    assert ready.run_button.isEnabled() and not ready.cancel_button.isEnabled() and engine.closed == 1


def test_one_row_is_redone_alone_and_any_row_opens(qtbot, viewer, ready, engine):
    ready.run_button.click()
    wait(qtbot, ready)
    row = ready.rows.rows[1]
    ready.rows.rows[1] = replace(row, file=replace(row.file, reason="it was made with another model", redo=True))
    assert cells(ready)[1] == "changed: redo" and ready._summary() == (
        "2 done, 1 done before, 1 changed: double click to redo"
    )
    ready.table.doubleClicked.emit(ready.rows.index(1, 1))
    wait(qtbot, ready)
    assert engine.calls[-1]["pattern"] == "b.tif" and engine.calls[-1]["overwrite"] is True
    assert cells(ready) == ["done", "it is an empty file: failed", "done before", "done"], "the others as they were"
    ready.table.doubleClicked.emit(ready.rows.index(1, 0))
    qtbot.waitUntil(lambda: "b" in viewer.layers, timeout=60_000)  # the first one loads the readers


def test_why_an_image_failed_is_said_without_its_name_once_more():
    file = FileState(0, 1, "/plate/well.tif", "", "failed", "well.tif cannot be read as an image.")
    assert FileRow(file).words == "cannot be read as an image: failed" and file.reason in FileRow(file).tip


def test_nothing_is_overwritten_unless_asked(qtbot, ready, engine):
    assert not ready.form.overwrite.isChecked()
    ready.form.overwrite.click()
    engine.step.clear()
    ready.run_button.click()
    qtbot.waitUntil(lambda: bool(engine.threads), timeout=5000)
    assert not ready.form.overwrite.isEnabled(), "what runs was asked for before"
    engine.step.set()
    wait(qtbot, ready)
    assert ready.form.overwrite.isEnabled() and ready.form.overwrite.isChecked()
    ready.form.overwrite.click()
    ready.run_button.click()
    wait(qtbot, ready)
    assert [call.get("overwrite", False) for call in engine.calls] == [True, False]


def test_progress_is_that_of_the_file_and_of_all(qtbot, ready, engine):
    engine.step.clear()
    ready.run_button.click()
    qtbot.waitUntil(lambda: cells(ready)[:1] == ["running, 0%"], timeout=5000)
    assert cells(ready)[1:] == ["waiting"] * 3
    ready.rows.take([TileDone(0, 1, TILES, Region((0,), (1,)), 0.1, None)])
    assert cells(ready)[0] == "running, 25%"
    assert cells(ready, role=Qt.ItemDataRole.UserRole)[0] == 0.25
    assert ready._progress() == ("Image 1 of 4: a.tif", 0.25 / 4)
    ready.run()
    assert len(engine.calls) == 1, "one run at a time"
    engine.step.set()
    wait(qtbot, ready)
    assert cells(ready)[0] == "done"


def test_a_stop_keeps_what_is_done_and_the_next_run_goes_on(qtbot, ready, engine):
    engine.step.clear()
    ready.run_button.click()
    qtbot.waitUntil(lambda: cells(ready)[:1] == ["running, 0%"], timeout=5000)
    ready.cancel_button.click()
    assert not ready.cancel_button.isEnabled() and "Stopping" in ready.words.text()
    wait(qtbot, ready)
    assert set(cells(ready)) == {"waiting"} and "4 left: run again" in ready.words.text()
    assert engine.closed == 1 and ready.run_button.isEnabled()
    engine.step.set()
    ready.run_button.click()
    wait(qtbot, ready)
    assert cells(ready)[0] == "done"


@pytest.mark.parametrize("error", [RestoreError("m.safetensors is damaged."), RuntimeError("CUDA is gone")])
def test_a_failure_of_all_is_said_and_nothing_is_stuck(qtbot, ready, engine, error):
    engine.raises = error
    ready.run()
    wait(qtbot, ready)
    assert str(error) in ready.words.text() and ready.run_button.isEnabled()


def test_a_double_click_opens_what_is_done(qtbot, viewer, ready):
    ready.run()
    wait(qtbot, ready)
    ready.table.doubleClicked.emit(ready.rows.index(3, 1))
    qtbot.waitUntil(lambda: "d_denoised" in viewer.layers, timeout=5000)
    assert np.asarray(viewer.layers["d_denoised"].data).max() == 3 and len(viewer.layers) == 1
    (ready.form.results.path / "a_denoised.tif").unlink()
    qtbot.waitUntil(lambda: not ready._opener.running, timeout=5000)
    ready.table.doubleClicked.emit(ready.rows.index(0, 0))
    qtbot.waitUntil(lambda: "does not exist" in ready.words.text(), timeout=5000)


@pytest.mark.parametrize("how", ["dock", "leave"])
def test_closed_amid_a_run_it_ends_and_touches_nothing_more(qtbot, viewer, ready, engine, how):
    engine.step.clear()
    ready.run()
    qtbot.waitUntil(lambda: bool(engine.threads), timeout=5000)
    if how == "dock":
        viewer.window.remove_dock_widget(ready)
    else:
        ready.leave()
    qtbot.waitUntil(lambda: engine.closed == 1 and not room._ALIVE, timeout=5000)


def test_the_users_preferences_hold(qtbot, viewer, folder, tmp_path, monkeypatch):
    """A batch once went past the user's share of the memory."""
    taken = []
    flow = SimpleNamespace(run=lambda request, watch: taken.append(request) or iter(()))
    monkeypatch.setitem(sys.modules, "napari_restore.verbs.run", flow)
    widget = BatchWidget(viewer, engine=package_engine(device="cpu", memory_share=0.3))
    qtbot.addWidget(widget)
    widget.form.folder.line.setText(str(folder))
    widget.form.model.use(tmp_path / "m.safetensors")
    widget.run()
    wait(qtbot, widget)
    assert (taken[0].computing.device, taken[0].restoring.memory_share) == ("cpu", 0.3)
    widget.leave()


def test_what_was_chosen_last_is_offered_again(qtbot, viewer, ready, engine, folder):
    ready.form.suffix.setText("clean")
    untouched = BatchWidget(viewer, engine=engine)
    assert untouched.form.folder.path is None and untouched.form.suffix.text() == "", "only a run counts"
    ready.run()
    wait(qtbot, ready)
    assert engine.calls[0]["suffix"] == "clean"
    again = BatchWidget(viewer, engine=engine)
    form = again.form
    assert (form.folder.path, form.pattern.text(), form.suffix.text()) == (folder, "*.tif", "clean")
    assert form.results.path == folder / "restored" and "model" in again.run_button.toolTip()
    shutil.rmtree(folder)
    gone = BatchWidget(viewer, engine=engine)
    assert gone.form.folder.path is None and gone.form.pattern.text() == "*.tif"
    for widget in (untouched, again, gone):
        qtbot.addWidget(widget)
        widget.leave()


def entries(widget):
    return {entry.text().split(":")[0]: entry for entry in widget.form.train.menu().actions()}


def test_one_model_is_trained_on_the_folder_and_chosen(qtbot, widget, folder, engine):
    (folder / "d.tif").write_bytes(b"II*\0 no image")
    assert not widget.form.train.isEnabled()
    widget.form.folder.line.setText(str(folder))
    qtbot.waitUntil(lambda: widget.rows.rowCount() == 5, timeout=5000)
    assert widget.form.train.isEnabled() and not widget.run_button.isEnabled(), "a model is what is missing"
    engine.step.clear()
    entries(widget)["Quick"].trigger()
    qtbot.waitUntil(lambda: "Training" in widget.words.text(), timeout=5000)
    assert "5 images" in widget.words.text() and "d.tif" in widget.words.toolTip(), "what cannot be opened is said"
    assert widget.cancel_button.isEnabled() and not widget.form.train.isEnabled() and not widget.form.type.isEnabled()
    engine.step.set()
    wait(qtbot, widget)
    made = folder / "restored" / f"{folder.name}_model.safetensors"
    assert engine.calls == [{"images": ["a", "b", "c", "e"], "effort": "quick", "save_model": made}]
    assert widget.form.model.model == str(made) and made.is_file() and made.name in widget.words.text()
    assert cells(widget) == ["waiting"] * 5 and widget.run_button.isEnabled()
    entries(widget)["Thorough"].trigger()
    wait(qtbot, widget)
    assert made.with_stem(f"{folder.name}_model_2").is_file(), "none is written over"


def test_a_training_on_the_folder_that_is_cancelled_keeps_its_model_and_one_that_fails_says_why(
    qtbot, widget, folder, engine
):
    widget.form.folder.line.setText(str(folder))
    qtbot.waitUntil(lambda: widget.rows.rowCount() == 5, timeout=5000)
    engine.step.clear()
    entries(widget)["Quick"].trigger()
    qtbot.waitUntil(lambda: engine.calls != [], timeout=5000)
    widget.cancel_button.click()
    assert widget.words.text() == "Stopping at the next step …"
    wait(qtbot, widget)
    assert Path(widget.form.model.model).is_file()
    engine.raises = RestoreError("b has axes YX and a ZYX: images to train on together need the same axes.")
    entries(widget)["Quick"].trigger()
    wait(qtbot, widget)
    assert widget.words.text() == str(engine.raises) and widget.run_button.isEnabled()


@pytest.mark.parametrize("type_", ["auto", "tiff", "zarr"])
def test_results_are_of_the_type_that_is_chosen(qtbot, viewer, ready, engine, type_):
    ready.form.type.setCurrentIndex(ready.form.type.findData(type_))
    ready.run()
    wait(qtbot, ready)
    assert engine.calls[0].get("format", "auto") == type_
    again = BatchWidget(viewer, engine=engine)
    qtbot.addWidget(again)
    assert again.form.type.currentData() == type_, "and so next time"
    again.leave()


def test_the_form_asks_for_what_is_written_of_it(ready):
    assert set(ready.form.options) == set(BATCH) and set(BATCH) < IN_THE_WINDOW["restore_folder"]


class PretendSession(QObject):
    changed = Signal()
    model = None


def test_the_model_trained_last_is_offered(viewer, engine, qtbot, tmp_path):
    session = PretendSession()
    widget = BatchWidget(viewer, engine=engine, session=session)
    qtbot.addWidget(widget)
    assert widget.form.model.model is None
    session.model = SimpleNamespace(name="first")
    session.changed.emit()
    assert widget.form.model.model is session.model
    session.model = SimpleNamespace(name="second")
    assert widget.form.model.model is session.model, "the last one, whichever that is by then"
    widget.form.model.use(tmp_path / "m.safetensors")
    session.changed.emit()
    assert widget.form.model.model == str(tmp_path / "m.safetensors"), "what was chosen stays chosen"
    session.model = None
    session.changed.emit()
    assert widget.form.model.model == str(tmp_path / "m.safetensors")
    assert widget.form.model.findText("the model trained last") < 0
    widget.leave()


def test_a_model_whose_run_is_discarded_cannot_be_taken(viewer, engine, qtbot, folder):
    session = PretendSession()
    session.model = SimpleNamespace(name="first")
    widget = BatchWidget(viewer, engine=engine, session=session)
    qtbot.addWidget(widget)
    widget.form.folder.line.setText(str(folder))
    assert widget.run_button.isEnabled()
    session.model = None
    session.changed.emit()
    assert not widget.run_button.isEnabled() and widget.form.model.currentIndex() == -1
    session.model = SimpleNamespace(name="second")
    session.changed.emit()
    assert widget.run_button.isEnabled() and widget.form.model.model is session.model
    widget.leave()


def test_everything_is_in_sight_in_a_small_dock(qtbot, viewer, engine, folder):
    widget = BatchWidget(viewer, engine=engine)
    qtbot.addWidget(widget)
    widget.form.folder.line.setText("/a/rather/long/path/to/the/images/of/last/year" * 5)
    widget.form.model.use("a_rather_long_name_of_a_model_trained_last_year" * 3 + ".safetensors")
    widget._say("Image 3 of 4: a rather long name of an image " * 4)
    widget.resize(400, 700)
    with qtbot.waitExposed(widget):
        widget.show()
    assert (widget.width(), widget.height()) == (400, 700), "nothing makes it larger"
    inputs = (widget.form.folder, widget.form.model, widget.form.results, widget.form.overwrite)
    for part in (*inputs, widget.table, widget.run_button, widget.cancel_button):
        place = QRect(part.mapTo(widget, QPoint(0, 0)), part.size())
        assert widget.rect().contains(place) and part.isVisible(), part
    assert widget.table.height() > 300
    widget.leave()


def test_every_control_says_what_it_is_for(ready):
    kinds = ("QLineEdit", "QPushButton", "QCheckBox", "ModelChoice")
    lines = [w for w in ready.findChildren(QWidget) if type(w).__name__ in kinds]
    assert len(lines) >= 8
    assert all(w.toolTip() for w in lines)


def save_model(path, *, seed):
    pytest.importorskip("torch")
    from napari_restore.core.normalisation import Normalisation
    from napari_restore.store.model import Model, build_method

    config = {"dimensions": "2", "width": 2, "depth": 1}
    method = build_method("noise2void", config, spatial="YX", channels=1, seed=seed)
    Model("noise2void", method.eval(), Normalisation((1.0,), (1.0,))).save(path)


def test_the_real_engine_replaces_what_another_model_made_if_asked(qtbot, viewer, folder, tmp_path):
    widget = BatchWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Batch")
    widget.form.folder.line.setText(str(folder))
    widget.form.pattern.setText("a.tif")
    said = []
    for name in ("first", "second"):
        save_model(tmp_path / f"{name}.safetensors", seed=len(said))
        widget.form.model.use(tmp_path / f"{name}.safetensors")
        widget.run_button.click()
        wait(qtbot, widget)
        said += cells(widget)
    assert said == ["done", "changed: redo"] and "1 changed: double click to redo" in widget.words.text().lower()
    assert "another model" in cells(widget, role=Qt.ItemDataRole.ToolTipRole)[0]
    widget.table.doubleClicked.emit(widget.rows.index(0, 0))
    wait(qtbot, widget)
    assert cells(widget) == ["done"] and not widget.form.overwrite.isChecked(), "that row alone"
    widget.form.model.use(tmp_path / "first.safetensors")
    widget.form.overwrite.click()
    widget.run_button.click()
    wait(qtbot, widget)
    assert cells(widget) == ["done"]


def test_the_real_engine_restores_a_folder(qtbot, viewer, folder, tmp_path):
    save_model(tmp_path / "m.safetensors", seed=0)
    (folder / "d.tif").write_bytes(b"")
    widget = BatchWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Batch")
    widget.form.folder.line.setText(str(folder))
    widget.form.model.use(tmp_path / "m.safetensors")
    for expected in (["done", "done", "done", ": failed", "done"], ["done before"] * 3 + [": failed", "done before"]):
        widget.run_button.click()
        wait(qtbot, widget)
        assert [c[-len(e) :] for c, e in zip(cells(widget), expected, strict=True)] == expected, widget.words.text()
    assert "0 bytes" in cells(widget)[3]
    widget.table.doubleClicked.emit(widget.rows.index(4, 0))
    qtbot.waitUntil(lambda: "e_denoised" in viewer.layers, timeout=5000)

"""Whatever happens in the viewer or the machine meanwhile: a defined behaviour, no stuck button, no thread left."""

from __future__ import annotations

import errno
import gc
import threading
import time
import warnings
from dataclasses import replace
from types import SimpleNamespace

import dask.array as da
import numpy as np
import pytest
import torch
import zarr
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QComboBox, QPushButton

from napari_restore import methods
from napari_restore.core.events import Stopped, TileDone
from napari_restore.gui.parts import layers as layers_room
from napari_restore.gui.parts import runner as room
from napari_restore.gui.parts.describe import describe_time
from napari_restore.gui.parts.layers import ResultLayer
from napari_restore.gui.parts.links import Links
from napari_restore.gui.parts.runner import Runner, in_words
from napari_restore.gui.restore.form import Form
from napari_restore.gui.restore.outcome import Outcome
from napari_restore.gui.restore.plot import LossPlot
from napari_restore.gui.restore.preview import Picture, PreviewPane
from napari_restore.gui.restore.session import Session
from napari_restore.gui.restore.subject import Subject
from napari_restore.gui.restore.widget import RestoreWidget
from napari_restore.gui.tabs import MainWidget, Preferences
from napari_restore.methods import METHODS
from napari_restore.methods.noise2void import Noise2Void
from napari_restore.store import ome_zarr

ZYX = {"scale": (3.0, 0.1, 0.2), "translate": (5, 6, 7), "axis_labels": ("z", "y", "x")}
LONGEST = 0.05
"""Seconds that something of ours may hold the GUI thread."""


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def widget(viewer, engine):
    widget = RestoreWidget(viewer, engine=engine)
    viewer.window.add_dock_widget(widget, name="Restore")
    return widget


def wait(qtbot, widget):
    qtbot.waitUntil(lambda: not widget.session.runner.running, timeout=60_000)


def said(widget) -> str:
    return widget.outcome.messages.toPlainText()


def assert_free(widget, *, has_layer: bool = True) -> None:
    """No button is stuck, and no thread lives on (that which looks for the device may still be at it)."""
    assert not widget.session.runner.running
    for thread in list(room._ALIVE):
        thread.join(timeout=20)
    assert not room._ALIVE
    assert widget.buttons.run_button.isEnabled() is has_layer
    assert not widget.buttons.stop_button.isEnabled() and widget.buttons.stop_button.text() == "Cancel"
    assert widget.buttons.bar.maximum() == 1000, "it is not busy"
    assert all(each.isEnabled() for name, each in widget.form.rows.widgets.items() if name != "axes" or has_layer)


def begun(qtbot, widget):
    """Wait until it trains."""
    qtbot.waitUntil(lambda: bool(widget.outcome.plot.traces["training"].steps), timeout=30_000)


# Layers and viewers that go away.


def test_a_layer_deleted_while_its_result_fills_in(qtbot, viewer, widget, engine, stack):
    viewer.add_image(stack, name="raw", **ZYX)
    engine.steps, engine.pause = 1, 0.1
    widget.run()
    qtbot.waitUntil(lambda: "raw_denoised" in viewer.layers, timeout=10_000)
    viewer.layers.remove("raw")
    wait(qtbot, widget)
    np.testing.assert_array_equal(np.asarray(viewer.layers["raw_denoised"].data), stack + 1)
    assert_free(widget)


def test_a_result_deleted_while_it_fills_in_stays_away(qtbot, viewer, widget, engine, stack):
    viewer.add_image(stack, name="raw", **ZYX)
    engine.steps, engine.pause = 1, 0.1
    widget.run()
    qtbot.waitUntil(lambda: "raw_denoised" in viewer.layers, timeout=10_000)
    viewer.layers.remove("raw_denoised")
    wait(qtbot, widget)
    assert [layer.name for layer in viewer.layers] == ["raw"] and widget.buttons.words.text() == "Done"
    assert_free(widget)


def test_a_layer_renamed_while_it_trains(qtbot, viewer, widget, engine, stack):
    raw = viewer.add_image(stack, name="raw", **ZYX)
    engine.steps = 20
    widget.run()
    begun(qtbot, widget)
    raw.name = "another"
    assert widget.form.subject.layers.currentText() == "another" and widget.session.runner.running
    wait(qtbot, widget)
    assert "raw_denoised" in viewer.layers, "the result is called as the layer was when it began"
    assert_free(widget)


def test_every_layer_deleted_while_it_trains(qtbot, viewer, widget, engine, stack):
    viewer.add_image(stack, name="raw", **ZYX)
    engine.steps, engine.pause = 10_000, 0.005
    widget.run()
    begun(qtbot, widget)
    viewer.layers.clear()
    assert widget.buttons.stop_button.isEnabled(), "it can be cancelled without a layer"
    widget.buttons.stop_button.click()
    wait(qtbot, widget)
    assert_free(widget, has_layer=False)


@pytest.mark.parametrize("moment", ["trains", "restores"])
def test_a_viewer_closed_amid_a_run(qtbot, make_napari_viewer_proxy, engine, stack, moment):
    viewer = make_napari_viewer_proxy()
    viewer.add_image(stack, name="raw")
    main = MainWidget(viewer, engine=engine, preferences=Preferences())
    viewer.window.add_dock_widget(main)
    engine.steps, engine.pause = (10_000, 0.005) if moment == "trains" else (1, 0.3)
    main.restore.run()
    begun(qtbot, main.restore)
    if moment == "restores":
        qtbot.waitUntil(lambda: "raw_denoised" in viewer.layers, timeout=10_000)
    del main
    viewer.close()
    qtbot.waitUntil(lambda: not room._ALIVE, timeout=5000)
    gc.collect()
    qtbot.wait(150)  # timers that still ticked would touch what is gone
    assert engine.closed == 1


# Pixels that divide by nothing.


def ugly(kind: str) -> np.ndarray:
    pixels = np.random.default_rng(0).poisson(50, (40, 48)).astype(np.float32)
    if kind == "no number":
        pixels[:, :9], pixels[3, 20], pixels[4, 21] = np.nan, np.inf, -np.inf
    if kind == "mostly dark":
        pixels[5:] = 0
    return {"blank": np.zeros((40, 48), np.uint16), "small": pixels[:5, :7], "negative": -pixels}.get(kind, pixels)


@pytest.mark.parametrize("kind", ["blank", "no number", "mostly dark", "small", "negative"])
def test_no_runtime_warning_reaches_a_viewer(qtbot, viewer, brief, kind):
    """napari shows each in a corner of its window, whichever thread it comes from: nobody can do anything about it."""
    viewer.add_image(ugly(kind), name="raw", contrast_limits=(0, 100))
    main = MainWidget(viewer, engine=brief(steps=2), preferences=Preferences())
    viewer.window.add_dock_widget(main)
    compare = main.compare
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        main.restore.run()
        wait(qtbot, main.restore)
        if len(viewer.layers) == 1:  # refused in words: then with one like it
            viewer.add_image(ugly(kind) + 1, name="raw_denoised", contrast_limits=(0, 100))
        main.open("compare")
        compare.choose("curtain")
        compare.choose("off")
        compare.add_difference()
        compare.find_structure()
        qtbot.waitUntil(lambda: not room._ALIVE, timeout=60_000)
        qtbot.wait(300)
    assert not [str(one.message) for one in warned if issubclass(one.category, RuntimeWarning)]
    main.leave()


# More than one at a time.


def test_two_widgets_at_once(qtbot, viewer, engine, stack, tmp_path):
    viewer.add_image(stack, name="one", **ZYX)
    two = viewer.add_image(stack + 7, name="two", **ZYX)
    (tmp_path / "other").mkdir()
    engines = engine, type(engine)(tmp_path / "other")
    first, second = widgets = [RestoreWidget(viewer, engine=each) for each in engines]
    for number, each in enumerate(widgets):
        engines[number].steps = 30
        viewer.window.add_dock_widget(each, name=f"Restore {number}")
    viewer.layers.selection.active = viewer.layers["one"]
    first.run()
    viewer.layers.selection.active = two
    assert first.form.subject.layers.layer.name == "one" and second.form.subject.layers.layer.name == "two"
    second.run()
    assert first.session.runner.running and second.session.runner.running
    begun(qtbot, second)
    second.buttons.stop_button.click()
    assert first.buttons.stop_button.text() == "Cancel", "one cancels its own work alone"
    for each in widgets:
        wait(qtbot, each)
    np.testing.assert_array_equal(np.asarray(viewer.layers["one_denoised"].data), stack + 1)
    assert "two_denoised" not in viewer.layers and "Stopped after" in said(second)
    for each in widgets:
        assert_free(each)
        each.leave()


def test_a_second_job_is_refused_in_words_and_the_first_goes_on(qtbot, viewer, widget, engine, stack, tmp_path):
    viewer.add_image(stack, name="raw", **ZYX)
    engine.steps = 20
    widget.run()
    for again in (widget.run, widget.train, lambda: widget.restore_with(str(tmp_path / "m.safetensors"))):
        again()
    assert said(widget).count("A run is going on") == 3
    wait(qtbot, widget)
    assert [name for name, _ in engine.calls] == ["denoise"] and "raw_denoised" in viewer.layers
    assert_free(widget)


# Layers of every kind.


def as_dask(pixels, folder):
    return da.from_array(pixels, chunks=(2, 16, 16)), {}


def as_zarr(pixels, folder):
    array = zarr.create_array(folder / "raw.zarr", shape=pixels.shape, chunks=(2, 16, 16), dtype=pixels.dtype)
    array[:] = pixels
    return array, {}


def as_pyramid(pixels, folder):
    return [pixels, pixels[:, ::2, ::2]], {"multiscale": True}


def as_failing_dask(pixels, folder):
    def fails(block):
        raise OSError("the file is gone")

    return da.map_blocks(fails, da.from_array(pixels), dtype=pixels.dtype, meta=pixels[:0, :0, :0]), {}


@pytest.mark.parametrize("kind", [as_dask, as_zarr, as_pyramid])
def test_lazy_layers_and_pyramids(qtbot, viewer, widget, engine, stack, tmp_path, kind):
    data, looks = kind(stack, tmp_path)
    raw = viewer.add_image(data, name="raw", contrast_limits=(60, 150), **looks, **ZYX)
    widget.run()
    wait(qtbot, widget)
    layer = viewer.layers["raw_denoised"]
    np.testing.assert_array_equal(np.asarray(layer.data), stack + 1)
    np.testing.assert_allclose(layer.extent.world, raw.extent.world)
    assert_free(widget)


@pytest.mark.filterwarnings("ignore:Private attribute access")  # the only way to what it does
def test_a_lazy_layer_that_cannot_be_read(qtbot, viewer, engine, stack, tmp_path):
    """As from a file on a disk that was taken out after it was opened."""
    data, _ = as_failing_dask(stack, tmp_path)
    raw = SimpleNamespace(pixels=da.from_array(stack))
    viewer.add_image(raw.pixels, name="raw", contrast_limits=(0, 200), **ZYX)
    widget = RestoreWidget(viewer, engine=engine)
    viewer.window.add_dock_widget(widget)
    viewer.layers["raw"]._data = data  # as napari has it; to set it aloud would read it at once
    viewer.layers["raw"].__wrapped__._data = data
    widget.run()
    wait(qtbot, widget)
    assert widget.buttons.words.text().startswith("Failed: ") and "the file is gone" in said(widget)
    assert_free(widget)


@pytest.mark.parametrize(
    ("shape", "labels"),
    [((40, 50), "yx"), ((6, 40, 50), "zyx"), ((2, 6, 40, 50), "czyx"), ((2, 2, 3, 40, 50), "tczyx")],
    ids=["2-D", "3-D", "4-D", "5-D"],
)
def test_two_to_five_axes(qtbot, viewer, widget, shape, labels):
    pixels = np.random.default_rng(0).poisson(90, shape).astype(np.uint16)
    raw = viewer.add_image(pixels, name="raw", axis_labels=tuple(labels), scale=range(1, len(shape) + 1))
    for extent, name in (("everything", "raw_denoised"), ("plane", "raw_denoised_part")):
        widget.form.extent.choose(extent)
        widget.run()
        wait(qtbot, widget)
        if extent == "plane" and len(shape) == 2:
            assert name not in viewer.layers, "the plane of an image is all of it"
            continue
        layer = viewer.layers[name]
        assert layer.ndim == raw.ndim and tuple(layer.scale) == tuple(raw.scale)
        if extent == "everything":
            np.testing.assert_array_equal(np.asarray(layer.data), pixels + 1)
    assert_free(widget)


def test_colour_is_restored_in_part_and_whole(qtbot, viewer, widget):
    photo = np.random.default_rng(0).integers(0, 250, (3, 40, 50, 3), dtype=np.uint8)
    viewer.add_image(photo, name="frames", rgb=True)
    viewer.dims.set_current_step(0, 2)
    for extent, name, pixels in (
        ("everything", "frames_denoised", photo),
        ("plane", "frames_denoised_part", photo[2:]),
    ):
        widget.form.extent.choose(extent)
        widget.run()
        wait(qtbot, widget)
        assert viewer.layers[name].rgb
        np.testing.assert_array_equal(np.asarray(viewer.layers[name].data), pixels + 1)
    assert_free(widget)


def test_a_labels_layer_chosen_by_mistake(viewer, widget, engine):
    labels = viewer.add_labels(np.zeros((40, 50), int), name="cells")
    viewer.layers.selection.active = labels
    assert widget.form.subject.layers.layer is None and not widget.buttons.run_button.isEnabled()
    assert "Open an image" in widget.form.subject.size.text()
    widget.run()
    widget.train()
    assert not engine.calls and not room._ALIVE
    raw = viewer.add_image(np.zeros((40, 50)), name="raw")
    viewer.layers.selection.active = labels
    assert widget.form.subject.layers.layer.name == raw.name, "the image stays chosen"


# A machine that has no more to give.


@pytest.fixture
def real(viewer, stack, brief):
    viewer.add_image(stack, name="raw", **ZYX)
    widget = RestoreWidget(viewer, engine=brief(method="noise2void", steps=3))
    viewer.window.add_dock_widget(widget, name="Restore")
    return widget


def full(*_, **__):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nGPU 0 has a total of 1 byte.")


@pytest.mark.parametrize("moment", ["forward", "restore"])
def test_a_full_graphics_card(qtbot, viewer, real, monkeypatch, moment):
    monkeypatch.setattr(Noise2Void, moment, full)
    real.run()
    wait(qtbot, real)
    assert real.buttons.words.text().startswith("Failed: ") and "choose less effort" in said(real)
    assert "GPU 0 has a total" not in said(real), "the first line is enough"
    assert_free(real)
    monkeypatch.undo()
    real.run()
    wait(qtbot, real)
    assert real.buttons.words.text() == "Done", said(real)
    assert_free(real)


def no_space(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_full_disk_while_the_result_is_written(qtbot, viewer, real, monkeypatch):
    monkeypatch.setattr(ome_zarr, "write_blocks", no_space)
    real.run()
    wait(qtbot, real)
    assert real.buttons.words.text().startswith("Failed: ")
    assert "No space left" in said(real) and "Free space there" in said(real)
    assert_free(real)
    assert real.session.model is None or real.buttons.save_button.isEnabled()
    monkeypatch.undo()
    real.run()
    wait(qtbot, real)
    assert real.buttons.words.text() == "Done", said(real)
    assert_free(real)


def test_a_full_disk_while_the_model_is_saved(qtbot, viewer, widget, stack, tmp_path, monkeypatch):
    viewer.add_image(stack, name="raw")
    widget.train()
    wait(qtbot, widget)
    monkeypatch.setattr(widget.session.model, "save", no_space)
    widget.files.save(tmp_path / "m.safetensors")
    assert "not saved" in said(widget) and "No space left" in said(widget)
    assert_free(widget)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "less effort"),
        (RuntimeError("CUDA error: out of memory\nmore"), "less effort"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes."), "less effort"),
        (OSError(errno.ENOSPC, "No space left on device"), "Free some space"),
        (KeyError("x"), "KeyError: 'x'"),
        (SystemExit(), "SystemExit"),
    ],
)
def test_errors_say_what_to_do_on_one_line(error, words):
    assert words in in_words(error) and "\n" not in in_words(error)


# Cancelling.


def test_cancel_says_so_at_once_and_holds_within_a_tile(qtbot, viewer, widget, engine, stack):
    """The tile being restored ends, and no other one begins; meanwhile it says "Cancelling"."""
    viewer.add_image(stack, name="raw", **ZYX)
    begin, end, tiles = threading.Event(), threading.Event(), []

    plain = engine.run

    def run(request, watch):
        events = plain(request, watch)
        while True:
            try:
                event = next(events)
            except StopIteration as done:
                return done.value
            yield event
            if isinstance(event, TileDone):
                begin.set()
                end.wait(20)  # the next tile is being restored

    engine.run = run
    engine.steps, engine.pause = 1, 0
    widget.session.runner.received.connect(lambda got: tiles.extend(e for e in got if isinstance(e, TileDone)))
    widget.run()
    qtbot.waitUntil(begin.is_set, timeout=10_000)
    widget.buttons.stop_button.click()
    button = widget.buttons.stop_button
    assert button.text() == "Cancelling…" and not button.isEnabled()
    qtbot.wait(250)
    assert widget.session.runner.running and button.text() == "Cancelling…", "and stays so while the tile goes on"
    widget.session.stop()  # asking again changes nothing
    end.set()
    wait(qtbot, widget)
    assert len(tiles) == 1 and widget.buttons.words.text() == "Stopped"
    assert_free(widget)


def test_the_real_engine_holds_within_a_tile(qtbot, viewer, stack, brief):
    pixels = np.random.default_rng(0).poisson(90, (60, 40, 50)).astype(np.uint16)
    viewer.add_image(pixels, name="raw", axis_labels=("t", "y", "x"))
    engine = brief(method="noise2void", steps=3)
    widget = RestoreWidget(viewer, engine=engine)
    viewer.window.add_dock_widget(widget)
    plain, after = engine.run, []

    def run(request, watch):
        events = plain(request, watch)
        while True:
            try:
                event = next(events)
            except StopIteration as done:
                return done.value
            yield event
            if isinstance(event, TileDone | Stopped):
                after.append(event)
                watch.stop.set()  # as the button does

    engine.run = run
    widget.run()
    wait(qtbot, widget)
    assert widget.buttons.words.text() == "Stopped" and isinstance(after[-1], Stopped)
    assert len(after) < 10, "what was on its way to the disk arrives, and nothing else of 60 tiles"
    assert_free(widget)


# The GUI thread.


@pytest.fixture
def watch(monkeypatch):
    """The processor time of each of our calls in the GUI thread, by name; napari's part of them is left out.

    Processor time, because a loaded machine may take the thread away in the middle of a short call.
    """
    spent: dict[str, list[float]] = {}
    away = [0.0]

    def timed(owner, name, *, ours=True):
        plain = getattr(owner, name)

        def call(*args, **kwargs):
            began, before = time.thread_time(), away[0]
            try:
                return plain(*args, **kwargs)
            finally:
                took = time.thread_time() - began
                if ours:
                    key = f"{getattr(owner, '__name__', owner)}.{name}"
                    spent.setdefault(key, []).append(took - (away[0] - before))
                else:
                    away[0] = before + took

        monkeypatch.setattr(owner, name, call)

    for owner, name in ((Runner, "_tick"), (Runner, "start"), (Session, "look"), (Session, "_refresh_result")):
        timed(owner, name)
    timed(Picture, "paintEvent")
    timed(LossPlot, "add")
    for owner, names in (
        (RestoreWidget, ("_show_state", "_scroll_down", "run")),
        (Form, ("request", "allow", "_take_verb", "_take_change", "_take_image")),
        (Subject, ("_describe", "take_layer")),
        (Outcome, ("_begin", "_compare")),
    ):
        for name in names:
            timed(owner, name)
    timed(PreviewPane, "show_pair")
    # napari's own: a layer is put into the viewer, or reads the plane in view.
    timed(layers_room, "insert_above", ours=False)
    for name in ("refresh", "_swap"):
        timed(ResultLayer, name, ours=False)
    links = Links.connect

    def connect(self, emitter, callback):
        name = getattr(callback, "__qualname__", repr(callback))

        def called(*args):
            began = time.thread_time()
            callback(*args)
            spent.setdefault(name, []).append(time.thread_time() - began)

        links(self, emitter, called)

    monkeypatch.setattr(Links, "connect", connect)
    return spent


def test_nothing_of_ours_holds_the_gui_thread(qtbot, make_napari_viewer_proxy, engine, watch):
    """What is slow by itself is slow each time: the quickest of three runs counts for each call."""
    viewer = make_napari_viewer_proxy()
    pixels = np.random.default_rng(0).poisson(90, (24, 512, 512)).astype(np.uint16)
    viewer.add_image(pixels, name="raw", contrast_limits=(0, 200), **ZYX)
    widget = RestoreWidget(viewer, engine=engine)
    viewer.window.add_dock_widget(widget)
    engine.steps, engine.pause = 60, 0.005
    worst: dict[str, float] = {}
    for attempt in range(3):
        watch.clear()
        widget.run()
        begun(qtbot, widget)
        viewer.dims.set_current_step(0, attempt)
        wait(qtbot, widget)
        assert widget.buttons.words.text() == "Done"
        seen = {name: max(times) for name, times in watch.items()}
        worst = seen if not worst else {name: min(t, seen[name]) for name, t in worst.items() if name in seen}
    ours = {"Runner._tick", "RestoreWidget._show_state", "RestoreWidget.run", "Session.look", "Form.allow"}
    assert ours <= worst.keys()
    slow = {name: f"{1000 * t:.0f} ms" for name, t in worst.items() if t > LONGEST}
    assert not slow


# The methods offered, and a small screen.


def test_the_list_of_denoisers_is_that_of_the_methods(widget):
    box = widget.form.editors["method"].box
    denoisers = {name: row for name, row in METHODS.items() if row.does == "denoise"}
    assert [box.itemData(i) for i in range(box.count())] == ["auto", *denoisers]
    for i, row in enumerate(denoisers.values(), start=1):
        assert box.itemText(i).startswith(row.label) and box.itemData(i, Qt.ItemDataRole.ToolTipRole) == row.tip
        widget.form.editors["method"].box.setCurrentIndex(i)
        assert widget.form.editors["method"].needs == "".join(row.needs)
        assert describe_time(row.seconds["thorough"]) in widget.form.effort.itemText(2)


def test_a_denoiser_of_another_package_is_in_the_list(monkeypatch, viewer, engine):
    seconds = {"quick": 7, "normal": 8, "thorough": 9}
    mine = replace(METHODS["noise2void"], label="Mine", tip="For my noise.", seconds=seconds)
    entry = SimpleNamespace(name="mine", value="made_up:LISTED", load=lambda: mine)
    monkeypatch.setattr(methods, "entry_points", lambda group: [entry])
    widget = RestoreWidget(viewer, engine=engine)
    viewer.window.add_dock_widget(widget, name="Restore")
    widget.form.editors["method"].choose("mine")
    assert (
        widget.form.editors["method"].box.currentText() == "Mine"
        and widget.form.editors["method"].box.toolTip() == "For my noise."
    )
    assert "7 s" in widget.form.effort.itemText(0)


def test_the_method_chosen_is_asked_for(qtbot, viewer, widget, engine, stack):
    viewer.add_image(stack, name="raw")
    assert widget.form.editors["method"].value == "auto" and "up to 1 min" in widget.form.effort.currentText()
    widget.form.editors["method"].choose("zero_shot")
    assert "10 s" in widget.form.effort.currentText() and "up to" not in widget.form.effort.currentText()
    widget.train()
    wait(qtbot, widget)
    assert engine.calls == [("train", {"method": "zero_shot"})]
    widget.form.verb.choose("deblur")
    assert widget.form.editors["method"].isHidden()


@pytest.mark.parametrize(("method", "kind"), [("noise2noise", "second"), ("supervised_denoising", "target")])
def test_a_method_that_learns_from_two_images_asks_for_the_other(qtbot, viewer, widget, engine, stack, method, kind):
    viewer.add_image(stack, name="raw")
    widget.form.editors["method"].choose(method)
    assert not widget.buttons.run_button.isEnabled() and "another layer" in widget.buttons.run_button.toolTip()
    assert (
        "another layer" in widget.form.editors["method"].words.text()
        and not widget.form.editors["method"].words.isHidden()
    )
    viewer.add_image(stack + 3, name="other")
    viewer.layers.selection.active = viewer.layers["raw"]
    assert not widget.form.editors["method"].other.isHidden() and widget.form.editors["method"].words.isHidden()
    assert widget.form.editors["method"].other.layer.name == "other", "not the layer itself"
    assert widget.form.subject.layers.layer.name == "raw" and widget.buttons.run_button.isEnabled()
    widget.train()
    wait(qtbot, widget)
    (asked,) = [given for name, given in engine.calls if name == "train"]
    assert asked["method"] == method
    np.testing.assert_array_equal(asked[kind].read(), stack + 3)
    viewer.layers.remove("other")
    assert not widget.buttons.run_button.isEnabled(), "the other image is gone"
    widget.form.editors["method"].choose("auto")
    assert widget.form.editors["method"].other.isHidden()
    assert_free(widget)


def test_the_script_names_the_method_and_the_other_image(qtbot, viewer, widget, stack):
    for name in ("other", "raw"):
        viewer.add_image(stack, name=name, axis_labels=("z", "y", "x"))
    widget.form.editors["method"].choose("noise2noise")
    widget.copy("script")
    qtbot.waitUntil(lambda: "Copied" in said(widget), timeout=10_000)
    script = QApplication.clipboard().text()
    assert "method='noise2noise'" in script and "second=viewer.layers['other']" in script
    assert "viewer.layers['raw']" in script and compile(script, "script", "exec")
    widget.copy("command")
    qtbot.waitUntil(lambda: "is in no file" in said(widget), timeout=10_000)


@pytest.mark.parametrize("method", ["auto", "supervised_denoising"])
def test_run_and_cancel_are_pinned_in_a_small_dock(qtbot, viewer, engine, stack, method):
    viewer.add_image(stack, name="a layer whose name is far too long for any box in a narrow dock, and longer")
    main = MainWidget(viewer, engine=engine, preferences=Preferences())
    qtbot.addWidget(main)
    main.resize(400, 700)
    main.show()
    main.restore.form.editors["method"].choose(method)
    main.restore.form.extent.choose("drawn")
    main.restore.run()
    assert "rawn" in main.restore.buttons.words.text() or method != "auto", "what is missing is said in sight"
    qtbot.wait(20)
    bar = main.restore._scroll.verticalScrollBar()
    for value in (bar.minimum(), bar.maximum()):
        bar.setValue(value)
        for button in (main.restore.buttons.run_button, main.restore.buttons.stop_button):
            corner = button.mapTo(main, button.rect().bottomRight())
            assert button.isVisible() and corner.x() < 400 and corner.y() < 700
    assert main.width() == 400 and main.height() == 700
    for widget in (*main.restore.findChildren(QComboBox), *main.restore.findChildren(QPushButton)):
        right = widget.mapTo(main, widget.rect().bottomRight()).x()
        assert not widget.isVisibleTo(main) or right < 400, widget
    main.leave()

from __future__ import annotations

import gc
import sys
from dataclasses import replace

import numpy as np
import pytest
from napari.utils.theme import available_themes
from qtpy.QtWidgets import QFileDialog

from napari_restore.core.errors import ImageError
from napari_restore.gui.parts import runner as room
from napari_restore.gui.parts.describe import unbroken
from napari_restore.gui.restore import exported
from napari_restore.gui.restore.widget import RestoreWidget

PLACE = {"scale": (3.0, 0.1, 0.2), "translate": (5, 6, 7), "units": ("um",) * 3, "axis_labels": ("z", "y", "x")}


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def raw(viewer, stack):
    return viewer.add_image(stack, name="raw", contrast_limits=(60, 150), **PLACE)


@pytest.fixture
def widget(viewer, raw, engine):
    widget = RestoreWidget(viewer, engine=engine)
    viewer.window.add_dock_widget(widget, name="Restore")
    return widget


def wait(qtbot, widget):
    qtbot.waitUntil(lambda: not widget.session.runner.running, timeout=10_000)


def said(widget) -> str:
    return widget.outcome.messages.toPlainText()


def size_of(widget) -> str:
    return widget.form.subject.size.text().replace("\u00a0", " ")


def idle(widget) -> bool:
    buttons = widget.buttons
    return buttons.run_button.isEnabled() and not buttons.stop_button.isEnabled()


def test_denoise_is_one_click(qtbot, viewer, widget, raw, stack, engine):
    widget.buttons.run_button.click()
    assert not widget.buttons.run_button.isEnabled() and widget.buttons.stop_button.isEnabled()
    wait(qtbot, widget)
    layer = viewer.layers["raw_denoised"]
    np.testing.assert_array_equal(np.asarray(layer.data), stack + 1)
    np.testing.assert_allclose(layer.extent.world, raw.extent.world)
    assert layer.units == raw.units and layer.ndim == 3 and tuple(layer.contrast_limits) == (60, 150)
    assert engine.calls == [("denoise", {})], "all as it is usually"
    assert engine.requests[0].training.effort == "normal" and layer.metadata["made"] == "up"
    assert idle(widget) and widget.buttons.save_button.isEnabled()
    assert widget.buttons.words.text() == "Done" and widget.buttons.bar.value() == 1000
    assert not widget.outcome.preview.after.empty and widget.outcome.plot.traces["training"].steps
    assert "channels are independent" in widget.outcome.messages.toPlainText()
    assert widget.form.subject.layers.layer.name == "raw", "the result does not take the raw layer's place in the box"


def test_train_then_restore_then_save(qtbot, viewer, widget, engine, tmp_path):
    widget.form.effort.setCurrentIndex(0)
    widget.buttons.train_button.click()
    wait(qtbot, widget)
    assert "raw_denoised" not in viewer.layers and idle(widget)
    widget.restore()
    wait(qtbot, widget)
    assert "raw_denoised" in viewer.layers
    widget.restore_with(str(tmp_path / "other.safetensors"))
    wait(qtbot, widget)
    assert [name for name, _ in engine.calls] == ["train", "restore", "restore"]
    assert engine.calls[0][1] == {"effort": "quick"}
    assert engine.calls[2][1]["model"] == str(tmp_path / "other.safetensors")
    widget.files.save(tmp_path / "m.safetensors")
    assert (tmp_path / "m.safetensors").read_bytes() == b"model"
    widget.files.save(tmp_path / "no" / "m.safetensors")
    assert "not saved" in widget.outcome.messages.toPlainText()
    assert "✖ The model is not saved" in widget.buttons.said.text(), "in sight, too"


def test_results_go_where_they_are_wanted(qtbot, viewer, widget, engine, tmp_path, monkeypatch):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "raw_denoised.ome.zarr.partial").mkdir()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(kept))
    widget.form.place.activated.emit(1)
    widget.run()
    wait(qtbot, widget)
    assert engine.calls[-1][1]["output"] == kept / "raw_denoised_2.ome.zarr" and "temporary" not in said(widget)
    widget.form.place.activated.emit(0)
    widget.restore()
    wait(qtbot, widget)
    assert "output" not in engine.calls[-1][1] and "temporary" in said(widget)


def test_a_stop_while_training_leaves_the_widget_usable(qtbot, viewer, widget, engine):
    engine.steps, engine.pause = 10_000, 0.005
    widget.buttons.run_button.click()
    qtbot.waitUntil(lambda: bool(widget.outcome.plot.traces["training"].steps), timeout=5000)
    widget.buttons.stop_button.click()
    assert widget.buttons.stop_button.text() == "Cancelling…" and not widget.buttons.stop_button.isEnabled()
    wait(qtbot, widget)
    assert idle(widget) and engine.closed == 1 and "Stopped after" in widget.outcome.messages.toPlainText()
    assert [layer.name for layer in viewer.layers] == ["raw"] and widget.buttons.words.text() == "Stopped"
    assert widget.session.model is not None, "what was learned can be used"
    engine.pause = 0.01
    widget.restore()
    wait(qtbot, widget)
    assert "raw_denoised" in viewer.layers


def test_a_stop_while_restoring_keeps_what_is_there(qtbot, viewer, widget, engine):
    engine.pause = 1.0
    widget.session.model = object()
    widget.restore()
    qtbot.waitUntil(lambda: " of 6 tiles" in widget.buttons.words.text(), timeout=20_000)
    widget.buttons.stop_button.click()
    wait(qtbot, widget)
    assert idle(widget) and "raw_denoised" in viewer.layers and widget.buttons.words.text() == "Stopped"
    assert "unfinished" in widget.outcome.messages.toPlainText()


@pytest.mark.parametrize(("plane", "blending"), [(0, "translucent"), (5, "translucent"), (5, "additive")])
def test_an_unfinished_result_hides_nothing_where_it_is_empty(qtbot, viewer, widget, engine, plane, blending):
    engine.pause = 1.0
    viewer.layers["raw"].blending = blending
    viewer.dims.set_current_step(0, plane)
    widget.session.model = object()
    widget.restore()
    qtbot.waitUntil(lambda: " of 6 tiles" in widget.buttons.words.text(), timeout=20_000)
    widget.buttons.stop_button.click()
    wait(qtbot, widget)
    assert viewer.layers["raw"].visible and viewer.layers["raw_denoised"].visible == (plane == 0)
    assert ("is hidden" in widget.outcome.messages.toPlainText()) == (plane == 5)


def test_a_stop_before_the_first_tile_leaves_no_empty_layer_over_the_image(qtbot, viewer, widget, engine):
    engine.pause = 60.0
    widget.session.model = object()
    widget.restore()
    qtbot.waitUntil(lambda: "raw_denoised" in viewer.layers, timeout=20_000)
    widget.buttons.stop_button.click()
    wait(qtbot, widget)
    assert idle(widget) and [layer.name for layer in viewer.layers] == ["raw"]
    assert "before the first tile" in widget.outcome.messages.toPlainText()


@pytest.mark.parametrize("error", [ImageError("one line for the user."), RuntimeError("CUDA out of memory")])
def test_a_failure_is_said_and_nothing_is_stuck(qtbot, viewer, widget, engine, error):
    engine.raises = error
    widget.buttons.run_button.click()
    wait(qtbot, widget)
    assert str(error) in widget.outcome.messages.toPlainText() and widget.buttons.words.text().startswith("Failed: ")
    assert idle(widget) and engine.closed == 1
    engine.raises = None
    widget.buttons.run_button.click()
    wait(qtbot, widget)
    assert "raw_denoised" in viewer.layers


def test_the_raw_layer_may_be_deleted_while_it_trains(qtbot, viewer, widget, engine, stack):
    engine.steps, engine.pause = 30, 0.01
    widget.buttons.run_button.click()
    qtbot.waitUntil(lambda: bool(widget.outcome.plot.traces["training"].steps), timeout=5000)
    viewer.layers.remove("raw")
    viewer.dims.set_point(0, 2) if viewer.dims.ndim > 2 else None
    wait(qtbot, widget)
    np.testing.assert_array_equal(np.asarray(viewer.layers["raw_denoised"].data), stack + 1)
    assert "is gone" in widget.outcome.messages.toPlainText()
    assert widget.form.subject.layers.layer.name == "raw_denoised" and idle(widget)


def test_advanced_options_are_for_training_alone(qtbot, viewer, widget, engine):
    widget.form.advanced.fold.setChecked(True)
    widget.form.advanced.editors["seed"].native.setValue(5)
    widget.form.advanced.editors["steps"].setValue(50)
    widget.train()
    wait(qtbot, widget)
    widget.restore()
    wait(qtbot, widget)
    assert engine.calls[0] == ("train", {"seed": 5, "steps": 50})
    assert set(engine.calls[1][1]) == {"model"}


def test_two_clicks_start_one_run(qtbot, widget, engine):
    widget.run()
    widget.run()
    widget.train()
    wait(qtbot, widget)
    assert [name for name, _ in engine.calls] == ["denoise"]


def test_the_preview_follows_the_slider(qtbot, viewer, widget, engine):
    engine.steps, engine.pause = 10_000, 0.005
    widget.run()
    viewer.dims.set_current_step(0, 5)
    assert widget.session.run.preview.region.start[0] == 5
    viewer.dims.set_current_step(0, 1)
    assert widget.session.run.preview.region.start[0] == 1
    widget.session.stop()
    wait(qtbot, widget)


def test_the_box_follows_the_viewer(viewer, widget, raw, stack):
    assert widget.form.subject.layers.layer.name == "raw"
    viewer.add_labels(np.zeros((40, 50), int))
    assert widget.form.subject.layers.count() == 1
    second = viewer.add_image(stack[0], name="second")
    viewer.layers.selection.active = second
    assert widget.form.subject.layers.currentText() == "second" and widget.form.subject.axes.text() == "YX"
    second.name = "renamed"
    assert widget.form.subject.layers.currentText() == "renamed"
    viewer.layers.remove("renamed")
    assert widget.form.subject.layers.currentText() == "raw"
    assert "6 × 40 × 50 ZYX, 3 × 0.1 × 0.2 µm, 16 bit" in size_of(widget)
    raw.scale = (4, 0.1, 0.2)
    assert "4 × 0.1 × 0.2 µm" in size_of(widget)
    viewer.layers.clear()
    assert widget.form.subject.layers.layer is None and not widget.buttons.run_button.isEnabled()
    widget.run()


def test_axes_can_be_typed_over(qtbot, viewer, widget, stack):
    viewer.add_image(np.stack([stack, stack]), name="4d")
    viewer.layers.selection.active = viewer.layers["4d"]
    assert len(widget.form.subject.axes.text()) == 4 and "type over them" in widget.form.subject.size.text()
    widget.form.subject.axes.setText("tzyx")
    widget.form.subject.axes.editingFinished.emit()
    assert widget.form.subject.axes.text() == "TZYX" and "type over them" not in widget.form.subject.size.text()
    widget.form.subject.axes.setText("YX")
    widget.form.subject.axes.editingFinished.emit()
    assert "2 letters" in widget.outcome.messages.toPlainText() and len(widget.form.subject.axes.text()) == 4


def test_colour_and_channels(qtbot, viewer, widget, stack):
    photo = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    viewer.add_image(photo, name="photo", rgb=True)
    channels = viewer.add_image(np.stack([stack] * 2), name="two", axis_labels=("z", "c", "y", "x")[:4])
    for name in ("photo", "two"):
        viewer.layers.selection.active = viewer.layers[name]
        widget.run()
        wait(qtbot, widget)
        assert viewer.layers[f"{name}_denoised"].ndim == viewer.layers[name].ndim
        assert not widget.outcome.preview.after.empty
    np.testing.assert_array_equal(np.asarray(viewer.layers["photo_denoised"].data), photo + 1)
    np.testing.assert_array_equal(np.asarray(viewer.layers["two_denoised"].data), np.asarray(channels.data) + 1)


def test_closing_the_dock_stops_the_work(qtbot, viewer, raw, engine):
    widget = RestoreWidget(viewer, engine=engine)
    dock = viewer.window.add_dock_widget(widget, name="closing")
    engine.steps, engine.pause = 10_000, 0.005
    widget.run()
    dock.hide()
    assert widget.session.runner.running, "a hidden dock goes on"
    viewer.window.remove_dock_widget(dock)
    qtbot.waitUntil(lambda: not room._ALIVE, timeout=5000)
    assert engine.closed == 1
    viewer.layers.clear()


def test_closing_the_viewer_stops_the_work(qtbot, make_napari_viewer_proxy, stack, engine):
    viewer = make_napari_viewer_proxy()
    raw = viewer.add_image(stack)
    engine.steps, engine.pause = 10_000, 0.005
    widget = RestoreWidget(viewer, engine=engine)
    viewer.window.add_dock_widget(widget)
    widget.run()
    qtbot.wait(50)
    del widget
    viewer.close()
    qtbot.waitUntil(lambda: not room._ALIVE, timeout=5000)
    raw.scale = (2, 2, 2)
    gc.collect()


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_it_fits_a_small_screen_in_every_theme(qtbot, viewer, widget, theme):
    assert theme in available_themes()
    viewer.theme = theme
    widget.setParent(None)
    fresh = RestoreWidget(viewer, engine=widget._engine)
    qtbot.addWidget(fresh)
    fresh.resize(400, 700)
    fresh.show()
    assert fresh.width() == 400 and fresh.height() == 700
    for button in (fresh.buttons.run_button, fresh.buttons.stop_button, fresh.buttons.save_button):
        corner = button.mapTo(fresh, button.rect().bottomRight())
        assert corner.x() < 400 and corner.y() < 700 and button.isVisible()
    fresh.leave()


def test_the_device_is_named(qtbot, widget):
    qtbot.waitUntil(lambda: widget.form.badge.text() == "pretended device", timeout=30_000)


def test_the_plugin_menu_opens_it(qtbot, viewer):
    _, widget = viewer.window.add_plugin_dock_widget("napari-restore", "Restore")
    assert isinstance(widget.restore, RestoreWidget)
    widget.leave()


def test_the_uncertainty_is_a_layer_of_its_own(qtbot, viewer, raw, brief, stack):
    widget = RestoreWidget(viewer, engine=brief(method="posterior", steps=5))
    viewer.window.add_dock_widget(widget, name="Restore")
    widget.form.advanced.fold.setChecked(True)
    widget.form.advanced.editors["uncertainty"].widget.value = True
    widget.buttons.run_button.click()
    qtbot.waitUntil(lambda: not widget.session.runner.running, timeout=60_000)
    whole, unsure = viewer.layers["raw_denoised_posterior"], viewer.layers["raw_std"]
    assert "the uncertainty of each pixel" in said(widget)
    assert np.asarray(unsure.data).shape == stack.shape and (np.asarray(unsure.data) > 0).all()
    np.testing.assert_allclose(unsure.extent.world, raw.extent.world)
    assert not unsure.visible and np.asarray(whole.data).any()


def test_a_report_of_the_last_result_is_saved(qtbot, viewer, raw, brief, tmp_path, monkeypatch):
    widget = RestoreWidget(viewer, engine=brief(method="noise2void2", steps=2))
    viewer.window.add_dock_widget(widget, name="Restore")
    widget.buttons.report_action.trigger()
    assert "no result yet" in said(widget)
    widget.buttons.run_button.click()
    qtbot.waitUntil(lambda: not widget.session.runner.running, timeout=60_000)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "r.html"), ""))
    widget.buttons.report_action.trigger()
    qtbot.waitUntil(lambda: "Report saved" in said(widget), timeout=60_000)
    assert "How to cite" in (tmp_path / "r.html").read_text(encoding="utf-8")


@pytest.fixture
def cells(viewer, brief):
    """A widget whose trainings have two steps, and an image."""
    rng = np.random.default_rng(0)
    viewer.add_image(rng.poisson(60 + 40 * np.indices((80, 96)).sum(0) % 17, (80, 96)).astype(np.uint16), name="cells")
    widget = RestoreWidget(viewer, engine=brief(method="noise2void", steps=2))
    viewer.window.add_dock_widget(widget, name="Restore")
    return widget


def test_a_model_is_put_to_the_guards(qtbot, cells):
    widget = cells
    widget.buttons.check_action.trigger()
    assert "no model yet to check" in said(widget)
    widget.train()
    qtbot.waitUntil(lambda: not widget.session.runner.running, timeout=60_000)
    method = widget.session.model.method
    method.config = replace(method.config, keep="no")  # what a network gives that has hardly learned
    before = said(widget)
    widget.buttons.check_action.trigger()
    qtbot.waitUntil(lambda: not widget.guards.runner.running, timeout=60_000)
    found = said(widget).removeprefix(before)
    assert "Checking on cells" in found and "⚠ Large bright structures come back with 0 %" in found, found
    last = found.splitlines()[-1]
    assert last.startswith("⚠ ") and widget.buttons.said.text() == unbroken(last), "the worst of it is in sight"


def test_a_model_is_exported_by_a_process_that_can_be_ended(qtbot, cells, tmp_path, monkeypatch):
    widget, entry = cells, cells.buttons.export_action
    entry.trigger()
    assert "no model yet to export" in said(widget)
    widget.train()
    qtbot.waitUntil(lambda: not widget.session.runner.running, timeout=60_000)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "m"), ""))
    for body, told in EXPORTS.items():
        (tmp_path / "export.py").write_text(PRETENDED.format(body=body))
        monkeypatch.setattr(exported, "PROGRAM", (sys.executable, str(tmp_path / "export.py"), "export"))
        entry.trigger()
        assert entry.text() == "Cancel the export"
        if "sleep" in body:
            qtbot.waitUntil((tmp_path / "begun").exists, timeout=60_000)
            entry.trigger()
        qtbot.waitUntil(lambda: not widget.exported.writer.running, timeout=60_000)
        assert entry.text() == "Export for other programs…" and told.format(tmp_path / "m.zip") in said(widget)
    assert (tmp_path / "m.zip").read_text() == "noise2void (1, 128, 128) CYX", "the model, and the image"


PRETENDED = """
import time, pathlib, napari_restore
from napari_restore.cli import main
from napari_restore.core.errors import ModelError
from napari_restore.sources import open_image

def export(model, output, image=None, **given):
    {body}

napari_restore.export = export
main()
"""
"""The shell's own way to ``export``, which itself takes long: see ``test_exporting.py``."""

EXPORTS = {
    "pathlib.Path(output).with_name('begun').touch(); time.sleep(600)": "The export is cancelled: nothing is written.",
    "raise ModelError('no word for it in `start`')": "no word for it",
    "raise KeyError('unforeseen')": "The export failed: KeyError: 'unforeseen'",
    "opened, name = open_image(image, axes=given['axes']), napari_restore.load_model(model).name; "
    "output.write_text(f'{name} {opened.shape} {opened.axes}'); return output": "Exported for other programs: {}",
}
"""What becomes of it, and what is said."""

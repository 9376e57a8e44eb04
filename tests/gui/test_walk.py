"""One walk through the whole thing with the real engine: sample, widget, one click, restored layer."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import napari_restore
from napari_restore.gui.parts import runner as room
from napari_restore.gui.restore.widget import RestoreWidget

SECONDS = 5
"""Of training: more than the two that lie between previews."""


@pytest.fixture
def engine(brief):
    """The real one, with a short budget and results in the test's folder."""
    return brief(seconds=SECONDS)


def wait(qtbot, widget):
    qtbot.waitUntil(lambda: not widget.session.runner.running, timeout=60_000)


def test_sample_widget_denoise(qtbot, make_napari_viewer_proxy, engine, tmp_path):
    viewer = make_napari_viewer_proxy()
    viewer.open_sample("napari-restore", "microscopy")
    raw = viewer.layers[0]
    raw.data = np.asarray(raw.data)[:4, :128, :144]  # a small part is restored twice as well as the whole
    widget = RestoreWidget(viewer, engine=engine)
    viewer.window.add_dock_widget(widget, name="Restore")
    widget.buttons.run_button.click()
    wait(qtbot, widget)
    said = widget.outcome.messages.toPlainText()
    assert widget.buttons.words.text().startswith("Done: "), said
    layer = widget.session.run.result.layer
    assert layer.name == f"{raw.name}_denoised_{widget.session.model.name}", "it says what made it"
    assert layer.ndim == raw.ndim and layer.units == raw.units and layer.axis_labels == raw.axis_labels
    np.testing.assert_allclose(layer.scale, raw.scale)
    np.testing.assert_allclose(layer.translate, raw.translate)
    np.testing.assert_allclose(layer.extent.world, raw.extent.world)
    assert np.asarray(layer.data).std() > 0
    assert not widget.outcome.preview.after.empty and widget.outcome.plot.traces["training"].steps

    path = tmp_path / "model.safetensors"
    widget.files.save(path)
    assert path.exists() and "Model saved" in widget.outcome.messages.toPlainText()
    widget.restore_with(str(path))
    wait(qtbot, widget)
    assert widget.buttons.words.text().startswith("Done"), widget.outcome.messages.toPlainText()
    again = viewer.layers[1]
    np.testing.assert_allclose(np.asarray(again.data, float), np.asarray(layer.data, float), atol=1, rtol=0)


def test_super_resolve_and_compare(qtbot, make_napari_viewer_proxy, engine):
    viewer = make_napari_viewer_proxy()
    viewer.open_sample("napari-restore", "ct")
    raw = viewer.layers[0]
    raw.data = np.asarray(raw.data)[..., :128, :144]
    widget = RestoreWidget(viewer, engine=engine)
    viewer.window.add_dock_widget(widget, name="Restore")
    widget.form.verb.choose("super_resolve")
    widget.form.editors["noise"].button.click()
    qtbot.waitUntil(lambda: not widget.form.editors["noise"].estimating, timeout=60_000)
    assert isinstance(widget.form.editors["noise"].value, float), widget.form.editors["noise"].words.text()
    widget.buttons.run_button.click()
    wait(qtbot, widget)
    said = widget.outcome.messages.toPlainText()
    assert widget.buttons.words.text().startswith("Done"), said
    layer = viewer.layers[f"{raw.name}_superresolved_{widget.session.model.name}"]
    assert layer.data.shape == (*raw.data.shape[:-2], 2 * raw.data.shape[-2], 2 * raw.data.shape[-1])
    assert layer.units == raw.units and layer.ndim == raw.ndim
    np.testing.assert_allclose(layer.scale[-2:], np.asarray(raw.scale[-2:]) / 2)
    np.testing.assert_allclose(layer.extent.world, edges(raw), atol=1e-6)
    assert not widget.outcome.preview.after.empty and widget.outcome.plot.traces["training"].steps
    names = [
        widget.outcome.comparison.table.item(row, 0).text() for row in range(widget.outcome.comparison.table.rowCount())
    ]
    assert names[0] == "learned" and "bicubic" in names

    before = len(viewer.layers)
    widget.outcome.comparison.in_view.trigger()
    qtbot.waitUntil(lambda: not widget.outcome.baselines.runner.running, timeout=60_000)
    assert len(viewer.layers) > before, widget.outcome.messages.toPlainText()
    bicubic = viewer.layers[f"{raw.name} Bicubic interpolation"]
    np.testing.assert_allclose(bicubic.scale, layer.scale)
    np.testing.assert_allclose(bicubic.extent.world[:, -2:], layer.extent.world[:, -2:])


def edges(raw):
    """The extent of a layer with pixels half as large along Y and X over the same part of the world."""
    extent = np.array(raw.extent.world)
    extent[:, -2:] += np.asarray(raw.scale[-2:]) * [[-0.25], [0.25]]
    return extent


def test_stop_in_the_middle_of_training(qtbot, make_napari_viewer_proxy, brief):
    viewer = make_napari_viewer_proxy()
    viewer.open_sample("napari-restore", "ct")
    widget = RestoreWidget(viewer, engine=brief(steps=100_000))
    viewer.window.add_dock_widget(widget, name="Restore")
    widget.buttons.run_button.click()
    qtbot.waitUntil(lambda: bool(widget.outcome.plot.traces["training"].steps), timeout=60_000)
    widget.buttons.stop_button.click()
    wait(qtbot, widget)
    assert "Stopped after" in widget.outcome.messages.toPlainText()
    assert widget.buttons.run_button.isEnabled() and not room._ALIVE
    assert len(viewer.layers) == 1 and widget.session.model is not None


def test_a_layer_that_cannot_be_restored_is_refused_in_words(qtbot, make_napari_viewer_proxy, engine):
    viewer = make_napari_viewer_proxy()
    viewer.add_image(np.full((40, 40), np.nan, dtype=np.float32), name="nothing")
    widget = RestoreWidget(viewer, engine=engine)
    viewer.window.add_dock_widget(widget, name="Restore")
    widget.buttons.run_button.click()
    wait(qtbot, widget)
    assert widget.buttons.words.text().startswith("Failed: ")
    assert "Error" not in widget.outcome.messages.toPlainText().splitlines()[-1], "words, not a traceback"


def test_the_result_lies_over_its_layer_from_the_console(make_napari_viewer_proxy, tmp_path):
    viewer = make_napari_viewer_proxy()
    pixels = np.random.default_rng(0).poisson(50, (4, 70, 90)).astype(np.uint16)
    place = {"scale": (0.3, 0.1, 0.1), "translate": (1, 2, 3), "units": ("um",) * 3, "axis_labels": tuple("zyx")}
    raw = viewer.add_image(pixels, name="raw", **place)
    run = partial(napari_restore.denoise, steps=2, output=tmp_path / "x.zarr")
    result = run(viewer.layers["raw"])
    layer = viewer.add_image(result, **result.layer_kwargs)
    np.testing.assert_allclose(layer.extent.world, raw.extent.world)
    assert layer.units == raw.units and layer.ndim == raw.ndim

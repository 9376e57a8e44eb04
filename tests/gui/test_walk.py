"""One walk through the whole thing with the real engine: sample, widget, one click, restored layer."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

import napari_restore
from napari_restore.gui import runner as room
from napari_restore.gui.widget import RestoreWidget
from napari_restore.gui.work import package_engine

SECONDS = 5
"""Of training: more than the two that lie between previews."""


@pytest.fixture
def engine(tmp_path):
    """The real one, with a short budget and results in the test's folder."""
    real = package_engine()

    def restore(image, model, *, output, **given):
        output = tmp_path / f"{image.name} {sum(1 for _ in tmp_path.iterdir())}.zarr"
        return real.restore_events(image, model, output=output, **given)

    return SimpleNamespace(
        train_events=lambda images, **given: real.train_events(images, seconds=SECONDS, **given),
        restore_events=restore,
        load_model=lambda path: real.load_model(path),
        describe_device=real.describe_device,
    )


def wait(qtbot, widget):
    qtbot.waitUntil(lambda: not widget.session.runner.running, timeout=60_000)


def test_sample_widget_denoise(qtbot, make_napari_viewer_proxy, engine, tmp_path):
    viewer = make_napari_viewer_proxy()
    viewer.open_sample("napari-restore", "microscopy")
    raw = viewer.layers[0]
    widget = RestoreWidget(viewer, engine=engine)
    viewer.window.add_dock_widget(widget, name="Restore")
    widget.buttons.denoise_button.click()
    wait(qtbot, widget)
    said = widget.messages.toPlainText()
    assert widget.buttons.words.text() == "Done", said
    layer = viewer.layers[f"{raw.name}_denoised"]
    assert layer.ndim == raw.ndim and layer.units == raw.units and layer.axis_labels == raw.axis_labels
    np.testing.assert_allclose(layer.scale, raw.scale)
    np.testing.assert_allclose(layer.translate, raw.translate)
    np.testing.assert_allclose(layer.extent.world, raw.extent.world)
    assert np.asarray(layer.data).std() > 0
    assert not widget.preview.after.empty and widget.plot.traces["training"].steps

    path = tmp_path / "model.safetensors"
    widget.session.save_model(path)
    assert path.exists() and "Model saved" in widget.messages.toPlainText()
    widget.restore_with(str(path))
    wait(qtbot, widget)
    assert widget.buttons.words.text() == "Done", widget.messages.toPlainText()
    again = viewer.layers[1]
    np.testing.assert_allclose(np.asarray(again.data, float), np.asarray(layer.data, float), atol=1, rtol=0)


def test_stop_in_the_middle_of_training(qtbot, make_napari_viewer_proxy, engine):
    viewer = make_napari_viewer_proxy()
    viewer.open_sample("napari-restore", "ct")
    real = package_engine()
    engine.train_events = lambda images, **given: real.train_events(images, steps=100_000, **given)
    widget = RestoreWidget(viewer, engine=engine)
    viewer.window.add_dock_widget(widget, name="Restore")
    widget.buttons.denoise_button.click()
    qtbot.waitUntil(lambda: bool(widget.plot.traces["training"].steps), timeout=60_000)
    widget.buttons.stop_button.click()
    wait(qtbot, widget)
    assert "Stopped after" in widget.messages.toPlainText()
    assert widget.buttons.denoise_button.isEnabled() and not room._ALIVE
    assert len(viewer.layers) == 1 and widget.session.model is not None


def test_a_layer_that_cannot_be_restored_is_refused_in_words(qtbot, make_napari_viewer_proxy, engine):
    viewer = make_napari_viewer_proxy()
    viewer.add_image(np.full((40, 40), np.nan, dtype=np.float32), name="nothing")
    widget = RestoreWidget(viewer, engine=engine)
    viewer.window.add_dock_widget(widget, name="Restore")
    widget.buttons.denoise_button.click()
    wait(qtbot, widget)
    assert widget.buttons.words.text() == "Failed"
    assert "Error" not in widget.messages.toPlainText().splitlines()[-1], "words, not a traceback"


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

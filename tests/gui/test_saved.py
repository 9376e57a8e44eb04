"""After a run: its result is what is seen, what is selected and what is saved."""

from __future__ import annotations

import errno
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtWidgets import QFileDialog

from napari_restore.gui.restore.widget import RestoreWidget
from napari_restore.sources import open_image
from napari_restore.store import ome_zarr


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def widget(viewer, stack, engine):
    viewer.add_image(stack, name="raw", scale=(3.0, 0.1, 0.2), units=("um",) * 3, axis_labels=("z", "y", "x"))
    widget = RestoreWidget(viewer, engine=engine)
    viewer.window.add_dock_widget(widget, name="Restore")
    return widget


def run(qtbot: Any, widget: Any) -> None:
    widget.run()
    wait(qtbot, widget)


def wait(qtbot: Any, widget: Any) -> None:
    for runner in (widget.session.runner, widget.saved.writer):
        qtbot.waitUntil(lambda runner=runner: not runner.running, timeout=60_000)


def active(viewer: Any) -> str:
    return str(viewer.layers.selection.active.name)


def test_the_result_is_seen_and_selected(qtbot: Any, viewer: Any, widget: Any, stack: Any) -> None:
    viewer.add_image(stack, name="other")
    drawn = viewer.add_points(np.zeros((1, 3)), name="drawn")
    viewer.layers.selection.active = viewer.layers["raw"]
    run(qtbot, widget)
    assert [layer.name for layer in viewer.layers] == ["raw", "other", "raw_denoised", "drawn"]
    assert [layer.name for layer in viewer.layers.selection] == ["raw_denoised"] == [active(viewer)]
    assert widget.form.subject.layer.name == "raw", "the same layer again, not the result of it"
    run(qtbot, widget)
    assert active(viewer) == "raw_denoised [1]" and not viewer.layers["raw_denoised"].visible
    assert [layer.name for layer in viewer.layers if layer.visible] == ["raw", "other", "raw_denoised [1]", "drawn"]
    widget.form.extent.choose("plane")
    run(qtbot, widget)
    assert active(viewer) == "raw_denoised_part"
    assert viewer.layers["raw_denoised [1]"].visible, "a part does not stand for the whole"
    widget.run()
    viewer.layers.selection.active = drawn
    wait(qtbot, widget)
    assert active(viewer) == "drawn", "the user went on with another one"


@pytest.mark.parametrize(
    ("typed", "kind", "there"),
    [
        ("mine", "OME-TIFF (*.ome.tif)", "mine.ome.tif"),
        ("mine", "OME-Zarr (*.ome.zarr)", "mine.ome.zarr"),
        ("mine.v2", "", "mine.v2.ome.tif"),
        ("mine.zarr", "OME-TIFF (*.ome.tif)", "mine.zarr"),
    ],
)
def test_the_button_saves_it(
    qtbot: Any,
    viewer: Any,
    widget: Any,
    stack: Any,
    tmp_path: Path,
    monkeypatch: Any,
    typed: str,
    kind: str,
    there: str,
) -> None:
    button = widget.buttons.save_result_button
    assert not button.isEnabled()
    run(qtbot, widget)
    assert button.isEnabled() and button.text() == "Save result…"
    assert "Save result…" in widget.outcome.messages.toPlainText(), "the way to keep it is said"
    offered = []
    monkeypatch.setattr(
        QFileDialog, "getSaveFileName", lambda *given: offered.append(given[2]) or (str(tmp_path / typed), kind)
    )
    button.click()
    wait(qtbot, widget)
    saved = open_image(tmp_path / there)
    np.testing.assert_array_equal(saved.read(), stack + 1)
    assert saved.axes == "ZYX" and saved.geometry.pixel_size == pytest.approx((3.0, 0.1, 0.2))
    assert offered == ["raw_denoised.ome.tif"] and "Result saved" in widget.outcome.messages.toPlainText()
    said = widget.buttons.said
    assert said.isVisibleTo(widget) and said.text().replace("\u200b", "") == f"Result saved: {tmp_path / there}"
    button.click()
    wait(qtbot, widget)
    asked_about = typed == there
    assert ("exists already" in widget.outcome.messages.toPlainText()) == (not asked_about)
    widget.run()
    assert not said.isVisibleTo(widget), "of the past"
    wait(qtbot, widget)


def test_a_model_gets_its_ending(qtbot: Any, viewer: Any, widget: Any, tmp_path: Path, monkeypatch: Any) -> None:
    run(qtbot, widget)
    for typed in ("m", "n.safetensors", "o.1"):
        monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_, typed=typed: (str(tmp_path / typed), ""))
        widget.buttons.save_button.click()
    assert {path.name for path in tmp_path.glob("*.safetensors")} == {
        "m.safetensors", "n.safetensors", "o.1.safetensors"
    }  # fmt: skip
    (tmp_path / "m.safetensors").write_bytes(b"older")
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(tmp_path / "m"), ""))
    widget.buttons.save_button.click()
    assert (tmp_path / "m.safetensors").read_bytes() == b"older", "nobody was asked about this name"


@pytest.fixture
def real(viewer, stack, brief):
    viewer.add_image(stack, name="raw", axis_labels=("z", "y", "x"))
    widget = RestoreWidget(viewer, engine=brief(method="noise2void", steps=2))
    viewer.window.add_dock_widget(widget, name="Restore")
    return widget


def test_a_folder_is_tried_when_it_is_chosen_and_before_training(
    qtbot: Any, real: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    place, folder = real.form.place, tmp_path / "results"
    folder.mkdir()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(folder))
    place.activated.emit(1)
    assert place.folder == folder
    for bad in (tmp_path / "gone", folder / "shut"):
        monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_, bad=bad: str(bad))
        with monkeypatch.context() as broken:
            if bad.name == "shut":
                bad.mkdir()
                broken.setattr(tempfile, "TemporaryFile", refused)
            place.activated.emit(1)
        assert place.folder == folder and str(folder) in place.currentText(), "the one before stays"
        assert str(bad) in real.outcome.messages.toPlainText()
        assert "Nothing can be written there" in real.buttons.words.text()
    place.use(tmp_path / "gone")
    run(qtbot, real)
    assert real.buttons.words.text().startswith("Failed: ") and not real.outcome.plot.traces["training"].steps
    assert "does not exist" in real.outcome.messages.toPlainText() and real.session.unwritten is None
    assert real.buttons.save_result_button.isVisibleTo(real) and real.session.model is None


def test_what_fails_after_training_can_be_written_elsewhere(
    qtbot: Any, viewer: Any, real: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    for folder in (first, second, third):
        folder.mkdir()
    real.form.place.use(first)
    with monkeypatch.context() as broken:
        broken.setattr(ome_zarr, "write_blocks", full)
        run(qtbot, real)
        model, button = real.session.model, real.buttons.elsewhere_button
        broken.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(third))
        button.click()
        wait(qtbot, real)
    assert "Write elsewhere" in real.outcome.messages.toPlainText().splitlines()[-1], "the third place fails, too"
    assert real.buttons.words.text().startswith("Failed: ")
    assert model is not None and real.buttons.save_button.isEnabled()
    assert button.isVisibleTo(real) and not real.buttons.save_result_button.isVisibleTo(real)
    real.files.save(tmp_path / "m.safetensors")
    assert (tmp_path / "m.safetensors").is_file()
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: str(second))
    button.click()
    wait(qtbot, real)
    assert real.buttons.words.text() == "Done", real.outcome.messages.toPlainText()
    assert not real.outcome.plot.traces["training"].steps and real.session.model is model, "without training again"
    assert [path.name for path in second.iterdir()] == ["raw_denoised.ome.zarr"]
    assert real.form.place.folder == second and not button.isVisibleTo(real)


def refused(*_: Any, **__: Any) -> None:
    raise PermissionError(errno.EACCES, "Permission denied")


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")

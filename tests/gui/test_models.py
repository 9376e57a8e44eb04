"""Model files: remembered with what they were trained on, and taken when they are dropped onto the viewer."""

from __future__ import annotations

import json
import struct
from base64 import b64decode, b64encode
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from qtpy.QtCore import QSettings, QSize
from qtpy.QtWidgets import QFileDialog

import napari_restore
from napari_restore.gui.dropped import get_model_reader
from napari_restore.gui.restore.actions import Actions
from napari_restore.gui.restore.models import Known, Recent, card_of, picture_of, trained_on
from napari_restore.gui.tabs import MainWidget, Preferences


def write_model(path, card) -> None:
    """As much of a model file as the widget reads: a header that carries a card."""
    header = json.dumps({"__metadata__": {"napari_restore": json.dumps(card)}}).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + header)


def png(height=64, width=64, value=200) -> bytes:
    return bytes(imagecodecs.png_encode(np.full((height, width), value, np.uint8)))


def pictured(content: bytes) -> dict:
    return {**card(), "thumbnail": b64encode(content).decode()}


BROKEN = {
    "no text": {"thumbnail": 7},
    "null": {"thumbnail": None},
    "no base64": {"thumbnail": "not base64!"},
    "no PNG": {"thumbnail": b64encode(b"GIF89a" + bytes(40)).decode()},
    "cut off": {"thumbnail": b64encode(png()[:20]).decode()},
    "no pixels": {"thumbnail": b64encode(png()[:40]).decode()},
    "huge": {"thumbnail": b64encode(png(4096, 4096)).decode()},
}


def card(name="cells", method="noise2void2"):
    images = [{"name": name, "location": None, "axes": "ZYX", "shape": [18, 512, 512]}]
    return {"method": method, "provenance": {"images": images, "date": "2026-11-21T08:00:00+00:00"}}


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def widget(viewer, engine, stack):
    tabs = MainWidget(viewer, engine=engine, preferences=Preferences())
    viewer.window.add_dock_widget(tabs, name="Restore")
    viewer.add_image(stack, name="raw")
    yield tabs.restore
    tabs.leave()


def recent_of(widget) -> list[str]:
    widget.buttons.recent_menu.aboutToShow.emit()
    return [action.text() for action in widget.buttons.recent_menu.actions() if action.isEnabled()]


def wait(qtbot, widget):
    qtbot.waitUntil(lambda: not (widget.session.runner.running or widget.files.loader.running), timeout=10_000)


def test_a_card_in_words():
    assert trained_on(card()) == "Noise2Void2 on cells (18 × 512 × 512 ZYX), 2026-11-21"
    assert trained_on({"method": "scale_equivariant"}) == "Scale-equivariant imaging"
    assert trained_on({"method": "one_of_others"}) == "One of others"
    many = card()
    many["provenance"]["images"] *= 7
    assert "on 7 images" in trained_on(many)


def test_the_card_of_a_saved_model_is_read_without_its_weights(tmp_path):
    image = np.random.default_rng(0).poisson(50, (40, 40)).astype(np.uint16)
    model = napari_restore.train(image, "zero_shot", steps=1, device="cpu")
    model.save(tmp_path / "m.safetensors")
    found = card_of(tmp_path / "m.safetensors")
    assert found["method"] == "zero_shot" and found["provenance"]["images"] == model.provenance["images"]
    assert "Zero-shot on" in trained_on(found) and "40 × 40 YX" in trained_on(found)


@pytest.mark.parametrize(
    "content", [b"", b"\x01", b"\xff" * 200, struct.pack("<Q", 2) + b"{}", struct.pack("<Q", 9) + b"[1, 2, 3]"]
)
def test_other_files_are_left_to_others(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    assert card_of(path) is None and get_model_reader(str(path)) is None
    assert get_model_reader(str(tmp_path / "missing.safetensors")) is None
    assert get_model_reader(str(tmp_path)) is None


def test_the_newest_come_first_once_and_only_while_they_exist(tmp_path):
    def settings():
        return QSettings(str(tmp_path / "s.ini"), QSettings.Format.IniFormat)

    paths = [tmp_path / f"{i}.safetensors" for i in range(12)]
    for path in (*paths, paths[6]):
        write_model(path, card(path.stem))
        assert Recent(settings()).add(path) is not None
    assert Recent(settings()).add(tmp_path / "none.safetensors") is None
    found = [known.path.stem for known in Recent(settings()).models()]
    assert found == ["6", "11", "10", "9", "8", "7", "5", "4"]
    paths[6].unlink()
    assert next(known.path.stem for known in Recent(settings()).models()) == "11"


@pytest.mark.parametrize("kept", ["nonsense", "[1]", '{"a": 1}', "null"])
def test_settings_of_others_are_no_models(tmp_path, kept):
    settings = QSettings(str(tmp_path / "s.ini"), QSettings.Format.IniFormat)
    settings.setValue("recent models", kept)
    assert Recent(settings).models() == []


def test_models_saved_and_opened_are_listed_and_restore(qtbot, viewer, widget, engine, tmp_path, monkeypatch):
    assert recent_of(widget) == []
    path = tmp_path / "mine.safetensors"
    widget.train()
    wait(qtbot, widget)
    monkeypatch.setattr(widget.session.model, "save", lambda p: write_model(p, card()), raising=False)
    monkeypatch.setattr(QFileDialog, "getSaveFileName", lambda *_: (str(path), ""))
    widget.buttons.save_button.click()
    assert recent_of(widget) == ["mine: Noise2Void2 on cells (18 × 512 × 512 ZYX), 2026-11-21"]
    widget.buttons.recent_menu.actions()[0].trigger()
    wait(qtbot, widget)
    assert engine.calls[-1] == ("restore", {"model": str(path)})
    assert "raw_denoised" in viewer.layers


@pytest.mark.filterwarnings("ignore:Private attribute access")  # the only way to what a drop does
def test_a_model_dropped_onto_the_viewer_is_taken(qtbot, viewer, engine, stack, tmp_path, monkeypatch):
    from napari_restore.gui import tabs

    monkeypatch.setattr(tabs, "package_engine", lambda **_: engine)
    path = tmp_path / "mine.safetensors"
    write_model(path, card())
    viewer.add_image(stack, name="raw")
    viewer.window._qt_viewer._qt_open([str(path)], stack=False)  # what a drop does
    assert [layer.name for layer in viewer.layers] == ["raw"], "it is no layer"
    _, main = viewer.window.add_plugin_dock_widget("napari-restore", "Restore")
    widget = main.restore
    wait(qtbot, widget)
    assert str(widget.session.model.path) == str(path) and widget.buttons.save_button.isEnabled()
    assert "mine.safetensors" in widget.buttons._with_last.text() and "cells" in widget.outcome.messages.toPlainText()
    assert "mine" in recent_of(widget)[0]
    widget.restore()
    wait(qtbot, widget)
    assert "raw_denoised" in viewer.layers and "mine.safetensors" in widget.buttons._with_last.text()
    widget.train()
    wait(qtbot, widget)
    assert widget.buttons._with_last.text() == "the model trained last"
    main.leave()


def test_a_model_dropped_during_a_run_is_refused_in_words(qtbot, viewer, widget, engine, tmp_path):
    engine.steps, engine.pause = 10_000, 0.005
    widget.run()
    write_model(tmp_path / "late.safetensors", card())
    widget.use_model(tmp_path / "late.safetensors")
    assert "late.safetensors again" in widget.outcome.messages.toPlainText() and widget.session.model is None
    widget.session.stop()
    wait(qtbot, widget)


def test_a_damaged_model_is_said(qtbot, viewer, widget, engine, tmp_path, monkeypatch):
    def fails(path):
        raise napari_restore.core.errors.ModelError(f"{path} is damaged.")

    monkeypatch.setattr(engine, "load_model", fails)
    widget.use_model(tmp_path / "bad.safetensors")
    wait(qtbot, widget)
    assert "is damaged" in widget.outcome.messages.toPlainText() and recent_of(widget) == []


def test_the_picture_of_a_saved_model_is_read_without_its_weights(tmp_path):
    image = np.random.default_rng(0).poisson(50, (40, 40)).astype(np.uint16)
    model = napari_restore.train(image, "zero_shot", steps=1, device="cpu")
    path = model.save(tmp_path / "m.safetensors")
    assert picture_of(card_of(path)) == model.thumbnail
    assert max(imagecodecs.png_decode(model.thumbnail).shape) <= 64


def test_recent_models_have_their_pictures(tmp_path):
    recent = Recent(QSettings(str(tmp_path / "s.ini"), QSettings.Format.IniFormat))
    write_model(tmp_path / "new.safetensors", pictured(png()))
    write_model(tmp_path / "old.safetensors", card())
    added = [recent.add(tmp_path / f"{name}.safetensors") for name in ("old", "new")]
    assert [one.picture for one in added] == [None, png()]
    assert recent.models() == added[::-1]
    write_model(tmp_path / "new.safetensors", pictured(png(value=3)))
    assert recent.models()[0].picture == png(value=3), "the file is looked at, not the settings"


@pytest.mark.parametrize("entry", BROKEN.values(), ids=BROKEN)
def test_a_broken_picture_is_no_picture(qtbot, tmp_path, entry):
    write_model(tmp_path / "m.safetensors", {**card(), **entry})
    recent = Recent(QSettings(str(tmp_path / "s.ini"), QSettings.Format.IniFormat))
    recent.add(tmp_path / "m.safetensors")
    buttons = Actions()
    qtbot.addWidget(buttons)
    buttons.show_recent(recent.models())
    (action,) = buttons.recent_menu.actions()
    assert action.icon().isNull() and "<img" not in action.toolTip() and "cells" in action.text()


def test_the_menu_shows_a_picture_where_there_is_one(qtbot):
    buttons = Actions()
    qtbot.addWidget(buttons)
    path = Path("a.safetensors")
    older = Known(Path("b.safetensors"), "older")
    buttons.show_recent([Known(path, "Noise2Void on <b>cells</b>", png()), older])
    first, second = buttons.recent_menu.actions()
    assert first.icon().availableSizes() == [QSize(48, 48)]
    assert first.icon().pixmap(48, 48).toImage().pixelColor(20, 20).value() == pytest.approx(200, abs=8)
    tip = first.toolTip()
    shown = tip.partition("base64,")[2].partition('"')[0]
    assert b64decode(shown) == png() and "&lt;b&gt;cells" in tip and str(path) in tip
    assert second.icon().isNull() and "<img" not in second.toolTip() and "older" in second.toolTip()
    heights = [buttons.recent_menu.actionGeometry(action).height() for action in (first, second)]
    assert min(heights) >= 48, "a picture is shown whole"
    buttons.show_recent([older])
    low = buttons.recent_menu.actionGeometry(buttons.recent_menu.actions()[0]).height()
    assert low < 48, "a list without pictures is as low as any menu"

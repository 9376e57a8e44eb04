from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFileDialog, QPushButton

from napari_restore.gui import commands
from napari_restore.gui.parts import runner as room
from napari_restore.gui.restore.work import package_engine
from napari_restore.gui.tabs import PAGES, MainWidget, Preferences
from napari_restore.verbs.request import ask


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def widget(viewer, engine):
    widget = MainWidget(viewer, engine=engine, preferences=Preferences())
    viewer.window.add_dock_widget(widget, name="Restore")
    return widget


def run(command: str):
    from napari._app_model import get_app_model

    return get_app_model().commands.execute_command(f"napari-restore.{command}").result()


def docked(viewer) -> MainWidget:
    (found,) = (widget for name, widget in viewer.window.dock_widgets.items() if name.startswith("Restore"))
    return found


def test_opening_waits_for_the_first_tab_alone():
    """What the others are made of is loaded by a thread, soon after."""
    code = (
        "import sys, napari_restore.gui.tabs as tabs; others = ('batch.widget', 'compare.widget'); "
        "loaded = lambda: {f'napari_restore.gui.{name}' in sys.modules for name in others}; "
        "assert loaded() == {False}; list(tabs._loading(None)); assert loaded() == {True}"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_each_page_has_a_tab(widget):
    labels = [widget.tabText(i).replace("&", "") for i in range(widget.count())]
    assert labels == ["Restore", "Batch", "Compare"]
    assert all(widget.tabToolTip(i) for i in range(widget.count()))
    assert [widget.page(page.name) for page in PAGES] == [widget.widget(i) for i in range(widget.count())]
    assert [widget.tabText(i).replace("&", "") for i in range(widget.count())] == labels
    widget.leave()


def test_a_page_is_made_when_it_is_first_seen(widget, viewer):
    assert list(widget.pages) == ["restore"] and widget.going_on() == ""
    widget.setCurrentIndex(2)
    compare = widget.pages["compare"]
    assert list(widget.pages) == ["restore", "compare"], "and no other"
    assert widget.currentWidget() is compare is widget.compare and widget.tabText(2) == "Co&mpare"
    widget.setCurrentIndex(0)
    viewer.add_image(np.zeros((9, 9)), name="raw")
    widget.restore.session.model = object()
    batch = widget.batch
    assert widget.currentIndex() == 0, "it is made, and not shown"
    assert batch.form.model.model is widget.restore.session.model, "trained before it was there"
    assert widget.going_on() == "", "with all pages there"
    widget.restore.session.model = None
    widget.leave()


def test_the_menus_open_one_widget_on_the_right_task(viewer):
    for command, page, verb in (
        ("open_deblur", "restore", "deblur"),
        ("open_compare", "compare", "deblur"),
        ("open_denoise", "restore", "denoise"),
        ("open_super_resolve", "restore", "super_resolve"),
    ):
        run(command)
        widget = docked(viewer)
        assert isinstance(widget, MainWidget)
        assert widget.currentWidget() is widget.page(page) and widget.restore.form.verb.verb == verb
    widget.leave()


def test_the_entries_are_in_napari_s_menus(viewer):
    from napari._app_model import get_app_model

    def entries(menu):
        return {item.command.title for item in get_app_model().menus.get_menu(menu) if hasattr(item, "command")}

    ours = "{} (napari-restore)".format
    assert entries("napari/layers/filter") >= {ours("Denoise"), ours("Super-resolve"), ours("Deblur")}
    assert ours("Open stack lazily") in entries("napari/file/io_utilities")


def test_a_run_s_settings_stay_in_sight(qtbot, viewer, widget, engine, stack):
    viewer.add_image(stack, name="raw")
    engine.steps, engine.pause = 10_000, 0.005
    widget.restore.run()
    widget.setCurrentIndex(2)
    widget.open("restore", verb="deblur")
    assert widget.restore.form.verb.verb == "denoise" and widget.currentIndex() == 0
    widget.restore.session.stop()
    qtbot.waitUntil(lambda: not widget.restore.session.runner.running, timeout=10_000)
    widget.leave()


def test_closing_the_dock_stops_the_work_and_the_comparison(qtbot, viewer, engine, stack):
    widget = MainWidget(viewer, engine=engine, preferences=Preferences())
    dock = viewer.window.add_dock_widget(widget, name="closing")
    raw, other = viewer.add_image(stack, name="raw", opacity=0.5), viewer.add_image(stack, name="other")
    engine.steps, engine.pause = 10_000, 0.005
    widget.restore.run()
    widget.compare.choose("curtain")
    assert raw.opacity == 1
    dock.hide()
    assert widget.restore.session.runner.running and raw.opacity == 1, "a hidden dock goes on"
    viewer.window.remove_dock_widget(dock)
    qtbot.waitUntil(lambda: not room._ALIVE, timeout=5000)
    assert raw.opacity == 0.5 and engine.closed == 1
    other.visible = False
    viewer.layers.clear()


def test_closing_the_viewer_gives_the_layers_back(make_napari_viewer_proxy, qtbot, engine):
    viewer = make_napari_viewer_proxy()
    first, second = (viewer.add_image(np.zeros((9, 9)), name=name, opacity=0.3) for name in "ab")
    widget = MainWidget(viewer, engine=engine, preferences=Preferences())
    viewer.window.add_dock_widget(widget)
    widget.compare.choose("blink")
    assert first.opacity == 1
    del widget
    viewer.close()
    qtbot.waitUntil(lambda: first.opacity == 0.3 == second.opacity, timeout=3000)
    first.scale = (2, 2)


def test_open_stack(viewer, tmp_path, monkeypatch):
    import dask.array as da
    import tifffile

    paths = [str(tmp_path / f"{name}.tif") for name in ("one", "two")]
    for path in paths:
        tifffile.imwrite(path, np.zeros((3, 16, 17), np.uint8), photometric="minisblack")
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *args: (paths, ""))
    run("open_stack")
    assert [layer.name for layer in viewer.layers] == ["one", "two"]
    assert all(isinstance(layer.data, da.Array) for layer in viewer.layers)
    monkeypatch.setattr(QFileDialog, "getOpenFileNames", lambda *args: ([], ""))
    run("open_stack")
    assert len(viewer.layers) == 2


def test_the_dialogue_offers_the_files_of_the_manifest():
    import npe2

    manifest = npe2.PluginManifest.from_distribution("napari-restore")
    patterns = set(manifest.contributions.readers[0].filename_patterns)
    first = commands.STACKS.split(";;")[0]
    assert set(first[first.index("(") + 1 : -1].split()) == patterns - {"*.zarr"}, "a .zarr is a folder"


def test_preferences_are_used(viewer, engine, tmp_path):
    widget = MainWidget(viewer, engine=engine, preferences=Preferences("cpu", tmp_path, 7.5))
    viewer.window.add_dock_widget(widget)
    assert widget.restore.form.place.folder == tmp_path
    raw = viewer.add_image(np.zeros((16, 16)))
    widget.restore.run()
    assert widget.restore.session.run.preview.every == 7.5
    viewer.layers.remove(raw)
    widget.leave()


def test_preferences_are_read(tmp_path, monkeypatch):
    settings = pytest.importorskip("napari.settings")
    monkeypatch.setattr(settings, "_PLUGIN_SETTINGS", {})
    if not hasattr(settings, "get_plugin_settings"):
        pytest.skip("napari before 0.9 has no preferences of plugins")
    found = settings.get_plugin_settings("napari-restore", path_dir=tmp_path)
    assert Preferences.read() == Preferences()
    found.work.device, found.work.output_folder, found.work.preview_interval = "cpu", f" {tmp_path} ", 9
    assert Preferences.read() == Preferences("cpu", tmp_path, 9.0)
    for name, wrong in (("device", "abacus"), ("preview_interval", 0)):
        with pytest.raises(ValueError, match=name):
            setattr(found.work, name, wrong)
    settings._PLUGIN_SETTINGS.clear()
    monkeypatch.setattr(settings, "_PLUGIN_SETTINGS", {"another": None})
    assert Preferences.read() == Preferences(), "no such plugin here"


def test_the_engine_works_on_the_device_of_the_preferences():
    engine = package_engine(device="cpu")
    assert engine.preferring(ask("train", "a.tif")).computing.device == "cpu"
    assert engine.preferring(ask("denoise", "a.tif", device="cuda")).computing.device == "cuda"
    assert "cpu" in engine.describe_device().lower()


def test_it_fits_a_small_screen(qtbot, viewer, engine):
    widget = MainWidget(viewer, engine=engine, preferences=Preferences())
    qtbot.addWidget(widget)
    widget.resize(400, 700)
    widget.show()
    for index in range(widget.count()):
        widget.setCurrentIndex(index)
        qtbot.wait(10)
        assert widget.width() == 400 and widget.height() == 700
        for button in widget.currentWidget().findChildren(QPushButton):
            right = button.mapTo(widget, button.rect().bottomRight()).x()
            assert not button.isVisibleTo(widget) or right < 400, button.text()
    assert widget.tabBar().focusPolicy() & Qt.FocusPolicy.TabFocus
    widget.leave()


def test_opening_it_loads_no_torch():
    code = "import sys, napari_restore.gui.commands; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

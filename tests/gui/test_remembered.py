"""What was chosen for the last run is offered again."""

from __future__ import annotations

import pytest

from napari_restore.gui.parts.remembered import Remembered
from napari_restore.gui.restore.widget import RestoreWidget
from napari_restore.gui.tabs import MainWidget, Preferences


@pytest.fixture
def viewer(make_napari_viewer_proxy, stack):
    viewer = make_napari_viewer_proxy()
    viewer.add_image(stack, name="raw")
    return viewer


def test_effort_and_folder_of_the_last_run(qtbot, viewer, engine, tmp_path):
    first = RestoreWidget(viewer, engine=engine)
    qtbot.addWidget(first)
    assert (first.form.effort.effort, first.form.place.folder) == ("normal", None)
    first.form.effort.setCurrentIndex(first.form.effort.findData("thorough"))
    first.form.place.use(tmp_path)
    second = RestoreWidget(viewer, engine=engine)
    assert second.form.effort.effort == "normal", "only a run counts"
    first.run()
    qtbot.waitUntil(lambda: not first.session.runner.running, timeout=10_000)
    third = RestoreWidget(viewer, engine=engine)
    assert (third.form.effort.effort, third.form.place.folder) == ("thorough", tmp_path)
    for widget in (first, second, third):
        widget.leave()


def test_the_preference_comes_before_what_is_remembered(qtbot, viewer, engine, tmp_path):
    (tmp_path / "a").mkdir()
    Remembered("restore").keep(effort="quick", folder=tmp_path / "a")
    chosen = MainWidget(viewer, engine=engine, preferences=Preferences(folder=tmp_path))
    left = MainWidget(viewer, engine=engine, preferences=Preferences())
    for widget, folder in ((chosen, tmp_path), (left, tmp_path / "a")):
        qtbot.addWidget(widget)
        assert (widget.restore.form.place.folder, widget.restore.form.effort.effort) == (folder, "quick")
        widget.leave()


def test_a_folder_that_is_gone_and_an_effort_that_is_none_are_forgotten(qtbot, viewer, engine, tmp_path):
    Remembered("restore").keep(effort="heroic", folder=tmp_path / "gone")
    widget = RestoreWidget(viewer, engine=engine)
    qtbot.addWidget(widget)
    assert (widget.form.effort.effort, widget.form.place.folder) == ("normal", None)
    widget.leave()

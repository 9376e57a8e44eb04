"""Time and memory of a run stand in the widget before it starts."""

from __future__ import annotations

import threading

import pytest

from napari_restore.core.cost import Cost
from napari_restore.core.errors import RestoreError
from napari_restore.core.sizes import describe_bytes
from napari_restore.gui.parts.runner import Ended
from napari_restore.gui.restore import cost as room
from napari_restore.gui.restore.cost import cost_words
from napari_restore.gui.restore.pace import Pace
from napari_restore.gui.restore.verbs import SHOWN
from napari_restore.gui.restore.widget import RestoreWidget
from napari_restore.gui.restore.work import package_engine
from napari_restore.gui.tabs import MainWidget, Preferences
from napari_restore.verbs import VERBS
from napari_restore.verbs.request import ask
from napari_restore.verbs.words import asked

MIB = 2**20


@pytest.fixture
def viewer(make_napari_viewer_proxy, stack):
    viewer = make_napari_viewer_proxy()
    viewer.add_image(stack, name="raw")
    return viewer


@pytest.fixture
def widget(viewer, engine, monkeypatch):
    monkeypatch.setattr(room, "_SETTLES_MS", 30)
    widget = RestoreWidget(viewer, engine=engine)
    viewer.window.add_dock_widget(widget, name="Restore")
    return widget


def said(widget):
    """The line, with spaces at which it may break and others alike."""
    return widget.form.cost.text().replace("\u00a0", " ")


def test_it_is_said_before_a_click(qtbot, widget):
    qtbot.waitUntil(lambda: said(widget) != "")
    assert said(widget) == "About 40 s of training, 7 to 21 s of restoring; 480 MiB of 18 GiB memory"
    assert widget.form.cost.isVisibleTo(widget)


def test_it_is_of_what_is_chosen(qtbot, widget, engine):
    qtbot.waitUntil(lambda: bool(engine.estimated))
    assert engine.estimated[-1] == ("denoise", {})
    widget.form.effort.setCurrentIndex(widget.form.effort.findData("thorough"))
    qtbot.waitUntil(lambda: engine.estimated[-1] == ("denoise", {"effort": "thorough"}))
    widget.form.verb.choose("super_resolve")
    qtbot.waitUntil(lambda: engine.estimated[-1] == ("super_resolve", {"effort": "thorough"}))


def test_3d_or_plane_by_plane_is_a_choice_with_its_cost(qtbot, viewer, widget, engine, stack):
    form = widget.form
    viewer.layers["raw"].axis_labels = ("z", "y", "x")
    assert form.depth.isVisibleTo(widget) and form.subject.image.axes == "ZYX"
    for dimensions in ("3", "2"):
        form.depth.setCurrentIndex(form.depth.findData(dimensions))
        qtbot.waitUntil(
            lambda dimensions=dimensions: engine.estimated[-1:] == [("denoise", {"dimensions": dimensions})],
            timeout=10_000,
        )
    widget.run()
    qtbot.waitUntil(lambda: not widget.session.runner.running, timeout=10_000)
    assert engine.requests[-1].config == {"dimensions": "2"}
    form.editors["method"].choose("zero_shot")
    assert not form.depth.isVisibleTo(widget) and form.request().config == {}, "it has no such setting"
    form.editors["method"].choose("posterior")
    assert form.depth.isVisibleTo(widget)
    viewer.layers["raw"].axis_labels = ("t", "y", "x")
    assert not form.depth.isVisibleTo(widget) and form.request().config == {}, "no stack"


@pytest.mark.parametrize(("option", "value"), [("seed", 5), ("precision", "float32"), ("steps", 20)])
def test_options_of_the_run_that_the_method_does_not_have_are_taken(qtbot, widget, engine, option, value):
    """A seed under Advanced is no setting of the method: the cost line once said so, in red."""
    widget.form.advanced.fold.setChecked(True)
    editor = widget.form.advanced.editors[option].native
    (editor.setCurrentIndex if option == "precision" else editor.setValue)(1 if option == "precision" else value)
    qtbot.waitUntil(lambda: bool(engine.estimated) and engine.estimated[-1] == ("denoise", {option: value}))
    qtbot.waitUntil(lambda: "of restoring" in said(widget))
    widget.run()
    qtbot.waitUntil(lambda: not widget.session.runner.running, timeout=10_000)
    assert engine.calls[-1] == engine.estimated[-1], "the very request that was estimated"


def test_several_changes_are_one_estimate(qtbot, widget, engine):
    qtbot.waitUntil(lambda: said(widget) != "")
    before = len(engine.estimated)
    for effort in ("quick", "normal", "thorough"):
        widget.form.effort.setCurrentIndex(widget.form.effort.findData(effort))
    qtbot.waitUntil(lambda: len(engine.estimated) > before)
    qtbot.wait(100)
    assert len(engine.estimated) == before + 1


def test_too_much_is_said_and_what_else_is_wrong_is_left_to_the_run(qtbot, widget, engine):
    engine.raises = RestoreError("restoring takes about 30 GiB of memory, of 18 GiB that may be used")
    widget.form.effort.setCurrentIndex(widget.form.effort.findData("thorough"))
    qtbot.waitUntil(lambda: "30 GiB" in said(widget))
    engine.raises = RuntimeError("a bug")
    widget.form.effort.setCurrentIndex(widget.form.effort.findData("quick"))
    qtbot.waitUntil(lambda: said(widget) == "")


def test_of_another_layer_nothing_is_said_until_it_is_known(qtbot, viewer, widget, engine, stack):
    qtbot.waitUntil(lambda: "of restoring" in said(widget))
    raw = viewer.layers["raw"]
    other = viewer.add_image(stack, name="other")
    widget.form.subject.layers.choose(other)
    assert said(widget) == "Time and memory: …" and not widget.form.cost.isEnabled()
    qtbot.waitUntil(lambda: "of restoring" in said(widget) and widget.form.cost.isEnabled())
    engine.pause = 0.1
    widget.form.subject.layers.choose(raw)
    widget.run()
    qtbot.wait(150)
    assert said(widget) == "Time and memory: …", "while it runs the estimate of another one is no help"
    qtbot.waitUntil(lambda: not widget.session.runner.running, timeout=10_000)
    qtbot.waitUntil(lambda: "of restoring" in said(widget))


def test_without_an_image_and_during_a_run_nothing_is_estimated(qtbot, viewer, widget, engine):
    qtbot.waitUntil(lambda: said(widget) != "")
    engine.pause = 0.1
    widget.run()
    count = len(engine.estimated)
    widget.form.cost.renew()
    qtbot.wait(150)
    assert len(engine.estimated) == count
    qtbot.waitUntil(lambda: not widget.session.runner.running, timeout=10_000)
    viewer.layers.clear()
    qtbot.waitUntil(lambda: said(widget) == "")


def test_a_run_does_not_share_the_processor_with_an_estimate(qtbot, widget, engine):
    engine.slow_estimate = True
    qtbot.waitUntil(lambda: bool(engine.estimated))
    widget.run()
    qtbot.waitUntil(lambda: engine.cut_off == 1)
    qtbot.waitUntil(lambda: not widget.session.runner.running, timeout=10_000)
    engine.slow_estimate = False
    qtbot.waitUntil(lambda: "of restoring" in said(widget))
    assert len(engine.estimated) >= 2, "it is worked out after the run"


def test_an_estimate_that_is_cut_off_changes_nothing(qtbot, widget):
    """As at napari's end; an exception in a slot fails a test."""
    qtbot.waitUntil(lambda: "of restoring" in said(widget))
    before = said(widget)
    widget.form.cost._runner.ended.emit(Ended(None, None))
    assert said(widget) == before


def test_an_estimate_of_what_is_no_longer_asked_is_not_said(qtbot, widget, engine):
    """A drawn region without a rectangle cannot be run, and has no cost: an older one comes too late."""
    qtbot.waitUntil(lambda: "of restoring" in said(widget))
    engine.slow_estimate, before = True, len(engine.estimated)
    widget.form.effort.setCurrentIndex(widget.form.effort.findData("quick"))
    qtbot.waitUntil(lambda: len(engine.estimated) > before)
    widget.form.extent.choose("drawn")
    qtbot.waitUntil(lambda: said(widget) == "")
    engine.slow_estimate = False
    qtbot.waitUntil(lambda: not widget.form.cost._runner.running)
    assert said(widget) == "" and widget.form.cost.isHidden()


def test_nothing_is_estimated_while_what_a_run_does_is_loaded(qtbot, viewer, engine, monkeypatch):
    monkeypatch.setattr(room, "_SETTLES_MS", 30)
    loaded = threading.Event()
    describe = engine.describe_device
    monkeypatch.setattr(engine, "describe_device", lambda: (loaded.wait(20), describe())[1])
    widget = RestoreWidget(viewer, engine=engine)
    viewer.window.add_dock_widget(widget, name="Restore")
    qtbot.wait(800)
    assert not engine.estimated
    loaded.set()
    qtbot.waitUntil(lambda: said(widget) != "")


def test_words():
    assert [describe_bytes(n * MIB) for n in (0.2, 480, 1229, 18 * 1024)] == ["1 MiB", "480 MiB", "1.2 GiB", "18 GiB"]
    card = Cost("noise2void", None, 0.1, 480 * MIB, 18 * 1024 * MIB, 900 * MIB, 70 * 1024 * MIB)
    words = "About 1 s of restoring; 480 MiB of 18 GiB memory, 900 MiB of 70 GiB on the graphics card"
    assert cost_words(card, Pace()) == words


@pytest.mark.parametrize("verb", [verb for verb in SHOWN if VERBS[verb].instant])
def test_of_what_learns_nothing_no_training_is_said(verb):
    instant = Cost(VERBS[verb].instant, 5.0, 7.0, 480 * MIB, 18 * 1024 * MIB)
    assert cost_words(instant, Pace()).startswith("About 5 s of choosing its settings, ")
    assert "training" not in cost_words(instant, Pace())


def test_the_share_of_memory_is_handed_on():
    engine = package_engine(device="cpu", memory_share=0.3)
    for request in (ask("denoise", "a.tif"), ask("restore_folder", "a", model="m", output="b")):
        preferred = engine.preferring(request)
        assert (preferred.computing.device, preferred.restoring.memory_share) == ("cpu", 0.3)
    own = ask("denoise", "a.tif", device="cuda:1", memory_share=0.5)
    assert asked(engine.preferring(own)) == asked(own), "what a request says itself comes first"


def test_the_preference_reaches_the_engine(viewer, qtbot):
    widget = MainWidget(viewer, preferences=Preferences(device="cpu", memory_share=0.4))
    qtbot.addWidget(widget)
    assert widget.restore._engine.memory_share == widget.batch._engine.memory_share == 0.4
    widget.leave()


def test_the_package_estimates_what_the_widget_wishes(qtbot, viewer, monkeypatch):
    monkeypatch.setattr(room, "_SETTLES_MS", 30)
    widget = RestoreWidget(viewer, engine=package_engine(device="cpu"))
    qtbot.addWidget(widget)
    qtbot.waitUntil(lambda: "of restoring" in said(widget), timeout=60_000)
    assert "iB of" in said(widget)
    widget.leave()

"""What a run leaves: said to be of its layer and its method, trained on, gone back to, discarded, remembered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import QSettings

from napari_restore.core.cost import Cost
from napari_restore.gui.parts.describe import describe_times, gain_of
from napari_restore.gui.parts.remembered import Remembered
from napari_restore.gui.restore.cost import cost_words
from napari_restore.gui.restore.history import Tally, effort_of
from napari_restore.gui.restore.pace import Pace
from napari_restore.gui.restore.widget import RestoreWidget
from napari_restore.verbs.request import ask


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def widget(viewer, stack, engine):
    viewer.add_image(stack, name="raw", axis_labels=("z", "y", "x"))
    widget = RestoreWidget(viewer, engine=engine)
    viewer.window.add_dock_widget(widget, name="Restore")
    return widget


def wait(qtbot: Any, widget: Any) -> None:
    qtbot.waitUntil(lambda: not widget.session.runner.running, timeout=60_000)


def rows(widget: Any) -> list[list[str]]:
    table = widget.outcome.runs.table
    return [[table.item(row, column).text() for column in range(4)] for row in range(table.rowCount())]


def test_what_is_seen_of_a_run_is_said_to_be_of_its_layer(qtbot: Any, viewer: Any, widget: Any, stack: Any) -> None:
    other = viewer.add_image(stack, name="other")
    words, whose, layers = widget.buttons.words, widget.outcome.whose, widget.form.subject.layers
    layers.choose(viewer.layers["raw"])
    widget.run()
    wait(qtbot, widget)
    assert words.text() == "Done" and whose.isHidden(), "of the layer that is chosen"
    layers.choose(other)
    assert words.text() == "raw: Done" and "raw" in whose.text() and not whose.isHidden()
    layers.choose(viewer.layers["raw"])
    assert words.text() == "Done" and whose.isHidden()
    layers.choose(other)
    widget.run()
    assert whose.isHidden() and "raw" not in words.text(), "another run: of its own layer"
    wait(qtbot, widget)
    viewer.layers.remove(other)
    assert words.text() == "other: Done", "a layer that is gone is named, too"
    widget._say_in_sight("choose `axes`")
    assert words.text() == "Choose the Axes box", "what is of no run is said of no layer"


def test_where_nothing_is_learned_there_is_no_curve(qtbot: Any, widget: Any) -> None:
    plot = widget.outcome.place
    assert plot.isHidden()
    for begin, there in ((widget.run, True), (widget.restore, False), (widget.run, True)):
        begin()
        assert not plot.isHidden(), "it may come"
        wait(qtbot, widget)
        assert plot.isHidden() != there


def test_ten_seconds_more_after_the_end_and_after_cancel(
    qtbot: Any, viewer: Any, widget: Any, engine: Any, stack: Any
) -> None:
    more, engine.method = widget.buttons.more_button, "noise2void"
    assert not more.isEnabled()
    widget.run()
    wait(qtbot, widget)
    first = widget.session.model
    assert more.isEnabled() and more.text() == "10 s more"
    more.click()
    wait(qtbot, widget)
    verbs = [(request.verb, request.training.seconds) for request in engine.requests]
    assert verbs == [("denoise", None), ("train", 10), ("denoise", None)]
    assert engine.requests[1].training.start is first, "training goes on from the model"
    assert engine.requests[2].restoring.model is widget.session.model is not first, "and that restores"
    names = ["raw_denoised_noise2void", "raw_denoised_noise2void [1]"]
    assert [layer.name for layer in viewer.layers] == ["raw", *names]
    assert [layer.visible for layer in viewer.layers] == [True, False, True]
    assert rows(widget) == [
        [names[1], "Noise2Void", "normal + 10 s, 2 s", "–"],
        [names[0], "Noise2Void", "normal, 1 s", "–"],
    ]

    engine.steps = 10_000
    widget.run()
    qtbot.waitUntil(lambda: bool(widget.outcome.plot.traces["training"].steps), timeout=10_000)
    assert not more.isEnabled()
    widget.buttons.stop_button.click()
    wait(qtbot, widget)
    assert widget.session.result is None and more.isEnabled() and rows(widget)[0][3] == "no image"
    stopped, engine.steps = widget.session.model, 5
    more.click()
    wait(qtbot, widget)
    assert engine.requests[-2].training.start is stopped and widget.buttons.words.text() == "Done"

    back, drop, table = widget.outcome.runs.back, widget.outcome.runs.drop, widget.outcome.runs.table
    table.selectRow(3)
    back.click()
    assert widget.session.model is first and viewer.layers.selection.active.name == names[0]
    shown = [layer.name for layer in viewer.layers if layer.visible]
    assert shown == ["raw", names[0]] and widget.form.subject.layer.name == "raw"
    viewer.layers.remove(names[0])
    table.selectRow(3)
    back.click()
    np.testing.assert_array_equal(np.asarray(viewer.layers[names[0]].data), stack + 1), "taken away, it comes back"
    drop.click()
    assert names[0] not in viewer.layers and len(rows(widget)) == 3 and widget.session.model is not first
    while widget.session.past:
        table.selectRow(0)
        drop.click()
    assert [layer.name for layer in viewer.layers] == ["raw"] and widget.outcome.runs.isHidden()
    assert not any(
        button.isEnabled() for button in (more, widget.buttons.save_button, widget.buttons.save_result_button)
    )


@pytest.mark.parametrize("verb", ["denoise", "deblur"])
def test_the_real_model_learns_on(
    qtbot: Any, viewer: Any, brief: Any, tmp_path: Path, monkeypatch: Any, verb: str
) -> None:
    """From its weights; its result lies beside the first one, and both say what made them."""
    viewer.add_image(np.random.default_rng(0).poisson(90, (64, 64)).astype(np.uint16), name="raw")
    widget = RestoreWidget(viewer, engine=brief(method="noise2void" if verb == "denoise" else "auto", steps=3))
    viewer.window.add_dock_widget(widget, name="Restore")
    folder = tmp_path / "results"
    folder.mkdir()
    widget.form.place.use(folder)
    widget.form.verb.choose(verb)
    widget.run()
    wait(qtbot, widget)
    first = widget.session.model
    assert f"raw_{widget.session.run.suffix}_{first.name}" in viewer.layers, "the layer says what made it"
    with monkeypatch.context() as budget:
        budget.setattr("napari_restore.gui.restore.widget.MORE", 0.5)
        widget.buttons.more_button.click()
        wait(qtbot, widget)
    said = widget.outcome.messages.toPlainText()
    assert widget.buttons.words.text().startswith("Done"), said
    assert widget.session.model is not first and "start" in widget.session.model.provenance
    assert len([path for path in folder.iterdir() if path.suffix == ".zarr"]) == 2, said
    assert [row[2].split(",")[0] for row in rows(widget)] == ["normal + 0 s", "normal"]


def test_what_runs_took_is_remembered(tmp_path: Path) -> None:
    kept = Remembered("pace", QSettings(str(tmp_path / "kept.ini"), QSettings.Format.IniFormat))
    pace = Pace(kept)
    cost = Cost("noise2void", 40.0, 10.0, 2**30, 2**34)
    assert "10 to 30 s of restoring" in cost_words(cost, pace), "a range at first"
    pace.keep("noise2void", estimated=10.0, took=20.0)
    assert ", 20 s of restoring" in cost_words(cost, Pace(kept)), "then what it took, also next time"
    pace.keep("noise2void", estimated=10.0, took=50.0)
    assert "20 to 50 s of restoring" in cost_words(cost, pace), "where it took now this and now that: a range again"
    for _ in range(5):
        pace.keep("noise2void", estimated=10.0, took=15.0)
    assert ", 15 s of restoring" in cost_words(cost, pace), "old ones are forgotten"
    assert pace.expected("other", 10.0) == (10.0, 30.0), "each method has its own"
    kept.keep(noise2void="x -3 nan inf 2")
    assert pace.expected("noise2void", 10.0) == (20.0, 20.0), "anybody may write the file"


def test_the_line_learns_from_a_run(qtbot: Any, widget: Any, engine: Any, monkeypatch: Any) -> None:
    engine.method = "auto"  # that which the pretended estimate is of
    monkeypatch.setattr(Tally, "rest", 3.5)
    cost = widget.form.cost
    qtbot.waitUntil(lambda: "7 to 21\u00a0s of restoring" in cost.text() and not cost._stale, timeout=10_000)
    widget.run()
    wait(qtbot, widget)
    assert ", 4\u00a0s of restoring" in cost.text() and Pace().expected("auto", 10.0) == (5.0, 5.0)


@pytest.mark.parametrize(
    ("least", "most", "words"),
    [(7, 7, "7 s"), (7, 8, "7 s"), (7, 21, "7 to 21 s"), (50, 70, "59 s"), (50, 130, "50 s to 2 min 10 s")],
)
def test_a_range_in_words(least: float, most: float, words: str) -> None:
    assert describe_times(least, most) == words


def test_what_was_asked_and_what_came_of_it_in_words() -> None:
    image = np.zeros((8, 8))
    assert effort_of(ask("denoise", image, effort="quick"), more=20) == "quick + 20 s"
    assert effort_of(ask("denoise", image, steps=1000)) == "1,000 steps"
    assert effort_of(ask("denoise", image, seconds=30)) == "30 s"
    assert effort_of(ask("restore", image, model="m.safetensors"), more=10) == "10 s"
    checked = {"psnr": 30.0, "psnr_at_least": 29.0, "psnr_before": 21.5}
    assert gain_of({"checked": checked}) == "+8.5 dB"
    assert gain_of({"checked": {**checked, "psnr": None}}) == "+7.5 dB"
    assert gain_of({"checked": {**checked, "psnr_before": None}}) == "" == gain_of({})
    assert gain_of({"compared": {"rows": [{"sure": 1.25}]}}) == "error 1.25"
    assert gain_of({"compared": {"rows": [{"sure": 0.0}]}}) == ""

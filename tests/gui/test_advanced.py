"""The advanced options: folded away, a row for each field of a method's config; only what is changed counts."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from typing import Any

import pytest
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import QAbstractSpinBox, QApplication, QCheckBox, QComboBox

from napari_restore import methods
from napari_restore.core.errors import RestoreError
from napari_restore.gui.parts.describe import tip_of
from napari_restore.gui.restore import advanced
from napari_restore.gui.restore.fields import Field, NumberBox, field_of
from napari_restore.gui.restore.offered import offered
from napari_restore.gui.restore.widget import RestoreWidget
from napari_restore.methods.settings import Setting, settings_of
from napari_restore.verbs.request import ask, options_of
from napari_restore.verbs.words import as_command, asked

DENOISING = [name for name, row in methods.METHODS.items() if row.does == "denoise"]
IMAGING = ["scale_equivariant", "finer_planes"]
PLACE = {"scale": (3.0, 0.1, 0.2), "units": ("um",) * 3, "axis_labels": ("z", "y", "x")}


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def widget(viewer, stack, engine):
    viewer.add_image(stack, name="raw", **PLACE)
    widget = RestoreWidget(viewer, engine=engine)
    viewer.window.add_dock_widget(widget, name="Restore")
    return widget


def unfold(qtbot, widget, method: str = "") -> dict[str, Any]:
    """Choose a method, unfold its options, and wait for them; gives their editors."""
    if method:
        widget.form.editors["method"].choose(method)
    widget.form.advanced.fold.setChecked(True)
    qtbot.waitUntil(
        lambda: widget.form.advanced.words.isHidden() or widget.form.editors["method"].value == "auto", timeout=60_000
    )
    return widget.form.advanced.editors


def ran(qtbot, widget) -> None:
    widget.run()
    qtbot.waitUntil(lambda: not widget.session.runner.running, timeout=10_000)


def alter(editor: Any) -> Any:
    """Give an option another value, and give that value back."""
    native = editor.native
    if isinstance(native, QAbstractSpinBox):
        native.setValue(native.maximum() if native.value() != native.maximum() else native.minimum())
    elif isinstance(native, QComboBox):
        native.setCurrentIndex((native.currentIndex() + 1) % native.count())
    elif isinstance(native, QCheckBox):
        native.toggle()
    else:
        native.setText("0.5, 0.25" if "," in native.text() else "vertical")
    return editor.given


# What can be set.


@pytest.mark.parametrize("method", [*DENOISING, *IMAGING])
def test_whatever_is_chosen_the_method_takes(qtbot, method):
    for setting in settings_of(method):
        if setting.name == "factor":
            continue
        editor = field_of(setting)
        qtbot.addWidget(editor.native)
        assert editor.given is None, "unchanged, it is left to the method"
        value = alter(editor)
        assert value is not None and getattr(methods.configure(method, {setting.name: value}), setting.name) == value
        editor.reset()
        assert editor.given is None
        if isinstance(editor.native, QAbstractSpinBox):
            for bound in (setting.low, setting.high):
                editor.native.setValue(bound)
                methods.configure(method, {} if editor.given is None else {setting.name: editor.given})


def test_what_the_effort_decides_is_told(qtbot, widget):
    editors = unfold(qtbot, widget, "noise2void")
    assert editors["width"].text() == editors["depth"].text() == "from effort"
    assert "quick 16, normal 16, thorough 32" in " ".join(editors["width"].toolTip().split())
    assert "effort" not in editors["masked"].toolTip()


# How it is set.


def test_a_number_left_alone_counts_from_where_it_would_start(qtbot):
    box = NumberBox(Setting("width", "whole", 16, low=2, high=20, alone="from effort"))
    qtbot.addWidget(box)
    assert box.text() == "from effort" and box.given is None
    box.stepUp()
    assert box.given == 16 and isinstance(box.given, int)
    for _ in range(9):
        box.stepUp()
    assert box.given == 20
    for _ in range(18):
        box.stepDown()
    assert box.given == 2
    box.stepDown()
    assert box.text() == "from effort" and box.given is None


def test_steps_lead_back_to_the_words_however_fine_they_are(qtbot):
    box = NumberBox(Setting("seconds", "number", 60, low=0.1, high=100, alone="from effort"))
    qtbot.addWidget(box)
    box.setValue(0.1)
    box.stepDown()
    assert box.text() == "from effort" and box.given is None
    box.stepUp()
    assert box.given == 60


def test_a_number_between_the_words_and_the_least_is_the_least(qtbot):
    box = NumberBox(Setting("noise", "number", 0, low=0, alone="auto"))
    qtbot.addWidget(box)
    for typed, value, shown in (("-.5", 0.0, "0"), ("0.25", 0.25, "0.25"), ("40", 40.0, "40")):
        box.selectAll()
        qtbot.keyClicks(box, typed.replace(".", box.locale().decimalPoint()))
        assert box.given == value, "at once"
        qtbot.keyClick(box, Qt.Key.Key_Return)
        assert box.given == value and box.text().replace(",", ".") == shown, "no noise is not the same as auto"


def test_a_number_can_be_typed_from_its_first_digit(qtbot):
    box = NumberBox(Setting("seconds", "number", 60, low=2.5, high=100, alone="from effort"))
    qtbot.addWidget(box)
    box.selectAll()
    qtbot.keyClicks(box, "20")
    assert box.given == 20, "though 2 alone would be too small"


@pytest.mark.parametrize("text", ["0.5, x", "2", "0.5 nan", "-1,0.5"])
def test_numbers_in_a_line_are_checked(qtbot, text):
    line = Field(Setting("factors", "numbers", (0.75, 0.6), low=0.1, high=1))
    qtbot.addWidget(line.native)
    line.native.setText(text)
    with pytest.raises(RestoreError, match=r"factors '.*': write numbers from 0.1 to 1 .* such as 0.75, 0.6"):
        _ = line.given
    line.native.setText(" 0.5;0.25, ")
    assert line.given == (0.5, 0.25)
    line.native.clear()
    assert line.given is None


def test_the_wheel_scrolls_past_options(qtbot, widget):
    editors = unfold(qtbot, widget)
    widget.buttons.run_button.setFocus()
    for name in ("seed", "precision"):
        editor = editors[name].native
        middle = QPointF(editor.rect().center())
        turn = QWheelEvent(
            middle, middle, QPoint(), QPoint(0, -120), Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase, False,
        )  # fmt: skip
        QApplication.sendEvent(editor, turn)
    assert widget.form.advanced.options == {}


# In the widget.


def test_it_is_folded_and_empty_at_first(widget):
    section = widget.form.advanced
    assert section.content().isHidden() and not section.editors and section.options == {}
    assert section.fold.text() == "Advanced" and section.defaults.isHidden()
    assert not section._reader.running, "nothing is asked for before it is unfolded"


def test_folded_it_needs_no_torch():
    code = (
        "import sys; from qtpy.QtWidgets import QApplication; app = QApplication([]); "
        "from napari_restore.gui.restore.advanced import Advanced; section = Advanced(); "
        "section.fold.setChecked(True); "
        "assert section.editors; section.fold.setChecked(False); section.show_method('posterior'); "
        "sys.exit('torch' in sys.modules)"
    )
    env = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    assert subprocess.run([sys.executable, "-c", code], check=False, env=env).returncode == 0


def test_each_method_has_its_rows(qtbot, widget):
    for method in (*DENOISING, "auto"):
        editors = unfold(qtbot, widget, method)
        own = [setting.name for setting in settings_of(method)] if method != "auto" else []
        own = [name for name in own if name != "dimensions"]  # it is the row "Z axis", in sight where there is one
        assert list(editors) == [setting.name for setting in offered()] + own, method
        assert all(editor.native.isVisibleTo(widget) and editor.native.toolTip() for editor in editors.values())
        assert widget.form.advanced.options == {}


def test_nothing_is_passed_on_that_is_not_changed(qtbot, widget, engine):
    unfold(qtbot, widget, "noise2void")
    ran(qtbot, widget)
    assert engine.calls == [("denoise", {"method": "noise2void"})]


def test_what_is_changed_arrives_and_nothing_else(qtbot, widget, engine):
    editors = unfold(qtbot, widget, "noise2void")
    editors["masked"].setValue(0.05)
    editors["seconds"].setValue(12.5)
    editors["sampler"].native.setCurrentIndex(1)
    assert widget.form.advanced.fold.text() == "Advanced · 3 changed"
    widget.form.advanced.fold.setChecked(False)
    assert widget.form.advanced.content().isHidden() and widget.form.advanced.fold.text() == "Advanced · 3 changed"
    ran(qtbot, widget)
    asked = {"method": "noise2void", "masked": 0.05, "seconds": 12.5, "sampler": "uniform"}
    assert engine.calls == [("denoise", asked)]
    widget.form.advanced.defaults.click()
    assert widget.form.advanced.fold.text() == "Advanced" and widget.form.advanced.defaults.isHidden()
    ran(qtbot, widget)
    assert engine.calls[1] == ("denoise", {"method": "noise2void"})


def test_the_options_of_another_method_are_forgotten(qtbot, widget):
    editors = unfold(qtbot, widget, "noise2void")
    editors["masked"].setValue(0.05)
    editors["seed"].native.setValue(3)
    widget.form.editors["method"].choose("posterior")
    assert widget.form.advanced.options == {"seed": 3}, "the training's stay: they hold for every method"
    qtbot.waitUntil(lambda: "noise" in widget.form.advanced.editors, timeout=60_000)
    assert "masked" not in widget.form.advanced.editors and widget.form.advanced.options == {"seed": 3}
    widget.form.editors["method"].choose("noise2void")
    assert widget.form.advanced.options == {"seed": 3} and widget.form.advanced.editors["width"].text() == "from effort"
    assert widget.form.advanced.fold.text() == "Advanced · 1 changed"


def test_methods_chosen_while_it_looks_are_caught_up_with(qtbot, widget):
    widget.form.advanced.fold.setChecked(True)
    for method in ("noise2void", "posterior", "zero_shot"):
        widget.form.editors["method"].choose(method)
    qtbot.waitUntil(lambda: "consistency" in widget.form.advanced.editors, timeout=60_000)
    assert "masked" not in widget.form.advanced.editors and widget.form.advanced.words.isHidden()


def test_what_cannot_be_found_out_is_said(qtbot, widget, monkeypatch):
    def fail(method):
        raise RestoreError("there is no such thing.")

    monkeypatch.setattr(advanced, "settings_of", fail)
    widget.form.editors["method"].choose("noise2void")
    widget.form.advanced.fold.setChecked(True)
    qtbot.waitUntil(lambda: widget.form.advanced.words.text() == "there is no such thing.", timeout=5000)
    assert set(widget.form.advanced.editors) == {setting.name for setting in offered()}


def test_options_can_be_looked_at_but_not_changed_during_a_run(qtbot, widget, engine):
    engine.steps, engine.pause = 10_000, 0.005
    editors = unfold(qtbot, widget)
    widget.run()
    assert not editors["seed"].native.isEnabled() and widget.form.advanced.fold.isEnabled()
    widget.session.stop()
    qtbot.waitUntil(lambda: not widget.session.runner.running, timeout=10_000)
    assert editors["seed"].native.isEnabled()


@pytest.mark.parametrize("method", ["struct_noise2void", "zero_shot", "auto"])
def test_nothing_is_wider_than_a_small_dock(qtbot, viewer, engine, method):
    widget = RestoreWidget(viewer, engine=engine)
    qtbot.addWidget(widget)
    widget.resize(400, 700)
    widget.show()
    editors = unfold(qtbot, widget, method)
    qtbot.wait(50)
    assert widget.width() == 400
    room = widget._scroll.viewport()
    for editor in editors.values():
        corner = editor.native.mapTo(room, editor.native.rect().bottomRight())
        assert editor.native.isVisible() and editor.native.width() > 60 and corner.x() < room.width()
    widget.leave()


def test_a_script_and_a_command_hold_what_is_changed(qtbot, viewer, widget, tmp_path):
    path = tmp_path / "raw.tif"
    path.touch()
    viewer.layers["raw"].metadata["napari_restore"] = {"path": str(path)}
    editors = unfold(qtbot, widget, "noise2void")
    editors["masked"].setValue(0.05)
    editors["seed"].native.setValue(7)
    call = next(node for node in ast.walk(ast.parse(copied(qtbot, widget, "script"))) if isinstance(node, ast.Call))
    given = {word.arg: ast.literal_eval(word.value) for word in call.keywords}
    assert given["masked"] == 0.05 and given["seed"] == 7 and given["method"] == "noise2void"
    assert not {"seconds", "width", "sampler"} & set(given)
    command = copied(qtbot, widget, "command")
    assert "--set masked=0.05" in command and "--seed 7" in command and command.count("--set") == 1


def copied(qtbot, widget, words: str) -> str:
    QApplication.clipboard().clear()
    widget.copy(words)
    qtbot.waitUntil(lambda: not widget._copier.running, timeout=10_000)
    return str(QApplication.clipboard().text())


def test_the_shell_cannot_set_several_numbers():
    with pytest.raises(RestoreError, match=r"cannot set factors.*copy as script"):
        as_command(ask("deblur", "a.tif", psf="gaussian:2", factors=(0.5, 0.75)))


# Options of the run.


def test_each_option_of_the_run_is_taken_by_its_verb(qtbot):
    for setting in offered():
        editor = field_of(setting)
        qtbot.addWidget(editor.native)
        assert editor.given is None, "unchanged, it is left alone"
        value = alter_option(editor, setting)
        assert asked(ask("denoise", "a.tif", **{setting.name: value})) == {setting.name: value}
        editor.reset()
        assert editor.given is None
        if isinstance(editor.native, QAbstractSpinBox):
            for bound in (setting.low, setting.high):
                editor.native.setValue(bound)
                ask("denoise", "a.tif", **({} if editor.given is None else {setting.name: editor.given}))


def alter_option(editor: Any, setting: Setting) -> Any:
    if setting.kind != "wholes":
        return alter(editor)
    editor.native.setText("32; 64,")
    assert editor.given == (32, 64) and all(type(each) is int for each in editor.given)
    return editor.given


@pytest.mark.parametrize("text", ["12, x", "0", "32.5, 64", "-3"])
def test_a_tile_that_is_none_is_said_before_anything_runs(qtbot, widget, text):
    editors = unfold(qtbot, widget)
    editors["tile"].native.setText(text)
    assert "write whole numbers from 1" in widget.form.wrong and not widget.buttons.run_button.isEnabled()


def test_a_tooltip_says_what_every_door_says(qtbot, widget):
    editors = unfold(qtbot, widget)
    for option in options_of("denoise"):
        if option.name in editors:
            assert editors[option.name].native.toolTip() == tip_of(option.text), option.name


def test_what_is_of_restoring_holds_for_a_model_too(qtbot, widget, engine):
    editors = unfold(qtbot, widget)
    editors["tile"].native.setText("32, 32")
    editors["unreadable"].native.setCurrentIndex(1)
    editors["steps"].setValue(7)
    widget.train()
    qtbot.waitUntil(lambda: not widget.session.runner.running, timeout=10_000)
    widget.restore()
    qtbot.waitUntil(lambda: not widget.session.runner.running, timeout=10_000)
    assert engine.calls[0] == ("train", {"steps": 7})
    assert engine.calls[1][1].items() >= {"tile": (32, 32), "unreadable": "fill"}.items()
    assert set(engine.calls[1][1]) == {"model", "tile", "unreadable"}


def test_a_small_learning_rate_is_shown_whole(qtbot):
    box = next(field_of(setting) for setting in offered() if setting.name == "learning_rate")
    qtbot.addWidget(box.native)
    box.setValue(2.5e-5)
    assert box.given == 2.5e-5 and box.text().replace(",", ".") == "0.000025"


def test_a_faster_copy_of_the_model_takes_its_place(qtbot, widget, engine):
    """With what is set of a training, and without what is set of restoring."""
    editors = unfold(qtbot, widget)
    editors["steps"].setValue(7)
    editors["unreadable"].native.setCurrentIndex(1)
    assert not widget.buttons._distill.isEnabled(), "there is no model yet"
    widget.train()
    qtbot.waitUntil(lambda: not widget.session.runner.running, timeout=60_000)
    teacher = widget.session.model
    widget.buttons._distill.trigger()
    qtbot.waitUntil(lambda: not widget.session.runner.running, timeout=60_000)
    assert engine.calls[-1] == ("distill", {"model": teacher, "steps": 7})
    assert widget.session.model is not teacher, "the copy is the one that restores now"


def test_rows_are_made_one_by_one_ahead_and_the_rest_when_it_is_unfolded(qtbot):
    section = advanced.Advanced()
    qtbot.addWidget(section)
    wanted = [setting.name for setting in offered()]
    section.prepare()
    assert not section.editors
    qtbot.waitUntil(lambda: len(section.editors) > 1, timeout=10_000)
    made = dict(section.editors)
    assert list(made) == wanted[: len(made)] and len(made) < len(wanted), "not all at once"
    section.expand()
    assert list(section.editors) == wanted and all(section.editors[name] is each for name, each in made.items())
    qtbot.wait(100)
    assert list(section.editors) == wanted and section.options == {}

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
from qtpy.QtWidgets import QApplication

from napari_restore import methods
from napari_restore.core.errors import RestoreError
from napari_restore.gui.restore import advanced
from napari_restore.gui.restore.advanced import TRAINING, Choice, Line, Number, Switch
from napari_restore.gui.restore.reproduce import as_command
from napari_restore.gui.restore.widget import RestoreWidget
from napari_restore.methods.settings import Setting, settings_of

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
        widget.method.choose(method)
    widget.advanced.fold.setChecked(True)
    qtbot.waitUntil(lambda: widget.advanced.words.isHidden() or widget.method.method == "auto", timeout=60_000)
    return widget.advanced.editors


def ran(qtbot, widget) -> None:
    widget.run()
    qtbot.waitUntil(lambda: not widget.session.runner.running, timeout=10_000)


def alter(editor: Any) -> Any:
    """Give an option another value, and give that value back."""
    if isinstance(editor, Number):
        editor.setValue(editor.maximum() if editor.value() != editor.maximum() else editor.minimum())
    elif isinstance(editor, Choice):
        editor.setCurrentIndex((editor.currentIndex() + 1) % editor.count())
    elif isinstance(editor, Switch):
        editor.toggle()
    else:
        editor.setText("0.5, 0.25" if "," in editor.text() else "vertical")
    return editor.given


# What can be set.


@pytest.mark.parametrize("method", [*DENOISING, *IMAGING])
def test_whatever_is_chosen_the_method_takes(qtbot, method):
    for setting in settings_of(method):
        if setting.name == "factor":
            continue
        editor = advanced._EDITORS[setting.kind](setting)
        qtbot.addWidget(editor)
        assert editor.given is None, "unchanged, it is left to the method"
        value = alter(editor)
        assert value is not None and getattr(methods.configure(method, {setting.name: value}), setting.name) == value
        editor.reset()
        assert editor.given is None
        if isinstance(editor, Number):
            for bound in (setting.low, setting.high):
                editor.setValue(bound)
                methods.configure(method, {} if editor.given is None else {setting.name: editor.given})


def test_what_the_effort_decides_is_told(qtbot, widget):
    editors = unfold(qtbot, widget, "noise2void")
    assert editors["width"].text() == editors["depth"].text() == "from effort"
    assert "quick 16, normal 16, thorough 32" in " ".join(editors["width"].toolTip().split())
    assert "effort" not in editors["masked"].toolTip()


# How it is set.


def test_a_number_left_alone_counts_from_where_it_would_start(qtbot):
    box = Number(Setting("width", "whole", 16, low=2, high=20, alone="from effort"))
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
    box = Number(Setting("seconds", "number", 60, low=0.1, high=100, alone="from effort"))
    qtbot.addWidget(box)
    box.setValue(0.1)
    box.stepDown()
    assert box.text() == "from effort" and box.given is None
    box.stepUp()
    assert box.given == 60


def test_a_number_between_the_words_and_the_least_is_the_least(qtbot):
    box = Number(Setting("noise", "number", 0, low=0, alone="auto"))
    qtbot.addWidget(box)
    for typed, value, shown in (("-.5", 0.0, "0"), ("0.25", 0.25, "0.25"), ("40", 40.0, "40")):
        box.selectAll()
        qtbot.keyClicks(box, typed.replace(".", box.locale().decimalPoint()))
        assert box.given == value, "at once"
        qtbot.keyClick(box, Qt.Key.Key_Return)
        assert box.given == value and box.text().replace(",", ".") == shown, "no noise is not the same as auto"


def test_a_number_can_be_typed_from_its_first_digit(qtbot):
    box = Number(Setting("seconds", "number", 60, low=2.5, high=100, alone="from effort"))
    qtbot.addWidget(box)
    box.selectAll()
    qtbot.keyClicks(box, "20")
    assert box.given == 20, "though 2 alone would be too small"


@pytest.mark.parametrize("text", ["0.5, x", "2", "0.5 nan", "-1,0.5"])
def test_numbers_in_a_line_are_checked(qtbot, text):
    line = Line(Setting("factors", "numbers", (0.75, 0.6), low=0.1, high=1))
    qtbot.addWidget(line)
    line.setText(text)
    with pytest.raises(RestoreError, match=r"factors '.*': write numbers from 0.1 to 1 .* such as 0.75, 0.6"):
        _ = line.given
    line.setText(" 0.5;0.25, ")
    assert line.given == (0.5, 0.25)
    line.clear()
    assert line.given is None


def test_the_wheel_scrolls_past_options(qtbot, widget):
    editors = unfold(qtbot, widget)
    widget.buttons.run_button.setFocus()
    for name in ("seed", "precision"):
        editor = editors[name]
        middle = QPointF(editor.rect().center())
        turn = QWheelEvent(
            middle, middle, QPoint(), QPoint(0, -120), Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase, False,
        )  # fmt: skip
        QApplication.sendEvent(editor, turn)
    assert widget.advanced.options == {}


# In the widget.


def test_it_is_folded_and_empty_at_first(widget):
    section = widget.advanced
    assert section.inside.isHidden() and not section.editors and section.options == {}
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
        assert list(editors) == [setting.name for setting in TRAINING] + own, method
        assert all(editor.isVisibleTo(widget) and editor.toolTip() for editor in editors.values())
        assert widget.advanced.options == {}


def test_nothing_is_passed_on_that_is_not_changed(qtbot, widget, engine):
    unfold(qtbot, widget, "noise2void")
    ran(qtbot, widget)
    assert engine.calls[0] == ("train", {"effort": "normal", "method": "noise2void"})


def test_what_is_changed_arrives_and_nothing_else(qtbot, widget, engine):
    editors = unfold(qtbot, widget, "noise2void")
    editors["masked"].setValue(0.05)
    editors["seconds"].setValue(12.5)
    editors["sampler"].setCurrentIndex(1)
    assert widget.advanced.fold.text() == "Advanced · 3 changed"
    widget.advanced.fold.setChecked(False)
    assert widget.advanced.inside.isHidden() and widget.advanced.fold.text() == "Advanced · 3 changed"
    ran(qtbot, widget)
    asked = {"effort": "normal", "method": "noise2void", "masked": 0.05, "seconds": 12.5, "sampler": "uniform"}
    assert engine.calls[0] == ("train", asked) and set(engine.calls[1][1]) == {"model", "output"}
    widget.advanced.defaults.click()
    assert widget.advanced.fold.text() == "Advanced" and widget.advanced.defaults.isHidden()
    ran(qtbot, widget)
    assert engine.calls[2] == ("train", {"effort": "normal", "method": "noise2void"})


def test_the_options_of_another_method_are_forgotten(qtbot, widget):
    editors = unfold(qtbot, widget, "noise2void")
    editors["masked"].setValue(0.05)
    editors["width"].setValue(8)
    editors["seed"].setValue(3)
    widget.method.choose("posterior")
    assert widget.advanced.options == {"seed": 3}, "the training's stay: they hold for every method"
    qtbot.waitUntil(lambda: "noise" in widget.advanced.editors, timeout=60_000)
    assert "masked" not in widget.advanced.editors and widget.advanced.options == {"seed": 3}
    widget.method.choose("noise2void")
    assert widget.advanced.options == {"seed": 3} and widget.advanced.editors["width"].text() == "from effort"
    assert widget.advanced.fold.text() == "Advanced · 1 changed"


def test_methods_chosen_while_it_looks_are_caught_up_with(qtbot, widget):
    widget.advanced.fold.setChecked(True)
    for method in ("noise2void", "posterior", "zero_shot"):
        widget.method.choose(method)
    qtbot.waitUntil(lambda: "consistency" in widget.advanced.editors, timeout=60_000)
    assert "masked" not in widget.advanced.editors and widget.advanced.words.isHidden()


def test_what_cannot_be_found_out_is_said(qtbot, widget, monkeypatch):
    def fail(method):
        raise RestoreError("there is no such thing.")

    monkeypatch.setattr(advanced, "settings_of", fail)
    widget.method.choose("noise2void")
    widget.advanced.fold.setChecked(True)
    qtbot.waitUntil(lambda: widget.advanced.words.text() == "there is no such thing.", timeout=5000)
    assert set(widget.advanced.editors) == {setting.name for setting in TRAINING}


def test_options_can_be_looked_at_but_not_changed_during_a_run(qtbot, widget, engine):
    engine.steps, engine.pause = 10_000, 0.005
    editors = unfold(qtbot, widget)
    widget.run()
    assert not editors["seed"].isEnabled() and widget.advanced.fold.isEnabled()
    widget.session.stop()
    qtbot.waitUntil(lambda: not widget.session.runner.running, timeout=10_000)
    assert editors["seed"].isEnabled()


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
        corner = editor.mapTo(room, editor.rect().bottomRight())
        assert editor.isVisible() and editor.width() > 60 and corner.x() < room.width()
    widget.leave()


def test_a_script_and_a_command_hold_what_is_changed(qtbot, viewer, widget, tmp_path):
    path = tmp_path / "raw.tif"
    path.touch()
    viewer.layers["raw"].metadata["napari_restore"] = {"path": str(path)}
    editors = unfold(qtbot, widget, "noise2void")
    editors["masked"].setValue(0.05)
    editors["seed"].setValue(7)
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
        as_command("deblur", "a.tif", {"psf": "gaussian:2", "factors": (0.5, 0.75)})

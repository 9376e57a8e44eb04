"""With the keyboard alone, and read out: each control has a name, Escape cancels, the focus is where one goes on."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLabel,
    QLineEdit,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QScrollBar,
    QShortcut,
    QTableView,
    QTextEdit,
    QWidget,
)

from napari_restore.gui.restore.editors import EDITORS
from napari_restore.gui.tabs import MainWidget

CONTROLS = (
    QAbstractButton, QAbstractSlider, QAbstractSpinBox, QComboBox, QLineEdit, QProgressBar, QTableView, QTextEdit,
)  # fmt: skip


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def widget(viewer, engine, stack):
    viewer.add_image(stack, name="raw")
    widget = MainWidget(viewer, engine=engine)
    viewer.window.add_dock_widget(widget, name="Restore")
    return widget


def nameless(page: QWidget) -> list[str]:
    """Controls that a screen reader has no words for; a button's own words are its name."""
    return [
        f"{type(control).__name__} in {type(control.parentWidget()).__name__}: {control.toolTip()}"
        for control in page.findChildren(QWidget)
        if isinstance(control, CONTROLS)
        and not isinstance(control, QScrollBar)
        and not control.objectName().startswith("qt_")  # parts of Qt's own boxes and tables
        and not (control.accessibleName() or any(c.isalpha() for c in getattr(control, "text", str)()))
    ]


def test_each_control_has_a_name(qtbot: Any, widget: Any) -> None:
    widget.restore.form.advanced.fold.setChecked(True)
    for method in ("auto", "noise2void2"):
        widget.restore.form.editors["method"].choose(method)
        qtbot.waitUntil(lambda: not widget.restore.form.advanced._reader.running, timeout=20_000)
        assert nameless(widget) == []
    assert widget.restore.form.effort.accessibleName() == "Effort"
    assert widget.restore.form.rows.labels["noise"].buddy() is widget.restore.form.editors["noise"].line


def test_a_control_without_a_name_is_found(qtbot: Any) -> None:
    page = QWidget()
    qtbot.addWidget(page)
    box = QComboBox(page)
    assert nameless(page) == ["QComboBox in QWidget: "]
    box.setAccessibleName("Effort")
    assert nameless(page) == []


MENUS = set("FVLPDWHSC")
"""Of napari: Alt with one of these opens a menu, and D one for those who work on napari; S and C take screenshots."""


def test_letters_go_to_each_row_of_every_page(qtbot: Any, widget: Any) -> None:
    tabs = {QKeySequence.mnemonic(widget.tabText(index)).toString()[-1] for index in range(widget.count())}
    for index in range(widget.count()):
        widget.setCurrentIndex(index)
        page = widget.currentWidget()
        for verb in page.form.verb.buttons if index == 0 else [None]:
            if verb is not None:
                page.form.verb.choose(verb)
                rows = {name: label for name, label in page.form.rows.labels.items() if label.isVisibleTo(page)}
                without = {name for name, label in rows.items() if "&" not in label.text()}
                assert all(name == "dimensions" or EDITORS[name].key for name in without)
            used = letters_of(page)
            assert not set(used) & tabs, used
            assert len(used) > 6 and len(used) == len(set(used)) and not set(used) & (MENUS - {"D"}), used


def test_a_key_that_is_no_letter_of_its_label_is_told_in_the_tooltips(widget: Any) -> None:
    page = widget.restore
    page.form.subject.layer.axis_labels = ("z", "y", "x")
    told = set()
    for verb in page.form.verb.buttons:
        page.form.verb.choose(verb)
        rows = page.form.rows
        for name, label in rows.labels.items():
            for shortcut in rows.widgets[name].findChildren(QShortcut) if label.isVisibleTo(page) else ():
                key = shortcut.key().toString(QKeySequence.SequenceFormat.NativeText)
                told.add(key)
                for each in (label, rows.widgets[name]):
                    assert each.toolTip().endswith(f" ({key})") and each.toolTip().count(key) == 1, each.toolTip()
    assert told == {"Alt+5", "Alt+Shift+6", "Alt+Shift+Z"}


@pytest.mark.parametrize("image", [True, False])
def test_no_key_has_two_meanings(qtbot: Any, widget: Any, image: bool) -> None:
    """Of two in sight with the same key Qt takes none. A stack, or nothing open; all that can come into sight there."""
    widget.setCurrentIndex(0)
    page = widget.restore
    if image:
        page.form.subject.layer.axis_labels = ("z", "y", "x")
        page.outcome.preview.turn.show()
    else:
        page._viewer.layers.clear()
    for verb in page.form.verb.buttons:
        page.form.verb.choose(verb)
        seen = [each for each in page.findChildren(QWidget) if each.isVisibleTo(page)]
        keys = [each.key().toString() for each in page.findChildren(QShortcut) if each.parent() in seen]
        keys += [key for each in seen if isinstance(each, QAbstractButton) and (key := each.shortcut().toString())]
        keys += [key for each in seen if isinstance(each, QLabel) and (key := mnemonic(each))]
        assert sorted(keys) == sorted(set(keys)), verb


def mnemonic(label: QLabel) -> str:
    return QKeySequence.mnemonic(label.text()).toString() if label.buddy() is not None else ""


BY_TAB = {"Cancel", "…", "Advanced", "Details", "Runs", "Defaults"}
"""Escape is Cancel's key; the others stand beside or below what has a letter."""


def test_each_button_has_a_key_of_its_own(qtbot: Any, seen: Any) -> None:
    for index in range(seen.count()):
        seen.setCurrentIndex(index)
        page = seen.currentWidget()
        buttons = [each for each in page.findChildren(QPushButton) if each.isVisibleTo(page)]
        keys = {each.text().replace("&", ""): each.shortcut().toString() for each in buttons}
        assert {words for words, key in keys.items() if not key} <= BY_TAB
        given = [key for key in keys.values() if key]
        assert len(given) == len(set(given)), given
    seen.setCurrentIndex(0)
    page = seen.restore
    bar = page._scroll.verticalScrollBar()
    bar.setMaximum(100)
    for number, verb in enumerate(page.form.verb.buttons, start=1):
        bar.setValue(50)
        qtbot.keyClick(seen.window(), str(number), Qt.KeyboardModifier.AltModifier)
        qtbot.waitUntil(lambda verb=verb: page.form.verb.verb == verb, timeout=2000)
        assert bar.value() == 0 or number == 1, "what the verb asks for is in sight"
        assert f"Alt+{number}" in page.form.verb.buttons[verb].toolTip()
    qtbot.keyClick(seen.window(), "3", Qt.KeyboardModifier.AltModifier)
    qtbot.waitUntil(lambda: page.form.verb.verb == "deblur", timeout=2000)
    qtbot.keyClick(seen.window(), "5", Qt.KeyboardModifier.AltModifier)
    psf = page.form.editors["psf"]
    qtbot.waitUntil(lambda: (psf.focusProxy() or psf).hasFocus(), timeout=2000)
    qtbot.keyClick(seen.window(), "1", Qt.KeyboardModifier.AltModifier)
    qtbot.waitUntil(lambda: page.form.verb.verb == "denoise", timeout=2000)
    qtbot.keyClick(seen.window(), Qt.Key.Key_Return, Qt.KeyboardModifier.AltModifier)
    qtbot.waitUntil(lambda: page.session.result is not None, timeout=10_000)
    qtbot.keyClick(seen.window(), "0", Qt.KeyboardModifier.AltModifier)
    qtbot.waitUntil(lambda: page.session.runner.running, timeout=2000)
    page.stop()
    qtbot.waitUntil(lambda: not page.session.runner.running, timeout=10_000)
    for key, mode in (("m", "off"), ("u", "curtain"), ("k", "blink"), ("o", "off")):
        qtbot.keyClick(seen.window(), key, Qt.KeyboardModifier.AltModifier)
        qtbot.waitUntil(lambda mode=mode: seen.currentIndex() == 2 and seen.compare.mode == mode, timeout=2000)


def letters_of(page: QWidget) -> list[str]:
    """The letters in sight on a page, in any order."""
    found = []
    for each in page.findChildren(QWidget):
        if each.isVisibleTo(page) and isinstance(each, QAbstractButton | QLabel):
            found += [QKeySequence.mnemonic(each.text()).toString()[-1:]] if "&" in each.text() else []
    return [letter for letter in found if letter]


@pytest.fixture
def seen(make_napari_viewer_proxy, engine, stack, qtbot):
    """In a window on the screen: Qt gives no focus to others."""
    viewer = make_napari_viewer_proxy(show=True)
    viewer.add_image(stack, name="raw")
    widget = MainWidget(viewer, engine=engine)
    viewer.window.add_dock_widget(widget, name="Restore")
    widget.window().activateWindow()
    qtbot.waitUntil(lambda: widget.restore.isVisible() and widget.window().isActiveWindow(), timeout=5000)
    return widget


def test_escape_cancels_and_the_focus_comes_back(qtbot: Any, seen: Any, engine: Any) -> None:
    page, engine.steps = seen.restore, 10_000
    page.buttons.run_button.setFocus()
    qtbot.keyClick(page.buttons.run_button, Qt.Key.Key_Space)
    assert page.session.runner.running and page.buttons.stop_button.hasFocus()
    qtbot.waitUntil(lambda: bool(page.outcome.plot.traces["training"].steps), timeout=5000)
    qtbot.keyClick(page.buttons.stop_button, Qt.Key.Key_Escape)
    assert page.session.runner.stopping and page.buttons.stop_button.text() == "Cancelling…"
    qtbot.waitUntil(lambda: not page.session.runner.running, timeout=10_000)
    assert page.buttons.run_button.hasFocus() and page.session.model is not None
    qtbot.keyClick(page.buttons.run_button, Qt.Key.Key_Escape)
    assert not page.session.runner.running and page.buttons.words.text() == "Stopped", "nothing to cancel"

    canvas, engine.steps = seen.window().centralWidget(), 5
    canvas.setFocus()
    page.run()
    assert canvas.hasFocus(), "the canvas keeps it"
    qtbot.waitUntil(lambda: not page.session.runner.running, timeout=10_000)
    assert canvas.hasFocus()


def test_tab_goes_down_the_page_also_through_what_is_made_late(qtbot: Any, seen: Any) -> None:
    form = seen.restore.form
    form.verb.choose("deblur")
    form.editors["psf"].kind.setCurrentIndex(form.editors["psf"].kind.findData("theory"))
    form.effort.setCurrentIndex(form.effort.findData("normal"))
    form.advanced.fold.click()
    qtbot.waitUntil(lambda: not form.advanced.words.isVisible(), timeout=30_000)  # the method's own rows
    at, places = form.presets, []
    while at is not form.place:
        at = at.nextInFocusChain()
        if at.isVisible() and at.isEnabled() and at.focusPolicy() & Qt.FocusPolicy.TabFocus and not at.focusProxy():
            places.append((at.mapTo(form, at.rect().center()).y(), type(at).__name__, at.accessibleName()))
        assert at is not form.presets, "the last row is never reached"
    heights = [height for height, *_ in places]
    assert len(places) > 20 and all(after > before - 8 for before, after in pairwise(heights)), places


def test_what_is_unfolded_is_scrolled_into_view(qtbot: Any, seen: Any) -> None:
    page = seen.restore
    seen.window().resize(1024, 600)
    page.run()
    qtbot.waitUntil(lambda: not page.session.runner.running, timeout=10_000)
    runs, view = page.outcome.runs, page._scroll.viewport()
    page._scroll.verticalScrollBar().setValue(0)
    assert runs.mapTo(page._scroll.widget(), QPoint(0, 0)).y() > view.height() - 60, "else there is nothing to scroll"
    runs.fold.click()

    def whole() -> bool:
        top = runs.mapTo(view, QPoint(0, 0)).y()
        return runs.inside.height() > 40 and top >= 0 and top + runs.height() <= view.height()

    qtbot.waitUntil(whole, timeout=5000)


def test_options_that_are_unfolded_are_in_sight_down_to_their_last_line(qtbot: Any, seen: Any) -> None:
    page = seen.restore
    seen.window().resize(1180, 960)
    qtbot.wait(100)
    advanced, view = page.form.advanced, page._scroll.viewport()
    advanced.fold.click()
    page._scroll_to(advanced)  # as the timer does where it comes before what is to be laid out
    top = advanced.mapTo(view, QPoint(0, 0)).y()
    assert advanced.words.isVisible() and advanced.height() > 300
    assert top >= 0 and top + advanced.height() <= view.height()


def test_whoever_works_elsewhere_is_told_at_the_end(qtbot: Any, seen: Any, monkeypatch: Any) -> None:
    told: list[str] = []
    monkeypatch.setattr(QApplication, "alert", lambda *_: told.append("over"))
    page = seen.restore
    for active, count in ((True, 0), (False, 1)):
        monkeypatch.setattr(page, "isActiveWindow", lambda active=active: active)
        page.run()
        qtbot.waitUntil(lambda: not page.session.runner.running, timeout=10_000)
        assert len(told) == count


def test_a_small_screen_has_every_button(qtbot: Any, seen: Any) -> None:
    """1024 x 600: each button in sight, or in an area that scrolls to it."""
    window = seen.window()
    window.resize(1024, 600)
    qtbot.waitUntil(lambda: window.height() <= 600 and window.width() <= 1024, timeout=5000)
    form = seen.restore.form
    form.extent.choose("span")
    qtbot.wait(100)
    assert form.minimumSizeHint().width() < seen.restore.width(), "and nothing of the form is cut off at the right"
    words = seen.restore.buttons.words
    seen.restore.buttons.show_words("Draw a rectangle in the layer region to restore, then start. " * 2)
    qtbot.waitUntil(lambda: words.height() >= words.heightForWidth(words.width()) > 20, timeout=5000)
    for index in range(seen.count()):
        seen.setCurrentIndex(index)
        qtbot.wait(50)
        assert window.height() <= 600 and window.width() <= 1024, f"{seen.tabText(index)} makes the window larger"
        page = seen.currentWidget()
        for button in page.findChildren(QAbstractButton):
            if not button.isVisibleTo(page) or scrolls(button, page):
                continue
            corner = button.mapTo(window, button.rect().bottomRight())
            assert 0 < corner.x() <= 1024 and 0 < corner.y() <= 600, f"{button.text()} at {corner}"
            assert button.height() >= 16 and button.width() >= 16, button.text()


def scrolls(widget: QWidget, page: QWidget) -> bool:
    """Whether a widget lies in an area that scrolls."""
    while widget is not page:
        widget = widget.parentWidget()
        if isinstance(widget, QScrollArea):
            return True
    return False

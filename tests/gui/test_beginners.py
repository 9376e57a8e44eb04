"""For those who are new: hints, presets, a page of the docs beside each box, and a sample whose truth is known."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtGui import QDesktopServices, QKeySequence, QShortcut
from qtpy.QtWidgets import QApplication, QInputDialog

from napari_restore.gui.parts.pages import DOCS, PAGES
from napari_restore.gui.parts.question import Question
from napari_restore.gui.restore.editors import EDITORS
from napari_restore.gui.tabs import MainWidget, Preferences
from napari_restore.methods import METHODS
from napari_restore.verbs.presets import PRESETS

TOP = Path(__file__).parents[2]


@pytest.fixture
def viewer(make_napari_viewer_proxy: Any) -> Any:
    return make_napari_viewer_proxy()


@pytest.fixture
def main(viewer: Any, engine: Any) -> Any:
    main = MainWidget(viewer, engine=engine, preferences=Preferences())
    viewer.window.add_dock_widget(main, name="Restore")
    return main


def slug(heading: str) -> str:
    return re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-")


def test_every_page_and_every_place_on_it_is_there() -> None:
    assert DOCS.replace("/blob/", "/tree/").rstrip("/") in (TOP / "pyproject.toml").read_text()
    for page in PAGES.values():
        file, _, place = page.partition("#")
        headings = re.findall(r"^#+ (.+)$", (TOP / "docs" / file).read_text(), re.MULTILINE)
        assert not place or place in {slug(heading) for heading in headings}, page


def test_a_question_beside_each_box_opens_its_page(main: Any, monkeypatch: Any) -> None:
    opened: list[str] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", lambda url: opened.append(url.toString()))
    rows = main.restore.form.rows
    assert set(rows.questions) == set(rows.widgets) >= set(EDITORS)
    rows.questions["effort"].click()
    assert opened == [DOCS + PAGES["effort"]]
    assert rows.questions["psf"].isHidden() and not rows.questions["method"].isHidden()
    main.restore.form.verb.choose("deblur")
    assert not rows.questions["psf"].isHidden() and rows.questions["method"].isHidden()
    (key,) = (each for each in main.restore.form.findChildren(QShortcut) if each.key() == QKeySequence("F1"))
    monkeypatch.setattr(QApplication, "focusWidget", lambda: main.restore.form.editors["psf"].kind)
    key.activated.emit()
    assert opened[1:] == [DOCS + PAGES["psf"]]
    for page in (main.batch, main.compare):
        assert len(page.findChildren(Question)) >= 5
    assert all(each.accessibleName() for each in main.findChildren(Question))


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_sets_what_it_says(viewer: Any, main: Any, stack: Any, name: str) -> None:
    viewer.add_image(stack, name="raw")
    form, chosen = main.restore.form, PRESETS[name].chosen
    assert chosen.get("method", "auto") in ("auto", *METHODS)
    form.presets.setCurrentIndex(form.presets.findText(name))
    form.presets.activated.emit(form.presets.currentIndex())
    assert chosen.items() <= form.chosen.items() and form.presets.currentText() == name
    request = form.request()
    assert request is not None and request.verb == chosen["verb"], "it can be run as it is"
    form.effort.setCurrentIndex(form.effort.findData("thorough"))
    assert form.presets.currentText() == "As set below"


def test_presets_of_ones_own_are_kept_and_forgotten(viewer: Any, main: Any, engine: Any, monkeypatch: Any) -> None:
    form = main.restore.form
    form.verb.choose("super_resolve")
    form.editors["factor"].take(3)
    monkeypatch.setattr(QInputDialog, "getText", lambda *_: ("mine", True))
    form.presets.setCurrentText("Keep these settings…")
    form.presets.activated.emit(form.presets.currentIndex())
    assert form.presets.currentText() == "mine"
    other = MainWidget(viewer, engine=engine, preferences=Preferences())
    later = other.restore.form
    assert later.verb.verb == "denoise"
    later.presets.setCurrentText("mine")
    later.presets.activated.emit(later.presets.currentIndex())
    assert later.verb.verb == "super_resolve" and later.editors["factor"].value == 3
    monkeypatch.setattr(QInputDialog, "getItem", lambda *_, **__: ("mine", True))
    later.presets.setCurrentText("Forget this preset")
    later.presets.activated.emit(later.presets.currentIndex())
    assert later.presets.findText("mine") < 0 and later.presets.own == {}
    other.leave()


def test_hints_lead_through_the_first_run_to_the_true_gain(qtbot: Any, viewer: Any, main: Any, engine: Any) -> None:
    """The engine of the tests adds 1 to each pixel: far from the truth by hardly less than the image itself."""
    page = main.restore
    assert "New here" in page.hint.words.text() and page.hint.isVisibleTo(page)
    page.hint.sample_button.click()
    assert [layer.name for layer in viewer.layers] == ["tissue z-stack truth", "tissue z-stack"]
    assert page.form.subject.layer.name == "tissue z-stack" and page.hint.sample_button.isHidden()
    page.run()
    qtbot.waitUntil(lambda: "in truth" in page.buttons.words.text(), timeout=20_000)
    truth, raw = (np.asarray(layer.data, float) for layer in (viewer.layers[0], viewer.layers[1]))
    gain = 10 * np.log10(np.square(raw - truth).mean() / np.square(raw + 1 - truth).mean())
    assert page.buttons.words.text() == f"Done, {gain:+.1f}\u00a0dB in truth"
    assert "curtain" in page.hint.words.text()
    page.hint.hide_button.click()
    page._show_state()
    assert page.hint.isHidden()
    other = MainWidget(viewer, engine=engine, preferences=Preferences())
    assert other.restore.hint.isHidden(), "the next time, too"
    other.leave()

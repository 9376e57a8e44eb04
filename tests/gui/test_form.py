"""The form: the verbs' rows make it, and what it says of an option is what is said of it everywhere."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from napari_restore import gui
from napari_restore.gui import commands
from napari_restore.gui.parts.describe import tip_of
from napari_restore.gui.restore.doors import EDITED, IN_THE_WINDOW
from napari_restore.gui.restore.editors import EDITORS
from napari_restore.gui.restore.offered import OFFERED
from napari_restore.gui.restore.verbs import SHOWN
from napari_restore.gui.restore.widget import RestoreWidget
from napari_restore.gui.restore.work import Engine, package_engine
from napari_restore.operators import psf as psfs
from napari_restore.verbs import VERBS
from napari_restore.verbs.request import Request, options_of, own_of


@pytest.fixture
def widget(make_napari_viewer_proxy, stack, engine):
    viewer = make_napari_viewer_proxy()
    viewer.add_image(stack, name="raw", axis_labels=("z", "y", "x"))
    widget = RestoreWidget(viewer, engine=engine)
    viewer.window.add_dock_widget(widget, name="Restore")
    return widget


def test_the_window_knows_no_verb_by_its_name():
    folder = Path(inspect.getfile(gui)).parent  # to denoise is an option of another verb, too
    for file in folder.rglob("*.py"):
        texts = {node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant)}
        assert not texts & (set(SHOWN) - set(EDITORS)), f"{file.name}: what a verb has and does is in its row"


def test_the_menus_open_every_verb_that_has_a_button():
    assert all(callable(getattr(commands, f"open_{verb}")) for verb in SHOWN)


@pytest.mark.parametrize("verb", SHOWN)
def test_a_verb_shows_the_editors_of_its_own_options_with_the_one_text_of_each(widget, verb):
    form = widget.form
    form.verb.choose(verb)
    options = {option.name: option for option in options_of(verb)}
    own = set(own_of(VERBS[verb]).__dataclass_fields__)
    for name, editor in form.editors.by_name.items():
        assert editor.isHidden() is not (name in own and editor.suits(VERBS[verb]))
    for name in (*[name for name in EDITORS if not form.editors[name].isHidden()], "effort", "axes"):
        label, editor = form.rows.labels[name], form.rows.widgets[name]
        text = tip_of(options[name].text)
        assert label.toolTip() == editor.toolTip() and text != ""
        assert re.fullmatch(re.escape(text) + r"( \(Alt\+(Shift\+)?\w\))?", editor.toolTip())  # some tell their key
    for name in ("region", "output"):
        assert form.rows.labels[name].toolTip() == tip_of(options[name].text)


@pytest.mark.parametrize("verb", SHOWN)
def test_whatever_is_in_sight_makes_a_request_of_the_verb(widget, verb):
    widget.form.verb.choose(verb)
    request = widget.form.request()
    assert isinstance(request, Request) and request.verb == verb and request.image.name == "raw"


def test_every_engine_takes_what_the_window_gives(engine, brief):
    """What tests bring, and the package, have the signatures of the protocol."""
    for each in (engine, brief(), package_engine()):
        for name, wanted in inspect.getmembers(Engine, inspect.isfunction):
            if not name.startswith("_"):
                given = [parameter for parameter in inspect.signature(wanted).parameters if parameter != "self"]
                assert list(inspect.signature(getattr(each, name)).parameters) == given, name


def test_the_package_takes_what_the_window_gives():
    from napari_restore.judging.undone import each_baseline
    from napari_restore.verbs.cost import estimate
    from napari_restore.verbs.run import run

    assert list(inspect.signature(run).parameters) == list(inspect.signature(package_engine().run).parameters)
    assert list(inspect.signature(estimate).parameters) == list(inspect.signature(package_engine().estimate).parameters)
    inspect.signature(each_baseline).bind(object(), object(), object(), stopping=bool)


def test_a_picture_of_beads_is_read_for_the_estimate_too(qtbot, widget, engine, monkeypatch):
    picture = np.zeros((31, 31))
    picture[9:22, 9:22] = 1000 * psfs.gaussian(2)
    raw = widget.form.subject.layer
    widget._viewer.add_image(picture, name="beads")
    widget.form.subject.layers.choose(raw)
    widget.form.verb.choose("deblur")
    psf = widget.form.editors["psf"]
    psf.kind.setCurrentIndex(psf.kind.findData("beads"))
    psf.beads.radius.setValue(0)
    psf.beads.layers.choose(widget._viewer.layers["beads"])
    before = widget.form.request()
    assert not isinstance(before.own.psf, np.ndarray), "nothing is read in the GUI thread"
    qtbot.waitUntil(lambda: bool(engine.estimated) and "psf" in engine.estimated[-1][1], timeout=10_000)
    assert isinstance(engine.estimated[-1][1]["psf"], np.ndarray)


# What is written of the window, and the window.


def test_what_is_written_of_the_window_is_what_it_has(widget):
    assert set(EDITED) == set(EDITORS)
    form = widget.form
    form.advanced.fold.setChecked(True)
    around = set(form.rows.labels) - set(EDITORS) - {"layer", "preset", "dimensions"}  # the last is the method's
    for verb in SHOWN:
        form.verb.choose(verb)
        shown = set(form.editors.shown) | around | set(OFFERED)
        assert shown <= IN_THE_WINDOW[verb]
        elsewhere = {"second", "target", "model", "save_model", "device", "memory_share", "report"}
        assert IN_THE_WINDOW[verb] - shown <= elsewhere | {"thickness"}  # among the settings of finer planes
        assert ("method" in form.editors.shown) == ({"second", "target"} <= IN_THE_WINDOW[verb])

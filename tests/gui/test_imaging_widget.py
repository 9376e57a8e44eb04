"""The widget for super-resolving and deblurring: what is in sight, what the verbs are called with, what is shown."""

from __future__ import annotations

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDockWidget, QDoubleSpinBox, QFileDialog

from napari_restore.core.errors import ImageError
from napari_restore.core.events import Preview
from napari_restore.core.region import Region
from napari_restore.gui.restore.preview import Look
from napari_restore.gui.restore.verbs import SHOWN
from napari_restore.gui.restore.widget import RestoreWidget
from napari_restore.gui.restore.work import Pair
from napari_restore.operators import psf as psfs
from napari_restore.verbs import VERBS

PLACE = {"scale": (3.0, 0.1, 0.1), "translate": (5, 6, 7), "units": ("um",) * 3, "axis_labels": ("z", "y", "x")}


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


@pytest.fixture
def raw(viewer, stack):
    return viewer.add_image(stack, name="raw", contrast_limits=(60, 150), **PLACE)


@pytest.fixture
def widget(viewer, raw, engine):
    widget = RestoreWidget(viewer, engine=engine)
    viewer.window.add_dock_widget(widget, name="Restore")
    return widget


def wait(qtbot, widget):
    qtbot.waitUntil(lambda: not widget.session.runner.running, timeout=10_000)


def said(widget) -> str:
    return widget.outcome.messages.toPlainText()


def choose_psf(widget, kind):
    widget.form.editors["psf"].kind.setCurrentIndex(widget.form.editors["psf"].kind.findData(kind))
    return widget.form.editors["psf"].forms.get(kind)


def editor(widget, name):
    return widget.form.editors[name]


def in_sight(widget) -> set[str]:
    parts = {name: editor(widget, name) for name in ("factor", "psf", "noise")} | {"effort": widget.form.effort}
    return {name for name, part in parts.items() if not part.isHidden()}


def seen(qtbot, widget):
    """The kernel in the picture, once it is read."""
    qtbot.waitUntil(
        lambda: editor(widget, "psf").seen is not None and not editor(widget, "psf")._later.isActive(),
        timeout=5000,
    )
    return editor(widget, "psf").seen.kernel


def test_each_task_shows_its_settings(widget):
    assert in_sight(widget) == {"effort"} and widget.buttons.run_button.text() == "Denoise"
    widget.form.verb.buttons["super_resolve"].click()
    assert in_sight(widget) == {"factor", "psf", "noise", "effort"}
    assert widget.buttons.run_button.text() == "Super-resolve" and editor(widget, "psf").kind.currentData() == "none"
    widget.form.verb.buttons["deblur"].click()
    assert in_sight(widget) == {"psf", "noise", "effort"} and editor(widget, "psf").kind.findData("none") < 0
    assert "15 min" in widget.form.effort.itemText(3) and widget.form.effort.effort == "normal"
    widget.form.verb.choose("denoise")
    assert in_sight(widget) == {"effort"} and "10 min" in widget.form.effort.itemText(2)
    assert {name: button.text() for name, button in widget.form.verb.buttons.items()} == {
        name: VERBS[name].label for name in SHOWN
    }


def test_super_resolve_calls_the_verb_and_lies_over_the_raw_layer(qtbot, viewer, widget, raw, stack, engine):
    widget.form.verb.choose("super_resolve")
    editor(widget, "factor").box.setCurrentIndex(1)
    choose_psf(widget, "gaussian").boxes["std"].setValue(0.8)
    editor(widget, "noise").line.setText("12,5")
    widget.form.effort.setCurrentIndex(0)
    widget.buttons.run_button.click()
    wait(qtbot, widget)
    asked = {"factor": 3, "psf": "gaussian:0.8", "noise": 12.5, "effort": "quick"}
    assert engine.calls == [("super_resolve", asked)], said(widget)
    layer = viewer.layers["raw_superresolved"]
    assert layer.data.shape == (6, 80, 100) and layer.units == raw.units
    np.testing.assert_allclose(layer.scale, (3, 0.05, 0.05))
    np.testing.assert_allclose(layer.translate, (5, 5.975, 6.975))
    assert widget.buttons.words.text() == "Done" and not widget.outcome.preview.after.empty


def test_deblur_calls_the_verb(qtbot, viewer, widget, engine, tmp_path, monkeypatch):
    widget.form.verb.choose("deblur")
    form = choose_psf(widget, "motion")
    form.boxes["length"].setValue(7)
    form.boxes["angle"].setValue(30)
    widget.form.place.use(tmp_path)
    widget.run()
    wait(qtbot, widget)
    name, asked = engine.calls[0]
    assert name == "deblur" and asked["psf"] == "motion:7,30" and "noise" not in asked and "factor" not in asked
    assert asked["output"] == tmp_path / "raw_deblurred.ome.zarr" and "raw_deblurred" in viewer.layers


def test_the_advanced_options_are_those_of_the_method_that_works(qtbot, widget, engine):
    widget.form.verb.choose("super_resolve")
    section = widget.form.advanced
    section.fold.setChecked(True)
    qtbot.waitUntil(lambda: "weight" in section.editors, timeout=60_000)
    assert not {"psf", "factor", "noise", "sigma", "covariance"} & set(section.editors), "set elsewhere, or measured"
    section.editors["weight"].setValue(1.5)
    widget.form.verb.choose("deblur")
    assert section.options == {"weight": 1.5}, "the same method"
    section.editors["factors"].native.setText("0.5, abc")
    assert not widget.buttons.run_button.isEnabled() and "factors '0.5, abc'" in widget.buttons.run_button.toolTip()
    section.editors["factors"].native.setText("0.5, 0.8")
    choose_psf(widget, "gaussian").boxes["std"].setValue(2)
    widget.run()
    wait(qtbot, widget)
    asked = {"psf": "gaussian:2", "weight": 1.5, "factors": (0.5, 0.8)}
    assert engine.calls == [("deblur", asked)], said(widget)
    widget.form.verb.choose("super_resolve")
    editor(widget, "psf").kind.setCurrentIndex(editor(widget, "psf").kind.findData("none"))
    editor(widget, "factor").box.setCurrentIndex(editor(widget, "factor").box.findText("Z only"))
    assert section.options == {}, "planes become finer by a method of its own"
    qtbot.waitUntil(lambda: "thickness" in section.editors, timeout=60_000)
    assert "weight" not in section.editors
    choose_psf(widget, "gaussian")
    assert "weight" in section.editors, "along Z, with a PSF"


def test_only_stacks_can_be_finer_along_z(viewer, widget, engine, stack):
    widget.form.verb.choose("super_resolve")
    box = editor(widget, "factor").box
    assert box.itemText(box.count() - 1) == "Z only"
    box.setCurrentIndex(box.count() - 1)
    assert not editor(widget, "factor").planes.isHidden() and editor(widget, "factor").value == {"Z": 8}, (
        "as often as voxels are long"
    )
    editor(widget, "factor").planes.setValue(4)
    assert editor(widget, "factor").value == {"Z": 4}
    viewer.add_image(stack[0], name="flat")
    viewer.layers.selection.active = viewer.layers["flat"]
    assert (
        box.findText("Z only") < 0
        and editor(widget, "factor").value in (2, 3, 4)
        and editor(widget, "factor").planes.isHidden()
    )


@pytest.mark.parametrize(
    ("kind", "changes", "text"),
    [
        ("gaussian", {"std": 2.5}, "gaussian:2.5"),
        ("gaussian", {"std": 2, "z": 1.5}, "gaussian:1.5,2,2"),
        ("box", {"radius": 3}, "box:3"),
        ("motion", {"length": 5, "angle": -45}, "motion:5,-45"),
        ("theory", {"NA": 0.8, "wavelength": 0.6, "z": 0}, "theory:NA=0.8,wavelength=0.6,pixel=0.1,n=1.515"),
        ("theory", {"NA": 0.8}, "theory:NA=0.8,wavelength=0.52,pixel=0.1,n=1.515,z=3"),
        ("theory", {"z": 0.5}, "theory:NA=1.4,wavelength=0.52,pixel=0.1,n=1.515,z=0.5"),
        (
            "theory",
            {"mode": "confocal", "z": 0.5, "depth": 2},
            "theory:NA=1.4,wavelength=0.52,pixel=0.1,n=1.515,mode=confocal,pinhole=1,z=0.5,depth=2,ns=1.33",
        ),
        (
            "theory",
            {"mode": "lightsheet", "NA": 1, "z": 0},
            "theory:NA=1,wavelength=0.52,pixel=0.1,n=1.515,mode=lightsheet",
        ),
    ],
)
def test_the_picture_follows_the_numbers(qtbot, widget, kind, changes, text):
    widget.form.verb.choose("deblur")
    form = choose_psf(widget, kind)
    before = seen(qtbot, widget)
    for name, value in changes.items():
        box = form.boxes[name]
        box.setCurrentIndex(box.findData(value)) if name == "mode" else box.setValue(value)
    assert editor(widget, "psf").request.source == text
    expected = psfs.parse(text, ndim=3 if changes.get("z") or "z=" in text else 2)
    qtbot.waitUntil(lambda: editor(widget, "psf").seen.kernel is not before, timeout=5000)
    np.testing.assert_array_equal(editor(widget, "psf").seen.kernel, expected)
    assert not editor(widget, "psf").picture.empty and editor(widget, "psf").error == ""
    assert editor(widget, "psf").side_view.isHidden() == (expected.ndim == 2)
    assert str(expected.shape[-1]) in editor(widget, "psf").caption.text()


def test_the_pixel_of_the_theory_is_that_of_the_result(viewer, widget):
    widget.form.verb.choose("super_resolve")
    form = choose_psf(widget, "theory")
    assert form.boxes["pixel"].value() == pytest.approx(0.05)
    editor(widget, "factor").box.setCurrentIndex(2)
    assert form.boxes["pixel"].value() == pytest.approx(0.025)
    form.boxes["pixel"].setValue(0.07)
    editor(widget, "factor").box.setCurrentIndex(0)
    assert form.boxes["pixel"].value() == pytest.approx(0.07), "what the user has set stays"


def test_the_step_along_z_is_that_of_the_layer(viewer, widget, stack):
    widget.form.verb.choose("deblur")
    form = choose_psf(widget, "theory")
    assert form.boxes["z"].text() == "3.000 µm"
    fine = viewer.add_image(stack, name="fine", **{**PLACE, "scale": (0.4, 0.1, 0.1)})
    unknown = viewer.add_image(stack, name="unknown", axis_labels=PLACE["axis_labels"])
    widget.form.subject.layers.choose(fine)
    assert form.text.endswith(",z=0.4")
    widget.form.subject.layers.choose(unknown)
    assert form.boxes["z"].text() == "in focus", "the step of another layer says nothing of this one"
    form.boxes["z"].setValue(0.2)
    widget.form.subject.layers.choose(fine)
    assert form.text.endswith(",z=0.2"), "what the user has set stays"


def test_the_form_says_which_numbers_the_image_does_not_tell(qtbot, viewer, widget, stack):
    caption = editor(widget, "psf").caption
    widget.form.verb.choose("deblur")
    choose_psf(widget, "theory")
    seen(qtbot, widget)
    assert "image tells no size" not in caption.text()
    unknown = {"stack": stack, "plane": stack[0]}
    for name, labels in (("stack", "Pixel and Z step:"), ("plane", "Pixel:")):
        viewer.add_image(unknown[name], name=name)  # in pixels, as napari opens what says nothing
        widget.form.subject.layers.choose(viewer.layers[name])
        qtbot.waitUntil(lambda labels=labels: f"\n{labels} the image tells no size" in caption.text(), timeout=5000)
    choose_psf(widget, "gaussian")
    qtbot.waitUntil(lambda: "image tells no size" not in caption.text(), timeout=5000)  # its numbers are in pixels


OME = """<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">
<Instrument ID="I"><Objective ID="O" LensNA="1.2" Immersion="Water"/></Instrument>
<Image><InstrumentRef ID="I"/><ObjectiveSettings ID="O"/><Pixels><Channel EmissionWavelength="525"
ExcitationWavelength="488" AcquisitionMode="LaserScanningConfocalMicroscopy"/></Pixels></Image></OME>"""


def test_what_the_metadata_know_of_the_microscope_is_filled_in(qtbot, viewer, widget):
    stack = viewer.add_image(
        np.zeros((9, 64, 64), np.uint16), scale=(0.3, 0.08, 0.08), units="um", metadata={"ome": OME}
    )
    widget.form.verb.choose("deblur")
    form = choose_psf(widget, "theory")
    widget.form.subject.layers.choose(stack)
    known = "theory:NA=1.2,wavelength=0.488,pixel=0.08,n=1.33,mode=confocal,emission=0.525,pinhole=1,z=0.3"
    qtbot.waitUntil(lambda: editor(widget, "psf").request.source == known, timeout=5000)
    assert seen(qtbot, widget).ndim == 3 and not editor(widget, "psf").side_view.empty
    form.boxes["NA"].setValue(1.1)
    widget.form.subject.layers.choose(viewer.layers[0])
    assert form.boxes["NA"].value() == pytest.approx(1.1), "what the user has set stays"


def test_a_bad_psf_is_said_and_nothing_can_be_run(qtbot, widget, engine):
    widget.form.verb.choose("deblur")
    editor(widget, "psf").use("gausian:2")
    qtbot.waitUntil(lambda: bool(editor(widget, "psf").error), timeout=5000)
    assert "no such kind" in editor(widget, "psf").caption.text() and editor(widget, "psf").picture.empty
    assert not widget.buttons.run_button.isEnabled() and not widget.buttons.train_button.isEnabled()
    assert "no such kind" in widget.buttons.run_button.toolTip()
    widget.form.verb.choose("denoise")
    assert widget.buttons.run_button.isEnabled(), "denoising needs no PSF"
    widget.form.verb.choose("deblur")
    editor(widget, "psf").use("box:1")
    assert seen(qtbot, widget).shape == (3, 3) and widget.buttons.run_button.isEnabled()
    editor(widget, "psf").use(" ")
    assert not widget.buttons.run_button.isEnabled()
    widget.run()
    assert "for example gaussian:2" in said(widget) and engine.calls == []


def test_a_range_shows_the_middle_one(qtbot, widget):
    widget.form.verb.choose("deblur")
    editor(widget, "psf").use("gaussian:1..2")
    np.testing.assert_array_equal(seen(qtbot, widget), psfs.gaussian(1.5))
    assert "3 that are tried" in editor(widget, "psf").caption.text()


def test_a_psf_from_a_file(qtbot, widget, engine, tmp_path, monkeypatch):
    np.save(tmp_path / "psf.npy", psfs.gaussian(1.2))
    monkeypatch.setattr(QFileDialog, "getOpenFileName", lambda *_, **__: (str(tmp_path / "psf.npy"), ""))
    widget.form.verb.choose("deblur")
    choose_psf(widget, "file")
    assert not widget.buttons.run_button.isEnabled(), "no file is chosen"
    editor(widget, "psf").path.button.click()
    np.testing.assert_allclose(seen(qtbot, widget), psfs.from_pixels(psfs.gaussian(1.2)))
    widget.run()
    wait(qtbot, widget)
    assert engine.calls[0][1]["psf"] == tmp_path / "psf.npy"
    editor(widget, "psf").path.line.setText(str(tmp_path / "none.npy"))
    qtbot.waitUntil(lambda: bool(editor(widget, "psf").error), timeout=5000)
    assert "none.npy" in editor(widget, "psf").caption.text() and not widget.buttons.run_button.isEnabled()


def test_a_psf_from_beads(qtbot, viewer, widget, raw, engine):
    picture = np.zeros((64, 64))
    for row, column in ((15, 15), (15, 45), (45, 15), (45, 45)):
        picture[row - 6 : row + 7, column - 6 : column + 7] += 1000 * psfs.gaussian(2)
    viewer.add_image(picture, name="beads")
    widget.form.subject.layers.choose(raw)
    widget.form.verb.choose("deblur")
    choose_psf(widget, "beads")
    editor(widget, "psf").beads.layers.choose(viewer.layers["beads"])
    assert widget.form.subject.layers.layer.name == "raw", "one box does not move the other"
    kernel = seen(qtbot, widget)
    assert np.sqrt((kernel.sum(0) * (np.arange(kernel.shape[1]) - kernel.shape[1] // 2) ** 2).sum()) == pytest.approx(
        2, rel=0.1
    )
    widget.run()
    wait(qtbot, widget)
    np.testing.assert_allclose(engine.calls[0][1]["psf"], kernel)
    widget.train()
    wait(qtbot, widget)
    name, asked = engine.calls[1]
    assert name == "train" and asked["method"] == "scale_equivariant" and "factor" not in asked
    np.testing.assert_allclose(psfs.parse(asked["psf"]), kernel, atol=1e-6)


def test_the_estimate_is_put_into_the_box(qtbot, viewer, widget, engine):
    widget.form.verb.choose("deblur")
    assert editor(widget, "noise").value == "auto"
    editor(widget, "noise").button.click()
    assert editor(widget, "noise").estimating and not editor(widget, "noise").button.isEnabled()
    qtbot.waitUntil(lambda: not editor(widget, "noise").estimating, timeout=5000)
    assert engine.calls == [("estimate_noise", {"image": "raw"})] and editor(widget, "noise").value == 10.5
    assert "10 ± 0.5 (white)" in editor(widget, "noise").words.text() and editor(widget, "noise").button.isEnabled()
    engine.gain = 0.5
    editor(widget, "noise").button.click()
    qtbot.waitUntil(lambda: "auto takes it" in editor(widget, "noise").words.text(), timeout=5000)
    engine.raises = ImageError("too small to tell.")
    editor(widget, "noise").button.click()
    qtbot.waitUntil(lambda: "too small" in editor(widget, "noise").words.text(), timeout=5000)
    assert editor(widget, "noise").button.isEnabled()


def test_an_estimate_for_another_layer_is_dropped(qtbot, viewer, widget, engine, stack):
    widget.form.verb.choose("deblur")
    engine.pause = 0.3
    editor(widget, "noise").button.click()
    viewer.layers.selection.active = viewer.add_image(stack + 5, name="other")
    qtbot.waitUntil(lambda: not editor(widget, "noise").estimating, timeout=5000)
    assert editor(widget, "noise").value == "auto" and editor(widget, "noise").words.isHidden()


def test_an_estimate_is_forgotten_with_its_layer_and_a_number_is_not(qtbot, viewer, widget, stack):
    widget.form.verb.choose("deblur")
    editor(widget, "noise").button.click()
    qtbot.waitUntil(lambda: not editor(widget, "noise").estimating, timeout=5000)
    viewer.layers.selection.active = viewer.add_image(stack + 5, name="other")
    assert editor(widget, "noise").value == "auto" and editor(widget, "noise").words.isHidden()
    editor(widget, "noise").line.setText("7")
    viewer.layers.selection.active = viewer.layers["raw"]
    assert editor(widget, "noise").value == 7


def test_a_bad_noise_level_is_said(widget):
    widget.form.verb.choose("deblur")
    for text in ("much", "-3", "nan"):
        editor(widget, "noise").line.setText(text)
        assert not widget.buttons.run_button.isEnabled() and "write auto" in editor(widget, "noise").words.text()
    editor(widget, "noise").line.setText("0")
    assert widget.buttons.run_button.isEnabled() and editor(widget, "noise").value == 0


def test_train_only_knows_the_settings(qtbot, widget, engine):
    widget.form.verb.choose("super_resolve")
    widget.train()
    wait(qtbot, widget)
    config = {"method": "scale_equivariant", "factor": {"Y": 2, "X": 2}, "noise": "auto"}
    assert engine.calls == [("train", config)] and widget.session.model is not None
    editor(widget, "factor").box.setCurrentIndex(editor(widget, "factor").box.findText("Z only"))
    widget.train()
    wait(qtbot, widget)
    config = {"method": "finer_planes", "factor": {"Z": 8}, "noise": "auto"}
    assert engine.calls[1:] == [("train", config)]


def test_a_stop_while_training_keeps_the_model_of_every_verb(qtbot, viewer, widget, engine):
    engine.steps, engine.pause = 10_000, 0.005
    widget.form.verb.choose("super_resolve")
    widget.run()
    assert not widget.form.verb.isEnabled() and not editor(widget, "psf").isEnabled()
    qtbot.waitUntil(lambda: bool(widget.outcome.plot.traces["training"].steps), timeout=5000)
    widget.buttons.stop_button.click()
    wait(qtbot, widget)
    assert "The model as it is now is kept" in said(widget) and widget.buttons.words.text() == "Stopped"
    assert widget.session.model is not None and [layer.name for layer in viewer.layers] == ["raw"]
    assert widget.buttons.run_button.isEnabled() and widget.outcome.comparison.isHidden()


def test_baselines_are_shown_in_numbers_and_as_layers(qtbot, viewer, widget, raw, engine, stack):
    widget.form.verb.choose("super_resolve")
    widget.run()
    wait(qtbot, widget)
    table = widget.outcome.comparison.table
    assert [table.item(row, 0).text() for row in range(table.rowCount())] == ["learned", "richardson lucy"]
    assert table.item(0, 1).text() == "1.25" and table.item(0, 0).font().bold() and not table.item(1, 0).font().bold()
    viewer.dims.set_current_step(0, 4)
    widget.outcome.comparison.in_view.trigger()
    assert not widget.outcome.comparison.button.isEnabled()
    qtbot.waitUntil(lambda: "raw Wiener filter" in viewer.layers, timeout=5000)
    assert engine.calls[-1] == ("baselines", {"region": Region((4, 0, 0), (5, 40, 50))})
    fine, same = viewer.layers["raw Bicubic interpolation"], viewer.layers["raw Wiener filter"]
    assert viewer.layers[0].name == "raw" and viewer.layers[-1].name == "raw_superresolved"
    np.testing.assert_array_equal(same.data, stack[4:5])
    np.testing.assert_allclose(fine.scale, (3, 0.05, 0.05))
    np.testing.assert_allclose(fine.translate, (17, 5.975, 6.975))
    np.testing.assert_allclose(same.extent.world[:, 1:], raw.extent.world[:, 1:])
    assert tuple(fine.contrast_limits) == (60, 150) and widget.outcome.comparison.button.isEnabled()
    widget.outcome.comparison.whole.trigger()
    qtbot.waitUntil(lambda: len(viewer.layers) == 6, timeout=5000)
    assert engine.calls[-1][1]["region"] == Region((0, 0, 0), stack.shape)
    widget.form.verb.choose("denoise")
    widget.run()
    wait(qtbot, widget)
    assert widget.outcome.comparison.isHidden(), "denoising has no such baselines"


@pytest.mark.parametrize("kind", ["gaussian", "motion", "theory", "text", "file", "beads"])
def test_it_fits_a_small_screen_with_every_psf(qtbot, viewer, widget, kind):
    widget.setParent(None)
    fresh = RestoreWidget(viewer, engine=widget._engine)
    qtbot.addWidget(fresh)
    fresh.resize(400, 700)
    fresh.show()
    fresh.form.verb.choose("super_resolve")
    choose_psf(fresh, kind)
    qtbot.wait(400)
    assert fresh.width() == 400 and fresh.height() == 700
    for button in (fresh.buttons.run_button, fresh.buttons.stop_button, fresh.buttons.save_button):
        corner = button.mapTo(fresh, button.rect().bottomRight())
        assert corner.x() < 400 and corner.y() < 700 and button.isVisible()
    content = fresh._scroll.widget()
    assert content.minimumSizeHint().width() <= fresh._scroll.viewport().width(), "nothing is cut off at the right"
    fresh.leave()


@pytest.mark.parametrize("mode", ["confocal", "lightsheet"])
def test_the_words_in_the_boxes_of_a_microscope_are_whole(qtbot, make_napari_viewer_proxy, engine, stack, mode):
    """In napari's own style, whose buttons leave less room than others."""
    shown = make_napari_viewer_proxy(show=True)
    shown.add_image(stack, **PLACE)
    widget = RestoreWidget(shown, engine=engine)
    shown.window.add_dock_widget(widget, name="Restore")
    widget.form.verb.choose("deblur")
    boxes = choose_psf(widget, "theory").boxes
    boxes["mode"].setCurrentIndex(boxes["mode"].findData(mode))
    dock = next(each for each in widget.window().findChildren(QDockWidget) if each.isAncestorOf(widget))
    widget.window().resizeDocks([dock], [400], Qt.Orientation.Horizontal)
    qtbot.waitUntil(lambda: widget.width() <= 400 and boxes["depth"].isVisible(), timeout=5000)
    qtbot.wait(100)
    for box in boxes.values():
        if isinstance(box, QDoubleSpinBox) and box.isVisible():
            for words in (box.specialValueText(), box.text()):
                assert box.fontMetrics().horizontalAdvance(words) <= room_in(box), f"{words} is cut off"


def room_in(box):
    """For words, in the widget that is seen."""
    line = box.lineEdit()
    margins = line.textMargins()
    return line.contentsRect().width() - margins.left() - margins.right() - 4  # Qt's own, two at each side


def test_a_run_scrolls_to_what_is_seen_of_it(qtbot, viewer, widget, engine):
    engine.steps, engine.pause = 10_000, 0.005
    widget.setParent(None)
    fresh = RestoreWidget(viewer, engine=engine)
    qtbot.addWidget(fresh)
    fresh.resize(400, 700)
    fresh.show()
    fresh.form.verb.choose("deblur")
    choose_psf(fresh, "theory")
    qtbot.wait(50)
    fresh.run()
    qtbot.waitUntil(lambda: fresh._scroll.verticalScrollBar().value() > 0, timeout=5000)
    top = fresh._scroll.verticalScrollBar().value()
    bottom = fresh.outcome.place.geometry().bottom()
    assert top <= fresh.outcome.preview.y() and bottom <= top + fresh._scroll.viewport().height()
    fresh.session.stop()
    wait(qtbot, fresh)
    fresh.leave()


def test_no_psf_is_made_or_read_before_a_verb_asks_for_one(qtbot, widget):
    psf = editor(widget, "psf")
    qtbot.wait(300)
    assert not psf.forms and psf.beads is None and psf.seen is None and not psf._later.isActive()
    widget.form.verb.choose("deblur")
    qtbot.waitUntil(lambda: psf.seen is not None, timeout=20_000)
    assert list(psf.forms) == ["gaussian"]


def test_the_curves_stay_in_sight_where_a_plane_that_cuts_the_stack_comes_above_them(qtbot, viewer, raw, engine):
    engine.steps, engine.pause = 10_000, 0.005
    fresh = RestoreWidget(viewer, engine=engine)
    qtbot.addWidget(fresh)
    fresh.resize(400, 700)
    fresh.show()
    fresh.run()
    qtbot.waitUntil(lambda: fresh._scroll.verticalScrollBar().value() > 0, timeout=5000)
    pixels = np.ones((40, 1, 40), np.float32)
    cut = Pair(Preview(1, Region((0, 0, 0), (40, 1, 40)), pixels, across=True), pixels)
    fresh.outcome.preview.show_pair(cut, axes="ZYX", look=Look((0, 1)), size={})

    def in_sight() -> bool:
        top = fresh._scroll.verticalScrollBar().value()
        return fresh.outcome.place.geometry().bottom() <= top + fresh._scroll.viewport().height()

    assert fresh.outcome.preview.turn.isVisible()
    qtbot.waitUntil(in_sight, timeout=5000)
    fresh.session.stop()
    wait(qtbot, fresh)
    fresh.leave()


@pytest.mark.parametrize("verb", ["super_resolve", "deblur"])
def test_the_menu_opens_it_for_the_task(qtbot, viewer, verb):
    from napari._app_model import get_app_model

    get_app_model().commands.execute_command(f"napari-restore.open_{verb}").result()
    widget = next(docked for name, docked in viewer.window.dock_widgets.items() if name.startswith("Restore"))
    assert widget.currentWidget() is widget.restore and widget.restore.form.verb.verb == verb
    widget.leave()

"""Several layers selected: restored one after the other, in an order that can be changed; Cancel ends all of it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_restore.gui.restore.widget import RestoreWidget


@pytest.fixture
def widget(make_napari_viewer_proxy, engine, stack):
    viewer = make_napari_viewer_proxy()
    for name in "abcd":
        viewer.add_image(stack + ord(name), name=name)
    widget = RestoreWidget(viewer, engine=engine)
    viewer.window.add_dock_widget(widget, name="Restore")
    return widget


def rows(widget: Any) -> list[str]:
    pane = widget.waiting
    return [pane.list.item(row).text() for row in range(pane.list.count())]


def choose(widget: Any, names: str) -> None:
    layers = widget._viewer.layers
    layers.selection = {layers[name] for name in names}
    layers.selection.active = layers[names[-1]]
    layers.selection.update(layers[name] for name in names)


def begun(qtbot: Any, widget: Any) -> None:
    qtbot.waitUntil(lambda: bool(widget.outcome.plot.traces["training"].steps), timeout=10_000)


def test_several_layers_one_after_the_other(qtbot: Any, widget: Any, engine: Any, stack: Any) -> None:
    viewer, button, pane = widget._viewer, widget.buttons.run_button, widget.waiting
    assert button.text() == "Denoise" and pane.isHidden()
    choose(widget, "abc")
    assert button.text() == "Denoise 3 layers"
    widget.form.verb.choose("deblur")
    assert button.text() == "Deblur 3 layers"
    widget.form.verb.choose("denoise")
    engine.pause = 0.1
    button.click()
    begun(qtbot, widget)
    assert rows(widget) == ["a: runs now", "b: waits", "c: waits"] and not button.isEnabled()
    pane.list.setCurrentRow(2)
    pane.up.click()
    assert rows(widget) == ["a: runs now", "c: waits", "b: waits"] and pane.list.currentRow() == 1
    pane.up.click()
    assert rows(widget)[0] == "a: runs now", "what runs stays where it is"
    engine.pause = 0.001
    qtbot.waitUntil(lambda: not widget.queue.running and not widget.session.runner.running, timeout=20_000)
    assert rows(widget) == ["a: done", "c: done", "b: done"] and pane.isHidden()
    assert [request.image.name for request in engine.requests] == ["a", "c", "b"]
    for name in "abc":
        np.testing.assert_array_equal(np.asarray(viewer.layers[f"{name}_denoised"].data), stack + ord(name) + 1)
    assert "3 of 3 layers are restored" in widget.outcome.messages.toPlainText()

    widget.form.subject.layers.choose(viewer.layers["a_denoised"])
    assert "restored already" in widget.form.subject.size.text()
    choose(widget, "d")
    viewer.layers.selection.update([viewer.layers["a_denoised"]])
    assert button.text() == "Denoise 2 layers"
    button.click()
    qtbot.waitUntil(lambda: rows(widget) == ["d: done"], timeout=20_000)
    assert "Restored already, and left out: a_denoised" in widget.outcome.messages.toPlainText()


def test_rows_are_taken_out_and_cancel_ends_all(qtbot: Any, widget: Any, engine: Any) -> None:
    viewer, pane, engine.steps = widget._viewer, widget.waiting, 10_000
    choose(widget, "abcd")
    widget.run()
    begun(qtbot, widget)
    viewer.layers.remove("b")
    pane.list.setCurrentRow(0)
    pane.out.click()
    qtbot.waitUntil(lambda: rows(widget)[2] == "c: runs now", timeout=10_000)
    assert rows(widget) == ["a: stopped", "b: failed: see the details", "c: runs now", "d: waits"]
    assert "The layer b is gone" in widget.outcome.messages.toPlainText()
    begun(qtbot, widget)
    widget.buttons.stop_button.click()
    qtbot.waitUntil(lambda: not widget.session.runner.running, timeout=10_000)
    assert rows(widget)[2:] == ["c: stopped", "d: stopped"] and engine.closed == 2
    assert widget.buttons.run_button.isEnabled() and widget.form.subject.layer.name == "c"
    assert "0 of 4 layers" in widget.outcome.messages.toPlainText()


def test_channels_are_replaced_by_their_results(qtbot: Any, widget: Any, engine: Any) -> None:
    viewer, engine.pause = widget._viewer, 0.001
    for name in "abc":
        viewer.layers[name].blending = "additive"
    choose(widget, "abc")
    widget.run()
    qtbot.waitUntil(lambda: not widget.queue.running and not widget.session.runner.running, timeout=20_000)
    seen = {layer.name for layer in viewer.layers if layer.visible}
    assert seen == {"a_denoised", "b_denoised", "c_denoised", "d"}
    assert {str(viewer.layers[f"{name}_denoised"].blending) for name in "abc"} == {"additive"}
    widget.session.discard(widget.session.past[-1])
    assert viewer.layers["c"].visible and not viewer.layers["a"].visible

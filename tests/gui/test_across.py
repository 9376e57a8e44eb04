"""While it learns, a stack is also seen from its side; in whichever plane the viewer shows it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_restore.gui.restore.widget import RestoreWidget


@pytest.fixture
def viewer(make_napari_viewer_proxy: Any) -> Any:
    return make_napari_viewer_proxy()


@pytest.fixture
def widget(viewer: Any, engine: Any) -> Any:
    widget = RestoreWidget(viewer, engine=engine)
    viewer.window.add_dock_widget(widget)
    return widget


def ended(qtbot: Any, widget: Any) -> None:
    qtbot.waitUntil(lambda: not widget.session.runner.running, timeout=20_000)


def test_a_cut_through_the_stack_is_shown_before_it_is_restored(
    qtbot: Any, viewer: Any, widget: Any, engine: Any
) -> None:
    stack = np.random.default_rng(0).poisson(100, (6, 40, 50)).astype(np.uint16)
    viewer.add_image(stack, scale=(4, 1, 1), axis_labels=("z", "y", "x"))
    engine.slow, engine.steps, engine.pause = True, 400, 0.02
    pane, session = widget.outcome.preview, widget.session
    assert pane.turn.isHidden()
    widget.run()
    qtbot.waitUntil(lambda: not pane.after_across.empty, timeout=20_000)
    request = session.run.preview
    assert request.region.shape == (1, 40, 50) and request.across.shape == (6, 1, 50)
    assert pane.turn.text() == "XZ" and session.run.result.layer is None, "nothing is restored yet"
    pane.turn.click()
    qtbot.waitUntil(lambda: pane.turn.text() == "YZ", timeout=20_000)
    assert request.across.shape == (6, 40, 1)
    viewer.dims.order = (1, 0, 2)
    viewer.dims.set_current_step(1, 17)
    assert request.region.shape == (6, 1, 50) and request.region.start[1] == 17
    qtbot.waitUntil(lambda: "XZ" in pane.caption.text() and pane.turn.text() == "XY", timeout=20_000)
    assert request.across.shape == (1, 40, 50)
    widget.stop()
    ended(qtbot, widget)


def test_a_plane_is_cut_by_none(qtbot: Any, viewer: Any, widget: Any, engine: Any) -> None:
    viewer.add_image(np.random.default_rng(0).poisson(100, (3, 40, 50)), axis_labels=("t", "y", "x"))
    widget.run()
    ended(qtbot, widget)
    assert widget.session.run.preview.across is None and widget.outcome.preview.turn.isHidden()
    assert widget.session.run.preview.region.shape == (1, 40, 50)


def test_the_network_itself_shows_the_cut(qtbot: Any, viewer: Any, brief: Any) -> None:
    widget = RestoreWidget(viewer, engine=brief(method="noise2void", steps=3))
    viewer.window.add_dock_widget(widget)
    viewer.add_image(np.random.default_rng(0).poisson(100, (4, 32, 40)).astype(np.uint16), axis_labels=("z", "y", "x"))
    widget.run()
    qtbot.waitUntil(lambda: not widget.session.runner.running, timeout=60_000)
    assert not widget.outcome.preview.after_across.empty, "at the end of the training, at the latest"

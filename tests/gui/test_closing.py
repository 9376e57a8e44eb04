"""A panel that is closed amid its work asks; napari's activity dock has the work, too; nothing is waited for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.utils.progress import progress
from qtpy.QtWidgets import QMessageBox

from napari_restore.gui.parts import runner as room
from napari_restore.gui.parts.docked import Staying
from napari_restore.gui.tabs import MainWidget, Preferences


@pytest.fixture
def seen(make_napari_viewer_proxy, engine, stack):
    """In a window on the screen, where somebody can be asked; with a run that goes on."""
    viewer = make_napari_viewer_proxy(show=True)
    viewer.add_image(stack, name="raw")
    return viewer


def opened(qtbot: Any, viewer: Any, engine: Any) -> Any:
    main = MainWidget(viewer, engine=engine, preferences=Preferences())
    viewer.window.add_dock_widget(main, name="Restore")
    qtbot.waitUntil(main.isVisible, timeout=10_000)
    main.restore.form.subject.layers.choose(viewer.layers["raw"])
    engine.steps = 10_000
    main.restore.run()
    qtbot.waitUntil(lambda: bool(main.restore.outcome.plot.traces["training"].steps), timeout=10_000)
    return main


def entries() -> list[str]:
    return [str(each.desc) for each in progress._all_instances]


def closed(qtbot: Any, viewer: Any, main: Any) -> Staying:
    window = main._window()
    qtbot.waitUntil(lambda: window.findChild(Staying) is None, timeout=5000)
    viewer.window.remove_dock_widget(main)
    staying = window.findChild(Staying)
    qtbot.waitUntil(staying.question.isVisible, timeout=5000)
    return staying


def test_closing_the_panel_asks(qtbot: Any, seen: Any, engine: Any, stack: Any) -> None:
    main = opened(qtbot, seen, engine)
    qtbot.waitUntil(lambda: entries() == ["Denoise: raw"], timeout=10_000)
    staying = closed(qtbot, seen, main)
    assert isinstance(staying.question, QMessageBox) and "Denoise: raw" in staying.question.text()
    assert main.restore.session.runner.running, "nothing is lost while one is asked"
    staying.stop.click()
    qtbot.waitUntil(lambda: not room._ALIVE, timeout=10_000)
    assert entries() == [] and engine.closed == 1 and len(seen.layers) == 1

    main = opened(qtbot, seen, engine)
    staying = closed(qtbot, seen, main)
    staying.go_on.click()
    qtbot.waitUntil(lambda: entries() == ["Denoise: raw"], timeout=10_000)
    assert main.restore.session.runner.running and not main.isVisible()
    next(iter(progress._all_instances)).cancel()
    qtbot.waitUntil(lambda: not room._ALIVE and entries() == [], timeout=10_000)
    assert engine.closed == 2

    main = opened(qtbot, seen, engine)
    engine.steps, engine.pause = 1, 0.3
    main.restore.stop()
    qtbot.waitUntil(lambda: not main.restore.session.runner.running, timeout=10_000)
    main.restore.run()
    window = main._window()
    closed(qtbot, seen, main).go_on.click()
    qtbot.waitUntil(lambda: len(seen.layers) == 2, timeout=10_000)
    qtbot.waitUntil(lambda: window.findChild(Staying) is None, timeout=10_000)
    np.testing.assert_array_equal(np.asarray(seen.layers["raw_denoised"].data), stack + 1)
    assert entries() == [], "its result is there, and it is gone"


def test_a_run_in_the_background_ends_with_the_window(qtbot: Any, seen: Any, engine: Any) -> None:
    main = opened(qtbot, seen, engine)
    closed(qtbot, seen, main).go_on.click()
    del main
    seen.close()
    qtbot.waitUntil(lambda: not room._ALIVE, timeout=10_000)
    assert engine.closed == 1


def test_baselines_have_a_cancel(qtbot: Any, seen: Any, engine: Any) -> None:
    main = opened(qtbot, seen, engine)
    page, engine.steps, engine.slow = main.restore, 1, True
    page.stop()
    qtbot.waitUntil(lambda: not page.session.runner.running, timeout=10_000)
    page.form.verb.choose("super_resolve")
    page.run()
    qtbot.waitUntil(lambda: not page.session.runner.running, timeout=10_000)
    verdict = page.buttons.words.text()
    page.outcome.comparison.in_view.trigger()
    assert page.buttons.stop_button.isEnabled() and not page.buttons.run_button.isEnabled()
    assert page.buttons.bar.maximum() == 0
    qtbot.waitUntil(lambda: entries() == ["The making of the baselines"], timeout=10_000)
    qtbot.waitUntil(lambda: "Bicubic interpolation is there" in page.buttons.words.text(), timeout=10_000)
    page.buttons.stop_button.click()
    qtbot.waitUntil(lambda: not page.outcome.baselines.runner.running, timeout=10_000)
    assert "raw Bicubic interpolation" in seen.layers and "raw Wiener filter" not in seen.layers
    assert page.buttons.words.text() == verdict and page.buttons.run_button.isEnabled()
    main.leave()

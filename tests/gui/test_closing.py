"""A panel that is closed amid its work asks; napari's activity dock has the work, too; nothing is waited for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from napari.utils.progress import progress
from qtpy.QtWidgets import QMainWindow, QMessageBox, QVBoxLayout, QWidget

from napari_restore.core.events import Failed
from napari_restore.gui.parts import runner as room
from napari_restore.gui.parts.closing import Closing
from napari_restore.gui.parts.docked import Docked, Staying
from napari_restore.gui.parts.remembered import Remembered
from napari_restore.gui.parts.runner import Ended, Runner
from napari_restore.gui.restore.kept import keeping, left_behind
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
    engine.steps, engine.pause = 1, 1.0  # it is not over before it is asked
    main.restore.stop()
    qtbot.waitUntil(lambda: not main.restore.session.runner.running, timeout=10_000)
    main.restore.run()
    window = main._window()
    closed(qtbot, seen, main).go_on.click()
    engine.pause = 0.01
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
    qtbot.waitUntil(lambda: "Bicubic interpolation done" in page.buttons.words.text(), timeout=10_000)
    page.buttons.stop_button.click()
    qtbot.waitUntil(lambda: not page.outcome.baselines.runner.running, timeout=10_000)
    assert "raw Bicubic interpolation" in seen.layers and "raw Wiener filter" not in seen.layers
    assert page.buttons.words.text() == verdict and page.buttons.run_button.isEnabled()
    main.leave()


def test_napari_closed_amid_work_asks_and_keeps_what_was_learned(qtbot: Any, seen: Any, engine: Any) -> None:
    """Ctrl+W, Ctrl+Q and the cross send the window the same event."""
    main = opened(qtbot, seen, engine)
    window = main._window()
    for _ in range(2):
        window.close()
    asked = window.findChild(Closing)
    assert window.isVisible() and asked.question.isVisible() and "Denoise: raw is going on" in asked.question.text()
    assert len(window.findChildren(QMessageBox)) == 1
    asked.stay.click()
    assert main.restore.session.runner.running and asked.question is None
    closed(qtbot, seen, main).go_on.click()
    window.close()
    assert window.isVisible() and asked.question.isVisible(), "also where it goes on in the background"
    del main, asked, window
    seen.close()  # as a script does: nobody is asked
    qtbot.waitUntil(lambda: not room._ALIVE, timeout=10_000)
    kept = left_behind()
    assert kept is not None and kept.name.startswith("raw") and kept.read_bytes() == b"model"
    assert left_behind() is None, "it is told once"


class Working(Docked, QWidget):  # type: ignore[misc]
    """As far as a window that is closed has to know it."""

    words = ""

    def going_on(self) -> str:
        return self.words


def test_a_window_is_closed_once_that_is_said(qtbot: Any) -> None:
    window, docked = QMainWindow(), Working()
    qtbot.addWidget(window)
    middle = QWidget()
    column = QVBoxLayout(middle)
    column.addWidget(docked)
    window.setCentralWidget(middle)
    window.show()
    asked = window.findChild(Closing)
    docked.words = "Denoise: raw"
    window.close()
    asked.question.reject()  # Escape
    assert window.isVisible() and asked.question is None
    window.close()
    asked.stop.click()
    assert not window.isVisible()


def test_nothing_is_asked_where_nothing_goes_on(qtbot: Any) -> None:
    window, docked = QMainWindow(), Working()
    qtbot.addWidget(window)
    window.setCentralWidget(docked)
    window.show()
    assert window.close() and not window.isVisible()


class Trained:
    """A model, as far as it can be saved."""

    def __init__(self, raises: Exception | None = None) -> None:
        self.raises = raises

    def save(self, path: Any) -> None:
        if self.raises is not None:
            raise self.raises
        path.write_bytes(b"model")


WHOLE = SimpleNamespace(levels=[1], complete=True, model=Trained())
FAILED = Failed("OSError", "the disk is full")


@pytest.mark.parametrize(
    ("ended", "trained", "kept"),
    [
        (Ended(Trained(), None), [], True),  # stopped while it trained
        (Ended(WHOLE, None), [Trained()], True),
        (Ended(None, FAILED), [Trained()], True),
        (Ended(None, FAILED), [], False),  # before anything was learned
        (Ended(WHOLE, None), [], False),  # restored with a model that there was
        (Ended(Trained(OSError("the disk is full")), None), [], False),
    ],
)
def test_what_is_kept_of_a_run_that_nobody_waits_for(ended: Any, trained: Any, kept: bool, tmp_path: Any) -> None:
    keeping("a/b: c", trained, tmp_path / "results")(ended)
    path = left_behind()
    assert (path is not None) is kept
    assert path is None or (path.parent == tmp_path / "results" and path.read_bytes() == b"model")


def test_the_window_keeps_a_few_models_and_a_folder_of_the_users_all(tmp_path: Any) -> None:
    for number in range(12):
        keeping(f"image {number}", [], None)(Ended(Trained(), None))
        keeping(f"image {number}", [], tmp_path / "results")(Ended(Trained(), None))
    assert len(list((tmp_path / "results").iterdir())) == 12
    assert len(list(Remembered().beside("models").iterdir())) == 8


def test_what_ended_just_before_the_window_went_is_kept(qtbot: Any) -> None:
    """Between two ticks: it is in the mail."""
    got: list[Ended] = []
    runner = Runner(every_ms=10_000)

    def start(stop: Any) -> Any:
        yield "on the way"
        return "a model"

    runner.start(start, keep=got.append)
    qtbot.waitUntil(lambda: not room._ALIVE, timeout=5000)
    runner.abandon()
    assert [ended.result for ended in got] == ["a model"]

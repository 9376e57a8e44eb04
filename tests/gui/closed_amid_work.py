"""What ``test_closing_process`` runs: a viewer with work by the real engine, closed amid it, and the process's end."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import tifffile
from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QFileDialog

from napari_restore.gui.parts.closing import Closing
from napari_restore.gui.tabs import MainWidget, Preferences

_LONG = 500.0
"""Seconds that anything may take, on a machine that has much else to do."""


def main() -> None:
    work, folder = sys.argv[1], Path(sys.argv[2])
    viewer = napari.Viewer(show=True, show_welcome_screen=False)
    stack = np.random.default_rng(0).poisson(60, (6, 40, 48)).astype(np.uint16)
    for name in "abc":
        viewer.add_image(stack + ord(name), name=name, axis_labels=("z", "y", "x"))
    tabs = MainWidget(viewer, preferences=Preferences(device="cpu", folder=folder))
    viewer.window.add_dock_widget(tabs, name="Restore")
    begun = {"training": train, "queue": queue, "baselines": baselines, "batch": batch, "export": export}[work]
    begun(viewer, tabs, folder)
    QTimer.singleShot(0, lambda: close(viewer, tabs))
    napari.run()


def train(viewer: Any, tabs: Any, folder: Path) -> None:
    """A run whose training has begun."""
    tabs.restore.run()
    until(lambda: bool(tabs.restore.outcome.plot.traces["training"].steps))


def queue(viewer: Any, tabs: Any, folder: Path) -> None:
    """Three layers, the first of which is learned."""
    viewer.layers.selection = set(viewer.layers)
    tabs.restore.run()
    until(lambda: bool(tabs.restore.outcome.plot.traces["training"].steps))
    assert tabs.restore.queue.running is not None


def baselines(viewer: Any, tabs: Any, folder: Path) -> None:
    """In 3-D, of a stack that was deblurred without training."""
    page = tabs.restore
    page.form.verb.choose("deblur")
    page.form.effort.setCurrentIndex(page.form.effort.findData("instant"))
    until(lambda: not page.form.wrong)
    page.run()
    until(lambda: page.session.runner.running is False and page.session.result is not None)
    page.outcome.comparison.whole.trigger()
    until(lambda: page.outcome.baselines.runner.running)
    pump(1.0)


def batch(viewer: Any, tabs: Any, folder: Path) -> None:
    """Of twelve images, the first of which are restored, by a model that was trained for a moment."""
    page, images = tabs.restore, folder / "images"
    images.mkdir()
    for number in range(12):
        tifffile.imwrite(images / f"{number}.tif", np.asarray(viewer.layers["a"].data)[0])
    page.train()
    until(lambda: bool(page.outcome.plot.traces["training"].steps))
    page.stop()
    until(lambda: not page.session.runner.running)
    tabs.batch.form.folder.line.setText(str(images))
    until(lambda: tabs.batch.rows.rowCount() == 12)
    tabs.batch.run()
    until(lambda: tabs.batch.rows.count("done") > 0)


def export(viewer: Any, tabs: Any, folder: Path) -> None:
    """Of a model that was trained for a moment."""
    page = tabs.restore
    page.form.editors["method"].choose("noise2void")
    page.train()
    until(lambda: bool(page.outcome.plot.traces["training"].steps))
    page.stop()
    until(lambda: not page.session.runner.running)
    QFileDialog.getSaveFileName = lambda *_: (str(folder / "model.zip"), "")
    page.export()
    until(lambda: any(Path(tempfile.gettempdir()).glob("napari-restore-*/said.txt")))
    pump(1.0)


def close(viewer: Any, tabs: Any) -> None:
    """By the cross, and by what it then asks."""
    assert tabs.going_on(), "it was over too soon"
    window = viewer.window._qt_window
    window.close()
    assert window.isVisible(), "it asks"
    print("closed amid it", flush=True)
    window.findChild(Closing).stop.click()


def until(there: Callable[[], bool]) -> None:
    """Let the viewer live until something is so."""
    end = time.monotonic() + _LONG
    while not there():
        assert time.monotonic() < end, "it never came"
        pump(0.02)


def pump(seconds: float) -> None:
    """Let the viewer live."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        napari.qt.get_qapp().processEvents()
        time.sleep(0.005)


if __name__ == "__main__":
    main()

"""napari lets go of a layer in the context of its own canvas: elsewhere Mesa's driver ends the process."""

from __future__ import annotations

from typing import Any

import numpy as np
from qtpy.QtGui import QOffscreenSurface, QOpenGLContext

from napari_restore.gui.parts.canvas import canvas_of, take_context
from napari_restore.gui.restore.widget import RestoreWidget


def test_a_layer_goes_in_the_canvas_s_own_context(qtbot: Any, make_napari_viewer: Any, engine: Any) -> None:
    viewer = make_napari_viewer(show=True)
    viewer.add_image(np.ones((20, 30)), name="raw")
    native = canvas_of(viewer).native
    qtbot.waitUntil(native.isValid, timeout=10_000)
    widget = RestoreWidget(viewer, engine=engine)
    viewer.window.add_dock_widget(widget, name="Restore")
    surface, other = QOffscreenSurface(), QOpenGLContext()
    surface.create()
    assert other.create() and other.makeCurrent(surface) and QOpenGLContext.currentContext() is not native.context()
    seen: list[bool] = []
    viewer.layers.events.removed.connect(
        lambda event: seen.append(QOpenGLContext.currentContext() == native.context()), position="first"
    )
    viewer.layers.remove("raw")
    assert seen == [True]
    other.doneCurrent()
    widget.leave()


def test_without_a_window_nothing_happens() -> None:
    take_context(object())

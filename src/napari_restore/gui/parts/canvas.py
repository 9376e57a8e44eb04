"""What draws a viewer's layers, and in which context of OpenGL it lets go of them."""

from __future__ import annotations

from contextlib import suppress
from typing import Any


def canvas_of(viewer: Any) -> Any:
    """What draws the viewer's layers."""
    return viewer.window._qt_viewer.canvas


def take_context(viewer: Any, event: Any = None) -> None:
    """Make the canvas's context the current one: to be called just before a layer goes.

    napari (0.9.2, ``VispyCanvas._clean_and_update_scenegraph``) deletes a layer's textures and programs at once, in
    whatever context is current: after a picture that is Qt's own. Mesa keeps a program that is deleted in another
    context than its own until later, and then takes the vertex shader away from the canvas's context, which does not
    hear of it: the next picture, of one layer alone, ends the process with a segmentation fault in ``glDrawArrays``.
    """
    with suppress(AttributeError, RuntimeError):  # no window, or one that is being closed: its canvas is gone
        canvas_of(viewer)._scene_canvas.set_current()

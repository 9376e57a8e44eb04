"""What the menus run besides opening the widget: the same widget, with another task chosen."""

from __future__ import annotations

from napari.viewer import Viewer

from napari_restore.gui.verbs import VerbName


def open_super_resolve(viewer: Viewer) -> None:
    """Open the widget to super-resolve."""
    _open(viewer, "super_resolve")


def open_deblur(viewer: Viewer) -> None:
    """Open the widget to deblur."""
    _open(viewer, "deblur")


def _open(viewer: Viewer, verb: VerbName) -> None:
    _, widget = viewer.window.add_plugin_dock_widget("napari-restore", "Restore")
    widget.verb.choose(verb)

"""What the menus run besides opening the widget: the same widget with a task chosen, and opening a stack."""

from __future__ import annotations

from napari.viewer import Viewer
from qtpy.QtWidgets import QFileDialog

from napari_restore.gui.tabs import MainWidget, PageName
from napari_restore.gui.verbs import VerbName
from napari_restore.gui.widget import RestoreWidget
from napari_restore.sources.formats import endings


def open_denoise(viewer: Viewer) -> None:
    """Open the widget to denoise."""
    _open(viewer, "restore", verb="denoise")


def open_super_resolve(viewer: Viewer) -> None:
    """Open the widget to super-resolve."""
    _open(viewer, "restore", verb="super_resolve")


def open_deblur(viewer: Viewer) -> None:
    """Open the widget to deblur."""
    _open(viewer, "restore", verb="deblur")


def open_compare(viewer: Viewer) -> None:
    """Open the widget to compare two layers."""
    _open(viewer, "compare")


def open_stack(viewer: Viewer) -> None:
    """Ask for files, and open each as a lazy layer. A folder of slices or a Zarr opens when it is dropped in."""
    window = viewer.window._qt_window
    paths, _ = QFileDialog.getOpenFileNames(window, "Open stacks lazily", "", STACKS)
    for path in paths:
        viewer.open(path, plugin="napari-restore")


STACKS = f"Stacks ({' '.join(f'*{ending}' for ending in endings('stack'))});;All files (*)"
"""For the dialogue."""


def open_restore(viewer: Viewer) -> RestoreWidget:
    """Open the widget with the tab for one image in front."""
    return _open(viewer, "restore").restore


def _open(viewer: Viewer, page: PageName, *, verb: VerbName | None = None) -> MainWidget:
    dock, widget = viewer.window.add_plugin_dock_widget("napari-restore", "Restore")
    assert isinstance(widget, MainWidget)
    dock.show()
    dock.raise_()
    widget.open(page, verb=verb)
    return widget

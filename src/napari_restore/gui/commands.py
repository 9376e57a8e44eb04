"""What the menus run besides opening the widget: the same widget with a task chosen, and opening a stack."""

from __future__ import annotations

from collections.abc import Callable

from napari.viewer import Viewer
from qtpy.QtWidgets import QApplication, QFileDialog

from napari_restore.gui.restore.verbs import SHOWN
from napari_restore.gui.restore.widget import RestoreWidget
from napari_restore.gui.tabs import MainWidget, PageName
from napari_restore.sources.formats import endings


def open_compare(viewer: Viewer) -> None:
    """Open the widget to compare two layers."""
    _open(viewer, "compare")


def open_stack(viewer: Viewer) -> None:
    """Ask for files, and open each as a lazy layer. A folder of slices or a Zarr opens when it is dropped in."""
    paths, _ = QFileDialog.getOpenFileNames(QApplication.activeWindow(), "Open stacks lazily", "", STACKS)
    for path in paths:
        viewer.open(path, plugin="napari-restore")


STACKS = f"Stacks ({' '.join(f'*{ending}' for ending in endings('stack'))});;All files (*)"
"""For the dialogue."""


def open_restore(viewer: Viewer) -> RestoreWidget:
    """Open the widget with the tab for one image in front."""
    return _open(viewer, "restore").restore


def _open(viewer: Viewer, page: PageName, *, verb: str | None = None) -> MainWidget:
    dock, widget = viewer.window.add_plugin_dock_widget("napari-restore", "Restore")
    assert isinstance(widget, MainWidget)
    dock.show()
    dock.raise_()
    widget.open(page, verb=verb)
    return widget


def _opening(verb: str) -> Callable[[Viewer], None]:
    """``open_denoise`` and the like, which the manifest names: the widget with the verb's button down."""

    def open_verb(viewer: Viewer) -> None:
        _open(viewer, "restore", verb=verb)

    open_verb.__name__ = open_verb.__qualname__ = f"open_{verb}"
    open_verb.__doc__ = f"Open the widget to {verb.replace('_', '-')}."
    return open_verb


for _verb in SHOWN:
    globals()[f"open_{_verb}"] = _opening(_verb)

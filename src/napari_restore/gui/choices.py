"""What to restore and with how much effort."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from napari.layers import Image as ImageLayer
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox, QFileDialog, QSizePolicy, QWidget

from napari_restore.gui.describe import describe_time
from napari_restore.gui.links import Links
from napari_restore.gui.work import Effort

EFFORT_SECONDS: dict[Effort, float] = {"quick": 20, "normal": 60, "thorough": 600}
"""Seconds of training, as the methods have them. Repeated here because asking the methods would load torch in the
GUI thread; a test compares them."""


class LayerChoice(QComboBox):  # type: ignore[misc]
    """The viewer's image layers, the newest first. Follows the selected layer unless it is disabled.

    Attributes
    ----------
    chosen
        Signal: the layer that is chosen now, or None; sent when it is another one than before.
    """

    chosen = Signal(object)

    def __init__(self, viewer: Any, links: Links, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layers: list[Any] = []
        self._last: Any = None
        _let_shrink(self)
        self.setToolTip("The image to restore: the layer selected in the viewer, if it is an image.")
        self.currentIndexChanged.connect(self._announce)
        for name in ("inserted", "removed", "reordered", "renamed"):
            links.connect(getattr(viewer.layers.events, name), self.refresh)
        links.connect(viewer.layers.selection.events.active, self._follow)
        self.refresh()
        self._follow()

    @property
    def layer(self) -> Any:
        """The layer chosen, or None where the viewer has no image."""
        index = self.currentIndex()
        return self._layers[index] if 0 <= index < len(self._layers) else None

    def choose(self, layer: Any) -> None:
        """Choose a layer, if it is listed."""
        if layer in self._layers:
            self.setCurrentIndex(self._layers.index(layer))

    def refresh(self, event: Any = None) -> None:
        """List the viewer's image layers anew; the one chosen stays chosen while it exists."""
        chosen = self.layer
        self.blockSignals(True)
        self._layers = [layer for layer in reversed(self._viewer.layers) if isinstance(layer, ImageLayer)]
        self.clear()
        self.addItems([layer.name for layer in self._layers])
        self.blockSignals(False)
        self.choose(chosen if chosen in self._layers else self._viewer.layers.selection.active)
        self._announce()

    def _follow(self, event: Any = None) -> None:
        if self.isEnabled():
            self.choose(self._viewer.layers.selection.active)

    def _announce(self, index: int = 0) -> None:
        if self.layer is not self._last:
            self._last = self.layer
            self.chosen.emit(self.layer)


class EffortChoice(QComboBox):  # type: ignore[misc]
    """How long to train."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        for effort, seconds in EFFORT_SECONDS.items():
            self.addItem(f"{effort.capitalize()}: {describe_time(seconds)} of training", effort)
        self.setCurrentIndex(list(EFFORT_SECONDS).index("normal"))
        _let_shrink(self)
        self.setToolTip(
            "How long the network learns before it restores, and how large it is.\n"
            "Longer is better, by less and less. Writing the result takes its time on top."
        )

    @property
    def effort(self) -> Effort:
        """The effort chosen."""
        effort: Effort = self.currentData()
        return effort


class PlaceChoice(QComboBox):  # type: ignore[misc]
    """Where results are written."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.folder: Path | None = None
        self.addItems(["In a temporary folder", "In a folder…"])
        self.activated.connect(self._choose)
        _let_shrink(self)
        self.setToolTip(
            "Where the result is written, as OME-Zarr, while it fills in.\n"
            "A temporary folder is emptied by the system sooner or later."
        )

    def use(self, folder: Path | None) -> None:
        """Write into this folder, or into a temporary one."""
        self.folder = folder
        self.setItemText(1, f"In {folder}" if folder else "In a folder…")
        self.setCurrentIndex(1 if folder else 0)

    def _choose(self, index: int) -> None:
        chosen = QFileDialog.getExistingDirectory(self, "Write results to") if index else ""
        self.use(Path(chosen) if chosen else self.folder if index else None)


def _let_shrink(box: QComboBox) -> None:
    """A long name must not make the dock wide."""
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(12)
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

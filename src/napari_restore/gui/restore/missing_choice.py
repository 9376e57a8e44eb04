"""What of the image is missing: a layer or a file that marks it, and how it looks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtWidgets import QComboBox, QFileDialog, QVBoxLayout, QWidget

from napari_restore.gui.parts.links import Links
from napari_restore.gui.restore.choices import let_shrink
from napari_restore.gui.restore.editor import Editor

_KINDS = ("labels", "shapes", "image")


class MaskChoice(Editor):
    """A layer or a file that is not 0 where a pixel is missing, or none."""

    grows = False

    def __init__(self, viewer: Any, links: Links, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._layer = viewer, None
        self._path: Path | None = None
        self.box = QComboBox()
        self.setFocusProxy(self.box)
        let_shrink(self.box)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.box)
        self.box.activated.connect(self._take)
        links.connect_each(viewer.layers.events, ("inserted", "removed", "reordered", "renamed"), self.refresh)
        self.refresh()

    @property
    def value(self) -> Any:
        """A layer, a path or None."""
        chosen = self.box.currentData()
        return self._path if chosen == "file" else self._named(chosen)

    def refresh(self, event: Any = None) -> None:
        """List the layers anew; the one chosen stays chosen while it exists."""
        before = self.box.currentData()
        self.box.blockSignals(True)
        self.box.clear()
        self.box.addItem("No mask", None)
        for layer in reversed(self._viewer.layers):
            if layer is not self._layer and type(layer).__name__.lower() in _KINDS:
                self.box.addItem(f"Layer {layer.name}", str(layer.name))
        self.box.addItem(f"File {self._path.name}" if self._path else "A file…", "file")
        self.box.setCurrentIndex(max(0, self.box.findData(before)))
        self.box.blockSignals(False)
        if self.box.currentData() != before:
            self.changed.emit()

    def show_layer(self, layer: Any) -> None:
        """The layer that is restored is no mask for itself."""
        self._layer = layer
        self.refresh()

    def choose(self, name: str | None) -> None:
        """Choose a layer by its name, or none."""
        self.box.setCurrentIndex(max(0, self.box.findData(name)))
        self.changed.emit()

    def take_file(self, path: Path | None) -> None:
        """Use this file; none where there is no path."""
        self._path = path
        self.refresh()
        self.choose("file" if path else None)

    def _named(self, name: str | None) -> Any:
        return next((layer for layer in self._viewer.layers if name is not None and layer.name == name), None)

    def _take(self, _: int = 0) -> None:
        if self.box.currentData() == "file":
            chosen, _ = QFileDialog.getOpenFileName(self, "A mask that is not 0 where a pixel is missing")
            self.take_file(Path(chosen) if chosen else self._path)
        else:
            self.changed.emit()


LOOKS = {
    "Found by how it looks": "auto",
    "Nothing but NaN": "nan",
    "Zeros": "zeros",
    "Saturated pixels": "saturated",
    "Dead pixels": "dead",
    "Lines and planes": "lines+planes",
    "All of these": "auto+zeros+saturated",
}
"""What the list says, and the rules it stands for."""

"""What a comparison adds to the viewer: the difference of two layers, and where it holds structure."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Image as ImageLayer
from napari.qt.threading import create_worker
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_restore.core.errors import RestoreError
from napari_restore.gui.compare.difference import Removed, difference, removed
from napari_restore.gui.compare.whole import alike, whole_difference, whole_structure
from napari_restore.gui.parts.layers import mark_comparison


class Added(QObject):  # type: ignore[misc]
    """The last layer of each kind that was added; the next one takes its place.

    Attributes
    ----------
    coming
        Signal: a layer is about to be added, and should be seen as it is.
    said
        Signal: words about it.
    ended
        Signal: another map can be asked for.
    """

    coming = Signal()
    said = Signal(str)
    ended = Signal()

    def __init__(self, viewer: Any, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._difference: Any = None
        self._structure: Any = None
        self._removed: Removed | None = None
        self._pair: tuple[Any, Any] = (None, None)

    def add_difference(self, first: Any, second: Any) -> None:
        """Add what A has more than B as a layer: of all planes of stacks alike, else of the part of one in view."""
        try:
            seen = difference(self._viewer, first, second)
        except RestoreError as error:
            self.said.emit(str(error))
            return
        whole = alike(first, second)
        layer = whole_difference(first, second, looks=seen.looks) if whole else seen.layer()
        self.coming.emit()
        self._difference = self._placed(layer, instead_of=self._difference)
        of = "of all planes, made as you see them" if whole else "of this plane as you see it now"
        self.said.emit(f"Pink is where B is brighter, green where A is. It is {of}.")

    def find_structure(self, first: Any, second: Any) -> bool:
        """Add a map of where A - B holds more than noise, over A. False, and it is said, if it cannot be made.

        What is in view is looked at in a thread. Of stacks alike the map is of all planes, made as they are seen.
        """
        try:
            self._removed = removed(self._viewer, first, second)
        except RestoreError as error:
            self.said.emit(str(error))
            return False
        self._pair = first, second
        self.said.emit("Looking for structure…")
        worker = create_worker(mapped, self._removed.residual, self._removed.restored)
        worker.returned.connect(self._take_structure)
        worker.errored.connect(self._fail_structure)
        worker.start()
        return True

    def abandon(self) -> None:
        """The viewer is going away: what is still being made is dropped."""
        self._removed = None

    def _take_structure(self, mapped: tuple[NDArray[np.float32], str]) -> None:
        found, verdict = mapped
        if self._removed is None:  # left meanwhile
            return
        self.coming.emit()
        whole = self._there and alike(*self._pair)
        layer = whole_structure(*self._pair) if whole else self._removed.place(found)
        self._structure = self._placed(layer, instead_of=self._structure)
        if self._there:
            self._lay_on_measured(*self._pair)
        marked = " Orange marks it." if np.any(found > 0) else ""
        self.said.emit(f"In this plane {verdict}.{marked} A is seen, and B hidden.")
        self.ended.emit()

    @property
    def _there(self) -> bool:
        """Whether both layers are there still: the map before may be one of them, whose place the next one takes."""
        return all(one in self._viewer.layers for one in self._pair)

    def _lay_on_measured(self, first: Any, second: Any) -> None:
        """Let the map be read on the measured image: what was removed is to be seen there."""
        first.visible, second.visible = True, False
        layers = self._viewer.layers
        for other in layers:
            if isinstance(other, ImageLayer) and layers.index(other) > layers.index(first):
                other.visible = other is self._structure

    def _fail_structure(self, error: Exception) -> None:
        if self._removed is not None:
            self.said.emit(f"The map could not be made: {error}")
            self.ended.emit()

    def _placed(self, layer: Any, *, instead_of: Any) -> Any:
        if instead_of is not None and instead_of in self._viewer.layers:
            self._viewer.layers.remove(instead_of)
        mark_comparison(layer)
        self._viewer.add_layer(layer)
        layer.visible = True  # only now: of planes made as they are seen, it reads the one where the sliders stand
        return layer


def mapped(residual: NDArray[Any], restored: NDArray[Any]) -> tuple[NDArray[np.float32], str]:
    """A map of where a residual holds structure, and its verdict. In a thread: this also loads SciPy's statistics."""
    from napari_restore.metrics.structure import structure_map, summary

    found = structure_map(residual, restored)
    return found, summary(found).verdict

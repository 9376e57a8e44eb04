"""What a comparison adds to the viewer: the difference of two layers, and where it holds structure."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.qt.threading import create_worker
from numpy.typing import NDArray
from qtpy.QtCore import QObject, Signal

from napari_restore.core.errors import RestoreError
from napari_restore.gui.compare.difference import Removed, difference, removed


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

    def add_difference(self, first: Any, second: Any) -> None:
        """Add what A has more than B as a layer, in the part of the plane in view."""
        try:
            layer = difference(self._viewer, first, second)
        except RestoreError as error:
            self.said.emit(str(error))
            return
        self.coming.emit()
        self._difference = self._placed(layer, instead_of=self._difference)
        self.said.emit("Pink is where B is brighter, green where A is. It is of this plane as you see it now.")

    def find_structure(self, first: Any, second: Any) -> bool:
        """Add a map of where A - B holds more than noise; made in a thread. False, and it is said, if it cannot be."""
        try:
            self._removed = removed(self._viewer, first, second)
        except RestoreError as error:
            self.said.emit(str(error))
            return False
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
        self._structure = self._placed(self._removed.place(found), instead_of=self._structure)
        self.said.emit(f"In this plane {verdict}.")
        self.ended.emit()

    def _fail_structure(self, error: Exception) -> None:
        if self._removed is not None:
            self.said.emit(f"The map could not be made: {error}")
            self.ended.emit()

    def _placed(self, layer: Any, *, instead_of: Any) -> Any:
        if instead_of is not None and instead_of in self._viewer.layers:
            self._viewer.layers.remove(instead_of)
        return self._viewer.add_layer(layer)


def mapped(residual: NDArray[Any], restored: NDArray[Any]) -> tuple[NDArray[np.float32], str]:
    """A map of where a residual holds structure, and its verdict. In a thread: this also loads SciPy's statistics."""
    from napari_restore.metrics.structure import structure_map, summary

    found = structure_map(residual, restored)
    return found, summary(found).verdict

"""The last result as a file: asked for by the button, written in a thread of its own."""

from __future__ import annotations

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_restore.core.errors import RestoreError
from napari_restore.gui.parts.endings import TIFF, ZARR, ending, filters, taken
from napari_restore.gui.parts.runner import Ended, Runner
from napari_restore.gui.restore.session import Session
from napari_restore.gui.restore.work import saving
from napari_restore.sources import open_image

_KINDS = {"OME-TIFF": TIFF, "OME-Zarr": ZARR}


class ResultFile(QObject):  # type: ignore[misc]
    """Saves the layer of the result that the session made last.

    Attributes
    ----------
    said
        Signal: words for the user and their level.
    writer
        What runs meanwhile.
    """

    said = Signal(str, str)

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self._session, self._window = session, parent
        self.writer = Runner(self)
        self.writer.ended.connect(self._tell)

    def ask(self) -> None:
        """Ask for a file, and write the layer."""
        run = self._session.run
        if self._session.result is None or run is None:
            self.said.emit("There is no result yet to save: restore an image first.", "warning")
            return
        layer = run.result.layer
        offered = filters(list(_KINDS.items()))
        asked, kind = QFileDialog.getSaveFileName(self._window, "Save the result", f"{layer.name}{TIFF[0]}", offered)
        if not asked:
            return
        first, other = (ZARR, TIFF) if kind.startswith("OME-Zarr") else (TIFF, ZARR)
        path = ending(asked, *first, *other)
        if refused := taken(path, asked):
            self.said.emit(refused, "warning")
            return
        try:
            begun = self.writer.start(saving(open_image(layer), path))
        except RestoreError as error:
            self.said.emit(str(error), "error")
            return
        if begun:
            self.said.emit("Saving the result …", "info")
        else:
            self.said.emit("A result is being saved: wait for its end, then save again.", "warning")

    def _tell(self, ended: Ended) -> None:
        if ended.failure is not None:
            self.said.emit(f"The result is not saved: {ended.failure.message}", "error")
        else:
            self.said.emit(f"Result saved: {ended.result}", "info")

"""The last result as a file: asked for by the button, written in a thread of its own."""

from __future__ import annotations

from napari_restore.core.errors import RestoreError
from napari_restore.gui.parts.endings import TIFF, ZARR
from napari_restore.gui.restore.asked import AskedFile
from napari_restore.gui.restore.work import saving
from napari_restore.sources import open_image

_KINDS = {"OME-TIFF": TIFF, "OME-Zarr": ZARR}


class ResultFile(AskedFile):
    """Saves the layer of the result that the session made last."""

    done, undone = "Result saved", "The result is not saved: "

    def ask(self) -> None:
        """Ask for a file, and write the layer."""
        run = self._session.run
        if self._session.result is None or run is None:
            self.said.emit("There is no result yet to save: restore an image first.", "warning")
            return
        layer = run.result.layer
        path = self.asked("Save the result", f"{layer.name}{TIFF[0]}", _KINDS)
        if path is None:
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

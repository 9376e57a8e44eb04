"""The page about the last result: asked for under ⋯, written in a thread of its own."""

from __future__ import annotations

from typing import Any

from qtpy.QtWidgets import QWidget

from napari_restore.gui.parts.endings import PAGE
from napari_restore.gui.restore.asked import AskedFile
from napari_restore.gui.restore.session import Session
from napari_restore.gui.restore.work import Engine, reporting


class ReportFile(AskedFile):
    """Writes the report of the result that the session made last."""

    done = "Report saved"

    def __init__(self, engine: Engine, session: Session, parent: QWidget) -> None:
        super().__init__(session, parent)
        self._engine = engine

    def ask(self) -> None:
        """Ask for a file, and write the page."""
        result: Any = self._session.result
        if result is None or self._session.run is None:
            self.said.emit("There is no result yet to report on: restore an image first.", "warning")
            return
        path = self.asked("Save the report", f"{result.name}_report.html", {"Pages": PAGE})
        if path is not None and self.writer.start(reporting(self._engine, self._session.run.request, result, path)):
            self.said.emit("Writing the report: the guards restore a part of the image some twenty times.", "info")

"""The page about the last result: asked for under ⋯, written in a thread of its own."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_restore.gui.parts.endings import PAGE, ending, filters, taken
from napari_restore.gui.parts.runner import Ended, Runner
from napari_restore.gui.restore.session import Session
from napari_restore.gui.restore.work import Engine, reporting


class ReportFile(QObject):  # type: ignore[misc]
    """Writes the report of the result that the session made last.

    Attributes
    ----------
    said
        Signal: words for the user and their level.
    writer
        What runs meanwhile.
    """

    said = Signal(str, str)

    def __init__(self, engine: Engine, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self._engine, self._session, self._window = engine, session, parent
        self.writer = Runner(self)
        self.writer.ended.connect(self._tell)

    def ask(self) -> None:
        """Ask for a file, and write the page."""
        result: Any = self._session.result
        if result is None or self._session.run is None:
            self.said.emit("There is no result yet to report on: restore an image first.", "warning")
            return
        name = f"{result.name}_report.html"
        asked, _ = QFileDialog.getSaveFileName(self._window, "Save the report", name, filters([("Pages", PAGE)]))
        if not asked:
            return
        path = ending(asked, *PAGE)
        if refused := taken(path, asked):
            self.said.emit(refused, "warning")
        elif self.writer.start(reporting(self._engine, self._session.run.request, result, path)):
            self.said.emit("Writing the report: the guards restore a part of the image some twenty times.", "info")

    def _tell(self, ended: Ended) -> None:
        if ended.failure is not None:
            self.said.emit(ended.failure.message, "error")
        else:
            self.said.emit(f"Report saved: {ended.result}", "info")

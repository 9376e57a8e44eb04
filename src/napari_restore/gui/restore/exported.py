"""The model for other programs: asked for under ⋯, written in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_restore.core.events import Event
from napari_restore.gui.parts.endings import ending, filters, taken
from napari_restore.gui.parts.runner import Ended, Runner, Start
from napari_restore.gui.restore.session import Session
from napari_restore.sources.image import Image

_PACKAGE = (".zip",)


class ExportFile(QObject):  # type: ignore[misc]
    """Writes the model of the session as a package of the BioImage Model Zoo.

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

    def ask(self, image: Image | None) -> None:
        """Ask for a file, and write the package; the middle of an image is what others try it with."""
        if self._session.model is None:
            self.said.emit("There is no model yet to export: train one, or take one from a file.", "warning")
            return
        kinds = filters([("Packages of the BioImage Model Zoo", _PACKAGE)])
        asked, _ = QFileDialog.getSaveFileName(self._window, "Export for other programs", "model.zip", kinds)
        if not asked:
            return
        path = ending(asked, *_PACKAGE)
        if refused := taken(path, asked):
            self.said.emit(refused, "warning")
        elif self.writer.start(_exporting(self._session.model, path, image)):
            self.said.emit(f"Writing {path.name}: the network as a graph that other programs run.", "info")

    def _tell(self, ended: Ended) -> None:
        if ended.failure is not None:
            self.said.emit(ended.failure.message, "error")
        else:
            self.said.emit(f"Exported for other programs: {ended.result}", "info")


def _exporting(model: Any, path: Path, image: Image | None) -> Start:
    def start(stop: threading.Event) -> Generator[Event, None, Path]:
        from napari_restore.verbs.exporting import export

        yield from ()
        return export(model, path, image)

    return start

"""The model for other programs: asked for under ⋯, written in a thread of its own."""

from __future__ import annotations

import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any

from napari_restore.core.events import Event
from napari_restore.gui.parts.runner import Start
from napari_restore.gui.restore.asked import AskedFile
from napari_restore.sources.image import Image

_GRACE = 2.0
"""Seconds that napari's end waits for a package: tracing a network takes ten and more, cannot be stopped, and has
nothing to lose when it is cut off."""


class ExportFile(AskedFile):
    """Writes the model of the session as a package of the BioImage Model Zoo."""

    done = "Exported for other programs"

    def ask(self, image: Image | None) -> None:
        """Ask for a file, and write the package; the middle of an image is what others try it with."""
        model = self._session.model
        if model is None:
            self.said.emit("There is no model yet to export: train one, or take one from a file.", "warning")
            return
        kinds = {"Packages of the BioImage Model Zoo": (".zip",)}
        path = self.asked("Export for other programs", "model.zip", kinds)
        if path is not None and self.writer.start(_exporting(model, path, image), grace=_GRACE):
            self.said.emit(f"Writing {path.name}: the network as a graph that other programs run.", "info")


def _exporting(model: Any, path: Path, image: Image | None) -> Start:
    def start(stop: threading.Event) -> Generator[Event, None, Path]:
        from napari_restore.verbs.exporting import export

        yield from ()
        return export(model, path, image)

    return start

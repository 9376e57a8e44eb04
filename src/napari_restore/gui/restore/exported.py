"""The model for other programs: asked for under ⋯, written by a process of its own.

To write a network as a graph takes ten seconds and more, cannot be stopped, and holds Python's lock meanwhile. A
process keeps no viewer from drawing, and can be ended.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Generator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from napari_restore.core.errors import RestoreError
from napari_restore.core.events import Event
from napari_restore.gui.parts.runner import Ended, Start
from napari_restore.gui.restore.asked import AskedFile
from napari_restore.sources.image import Image

PROGRAM = (sys.executable, "-m", "napari_restore", "export")
"""What writes a package."""

_LOOK = 0.1
"""Seconds between two looks at whether to stop."""

_SAYS = "napari-restore: "
"""Begins the line in which the program says what is wrong."""


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
        if path is not None and self.writer.start(_exporting(model, path, image)):
            self.said.emit(f"Writing {path.name}: the network as a graph that other programs run.", "info")

    def _tell(self, ended: Ended) -> None:
        if ended.failure is None and ended.result is None:
            self.said.emit("The export is cancelled: nothing is written.", "warning")
        else:
            super()._tell(ended)


def _exporting(model: Any, path: Path, image: Image | None) -> Start:
    def start(stop: threading.Event) -> Generator[Event, None, Path | None]:
        yield from ()
        with TemporaryDirectory(prefix="napari-restore-", ignore_cleanup_errors=True) as folder:
            there = _done(_command(model, path, image, Path(folder)), Path(folder), stop)
        return path if there else None

    return start


def _command(model: Any, path: Path, image: Image | None, folder: Path) -> list[str]:
    """The program, with the model and the middle of the image as files in a folder."""
    from napari_restore.verbs.exporting import example_of

    file, picture = folder / "model.safetensors", folder / "image.npy"
    model.save(file)
    command = [*PROGRAM, str(file), "--output", str(path)]
    if image is None:
        return command
    np.save(picture, example_of(model.portable, image)[0])
    return [*command, "--image", str(picture), "--axes", f"C{model.method.spatial}"]


def _done(command: Sequence[str], folder: Path, stop: threading.Event) -> bool:
    """Run a program to its end, what is temporary in a folder; False where it was ended by the stop flag.

    Raises
    ------
    RestoreError
        In the program's words, if it failed.
    """
    environment = {**os.environ, **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder)), "PYTHONUTF8": "1"}
    hidden = getattr(subprocess, "CREATE_NO_WINDOW", 0)  # Windows would open one for the words
    said = folder / "said.txt"
    with (
        said.open("wb") as words,
        subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=words, stderr=words, creationflags=hidden
        ) as program,
    ):
        while program.poll() is None:
            if stop.wait(_LOOK):
                program.kill()
                return False
    if program.returncode != 0:
        last = (said.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["without a word"])[-1]
        raise RestoreError(last.removeprefix(_SAYS) if last.startswith(_SAYS) else f"The export failed: {last}")
    return True

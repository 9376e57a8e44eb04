"""May what the model makes be believed? The guards, asked for under ⋯, in a thread of their own."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QWidget

from napari_restore.gui.parts.runner import Ended, Runner
from napari_restore.gui.restore.session import Session
from napari_restore.gui.restore.work import Engine, checking
from napari_restore.sources.image import Image


class Guards(QObject):  # type: ignore[misc]
    """Puts the model of the session to the guards against invented structure, and says what they found.

    Attributes
    ----------
    said
        Signal: words for the user and their level.
    runner
        What runs meanwhile.
    """

    said = Signal(str, str)

    def __init__(self, engine: Engine, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self._engine, self._session = engine, session
        self.runner = Runner(self)
        self.runner.ended.connect(self._tell)

    def check(self, image: Image | None) -> None:
        """Begin, on the middle of an image; None where there is none, and why has been said."""
        if self._session.model is None:
            self.said.emit("There is no model yet to check: train one, or take one from a file.", "warning")
        elif image is not None and self.runner.start(checking(self._engine, self._session.model, image)):
            self.said.emit(f"Checking on {image.name}: its middle is restored some twenty times.", "info")

    def _tell(self, ended: Ended) -> None:
        if ended.failure is not None:
            self.said.emit(ended.failure.message, "error")
            return
        found: Any = ended.result
        seen = [f"{size} from {least:.2g}" for size, least in found.detectable.items() if least is not None]
        if seen:
            words = ", ".join(seen)
            self.said.emit(f"Structures that come back, by contrast in deviations of the noise: {words}.", "info")
        for flag in found.flags:
            self.said.emit(f"{flag[0].upper()}{flag[1:]}.", "warning")
        # Last, because it is what stays in sight.
        if not found.flags:
            self.said.emit(f"Checked on {found.image}: no sign of made-up structure was found.", "info")
        elif len(found.flags) > 1:
            said = f"Checked on {found.image}: {len(found.flags)} signs of made-up structure, see Details."
            self.said.emit(said, "warning")

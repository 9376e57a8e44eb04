"""A file that is asked for and written in a thread of its own: what the result, its report and an export share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_restore.gui.parts.endings import ending, filters, taken
from napari_restore.gui.parts.runner import Ended, Runner
from napari_restore.gui.restore.session import Session


class AskedFile(QObject):  # type: ignore[misc]
    """What the session has made, as a file. Subclasses have ``ask``, which says what is asked for and starts to write.

    Attributes
    ----------
    done, undone
        What is said of the file, and before what went wrong.
    said
        Signal: words for the user and their level.
    writer
        What runs meanwhile.
    """

    done: ClassVar[str]
    undone: ClassVar[str] = ""
    said = Signal(str, str)

    def __init__(self, session: Session, parent: QWidget) -> None:
        super().__init__(parent)
        self._session, self._window = session, parent
        self.writer = Runner(self)
        self.writer.ended.connect(self._tell)

    def asked(self, title: str, name: str, kinds: Mapping[str, tuple[str, ...]]) -> Path | None:
        """A new file of the kind that was chosen, with an ending; None where none was given, or it is there already.

        Parameters
        ----------
        name
            That is offered.
        kinds
            What files of these endings are called.
        """
        asked, kind = QFileDialog.getSaveFileName(self._window, title, name, filters(list(kinds.items())))
        if not asked:
            return None
        ordered = sorted(kinds, key=lambda each: not kind.startswith(each))  # that which was chosen comes first
        path = ending(asked, *(one for each in ordered for one in kinds[each]))
        if refused := taken(path, asked):
            self.said.emit(refused, "warning")
            return None
        return path

    def _tell(self, ended: Ended) -> None:
        if ended.failure is not None:
            self.said.emit(f"{self.undone}{ended.failure.message}", "error")
        else:
            self.said.emit(f"{self.done}: {ended.result}", "info")

"""Model files in the window: asked for, taken, listed and saved."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QFileDialog, QWidget

from napari_restore.core.errors import RestoreError
from napari_restore.gui.parts.endings import MODEL, ending, filters, taken
from napari_restore.gui.parts.runner import Ended, Runner
from napari_restore.gui.restore.actions import Actions
from napari_restore.gui.restore.models import Recent
from napari_restore.gui.restore.session import Session
from napari_restore.gui.restore.work import Engine, loading

_MODEL_FILES = filters([("Models", MODEL)])
_OPENED = filters([("Models", (*MODEL, ".zip"))])


class ModelFiles(QObject):  # type: ignore[misc]
    """The models that were used last, and the dialogues for others.

    Attributes
    ----------
    chosen
        Signal: a file to restore with.
    said
        Signal: words for the user and their level.
    """

    chosen = Signal(str)
    said = Signal(str, str)

    def __init__(self, engine: Engine, session: Session, buttons: Actions, parent: QWidget) -> None:
        super().__init__(parent)
        self._engine, self._session, self._buttons, self._window = engine, session, buttons, parent
        self.recent = Recent()
        self.loader = Runner(self)
        self._loading: Path | None = None
        self.loader.ended.connect(self._take)
        buttons.restore_with_file.connect(self._ask)
        buttons.restore_with_recent.connect(self.chosen)
        buttons.recent_wanted.connect(self._list)
        buttons.save.connect(self._save)

    def use(self, path: str | Path) -> None:
        """Take the model of a file, as after training; nothing is restored yet. Refused, in words, during a run."""
        if self._session.runner.running or not self.loader.start(loading(self._engine, path)):
            self.said.emit(f"A run is going on: take {Path(path).name} again when it has ended.", "warning")
        else:
            self._loading = Path(path)

    def save(self, path: Path) -> None:
        """Write the model trained last to a file, and say so, or why that fails."""
        try:
            self._session.model.save(path)
        except (RestoreError, OSError) as error:
            self.said.emit(f"The model is not saved: {error}", "error")
        else:
            self.recent.add(path)
            self.said.emit(f"Model saved: {path}", "info")

    def _take(self, ended: Ended) -> None:
        path, self._loading = self._loading, None
        if ended.failure is not None:
            self.said.emit(ended.failure.message, "error")
        elif path is not None and not self._session.runner.running:
            known = self.recent.add(path)
            self._session.take(ended.result, path.name)
            words = f": {known.words}" if known is not None else ""
            said = f"Model {path.name} taken{words}. To use it: Restore with… ▸ the model {path.name}."
            self.said.emit(said, "info")

    def _list(self) -> None:
        self._buttons.show_recent(self.recent.models())

    def _ask(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self._window, "Restore with a model", "", _OPENED)
        if path:
            self.chosen.emit(path)

    def _save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self._window, "Save the model", "model.safetensors", _MODEL_FILES)
        if not path:
            return
        file = ending(path, *MODEL)
        if refused := taken(file, path):
            self.said.emit(refused, "warning")
        else:
            self.save(file)

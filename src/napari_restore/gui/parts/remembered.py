"""What the user chose last time: kept in a file of the user's own, and offered again."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QSettings

_EFFORT, _FOLDER = "restore/effort", "restore/folder"


def user_settings() -> QSettings:
    """Where this plugin keeps what it remembers."""
    return QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, "napari-restore", "napari-restore")


class Remembered:
    """The effort and the folder for results of the last run.

    Parameters
    ----------
    settings
        Where they are kept; the user's settings unless a test brings its own.
    """

    def __init__(self, settings: QSettings | None = None) -> None:
        self._settings = settings or user_settings()

    @property
    def effort(self) -> str:
        """Its name, or nothing."""
        return str(self._settings.value(_EFFORT, ""))

    @property
    def folder(self) -> Path | None:
        """Where results were written, if that is still there; None for a temporary folder."""
        path = str(self._settings.value(_FOLDER, ""))
        return Path(path) if path and Path(path).is_dir() else None

    def keep(self, *, effort: str, folder: Path | None) -> None:
        """What a run was begun with."""
        self._settings.setValue(_EFFORT, effort)
        self._settings.setValue(_FOLDER, str(folder) if folder is not None else "")

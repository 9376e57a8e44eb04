"""What the user chose last time: kept in a file of the user's own, and offered again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import QSettings


class Remembered:
    """Texts and folders by their names.

    Parameters
    ----------
    of
        Whose they are: ``restore``, ``batch``; nothing for what belongs to no tab.
    settings
        Where they are kept; the user's settings unless a test brings its own.
    """

    def __init__(self, of: str = "", settings: QSettings | None = None) -> None:
        self._prefix = f"{of}/" if of else ""
        self._settings = settings or QSettings(
            QSettings.Format.IniFormat, QSettings.Scope.UserScope, "napari-restore", "napari-restore"
        )

    def text(self, name: str, otherwise: str = "") -> str:
        """What was kept under a name."""
        return str(self._settings.value(f"{self._prefix}{name}", otherwise))

    def folder(self, name: str = "folder") -> Path | None:
        """A folder, if it is still there; None also where none was kept."""
        path = self.text(name)
        return Path(path) if path and Path(path).is_dir() else None

    def beside(self, name: str) -> Path:
        """A folder beside the file in which all this is kept; it may not be there yet."""
        return Path(self._settings.fileName()).parent / name

    def keep(self, **values: Any) -> None:
        """Each by its name; None is kept as nothing."""
        for name, value in values.items():
            self._settings.setValue(f"{self._prefix}{name}", "" if value is None else str(value))

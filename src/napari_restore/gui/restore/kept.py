"""The model of a run that nobody waits for any more: napari or the panel was closed meanwhile. No Qt widgets here."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from napari_restore.core.errors import RestoreError
from napari_restore.gui.parts.remembered import Remembered
from napari_restore.gui.parts.runner import Ended, Keep
from napari_restore.gui.restore.models import Recent
from napari_restore.store.names import fitting, plain

_log = logging.getLogger(__name__)

_MOST = 8
"""Models in the folder of the window: as many as its menu lists. Those in a folder of the user's are all left."""

_LEFT = "left behind"


def keeping(name: str, trained: Sequence[Any], folder: Path | None) -> Keep:
    """Writes the model that a run has trained, and has the next window tell of it.

    Parameters
    ----------
    name
        Of the image.
    trained
        The models that the run has made on its way to an image.
    folder
        Where its results go; None for a temporary folder, and then it is one beside what the window remembers.
    """

    def keep(ended: Ended) -> None:
        if (model := _trained(ended, trained)) is not None:
            _write(model, name, folder)

    return keep


def left_behind() -> Path | None:
    """A model that was kept when nobody listened, told once."""
    remembered = Remembered("restore")
    path = remembered.text(_LEFT)
    if path:
        remembered.keep(**{_LEFT: None})
    return Path(path) if path and Path(path).is_file() else None


def _trained(ended: Ended, trained: Sequence[Any]) -> Any:
    """What a run has learned, whole or stopped; None where it took a model and learned nothing."""
    if ended.result is not None and not hasattr(ended.result, "levels"):
        return ended.result
    return trained[-1] if trained else None


def _write(model: Any, name: str, folder: Path | None) -> None:
    remembered = Remembered("restore")
    home = folder or remembered.beside("models")
    path = home / fitting(plain(name), f"_{datetime.now():%Y-%m-%d_%H-%M-%S}.safetensors")
    try:
        home.mkdir(parents=True, exist_ok=True)
        model.save(path)
        for old in sorted(home.glob("*.safetensors"), key=lambda each: each.stat().st_mtime)[:-_MOST]:
            if folder is None:
                old.unlink()
    except (RestoreError, OSError):
        _log.exception("the model of a run that was cut off is not kept")
        return
    Recent().add(path)
    remembered.keep(**{_LEFT: path})

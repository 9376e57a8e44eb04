"""Model files: which were used last, and what each was trained on. No torch."""

from __future__ import annotations

import json
import struct
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from qtpy.QtCore import QSettings

from napari_restore.core.errors import ModelError
from napari_restore.gui.parts.remembered import Remembered
from napari_restore.methods import METHODS
from napari_restore.store.header import PICTURE, card_in, read_header

_MOST = 8
"""Recent models, at most: as many as a menu shows at a glance."""

_SETTING = "recent models"
_LARGEST_LIST = 3
"""Images that are named one by one."""

_PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_LARGEST_SIDE = 256
"""Pixels of a picture along each side: four times what is written, and nothing to a decoder."""


@dataclass(frozen=True)
class Known:
    """A model file and what is known of it.

    Attributes
    ----------
    path
        Where it lies.
    words
        What it was trained on, in a line.
    picture
        A small PNG of a part of what it was trained on, before and after; None in files of older releases.
    """

    path: Path
    words: str
    picture: bytes | None = None

    @property
    def label(self) -> str:
        """For a menu."""
        return f"{self.path.stem}: {self.words}" if self.words else self.path.stem


class Recent:
    """The models used last, the newest first, kept from one session to the next.

    Parameters
    ----------
    settings
        Where they are kept; the user's settings unless a test brings its own.
    """

    def __init__(self, settings: QSettings | None = None) -> None:
        self._remembered = Remembered(settings=settings)

    def add(self, path: str | Path) -> Known | None:
        """Put a model first; None, and nothing happens, where the file is no model of ours."""
        card = card_of(path)
        if card is None:
            return None
        known = Known(Path(path).absolute(), trained_on(card), picture_of(card))
        rest = [one for one in self._all() if one.path != known.path]
        kept = [[str(one.path), one.words] for one in (known, *rest)[:_MOST]]
        self._remembered.keep(**{_SETTING: json.dumps(kept)})
        return known

    def models(self) -> list[Known]:
        """Those whose files are there, with the pictures in them."""
        return [replace(one, picture=picture_of(card_of(one.path))) for one in self._all() if one.path.is_file()]

    def _all(self) -> list[Known]:
        try:
            kept = json.loads(self._remembered.text(_SETTING, "[]"))
            return [Known(Path(path), str(words)) for path, words in kept]
        except (ValueError, TypeError):  # another program's, or an older release's
            return []


def card_of(path: str | Path) -> Mapping[str, Any] | None:
    """What a model file says of itself, or None where it is no model of ours. Only its header is read.

    Whether it is damaged, or too new, is said when it is loaded.
    """
    try:
        return card_in(Path(path), read_header(Path(path)))
    except ModelError:
        return None


def picture_of(card: Mapping[str, Any] | None) -> bytes | None:
    """The PNG in a card; None where there is none, or none that is safe to show."""
    try:
        png = b64decode((card or {}).get(PICTURE, ""), validate=True)
        width, height = struct.unpack_from(">II", png, len(_PNG))
    except (TypeError, ValueError, struct.error):
        return None
    small = 0 < width <= _LARGEST_SIDE and 0 < height <= _LARGEST_SIDE
    return png if png.startswith(_PNG) and small else None


def trained_on(card: Mapping[str, Any]) -> str:
    """Such as ``Noise2Void2 on cells (18 × 512 × 512 ZYX), 2026-11-21``; what is not known is left out."""
    name = str(card.get("method", ""))
    label = METHODS[name].label if name in METHODS else name.replace("_", " ").capitalize()
    told = card.get("provenance")
    past = told if isinstance(told, Mapping) else {}
    images = [_image(one) for one in past.get("images", ()) if isinstance(one, Mapping)]
    if len(images) > _LARGEST_LIST:
        more = past.get("more_images", 0)
        images = [f"{len(images) + (more if isinstance(more, int) else 0)} images"]
    day = str(past.get("date", "")).partition("T")[0]
    words = f"{label} on {', '.join(images)}" if images else label
    return f"{words}, {day}" if day else words


def _image(facts: Mapping[str, Any]) -> str:
    shape = " × ".join(str(n) for n in facts.get("shape", ()))
    return f"{facts.get('name', 'an image')} ({shape} {facts.get('axes', '')})".replace("( )", "").strip()

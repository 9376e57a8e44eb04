"""Connections to the viewer's events that can all be cut at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Links:
    """Remembers what was connected to what. Knows no Qt, so that it works when the widgets are gone."""

    def __init__(self) -> None:
        self._pairs: list[tuple[Any, Callable[..., object]]] = []

    def connect(self, emitter: Any, callback: Callable[..., object]) -> None:
        """Call ``callback`` at the emitter's events, until ``cut``."""
        emitter.connect(callback)
        self._pairs.append((emitter, callback))

    def cut(self) -> None:
        """Disconnect everything. May be called again."""
        while self._pairs:
            emitter, callback = self._pairs.pop()
            emitter.disconnect(callback)

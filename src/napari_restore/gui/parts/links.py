"""Connections to the viewer's events that can all be cut at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any


def _where_named(callback: Callable[..., object]) -> Callable[[Any], None]:
    def call(event: Any) -> None:
        if event.type == "name":
            callback(event)

    return call


class Links:
    """Remembers what was connected to what. Knows no Qt, so that it works when the widgets are gone."""

    def __init__(self) -> None:
        self._pairs: list[tuple[Any, Callable[..., object]]] = []

    def connect(self, emitter: Any, callback: Callable[..., object]) -> None:
        """Call ``callback`` at the emitter's events, until ``cut``."""
        emitter.connect(callback)
        self._pairs.append((emitter, callback))

    def connect_each(self, events: Any, names: Iterable[str], callback: Callable[..., object]) -> None:
        """The same for some of the emitters of a list of layers."""
        for name in names:
            if (emitter := getattr(events, name, None)) is not None:
                self.connect(emitter, callback)
            elif name == "renamed":  # napari before 0.6.5: only the layers tell, and their list hands on what they tell
                self.connect(events, _where_named(callback))

    def cut(self) -> None:
        """Disconnect everything. May be called again."""
        while self._pairs:
            emitter, callback = self._pairs.pop()
            with suppress(RuntimeError):  # Qt has deleted what it is compared with, and its callbacks with it
                emitter.disconnect(callback)

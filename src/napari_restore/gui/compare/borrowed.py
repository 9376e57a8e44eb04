"""How layers look while they are compared: borrowed, and given back."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from napari_restore.gui.parts.links import Links

_SAME = ("contrast_limits", "gamma")
"""What "Same contrast" holds alike."""


class Borrowed:
    """Attributes of layers that are changed for a while. What the user changes meanwhile is the user's."""

    def __init__(self) -> None:
        self._lent: list[tuple[Any, str, Any, Any]] = []

    def set(self, layer: Any, name: str, value: Any) -> None:
        """Change an attribute, and remember what it was."""
        before = getattr(layer, name)
        if before != value:
            setattr(layer, name, value)
            self._lent.append((layer, name, before, getattr(layer, name)))

    def give_back(self) -> None:
        """Set everything to what it was, the last one first. May be called again."""
        while self._lent:
            layer, name, before, now = self._lent.pop()
            if getattr(layer, name) == now:
                setattr(layer, name, before)


class SameContrast:
    """Holds the contrast of two layers alike, whichever of them is changed, until ``cut``."""

    def __init__(self, first: Any, second: Any) -> None:
        self._layers = (first, second)
        self._links = Links()
        self._borrowed = Borrowed()
        if first.rgb or second.rgb:
            return  # colour has no contrast limits
        self._widen(first.contrast_limits)
        for name in _SAME:
            self._borrowed.set(second, name, getattr(first, name))
            for source, target in ((first, second), (second, first)):
                self._links.connect(getattr(source.events, name), partial(self._copy, name, source, target))

    def cut(self) -> None:
        """Let each have its own contrast again: the second one as it was, unless the user has changed it."""
        self._links.cut()
        self._borrowed.give_back()

    def _widen(self, limits: Sequence[float]) -> None:
        """Limits outside the range of a layer's slider would be cut off."""
        second = self._layers[1]
        low, high = second.contrast_limits_range
        self._borrowed.set(second, "contrast_limits_range", (min(low, limits[0]), max(high, limits[1])))

    def _copy(self, name: str, source: Any, target: Any, event: Any = None) -> None:
        if getattr(target, name) != getattr(source, name):
            setattr(target, name, getattr(source, name))

"""Two layers compared in a viewer, and which two are worth it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from typing import Any

from napari.layers import Image as ImageLayer
from napari.utils.key_bindings import coerce_keybinding

from napari_restore.gui.compare.borrowed import Borrowed
from napari_restore.gui.compare.curtain import Curtain
from napari_restore.gui.restore.session import camera_of

KEY = "B"
"""Held down, it shows B alone."""


class Comparison:
    """Two layers being compared in a viewer, from the first picture until ``close``, which leaves no trace.

    Both are shown opaque, whatever their blending, and nothing of them is read again: blinking is a curtain that
    jumps from one end to the other.

    Parameters
    ----------
    viewer, first, second
        The viewer and two of its image layers.
    borrowed
        Remembers how the layers were.
    alone
        Whether the other image layers are hidden meanwhile.
    moved
        Called when the user has moved the divider in the canvas, with its place from 0 to 1.
    held
        Called with True when the key for the second layer goes down, and with False when it comes up.
    """

    def __init__(
        self,
        viewer: Any,
        first: Any,
        second: Any,
        *,
        borrowed: Borrowed,
        alone: bool,
        moved: Callable[[float], object],
        held: Callable[[bool], object],
    ) -> None:
        self._viewer = viewer
        self._moved = moved
        self._held = held
        self._borrowed = borrowed
        self.layers = (first, second)
        others = [one for one in viewer.layers if isinstance(one, ImageLayer) and one not in self.layers]
        for other in others if alone else ():
            self._borrowed.set(other, "visible", False)
        for layer in self.layers:
            # Not additive: where the lower one is cut away, the upper one would be added to the background.
            for name, value in (("visible", True), ("opacity", 1.0), ("blending", "translucent_no_depth")):
                self._borrowed.set(layer, name, value)
        self.curtain = Curtain(viewer, first, second)
        self._key = coerce_keybinding(KEY)
        self._key_before = viewer.keymap.get(self._key)
        self._press = self._hold
        viewer.keymap[self._key] = self._press
        self._callback = self._drag
        viewer.mouse_drag_callbacks.append(self._callback)

    def close(self) -> None:
        """Put everything back as it was. May be called again."""
        self.curtain.close()
        with suppress(ValueError):
            self._viewer.mouse_drag_callbacks.remove(self._callback)
        if self._viewer.keymap.get(self._key) is self._press:
            del self._viewer.keymap[self._key]
            if self._key_before is not None:
                self._viewer.keymap[self._key] = self._key_before
        self._borrowed.give_back()

    def _hold(self, viewer: Any) -> Generator[None, None, None]:
        """Hold for B alone (napari-restore)."""
        self._held(True)
        yield
        self._held(False)

    def _drag(self, viewer: Any, event: Any) -> Generator[None, None, None]:
        """Move the divider with the mouse; the camera stays where it is meanwhile."""
        if event.button != 1 or not self.curtain.near(*event.pos):
            return
        camera = camera_of(self._viewer)
        pans, camera.mouse_pan = camera.mouse_pan, False
        event.handled = True
        try:
            yield
            while event.type == "mouse_move" and not self.curtain.closed:
                self._moved(self.curtain.fraction_at(*event.pos))
                yield
        finally:
            camera.mouse_pan = pans


def likely_pair(layers: Sequence[Any], new: Any = None) -> tuple[Any, Any] | None:
    """Two layers that are worth comparing, before and after; None where there are not two.

    A result is called after its raw layer: ``cells_denoised`` after ``cells``. ``new`` is preferred, then what lies
    on top. Without such names, the two uppermost.
    """
    ordered = sorted(layers, key=lambda layer: layer is new)
    for after in reversed(ordered):
        before = [one for one in layers if one is not after and after.name.startswith(f"{one.name}_")]
        if before:
            return max(before, key=lambda one: len(one.name)), after
    return (layers[-2], layers[-1]) if len(layers) > 1 else None

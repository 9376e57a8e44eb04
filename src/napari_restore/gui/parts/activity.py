"""An entry in napari's activity dock for work that goes on, with its Cancel; also once our own panel is closed."""

from __future__ import annotations

import io
from collections.abc import Callable

from napari.utils.progress import cancelable_progress
from qtpy.QtCore import QObject, QTimer

from napari_restore.gui.parts.describe import Status

_STEPS = 100
_EVERY_MS = 300
"""Work that is over sooner has no entry."""


class _Entry(cancelable_progress):  # type: ignore[misc]
    """napari calls back only where it goes through what it shows; ours is told by events."""

    def cancel(self) -> None:
        super().cancel()
        self.cancel_callback()


class Activity(QObject):  # type: ignore[misc]
    """At most one entry at a time.

    napari handles all events that wait whenever an entry is made, moves or ends. So that is done by a timer alone, and
    never amid something of ours.
    """

    def __init__(self, cancel: Callable[[], object], parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._cancel = cancel
        self._entry: _Entry | None = None
        self._wanted, self._shown, self._done, self._at_it = "", "", 0, False
        self._timer = QTimer(self)
        self._timer.setInterval(_EVERY_MS)
        self._timer.timeout.connect(self._renew)

    def show(self, words: str) -> None:
        """What goes on; nothing where nothing does."""
        if words and not self._wanted:
            self._done = 0
            self._timer.start()
        self._wanted = words

    def show_status(self, status: Status) -> None:
        """How far it is; what is not known moves nothing."""
        if status.fraction is not None:
            self._done = max(0, round(_STEPS * min(status.fraction, 1.0)))

    def abandon(self) -> None:
        """The viewer is going away."""
        self._timer.stop()
        self._wanted = ""
        self._end()

    def _renew(self) -> None:
        if self._at_it:
            return
        self._at_it = True
        try:
            if self._shown != self._wanted:
                self._end()
            if not self._wanted:
                self._timer.stop()
            elif self._entry is None:
                self._shown = self._wanted
                # tqdm, which napari's are, would draw in the terminal, too.
                given = {"desc": self._wanted, "cancel_callback": self._cancel, "file": io.StringIO()}
                self._entry = _Entry(total=_STEPS, **given)
            elif self._done != self._entry.n:
                self._entry.update(self._done - self._entry.n)
        finally:
            self._at_it = False

    def _end(self) -> None:
        entry, self._entry, self._shown = self._entry, None, ""
        if entry is not None:
            entry.close()

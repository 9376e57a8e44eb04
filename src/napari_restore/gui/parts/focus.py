"""Where the keyboard is while work goes on: at Cancel, and afterwards where it was."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Literal

from qtpy.QtCore import Qt
from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QPushButton, QShortcut, QWidget

State = Literal["idle", "running", "stopping"]


class Focus:
    """Moves the keyboard's focus of a page; one that is elsewhere in the window stays there.

    Parameters
    ----------
    page
        All of the controls.
    cancel
        Where the focus is while work goes on. Escape presses it, from anywhere on the page.
    """

    def __init__(self, page: QWidget, cancel: QPushButton) -> None:
        self._page, self._cancel = page, cancel
        self._state: State = "idle"
        self._before: QWidget | None = None
        escape = QShortcut(QKeySequence(Qt.Key.Key_Escape), page)
        escape.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        escape.activated.connect(cancel.click)

    @contextmanager
    def moved(self, state: State) -> Iterator[None]:
        """While controls are enabled and disabled for a state: Qt gives the focus of one disabled to any other."""
        now = self._page.window().focusWidget()
        yield
        before, self._state = self._state, state
        if before == "idle" and state == "running" and now is not None and self._page.isAncestorOf(now):
            self._before = now
            self._cancel.setFocus()
        elif state == "stopping" and now is self._cancel:
            self._page.setFocus()  # Cancel is disabled until the work ends
        elif state == "idle" and self._before is not None:
            if now is self._cancel or now is self._page:
                self._before.setFocus()
            self._before = None


def in_order(first: QWidget, others: Iterable[QWidget]) -> None:
    """Let Tab go from one control to the others, in their order: those made later would be the last of the window."""
    for before, after in pairwise((first, *others)):
        QWidget.setTabOrder(before, after)

"""Boxes in a scroll area: the mouse wheel scrolls past them."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import QWidget


def let_scroll(box: QWidget) -> None:
    """The wheel changes a box only once it has been clicked; before, it is left to the scroll area."""
    box.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    box.installEventFilter(_Wheel(box))


class _Wheel(QObject):  # type: ignore[misc]
    def eventFilter(self, box: QWidget, event: QEvent) -> bool:  # noqa: N802
        """An event that is taken here and ignored goes to what the box lies in."""
        passes = bool(event.type() == QEvent.Type.Wheel) and not box.hasFocus()
        if passes:
            event.ignore()
        return passes

"""How a widget of ours ends: napari takes it out of its dock, or the user closes it as a window of its own."""

from __future__ import annotations

from qtpy.QtCore import QEvent, QSize


class Docked:
    """For a Qt widget, named before its Qt class; it has ``leave()``, which stops its work and lets the viewer go."""

    _docked = False

    def leave(self) -> None:
        """Stop, and listen to the viewer no more."""
        raise NotImplementedError

    def sizeHint(self) -> QSize:  # noqa: N802
        """Narrow enough for a laptop's screen beside the canvas."""
        return QSize(400, 700)

    def changeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Taken out of its dock for good: the user has closed it."""
        super().changeEvent(event)  # type: ignore[misc]
        if event.type() == QEvent.Type.ParentChange:
            home = self.parent()  # type: ignore[attr-defined]
            if self._docked and home is None:
                self.leave()
                self.deleteLater()  # type: ignore[attr-defined]
            self._docked = home is not None

    def closeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Closed as a window of its own."""
        self.leave()
        super().closeEvent(event)  # type: ignore[misc]

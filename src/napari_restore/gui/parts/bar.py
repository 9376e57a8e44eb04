"""A progress bar that never makes the window wait."""

from __future__ import annotations

from qtpy.QtWidgets import QProgressBar, QWidget


class Bar(QProgressBar):  # type: ignore[misc]
    """Is painted with the rest of the window, soon.

    Qt's own bar paints itself at every new value before ``setValue`` returns, and the whole window with it, because a
    canvas of OpenGL is in it: 20 to 50 ms without a graphics card.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setTextVisible(False)
        self.setFixedHeight(8)
        self.setAccessibleName("Progress")

    def setRange(self, minimum: int, maximum: int) -> None:  # noqa: N802
        """As Qt has it."""
        self.setUpdatesEnabled(False)
        super().setRange(minimum, maximum)
        self.setUpdatesEnabled(True)

    def setValue(self, value: int) -> None:  # noqa: N802
        """As Qt has it."""
        self.setUpdatesEnabled(False)
        super().setValue(value)
        self.setUpdatesEnabled(True)

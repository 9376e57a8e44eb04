"""Some of the planes or time points of an image, from one to another, counted as napari's sliders count."""

from __future__ import annotations

from qtpy.QtCore import QSignalBlocker, Signal
from qtpy.QtWidgets import QComboBox, QHBoxLayout, QSpinBox, QWidget

from napari_restore.core.errors import RestoreError
from napari_restore.core.region import Region
from napari_restore.gui.parts.named import label_of
from napari_restore.gui.parts.scrolling import let_scroll
from napari_restore.gui.restore.choices import let_shrink
from napari_restore.sources.image import Image

_NAMES = {"T": "Times", "Z": "Planes"}
"""Of the axes that a part of can be chosen, as the window calls what lies along them; the first is proposed."""

_NARROW = 44
"""Pixels of a box for a number, without napari's wide buttons: a small dock holds two of them beside the axis."""


class SpanChoice(QWidget):  # type: ignore[misc]
    """Which axis, and the first and the last number along it; both are restored.

    Attributes
    ----------
    changed
        Signal: other planes are meant.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.axis, self.first, self.last = QComboBox(), QSpinBox(), QSpinBox()
        self._lengths: dict[str, int] = {}
        self.axis.setAccessibleName("Time points or planes")
        self.axis.setToolTip("Along which axis only some are restored. All of the others are.")
        self.first.setToolTip("The first that is restored, as the slider below the image counts them.")
        self.last.setToolTip("The last that is restored.")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        row.addWidget(self.axis, 1)
        row.addWidget(self.first)
        row.addWidget(label_of("to", self.last, spoken="Last of them"))
        row.addWidget(self.last)
        self.first.setAccessibleName("First of them")
        let_shrink(self.axis, letters=4)
        for box in (self.first, self.last):
            box.setButtonSymbols(QSpinBox.ButtonSymbols.NoButtons)
            box.setStyleSheet(f"min-width: {_NARROW}px; max-width: {_NARROW}px;")  # napari's sheet has 70 and more
        for box in (self.axis, self.first, self.last):
            let_scroll(box)
        self.axis.currentIndexChanged.connect(self._take_axis)
        self.first.valueChanged.connect(self._take_first)
        self.last.valueChanged.connect(self._take_last)

    def show_image(self, image: Image | None) -> None:
        """Offer the axes that an image has, with what was chosen where it is long enough for that."""
        lengths = {} if image is None else {axis: image.geometry.length(axis) for axis in _NAMES}
        lengths = {axis: count for axis, count in lengths.items() if count > 1}
        if lengths == self._lengths:
            return
        self._lengths, chosen = lengths, self.axis.currentData()
        with QSignalBlocker(self.axis):
            self.axis.clear()
            for axis in lengths:
                self.axis.addItem(_NAMES[axis], axis)
            self.axis.setCurrentIndex(max(0, self.axis.findData(chosen)) if lengths else -1)
        self._take_axis()

    def region(self, image: Image) -> Region:
        """The part of an image that is meant: other axes whole.

        Raises
        ------
        RestoreError
            If it has no time points or planes, or not those.
        """
        axis: str | None = self.axis.currentData()
        if axis is None or image.geometry.length(axis) < 2:
            raise RestoreError(f"{image.name} has one plane at one time: restore everything, or draw a region.")
        first, stop, count = self.first.value(), self.last.value() + 1, image.geometry.length(axis)
        if first >= count:
            raise RestoreError(f"{image.name} has {_NAMES[axis].lower()} 0 to {count - 1}: {first} is none of them.")
        whole = Region.of_shape(image.shape)
        at = image.axes.index(axis)
        start, end = list(whole.start), list(whole.stop)
        start[at], end[at] = first, min(stop, count)
        return Region(tuple(start), tuple(end))

    def _take_axis(self, _: int = 0) -> None:
        """Another axis, or one of another length: from its first to its last."""
        count = self._lengths.get(self.axis.currentData() or "", 1)
        for box, value in ((self.first, 0), (self.last, count - 1)):
            with QSignalBlocker(box):
                box.setRange(0, count - 1)
                box.setValue(value)
        self.changed.emit()

    def _take_first(self, value: int) -> None:
        self.last.setValue(max(self.last.value(), value))
        self.changed.emit()

    def _take_last(self, value: int) -> None:
        self.first.setValue(min(self.first.value(), value))
        self.changed.emit()

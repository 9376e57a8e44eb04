"""The plane in view before and after, small, while the network learns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QRect, QSize, Qt, Signal
from qtpy.QtGui import QColor, QImage, QPainter, QPaintEvent, QResizeEvent
from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QSizePolicy, QWidget

from napari_restore.gui.restore.in_view import evenly_fine, height_of, plane_of, to_plane
from napari_restore.gui.restore.work import Pair

_LEARNING = "Restored, while it learns"

_TURN = "Alt+Z"

_FINE = 10_000
"""Of a whole number of pixels, by which a form is told."""


class Picture(QWidget):  # type: ignore[misc]
    """One image, as large as fits."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._image: QImage | None = None
        self._high = 1.0
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Expanding)
        self.setMinimumSize(120, 120)

    def sizeHint(self) -> QSize:  # noqa: N802
        """Square."""
        return QSize(180, 180)

    def hasHeightForWidth(self) -> bool:  # noqa: N802
        """As high as wide."""
        return True

    def heightForWidth(self, width: int) -> int:  # noqa: N802
        """As high as wide, up to what is sensible in a narrow dock."""
        return min(width, 240)

    def show_pixels(self, pixels: NDArray[np.uint8], *, high: float = 0.0) -> None:
        """Show (H, W) grey or (H, W, 3) colour pixels: so high, the width being 1; by itself the pixels are square."""
        pixels = np.ascontiguousarray(pixels)
        kind = QImage.Format.Format_Grayscale8 if pixels.ndim == 2 else QImage.Format.Format_RGB888
        height, width = pixels.shape[:2]
        self._image = QImage(pixels.data, width, height, pixels.strides[0], kind).copy()
        self._high = high or height / width
        self.update()

    def clear(self) -> None:
        """Show nothing."""
        self._image = None
        self.update()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to see."""
        return self._image is None

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Draw the image in the middle."""
        painter = QPainter(self)
        if self._image is None:
            painter.fillRect(self.rect(), QColor(128, 128, 128, 40))  # on dark and on light
            return
        whole = QSize(_FINE, max(1, round(_FINE * self._high)))
        size = whole.scaled(self.size(), Qt.AspectRatioMode.KeepAspectRatio)
        corner = ((self.width() - size.width()) // 2, (self.height() - size.height()) // 2)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, size.width() < self._image.width())
        painter.drawImage(QRect(*corner, size.width(), size.height()), self._image)


class Strip(Picture):
    """One image over the whole width, no higher than it must be."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setMinimumSize(120, 1)
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

    def show_pixels(self, pixels: NDArray[np.uint8], *, high: float = 0.0) -> None:
        """As of a picture."""
        super().show_pixels(pixels, high=high)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:  # noqa: N802
        """Keep the form."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        self.setFixedHeight(self.heightForWidth(round(self.width() * self._high)))


@dataclass(frozen=True, eq=False)
class Look:
    """How the raw layer looks, so that the preview looks like the canvas.

    ``colours`` are the layer's colours from dark to bright, (N, 3) of uint8; None leaves pixels grey.
    """

    limits: tuple[float, float] = (0, 255)
    gamma: float = 1.0
    colours: NDArray[np.uint8] | None = None

    @classmethod
    def of(cls, layer: Any) -> Look:
        """The look of an image layer."""
        if layer.rgb:
            return cls()
        colours = np.round(255 * layer.colormap.map(np.linspace(0, 1, 256, dtype=np.float32))[:, :3])
        return cls(tuple(layer.contrast_limits), float(layer.gamma), colours.astype(np.uint8))

    def paint(self, plane: NDArray[Any]) -> NDArray[np.uint8]:
        """Pixels (Y, X) or (Y, X, 3) in the colours of the screen."""
        low, high = self.limits
        scaled = (np.nan_to_num(plane.astype(np.float32)) - low) / max(high - low, 1e-12)
        grey = np.asarray(255 * np.clip(scaled, 0, 1) ** self.gamma, dtype=np.uint8)
        return grey if self.colours is None else np.asarray(self.colours[grey])


class PreviewPane(QWidget):  # type: ignore[misc]
    """Raw on the left, restored on the right, with the same contrast; of a stack the plane that cuts it below.

    Attributes
    ----------
    turned
        Signal: another plane is to cut the one in view.
    grown
        Signal: there is a plane now that cuts it.
    """

    turned = Signal()
    grown = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.before, self.after = Picture(self), Picture(self)
        self.before_across, self.after_across = Strip(self), Strip(self)
        self.caption = QLabel(_LEARNING)
        self.turn = QPushButton("XZ")
        self.turn.setShortcut(_TURN)
        self.turn.setToolTip("The stack cut through the middle of the view: press for another plane (Alt+Z).")
        self.turn.clicked.connect(lambda _checked: self.turned.emit())
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for column, (title, picture) in enumerate(((QLabel("Measured"), self.before), (self.caption, self.after))):
            title.setAlignment(Qt.AlignmentFlag.AlignCenter)
            title.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            layout.addWidget(title, 0, column)
            layout.addWidget(picture, 1, column)
            layout.setColumnStretch(column, 1)
        layout.addWidget(self.turn, 2, 0, 1, 2, Qt.AlignmentFlag.AlignCenter)
        layout.addWidget(self.before_across, 3, 0)
        layout.addWidget(self.after_across, 3, 1)
        self.setToolTip(
            "The part of the plane you look at, as it is and as the network restores it now.\n"
            "It follows the sliders and the camera of the viewer, and the plane that you roll to."
        )
        self._cut(False)

    def show_pair(self, pair: Pair, *, axes: str, look: Look, channel: int = 0, size: Mapping[str, float]) -> None:
        """Show a preview beside its raw pixels, both as large, however fine the preview is; ``size`` is of a pixel."""
        across, plane = pair.preview.across, plane_of(pair.preview.region, axes)
        before = to_plane(pair.before, axes, channel=channel, plane=plane)
        after = to_plane(pair.preview.pixels, axes, channel=channel, plane=plane)
        high = height_of(plane, before.shape, size)
        pictures = (self.before_across, self.after_across) if across else (self.before, self.after)
        for picture, pixels in zip(pictures, (before, evenly_fine(after, before.shape)), strict=True):
            picture.show_pixels(look.paint(pixels), high=high)
        if across:
            self.turn.setText(plane)
            self.turn.setShortcut(_TURN)  # which another text takes away
            if self.turn.isHidden():
                self._cut(True)
                self.grown.emit()
        else:
            step = f"step {pair.preview.step}" if pair.preview.step else ""  # at 0 nothing is learned
            self.caption.setText(", ".join(filter(None, ["Restored", plane if plane != "XY" else "", step])))

    def clear(self) -> None:
        """Forget the last run."""
        self.caption.setText(_LEARNING)
        for picture in (self.before, self.after, self.before_across, self.after_across):
            picture.clear()
        self._cut(False)

    def _cut(self, shown: bool) -> None:
        for widget in (self.turn, self.before_across, self.after_across):
            widget.setVisible(shown)

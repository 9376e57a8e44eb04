"""The plane in view before and after, small, while the network learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import lcm
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QRect, QSize, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPaintEvent
from qtpy.QtWidgets import QGridLayout, QLabel, QSizePolicy, QWidget

from napari_restore.core.events import Preview
from napari_restore.core.region import Region
from napari_restore.gui.restore.work import Pair
from napari_restore.sources.image import Image

PREVIEW_SIDE = 256
"""Pixels along Y and X of the part that is previewed: enough to judge, and a tenth of a second to restore."""


class Picture(QWidget):  # type: ignore[misc]
    """One image, as large as fits, its pixels square."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._image: QImage | None = None
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

    def show_pixels(self, pixels: NDArray[np.uint8]) -> None:
        """Show (H, W) grey or (H, W, 3) colour pixels."""
        pixels = np.ascontiguousarray(pixels)
        kind = QImage.Format.Format_Grayscale8 if pixels.ndim == 2 else QImage.Format.Format_RGB888
        height, width = pixels.shape[:2]
        self._image = QImage(pixels.data, width, height, pixels.strides[0], kind).copy()
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
        size = self._image.size().scaled(self.size(), Qt.AspectRatioMode.KeepAspectRatio)
        corner = ((self.width() - size.width()) // 2, (self.height() - size.height()) // 2)
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform, size.width() < self._image.width())
        painter.drawImage(QRect(*corner, size.width(), size.height()), self._image)


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
    """Raw on the left, restored on the right, with the same contrast."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.before, self.after = Picture(self), Picture(self)
        self.caption = QLabel("Restored, while it learns")
        layout = QGridLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        for column, (title, picture) in enumerate(((QLabel("Measured"), self.before), (self.caption, self.after))):
            title.setAlignment(Qt.AlignmentFlag.AlignCenter)
            title.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
            layout.addWidget(title, 0, column)
            layout.addWidget(picture, 1, column)
            layout.setColumnStretch(column, 1)
        self.setToolTip(
            "The part of the plane you look at, as it is and as the network restores it now.\n"
            "It follows the sliders and the camera of the viewer."
        )

    def show_pair(self, pair: Pair, *, axes: str, look: Look, channel: int = 0) -> None:
        """Show a preview beside its raw pixels, both as large, however fine the preview is."""
        step = pair.preview.step
        self.caption.setText(f"Restored, step {step}")
        before = to_plane(pair.before, axes, channel=channel)
        after = to_plane(pair.preview.pixels, axes, channel=channel)
        for picture, plane in ((self.before, before), (self.after, evenly_fine(after, before.shape))):
            picture.show_pixels(look.paint(plane))

    def clear(self) -> None:
        """Forget the last run."""
        self.caption.setText("Restored, while it learns")
        self.before.clear()
        self.after.clear()


def region_in_view(image: Image, position: Sequence[float], *, rgb: bool = False, side: int = PREVIEW_SIDE) -> Region:
    """The part of the plane at ``position``: at most ``side`` pixels along Y and X, one along the others, all of C.

    ``position`` is in the layer's data coordinates: one entry an axis, without the channel axis where ``rgb``.
    """
    axes = [a for a in image.axes if not (rgb and a == "C")]
    at = dict(zip(axes, position, strict=True))
    spans = [_span(a, image.geometry.length(a), at.get(a, 0.0), side) for a in image.axes]
    return Region(tuple(a for a, _ in spans), tuple(b for _, b in spans))


def _span(axis: str, length: int, centre: float, side: int) -> tuple[int, int]:
    """Start and stop of the region along one axis."""
    if axis == "C":
        return 0, length
    size = min(side, length) if axis in "YX" else 1
    start = round(centre) - size // 2 if np.isfinite(centre) else 0
    start = min(max(start, 0), length - size)
    return start, start + size


def change(before: Preview, now: Preview) -> float | None:
    """How much a preview differs from the one before, in percent of its contrast; None where they are of other parts.

    The root mean square of the difference over the deviation of the newer one.
    """
    if before.region != now.region or before.pixels.shape != now.pixels.shape:
        return None
    a, b = np.nan_to_num(before.pixels.astype(np.float64)), np.nan_to_num(now.pixels.astype(np.float64))
    contrast = float(b.std())
    return 100 * float(np.sqrt(np.mean((b - a) ** 2))) / contrast if contrast > 0 else None


def to_plane(pixels: NDArray[Any], axes: str, *, channel: int = 0) -> NDArray[Any]:
    """(Y, X) of the channel, or (Y, X, 3) where the last axis is colour, out of a region's pixels."""
    colour = axes[-1] == "C" and pixels.shape[-1] in (3, 4)
    kept = "YXC" if colour else "YX"
    index = tuple(
        slice(None) if a in kept else (min(channel, n - 1) if a == "C" else 0)
        for a, n in zip(axes, pixels.shape, strict=True)
    )
    plane = pixels[index]
    left = "".join(a for a in axes if a in kept)
    return plane.transpose([left.index(a) for a in kept])[..., :3] if colour else _rows_first(plane, left)


def evenly_fine(plane: NDArray[Any], raw: Sequence[int]) -> NDArray[Any]:
    """A plane (Y, X, ...) with its pixels repeated until there are as many to a raw pixel along Y as along X."""
    rows, columns = (n // m for n, m in zip(plane.shape[:2], raw[:2], strict=True))
    both = lcm(rows, columns)
    return plane.repeat(both // rows, 0).repeat(both // columns, 1)


def _rows_first(plane: NDArray[Any], axes: str) -> NDArray[Any]:
    return plane if axes == "YX" else plane.T

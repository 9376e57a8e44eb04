"""Which image: a layer of the viewer, the axes it is said to have, and what it then is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from qtpy.QtCore import QObject, Qt, Signal
from qtpy.QtWidgets import QLabel, QLineEdit, QPushButton

from napari_restore.core.errors import ImageError, RestoreError
from napari_restore.gui.parts.describe import describe_image, for_widget
from napari_restore.gui.parts.layers import made_by
from napari_restore.gui.parts.links import Links
from napari_restore.gui.parts.runner import Ended, Runner
from napari_restore.gui.restore.choices import LayerChoice
from napari_restore.gui.restore.from_file import FileFacts, give, lacks, reading
from napari_restore.gui.restore.session import camera_of, world_in_view
from napari_restore.sources import open_image
from napari_restore.sources.image import Image


class Subject(QObject):  # type: ignore[misc]
    """The layer that is chosen, as an image. It follows the layer's changes.

    Attributes
    ----------
    layers, axes, size
        The widgets: a box, a line, and words.
    image
        What the layer was when it was last described, or None.
    followed
        What is connected to the layer.
    chosen
        Signal: another layer, or none; ``described`` follows.
    described
        Signal: the image is another one, or has other axes.
    said
        Signal: words for the user and their level.
    """

    chosen = Signal(object)
    described = Signal()
    said = Signal(str, str)

    def __init__(self, viewer: Any, links: Links, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self.layers = LayerChoice(viewer, links)
        self.axes = QLineEdit()
        self.size = QLabel()
        self.image: Image | None = None
        self.followed = Links()
        self._typed = ""
        self._shown = ""
        self._facts = FileFacts()
        self._reader = Runner(self, every_ms=30)
        self._reader.ended.connect(self._take_facts)
        self._read: Any = None
        self.give = QPushButton("Give to the layer")
        self.give.setToolTip("Let the layer have the axes and the pixel size of its file: scale bar and sliders, too.")
        self.give.hide()
        self.give.clicked.connect(lambda _checked: self._give())
        self.axes.setMaximumWidth(80)
        self.size.setWordWrap(True)
        self.size.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.layers.chosen.connect(self.take_layer)
        self.axes.editingFinished.connect(self._take_axes)

    @property
    def layer(self) -> Any:
        """The layer that is chosen, or None."""
        return self.layers.layer

    def open(self, layer: Any) -> Image:
        """A layer as an image; with the axes the user typed, where it has as many.

        Raises
        ------
        RestoreError
            If it cannot be restored, or the axes are wrong.
        """
        alike = layer is self.layer or layer.ndim == self.layer.ndim
        typed = wanted_axes(self._typed, layer) if alike else None
        facts = self._facts if layer is self.layer else FileFacts()
        axes = typed or facts.axes or None
        sizes = {axis: size for axis, size in facts.pixel_size.items() if axes is None or axis in axes}
        return open_image(layer, axes=axes, pixel_size=sizes or None)

    def opened(self) -> Image | None:
        """The chosen layer as an image; or None, and the reason is said."""
        if self.layer is None:
            return None
        try:
            return self.open(self.layer)
        except RestoreError as error:
            self.said.emit(str(error), "error")
            return None

    def allow(self, allowed: bool) -> None:
        """Let another layer be chosen, or other axes be named."""
        self.layers.setEnabled(allowed)
        self.axes.setEnabled(allowed and self.layer is not None)

    def take_layer(self, layer: Any = None) -> None:
        """Another layer is chosen: say what it is, and follow its changes."""
        self.followed.cut()
        self._typed, self._facts = "", FileFacts()
        self.chosen.emit(self.layer)
        if self.layer is not None:
            for name in ("data", "scale", "units", "axis_labels"):
                self.followed.connect(getattr(self.layer.events, name), self._describe)
        self._describe()
        self._look_into_file()

    def abandon(self) -> None:
        """The viewer is going away."""
        self._reader.abandon()

    def _look_into_file(self) -> None:
        """Where the layer was read by another reader than ours, its file may know more."""
        if self.layer is not None and lacks(self.layer) and self._reader.start(reading(self.layer)):
            self._read = self.layer

    def _take_facts(self, ended: Ended) -> None:
        read, self._read = self._read, None
        if read is not self.layer:
            self._look_into_file()  # another one was chosen meanwhile
        elif ended.failure is None and ended.result.words:
            self._facts = ended.result
            self._describe()

    def _give(self) -> None:
        """The layer gets what its file says, at once: it is described once, and then by itself."""
        layer, facts = self.layer, self._facts
        self._facts = FileFacts()
        if layer is not None:
            with steady(self._viewer, layer):
                give(layer, facts)

    def _take_axes(self) -> None:
        """The user has typed axes; an empty box goes back to what was found."""
        if self.axes.text().strip().upper() != self._shown:
            self._typed = self.axes.text()
            self._describe()

    def _describe(self, event: Any = None) -> None:
        """Show the axes and the size of the chosen layer, as they are or as the user has named them."""
        layer, self._shown = self.layer, ""
        image = self.opened()
        if image is None and self._typed:
            self._typed = ""
            image = self.opened()
        if image is None:
            self.size.setText("Open an image, or File ▸ Open Sample ▸ napari-restore." if layer is None else "")
        else:
            self._shown = image.axes.replace("C", "") if layer.rgb else image.axes
            notes = () if self._typed or self._facts.axes else image.notes
            if self._facts.words:
                notes = (*notes, self._facts.words)
            if method := made_by(layer):
                notes = (*notes, f"it is restored already, by {method}")
            self.size.setText("\n".join([_unbroken(describe_image(image)), *(for_widget(note) for note in notes)]))
        self.axes.setText(self._shown)
        self.give.setVisible(image is not None and bool(self._facts.words))
        self.image = image
        self.described.emit()


@contextmanager
def steady(viewer: Any, layer: Any) -> Iterator[None]:
    """Let the same part of a layer be in view, although pixels get another size: napari would show what lies there."""
    camera = camera_of(viewer)
    here, zoom, size = layer.world_to_data(world_in_view(viewer)), float(camera.zoom), float(layer.scale[-1])
    yield
    point = layer.data_to_world(here)
    first = viewer.dims.ndim - len(point)
    for axis, x in enumerate(point, start=first):
        viewer.dims.set_point(axis, x)
    center = list(camera.center)
    for place, axis in enumerate(viewer.dims.displayed, start=len(center) - len(viewer.dims.displayed)):
        center[place] = point[axis - first] if axis >= first else center[place]
    camera.center, camera.zoom = tuple(center), zoom * size / float(layer.scale[-1])


def wanted_axes(text: str, layer: Any) -> str | None:
    """The axes in the box for this layer (colour goes last by itself), or None where the box is empty.

    Raises
    ------
    ImageError
        If there is not one letter an axis.
    """
    letters = text.strip().upper()
    if "(" in letters:
        raise ImageError(
            f"axes {letters!r} would take the layer {layer.name} apart: a result lies over its layer. Restore its file "
            "in a script with these axes, or split the layer first."
        )
    if letters and len(letters) != layer.ndim:
        raise ImageError(f"axes {letters!r} are {len(letters)} letters: the layer {layer.name} has {layer.ndim} axes.")
    return (letters + "C" * bool(layer.rgb)) or None if letters else None


def _unbroken(text: str) -> str:
    """The same words, broken into lines only after a comma."""
    return ", ".join(part.replace(" ", "\u00a0") for part in text.split(", "))

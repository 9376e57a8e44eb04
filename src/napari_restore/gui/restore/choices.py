"""What to do, to which image, with how much effort, and where the result goes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Literal

from napari.layers import Image as ImageLayer
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QPaintEvent
from qtpy.QtWidgets import (
    QButtonGroup,
    QComboBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QWidget,
)

from napari_restore.core.errors import RestoreError
from napari_restore.core.options import Effort
from napari_restore.gui.parts.colours import chosen_button
from napari_restore.gui.parts.describe import describe_time
from napari_restore.gui.parts.layers import is_comparison
from napari_restore.gui.parts.links import Links
from napari_restore.gui.parts.named import label_of, with_key
from napari_restore.gui.restore.editor import Editor
from napari_restore.gui.restore.verbs import SHOWN, seconds_of
from napari_restore.methods import MOST_FINER, listed, rows
from napari_restore.sources.image import Image
from napari_restore.store.files import check_folder
from napari_restore.verbs import VERBS, Verb

_WITH = {"second": ": with a second image", "target": ": with a clean image"}
"""What the list of methods says of the other image, by what a method needs."""

_MARGIN = 6
"""Pixels beside the words in a box."""

_FEWEST_PLANES = 4
"""A stack of fewer planes says too little about what lies between them."""


class VerbChoice(QWidget):  # type: ignore[misc]
    """A button for each verb that makes an image of one, and one of them down.

    Attributes
    ----------
    chosen
        Signal: the name of the verb chosen now.
    """

    chosen = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.buttons: dict[str, QPushButton] = {}
        self.verb = SHOWN[0]
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(2)
        group = QButtonGroup(self)
        for number, name in enumerate(SHOWN, start=1):
            button = QPushButton(VERBS[name].label)
            button.setCheckable(True)
            with_key(button, f"Alt+{number}", tip=VERBS[name].tip)
            button.clicked.connect(partial(self._take, name))
            group.addButton(button)
            row.addWidget(button, len(VERBS[name].label) + 4)  # the longest is not to be cut where it is bold
            self.buttons[name] = button
        self.buttons[self.verb].setChecked(True)

    def choose(self, verb: str) -> None:
        """Press a button."""
        self.buttons[verb].setChecked(True)
        self._take(verb)

    def set_colours(self, *, accent: str, text: str) -> None:
        """Show which one is down."""
        self.setStyleSheet(chosen_button(accent=accent, text=text))

    def _take(self, verb: str, checked: bool = True) -> None:
        if verb != self.verb:
            self.verb = verb
            self.chosen.emit(verb)


class LayerChoice(QComboBox):  # type: ignore[misc]
    """The viewer's image layers, the newest first. Where ``follow``, the selected one, unless the box is disabled.

    Attributes
    ----------
    chosen
        Signal: the layer that is chosen now, or None; sent when it is another one than before.
    """

    chosen = Signal(object)

    def __init__(self, viewer: Any, links: Links, parent: QWidget | None = None, *, follow: bool = True) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._layers: list[Any] = []
        self._last: Any = None
        let_shrink(self)
        self.setToolTip("The image to restore: the layer selected in the viewer, if it is an image.")
        self.currentIndexChanged.connect(self._announce)
        links.connect_each(viewer.layers.events, ("inserted", "removed", "reordered", "renamed"), self.refresh)
        self.refresh()
        if follow:
            links.connect(viewer.layers.selection.events.active, self._follow)
            self._follow()

    @property
    def layer(self) -> Any:
        """The layer chosen, or None where the viewer has no image."""
        index = self.currentIndex()
        return self._layers[index] if 0 <= index < len(self._layers) else None

    def choose(self, layer: Any) -> None:
        """Choose a layer, if it is listed."""
        if layer in self._layers:
            self.setCurrentIndex(self._layers.index(layer))

    def paintEvent(self, event: QPaintEvent) -> None:  # noqa: N802
        """Names that differ at their ends alone are cut in the middle; Qt would cut those ends off."""
        painter, option = QStylePainter(self), QStyleOptionComboBox()
        self.initStyleOption(option)
        part = QStyle.SubControl.SC_ComboBoxEditField
        room = self.style().subControlRect(QStyle.ComplexControl.CC_ComboBox, option, part, self).width() - _MARGIN
        option.currentText = self.fontMetrics().elidedText(option.currentText, Qt.TextElideMode.ElideMiddle, room)
        painter.drawComplexControl(QStyle.ComplexControl.CC_ComboBox, option)
        painter.drawControl(QStyle.ControlElement.CE_ComboBoxLabel, option)

    def choose_besides(self, layer: Any) -> None:
        """Choose the newest layer that is another one."""
        self.choose(next((one for one in self._layers if one is not layer), None))

    def refresh(self, event: Any = None) -> None:
        """List the viewer's image layers anew; the one chosen stays chosen while it exists."""
        chosen = self.layer
        self.blockSignals(True)
        self._layers = [layer for layer in reversed(self._viewer.layers) if isinstance(layer, ImageLayer)]
        self.clear()
        self.addItems([layer.name for layer in self._layers])
        self.blockSignals(False)
        self.choose(chosen if chosen in self._layers else self._viewer.layers.selection.active)
        self._announce()

    def _follow(self, event: Any = None) -> None:
        active = self._viewer.layers.selection.active
        if self.isEnabled() and not is_comparison(active):
            self.choose(active)

    def _announce(self, index: int = 0) -> None:
        if self.layer is not self._last:
            self._last = self.layer
            self.chosen.emit(self.layer)


class MethodChoice(Editor):
    """Which method denoises; where it learns from two images, also the layer of the other one.

    Parameters
    ----------
    opened
        Opens a layer, as the user has named its axes.
    """

    def __init__(
        self, viewer: Any, links: Links, opened: Callable[[Any], Image], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._opened = opened
        self._layer: Any = None
        self.box = QComboBox()
        self._rows = {name: row for name, row in rows().items() if row.does == "denoise"}
        self._add("auto", "Chosen by the noise", "Looks at the noise, takes the method that suits it, and says why.")
        for name, row in self._rows.items():
            self._add(name, row.label + "".join(_WITH[need] for need in row.needs), row.tip)
        let_shrink(self.box)
        self.other = LayerChoice(viewer, links, follow=False)
        self.setFocusProxy(self.box)
        self._what = label_of("", self.other)
        self.words = QLabel()
        self.words.setWordWrap(True)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        grid.setColumnStretch(1, 1)
        grid.addWidget(self.box, 0, 0, 1, 2)
        grid.addWidget(self._what, 1, 0)
        grid.addWidget(self.other, 1, 1)
        grid.addWidget(self.words, 2, 0, 1, 2)
        self.box.currentIndexChanged.connect(self._take)
        self.other.chosen.connect(lambda _: self._tell())
        self._take()

    @property
    def value(self) -> str:
        """The name of the method, or ``auto``."""
        return str(self.box.currentData())

    @property
    def more(self) -> dict[str, Any]:
        """The other image, where the method learns from two."""
        return {self.needs: self._opened(self.partner)} if self.needs else {}

    @property
    def wrong(self) -> str:
        """That the other layer is missing."""
        try:
            _ = self.partner
        except RestoreError as error:
            return str(error)
        return ""

    def suits(self, verb: Verb) -> bool:
        """For verbs that denoise: those that undo something have methods of their own."""
        return verb.does != "undo"

    @property
    def kept(self) -> str | None:
        """Its name, where it needs no other layer."""
        return None if self.needs else self.value

    def take(self, value: str) -> None:
        """Choose a method by its name, if there is such a one."""
        if self.box.findData(value) >= 0:
            self.choose(value)

    @property
    def needs(self) -> Literal["", "second", "target"]:
        """``second`` or ``target``, where the method learns from two images; else nothing."""
        row = self._rows.get(self.value)
        return row.needs[0] if row is not None and row.needs else ""

    def choose(self, method: str) -> None:
        """Choose a method by its name."""
        self.box.setCurrentIndex(self.box.findData(method))

    @property
    def partner(self) -> Any:
        """The layer of the other image, or None where the method learns from one.

        Raises
        ------
        RestoreError
            If none is chosen, or the layer itself.
        """
        if not self.needs:
            return None
        if self.other.layer is None or self.other.layer is self._layer:
            wanted = "a second acquisition" if self.needs == "second" else "a clean image"
            raise RestoreError(
                f"{self._rows[self.value].label} learns from {wanted} besides the layer itself: "
                "choose another layer for it, or another method."
            )
        return self.other.layer

    def show_layer(self, layer: Any) -> None:
        """Another layer is to be restored: it cannot be the other image too, and what is wrong is said."""
        self._layer = layer
        if self.needs and self.other.layer is layer:
            self.other.choose_besides(layer)
        self.words.setText(self.wrong)
        self.words.setVisible(bool(self.words.text()) and layer is not None)

    def set_colours(self, *, error: str) -> None:
        """The colour of words about what is wrong."""
        self.words.setStyleSheet(f"color: {error};")

    def _add(self, name: str, label: str, tip: str) -> None:
        self.box.addItem(label, name)
        self.box.setItemData(self.box.count() - 1, tip, Qt.ItemDataRole.ToolTipRole)

    def _take(self, _: int = 0) -> None:
        self.box.setToolTip(self.box.currentData(Qt.ItemDataRole.ToolTipRole))
        self._what.setText("Clean image" if self.needs == "target" else "Second image")
        self.other.setAccessibleName(self._what.text())
        self.other.setToolTip("A layer of the same scene and shape as the image to restore.")
        for widget in (self._what, self.other):
            widget.setVisible(bool(self.needs))
        self._tell()

    def _tell(self) -> None:
        self.show_layer(self._layer)
        self.changed.emit()


class EffortChoice(QComboBox):  # type: ignore[misc]
    """How long to train."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.show_method("auto")
        let_shrink(self)

    def show_method(self, method: str, *, instant: str = "") -> None:
        """Say how long each effort trains; where the noise decides on the method, how long at most.

        Parameters
        ----------
        instant
            The method that needs no training, where there is one.
        """
        chosen = self.currentData()
        most = "up to " if method == "auto" else ""
        self.blockSignals(True)
        self.clear()
        if instant:
            self.addItem(f"Instant: {listed(instant).label}, no training", "instant")
        for effort, seconds in seconds_of(method).items():
            self.addItem(f"{effort.capitalize()}: {most}{describe_time(seconds)} of training", effort)
        known = self.findData(chosen)
        self.setCurrentIndex(known if known >= 0 else self.findData("normal"))
        self.blockSignals(False)

    @property
    def effort(self) -> Effort:
        """The effort chosen."""
        effort: Effort = self.currentData()
        return effort


class DepthChoice(QComboBox):  # type: ignore[misc]
    """Whether a stack is looked at plane by plane or in 3-D; the line below it says what that costs."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        for words, dimensions in (
            ("Chosen by the method", None),
            ("Plane by plane", "2"),
            ("In 3-D: several times slower", "3"),
        ):
            self.addItem(words, dimensions)
        let_shrink(self)
        self.setToolTip(
            "Plane by plane suits thin stacks and planes that lie far apart. In 3-D the network looks along Z, too:\n"
            "better where neighbouring planes look alike. Time and memory of each are told below."
        )

    @property
    def options(self) -> dict[str, str]:
        """As methods take it; nothing where it is left to them."""
        dimensions: str | None = self.currentData()
        return {} if dimensions is None else {"dimensions": dimensions}


class FactorChoice(Editor):
    """How much finer the pixels become: in the plane, or from plane to plane of a stack."""

    grows = False

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.box = QComboBox()
        self.planes = QSpinBox()
        self.setFocusProxy(self.box)
        self._times = label_of("planes for one", self.planes, spoken="Planes for one")
        for n in (2, 3, 4):
            self.box.addItem(f"{n} × finer in Y and X", n)
        let_shrink(self.box)
        self.planes.setRange(2, MOST_FINER)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(4)
        for widget in (self.box, self.planes, self._times):
            row.addWidget(widget)
        self.box.currentIndexChanged.connect(self._take)
        self.planes.valueChanged.connect(self._take)
        self._take()

    @property
    def value(self) -> int | dict[str, int]:
        """As ``super_resolve`` takes it."""
        chosen: int | None = self.box.currentData()
        return chosen if chosen is not None else {"Z": self.planes.value()}

    @property
    def kept(self) -> int | None:
        """How much finer along Y and X; from plane to plane is of one stack."""
        chosen: int | None = self.box.currentData()
        return chosen

    def take(self, value: int) -> None:
        """So much finer along Y and X, where that is offered."""
        self.box.setCurrentIndex(max(0, self.box.findData(value)))

    @property
    def finer(self) -> int:  # type: ignore[override]
        """Along Y and X."""
        return self.box.currentData() or 1

    def show_image(self, image: Image | None, *, finer: int) -> None:
        """Offer Z for stacks alone, at first so often that voxels become cubes."""
        planes = image.geometry.length("Z") if image is not None else 1
        index = self.box.findText("Z only")
        if planes < _FEWEST_PLANES:
            self.box.removeItem(index)
        elif index < 0 and image is not None:
            self.box.addItem("Z only", None)
            apart = round(image.geometry.size_of("Z") / image.geometry.size_of("X"))
            self.planes.setValue(min(max(apart, 2), MOST_FINER))

    def _take(self, _: int = 0) -> None:
        along_z = self.box.currentData() is None
        self.planes.setVisible(along_z)
        self._times.setVisible(along_z)
        self.changed.emit()


class PlaceChoice(QComboBox):  # type: ignore[misc]
    """Where results are written. A folder is tried when it is chosen.

    Attributes
    ----------
    said
        Signal: why a folder is not taken, and the level.
    """

    said = Signal(str, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.folder: Path | None = None
        self.addItems(["In a temporary folder", "In a folder…"])
        self.activated.connect(self._choose)
        let_shrink(self)
        self.setToolTip(
            "Where the result is written, as OME-Zarr, while it fills in.\n"
            "A temporary folder is emptied by the system sooner or later."
        )

    def use(self, folder: Path | None) -> None:
        """Write into this folder, or into a temporary one."""
        self.folder = folder
        self.setItemText(1, f"In {folder}" if folder else "In a folder…")
        self.setCurrentIndex(1 if folder else 0)

    def _choose(self, index: int) -> None:
        if index == 0:
            self.use(None)
        elif self.ask() is None:
            self.use(self.folder)

    def ask(self) -> Path | None:
        """Ask for a folder and take it; None, and the reason is said, where nothing can be written there."""
        chosen = QFileDialog.getExistingDirectory(self, "Write results to")
        if not chosen:
            return None
        folder = Path(chosen)
        try:
            check_folder(folder)
        except RestoreError as error:
            self.said.emit(f"Nothing can be written there: {error}", "error")
            return None
        self.use(folder)
        return folder


def let_shrink(box: QComboBox, *, letters: int = 12) -> None:
    """A long name must not make the dock wide."""
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(letters)
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)

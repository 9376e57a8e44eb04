"""What blurs the image: the kind of PSF, its numbers, and a picture of it."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from magicgui.widgets import create_widget
from numpy.typing import NDArray
from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QGridLayout,
    QLabel,
    QLineEdit,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_restore.core.errors import RestoreError
from napari_restore.core.events import Event
from napari_restore.gui.parts.focus import in_order
from napari_restore.gui.parts.links import Links
from napari_restore.gui.parts.named import label_of
from napari_restore.gui.parts.paths import PathLine
from napari_restore.gui.parts.runner import Ended, Runner, Start
from napari_restore.gui.parts.scrolling import let_scroll
from napari_restore.gui.restore.choices import LayerChoice, let_shrink
from napari_restore.gui.restore.editor import Editor
from napari_restore.gui.restore.point_spread import (
    FORMULAS,
    Beads,
    Formula,
    Number,
    Options,
    PsfRequest,
    PsfSeen,
    describe_psf,
    known_of,
    read,
)
from napari_restore.gui.restore.preview import Picture
from napari_restore.sources import open_image
from napari_restore.sources.image import Image
from napari_restore.verbs.request import Option

_SIDE = 68
"""Pixels of the screen along a side of the picture."""

_PAUSE_MS = 120
"""After the last change: a number that is typed is not read digit by digit."""

_NONE = "None: the pixel's size alone"
_GAMMA = 0.5


class PsfChoice(Editor):
    """Chooses a PSF and shows it. It is read in a thread, some time after the last change.

    Attributes
    ----------
    error
        What is wrong with the PSF, in words; empty where nothing is known to be.
    forms, beads
        The numbers of each kind that was chosen so far, and the layer of beads once that was: making and styling boxes
        that nobody sees takes time when a window opens. So nothing is chosen before a verb shows it.
    seen
        The PSF in the picture, or None.
    """

    def __init__(self, viewer: Any, links: Links, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.error = ""
        self.seen: PsfSeen | None = None
        self._axes, self._finer, self._stale = 2, 1, False
        self._known: Mapping[str, Any] = {}
        self._told: str | None = None
        self._image: Image | None = None
        self.kind = QComboBox()
        self.setFocusProxy(self.kind)
        self.forms: dict[str, FormulaForm] = {}
        self.text = QLineEdit()
        self.path = PathLine(
            "A PSF, or a picture of one bright point on darker ground.",
            title="An image file of the PSF",
            mode="r",
            placeholder="a picture of one point",
        )
        self.path.line.setAccessibleName("Image file of the PSF")
        self._around = viewer, links
        self.beads: BeadForm | None = None
        self._pages: dict[str, QWidget] = {"text": self.text, "file": self.path}
        self._column = QVBoxLayout()
        self.picture, self.side_view = Picture(self), Picture(self)
        self.caption = QLabel()
        self._colour = ""
        self._reader = Runner(self, every_ms=30)
        self._later = QTimer(self)
        self._later.setSingleShot(True)
        self._later.setInterval(_PAUSE_MS)
        self._lay_out()
        self._connect()
        self.allow_none(False)

    @property
    def request(self) -> PsfRequest | None:
        """The PSF that is wanted, or None where it is none.

        Raises
        ------
        RestoreError
            If something is left out.
        """
        source = self._source(str(self.kind.currentData()))
        return PsfRequest(source, self._axes, self._image, self._finer) if source is not None else None

    @property
    def value(self) -> str | Path | PsfRequest | None:
        """As the verbs take it; a picture of beads is read by ``work.resolved``."""
        request = self.request
        return request if request is None or isinstance(request.source, Beads) else request.source

    @property
    def kept(self) -> str | None:
        """Its kind, without the numbers, which are of one microscope."""
        kind = str(self.kind.currentData())
        return kind if kind in FORMULAS or kind == "none" else None

    def take(self, value: str) -> None:
        """Choose a kind, where it is offered."""
        if (index := self.kind.findData(value)) >= 0:
            self.kind.setCurrentIndex(index)

    @property
    def wrong(self) -> str:
        """What is left out, or what was found when it was read."""
        return super().wrong or self.error

    def show_option(self, option: Option) -> None:
        """Offer no PSF at all where the verb can do without."""
        self.allow_none(option.default is None)
        if self._told is None:
            self._take_kind()

    def use(self, text: str) -> None:
        """Take a PSF in words, such as ``gaussian:2``."""
        self.kind.setCurrentIndex(self.kind.findData("text"))
        self.text.setText(text)

    def allow_none(self, allowed: bool) -> None:
        """Offer no PSF at all, first of all kinds, or do not."""
        if allowed == (self.kind.findData("none") >= 0):
            return
        if allowed:
            self.kind.insertItem(0, _NONE, "none")
            self.kind.setCurrentIndex(0)
        else:
            self.kind.removeItem(0)

    def show_image(self, image: Image | None, *, finer: int) -> None:
        """Suit an image whose pixels become finer: its axes and its pixel size."""
        axes = 3 if image is not None and image.geometry.length("Z") > 1 else 2
        new = (axes, finer, image) != (self._axes, self._finer, self._image)
        self._axes, self._finer, self._image = axes, finer, image
        self._known = {} if image is None else known_of(image, finer=finer)
        for kind in self.forms:
            self._suit(kind)
        if new:
            self._look()

    def set_colours(self, *, error: str) -> None:
        """The colour of words about what is wrong."""
        self._colour = error
        self._tell()

    def abandon(self) -> None:
        """The viewer is going away."""
        self._later.stop()
        self._reader.abandon()

    def _source(self, kind: str) -> str | Path | Beads | None:
        if kind == "none":
            return None
        if kind in FORMULAS:
            return self.forms[kind].text
        if kind == "text":
            if not self.text.text().strip():
                raise RestoreError("write a PSF, for example gaussian:2.")
            return str(self.text.text()).strip()
        if kind == "file" and self.path.path is None:
            raise RestoreError("choose an image file with the PSF.")
        return self.path.path if kind == "file" or self.beads is None else self.beads.chosen

    def _take_kind(self) -> None:
        kind = self._told = str(self.kind.currentData())
        if kind in FORMULAS and kind not in self.forms:
            self._make_form(kind)
        if kind == "beads" and self.beads is None:
            self.beads = BeadForm(*self._around)
            self._add("beads", self.beads, self.beads.boxes)
        for name, page in self._pages.items():
            page.setVisible(name == kind)
        for widget in (self.picture, self.caption):
            widget.setVisible(kind != "none")
        self._look()

    def _make_form(self, kind: str) -> None:
        """Of a kind that is chosen for the first time."""
        form = self.forms[kind] = FormulaForm(FORMULAS[kind])
        self._suit(kind)
        self._add(kind, form, form.boxes.values())

    def _add(self, kind: str, form: FormulaForm | BeadForm, boxes: Iterable[QWidget]) -> None:
        self._pages[kind] = form
        self._column.insertWidget(0, form)
        in_order(self.kind, boxes)
        form.changed.connect(self._look)

    def _suit(self, kind: str) -> None:
        """Let a form suit the image; what is known of that is of a microscope."""
        if kind == "theory" and self._image is not None:
            self.forms[kind].suggest(self._known)
        self.forms[kind].show_stack(self._axes == 3)

    def _look(self) -> None:
        """The user wants another one, where there is one yet: say so at once, read it soon."""
        if self._told is not None:
            self.error = ""
            self._later.start()
            self.changed.emit()

    def _read(self) -> None:
        """Read what is wanted now; where a thread is at it already, again when that has ended."""
        try:
            request = self.request
        except RestoreError as error:
            self._show(None, str(error))
            return
        if request is None:
            self._show(None, "")
        else:
            self._stale = not self._reader.start(_reading(request))

    def _take(self, ended: Ended) -> None:
        if self._stale or self._later.isActive():
            self._stale = False
            self._later.start()
        elif ended.failure is not None:
            self._show(None, ended.failure.message)
        else:
            self._show(ended.result, "")

    def _show(self, seen: PsfSeen | None, error: str) -> None:
        self.seen, self.error = seen, error
        kernel = seen.kernel if seen is not None else None
        deep = kernel is not None and kernel.ndim == 3
        self.side_view.setVisible(deep)
        if kernel is None:
            self.picture.clear()
        else:
            self.picture.show_pixels(painted(kernel[len(kernel) // 2] if deep else kernel))
        if kernel is not None and deep:
            self.side_view.show_pixels(painted(kernel[:, kernel.shape[1] // 2]))
        self._tell()
        self.changed.emit()

    def _tell(self) -> None:
        self.caption.setStyleSheet(f"color: {self._colour};" if self.error and self._colour else "")
        known = describe_psf(self.seen, finer=self._finer > 1) if self.seen is not None else ""
        said = self.error[:1].upper() + self.error[1:] or "\n".join(filter(None, [known, self._unsaid]))
        self.caption.setText(said.replace(",", ",\u200b"))  # a long formula may break after a comma

    @property
    def _unsaid(self) -> str:
        """Which numbers of the form would be of the image, had that been opened with a size of its pixels."""
        form = self.forms.get(str(self.kind.currentData()))
        unsaid = form.sized - set(self._known) if form is not None and self._image is not None else ()
        labels = [FORMULAS[str(self.kind.currentData())].fields[name].label for name in sorted(unsaid)]
        return f"{' and '.join(labels)}: the image tells no size of its pixels, so write yours." if labels else ""

    def _lay_out(self) -> None:
        for name, formula in FORMULAS.items():
            self.kind.addItem(formula.label, name)
        for label, name in (("As text…", "text"), ("Image file…", "file"), ("Beads in a layer", "beads")):
            self.kind.addItem(label, name)
        let_shrink(self.kind)
        self.text.setPlaceholderText("gaussian:1.5..2.5")
        self.text.setAccessibleName("PSF as text")
        self.text.setToolTip(
            "Its kind and its numbers. A range such as gaussian:1.5..2.5 tries three and keeps the best."
        )
        self.caption.setWordWrap(True)
        self.caption.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        tip = "The PSF in the plane, and below it from the side where it has depth. Faint parts are raised."
        for picture in (self.picture, self.side_view):
            picture.setFixedSize(_SIDE, _SIDE)
            picture.setToolTip(tip)
        self.side_view.hide()
        for page in self._pages.values():
            self._column.addWidget(page)
        self._column.addWidget(self.caption)
        self._column.addStretch(1)
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(6)
        grid.addWidget(self.kind, 0, 0, 1, 2)
        grid.addLayout(self._column, 1, 0, 2, 1)
        grid.addWidget(self.picture, 1, 1, Qt.AlignmentFlag.AlignTop)
        grid.addWidget(self.side_view, 2, 1, Qt.AlignmentFlag.AlignTop)
        grid.setColumnStretch(0, 1)

    def _connect(self) -> None:
        self.kind.currentIndexChanged.connect(self._take_kind)
        for changed in (self.path.changed, self.text.textChanged):
            changed.connect(self._look)
        self._later.timeout.connect(self._read)
        self._reader.ended.connect(self._take)


class FormulaForm(QWidget):  # type: ignore[misc]
    """The numbers of one kind of PSF, as magicgui edits them.

    Attributes
    ----------
    boxes
        What Qt has of each, by its name.
    """

    changed = Signal()

    def __init__(self, formula: Formula, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._formula = formula
        self._fields = {name: _made(field) for name, field in formula.fields.items()}
        self.boxes = {name: each.native for name, each in self._fields.items()}
        self._labels = {name: label_of(field.label, self.boxes[name]) for name, field in formula.fields.items()}
        self._first = {name: each.value for name, each in self._fields.items()}
        self._suggested = dict(self._first)
        self._stack = False
        grid = QGridLayout(self)  # a container of magicgui's would indent each box as its name is long
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        for row, (name, each) in enumerate(self._fields.items()):
            grid.addWidget(self._labels[name], row, 0)
            grid.addWidget(self.boxes[name], row, 1)
            each.changed.connect(lambda _: self._take())
        grid.setColumnStretch(1, 1)
        self.show_stack(False)

    @property
    def text(self) -> str:
        """The PSF as a text."""
        concerning = {name: each.value for name, each in self._fields.items() if self._concerns(name)}
        return self._formula.write(concerning)

    @property
    def sized(self) -> set[str]:
        """Which of the fields in sight the size of an image's pixels says."""
        return {name for name, field in self._formula.fields.items() if field.sized and self._concerns(name)}

    def suggest(self, known: Mapping[str, Any]) -> None:
        """Set what is known of an image, and the rest as it was at first; but nothing that the user has set."""
        for name, field in self._fields.items():
            if field.value == self._suggested[name]:
                value = known.get(name, self._first[name])
                possible = (
                    not hasattr(field, "max") or field.min <= value <= field.max
                )  # of no microscope: planes of CT
                field.value = value if possible else self._first[name]
                self._suggested[name] = field.value

    def show_stack(self, stack: bool) -> None:
        """Show what is for stacks alone, or hide it."""
        self._stack = stack
        for name, box in self.boxes.items():
            box.setVisible(self._concerns(name))
            self._labels[name].setVisible(self._concerns(name))

    def _take(self) -> None:
        self.show_stack(self._stack)
        self.changed.emit()

    def _concerns(self, name: str) -> bool:
        """Whether a field says something about such an image and such a microscope."""
        field = self._formula.fields[name]
        mode = self._fields["mode"].value if "mode" in self.boxes else ""
        return (self._stack or not field.stack) and (not field.modes or mode in field.modes)


class BeadForm(QWidget):  # type: ignore[misc]
    """A layer with beads and how far the light of one reaches."""

    changed = Signal()

    def __init__(self, viewer: Any, links: Links, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.layers = LayerChoice(viewer, links, follow=False)
        self.layers.setToolTip("A layer with a picture of one bead, or of many apart from each other.")
        self.layers.setAccessibleName("Layer with beads")
        reach = Number("Radius", 8, 0, 255, digits=0, special="one bead", tip="How far the light of a bead reaches.")
        self.radius = _made(reach).native
        self.layers.chosen.connect(lambda _: self.changed.emit())
        self.radius.valueChanged.connect(lambda _: self.changed.emit())
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(4)
        grid.addWidget(self.layers, 0, 0, 1, 2)
        grid.addWidget(label_of("Radius", self.radius, spoken="Radius of a bead"), 1, 0)
        grid.addWidget(self.radius, 1, 1)
        grid.setColumnStretch(1, 1)
        self.boxes = (self.layers, self.radius)

    @property
    def chosen(self) -> Beads:
        """The beads, or a ``RestoreError`` where there is no layer."""
        if self.layers.layer is None:
            raise RestoreError("open a picture of beads as a layer, and choose it here.")
        return Beads(open_image(self.layers.layer), int(self.radius.value()))


def painted(plane: NDArray[np.float64]) -> NDArray[np.uint8]:
    """A plane of a PSF in grey levels, its faint parts raised, in the middle of a dark square."""
    side = max(plane.shape) + 2
    around = np.pad(plane, [((side - n) // 2, side - n - (side - n) // 2) for n in plane.shape])
    grey = 255 * (around / max(float(around.max()), 1e-30)) ** _GAMMA
    return np.asarray(grey.round(), dtype=np.uint8)


def _made(field: Number | Options) -> Any:
    """What magicgui edits a field with; a unit, and words for a number, are Qt's."""
    given: dict[str, Any]
    if isinstance(field, Options):
        given = {"widget_type": "ComboBox", "options": {"choices": list(field.choices.items()), "tooltip": field.tip}}
    else:
        step = 10.0 ** -min(field.digits, 1)
        limits = {"min": field.least, "max": field.most, "step": step, "tooltip": field.tip}
        given = {"widget_type": "FloatSpinBox", "value": field.value, "options": limits}
    made = create_widget(**given)
    box: Any = made.native
    if isinstance(field, Options):
        let_shrink(box, letters=6)
    else:
        box.setDecimals(field.digits)
        box.setSuffix(field.unit)
        box.setSpecialValueText(field.special)
        let_scroll(box)
    box.setMinimumWidth(60)
    return made


def _reading(request: PsfRequest) -> Start:
    return partial(_read, request)


def _read(request: PsfRequest, stop: threading.Event) -> Generator[Event, None, PsfSeen]:
    """In the thread: work a PSF out."""
    yield from ()
    return read(request)

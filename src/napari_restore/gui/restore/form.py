"""What is asked: the verb, the image, and an editor for each option of the verb that has one here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QWidget

from napari_restore.core.errors import RestoreError
from napari_restore.gui.parts.describe import tip_of
from napari_restore.gui.parts.links import Links
from napari_restore.gui.parts.remembered import Remembered
from napari_restore.gui.restore.advanced import Advanced
from napari_restore.gui.restore.choices import EffortChoice, FactorChoice, MethodChoice, PlaceChoice, VerbChoice
from napari_restore.gui.restore.cost import CostLine
from napari_restore.gui.restore.editor import Editor
from napari_restore.gui.restore.extent import ExtentChoice
from napari_restore.gui.restore.noise_choice import NoiseChoice
from napari_restore.gui.restore.psf_choice import PsfChoice
from napari_restore.gui.restore.reproduce import Places, file_of
from napari_restore.gui.restore.subject import Subject
from napari_restore.gui.restore.verbs import SHOWN
from napari_restore.gui.restore.work import Engine
from napari_restore.verbs import VERBS
from napari_restore.verbs.request import Request, ask, options_of, own_of


@dataclass(frozen=True)
class Around:
    """What editors are made with."""

    viewer: Any
    links: Links
    engine: Engine
    subject: Subject


@dataclass(frozen=True)
class Row:
    """How an option is asked for: the words before its editor, and what makes that."""

    label: str
    make: Callable[[Around], Editor]


EDITORS: Mapping[str, Row] = {
    "factor": Row("Factor", lambda around: FactorChoice()),
    "psf": Row("PSF", lambda around: PsfChoice(around.viewer, around.links)),
    "noise": Row("Noise", lambda around: NoiseChoice(around.engine)),
    "method": Row("Method", lambda around: MethodChoice(around.viewer, around.links, around.subject.open)),
}
"""By the name of the option. A verb shows the rows of the options it has; all others are under Advanced, or nowhere."""


class Form(QWidget):  # type: ignore[misc]
    """Makes requests of what the user has chosen.

    Attributes
    ----------
    changed
        Signal: something else would be asked for, or more is known to be wrong.
    said
        Signal: words about what is asked and their level; to be said in sight.
    """

    changed = Signal()
    said = Signal(str, str)

    def __init__(self, viewer: Any, engine: Engine, links: Links, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rows: dict[str, tuple[QLabel, QWidget]] = {}
        self._told: dict[str, list[QWidget]] = {}
        self._remembered = Remembered()
        self.verb = VerbChoice()
        self.subject = Subject(viewer, links, self)
        around = Around(viewer, links, engine, self.subject)
        self.editors: dict[str, Any] = {name: row.make(around) for name, row in EDITORS.items()}
        self.effort = EffortChoice()
        self.advanced = Advanced()
        self.cost = CostLine(engine, self._costs)
        self.extent = ExtentChoice(viewer, links, lambda: self.subject.layer)
        self.place = PlaceChoice()
        self.badge = QLabel("…")
        if (index := self.effort.findData(self._remembered.effort)) >= 0:
            self.effort.setCurrentIndex(index)
        self.place.use(self._remembered.folder)
        self._lay_out()
        self._connect()
        self.subject.take_layer()
        self._take_verb()

    def request(self, *, whole: bool = False) -> Request | None:
        """What the main button asks for, or None, and the reason is said; ``whole`` leaves out which part is meant."""
        image = self.subject.opened()
        if image is None:
            return None
        try:
            options = self._options()
            if not whole:
                options |= self._part(image)
            return ask(self.verb.verb, image, **options)
        except RestoreError as error:
            self.said.emit(str(error), "error")
            return None

    def restoring(self, model: Any) -> Request | None:
        """To restore with a model, or with the file of one; None, and the reason is said."""
        image = self.subject.opened()
        if image is None:
            return None
        try:
            return ask("restore", image, model=model, **self._part(image))
        except RestoreError as error:
            self.said.emit(str(error), "error")
            return None

    def places(self) -> Places:
        """Where the images of a request come from, and where its result goes."""
        other = self.editors["method"].partner if "method" in self._shown() else None
        return Places(file_of(self.subject.layer), None if other is None else file_of(other), self.place.folder)

    @property
    def wrong(self) -> str:
        """What is known to be wrong with the settings in sight, in words."""
        try:
            _ = self.advanced.options
        except RestoreError as error:
            return str(error)
        return next((words for name in self._shown() if (words := self.editors[name].wrong)), "")

    def allow(self, allowed: bool) -> None:
        """Let settings be changed; they can be looked at in any case."""
        self.subject.allow(allowed)
        for widget in (self.verb, self.effort, self.extent, self.place, *self.editors.values()):
            widget.setEnabled(allowed)
        self.advanced.allow(allowed)
        self.cost.allow(allowed)

    def remember(self) -> None:
        """A run begins: offer its effort and its folder again next time."""
        self._remembered.keep(effort=self.effort.effort, folder=self.place.folder)

    def set_colours(self, *, accent: str, text: str, trough: str, error: str) -> None:
        """Show which button is down, and what is wrong."""
        self.verb.set_colours(accent=accent, text=text)
        for part in (*self.editors.values(), self.cost):
            part.set_colours(error=error)
        self.badge.setStyleSheet(f"background-color: {trough}; border-radius: 8px; padding: 2px 8px;")

    def abandon(self) -> None:
        """The viewer is going away."""
        for part in (*self.editors.values(), self.advanced, self.cost):
            part.abandon()

    def _shown(self) -> list[str]:
        """The options of the chosen verb that have an editor."""
        row = VERBS[self.verb.verb]
        own = [each.name for each in fields(own_of(row))]
        return [name for name, editor in self.editors.items() if name in own and editor.suits(row)]

    def _options(self) -> dict[str, Any]:
        """All that the user has chosen, as the verb takes it, but the part; or a ``RestoreError``."""
        options = {**self.advanced.options, "effort": self.effort.effort}
        for name in self._shown():
            options |= {name: self.editors[name].value, **self.editors[name].more}
        return options

    def _part(self, image: Any) -> dict[str, Any]:
        """Which part of the image is meant; nothing for all of it."""
        region = self.extent.region(self.subject.layer, image)
        return {} if region is None else {"region": region}

    def _method(self) -> str:
        """The method that will train, as far as that is settled before the image is looked at."""
        own: dict[str, Any] = {}
        for name in self._shown():
            try:
                own[name] = self.editors[name].value
            except RestoreError:  # something is left out still
                own[name] = ""
        method: str = own_of(VERBS[self.verb.verb])(**own).settled_method
        return method

    def _costs(self) -> Request | None:
        """What a run would be of, as far as that is settled; the reason why it is not is said elsewhere."""
        image = self.subject.image
        if image is None or self.wrong:
            return None
        try:
            return ask(self.verb.verb, image, **self._options(), **self._part(image))
        except RestoreError:
            return None

    def _take_verb(self, verb: str = "") -> None:
        """Show the settings of the chosen verb alone, each with what is said of it."""
        shown, options = self._shown(), {option.name: option for option in options_of(self.verb.verb)}
        for name, editor in self.editors.items():
            for widget in self._rows[name]:
                widget.setVisible(name in shown)
            if name in shown:
                editor.show_option(options[name])
        for name, widgets in self._told.items():
            for widget in widgets if name in options else ():
                widget.setToolTip(tip_of(options[name].text))
        self._take_change()

    def _take_layer(self, layer: Any) -> None:
        for editor in self.editors.values():
            editor.show_layer(layer)

    def _take_change(self) -> None:
        """Something else is asked for: let the rest suit it."""
        self._suit()
        method = self._method()
        self.effort.show_method(method)
        self.advanced.show_method(method, elsewhere=_in_sight(self.verb.verb))
        self.cost.renew()
        self.changed.emit()

    def _take_image(self) -> None:
        self._suit()
        self.cost.renew()
        self.changed.emit()

    def _take_time(self, _: int) -> None:
        self.cost.renew()

    def _hint(self, text: str) -> None:
        self.said.emit(text, "info")

    def _suit(self) -> None:
        """Let the editors know the image, and how fine its pixels are to become."""
        finer = max([self.editors[name].finer for name in self._shown()], default=1)
        for editor in self.editors.values():
            editor.show_image(self.subject.image, finer=finer)

    def _connect(self) -> None:
        self.verb.chosen.connect(self._take_verb)
        self.subject.chosen.connect(self._take_layer)
        self.subject.described.connect(self._take_image)
        for editor in self.editors.values():
            editor.changed.connect(self._take_change)
        self.advanced.changed.connect(self.cost.renew)
        self.advanced.changed.connect(self.changed)
        self.effort.currentIndexChanged.connect(self._take_time)
        self.extent.currentIndexChanged.connect(self._take_time)
        self.extent.said.connect(self._hint)

    def _lay_out(self) -> None:
        self.badge.setToolTip("Where the work is done.")
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(6)
        grid.setColumnStretch(2, 1)
        grid.addWidget(self.verb, 0, 0, 1, 4)
        self._add_row(1, "layer", "Layer", self.subject.layers)
        self._add_row(2, "axes", "Axes", self.subject.axes, columns=1)
        grid.addWidget(self.badge, 2, 3)
        grid.addWidget(self.subject.size, 3, 0, 1, 4)
        for row, (name, each) in enumerate(EDITORS.items(), start=4):
            self._add_row(row, name, each.label, self.editors[name])
        row = 4 + len(EDITORS)
        self._add_row(row, "effort", "Effort", self.effort)
        grid.addWidget(self.cost, row + 1, 1, 1, 3)
        grid.addWidget(self.advanced, row + 2, 0, 1, 4)
        self._add_row(row + 3, "region", "What", self.extent)
        self._add_row(row + 4, "output", "Result", self.place)

    def _add_row(self, row: int, name: str, words: str, widget: QWidget, *, columns: int = 3) -> None:
        """A setting and its name, which stays at the top of one that may grow."""
        label, grows = QLabel(words), isinstance(widget, Editor) and not isinstance(widget, FactorChoice)
        label.setMinimumHeight(28 if grows else widget.sizeHint().height())
        side = Qt.AlignmentFlag.AlignTop if grows else Qt.AlignmentFlag.AlignVCenter
        grid: QGridLayout = self.layout()
        grid.addWidget(label, row, 0, side)
        grid.addWidget(widget, row, 1, 1, columns)
        self._rows[name] = (label, widget)
        self._told[name] = [label] if widget.toolTip() else [label, widget]


def _in_sight(verb: str) -> set[str]:
    """Settings that verbs of the kind have rows for: they are not under Advanced."""
    alike = (VERBS[name] for name in SHOWN if VERBS[name].does == VERBS[verb].does)
    return {each.name for row in alike for each in fields(own_of(row)) if each.name in EDITORS}

"""What is asked: the verb, the image, and an editor for each option of the verb that has one here."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Any

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QKeySequence, QShortcut
from qtpy.QtWidgets import QApplication, QGridLayout, QLabel, QVBoxLayout, QWidget

from napari_restore.core.errors import RestoreError
from napari_restore.gui.parts.describe import tip_of
from napari_restore.gui.parts.links import Links
from napari_restore.gui.parts.named import label_of, tip_with, to_focus
from napari_restore.gui.parts.question import Question
from napari_restore.gui.parts.remembered import Remembered
from napari_restore.gui.restore.advanced import Advanced
from napari_restore.gui.restore.choices import DepthChoice, EffortChoice, PlaceChoice, VerbChoice
from napari_restore.gui.restore.cost import CostLine
from napari_restore.gui.restore.editors import EDITORS, Around, Editors
from napari_restore.gui.restore.extent import ExtentChoice
from napari_restore.gui.restore.offered import OF_RESTORING
from napari_restore.gui.restore.preset_choice import PresetChoice
from napari_restore.gui.restore.reproduce import Places
from napari_restore.gui.restore.subject import Subject
from napari_restore.gui.restore.work import Engine
from napari_restore.methods import listed
from napari_restore.sources.image import Image
from napari_restore.verbs import VERBS
from napari_restore.verbs.request import Option, Request, ask, options_of


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
        self._remembered = Remembered("restore")
        self.verb = VerbChoice()
        self.subject = Subject(viewer, links, self)
        self.editors = Editors(Around(viewer, links, engine, self.subject), self)
        self.depth = DepthChoice()
        self.effort = EffortChoice()
        self.advanced = Advanced()
        self.cost = CostLine(engine, self._costs)
        self.extent = ExtentChoice(viewer, links, lambda: self.subject.layer)
        self.place = PlaceChoice()
        self.presets = PresetChoice(self)
        self.badge = QLabel("…")
        self.rows = Rows()
        if (index := self.effort.findData(self._remembered.text("effort"))) >= 0:
            self.effort.setCurrentIndex(index)
        self.place.use(self._remembered.folder())
        self._lay_out()
        self._connect()
        self.subject.take_layer()
        self._take_verb()

    def request(self, *, whole: bool = False) -> Request | None:
        """What the main button asks for, or None, and the reason is said; ``whole`` leaves out which part is meant."""
        return self._asked(lambda image: self._wanted(image, whole=whole))

    def request_of(self, layer: Any) -> Request | None:
        """What the main button asks for, of one of several layers; or None, and the reason is said."""
        try:
            image = self.subject.open(layer)
            return ask(self.verb.verb, image, **self._options(image), **self._part(image, layer))
        except RestoreError as error:
            self.said.emit(f"{layer.name}: {error}", "error")
            return None

    @property
    def learns_from_two(self) -> bool:
        """Whether the method wants another image beside each."""
        return "method" in self.editors.shown and self.editors["method"].partner is not None

    def restoring(self, model: Any) -> Request | None:
        """To restore with a model, or with the file of one; None, and the reason is said."""
        return self._asked(lambda image: ask("restore", image, model=model, **self._of_restoring, **self._part(image)))

    def distilling(self, model: Any) -> Request | None:
        """To make a small copy of a model on the whole image; None, and the reason is said."""
        return self._asked(lambda image: ask("distill", image, model=model, **self._of_distilling))

    def places(self) -> Places:
        """Where the images of a request come from, and where its result goes."""
        other = self.editors["method"].partner if "method" in self.editors.shown else None
        return Places.of(self.subject.layer, other, self.place.folder)

    @property
    def wrong(self) -> str:
        """What is known to be wrong with the settings in sight, in words."""
        try:
            _ = self.advanced.options
        except RestoreError as error:
            return str(error)
        return self.editors.wrong

    def allow(self, allowed: bool) -> None:
        """Let settings be changed; they can be looked at in any case."""
        self.verb.setEnabled(allowed)
        self.rows.allow(allowed)
        self.extent.span.setEnabled(allowed)
        self.subject.allow(allowed)
        self.advanced.allow(allowed)
        self.cost.allow(allowed)

    @property
    def chosen(self) -> dict[str, Any]:
        """What a preset keeps: the verb, the effort, and what the editors say that is not of an image of its own."""
        said = {name: editor.kept for name, editor in self.editors.by_name.items() if name in self.editors.shown}
        known = {name: value for name, value in said.items() if value is not None}
        return {"verb": self.verb.verb, "effort": self.effort.effort, **known}

    def choose(self, chosen: Mapping[str, Any]) -> None:
        """Ask for what a preset keeps; what it says nothing of stays."""
        self.verb.choose(chosen["verb"])
        for name, value in chosen.items():
            if name in self.editors.shown:
                self.editors[name].take(value)
        if (index := self.effort.findData(chosen.get("effort"))) >= 0:
            self.effort.setCurrentIndex(index)

    def remember(self) -> None:
        """A run begins: offer its effort and its folder again next time."""
        self._remembered.keep(effort=self.effort.effort, folder=self.place.folder)

    def set_colours(self, *, accent: str, text: str, trough: str, error: str) -> None:
        """Show which button is down, and what is wrong."""
        self.verb.set_colours(accent=accent, text=text)
        self.editors.set_colours(error=error)
        self.advanced.set_colours(text=text)
        self.cost.set_colours(error=error)
        self.badge.setStyleSheet(f"background-color: {trough}; border-radius: 8px; padding: 2px 8px;")

    def abandon(self) -> None:
        """The viewer is going away."""
        for part in (self.subject, self.editors, self.advanced, self.cost):
            part.abandon()

    def _asked(self, wanted: Callable[[Image], Request]) -> Request | None:
        """What is wanted of the chosen image, or None, and the reason is said."""
        image = self.subject.opened()
        if image is None:
            return None
        try:
            return wanted(image)
        except RestoreError as error:
            self.said.emit(str(error), "error")
            return None

    def _wanted(self, image: Image, *, whole: bool = False) -> Request:
        """All that the user has chosen; or a ``RestoreError``."""
        return ask(self.verb.verb, image, **self._options(image), **({} if whole else self._part(image)))

    def _options(self, image: Image) -> dict[str, Any]:
        """All but the part that is meant."""
        depth = self.depth.options if self._looks_along_z(image) else {}
        return {**self.advanced.options, **depth, "effort": self.effort.effort, **self.editors.options}

    def _looks_along_z(self, image: Image | None) -> bool:
        """Whether there is a choice between planes and 3-D."""
        method = self._method
        able = method == "auto" or listed(method).along_z  # of what the noise chooses among, all can
        return image is not None and image.geometry.length("Z") > 1 and able

    @property
    def _method(self) -> str:
        """The method that works, as far as that is settled."""
        instant = VERBS[self.verb.verb].instant
        return instant if self.effort.effort == "instant" else self.editors.method

    @property
    def _of_restoring(self) -> dict[str, Any]:
        """What is set under Advanced that is not of the training."""
        return {name: value for name, value in self.advanced.options.items() if name in OF_RESTORING}

    @property
    def _of_distilling(self) -> dict[str, Any]:
        """What is set of a training that is not of its method; effort, but for the one that trains nothing."""
        known = {option.name for option in options_of("distill")}
        set_ = {name: value for name, value in self.advanced.options.items() if name in known}
        return set_ if self.effort.effort == "instant" else {"effort": self.effort.effort, **set_}

    def _part(self, image: Image, layer: Any = None) -> dict[str, Any]:
        """Which part of the image is meant; nothing for all of it."""
        region = self.extent.region(self.subject.layer if layer is None else layer, image)
        return {} if region is None else {"region": region}

    def _costs(self) -> Request | None:
        """What a run would be of, as far as that is settled; the reason why it is not is said elsewhere."""
        if self.subject.image is None or self.wrong:
            return None
        try:
            return self._wanted(self.subject.image)
        except RestoreError:
            return None

    def _take_verb(self, verb: str = "") -> None:
        """Show the settings of the chosen verb alone, each with what is said of it."""
        options = {option.name: option for option in options_of(self.verb.verb)}
        self.editors.show_verb(self.verb.verb, options)
        self.rows.show(set(self.rows.labels) - (set(EDITORS) - set(self.editors.shown)) - {"dimensions"})
        self.rows.tell(options)
        self._take_change()

    def _take_change(self) -> None:
        """Something else is asked for: let the rest suit it."""
        self.effort.show_method(self.editors.method, instant=VERBS[self.verb.verb].instant)
        self.advanced.show_method(self._method, elsewhere={*self.editors.elsewhere, "dimensions"})
        self._take_image()

    def _take_image(self) -> None:
        self.editors.show_image(self.subject.image)
        self.extent.span.show_image(self.subject.image)
        self.rows.show_one("dimensions", self._looks_along_z(self.subject.image))
        self._take_option()

    def _take_option(self, _: Any = None) -> None:
        self.cost.renew()
        self.presets.tell(self.chosen)
        self.changed.emit()

    def _connect(self) -> None:
        self.verb.chosen.connect(self._take_verb)
        self.subject.chosen.connect(self.editors.show_layer)
        self.subject.chosen.connect(self.cost.forget)
        self.subject.described.connect(self._take_image)
        self.editors.changed.connect(self._take_change)
        self.advanced.changed.connect(self._take_option)
        self.effort.currentIndexChanged.connect(lambda _: self._take_change())
        self.extent.currentIndexChanged.connect(self._take_option)
        self.extent.span.changed.connect(self._take_option)
        self.depth.currentIndexChanged.connect(self._take_option)
        self.extent.said.connect(self.said)
        self.place.said.connect(self.said)

    def _lay_out(self) -> None:
        self.badge.setToolTip("Where the work is done.")
        rows, line = self.rows, len(EDITORS) + 5
        rows.grid.addWidget(self.verb, 0, 0, 1, 5)
        rows.add(1, "preset", "Prese&t", self.presets)
        rows.add(2, "layer", "La&yer", self.subject.layers)
        rows.add(3, "axes", "A&xes", self.subject.axes, columns=1)
        rows.grid.addWidget(self.badge, 3, 3)
        rows.grid.addWidget(self.subject.size, 4, 0, 1, 3)
        rows.grid.addWidget(self.subject.give, 4, 3, 1, 2)
        for row, (name, each) in enumerate(EDITORS.items(), start=5):
            rows.add(row, name, each.label, self.editors[name], grows=self.editors[name].grows, key=each.key)
        rows.add(line, "dimensions", "Z axis", self.depth, key="Alt+Shift+Z")
        rows.add(line + 1, "effort", "&Effort", self.effort)
        rows.grid.addWidget(self.cost, line + 2, 1, 1, 3)
        rows.grid.addWidget(self.advanced, line + 3, 0, 1, 5)
        rows.add(line + 4, "region", "Wh&at", self.extent)
        rows.grid.addWidget(self.extent.span, line + 5, 1, 1, 3)
        rows.add(line + 6, "output", "Res&ult", self.place)
        help_key = QShortcut(QKeySequence.StandardKey.HelpContents, self)
        help_key.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
        help_key.activated.connect(rows.tell_about_focus)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(rows.grid)


class Rows:
    """Settings below each other, each with its name before it.

    Attributes
    ----------
    labels, widgets, questions
        By the name of the option.
    """

    def __init__(self) -> None:
        self.questions: dict[str, Question] = {}
        self.labels: dict[str, QLabel] = {}
        self.widgets: dict[str, QWidget] = {}
        self._told: dict[str, list[QWidget]] = {}
        self._keys: dict[str, str] = {}
        self.grid = QGridLayout()
        self.grid.setContentsMargins(0, 0, 0, 0)
        self.grid.setSpacing(6)
        self.grid.setColumnStretch(2, 1)

    def add(
        self,
        row: int,
        name: str,
        words: str,
        widget: QWidget,
        *,
        columns: int = 3,
        grows: bool = False,
        key: str = "",
    ) -> None:
        """A setting and its name, which stays at the top of one that may grow; its key where no letter is free."""
        label = label_of(words, widget)
        if key:
            to_focus(widget, key)
        label.setMinimumHeight(28 if grows else widget.sizeHint().height())
        side = Qt.AlignmentFlag.AlignTop if grows else Qt.AlignmentFlag.AlignVCenter
        self.grid.addWidget(label, row, 0, side)
        self.grid.addWidget(widget, row, 1, 1, columns)
        self.labels[name], self.widgets[name], self.questions[name] = label, widget, Question(name, words)
        self.grid.addWidget(self.questions[name], row, 4, side)
        if grows:
            self.questions[name].setFixedHeight(label.minimumHeight())  # or it stood above the line of its box
        self._keys[name] = key
        self._told[name] = [label] if widget.toolTip() else [label, widget]
        if own := widget.toolTip():
            for each in (label, widget):
                each.setToolTip(tip_with(key, own))

    def show(self, names: Container[str]) -> None:
        """Show these, and hide the others."""
        for name in self.labels:
            self.show_one(name, name in names)

    def show_one(self, name: str, there: bool) -> None:
        """Show a setting, or hide it."""
        for each in (self.labels[name], self.widgets[name], self.questions[name]):
            each.setVisible(there)

    def tell_about_focus(self) -> None:
        """Open the page about the setting that the keyboard is in; about all of them where it is in none."""
        at = QApplication.focusWidget()
        within = (name for name, each in self.widgets.items() if each is at or (at and each.isAncestorOf(at)))
        self.questions[next(within, "method")].open()

    def tell(self, options: Mapping[str, Option]) -> None:
        """Let tooltips say what is said of the options; a widget that says more of itself keeps its own."""
        for name, widgets in self._told.items():
            for widget in widgets if name in options else ():
                widget.setToolTip(tip_with(self._keys[name], tip_of(options[name].text)))

    def allow(self, allowed: bool) -> None:
        """Let all of them be changed."""
        for widget in self.widgets.values():
            widget.setEnabled(allowed)

"""The dock widget "Restore": what to restore above, what comes of it in the middle, the buttons always in sight."""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from typing import Any, Literal

from napari.utils.theme import get_theme
from qtpy.QtCore import Qt, QTimer
from qtpy.QtWidgets import (
    QApplication,
    QFileDialog,
    QFrame,
    QGridLayout,
    QLabel,
    QLineEdit,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from napari_restore.core.errors import ImageError, RestoreError
from napari_restore.core.job import PreviewRequest
from napari_restore.gui.compare.comparing import Baselines, ComparePane
from napari_restore.gui.parts.describe import Status, describe_image, for_widget
from napari_restore.gui.parts.docked import Docked
from napari_restore.gui.parts.links import Links
from napari_restore.gui.parts.messages import Level, Messages
from napari_restore.gui.parts.remembered import Remembered
from napari_restore.gui.parts.runner import Ended, Runner
from napari_restore.gui.restore.actions import Actions, State
from napari_restore.gui.restore.advanced import Advanced
from napari_restore.gui.restore.choices import (
    EffortChoice,
    FactorChoice,
    LayerChoice,
    MethodChoice,
    PlaceChoice,
    VerbChoice,
)
from napari_restore.gui.restore.cost import CostLine
from napari_restore.gui.restore.extent import ExtentChoice
from napari_restore.gui.restore.models import Recent
from napari_restore.gui.restore.noise_choice import NoiseChoice
from napari_restore.gui.restore.plot import LossPlot
from napari_restore.gui.restore.preview import Look, PreviewPane
from napari_restore.gui.restore.psf_choice import PsfChoice
from napari_restore.gui.restore.reproduce import Words, copying, file_of
from napari_restore.gui.restore.session import Session, camera_of
from napari_restore.gui.restore.verbs import VERBS
from napari_restore.gui.restore.work import (
    Engine,
    Pair,
    Partner,
    Task,
    Wish,
    finding_device,
    imaging_method,
    loading,
    package_engine,
)
from napari_restore.sources import open_image
from napari_restore.sources.image import Image

_MODEL_FILES = "Models (*.safetensors)"
_WRONG = object()
"""Stands for a part that cannot be restored."""

_IN_SIGHT = ("factor", "psf", "noise")
"""Settings of the methods for blurred and coarse images that have rows of their own."""

_HELD_OUT = {"dark": "#ffb454", "light": "#b45309"}
"""The bold curve, on dark and on light: orange, told apart from grey by everybody."""


class RestoreWidget(Docked, QWidget):  # type: ignore[misc]
    """Denoise, super-resolve or deblur the selected image with a network trained on that image alone.

    Hiding the dock lets work go on; closing it, or the viewer, stops it.

    Parameters
    ----------
    napari_viewer
        The viewer to work in.
    engine
        What does the work; the package itself unless a test brings its own.
    """

    def __init__(self, napari_viewer: Any, *, engine: Engine | None = None) -> None:
        super().__init__()
        self._viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self._engine = engine or package_engine()
        self._links = Links()
        self._described = Links()
        self._typed = ""
        self._shown = ""
        self._image: Image | None = None
        self._rows: dict[str, tuple[QWidget, ...]] = {}
        self.verb = VerbChoice()
        self.layers = LayerChoice(self._viewer, self._links)
        self.axes = QLineEdit()
        self.size = QLabel()
        self.factor = FactorChoice()
        self.psf = PsfChoice(self._viewer, self._links)
        self.noise = NoiseChoice(self._engine)
        self.method = MethodChoice(self._viewer, self._links)
        self.effort = EffortChoice()
        self.advanced = Advanced()
        self.cost = CostLine(self._engine, self._costs)
        self.extent = ExtentChoice(self._viewer, self._links, lambda: self.layers.layer)
        self.place = PlaceChoice()
        self.badge = QLabel("…")
        self.preview = PreviewPane()
        self.plot = LossPlot()
        self.comparison = ComparePane()
        self.messages = Messages()
        self.buttons = Actions()
        self.session = Session(self._viewer, self._engine, self)
        self.baselines = Baselines(self._viewer, self._engine, self.session, self)
        self._device = Runner(self)
        self._copier = Runner(self, every_ms=30)
        self._loader = Runner(self)
        self._loading: Path | None = None
        self.recent = Recent()
        self._remembered = Remembered()
        if (index := self.effort.findData(self._remembered.effort)) >= 0:
            self.effort.setCurrentIndex(index)
        self.place.use(self._remembered.folder)
        self._lay_out()
        self._connect()
        self._paint()
        self._take_layer()
        self._take_verb()

    # What the user does.

    def run(self) -> None:
        """Train on the chosen layer, then restore it into a new layer: what the main button does."""
        if (image := self._opened()) is None or (wish := self._wish()) is None:
            return
        if (part := self._part(image)) is not _WRONG:
            self.session.folder = self.place.folder
            self.session.do(self.layers.layer, image, wish, part)

    def train(self) -> None:
        """Train on the chosen layer, and keep the model."""
        if (image := self._opened()) is not None and (wish := self._wish()) is not None:
            self.session.train(self.layers.layer, image, wish)

    def restore(self) -> None:
        """Restore the chosen layer with the model trained last."""
        if self.session.model is not None:
            self.restore_with(self.session.model)

    def restore_with(self, model: Any) -> None:
        """Restore the chosen layer with a model, or with the file of one."""
        if (image := self._opened()) is not None and (part := self._part(image)) is not _WRONG:
            self.session.folder = self.place.folder
            begun = self.session.restore(self.layers.layer, image, model, Wish(self.verb.verb), part)
            if begun and isinstance(model, str | Path):
                self.recent.add(model)

    def use_model(self, path: str | Path) -> None:
        """Take the model of a file, as after training; nothing is restored yet. Refused, in words, during a run."""
        if self.session.runner.running or not self._loader.start(loading(self._engine, path)):
            self.messages.say(f"A run is going on: take {Path(path).name} again when it has ended.", "warning")
        else:
            self._loading = Path(path)

    def _take_model(self, ended: Ended) -> None:
        path, self._loading = self._loading, None
        if ended.failure is not None:
            self.messages.say(ended.failure.message, "error")
        elif path is not None and not self.session.runner.running:
            known = self.recent.add(path)
            self.session.take(ended.result, path.name)
            words = f": {known.words}" if known is not None else ""
            self.messages.say(f"Model {path.name} taken{words}. To use it: Restore with… ▸ the model {path.name}.")

    def _ask_model(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Restore with a model", "", _MODEL_FILES)
        if path:
            self.restore_with(path)

    def _show_recent(self) -> None:
        self.buttons.show_recent(self.recent.models())

    def _ask_where(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Save the model", "model.safetensors", _MODEL_FILES)
        if path and self.session.save_model(path):
            self.recent.add(path)

    def copy(self, words: Words) -> None:
        """Put what the main button would do on the clipboard, as a script or as a command."""
        if (image := self._opened()) is not None and (wish := self._wish()) is not None:
            task = Task(image, PreviewRequest(), self._engine, wish, self.place.folder)
            device = getattr(self._engine, "device", "auto")
            self._copier.start(copying(words, task, file_of(self.layers.layer), device=device))

    def _take_copied(self, ended: Ended) -> None:
        if ended.failure is not None:
            self.messages.say(ended.failure.message, "error")
            return
        QApplication.clipboard().setText(ended.result)
        whole = "" if self.extent.extent == "everything" else " It restores everything: a part has no words there."
        self.messages.say(f"Copied: paste it into a script or a terminal.{whole}")

    # What the widget says.

    def _opened(self) -> Image | None:
        """The chosen layer as an image, with the axes the user typed; or None, and the reason is said."""
        layer = self.layers.layer
        if layer is None:
            return None
        try:
            return open_image(layer, axes=wanted_axes(self._typed, layer))
        except RestoreError as error:
            self.messages.say(str(error), "error")
            return None

    def _wish(self) -> Wish | None:
        """What the user wants done, or None, and the reason is said."""
        verb, effort = self.verb.verb, self.effort.effort
        try:
            options = self.advanced.options
            if verb == "denoise":
                return Wish(verb, effort, method=self.method.method, partner=self._partner(), options=options)
            factor = self.factor.factor if verb == "super_resolve" else 1
            return Wish(verb, effort, factor, self.psf.request, self.noise.noise, options=options)
        except RestoreError as error:
            self._say_in_sight(str(error), "error")
            return None

    def _partner(self) -> Partner | None:
        """The other image that the method learns from."""
        other, kind = self.method.partner(self.layers.layer), self.method.needs
        if other is None or not kind:
            return None
        axes = wanted_axes(self._typed, other) if other.ndim == self.layers.layer.ndim else None
        return Partner(kind, open_image(other, axes=axes), file_of(other))

    def _part(self, image: Image) -> Any:
        """The part of the image to restore, None for all of it; or ``_WRONG``, and the reason is said."""
        try:
            return self.extent.region(self.layers.layer, image)
        except RestoreError as error:
            self._say_in_sight(str(error), "error")
            return _WRONG

    def _say_in_sight(self, text: str, level: Level = "info") -> None:
        """Say what is to be done next, also beside the buttons: the messages may be scrolled away."""
        self.messages.say(text, level)
        if not self.session.runner.running:
            self.buttons.show_status(Status(0.0, f"{text[0].upper()}{text[1:]}"))

    def _wrong(self) -> str:
        """What is known to be wrong with the settings in sight, in words."""
        try:
            _ = self.advanced.options
            if self.verb.verb == "denoise":
                self.method.partner(self.layers.layer)
                return ""
            _ = self.psf.request, self.noise.noise
        except RestoreError as error:
            return str(error)
        return self.psf.error

    def _take_verb(self, verb: str = "") -> None:
        """Show the settings of the chosen verb alone."""
        chosen = self.verb.verb
        imaging = chosen != "denoise"
        shown = {"method": not imaging, "factor": chosen == "super_resolve", "psf": imaging, "noise": imaging}
        for name, visible in shown.items():
            for widget in self._rows[name]:
                widget.setVisible(visible)
        self.psf.allow_none(chosen == "super_resolve")
        self.effort.show_verb(chosen, self.method.method)
        self.cost.renew()
        self.plot.setToolTip(VERBS[chosen].loss)
        self.buttons.show_verb(chosen)
        self._suit_image()
        self._offer_options()
        self._show_state()

    def _take_method(self) -> None:
        """Another method to denoise with, or another image that it learns from."""
        self.method.suit(self.layers.layer)
        self.effort.show_verb(self.verb.verb, self.method.method)
        self._offer_options()
        self._show_state()

    def _offer_options(self) -> None:
        """Let the folded options be those of the method that will work."""
        if self.verb.verb == "denoise":
            self.advanced.show_method(self.method.method)
        else:
            factor = self.factor.factor if self.verb.verb == "super_resolve" else 1
            method = imaging_method(factor, psf=self.psf.kind.currentData() != "none")
            self.advanced.show_method(method, elsewhere=_IN_SIGHT)

    def _suit_image(self) -> None:
        """Let the settings know the image, and how fine its pixels are to become."""
        finer = self.factor.in_plane if self.verb.verb == "super_resolve" else 1
        self.psf.show_image(self._image, factor=finer)

    def _take_layer(self, layer: Any = None) -> None:
        """Another layer is chosen: say what it is, and follow its changes."""
        self._described.cut()
        layer = self.layers.layer
        self._typed = ""
        self.noise.forget()
        self.method.suit(layer)
        if layer is not None:
            for name in ("data", "scale", "units", "axis_labels"):
                self._described.connect(getattr(layer.events, name), self._describe)
        self._describe()

    def _take_axes(self) -> None:
        """The user has typed axes; an empty box goes back to what was found."""
        if self.axes.text().strip().upper() != self._shown:
            self._typed = self.axes.text()
            self._describe()

    def _describe(self, event: Any = None) -> None:
        """Show the axes and the size of the chosen layer, as they are or as the user has named them."""
        self._show_state()
        layer, self._shown = self.layers.layer, ""
        image = self._opened()
        if image is None and self._typed:
            self._typed = ""
            image = self._opened()
        if image is None:
            self.size.setText("Open an image, or File ▸ Open Sample ▸ Restore." if layer is None else "")
        else:
            self._shown = image.axes.replace("C", "") if layer.rgb else image.axes
            notes = () if self._typed else image.notes
            self.size.setText("\n".join([_unbroken(describe_image(image)), *(for_widget(note) for note in notes)]))
        self.axes.setText(self._shown)
        self._image = image
        self.factor.show_image(image)
        self._suit_image()
        self.cost.renew()

    def _costs(self) -> tuple[Image, Wish] | None:
        """What a run would be of, as far as that is settled; the reason why it is not is said elsewhere."""
        if self._image is None or self._wrong():
            return None
        wish = self._wish()
        return (self._image, wish) if wish is not None else None

    def _estimate(self) -> None:
        """Look at the noise of the chosen layer."""
        if (image := self._opened()) is not None:
            self.noise.estimate(image)

    def _show_state(self) -> None:
        runner = self.session.runner
        state: State = "stopping" if runner.stopping else "running" if runner.running else "idle"
        for widget in (self.verb, self.layers, *(row[1] for row in self._rows.values())):
            widget.setEnabled(state == "idle")
        self.advanced.allow(state == "idle")
        self.cost.allow(state == "idle")
        self.axes.setEnabled(state == "idle" and self.layers.layer is not None)
        has_layer, has_model = self.layers.layer is not None, self.session.model is not None
        self.buttons.show_model(self.session.model_name)
        self.buttons.show_state(state, has_layer=has_layer, has_model=has_model, wrong=self._wrong())

    def _begin(self) -> None:
        """A run begins: what is seen of it comes into sight, and what was chosen is remembered."""
        self._remembered.keep(effort=self.effort.effort, folder=self.place.folder)
        self.plot.clear_traces()
        self.preview.clear()
        self.comparison.clear()
        self._scrolled.start()

    def _scroll_down(self) -> None:
        """As far as shows the whole plot, or the comparison once there is one, while the preview stays in sight."""
        last = self.plot if self.comparison.isHidden() else self.comparison
        bar, height = self._scroll.verticalScrollBar(), self._scroll.viewport().height()
        bar.setValue(max(bar.value(), min(self.preview.y(), last.geometry().bottom() + 4 - height)))

    def _offer_baselines(self) -> None:
        if self.session.run is not None and self.session.run.wish.verb != "denoise":
            self.comparison.offer(whole=self.baselines.can_be_whole())
            self._scrolled.start()

    def _show_baselines(self) -> None:
        self.comparison.button.setEnabled(not self.baselines.runner.running)

    def _compare(self, pair: Pair) -> None:
        run = self.session.run
        if run is not None:
            self.preview.show_pair(pair, axes=run.image.axes, look=Look.of(run.raw), channel=self._channel(run.image))

    def _channel(self, image: Image) -> int:
        """The channel the sliders stand at, where the image has a channel axis with a slider."""
        steps = self._viewer.dims.current_step[-image.ndim :]
        return int(steps[image.axes.index("C")]) if "C" in image.axes and len(steps) == image.ndim else 0

    def _find_device(self) -> None:
        self._device.start(finding_device(self._engine))

    def _show_device(self, ended: Ended) -> None:
        self.badge.setText(ended.result or "no device")

    # How it is put together.

    def _lay_out(self) -> None:
        """The buttons stay in sight: only what is above them scrolls."""
        self._scroll = scroll = QScrollArea()
        scroll.setWidget(self._content())
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(scroll, 1)
        layout.addWidget(self.buttons)
        self.setMinimumWidth(300)
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)

    def _content(self) -> QWidget:
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(8, 6, 8, 4)
        column.setSpacing(6)
        column.addLayout(self._form())
        column.addWidget(self.preview)
        column.addWidget(self.plot)
        column.addWidget(self.comparison)
        column.addWidget(self.messages, 1)
        return content

    def _form(self) -> QGridLayout:
        self.size.setWordWrap(True)
        self.size.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.axes.setMaximumWidth(80)
        self.axes.setToolTip(
            "One letter an axis, in the order of the array: T time, C channel, Z depth, Y row, X column.\n"
            "Type over them where the guess is wrong. Every time point and channel is restored by itself."
        )
        self.badge.setToolTip("Where the work is done.")
        form = QGridLayout()
        form.setContentsMargins(0, 0, 0, 0)
        form.setSpacing(6)
        form.setColumnStretch(2, 1)
        form.addWidget(self.verb, 0, 0, 1, 4)
        form.addWidget(QLabel("Axes"), 2, 0)
        form.addWidget(self.axes, 2, 1)
        form.addWidget(self.badge, 2, 3)
        form.addWidget(self.size, 3, 0, 1, 4)
        self._add_row(form, 1, "Layer", self.layers)
        self._add_row(form, 4, "Factor", self.factor)
        self._add_row(form, 5, "PSF", self.psf)
        self._add_row(form, 6, "Noise", self.noise)
        self._add_row(form, 7, "Method", self.method)
        self._add_row(form, 8, "Effort", self.effort)
        form.addWidget(self.cost, 9, 1, 1, 3)
        form.addWidget(self.advanced, 10, 0, 1, 4)
        self._add_row(form, 11, "What", self.extent)
        self._add_row(form, 12, "Result", self.place)
        return form

    def _add_row(self, form: QGridLayout, row: int, name: str, widget: QWidget) -> None:
        """A setting and its name, which stays at the top of a tall one."""
        label = QLabel(name)
        side: Literal["top", "middle"] = "top" if widget in (self.psf, self.noise, self.method) else "middle"
        label.setMinimumHeight(widget.sizeHint().height() if side == "middle" else 28)
        form.addWidget(label, row, 0, Qt.AlignmentFlag.AlignTop if side == "top" else Qt.AlignmentFlag.AlignVCenter)
        form.addWidget(widget, row, 1, 1, 3)
        self._rows[name.lower()] = (label, widget)

    def _connect(self) -> None:
        """Every signal there is, in one place."""
        self.verb.chosen.connect(self._take_verb)
        self.layers.chosen.connect(self._take_layer)
        self.factor.changed.connect(self._suit_image)
        self.factor.changed.connect(self._offer_options)
        self.psf.changed.connect(self._show_state)
        self.psf.changed.connect(self._offer_options)
        self.noise.changed.connect(self._show_state)
        self.noise.wanted.connect(self._estimate)
        self.method.changed.connect(self._take_method)
        self.advanced.changed.connect(self._show_state)
        self.effort.currentIndexChanged.connect(lambda _: self.cost.renew())
        for changing in (self.factor, self.psf, self.noise, self.method, self.advanced):
            changing.changed.connect(self.cost.renew)
        self.extent.said.connect(self._say_in_sight)
        self.axes.editingFinished.connect(self._take_axes)
        self.buttons.run.connect(self.run)
        self.buttons.train.connect(self.train)
        self.buttons.restore.connect(self.restore)
        self.buttons.restore_with_file.connect(self._ask_model)
        self.buttons.restore_with_recent.connect(self.restore_with)
        self.buttons.recent_wanted.connect(self._show_recent)
        self.buttons.save.connect(self._ask_where)
        self.buttons.copy.connect(self.copy)
        self._copier.ended.connect(self._take_copied)
        self._loader.ended.connect(self._take_model)
        self.buttons.stop.connect(self.session.stop)
        self.session.begun.connect(self._begin)
        self.session.changed.connect(self._show_state)
        self.session.said.connect(self.messages.say)
        self.session.status.connect(self.buttons.show_status)
        self.session.measured.connect(self.plot.add)
        self.session.floored.connect(self.plot.show_floor)
        self.session.compared.connect(self._compare)
        self.session.judged.connect(self.comparison.show_rows)
        self.session.finished.connect(self._offer_baselines)
        self.comparison.wanted.connect(self.baselines.make)
        self.baselines.said.connect(self.messages.say)
        self.baselines.changed.connect(self._show_baselines)
        self._device.ended.connect(self._show_device)
        self._links.connect(self._viewer.events.theme, self._paint)
        for emitter in (self._viewer.dims.events.current_step, camera_of(self._viewer).events.center):
            self._links.connect(emitter, self.session.look)
        self.destroyed.connect(partial(_leave, self._links, self._described, self.session.runner.flag))
        # Later: what is disabled when a run begins loses the focus, and the area scrolls to what gets it.
        self._scrolled = QTimer(self)
        self._scrolled.setSingleShot(True)
        self._scrolled.timeout.connect(self._scroll_down)
        later = QTimer(self)
        later.setSingleShot(True)
        later.timeout.connect(self._find_device)
        later.start(500)

    def _paint(self, event: Any = None) -> None:
        """Take the colours of the viewer's theme."""
        theme = get_theme(self._viewer.theme)
        text, accent = theme.text.as_hex("long"), theme.current.as_hex("long")
        light = theme.type == "light"
        self.plot.set_colours(background=theme.background.as_hex("long"), text=text, accent=_HELD_OUT[theme.type])
        error = "#b00020" if light else "#ff7b7b"
        self.messages.set_colours(warning="#8a5a00" if light else theme.warning.as_hex("long"), error=error)
        self.psf.set_colours(error=error)
        self.noise.set_colours(error=error)
        self.cost.set_colours(error=error)
        self.method.set_colours(error=error)
        self.verb.set_colours(accent=accent, text=text)
        self.buttons.set_colours(accent=accent, text=text, trough=theme.foreground.as_hex("long"))
        self.badge.setStyleSheet(
            f"background-color: {theme.foreground.as_hex('long')}; border-radius: 8px; padding: 2px 8px;"
        )

    def leave(self) -> None:
        """Stop the work, and listen to the viewer no more."""
        _leave(self._links, self._described, self.session.runner.flag)
        rooms = (self.session, self.psf, self.noise, self.advanced, self.cost, self.baselines)
        for part in (*rooms, self._device, self._copier, self._loader):
            part.abandon()


def wanted_axes(text: str, layer: Any) -> str | None:
    """The axes in the box for this layer (colour goes last by itself), or None where the box is empty.

    Raises
    ------
    ImageError
        If there is not one letter an axis.
    """
    letters = text.strip().upper()
    if letters and len(letters) != layer.ndim:
        raise ImageError(f"axes {letters!r} are {len(letters)} letters: the layer {layer.name} has {layer.ndim} axes.")
    return (letters + "C" * bool(layer.rgb)) or None if letters else None


def _unbroken(text: str) -> str:
    """The same words, broken into lines only after a comma."""
    return ", ".join(part.replace(" ", "\u00a0") for part in text.split(", "))


def _leave(links: Links, described: Links, flag: threading.Event) -> None:
    """Knows no Qt objects: it also runs when they are gone."""
    links.cut()
    described.cut()
    flag.set()

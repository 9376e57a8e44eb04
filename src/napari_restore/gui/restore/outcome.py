"""What comes of a run: the preview, the curves, the numbers beside simpler ways, and what is said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject, Qt, QTimer, Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget
from superqt import QElidingLabel

from napari_restore.core.events import Measured, Preview
from napari_restore.gui.parts.colours import kind_of, written
from napari_restore.gui.parts.folded import Folded
from napari_restore.gui.parts.messages import Level, Messages
from napari_restore.gui.restore.comparing import Baselines, ComparePane
from napari_restore.gui.restore.in_view import change
from napari_restore.gui.restore.preview import Look, PreviewPane
from napari_restore.gui.restore.runs import RunsPane
from napari_restore.gui.restore.session import Session
from napari_restore.gui.restore.work import Engine, Pair
from napari_restore.sources.image import Image
from napari_restore.verbs import VERBS, Curve

if TYPE_CHECKING:
    from napari_restore.gui.restore.plot import LossPlot

_HIGH = 165
"""Pixels for the curves."""

_HELD_OUT = {"dark": "#ffb454", "light": "#b45309"}
"""The bold curve, on dark and on light: orange, told apart from grey by everybody."""


class Outcome(QObject):  # type: ignore[misc]
    """Shows what a session does.

    Attributes
    ----------
    place
        Where the curves are, once there are some.
    widgets
        From the top down.
    grown
        Signal: there is more to see.
    """

    grown = Signal()

    def __init__(self, viewer: Any, engine: Engine, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._session = session
        self.whose = QElidingLabel()
        self.whose.setElideMode(Qt.TextElideMode.ElideMiddle)
        self.whose.hide()
        self._before: Preview | None = None
        self.preview = PreviewPane()
        self._plot: LossPlot | None = None
        self._colours: dict[str, str] = {}
        self._kind: Curve = "error"
        self.place = QWidget()
        QVBoxLayout(self.place).setContentsMargins(0, 0, 0, 0)
        self.place.setFixedHeight(_HIGH)
        self.place.hide()
        self.comparison = ComparePane()
        self.runs = RunsPane(session)
        self.messages = Messages()
        self.details = Folded("Details")
        self.details.fold.setToolTip("What was found, chosen and written. Unfolds by itself where something is wrong.")
        inside = QVBoxLayout(self.details.inside)
        inside.setContentsMargins(0, 0, 0, 0)
        inside.addWidget(self.messages)
        self.baselines = Baselines(viewer, engine, session, self)
        session.begun.connect(self._begin)
        session.said.connect(self.say)
        session.measured.connect(self._draw)
        session.floored.connect(self._show_floor)
        session.compared.connect(self._compare)
        session.judged.connect(self.comparison.show_rows)
        session.finished.connect(self._offer_baselines)
        session.over.connect(self._leave_out)
        self.preview.turned.connect(session.turn)
        self.preview.grown.connect(self.grown)
        self.comparison.wanted.connect(self.baselines.make)
        self.baselines.changed.connect(self._show_baselines)

    @property
    def plot(self) -> LossPlot:
        """The curves. Made when there is something to draw: pyqtgraph takes longer to load than all else here."""
        self._place()
        return self._made_plot()

    def prepare(self) -> None:
        """Make the curves before there is something to draw: while a network learns this would take twice as long.

        They are placed in a turn of their own: both at once would hold the viewer for 34 ms.
        """
        self._made_plot()
        QTimer.singleShot(0, self._place)

    def _made_plot(self) -> LossPlot:
        if self._plot is None:
            from napari_restore.gui.restore.plot import LossPlot

            self._plot = LossPlot()
        return self._plot

    def _place(self) -> None:
        if self.place.layout().isEmpty():
            plot = self._made_plot()
            plot.clear_traces(self._kind)
            plot.set_colours(**self._colours)
            self.place.layout().addWidget(plot)

    @property
    def widgets(self) -> tuple[QWidget, ...]:
        """The parts, in their order."""
        return (self.whose, self.preview, self.place, self.comparison, self.runs, self.details)

    @property
    def bottom(self) -> QWidget:
        """Down to where one wants to see: the comparison, once there is one."""
        shown = (part for part in (self.comparison, self.place) if not part.isHidden())
        return next(shown, self.preview)

    def set_colours(self, theme: Any, *, text: str, error: str) -> None:
        """Take the colours of the viewer's theme."""
        kind = kind_of(theme)
        self._colours = {"background": written(theme.background), "text": text, "accent": _HELD_OUT[kind]}
        if self._plot is not None:
            self._plot.set_colours(**self._colours)
        for folded in (self.runs, self.details):
            folded.set_colours(text=text)
        self.messages.set_colours(warning="#8a5a00" if kind == "light" else written(theme.warning), error=error)

    def say(self, text: str, level: Level = "info") -> None:
        """Among the details; where it is a warning or an error these are unfolded."""
        self.messages.say(text, level)
        if level != "info" and not self.details.isExpanded():
            self.details.expand(animate=False)

    def show_whose(self, name: str) -> None:
        """Name the layer of the last run; nothing where it is the one that is chosen."""
        self.whose.setText(f"The last run, of the layer {name}:" if name else "")
        self.whose.setToolTip(name)
        self.whose.setVisible(bool(name))

    def _begin(self) -> None:
        """A run begins: forget the last one."""
        run = self._session.run
        self._kind = VERBS[run.verb].curve if run is not None else "error"
        if self._plot is not None:
            self._plot.clear_traces(self._kind)
        self.place.show()
        self._before = None
        self.preview.clear()
        self.comparison.clear()
        self.grown.emit()

    def _leave_out(self) -> None:
        """Where nothing was learned there is no curve: axes without one tell nobody anything."""
        self.place.setVisible(self._plot is not None and self._plot.drawn)

    def _draw(self, measured: list[Measured]) -> None:
        self.plot.add(measured)

    def _show_floor(self, loss: float | None) -> None:
        self.plot.show_floor(loss)

    def _compare(self, pair: Pair) -> None:
        if not pair.preview.across:
            if self._before is not None and (percent := change(self._before, pair.preview)) is not None:
                self.plot.add_change(pair.preview.step, percent)
            self._before = pair.preview
        if (run := self._session.run) is not None:
            image, look = run.image, Look.of(run.raw)
            size = dict(zip(image.axes, image.geometry.pixel_size, strict=True))
            self.preview.show_pair(pair, axes=image.axes, look=look, channel=self._channel(image), size=size)

    def _channel(self, image: Image) -> int:
        """The channel the sliders stand at, where the image has a channel axis with a slider."""
        steps = self._viewer.dims.current_step[-image.ndim :]
        return int(steps[image.axes.index("C")]) if "C" in image.axes and len(steps) == image.ndim else 0

    def _offer_baselines(self) -> None:
        if self._session.run is not None and self._session.run.undoes:
            self.comparison.offer(whole=self.baselines.can_be_whole())
        self.grown.emit()  # where nothing is offered: the verdict may take lines from what was in sight

    def _show_baselines(self) -> None:
        self.comparison.button.setEnabled(not self.baselines.runner.running)

"""What comes of a run: the preview, the curves, the numbers beside simpler ways, and what is said."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QObject, Signal
from qtpy.QtWidgets import QWidget

from napari_restore.gui.parts.colours import kind_of, written
from napari_restore.gui.parts.messages import Messages
from napari_restore.gui.restore.comparing import Baselines, ComparePane
from napari_restore.gui.restore.plot import LossPlot
from napari_restore.gui.restore.preview import Look, PreviewPane
from napari_restore.gui.restore.session import Session
from napari_restore.gui.restore.work import Engine, Pair
from napari_restore.sources.image import Image

_HELD_OUT = {"dark": "#ffb454", "light": "#b45309"}
"""The bold curve, on dark and on light: orange, told apart from grey by everybody."""


class Outcome(QObject):  # type: ignore[misc]
    """Shows what a session does.

    Attributes
    ----------
    widgets
        From the top down; the last one takes the space that is left.
    grown
        Signal: there is more to see.
    """

    grown = Signal()

    def __init__(self, viewer: Any, engine: Engine, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._session = session
        self.preview = PreviewPane()
        self.plot = LossPlot()
        self.comparison = ComparePane()
        self.messages = Messages()
        self.baselines = Baselines(viewer, engine, session, self)
        session.begun.connect(self._begin)
        session.said.connect(self.messages.say)
        session.measured.connect(self.plot.add)
        session.floored.connect(self.plot.show_floor)
        session.compared.connect(self._compare)
        session.judged.connect(self.comparison.show_rows)
        session.finished.connect(self._offer_baselines)
        self.comparison.wanted.connect(self.baselines.make)
        self.baselines.said.connect(self.messages.say)
        self.baselines.changed.connect(self._show_baselines)

    @property
    def widgets(self) -> tuple[QWidget, ...]:
        """The parts, in their order."""
        return (self.preview, self.plot, self.comparison, self.messages)

    @property
    def bottom(self) -> QWidget:
        """Down to where one wants to see: the comparison, once there is one."""
        return self.plot if self.comparison.isHidden() else self.comparison

    def set_colours(self, theme: Any, *, text: str, error: str) -> None:
        """Take the colours of the viewer's theme."""
        kind = kind_of(theme)
        self.plot.set_colours(background=written(theme.background), text=text, accent=_HELD_OUT[kind])
        self.messages.set_colours(warning="#8a5a00" if kind == "light" else written(theme.warning), error=error)

    def _begin(self) -> None:
        """A run begins: forget the last one."""
        self.plot.clear_traces()
        self.preview.clear()
        self.comparison.clear()
        self.grown.emit()

    def _compare(self, pair: Pair) -> None:
        run = self._session.run
        if run is not None:
            self.preview.show_pair(pair, axes=run.image.axes, look=Look.of(run.raw), channel=self._channel(run.image))

    def _channel(self, image: Image) -> int:
        """The channel the sliders stand at, where the image has a channel axis with a slider."""
        steps = self._viewer.dims.current_step[-image.ndim :]
        return int(steps[image.axes.index("C")]) if "C" in image.axes and len(steps) == image.ndim else 0

    def _offer_baselines(self) -> None:
        if self._session.run is not None and self._session.run.undoes:
            self.comparison.offer(whole=self.baselines.can_be_whole())
            self.grown.emit()

    def _show_baselines(self) -> None:
        self.comparison.button.setEnabled(not self.baselines.runner.running)

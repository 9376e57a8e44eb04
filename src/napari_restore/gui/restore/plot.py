"""How training goes: the loss on patches and on held-out pixels, against the step."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyqtgraph as pg
from qtpy.QtCore import Qt
from qtpy.QtGui import QColor
from qtpy.QtWidgets import QSizePolicy, QWidget

from napari_restore.core.events import Measured
from napari_restore.verbs import Curve

_KEPT = 2000
"""Points of a curve that are drawn at most; past that every second one goes."""

_INERTIA = {"training": 0.8, "held out": 0.0, "change": 0.0}
"""The curves. The training loss jumps from batch to batch; the held-out loss is always of the same pixels."""

_DRAWN: dict[Curve, tuple[str, ...]] = {"error": ("training", "held out"), "change": ("change",)}
_AXIS: dict[Curve, str] = {"error": "error", "change": "change, %"}


class Trace:
    """A curve that never grows past a number of points. Old points are thinned out, new ones are kept.

    ``inertia`` is the part of the last value that stays in the next one: 0 draws what was measured.
    """

    def __init__(self, kept: int = _KEPT, *, inertia: float = 0.0) -> None:
        self.steps: list[int] = []
        self.values: list[float] = []
        self._kept = kept
        self._inertia = inertia

    def add(self, step: int, value: float) -> None:
        """One more point; numbers that are not finite are left out."""
        if not np.isfinite(value):
            return
        self.steps.append(step)
        self.values.append(value if not self.values else self._inertia * self.values[-1] + (1 - self._inertia) * value)
        if len(self.steps) > self._kept:
            del self.steps[:-1:2], self.values[:-1:2]


def sensible_range(values: Iterable[float]) -> tuple[float, float] | None:
    """Where to look: from the least value to the 90th percentile, so that the first steps do not flatten the rest."""
    finite = np.array([v for v in values if np.isfinite(v)])
    if finite.size == 0:
        return None
    low, high = float(finite.min()), float(np.percentile(finite, 90))
    margin = 0.08 * (high - low) or max(abs(high), 1e-6) * 0.1
    return low - margin, high + margin


class LossPlot(pg.PlotWidget):  # type: ignore[misc]
    """How training goes, by what says it.

    Two curves: the training loss, thin, and the held-out loss, bold; and a line where noise alone would end. Or one:
    how much the picture still changes, where the loss does not fall as that gets better.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent, enableMenu=False)
        self.plotItem.setContentsMargins(0, 0, 2, 4)
        self.setMinimumWidth(120)
        self.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Expanding)
        self.setMouseEnabled(x=False, y=False)
        self.hideButtons()
        self.showGrid(x=False, y=True, alpha=0.2)
        for side in ("left", "bottom"):  # before there are numbers: pyqtgraph scales those in sight once more
            self.getAxis(side).enableAutoSIPrefix(False)
        self._curves = {name: self.plot() for name in _INERTIA}
        self.floor = pg.InfiniteLine(angle=0)
        self.addItem(self.floor, ignoreBounds=True)
        self._text = self._accent = "#808080"  # until the viewer's colours are known
        self.clear_traces()

    def clear_traces(self, kind: Curve = "error") -> None:
        """Forget the last run; the next one is of this kind."""
        self._kind = kind
        self.traces = {name: Trace(inertia=inertia) for name, inertia in _INERTIA.items()}
        for curve in self._curves.values():
            curve.setData([], [])
        self.show_floor(None)
        self.setLabel("left", _AXIS[kind], color=self._text)

    @property
    def drawn(self) -> bool:
        """Whether there is a curve: one point is none."""
        return any(len(self.traces[name].values) > 1 for name in _DRAWN[self._kind])

    def show_floor(self, loss: float | None) -> None:
        """The held-out loss of a perfect result, where that is known: the noise of what it is compared with."""
        self.floor.setVisible(loss is not None and self._kind == "error")
        self._name_curves()
        self.floor.setValue(loss if loss is not None else 0.0)

    def add(self, measured: Iterable[Measured]) -> None:
        """Draw what was measured since the last call, all at once."""
        for one in measured:
            self.traces["training"].add(one.step, one.loss)
            if one.validation is not None and one.validation not in self.traces["held out"].values[-1:]:
                self.traces["held out"].add(one.step, one.validation)
        self._draw()

    def add_change(self, step: int, percent: float) -> None:
        """Draw how much the picture has changed since the last preview, in percent of its contrast."""
        self.traces["change"].add(step, percent)
        self._draw()

    def _draw(self) -> None:
        drawn = _DRAWN[self._kind]
        for name in drawn:
            self._curves[name].setData(self.traces[name].steps, self.traces[name].values)
        floor = [self.floor.value()] if self.floor.isVisible() else []
        zero = [0.0] if self._kind == "change" else []  # where it ends
        span = sensible_range([*(v for name in drawn for v in self.traces[name].values), *floor, *zero])
        if span is not None:
            self.setYRange(*span, padding=0)

    def set_colours(self, *, background: str, text: str, accent: str) -> None:
        """Colours of the viewer's theme."""
        self._text, self._accent = text, accent
        self.setBackground(background)
        faint = QColor(text)
        faint.setAlpha(110)
        self._curves["training"].setPen(pg.mkPen(faint, width=1))
        self.floor.setPen(pg.mkPen(faint, width=1, style=Qt.PenStyle.DashLine))
        for bold in (self._curves["held out"], self._curves["change"]):
            bold.setPen(pg.mkPen(accent, width=2.5))
            bold.setSymbol("o")
            bold.setSymbolSize(4)
            bold.setSymbolBrush(accent)
            bold.setSymbolPen(None)
        for side in ("left", "bottom"):
            self.getAxis(side).setPen(faint)
            self.getAxis(side).setTextPen(text)
        self.setLabel("bottom", "step", color=text)
        self.setLabel("left", _AXIS[self._kind], color=text)
        self._name_curves()
        self.setFocusPolicy(Qt.FocusPolicy.NoFocus)

    def _name_curves(self) -> None:
        """What is drawn and nothing else: the line of the noise is there for some methods only."""
        bold = "held out" if self._kind == "error" else "how much the picture still changes"
        names = ["<span>─ training</span>"] if self._kind == "error" else []
        names += [f"<span style='color:{self._accent}'><b>━ {bold}</b></span>"]
        names += ["┄ noise"] if self.floor.isVisible() else []
        self.setTitle(" &nbsp; ".join(names), color=self._text, size="9pt")

"""The tab "Compare": two layers behind a curtain that one drags across the canvas, or one after the other."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import Any

from napari.layers import Image as ImageLayer
from qtpy.QtCore import QEvent, QSize, Qt, QTimer, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_restore.gui.compare.added import Added
from napari_restore.gui.compare.borrowed import Borrowed, SameContrast
from napari_restore.gui.compare.controls import STEPS, Controls, Mode
from napari_restore.gui.compare.curtain import grid_of
from napari_restore.gui.compare.pair import Comparison, likely_pair
from napari_restore.gui.compare.regions import Regions
from napari_restore.gui.parts.colours import Colours, focus_ring
from napari_restore.gui.parts.links import Links


class CompareWidget(QWidget):  # type: ignore[misc]
    """Look at two image layers through a curtain or by turns, with the same contrast, or at their difference.

    Attributes
    ----------
    shown
        Signal: which layer is seen now, ``A``, ``B``, ``A | B`` or nothing.
    """

    shown = Signal(str)

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self._viewer = getattr(napari_viewer, "__wrapped__", napari_viewer)
        self._links = Links()
        self._comparison: Comparison | None = None
        self._same: SameContrast | None = None
        self._borrowed = Borrowed()
        self._choosing = False
        self._holding = False
        self._turn = 0
        self.mode: Mode = "off"
        self.controls = Controls(self._viewer, self._links)
        self._added = Added(self._viewer, self)
        self.regions = Regions(self._viewer, self)
        self._timer = QTimer(self)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.controls)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self._connect()
        self._paint()
        self._propose()
        self._show_state()

    # What the user does.

    def choose(self, mode: Mode) -> None:
        """Compare in this way, or no more."""
        self.mode = mode
        self.controls.message.clear()
        self._restart()

    def swap(self) -> None:
        """A becomes B, and B becomes A."""
        first, second = self.controls.first.layer, self.controls.second.layer
        self._take_pair(second, first)

    def hold(self, held: bool) -> None:
        """Show B alone while ``held``."""
        self._holding = held
        self._show_pictures()

    def add_difference(self) -> None:
        """Add what A has more than B as a layer, in the part of the plane in view; it takes the last one's place."""
        if (pair := self.controls.pair) is not None:
            self._added.add_difference(*pair)

    def find_structure(self) -> None:
        """Add a map of where A - B holds more than noise, in the part of the plane in view; made in a thread."""
        if (pair := self.controls.pair) is not None and self._added.find_structure(*pair):
            self.controls.structure_button.setEnabled(False)

    def show_lost(self, measured: Any, restored: Any) -> None:
        """Choose these layers, and show on the measured one where a restoration may have lost detail."""
        self.choose("off")
        self._take_pair(measured, restored)
        self.find_structure()

    def measure_regions(self) -> None:
        """Compare the means of the chosen regions in A and B, as a table in a dock; made in a thread."""
        pair, chosen = self.controls.pair, self.controls.regions.layer
        if pair is not None and self.regions.measure(*pair, chosen):
            self.controls.regions_button.setEnabled(False)

    def leave(self) -> None:
        """Put the viewer back as it was, and listen to it no more."""
        self._added.abandon()
        self.regions.abandon()
        self._links.cut()
        self._timer.stop()
        self.mode = "off"
        self._end()

    # What comes of it.

    def _restart(self, *_: Any) -> None:
        """Begin anew with what is chosen now."""
        self._end()
        pair = self.controls.pair
        if self.mode != "off" and grid_of(self._viewer).enabled:
            self.controls.message.setText(
                "The layers lie side by side in a grid: turn it off (Ctrl+G) to compare them."
            )
            self.mode = "off"
        if self.mode != "off" and pair is None:
            self.controls.message.setText("Choose two different image layers to compare.")
            self.mode = "off"
        if self.mode != "off" and pair is not None:
            self._comparison = Comparison(
                self._viewer,
                *pair,
                borrowed=self._borrowed,
                alone=self.controls.alone_box.isChecked(),
                moved=self._follow_mouse,
                held=self._hold_if_there,
            )
        self._take_contrast()
        self._pace()
        self._show_pictures()
        self._show_state()

    def _end(self) -> None:
        self._holding = False
        if self._same is not None:
            self._same.cut()
            self._same = None
        if self._comparison is not None:
            self._comparison.close()
            self._comparison = None

    def _take_layers(self, layer: Any = None) -> None:
        """Another layer is chosen, or one is gone."""
        if self._choosing:
            return
        compared = self._comparison.layers if self._comparison is not None else ()
        gone = [one.name for one in compared if one not in self._viewer.layers]
        if gone:
            self.choose("off")
            self._propose()
            self.controls.message.setText(f"{' and '.join(gone)} was removed: the comparison is over.")
        else:
            self._restart()

    def _take_pair(self, first: Any, second: Any) -> None:
        """Choose both at once, so that one comparison begins and not two."""
        self._choosing = True
        self.controls.first.choose(first)
        self.controls.second.choose(second)
        self._choosing = False
        self._restart()

    def _propose(self, event: Any = None) -> None:
        """Choose a restored layer and its raw one: those of the layer that was added, or the uppermost."""
        if self.mode != "off":
            return
        new = getattr(event, "value", None)
        pair = likely_pair([one for one in self._viewer.layers if isinstance(one, ImageLayer)], new)
        if pair is not None:
            self._take_pair(*pair)

    def _take_contrast(self, *_: Any) -> None:
        if self._same is not None:
            self._same.cut()
            self._same = None
        pair = self.controls.pair
        if self.controls.same_box.isChecked() and self._comparison is not None and pair is not None:
            self._same = SameContrast(*pair)

    def _pace(self, *_: Any) -> None:
        """Let the pictures take turns as fast as the slider says; at 0 only the key changes them."""
        rate = self.controls.rate.value()
        if self.mode == "blink" and rate:
            self._timer.start(round(1000 / rate))
        else:
            self._timer.stop()
            self._turn = 0
        self._show_state()

    def _blink(self) -> None:
        self._turn = 1 - self._turn
        self._show_pictures()

    def _show_pictures(self, *_: Any) -> None:
        """Move the curtain to where it belongs now, and say what is seen."""
        if self._comparison is None:
            self.controls.seen.setText("")
            self.shown.emit("")
            return
        blinks = self.mode == "blink"
        fraction = 1.0 - self._turn if blinks else self.controls.fraction
        fraction = 0.0 if self._holding else fraction
        self._comparison.curtain.move(fraction, self.controls.way.currentData())
        first, second = (layer.name for layer in self._comparison.layers)
        seen = {0.0: ("B", second), 1.0: ("A", first)}.get(fraction)
        if seen is None:
            self.controls.seen.setText("")
            self.shown.emit("A | B")
        else:
            self.controls.seen.setText(f"{seen[0]}: {seen[1]}")
            self.shown.emit(seen[0])

    def _follow_mouse(self, fraction: float) -> None:
        # Not to the very end: a divider out of the canvas could not be taken hold of again.
        self.controls.divider.setValue(round(min(max(fraction, 0.01), 0.99) * STEPS))

    def _hold_if_there(self, held: bool) -> None:
        if self._comparison is not None:
            self.hold(held)

    def _show_state(self) -> None:
        self.controls.show_mode(self.mode)

    def _look_as_it_is(self) -> None:
        """A layer is added: the comparison would hide it."""
        self.choose("off")

    # How it is put together.

    def _connect(self) -> None:
        """Every signal there is, in one place."""
        controls = self.controls
        for box in (controls.first, controls.second):
            box.chosen.connect(self._take_layers)
        controls.swap_button.clicked.connect(lambda _: self.swap())
        for mode, button in controls.buttons.items():
            button.clicked.connect(partial(self._click, mode))
        controls.divider.valueChanged.connect(self._show_pictures)
        controls.way.currentIndexChanged.connect(self._show_pictures)
        controls.rate.valueChanged.connect(self._pace)
        controls.same_box.toggled.connect(self._take_contrast)
        controls.alone_box.toggled.connect(self._restart)
        controls.difference_button.clicked.connect(lambda _: self.add_difference())
        controls.structure_button.clicked.connect(lambda _: self.find_structure())
        self._added.coming.connect(self._look_as_it_is)
        self._added.said.connect(controls.message.setText)
        self._added.ended.connect(self._show_state)
        controls.regions_button.clicked.connect(lambda _: self.measure_regions())
        self.regions.said.connect(controls.message.setText)
        self.regions.ended.connect(self._show_state)
        self._timer.timeout.connect(self._blink)
        self._links.connect(self._viewer.layers.events.inserted, self._propose)
        self._links.connect_each(self._viewer.layers.events, ("renamed",), self._show_pictures)
        refilled = ("inserted", "removed", "renamed")
        self._links.connect_each(self._viewer.layers.events, refilled, controls.regions.refill)
        self._links.connect(grid_of(self._viewer).events.enabled, self._restart)
        self._links.connect(self._viewer.events.theme, self._paint)
        self.destroyed.connect(partial(_leave, self._links, self._borrowed))

    def _click(self, mode: Mode, checked: bool = True) -> None:
        self.choose(mode)

    def _paint(self, event: Any = None) -> None:
        """Show which mode is on, in the colours of the viewer's theme."""
        colours = Colours.of(self._viewer)
        self.setStyleSheet(focus_ring(text=colours.text))
        self.controls.set_colours(accent=colours.accent, text=colours.text)

    def sizeHint(self) -> QSize:  # noqa: N802
        """Narrow enough for a laptop's screen beside the canvas."""
        return QSize(400, 400)

    def keyPressEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """The key works here as it does in the canvas."""
        self._take_key(event, down=True)

    def keyReleaseEvent(self, event: QKeyEvent) -> None:  # noqa: N802
        """The key comes up."""
        self._take_key(event, down=False)

    def closeEvent(self, event: QEvent) -> None:  # noqa: N802
        """Closed as a window of its own."""
        self.leave()
        super().closeEvent(event)

    def _take_key(self, event: QKeyEvent, *, down: bool) -> None:
        ours = self._comparison is not None and event.key() == Qt.Key.Key_B and not event.modifiers()
        if not ours:
            event.ignore()
        elif not event.isAutoRepeat():
            self.hold(down)


def _leave(links: Links, borrowed: Borrowed) -> None:
    """Knows no Qt objects: it also runs when they are gone. Layers may outlive their viewer."""
    links.cut()
    with suppress(RuntimeError):  # what drew them may be gone
        borrowed.give_back()

"""The tab "Compare": two layers behind a curtain that one drags across the canvas, or one after the other."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Literal

import numpy as np
from napari.layers import Image as ImageLayer
from napari.qt.threading import create_worker
from napari.utils.key_bindings import coerce_keybinding
from napari.utils.theme import get_theme
from numpy.typing import NDArray
from qtpy.QtCore import QEvent, QSize, Qt, QTimer, Signal
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QSlider,
    QVBoxLayout,
    QWidget,
)

from napari_restore.core.errors import RestoreError
from napari_restore.gui.compare.curtain import Curtain, Way, grid_of
from napari_restore.gui.compare.difference import Removed, difference, removed
from napari_restore.gui.parts.links import Links
from napari_restore.gui.restore.choices import LayerChoice, let_shrink
from napari_restore.gui.restore.session import camera_of

Mode = Literal["off", "curtain", "blink"]

_MODES: dict[Mode, tuple[str, str]] = {
    "off": ("&Off", "Everything looks as it did before the comparison."),
    "curtain": ("&Curtain", "A divider across the canvas: A on one side, B on the other.\nDrag it in the canvas."),
    "blink": ("Bl&ink", "A and B by turns, in the same place: the eye finds what moves or changes."),
}

_WAYS: dict[Way, str] = {"left | right": "A left, B right", "top | bottom": "A above, B below"}

_STEPS = 1000
"""Of the divider's slider, from one end of the canvas to the other."""

_FASTEST = 6
"""Pictures a second: three flashes, which WCAG 2.3.1 has as the most that is safe for everybody."""

_KEY = "B"
"""Held down, it shows B alone."""

_SAME = ("contrast_limits", "gamma")
"""What "Same contrast" holds alike."""


class Borrowed:
    """Attributes of layers that are changed for a while. What the user changes meanwhile is the user's."""

    def __init__(self) -> None:
        self._lent: list[tuple[Any, str, Any, Any]] = []

    def set(self, layer: Any, name: str, value: Any) -> None:
        """Change an attribute, and remember what it was."""
        before = getattr(layer, name)
        if before != value:
            setattr(layer, name, value)
            self._lent.append((layer, name, before, getattr(layer, name)))

    def give_back(self) -> None:
        """Set everything to what it was, the last one first. May be called again."""
        while self._lent:
            layer, name, before, now = self._lent.pop()
            if getattr(layer, name) == now:
                setattr(layer, name, before)


class SameContrast:
    """Holds the contrast of two layers alike, whichever of them is changed, until ``cut``."""

    def __init__(self, first: Any, second: Any) -> None:
        self._layers = (first, second)
        self._links = Links()
        self._borrowed = Borrowed()
        if first.rgb or second.rgb:
            return  # colour has no contrast limits
        self._widen(first.contrast_limits)
        for name in _SAME:
            self._borrowed.set(second, name, getattr(first, name))
            for source, target in ((first, second), (second, first)):
                self._links.connect(getattr(source.events, name), partial(self._copy, name, source, target))

    def cut(self) -> None:
        """Let each have its own contrast again: the second one as it was, unless the user has changed it."""
        self._links.cut()
        self._borrowed.give_back()

    def _widen(self, limits: Sequence[float]) -> None:
        """Limits outside the range of a layer's slider would be cut off."""
        second = self._layers[1]
        low, high = second.contrast_limits_range
        self._borrowed.set(second, "contrast_limits_range", (min(low, limits[0]), max(high, limits[1])))

    def _copy(self, name: str, source: Any, target: Any, event: Any = None) -> None:
        if getattr(target, name) != getattr(source, name):
            setattr(target, name, getattr(source, name))


class Comparison:
    """Two layers being compared in a viewer, from the first picture until ``close``, which leaves no trace.

    Both are shown opaque, whatever their blending, and nothing of them is read again: blinking is a curtain that
    jumps from one end to the other.

    Parameters
    ----------
    viewer, first, second
        The viewer and two of its image layers.
    borrowed
        Remembers how the layers were.
    alone
        Whether the other image layers are hidden meanwhile.
    moved
        Called when the user has moved the divider in the canvas, with its place from 0 to 1.
    held
        Called with True when the key for the second layer goes down, and with False when it comes up.
    """

    def __init__(
        self,
        viewer: Any,
        first: Any,
        second: Any,
        *,
        borrowed: Borrowed,
        alone: bool,
        moved: Callable[[float], object],
        held: Callable[[bool], object],
    ) -> None:
        self._viewer = viewer
        self._moved = moved
        self._held = held
        self._borrowed = borrowed
        self.layers = (first, second)
        others = [one for one in viewer.layers if isinstance(one, ImageLayer) and one not in self.layers]
        for other in others if alone else ():
            self._borrowed.set(other, "visible", False)
        for layer in self.layers:
            # Not additive: where the lower one is cut away, the upper one would be added to the background.
            for name, value in (("visible", True), ("opacity", 1.0), ("blending", "translucent_no_depth")):
                self._borrowed.set(layer, name, value)
        self.curtain = Curtain(viewer, first, second)
        self._key = coerce_keybinding(_KEY)
        self._key_before = viewer.keymap.get(self._key)
        self._press = self._hold
        viewer.keymap[self._key] = self._press
        self._callback = self._drag
        viewer.mouse_drag_callbacks.append(self._callback)

    def close(self) -> None:
        """Put everything back as it was. May be called again."""
        self.curtain.close()
        with suppress(ValueError):
            self._viewer.mouse_drag_callbacks.remove(self._callback)
        if self._viewer.keymap.get(self._key) is self._press:
            del self._viewer.keymap[self._key]
            if self._key_before is not None:
                self._viewer.keymap[self._key] = self._key_before
        self._borrowed.give_back()

    def _hold(self, viewer: Any) -> Generator[None, None, None]:
        """Hold for B alone (napari-restore)."""
        self._held(True)
        yield
        self._held(False)

    def _drag(self, viewer: Any, event: Any) -> Generator[None, None, None]:
        """Move the divider with the mouse; the camera stays where it is meanwhile."""
        if event.button != 1 or not self.curtain.near(*event.pos):
            return
        camera = camera_of(self._viewer)
        pans, camera.mouse_pan = camera.mouse_pan, False
        event.handled = True
        try:
            yield
            while event.type == "mouse_move" and not self.curtain.closed:
                self._moved(self.curtain.fraction_at(*event.pos))
                yield
        finally:
            camera.mouse_pan = pans


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
        self._difference: Any = None
        self._structure: Any = None
        self._removed: Removed | None = None
        self._borrowed = Borrowed()
        self._choosing = False
        self._holding = False
        self._turn = 0
        self.mode: Mode = "off"
        self.first = LayerChoice(self._viewer, self._links, follow=False)
        self.second = LayerChoice(self._viewer, self._links, follow=False)
        self.swap_button = QPushButton("&Swap")
        self.buttons: dict[Mode, QPushButton] = {mode: QPushButton(label) for mode, (label, _) in _MODES.items()}
        self.divider = QSlider(Qt.Orientation.Horizontal)
        self.way = QComboBox()
        self.rate = QSlider(Qt.Orientation.Horizontal)
        self.same_box = QCheckBox("Same con&trast")
        self.alone_box = QCheckBox("Hide the other ima&ges")
        self.difference_button = QPushButton("Add the differe&nce A - B")
        self.structure_button = QPushButton("Find structure in &it")
        self.seen = QLabel()
        self.message = QLabel()
        self._timer = QTimer(self)
        self._dress()
        self._lay_out()
        self._connect()
        self._paint()
        self._propose()
        self._show_state()

    # What the user does.

    def choose(self, mode: Mode) -> None:
        """Compare in this way, or no more."""
        self.mode = mode
        self.message.clear()
        self._restart()

    def swap(self) -> None:
        """A becomes B, and B becomes A."""
        first, second = self.first.layer, self.second.layer
        self._take_pair(second, first)

    def hold(self, held: bool) -> None:
        """Show B alone while ``held``."""
        self._holding = held
        self._show_pictures()

    def add_difference(self) -> None:
        """Add what A has more than B as a layer, in the part of the plane in view; it takes the last one's place."""
        pair = self._pair()
        if pair is None:
            return
        try:
            layer = difference(self._viewer, *pair)
        except RestoreError as error:
            self.message.setText(str(error))
            return
        self.choose("off")
        if self._difference is not None and self._difference in self._viewer.layers:
            self._viewer.layers.remove(self._difference)
        self._difference = self._viewer.add_layer(layer)
        self.message.setText("Pink is where B is brighter, green where A is. It is of this plane as you see it now.")

    def find_structure(self) -> None:
        """Add a map of where A - B holds more than noise, in the part of the plane in view; made in a thread."""
        pair = self._pair()
        if pair is None:
            return
        try:
            self._removed = removed(self._viewer, *pair)
        except RestoreError as error:
            self.message.setText(str(error))
            return
        self.structure_button.setEnabled(False)
        self.message.setText("Looking for structure…")
        worker = create_worker(mapped, self._removed.residual, self._removed.restored)
        worker.returned.connect(self._take_structure)
        worker.errored.connect(self._fail_structure)
        worker.start()

    def _take_structure(self, mapped: tuple[NDArray[np.float32], str]) -> None:
        found, verdict = mapped
        if self._removed is None:  # left meanwhile
            return
        if self._structure is not None and self._structure in self._viewer.layers:
            self._viewer.layers.remove(self._structure)
        self.choose("off")
        self._structure = self._viewer.add_layer(self._removed.place(found))
        self.message.setText(f"In this plane {verdict}.")
        self._show_state()

    def _fail_structure(self, error: Exception) -> None:
        if self._removed is not None:
            self.message.setText(f"The map could not be made: {error}")
            self._show_state()

    def leave(self) -> None:
        """Put the viewer back as it was, and listen to it no more."""
        self._removed = None
        self._links.cut()
        self._timer.stop()
        self.mode = "off"
        self._end()

    # What comes of it.

    def _pair(self) -> tuple[Any, Any] | None:
        first, second = self.first.layer, self.second.layer
        return None if first is None or second is None or first is second else (first, second)

    def _restart(self, *_: Any) -> None:
        """Begin anew with what is chosen now."""
        self._end()
        pair = self._pair()
        if self.mode != "off" and grid_of(self._viewer).enabled:
            self.message.setText("The layers lie side by side in a grid: turn it off (Ctrl+G) to compare them.")
            self.mode = "off"
        if self.mode != "off" and pair is None:
            self.message.setText("Choose two different image layers to compare.")
            self.mode = "off"
        if self.mode != "off" and pair is not None:
            self._comparison = Comparison(
                self._viewer,
                *pair,
                borrowed=self._borrowed,
                alone=self.alone_box.isChecked(),
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
            self.message.setText(f"{' and '.join(gone)} was removed: the comparison is over.")
        else:
            self._restart()

    def _take_pair(self, first: Any, second: Any) -> None:
        """Choose both at once, so that one comparison begins and not two."""
        self._choosing = True
        self.first.choose(first)
        self.second.choose(second)
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
        pair = self._pair()
        if self.same_box.isChecked() and self._comparison is not None and pair is not None:
            self._same = SameContrast(*pair)

    def _pace(self, *_: Any) -> None:
        """Let the pictures take turns as fast as the slider says; at 0 only the key changes them."""
        rate = self.rate.value()
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
            self.seen.clear()
            self.shown.emit("")
            return
        blinks = self.mode == "blink"
        fraction = 1.0 - self._turn if blinks else self.divider.value() / _STEPS
        fraction = 0.0 if self._holding else fraction
        self._comparison.curtain.move(fraction, self.way.currentData())
        first, second = (layer.name for layer in self._comparison.layers)
        seen = {0.0: ("B", second), 1.0: ("A", first)}.get(fraction)
        if seen is None:
            self.seen.setText("")
            self.shown.emit("A | B")
        else:
            self.seen.setText(f"{seen[0]}: {seen[1]}")
            self.shown.emit(seen[0])

    def _follow_mouse(self, fraction: float) -> None:
        # Not to the very end: a divider out of the canvas could not be taken hold of again.
        self.divider.setValue(round(min(max(fraction, 0.01), 0.99) * _STEPS))

    def _hold_if_there(self, held: bool) -> None:
        if self._comparison is not None:
            self.hold(held)

    def _show_state(self) -> None:
        self.buttons[self.mode].setChecked(True)
        pair = self._pair() is not None
        for mode, button in self.buttons.items():
            button.setEnabled(pair or mode == "off")
        self.difference_button.setEnabled(pair)
        self.structure_button.setEnabled(pair)
        self.swap_button.setEnabled(pair)
        for part in (self._divider_name, self.divider, self.way):
            part.setEnabled(self.mode != "blink")
        for part in (self._rate_name, self.rate, self._rate_said):
            part.setEnabled(self.mode != "curtain")
        rate = self.rate.value()
        self._rate_said.setText(f"{rate} pictures a second" if rate else f"while {_KEY} is held")

    # How it is put together.

    def _dress(self) -> None:
        """Ranges, words and tips."""
        self.first.setToolTip("The image on the left, or above; the one that is seen first.")
        self.second.setToolTip("The image on the right, or below.")
        self.swap_button.setToolTip("A becomes B, and B becomes A.")
        for mode, button in self.buttons.items():
            button.setCheckable(True)
            button.setToolTip(_MODES[mode][1])
        self.divider.setRange(0, _STEPS)
        self.divider.setValue(_STEPS // 2)
        self.divider.setPageStep(_STEPS // 10)
        self.divider.setSingleStep(_STEPS // 100)
        self.divider.setToolTip("Where the divider is. Drag it here or in the canvas, or use the arrow keys.")
        for way, words in _WAYS.items():
            self.way.addItem(words, way)
        self.way.setToolTip("Which way the divider goes across the canvas.")
        let_shrink(self.way)
        self.rate.setRange(0, _FASTEST)
        self.rate.setValue(2)
        self.rate.setPageStep(1)
        self.rate.setToolTip(f"How fast A and B take turns. At 0 they change only while {_KEY} is held.")
        self.same_box.setToolTip("B takes A's contrast limits and gamma, and both follow when you change one.")
        self.alone_box.setToolTip("Other image layers would cover the comparison. Points, labels and shapes stay.")
        self.alone_box.setChecked(True)
        self.structure_button.setToolTip(
            "Where A - B holds more than noise, as a layer: 0 for noise, 1 beyond doubt.\n"
            "Of the plane in view, as it is now. Take the raw layer as A and the restored one as B."
        )
        self.difference_button.setToolTip(
            "What A has more than B, in the part of the plane in view, as a layer.\n"
            "A restored image minus its raw one should look like noise, with no structure in it."
        )
        self.message.setWordWrap(True)
        self.seen.setTextFormat(Qt.TextFormat.PlainText)
        self.message.setTextFormat(Qt.TextFormat.PlainText)
        self.seen.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
        named = {self.first: "Image A", self.second: "Image B", self.divider: "Divider", self.rate: "Blink rate"}
        for part, name in {**named, self.way: "Direction of the divider"}.items():
            part.setAccessibleName(name)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)

    def _lay_out(self) -> None:
        form = QGridLayout()
        form.setSpacing(6)
        form.setColumnStretch(1, 1)
        form.addWidget(_named("&A", self.first), 0, 0)
        form.addWidget(self.first, 0, 1)
        form.addWidget(_named("B", self.second), 1, 0)
        form.addWidget(self.second, 1, 1)
        form.addWidget(self.swap_button, 0, 2, 2, 1)
        modes = QHBoxLayout()
        modes.setSpacing(2)
        group = QButtonGroup(self)
        for button in self.buttons.values():
            group.addButton(button)
            modes.addWidget(button, 1)
        form.addLayout(modes, 2, 0, 1, 3)
        self._divider_name = _named("&Divider", self.divider)
        self._rate_name = _named("Rat&e", self.rate)
        self._rate_said = QLabel()
        for row, name, slider, said in (
            (3, self._divider_name, self.divider, self.way),
            (4, self._rate_name, self.rate, self._rate_said),
        ):
            line = QHBoxLayout()
            line.addWidget(slider, 3)
            line.addWidget(said, 2)
            form.addWidget(name, row, 0)
            form.addLayout(line, row, 1, 1, 2)
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 8, 8, 8)
        column.setSpacing(8)
        column.addLayout(form)
        column.addWidget(self.same_box)
        column.addWidget(self.alone_box)
        column.addWidget(self.difference_button)
        column.addWidget(self.structure_button)
        hint = QLabel(f"Drag the divider in the canvas. Hold {_KEY} to see B alone.")
        hint.setWordWrap(True)
        column.addWidget(hint)
        column.addWidget(self.seen)
        column.addWidget(self.message)
        column.addStretch(1)

    def _connect(self) -> None:
        """Every signal there is, in one place."""
        for box in (self.first, self.second):
            box.chosen.connect(self._take_layers)
        self.swap_button.clicked.connect(lambda _: self.swap())
        for mode, button in self.buttons.items():
            button.clicked.connect(partial(self._click, mode))
        self.divider.valueChanged.connect(self._show_pictures)
        self.way.currentIndexChanged.connect(self._show_pictures)
        self.rate.valueChanged.connect(self._pace)
        self.same_box.toggled.connect(self._take_contrast)
        self.alone_box.toggled.connect(self._restart)
        self.difference_button.clicked.connect(lambda _: self.add_difference())
        self.structure_button.clicked.connect(lambda _: self.find_structure())
        self._timer.timeout.connect(self._blink)
        self._links.connect(self._viewer.layers.events.inserted, self._propose)
        self._links.connect(self._viewer.layers.events.renamed, self._show_pictures)
        self._links.connect(grid_of(self._viewer).events.enabled, self._restart)
        self._links.connect(self._viewer.events.theme, self._paint)
        self.destroyed.connect(partial(_leave, self._links, self._borrowed))

    def _click(self, mode: Mode, checked: bool = True) -> None:
        self.choose(mode)

    def _paint(self, event: Any = None) -> None:
        """Show which mode is on, in the colours of the viewer's theme."""
        theme = get_theme(self._viewer.theme)
        accent, text = theme.current.as_hex("long"), theme.text.as_hex("long")
        checked = f"QPushButton:checked {{ background-color: {accent}; color: {text}; font-weight: bold; }}"
        for button in self.buttons.values():
            button.setStyleSheet(checked)
        self.seen.setStyleSheet("font-weight: bold;")

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


def mapped(residual: NDArray[Any], restored: NDArray[Any]) -> tuple[NDArray[np.float32], str]:
    """A map of where a residual holds structure, and its verdict. In a thread: this also loads SciPy's statistics."""
    from napari_restore.metrics.structure import structure_map, summary

    found = structure_map(residual, restored)
    return found, summary(found).verdict


def likely_pair(layers: Sequence[Any], new: Any = None) -> tuple[Any, Any] | None:
    """Two layers that are worth comparing, before and after; None where there are not two.

    A result is called after its raw layer: ``cells_denoised`` after ``cells``. ``new`` is preferred, then what lies
    on top. Without such names, the two uppermost.
    """
    ordered = sorted(layers, key=lambda layer: layer is new)
    for after in reversed(ordered):
        before = [one for one in layers if one is not after and after.name.startswith(f"{one.name}_")]
        if before:
            return max(before, key=lambda one: len(one.name)), after
    return (layers[-2], layers[-1]) if len(layers) > 1 else None


def _named(text: str, widget: QWidget) -> QLabel:
    """A label whose letter, with Alt, goes to the widget."""
    label = QLabel(text)
    label.setBuddy(widget)
    return label


def _leave(links: Links, borrowed: Borrowed) -> None:
    """Knows no Qt objects: it also runs when they are gone. Layers may outlive their viewer."""
    links.cut()
    with suppress(RuntimeError):  # what drew them may be gone
        borrowed.give_back()

"""The controls of the tab "Compare": which two layers, in which way, how fast, and what is said of it."""

from __future__ import annotations

from typing import Any, Literal

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from napari_restore.gui.compare.curtain import Way
from napari_restore.gui.compare.pair import KEY
from napari_restore.gui.compare.regions import RegionChoice
from napari_restore.gui.parts.colours import chosen_button
from napari_restore.gui.parts.links import Links
from napari_restore.gui.parts.named import label_of, with_key
from napari_restore.gui.parts.question import Question
from napari_restore.gui.restore.choices import LayerChoice, let_shrink

Mode = Literal["off", "curtain", "blink"]

_MODES: dict[Mode, tuple[str, str]] = {
    "off": ("&Off", "Everything looks as it did before the comparison."),
    "curtain": ("C&urtain", "A divider across the canvas: A on one side, B on the other.\nDrag it in the canvas."),
    "blink": ("Blin&k", "A and B by turns, in the same place: the eye finds what moves or changes."),
}

_HINTS: dict[Mode, str] = {
    "off": "",
    "curtain": f"Drag the divider in the canvas. Hold {KEY} to see B alone.",
    "blink": f"Hold {KEY} to see B alone.",
}

_WAYS: dict[Way, str] = {"left | right": "A left, B right", "top | bottom": "A above, B below"}

STEPS = 1000
"""Of the divider's slider, from one end of the canvas to the other."""

_FASTEST = 6
"""Pictures a second: three flashes, which WCAG 2.3.1 has as the most that is safe for everybody."""


class Controls(QWidget):  # type: ignore[misc]
    """Every control there is; what they do is the dock's."""

    def __init__(self, viewer: Any, links: Links, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.first = LayerChoice(viewer, links, follow=False)
        self.second = LayerChoice(viewer, links, follow=False)
        self.swap_button = QPushButton("Swap")
        self.buttons: dict[Mode, QPushButton] = {mode: QPushButton(label) for mode, (label, _) in _MODES.items()}
        self.divider = QSlider(Qt.Orientation.Horizontal)
        self.way = QComboBox()
        self.rate = QSlider(Qt.Orientation.Horizontal)
        self.same_box = QCheckBox("Same con&trast")
        self.alone_box = QCheckBox("Hide the other images")
        self.difference_button = QPushButton("Add the differe&nce A - B")
        self.structure_button = QPushButton("F&ind structure in it")
        self.regions = RegionChoice(viewer)
        self.regions_button = QPushButton("Measure them")
        self.hint, self.seen = QLabel(), QElidingLabel()
        self.message = QLabel()
        self._divider_name = label_of("&Divider", self.divider)
        self._rate_name = label_of("Rat&e", self.rate)
        self._rate_said = QLabel()
        self._dress_choices()
        self._dress_sliders()
        self._dress_words()
        for key, button in enumerate((self.swap_button, self.alone_box, self.regions_button), start=1):
            with_key(button, f"Alt+{key}")
        self._lay_out()

    @property
    def pair(self) -> tuple[Any, Any] | None:
        """The two layers, or None where they are not two."""
        first, second = self.first.layer, self.second.layer
        return None if first is None or second is None or first is second else (first, second)

    @property
    def fraction(self) -> float:
        """Where the divider is, from 0 to 1."""
        return float(self.divider.value() / STEPS)

    def show_mode(self, mode: Mode) -> None:
        """Which button is down, and what can be done."""
        self.buttons[mode].setChecked(True)
        pair = self.pair is not None
        for one, button in self.buttons.items():
            button.setEnabled(pair or one == "off")
        for button in (self.difference_button, self.structure_button, self.regions_button, self.swap_button):
            button.setEnabled(pair)
        for part in (self._divider_name, self.divider, self.way):
            part.setEnabled(mode != "blink")
        for part in (self._rate_name, self.rate, self._rate_said):
            part.setEnabled(mode != "curtain")
        self.hint.setText(_HINTS[mode])
        self.hint.setVisible(bool(_HINTS[mode]))
        rate = self.rate.value()
        self._rate_said.setText(f"{rate} pictures a second" if rate else f"while {KEY} is held")

    def set_colours(self, *, accent: str, text: str) -> None:
        """Show which mode is on."""
        for button in self.buttons.values():
            button.setStyleSheet(chosen_button(accent=accent, text=text))
        self.seen.setStyleSheet("font-weight: bold;")

    def _dress_choices(self) -> None:
        self.first.setToolTip("The image on the left, or above; the one that is seen first.")
        self.second.setToolTip("The image on the right, or below.")
        self.swap_button.setToolTip("A becomes B, and B becomes A.")
        for mode, button in self.buttons.items():
            button.setCheckable(True)
            button.setToolTip(_MODES[mode][1])
        for way, words in _WAYS.items():
            self.way.addItem(words, way)
        self.way.setToolTip("Which way the divider goes across the canvas.")
        let_shrink(self.way)
        self.same_box.setToolTip("B takes A's contrast limits and gamma, and both follow when you change one.")
        self.alone_box.setToolTip("Other image layers would cover the comparison. Points, labels and shapes stay.")
        self.alone_box.setChecked(True)
        self.structure_button.setToolTip(
            "Where A - B holds more than noise, in orange on A: of all planes, or where the layers' pixels are not\n"
            "the same of the plane in view. Take the measured layer as A and the restored one as B."
        )
        self.regions_button.setToolTip(
            "Means of regions in A, the measured image, and in B, what was restored of it, as a table:\n"
            "whether B may be measured. What differs by more than the noise explains is marked."
        )
        self.difference_button.setToolTip(
            "What A has more than B, as a layer: of all planes, or where the layers' pixels are not the same of the\n"
            "plane in view. A restored image minus its measured one should look like noise, with no structure in it."
        )

    def _dress_sliders(self) -> None:
        self.divider.setRange(0, STEPS)
        self.divider.setValue(STEPS // 2)
        self.divider.setPageStep(STEPS // 10)
        self.divider.setSingleStep(STEPS // 100)
        self.divider.setToolTip("Where the divider is. Drag it here or in the canvas, or use the arrow keys.")
        self.rate.setRange(0, _FASTEST)
        self.rate.setValue(2)
        self.rate.setPageStep(1)
        self.rate.setToolTip(f"How fast A and B take turns. At 0 they change only while {KEY} is held.")

    def _dress_words(self) -> None:
        self.message.setWordWrap(True)
        self.hint.setWordWrap(True)
        self.seen.setTextFormat(Qt.TextFormat.PlainText)
        self.message.setTextFormat(Qt.TextFormat.PlainText)
        named = {self.first: "Image A", self.second: "Image B", self.divider: "Divider", self.rate: "Blink rate"}
        for part, name in {**named, self.way: "Direction of the divider"}.items():
            part.setAccessibleName(name)

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(8, 8, 8, 8)
        column.setSpacing(8)
        column.addLayout(self._form())
        for widget, page in (
            (self.same_box, "compare"),
            (self.alone_box, "compare"),
            (self.difference_button, "difference"),
            (self.structure_button, "difference"),
        ):
            line = QHBoxLayout()
            line.addWidget(widget, 1)
            line.addWidget(Question(page, widget.text()))
            column.addLayout(line)
        line = QHBoxLayout()
        for part, share in ((label_of("Re&gions", self.regions), 0), (self.regions, 1), (self.regions_button, 0)):
            line.addWidget(part, share)
        line.addWidget(Question("regions", "the regions"))
        column.addLayout(line)
        for widget in (self.hint, self.seen, self.message):
            column.addWidget(widget)
        column.addStretch(1)

    def _form(self) -> QGridLayout:
        form = QGridLayout()
        form.setSpacing(6)
        form.setColumnStretch(1, 1)
        form.addWidget(label_of("&A", self.first), 0, 0)
        form.addWidget(self.first, 0, 1)
        form.addWidget(label_of("B", self.second), 1, 0)
        form.addWidget(self.second, 1, 1)
        form.addWidget(self.swap_button, 0, 2, 2, 1)
        modes = QHBoxLayout()
        modes.setSpacing(2)
        group = QButtonGroup(self)
        for button in self.buttons.values():
            group.addButton(button)
            modes.addWidget(button, 1)
        form.addLayout(modes, 2, 0, 1, 3)
        for row, name, slider, said in (
            (3, self._divider_name, self.divider, self.way),
            (4, self._rate_name, self.rate, self._rate_said),
        ):
            line = QHBoxLayout()
            line.addWidget(slider, 3)
            line.addWidget(said, 2)
            form.addWidget(name, row, 0)
            form.addLayout(line, row, 1, 1, 2)
            form.addWidget(Question("compare", name.text()), row, 3)
        form.addWidget(Question("compare", "the two images"), 0, 3, 2, 1)
        return form

"""Advanced options, folded away: the training's, and those of the chosen method, made from its config."""

from __future__ import annotations

import math
import re
import textwrap
import threading
from collections.abc import Collection, Generator, Mapping, Sequence
from functools import partial
from typing import Any

from qtpy.QtCore import Qt, QTimer, Signal
from qtpy.QtGui import QFocusEvent, QWheelEvent
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QComboBox,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_restore.core.errors import RestoreError
from napari_restore.core.events import Event
from napari_restore.gui.parts.runner import Ended, Runner, Start
from napari_restore.gui.restore.choices import let_shrink
from napari_restore.gui.restore.psf_choice import Spin
from napari_restore.methods.settings import DIGITS, Setting, settings_of

_TIP_WIDTH = 100


TRAINING = (
    Setting(
        "seconds", "number", 60, low=0.1, high=1e6, alone="from effort",
        tip="How long to train, instead of the effort's time. The effort still says how large the network is.",
    ),
    Setting(
        "steps", "whole", 1000, low=1, high=1e9, alone="by time",
        tip="How many steps to train instead of a time: with the same seed, the same machine then gives the same "
        "result. With seconds as well, training ends at whichever comes first.",
    ),
    Setting("seed", "whole", 0, low=0, high=2**31 - 1, tip="Where all chance comes from: another seed, another run."),
    Setting(
        "precision", "choice", "auto", choices=("auto", "float32", "bfloat16"),
        tip="Numbers to train with. bfloat16 is faster where the device has it, which is when auto takes it.",
    ),
)  # fmt: skip
"""What every method takes, as ``denoise_events`` calls it. No ``tile``: a wrong one is found after training."""


class Number(Spin):
    """A number between limits, or the words for it being left alone, one step below the least."""

    def __init__(self, setting: Setting, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._low, self._start, self._whole = setting.low, setting.default, setting.kind == "whole"
        self.setDecimals(0 if self._whole else DIGITS)
        self.setRange(setting.low - bool(setting.alone), setting.high)
        self.setSpecialValueText(setting.alone)
        self.setValue(self.minimum() if setting.alone else setting.default)
        if not self._whole:
            self.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)
        self._rest = self.value()
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        self.setMinimumWidth(60)
        self.editingFinished.connect(self._settle)
        self.changed = self.valueChanged

    @property
    def given(self) -> float | None:
        """The number, or None where it is as it was."""
        value = float(self.value())
        value = value if value == self.minimum() else max(value, self._low)
        return None if value == self._rest else int(value) if self._whole else value

    def reset(self) -> None:
        """As it was."""
        self.setValue(self._rest)

    def stepBy(self, steps: int) -> None:  # noqa: N802
        """From the words to where counting starts, and back below the least number."""
        if self.value() < self._low:
            self.setValue(self._start if steps > 0 else self.minimum())
        elif steps < 0 and self.value() == self._low:
            self.setValue(self.minimum())
        else:
            super().stepBy(steps)

    def textFromValue(self, value: float) -> str:  # noqa: N802
        """Without zeros at the end."""
        text, point = str(super().textFromValue(value)), self.locale().decimalPoint()
        return text.rstrip("0").rstrip(point) if point in text else text

    def focusInEvent(self, event: QFocusEvent) -> None:  # noqa: N802
        """What is typed takes the place of the words."""
        super().focusInEvent(event)
        if self.value() < self._low:
            QTimer.singleShot(0, self.selectAll)

    def _settle(self) -> None:
        """What was typed between the words and the least number is the least; not before it is typed to its end."""
        if self.minimum() < self.value() < self._low:
            self.setValue(self._low)


class Choice(QComboBox):  # type: ignore[misc]
    """One of several values."""

    def __init__(self, setting: Setting, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        for value in setting.choices:
            self.addItem(str(value).replace("_", " "), value)
        self._rest = setting.choices.index(setting.default)
        self.setCurrentIndex(self._rest)
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        let_shrink(self, letters=6)
        self.changed = self.currentIndexChanged

    @property
    def given(self) -> Any:
        """The value, or None where it is as it was."""
        return None if self.currentIndex() == self._rest else self.currentData()

    def reset(self) -> None:
        """As it was."""
        self.setCurrentIndex(self._rest)

    def wheelEvent(self, event: QWheelEvent) -> None:  # noqa: N802
        """Leave the wheel to the scroll area, as ``Spin`` does."""
        if self.hasFocus():
            super().wheelEvent(event)
        else:
            event.ignore()


class Switch(QCheckBox):  # type: ignore[misc]
    """Yes or no."""

    def __init__(self, setting: Setting, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._rest = bool(setting.default)
        self.setChecked(self._rest)
        self.changed = self.toggled

    @property
    def given(self) -> bool | None:
        """Whether it is on, or None where it is as it was."""
        return None if self.isChecked() == self._rest else bool(self.isChecked())

    def reset(self) -> None:
        """As it was."""
        self.setChecked(self._rest)


class Line(QLineEdit):  # type: ignore[misc]
    """A text, or several numbers with commas between; left alone where it is empty."""

    def __init__(self, setting: Setting, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._setting = setting
        self._rest = _listed(setting.default) if setting.kind == "numbers" else str(setting.default)
        self.setPlaceholderText(self._rest)
        self.setText(self._rest)
        self.changed = self.textChanged

    @property
    def given(self) -> str | tuple[float, ...] | None:
        """What is written, or None where it is as it was.

        Raises
        ------
        RestoreError
            If numbers are wanted and it is something else, or one is outside the limits.
        """
        text = self.text().strip()
        if text in ("", self._rest):
            return None
        return text if self._setting.kind == "text" else _numbers(text, self._setting)

    def reset(self) -> None:
        """As it was."""
        self.setText(self._rest)


def _numbers(text: str, setting: Setting) -> tuple[float, ...]:
    try:
        numbers = tuple(float(each) for each in re.split(r"[,;\s]+", text.strip(",; ")))
    except ValueError:
        numbers = (math.nan,)
    if not all(setting.low <= number <= setting.high for number in numbers):
        raise RestoreError(
            f"{setting.name} {text!r}: write numbers from {setting.low:.4g} to {setting.high:.4g} with commas between, "
            f"such as {_listed(setting.default)}."
        )
    return numbers


def _listed(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


_EDITORS: Mapping[str, Any] = {
    "whole": Number, "number": Number, "numbers": Line, "text": Line, "choice": Choice, "switch": Switch,
}  # fmt: skip


class Advanced(QWidget):  # type: ignore[misc]
    """A folded section with a row for each option. Its rows are made when it is first unfolded.

    Attributes
    ----------
    changed
        Signal: an option is another one.
    editors
        The editor of each option in the section, by its name; empty until it is unfolded.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.editors: dict[str, Any] = {}
        self.fold = QToolButton()
        self.defaults = QPushButton("Defaults")
        self.inside = QWidget()
        self.words = QLabel()
        self._training = _Rows(self._take_change)
        self._method_rows: _Rows | None = None
        self._method, self._elsewhere = "auto", frozenset[str]()
        self._asked = ""
        self._known: dict[str, tuple[Setting, ...]] = {}
        self._reader = Runner(self, every_ms=30)
        self._lay_out()
        self.fold.toggled.connect(self._unfold)
        self.defaults.clicked.connect(lambda _: self.reset())
        self._reader.ended.connect(self._take)
        self._tell()

    @property
    def options(self) -> dict[str, Any]:
        """What the user has changed, as the verbs take it.

        Raises
        ------
        RestoreError
            If something written cannot be used.
        """
        given = {name: editor.given for name, editor in self.editors.items()}
        return {name: value for name, value in given.items() if value is not None}

    def show_method(self, method: str, *, elsewhere: Collection[str] = ()) -> None:
        """Offer the options of a method; those of another one are forgotten.

        Parameters
        ----------
        method
            Its name; ``"auto"`` has no options of its own.
        elsewhere
            Options that are set in other parts of the widget.
        """
        if (method, frozenset(elsewhere)) != (self._method, self._elsewhere):
            self._method, self._elsewhere = method, frozenset(elsewhere)
            self._forget()
            self._fill()
            self._take_change()

    def reset(self) -> None:
        """Change nothing of what the methods have."""
        for editor in self.editors.values():
            editor.reset()

    def allow(self, allowed: bool) -> None:
        """Let options be changed; they can be looked at in any case."""
        self.inside.setEnabled(allowed)
        self.defaults.setEnabled(allowed)

    def abandon(self) -> None:
        """The viewer is going away."""
        self._reader.abandon()

    def _unfold(self, unfolded: bool) -> None:
        self.fold.setArrowType(Qt.ArrowType.DownArrow if unfolded else Qt.ArrowType.RightArrow)
        self.inside.setVisible(unfolded)
        self._fill()
        self._tell()

    def _fill(self) -> None:
        """Make the rows that are missing; what the method has is asked for in a thread, because that loads torch."""
        if not self.fold.isChecked():
            return
        if not self._training.editors:
            self._add(self._training, TRAINING)
        if self._method == "auto":
            self.words.setText("The options of a method are here once one is chosen.")
        elif self._method in self._known:
            self._add_method_rows(self._known[self._method])
        else:
            self.words.setText("Looking at the options of the method …")
            if self._reader.start(_reading(self._method)):
                self._asked = self._method
        self.words.setVisible(self._method_rows is None)

    def _take(self, ended: Ended) -> None:
        if ended.failure is None:
            self._known[self._asked] = ended.result
        if ended.failure is None or self._asked != self._method:
            self._fill()
        else:
            self.words.setText(ended.failure.message)

    def _add_method_rows(self, settings: Sequence[Setting]) -> None:
        if self._method_rows is None:
            self._method_rows = _Rows(self._take_change)
            here = [each for each in settings if each.name not in self._elsewhere and each.kind in _EDITORS]
            self._add(self._method_rows, here)
            self._column.addWidget(self._method_rows)

    def _add(self, rows: _Rows, settings: Sequence[Setting]) -> None:
        rows.fill(settings)
        self.editors.update(rows.editors)

    def _forget(self) -> None:
        if self._method_rows is not None:
            for name in self._method_rows.editors:
                del self.editors[name]
            self._method_rows.hide()
            self._method_rows.deleteLater()
            self._method_rows = None

    def _take_change(self) -> None:
        self._tell()
        self.changed.emit()

    def _tell(self) -> None:
        """How many options are changed is seen when they are folded away, too."""
        changes = sum(_is_changed(editor) for editor in self.editors.values())
        self.fold.setText(f"Advanced · {changes} changed" if changes else "Advanced")
        self.defaults.setVisible(bool(changes))

    def _lay_out(self) -> None:
        self.fold.setCheckable(True)
        self.fold.setArrowType(Qt.ArrowType.RightArrow)
        self.fold.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.fold.setAutoRaise(True)
        self.fold.setToolTip("Options of the training and of the method. What is not changed is left to them.")
        self.defaults.setToolTip("Leave all options as the method has them.")
        self.words.setWordWrap(True)
        self._column = QVBoxLayout(self.inside)
        self._column.setContentsMargins(12, 0, 0, 4)
        self._column.setSpacing(4)
        self._column.addWidget(self._training)
        self._column.addWidget(self.words)
        self.inside.hide()
        head = QHBoxLayout()
        head.addWidget(self.fold)
        head.addStretch(1)
        head.addWidget(self.defaults)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(4)
        column.addLayout(head)
        column.addWidget(self.inside)


class _Rows(QWidget):  # type: ignore[misc]
    """Options below each other, each with its name before it."""

    changed = Signal()

    def __init__(self, changed: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.editors: dict[str, Any] = {}
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(4)
        self._grid.setColumnMinimumWidth(0, _NAMES)
        self._grid.setColumnStretch(1, 1)
        self.changed.connect(changed)

    def fill(self, settings: Sequence[Setting]) -> None:
        """Make a row for each."""
        for row, setting in enumerate(settings):
            label, editor = QLabel(setting.name.replace("_", " ").capitalize()), _EDITORS[setting.kind](setting)
            for widget in (label, editor):
                widget.setToolTip(textwrap.fill(_told(setting), _TIP_WIDTH))
            editor.setAccessibleName(setting.name)
            editor.changed.connect(partial(self._take, label, editor))
            self._grid.addWidget(label, row, 0)
            self._grid.addWidget(editor, row, 1)
            self.editors[setting.name] = editor

    def _take(self, label: QLabel, editor: Any, _value: Any = None) -> None:
        """The names of options that are changed are bold."""
        label.setStyleSheet("font-weight: bold;" if _is_changed(editor) else "")
        self.changed.emit()


def _told(setting: Setting) -> str:
    listed = ", ".join(f"{effort} {value}" for effort, value in setting.by_effort.items())
    return f"{setting.tip} From effort: {listed}.".strip() if listed else setting.tip


_NAMES = 124
"""Pixels for the names, so that both groups of options line up."""


def _is_changed(editor: Any) -> bool:
    try:
        return editor.given is not None
    except RestoreError:
        return True


def _reading(method: str) -> Start:
    return partial(_read, method)


def _read(method: str, stop: threading.Event) -> Generator[Event, None, tuple[Setting, ...]]:
    """In the thread: find out what can be set."""
    yield from ()
    return settings_of(method)

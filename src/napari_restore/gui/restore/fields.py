"""The editors under Advanced: made by magicgui after the kind of a setting; each tells what was changed in it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from magicgui.widgets import create_widget
from qtpy.QtCore import QTimer
from qtpy.QtGui import QFocusEvent
from qtpy.QtWidgets import QAbstractSpinBox, QComboBox, QDoubleSpinBox, QLineEdit, QWidget

from napari_restore.core.errors import RestoreError
from napari_restore.gui.parts.scrolling import let_scroll
from napari_restore.gui.restore.choices import let_shrink
from napari_restore.methods.settings import DIGITS, Setting

_SEVERAL: Mapping[str, Callable[[str], float]] = {"wholes": int, "numbers": float}
"""Kinds that are written as text, and how each of the numbers is read."""

KINDS = frozenset({"whole", "number", "choice", "switch", "text", *_SEVERAL})
"""Of settings that there is an editor for."""


def field_of(setting: Setting) -> Field | NumberBox:
    """An editor. magicgui's boxes know no words for a number left alone, and write zeros that nobody needs."""
    words = setting.kind == "whole" and setting.alone
    return NumberBox(setting) if setting.kind == "number" or words else Field(setting)


class Field:
    """A setting as magicgui edits it.

    Attributes
    ----------
    widget, native
        magicgui's, and the same for Qt.
    changed
        Signal: it is another value.
    """

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self.widget: Any = create_widget(**_asked(setting))
        self.native: Any = self.widget.native
        self.changed = self.widget.changed
        self._rest = self.widget.value
        let_scroll(self.native)
        self.native.setMinimumWidth(60)
        if isinstance(self.native, QComboBox):
            let_shrink(self.native, letters=6)
        if isinstance(self.native, QLineEdit):
            self.native.setPlaceholderText(setting.alone or self._rest)

    @property
    def given(self) -> Any:
        """The value, or None where it is as it was.

        Raises
        ------
        RestoreError
            If numbers are wanted and it is something else, or one is outside the limits.
        """
        value = self.widget.value
        if isinstance(self.native, QLineEdit):
            value = value.strip()
            if value in ("", self._rest):
                return None
            return _numbers(value, self._setting) if self._setting.kind in _SEVERAL else value
        return None if value == self._rest else value

    def reset(self) -> None:
        """As it was."""
        self.widget.value = self._rest


class NumberBox(QDoubleSpinBox):  # type: ignore[misc]
    """A number between limits, or the words for it being left alone, one step below the least."""

    def __init__(self, setting: Setting, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._low, self._start, self._whole = setting.low, setting.default, setting.kind == "whole"
        self.setDecimals(0 if self._whole else max(DIGITS, _digits(setting.low)))
        self.setRange(setting.low - bool(setting.alone), setting.high)
        self.setSpecialValueText(setting.alone)
        self.setValue(self.minimum() if setting.alone else setting.default)
        if not self._whole:
            self.setStepType(QAbstractSpinBox.StepType.AdaptiveDecimalStepType)
        self._rest = self.value()
        let_scroll(self)
        self.setMinimumWidth(60)
        self.editingFinished.connect(self._settle)
        self.changed, self.native = self.valueChanged, self

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


def _asked(setting: Setting) -> dict[str, Any]:
    """A setting as magicgui is asked for it."""
    if setting.kind == "whole":
        return {"annotation": int, "value": setting.default, "options": {"min": setting.low, "max": setting.high}}
    if setting.kind == "switch":
        return {"annotation": bool, "value": setting.default}
    if setting.kind == "choice":
        choices = [(str(value).replace("_", " "), value) for value in setting.choices]
        return {"widget_type": "ComboBox", "value": setting.default, "options": {"choices": choices}}
    shown = _listed(setting.default) if setting.kind in _SEVERAL else str(setting.default)
    return {"annotation": str, "value": "" if setting.alone else shown}


def _numbers(text: str, setting: Setting) -> tuple[float, ...]:
    try:
        numbers = tuple(_SEVERAL[setting.kind](each) for each in re.split(r"[,;\s]+", text.strip(",; ")))
    except ValueError:
        numbers = (math.nan,)
    if not all(setting.low <= number <= setting.high for number in numbers):
        what = "whole numbers" if setting.kind == "wholes" else "numbers"
        raise RestoreError(
            f"{setting.name} {text!r}: write {what} from {setting.low:.4g} to {setting.high:.4g} with commas between, "
            f"such as {_listed(setting.default)}."
        )
    return numbers


def _listed(numbers: Iterable[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def _digits(low: float) -> int:
    """Decimals that the least number is written with."""
    return math.ceil(-math.log10(low)) if 0 < low < 1 else 0

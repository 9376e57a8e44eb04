"""The colours of the viewer's theme, and what is painted with them alike in every tab."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from napari.utils.theme import get_theme

_ERROR = {"light": "#b00020", "dark": "#ff7b7b"}
"""Red that can be read on either."""


@dataclass(frozen=True)
class Colours:
    """As style sheets write them.

    Attributes
    ----------
    accent
        What is to be seen first, or is on.
    trough
        What a bar fills.
    """

    accent: str
    text: str
    trough: str
    error: str

    @classmethod
    def of(cls, viewer: Any) -> Colours:
        """Of a viewer's theme as it is now."""
        theme = get_theme(viewer.theme)
        accent, text, trough = map(written, (theme.current, theme.text, theme.foreground))
        return cls(accent, text, trough, _ERROR[kind_of(theme)])


def kind_of(theme: Any) -> str:
    """``"light"`` or ``"dark"``, by its background: napari 0.6.2 has no word for it."""
    red, green, blue = theme.background.as_rgb_tuple(alpha=False)
    return "light" if 0.299 * red + 0.587 * green + 0.114 * blue > 127 else "dark"


def written(colour: Any) -> str:
    """A colour of a theme as ``#rrggbb``, by whichever of pydantic's classes napari has for it."""
    return "#" + "".join(f"{part:02x}" for part in colour.as_rgb_tuple(alpha=False))


_FOCUSABLE = ("QPushButton", "QComboBox", "QLineEdit", "QAbstractSpinBox", "QCheckBox", "QSlider", "QTableView")


def focus_ring(*, text: str) -> str:
    """The sheet of a page: where the keyboard is. napari's own has no sign of it."""
    ring = f"{', '.join(f'{kind}:focus' for kind in _FOCUSABLE)} {{ border: 1px solid {text}; }}"
    return f"{ring} QPushButton {{ padding: 2px; }} QPushButton:focus {{ padding: 1px; }}"  # words keep their room


def main_button(*, accent: str, text: str) -> str:
    """The sheet of the button that is seen first, where it can be pressed."""
    return f"QPushButton:enabled {{ {_standing_out(accent, text)} }}"


def chosen_button(*, accent: str, text: str) -> str:
    """The sheet of buttons of which one is down."""
    return f"QPushButton:checked {{ {_standing_out(accent, text)} }}"


def progress_bar(*, accent: str, trough: str) -> str:
    """The sheet of a bar."""
    return (
        f"QProgressBar {{ background-color: {trough}; border: 0px; border-radius: 4px; }}"
        f"QProgressBar::chunk {{ background-color: {accent}; border-radius: 4px; }}"
    )


def _standing_out(accent: str, text: str) -> str:
    return f"background-color: {accent}; color: {text}; font-weight: bold;"

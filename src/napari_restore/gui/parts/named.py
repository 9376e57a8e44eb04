"""Names before controls: seen, read out by a screen reader, and a letter that goes there with Alt."""

from __future__ import annotations

from qtpy.QtGui import QKeySequence
from qtpy.QtWidgets import QAbstractButton, QLabel, QShortcut, QWidget


def label_of(words: str, widget: QWidget, *, spoken: str = "") -> QLabel:
    """A label whose letter after ``&``, with Alt, goes to the widget; it names that, unless it has a name already.

    Parameters
    ----------
    widget
        A control, or one that gives its focus to another, which is then the one named.
    spoken
        What is read out, where the words say too little alone.
    """
    label = QLabel(words)
    control = widget.focusProxy() or widget
    label.setBuddy(control)
    own = control.text() if isinstance(control, QAbstractButton) else ""
    if not (control.accessibleName() or own):
        control.setAccessibleName(spoken or words.replace("&", ""))
    return label


def with_key(button: QAbstractButton, key: str, *, tip: str = "") -> None:
    """A key for a button whose words have no letter left; said in its tooltip. To be given again with other words.

    Parameters
    ----------
    key
        In Qt's words, as ``Alt+1``.
    tip
        What the tooltip says; what it said, where not given.
    """
    button.setShortcut(QKeySequence(key))  # Qt forgets it when the words change
    button.setToolTip(tip_with(key, tip or button.toolTip()))


def tip_with(key: str, tip: str) -> str:
    """What a tooltip says, and then a key, once; nothing of that where it is empty."""
    said = QKeySequence(key).toString(QKeySequence.SequenceFormat.NativeText)
    return f"{tip.removesuffix(f' ({said})')} ({said})" if said else tip


def to_focus(widget: QWidget, key: str) -> None:
    """A key that goes to a control whose label has no letter left: napari has Alt+S, Alt+C, and those of its menus."""
    QShortcut(QKeySequence(key), widget).activated.connect(widget.setFocus)

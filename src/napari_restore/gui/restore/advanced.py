"""Advanced options, folded away: those of the run, and those of the chosen method, made from its config."""

from __future__ import annotations

import threading
from collections.abc import Collection, Generator, Sequence
from functools import partial
from typing import Any

from qtpy.QtCore import QTimer, Signal
from qtpy.QtWidgets import QGridLayout, QLabel, QPushButton, QVBoxLayout, QWidget
from superqt import QElidingLabel

from napari_restore.core.errors import RestoreError
from napari_restore.core.events import Event
from napari_restore.gui.parts.describe import tip_of
from napari_restore.gui.parts.focus import in_order
from napari_restore.gui.parts.folded import Folded
from napari_restore.gui.parts.question import Question
from napari_restore.gui.parts.runner import Ended, Runner
from napari_restore.gui.restore.fields import KINDS, field_of
from napari_restore.gui.restore.offered import offered
from napari_restore.methods.settings import Setting, settings_of

_NAMES = 124
"""Pixels for the names, so that both groups of options line up."""

_EVERY = 30
"""Milliseconds from one row that is made ahead to the next."""


class Advanced(Folded):
    """A folded section with a row for each option. Its rows are made when it is first unfolded, or one by one ahead.

    Attributes
    ----------
    changed
        Signal: an option is another one.
    editors
        The editor of each option in the section, by its name, as far as there is a row for it.
    """

    changed = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Advanced", parent)
        self.editors: dict[str, Any] = {}
        self.defaults = QPushButton("Defaults")
        self.words = QLabel()
        self._run_rows = _Rows(self._take_change)
        self._method_rows: _Rows | None = None
        self._method, self._elsewhere = "auto", frozenset[str]()
        self._asked = ""
        self._known: dict[str, tuple[Setting, ...]] = {}
        self._reader = Runner(self, every_ms=30)
        self._ahead = QTimer(self)
        self._ahead.setInterval(_EVERY)
        self._lay_out()
        self.toggled.connect(self._unfold)
        self.defaults.clicked.connect(lambda _: self.reset())
        self._reader.ended.connect(self._take)
        self._ahead.timeout.connect(self._make_one)
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
        self.content().setEnabled(allowed)
        self.defaults.setEnabled(allowed)

    def prepare(self) -> None:
        """Make the rows of the run, one after the other, so that the viewer need not wait when it is unfolded."""
        self._ahead.start()

    def abandon(self) -> None:
        """The viewer is going away."""
        self._ahead.stop()
        self._reader.abandon()

    def _unfold(self, unfolded: bool) -> None:
        self._fill()
        self._tell()

    def _fill(self) -> None:
        """Make the rows that are missing; what the method has is asked for in a thread, because that loads torch."""
        if not self.isExpanded():
            return
        self._add(self._run_rows, self._missing())
        if self._method == "auto":
            self.words.setText("The options of a method are here once one is chosen.")
        elif self._method in self._known:
            self._add_method_rows(self._known[self._method])
        else:
            self.words.setText("Looking at the options of the method …")
            if self._reader.start(partial(_read, self._method)):
                self._asked = self._method
        self.words.setVisible(self._method_rows is None)

    def _missing(self) -> list[Setting]:
        """Options of the run that have no row yet."""
        return [one for one in offered() if one.name not in self._run_rows.editors]

    def _make_one(self) -> None:
        missing = self._missing()
        self._add(self._run_rows, missing[:1])
        if len(missing) <= 1:
            self._ahead.stop()

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
            self.content().layout().addWidget(self._method_rows)  # first: Tab's order is of one window
            self._add(self._method_rows, [one for one in settings if one.name not in self._elsewhere])

    def _add(self, rows: _Rows, settings: Sequence[Setting]) -> None:
        if not settings:
            return
        rows.fill([setting for setting in settings if setting.kind in KINDS])
        self.editors.update(rows.editors)
        in_order(self.defaults, (editor.native for editor in self.editors.values()))

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
        self.setText(f"Advanced · {changes} changed" if changes else "Advanced")
        self.defaults.setVisible(bool(changes))

    def _lay_out(self) -> None:
        self.fold.setToolTip("Options of the run and of the method. What is not changed is left to them.")
        self.defaults.setToolTip("Leave all options as the method has them.")
        self.words.setWordWrap(True)
        column = QVBoxLayout(self.inside)
        column.setContentsMargins(12, 0, 0, 4)
        column.setSpacing(4)
        for widget in (self._run_rows, self.words):
            column.addWidget(widget)
        self.head.addWidget(self.defaults)
        self.head.addWidget(Question("advanced", "the advanced options"))


class _Rows(QWidget):  # type: ignore[misc]
    """Options below each other, each with its name before it."""

    changed = Signal()

    def __init__(self, changed: Any, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.editors: dict[str, Any] = {}
        self._grid = QGridLayout(self)
        self._grid.setContentsMargins(0, 0, 0, 0)
        self._grid.setSpacing(4)
        self._grid.setColumnStretch(1, 1)
        self.changed.connect(changed)

    def fill(self, settings: Sequence[Setting]) -> None:
        """Make a row for each."""
        for row, setting in enumerate(settings, len(self.editors)):
            label, editor = QElidingLabel(setting.name.replace("_", " ").capitalize()), field_of(setting)
            label.setFixedWidth(_NAMES)
            for widget in (label, editor.native):
                widget.setToolTip(tip_of(_told(setting)))
            editor.native.setAccessibleName(setting.name)
            editor.changed.connect(partial(self._take, label, editor))
            self._grid.addWidget(label, row, 0)
            self._grid.addWidget(editor.native, row, 1)
            for widget in (label, editor.native):
                widget.show()  # Qt does so in the next turn of its loop: by then one has scrolled to what is unfolded
            self.editors[setting.name] = editor

    def _take(self, label: QLabel, editor: Any, _value: Any = None) -> None:
        """The names of options that are changed are bold."""
        label.setStyleSheet("font-weight: bold;" if _is_changed(editor) else "")
        self.changed.emit()


def _told(setting: Setting) -> str:
    listed = ", ".join(f"{effort} {value}" for effort, value in setting.by_effort.items())
    return f"{setting.tip} From effort: {listed}.".strip() if listed else setting.tip


def _is_changed(editor: Any) -> bool:
    try:
        return editor.given is not None
    except RestoreError:
        return True


def _read(method: str, stop: threading.Event) -> Generator[Event, None, tuple[Setting, ...]]:
    """In the thread: find out what can be set."""
    yield from ()
    return settings_of(method)

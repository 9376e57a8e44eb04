"""What every editor of an option is to the form: what it asks for, what is wrong with it, what it is told."""

from __future__ import annotations

from typing import Any

from magicgui.widgets import create_widget
from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QAbstractButton, QVBoxLayout, QWidget

from napari_restore.core.errors import RestoreError
from napari_restore.gui.parts.focus import in_order
from napari_restore.sources.image import Image
from napari_restore.verbs import Verb
from napari_restore.verbs.request import Option


class Editor(QWidget):  # type: ignore[misc]
    """Asks for one option of a verb. What does not concern one of them is left as it is here.

    Attributes
    ----------
    changed
        Signal: something else is asked for, or known to be wrong.
    grows
        Whether it may become higher: its name then stays at its top.
    finer
        So many times finer along Y and X will the pixels of the result be.
    """

    changed = Signal()
    grows = True
    finer = 1

    @property
    def value(self) -> Any:
        """The option, as the verbs take it.

        Raises
        ------
        RestoreError
            If something is left out, or cannot be used.
        """
        raise NotImplementedError

    @property
    def more(self) -> dict[str, Any]:
        """Other options that go with it, or a ``RestoreError``."""
        return {}

    @property
    def wrong(self) -> str:
        """What is known to be wrong, in words."""
        try:
            _ = self.value
        except RestoreError as error:
            return str(error)
        return ""

    @property
    def kept(self) -> Any:
        """What a preset keeps of it, as ``take`` takes it: a number or a word, or None for what is of one image."""
        return None

    def take(self, value: Any) -> None:
        """Ask for what a preset has kept."""

    def suits(self, verb: Verb) -> bool:
        """Whether it is of use for a verb that has the option."""
        return True

    def show_option(self, option: Option) -> None:
        """The option, as the verb that is chosen now has it."""

    def show_layer(self, layer: Any) -> None:
        """Another layer is chosen, or none."""

    def show_image(self, image: Image | None, *, finer: int) -> None:
        """What the layer is, and how much finer the pixels of the result will be."""

    def set_colours(self, *, error: str) -> None:
        """The colour of words about what is wrong."""

    def abandon(self) -> None:
        """The viewer is going away."""


class Plain(Editor):
    """An option whose values one of magicgui's widgets gives as the verbs take them.

    That is made when it is first wanted: to load magicgui's part for Qt takes a tenth of the time to open a window.
    """

    grows = False

    def __init__(self, kind: str, parent: QWidget | None = None, **options: Any) -> None:
        super().__init__(parent)
        self._kind, self._options = kind, options
        self._made: Any = None
        self.setFocusPolicy(Qt.FocusPolicy.StrongFocus)  # the letter of its name goes here, and on to the box
        QVBoxLayout(self).setContentsMargins(0, 0, 0, 0)

    @property
    def box(self) -> Any:
        """What Qt has of it."""
        return self._field.native

    @property
    def value(self) -> Any:
        """What is chosen."""
        return self._field.value

    kept = value

    def take(self, value: Any) -> None:
        """Choose a value."""
        self._field.value = value

    def showEvent(self, event: QShowEvent) -> None:  # noqa: N802
        """It is wanted."""
        _ = self.box
        super().showEvent(event)

    @property
    def _field(self) -> Any:
        if self._made is None:
            self._made = create_widget(widget_type=self._kind, options=self._options)
            box = self._made.native
            if not isinstance(box, QAbstractButton):  # whose words are its name
                box.setAccessibleName(self.accessibleName())
            self.layout().addWidget(box)
            box.show()  # with its row, and not in the next turn of Qt's loop
            in_order(self, [box])
            self.setFocusProxy(box)
            self._made.changed.connect(lambda _: self.changed.emit())
        return self._made

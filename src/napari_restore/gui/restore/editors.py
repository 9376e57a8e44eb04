"""The editors of options, by their names: which of them a verb shows, and what they ask for together."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from qtpy.QtCore import QObject, Signal

from napari_restore.core.errors import RestoreError
from napari_restore.gui.parts.links import Links
from napari_restore.gui.restore.choices import FactorChoice, MethodChoice
from napari_restore.gui.restore.editor import Editor, Plain
from napari_restore.gui.restore.missing_choice import LOOKS, MaskChoice
from napari_restore.gui.restore.noise_choice import NoiseChoice
from napari_restore.gui.restore.psf_choice import PsfChoice
from napari_restore.gui.restore.subject import Subject
from napari_restore.gui.restore.verbs import SHOWN
from napari_restore.gui.restore.work import Engine
from napari_restore.sources.image import Image
from napari_restore.verbs import VERBS, Verb
from napari_restore.verbs.request import Option, own_of


@dataclass(frozen=True)
class Around:
    """What editors are made with."""

    viewer: Any
    links: Links
    engine: Engine
    subject: Subject


@dataclass(frozen=True)
class Row:
    """How an option is asked for: the words before its editor, what makes that, and a key where no letter is left."""

    label: str
    make: Callable[[Around], Editor]
    key: str = ""


EDITORS: Mapping[str, Row] = {
    "factor": Row("Factor", lambda around: FactorChoice(), key="Alt+Shift+6"),
    "psf": Row("PSF", lambda around: PsfChoice(around.viewer, around.links), key="Alt+5"),
    "noise": Row("&Noise", lambda around: NoiseChoice(around.engine)),
    "mask": Row("Mas&k", lambda around: MaskChoice(around.viewer, around.links)),
    "missing": Row("Missin&g", lambda around: Plain("ComboBox", choices=list(LOOKS.items()))),
    "denoise": Row("&Noise", lambda around: Plain("CheckBox", text="Take noise away, too")),
    "method": Row("Meth&od", lambda around: MethodChoice(around.viewer, around.links, around.subject.open)),
}
"""By the name of the option. A verb shows the rows of the options it has; all others are under Advanced, or nowhere."""


class Editors(QObject):  # type: ignore[misc]
    """One of each, of which the verb's own are shown.

    Attributes
    ----------
    by_name
        The editors.
    verb
        That is chosen.
    changed
        Signal: one of them asks for something else, or knows more of what is wrong.
    """

    changed = Signal()

    def __init__(self, around: Around, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self.verb = SHOWN[0]
        self.by_name: dict[str, Any] = {name: row.make(around) for name, row in EDITORS.items()}
        for editor in self.by_name.values():
            editor.changed.connect(self.changed)

    def __getitem__(self, name: str) -> Any:
        return self.by_name[name]

    @property
    def shown(self) -> list[str]:
        """The options of the chosen verb that have an editor."""
        row = VERBS[self.verb]
        own = _own(row)
        return [name for name, editor in self.by_name.items() if name in own and editor.suits(row)]

    @property
    def options(self) -> dict[str, Any]:
        """What they ask for, as the verb takes it.

        Raises
        ------
        RestoreError
            If something is left out, or cannot be used.
        """
        given: dict[str, Any] = {}
        for name in self.shown:
            given |= {name: self[name].value, **self[name].more}
        return given

    @property
    def wrong(self) -> str:
        """What is known to be wrong, in words."""
        return next((words for name in self.shown if (words := self[name].wrong)), "")

    @property
    def method(self) -> str:
        """The method that will train, as far as that is settled before the image is looked at."""
        own: dict[str, Any] = {}
        for name in self.shown:
            try:
                own[name] = self[name].value
            except RestoreError:  # something is left out still
                own[name] = ""
        method: str = own_of(VERBS[self.verb])(**own).settled_method
        return method

    @property
    def elsewhere(self) -> set[str]:
        """Settings that verbs of the kind have rows for: they are not under Advanced."""
        alike = (VERBS[name] for name in SHOWN if VERBS[name].does == VERBS[self.verb].does)
        return {name for row in alike for name in _own(row) if name in EDITORS}

    def show_verb(self, verb: str, options: Mapping[str, Option]) -> None:
        """Another verb is chosen, which has these options."""
        self.verb = verb
        for name in self.shown:
            self[name].show_option(options[name])

    def show_layer(self, layer: Any) -> None:
        """Another layer is chosen, or none."""
        for editor in self.by_name.values():
            editor.show_layer(layer)

    def show_image(self, image: Image | None) -> None:
        """Let them know the image, and how fine its pixels are to become."""
        finer = max([self[name].finer for name in self.shown], default=1)
        for editor in self.by_name.values():
            editor.show_image(image, finer=finer)

    def set_colours(self, *, error: str) -> None:
        """The colour of words about what is wrong."""
        for editor in self.by_name.values():
            editor.set_colours(error=error)

    def abandon(self) -> None:
        """The viewer is going away."""
        for editor in self.by_name.values():
            editor.abandon()


def _own(row: Verb) -> set[str]:
    """The names of a verb's own options."""
    return {each.name for each in fields(own_of(row))}

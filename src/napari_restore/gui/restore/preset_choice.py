"""The box of presets: those that everybody has, the user's own, and a way to keep one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QInputDialog

from napari_restore.gui.parts.remembered import Remembered
from napari_restore.gui.restore.choices import let_shrink
from napari_restore.verbs.presets import PRESETS

_OWN, _KEEP, _FORGET = "As set below", "Keep these settings…", "Forget this preset"


class PresetChoice(QComboBox):  # type: ignore[misc]
    """Sets several boxes at once; says by which preset they are as they are, or that they are the user's own.

    Parameters
    ----------
    form
        Has ``chosen``, and ``choose`` for it.
    """

    def __init__(self, form: Any) -> None:
        super().__init__(form)
        self._form = form
        self._kept = Remembered("presets")
        self._last: Mapping[str, Any] = {}
        let_shrink(self)
        self.setToolTip(
            "Sets the boxes below for what people often have. Keep these settings… gives yours a name;\n"
            "what is changed under Advanced, and layers and files, are not kept."
        )
        self._list()
        self.activated.connect(self._take)

    @property
    def own(self) -> dict[str, Any]:
        """The user's, by their names."""
        try:
            found = json.loads(self._kept.text("own", "{}"))
        except ValueError:  # written by hand
            return {}
        return {str(name): dict(chosen) for name, chosen in found.items()} if isinstance(found, dict) else {}

    def tell(self, chosen: Mapping[str, Any]) -> None:
        """Say which preset these settings are, if they are one."""
        self._last = dict(chosen)
        known = {**{name: each.chosen for name, each in PRESETS.items()}, **self.own}
        named = (name for name, each in known.items() if each.items() <= self._last.items())
        self.setCurrentIndex(max(0, self.findText(next(named, _OWN))))

    def keep(self, name: str) -> None:
        """Give the settings as they are now a name."""
        if name.strip() and name.strip() not in (*PRESETS, _OWN, _KEEP, _FORGET):
            self._kept.keep(own=json.dumps({**self.own, name.strip(): dict(self._last)}))
            self._list()
        self.tell(self._last)

    def forget(self, name: str) -> None:
        """One of the user's own."""
        self._kept.keep(own=json.dumps({one: chosen for one, chosen in self.own.items() if one != name}))
        self._list()
        self.tell(self._last)

    def _list(self) -> None:
        self.clear()
        self.addItem(_OWN)
        for name, preset in PRESETS.items():
            self.addItem(name)
            self.setItemData(self.count() - 1, preset.tip, Qt.ItemDataRole.ToolTipRole)
        for name in self.own:
            self.addItem(name)
        self.insertSeparator(self.count())
        self.addItem(_KEEP)
        if self.own:
            self.addItem(_FORGET)

    def _take(self, _: int) -> None:
        name = self.currentText()
        if name == _KEEP:
            given, sure = QInputDialog.getText(self, _KEEP[:-1], "A name for these settings:")
            self.keep(given if sure else "")
        elif name == _FORGET:
            gone, sure = QInputDialog.getItem(self, _FORGET, "Which one?", list(self.own), editable=False)
            if sure:
                self.forget(gone)
            self.tell(self._last)
        elif name != _OWN:
            preset = PRESETS.get(name)
            self._form.choose(self.own[name] if preset is None else preset.chosen)

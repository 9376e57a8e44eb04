"""Which options of a run lie under Advanced, beside those of the method. No Qt here, and no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any, get_args

from napari_restore.core.checked import hints_of
from napari_restore.core.explained import explained
from napari_restore.core.options import Computing, Restoring, Training
from napari_restore.methods.settings import MOST, Setting, setting_of


@dataclass(frozen=True)
class Alone:
    """How an option is shown that may be left alone: in words, and the value that one begins with instead."""

    words: str
    start: Any
    low: float | None = None


@dataclass(frozen=True)
class Among:
    """How an option is shown of which the window offers some words only."""

    words: tuple[str, ...]


OFFERED: Mapping[str, Alone | Among | None] = {
    "seconds": Alone("from effort", 60, low=0.1),
    "steps": Alone("by time", 1000),
    "seed": None,
    "precision": None,
    "patch": Alone("auto", (64, 64)),
    "batch": Alone("auto", 8),
    "learning_rate": Alone("auto", 1e-3, low=1e-6),
    "start": Among(("auto", "none")),
    "tile": Alone("auto", (256, 256)),
    "together": Alone("auto", 4),
    "unreadable": None,
    "outliers": None,
    "uncertainty": None,
}
"""By name, in the order they are shown; what is None has a value anyway."""

OF_RESTORING: frozenset[str] = frozenset(OFFERED) & {each.name for each in fields(Restoring)}
"""Those that hold for restoring with a model that is there already, too."""


@cache
def offered() -> tuple[Setting, ...]:
    """How each of them is set, with the text that every door has of it."""
    known = {each.name: group for group in (Training, Computing, Restoring) for each in fields(group)}
    return tuple(_setting(name, known[name], alone) for name, alone in OFFERED.items())


def _setting(name: str, group: type, alone: Alone | Among | None) -> Setting:
    hint, tip = hints_of(group)[name], explained(group)[name]
    if isinstance(alone, Among):
        return Setting(name, "choice", getattr(group(), name), choices=alone.words, tip=tip)
    if alone is None:
        found = setting_of(name, hint, getattr(group(), name), tip=tip)
        assert found is not None, name
        return found
    (given,) = (part for part in get_args(hint) if part is not type(None))
    found = setting_of(name, given, alone.start, tip=tip)
    assert found is not None, name
    low = found.low if alone.low is None else alone.low
    return replace(found, alone=alone.words, low=low, high=min(found.high, MOST))

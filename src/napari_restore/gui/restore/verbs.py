"""Which verbs have a button, and how long their methods train. No Qt here."""

from __future__ import annotations

from collections.abc import Mapping

from napari_restore.core.options import Effort
from napari_restore.methods import listed
from napari_restore.verbs import VERBS

SHOWN: tuple[str, ...] = tuple(name for name, row in VERBS.items() if row.loss)
"""The verbs that have a button."""

_LONGEST = "noise2void"


def seconds_of(method: str) -> Mapping[Effort, float]:
    """Of training for each effort; where the noise decides on the method, at most."""
    return listed(_LONGEST if method == "auto" else method).seconds

"""The window as a door: which options of each verb it has, and why it lacks the others. No Qt here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from napari_restore.gui.restore.offered import OF_RESTORING, OFFERED
from napari_restore.gui.restore.verbs import SHOWN
from napari_restore.verbs import VERBS
from napari_restore.verbs.request import options_of

EDITED = ("factor", "psf", "noise", "mask", "missing", "denoise", "method")
"""Options with an editor of their own, which tests compare with ``EDITORS``."""

_CHOSEN_METHOD = {"method", "second", "target"}
"""The list of methods, and the other layer that some of them learn from: for verbs whose method is chosen."""

_PREFERRED = {"device", "memory_share"}
"""Under File ▸ Preferences, for whatever is done."""

_AROUND = {"axes", "effort", "region", "output", "save_model", "model", "report"}
"""Boxes and buttons of the tab Restore: Axes, Effort, What, Result, Save model…, Restore with…, ⋯ ▸ Save a report…

In its menu is what makes a copy of the model, with what is set of its training.
"""

BATCH = ("pattern", "model", "output", "suffix", "format", "overwrite", "uncertainty")
"""The form of the tab Batch."""


_OF_METHOD = {"thickness"}
"""Under Advanced, where a setting of the method is."""


def _of_form(verb: str) -> set[str]:
    """What a button of the tab Restore asks for with the settings in sight."""
    edited = set(EDITED) - _CHOSEN_METHOD
    return edited | set(OFFERED) | _AROUND | _OF_METHOD | (_CHOSEN_METHOD if VERBS[verb].does != "undo" else set())


def _has(verb: str) -> Iterator[str]:
    """The options of a verb that the window has."""
    there = {
        "restore": OF_RESTORING | {"model", "axes", "region", "output", "report"},
        "restore_folder": set(BATCH),
        "distill": {"model", "axes", "effort", "save_model"} | (set(OFFERED) - OF_RESTORING),
        **{name: _of_form(name) for name in (*SHOWN, "train")},
    }[verb] | _PREFERRED
    return (option.name for option in options_of(verb) if option.name in there)


IN_THE_WINDOW: Mapping[str, frozenset[str]] = {verb: frozenset(_has(verb)) for verb in VERBS}
"""By verb."""

_OWN_NUMBER = "A finished result is never replaced: the next one of that name gets a number."
_GOES_ON = "What lies unfinished in the folder, of the same image and settings, is gone on with by itself."
_FROM_LAYER = {
    "pixel_size": "It is the scale of the layer, which napari has an editor for.",
    "channel": "A channel of its own is a layer of its own: napari splits a stack.",
    "series": "A layer is one image already: the one whose pixels lie in the file that was opened.",
    "incomplete": "A layer is there already, whole or not.",
    "fill": "Large areas of one value are found by themselves; another value is said in a script.",
}
_FROM_FILE = {
    "axes": "Each file of a folder says them itself; one image whose file is wrong is opened as a layer.",
    "pixel_size": "Each file of a folder says it itself.",
    "channel": "A folder is restored as it is, with all channels.",
    "series": "Each file of a folder gives the image whose pixels lie in it.",
    "incomplete": "Each image of a folder is to be whole; one that is not fails, and says so.",
    "fill": "Each file says it itself, or it is found; another value is said in a script.",
}
_HERE = {"client": "The window works on the machine that it is on; a cluster is for scripts and the shell."}
_NGFF = {"version": "The window writes the newest; other programs' files are written with File ▸ Save."}
_PLACED = {"resume": _GOES_ON, "overwrite": _OWN_NUMBER, **_NGFF}
_UNDONE = {
    "method": "Effort offers the classical one; the others are there to be compared with, which scripts do.",
    "second": "The method that undoes an instrument learns from the image alone.",
    "target": "The method that undoes an instrument learns from the image alone.",
}
_AS_TRAINED = "Under Advanced it is of the training; a model restores as it was trained to."

NOT_IN_THE_WINDOW: Mapping[str, Mapping[str, str]] = {
    **{verb: _FROM_LAYER | _HERE | _PLACED | (_UNDONE if VERBS[verb].does == "undo" else {}) for verb in SHOWN},
    "train": {
        **_FROM_LAYER,
        "validation": "The window holds out some pixels of what it trains on, one image or a folder.",
        "run": "The window keeps the model itself, until it is saved.",
        "resume": "A training that is stopped leaves its model in the window, and no folder to go on from.",
    },
    "distill": {
        **_FROM_LAYER,
        "ratio": "The window takes what suits the model; a script makes a copy of another size.",
        "run": "The window keeps the copy itself, until it is saved.",
        "resume": "A training that is stopped leaves its model in the window, and no folder to go on from.",
    },
    "restore": {
        **_FROM_LAYER,
        **_HERE,
        **_PLACED,
        "match_intensity": "The model is to suit the image; where gain or offset differ, a script says so.",
        "precision": _AS_TRAINED,
        "seed": "Only the judgement of a result is left to chance, and it hardly depends on it.",
    },
    "restore_folder": {
        **_FROM_FILE,
        **_NGFF,
        "precision": _AS_TRAINED,
        "tile": "It is chosen for each image, by its size and the memory there is.",
        "together": "It is chosen by the device.",
        "outliers": "They are handed on as they are.",
        "unreadable": "An image with a chunk that cannot be read fails, and the others are restored.",
    },
}
"""By verb and option, in a sentence."""

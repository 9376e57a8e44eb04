"""What ``help(denoise)`` shows: the signature and the text of a verb's function, from its groups of options."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from inspect import Parameter, Signature, cleandoc
from typing import Any, get_type_hints

from napari_restore.core.options import Training
from napari_restore.verbs.request import REQUIRED, Option, find_verb, options_of, own_of

_WIDTH = 112

WATCHING = {
    "stop": "Set this ``threading.Event`` to stop: what is done is kept, and the same call goes on from there.",
    "preview": "Which part of the image to show while it trains, as a ``PreviewRequest``.",
}
"""Who watches; every verb takes these besides its options."""

_FIRST = {
    "image": "A napari layer, a NumPy, dask, zarr or xarray array, a path, a URL or an ``Image``; 2-D to 5-D.",
    "model": "One image or a list of them (layers, arrays, paths, URLs), with the same axes and channels.",
    "folder": "A folder, or a list of paths. A folder of slices is one image of a list, and no image of a folder.",
}
_GIVES = {
    "image": (
        "Restored",
        "Array-like, lazy; knows ``path``, ``axes``, ``pixel_size``, ``scale``, ``translate``, ``model``, ``report``.",
    ),
    "model": ("Model", "With ``save(path)``."),
    "folder": ("list of FileState", "How each image ended."),
}


def signature_of(verb: str) -> Signature:
    """Every option of a verb by name, with its type, as people read it, and its default."""
    row = find_verb(verb)
    first = Parameter(row.first, Parameter.POSITIONAL_OR_KEYWORD, annotation=Any)
    options = sorted(options_of(verb), key=lambda option: option.name != row.second)
    parameters = [first, *(_parameter(option, positional=option.name == row.second) for option in options)]
    watching = [Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=Any) for name in WATCHING]
    rest = [Parameter("settings", Parameter.VAR_KEYWORD, annotation=Any)] if Training in row.groups else []
    return Signature([*parameters, *watching, *rest])


def text_of(verb: str, *, events: bool) -> str:
    """The numpydoc docstring of a verb's function."""
    row = find_verb(verb)
    said = cleandoc(own_of(row).__doc__ or "").partition("\n")[0].rstrip(".")
    lines = [f"{said}{', as a generator of events' if events else ''}.", "", "Parameters", "----------"]
    lines += _entry(row.first, _FIRST[row.gives])
    for option in options_of(verb):
        lines += _entry(option.name, option.text)
    for name, text in WATCHING.items():
        lines += _entry(name, text)
    if Training in row.groups:
        lines += _entry("**settings", "Of the method, by name: ``napari-restore methods NAME`` lists them.")
    kind, text = _GIVES[row.gives]
    lines += ["", "Returns", "-------", *_entry(f"Events of {kind}" if events else kind, text)]
    lines += ["", "Raises", "------"]
    lines += _entry("RestoreError", "If something given cannot be used; the message says what, and what to do.")
    return "\n".join(lines)


def _parameter(option: Option, *, positional: bool) -> Parameter:
    kind = Parameter.POSITIONAL_OR_KEYWORD if positional else Parameter.KEYWORD_ONLY
    default = Parameter.empty if option.default is REQUIRED else option.default
    plain_type = get_type_hints(option.group)[option.name]  # the text says the bounds, in words
    return Parameter(option.name, kind, default=default, annotation=plain_type)


def _entry(name: str, text: str) -> Iterator[str]:
    yield name
    yield from textwrap.wrap(text, _WIDTH, initial_indent="    ", subsequent_indent="    ")

"""A request in words: as Python for a script and the console, and as a line for the shell. No Qt, and no torch."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from napari_restore.core.errors import RestoreError
from napari_restore.verbs.flags import flag_of, path_word, write_word
from napari_restore.verbs.request import Request, options_of

Words = Literal["script", "command"]

_WIDTH = 100


@dataclass(frozen=True)
class Shown:
    """An image that is in no file: a layer of the viewer, by its name."""

    name: str


def as_script(request: Request) -> str:
    """Python that does it: ``from napari_restore import denoise ...``.

    The image is a path, a URL, or a layer as ``Shown``; a layer's script runs in napari's console. A PSF may be an
    array.
    """
    row, given = request.row, asked(request)
    arguments = [_literal(request.image)]
    if row.second in given:
        arguments.append(_literal(given.pop(row.second)))
    arguments += [f"{name}={_literal(_inline(name, value))}" for name, value in given.items()]
    lines = [f"from napari_restore import {request.verb}", ""]
    if isinstance(request.image, Shown) or any(isinstance(value, Shown) for value in given.values()):
        lines.append("# The layer is in no file: run this in napari's console.")
    call = f"result = {request.verb}({', '.join(arguments)})"
    if len(call) > _WIDTH:
        call = "\n".join([f"result = {request.verb}(", *(f"    {argument}," for argument in arguments), ")"])
    return "\n".join([*lines, call, "print(result)", ""])


def as_command(request: Request) -> str:
    """A line for the shell that does it: ``napari-restore denoise ...``.

    Without an ``output`` the result gets a name in the folder the shell is in.

    Raises
    ------
    RestoreError
        If the image is in no file, or the shell has no word for a value.
    """
    given = asked(request)
    for each in (request.image, *given.values()):
        if isinstance(each, Shown):
            raise RestoreError(f"the layer {each.name} is in no file: save it first, or copy as script.")
    if request.row.gives == "image":
        output = given.pop("output", None) or _default_output(request)
    else:
        output = given.pop("output", None) or given.pop("save_model", None) or "model.safetensors"
    words = ["napari-restore", command_of(request.verb), path_word(request.image), "-o", path_word(output)]
    for name, value in given.items():
        words += _words(request, name, _inline(name, value))
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def asked(request: Request) -> dict[str, Any]:
    """What a request says that is not so anyway: its options by name, then the method's settings."""
    given = {}
    for option in options_of(request.verb):
        value = getattr(group_of(request, option.group), option.name)
        if value is not option.default and not _same(value, option.default):
            given[option.name] = value
    return {**given, **request.config}


def group_of(request: Request, group: type) -> Any:
    """The request's own of a group of options."""
    return request.own if isinstance(request.own, group) else getattr(request, group.__name__.lower())


def command_of(verb: str) -> str:
    """What the shell calls a verb."""
    from napari_restore.verbs import VERBS

    return VERBS[verb].command or verb.replace("_", "-")


def _words(request: Request, name: str, value: Any) -> list[str]:
    """The words for one option."""
    if name in request.config:
        if isinstance(value, list | tuple | Mapping):
            raise RestoreError(f"the shell cannot set {name}, which is several values: copy as script.")
        return ["--set", f"{name}={write_word(value)}"]
    if isinstance(value, bool):
        return [flag_of(name)] if value else []
    return [flag_of(name), write_word(value)]


def _literal(value: Any) -> str:
    """A value as Python writes it; paths become text."""
    if isinstance(value, Shown):
        return f"viewer.layers[{value.name!r}]"
    if isinstance(value, Path):
        return repr(str(value))
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {_literal(each)}" for key, each in value.items()) + "}"
    return repr(value.item() if isinstance(value, np.generic) else value)


def _inline(name: str, value: Any) -> Any:
    """The pixels of a PSF as a text that the verbs take; the file of one with its whole path."""
    if name == "psf" and isinstance(value, np.ndarray):
        from napari_restore.operators import psf

        return psf.inline(psf.from_pixels(value))
    return value.absolute() if name == "psf" and isinstance(value, Path) else value


def _same(value: Any, default: Any) -> bool:
    """Whether a value is the default; an array never is."""
    return type(value) in (int, float, str, bool, tuple) and bool(value == default)


def _default_output(request: Request) -> str:
    name = str(request.image).rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1]
    stem = re.sub(r"(\.ome)?\.[^.]+$", "", name).lstrip("-") or "image"
    return f"{stem}_{request.row.suffix or 'restored'}.ome.zarr"

"""What the main button would do, as Python for a script and as a line for the shell. No Qt, and no torch."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import threading
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from napari_restore.core.errors import RestoreError
from napari_restore.core.events import Event
from napari_restore.gui.parts.runner import Start
from napari_restore.gui.restore.verbs import VERBS
from napari_restore.gui.restore.work import Task, asked
from napari_restore.sources.locations import without_secrets

Verb = Literal["denoise", "super_resolve", "deblur", "restore"]
Words = Literal["script", "command"]

_COMMON = {
    "device": "--device", "precision": "--precision", "axes": "--axes", "channel": "--channel", "seed": "--seed",
    "version": "--ome-zarr", "model": "--model",
}  # fmt: skip
_TRAINING = {
    "second": "--second", "target": "--target", "method": "--method", "effort": "--effort", "seconds": "--seconds",
    "steps": "--steps", "save_model": "--save-model",
}  # fmt: skip
_IMAGING = {"psf": "--psf", "noise": "--noise"}
_OPTIONS: Mapping[Verb, Mapping[str, str]] = {
    "restore": {**_COMMON, "unreadable": "--unreadable", "memory_share": "--memory-share"},
    "denoise": {**_COMMON, **_TRAINING},
    "super_resolve": {**_COMMON, **_TRAINING, **_IMAGING, "factor": "--factor"},
    "deblur": {**_COMMON, **_TRAINING, **_IMAGING},
}
"""What the shell calls each option; all others are settings of the method."""

_SWITCHES = {"overwrite": "--overwrite", "resume": "--resume"}
_IN_PYTHON_ONLY = frozenset({"tile", "batch", "patch", "learning_rate", "validation", "suffix", "memory_share"})
_WIDTH = 100


@dataclass(frozen=True)
class Shown:
    """An image that is in no file: a layer of the viewer, by its name."""

    name: str


def as_script(verb: Verb, image: str | Path | Shown, options: Mapping[str, Any]) -> str:
    """Python that does it: ``from napari_restore import denoise ...``.

    Parameters
    ----------
    image
        A path, a URL, or a layer; that of a layer runs in napari's console.
    options
        As the verb takes them. A PSF may be an array.
    """
    given = {name: value for name, value in options.items() if not (name == "output" and value is None)}
    first = [_literal(image)]
    if verb == "restore":
        first.append(_literal(given.pop("model")))
    arguments = first + [f"{name}={_literal(_inline(name, value))}" for name, value in given.items()]
    lines = [f"from napari_restore import {verb}", ""]
    if isinstance(image, Shown) or any(isinstance(value, Shown) for value in given.values()):
        lines.append("# The layer is in no file: run this in napari's console.")
    call = f"result = {verb}({', '.join(arguments)})"
    if len(call) > _WIDTH:
        call = "\n".join([f"result = {verb}(", *(f"    {argument}," for argument in arguments), ")"])
    return "\n".join([*lines, call, "print(result)", ""])


def as_command(verb: Verb, image: str | Path | Shown, options: Mapping[str, Any]) -> str:
    """A line for the shell that does it: ``napari-restore denoise ...``.

    The pixel size is left to the file: the shell has no option for it. Without an ``output`` the result gets a name in
    the folder the shell is in.

    Raises
    ------
    RestoreError
        If the image is in no file, or the shell has no option for something.
    """
    for each in (image, *options.values()):
        if isinstance(each, Shown):
            raise RestoreError(f"the layer {each.name} is in no file: save it first, or copy as script.")
    given = {name: value for name, value in options.items() if value is not None and name != "pixel_size"}
    output = given.pop("output", None) or _default_output(verb, str(image))
    words = ["napari-restore", verb.replace("_", "-"), _path(image), "-o", _path(output)]
    for name, value in given.items():
        words += _option(verb, name, _inline(name, value))
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def file_of(layer: Any) -> str | Shown:
    """Where a layer was read from, or the layer itself where that is nowhere."""
    ours = layer.metadata.get("napari_restore", {}) if isinstance(layer.metadata, dict) else {}
    source = getattr(getattr(layer, "source", None), "path", None)
    for place in (ours.get("location"), ours.get("path"), source):
        if place and "://" in str(place):
            return without_secrets(str(place))
        if place and Path(place).exists():
            return str(Path(place).absolute())
    return Shown(str(layer.name))


def copying(words: Words, task: Task, place: str | Shown, *, device: str = "auto") -> Start:
    """Write down what ``work.doing`` does with a task, in a thread: a PSF from a picture of beads is read for it."""

    def start(stop: threading.Event) -> Generator[Event, None, str]:
        yield from ()
        return (as_script if words == "script" else as_command)(task.wish.verb, place, options_of(task, device=device))

    return start


def options_of(task: Task, *, device: str = "auto") -> dict[str, Any]:
    """All that the verb is called with: what the widget asks for, and what it knows of the layer.

    A pixel size is said where the layer has one in micrometers, which is what the file has or lacks.
    """
    geometry = task.image.geometry
    sizes = {a: s for a, s, u in zip(geometry.axes, geometry.pixel_size, geometry.units, strict=True) if u == _METRIC}
    options: dict[str, Any] = {**asked(task.wish), "axes": task.image.axes}
    if sizes:
        options["pixel_size"] = sizes
    if device != "auto":
        options["device"] = device
    return {**options, "output": task.output}


_METRIC = "micrometer"


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


def _option(verb: Verb, name: str, value: Any) -> list[str]:
    """The words for one option."""
    if name in _SWITCHES:
        return [_SWITCHES[name]] if value else []
    if name in _OPTIONS[verb]:
        return [_OPTIONS[verb][name], _text(value)]
    if name in _IN_PYTHON_ONLY:
        raise RestoreError(f"the shell has no option for {name}: copy as script.")
    if isinstance(value, list | tuple | Mapping):
        raise RestoreError(f"the shell cannot set {name}, which is several values: copy as script.")
    return ["--set", f"{name}={_text(value)}"]


def _text(value: Any) -> str:
    """A value as the shell takes it: ``Z=4`` for a factor by axis."""
    if isinstance(value, Mapping):
        return ",".join(f"{key}={_text(each)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return ",".join(_text(each) for each in value)
    return _path(value) if isinstance(value, Path) else str(value)


def _path(path: Any) -> str:
    """A path that is not taken for an option."""
    return f"./{path}" if str(path).startswith("-") else str(path)


def _default_output(verb: Verb, image: str) -> str:
    name = image.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1]
    stem = re.sub(r"(\.ome)?\.[^.]+$", "", name).lstrip("-") or "image"
    return f"{stem}_{'restored' if verb == 'restore' else VERBS[verb].suffix}.ome.zarr"

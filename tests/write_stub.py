"""Writes ``src/napari_restore/__init__.pyi``, the types of the public names: ``python tests/write_stub.py``."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from napari_restore.verbs import VERBS
from napari_restore.verbs.help import signature_of

STUB = Path(__file__).parent.parent / "src" / "napari_restore" / "__init__.pyi"

_GIVES = {"image": "Restored", "model": "Model", "folder": "list[FileState]"}
_HEAD = """\
# Written by tests/write_stub.py; a test compares them.
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from napari_restore.api import estimate_cost as estimate_cost
from napari_restore.api import estimate_noise as estimate_noise
from napari_restore.api import load_model as load_model
from napari_restore.api import submit as submit
from napari_restore.core.events import FileState
from napari_restore.core.job import Events, PreviewRequest
from napari_restore.core.version import __version__ as __version__
from napari_restore.methods import list_methods as list_methods
from napari_restore.restoration.result import Restored as Restored
from napari_restore.sources import open_image as open_image
from napari_restore.store.model import Model as Model
from napari_restore.verbs.evaluating import evaluate as evaluate
from napari_restore.verbs.exporting import export as export
from napari_restore.verbs.measuring import measure as measure
"""


def stub() -> str:
    """The whole file."""
    return "\n".join([_HEAD, *(line for verb in VERBS for line in _functions(verb))]) + "\n"


def _functions(verb: str) -> Iterator[str]:
    given = _GIVES[VERBS[verb].gives]
    told = f"{given} | None" if VERBS[verb].gives == "image" else given
    for name, result in ((verb, given), (f"{verb}_events", f"Events[{told}]")):
        yield f"def {name}("
        yield from _parameters(verb)
        yield f") -> {result}: ..."


def _parameters(verb: str) -> Iterator[str]:
    starred = False
    for parameter in signature_of(verb).parameters.values():
        if parameter.kind is Parameter.VAR_KEYWORD:
            yield f"    **{parameter.name}: Any,"
            continue
        if parameter.kind is Parameter.KEYWORD_ONLY and not starred:
            starred = True
            yield "    *,"
        default = "" if parameter.default is Parameter.empty else f" = {_literal(parameter.default)}"
        yield f"    {parameter.name}: {_type(parameter)}{default},"


def _type(parameter: Parameter) -> str:
    special = {"stop": "threading.Event | None", "preview": "PreviewRequest | None"}
    return special.get(parameter.name) or type_text(parameter.annotation)


def _literal(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def type_text(hint: Any) -> str:
    """A type as source, without its bounds."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return type_text(parts[0])
    if origin in (Union, types.UnionType):
        return " | ".join(type_text(part) for part in parts)
    if origin is Literal:
        return f"Literal[{', '.join(_literal(part) for part in parts)}]"
    if origin in (Sequence, Mapping):
        return f"{origin.__name__}[{', '.join(type_text(part) for part in parts)}]"
    return "None" if hint is type(None) else getattr(hint, "__name__", str(hint))


if __name__ == "__main__":
    STUB.write_text(stub())

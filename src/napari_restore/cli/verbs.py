"""The shell's commands for the verbs, made from their rows: an argument for the image, and a flag for each option."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from inspect import Parameter, Signature
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from napari_restore.cli.running import finish, show, stoppable
from napari_restore.core.errors import RestoreError
from napari_restore.core.explained import plain
from napari_restore.core.options import Computing, Opening, Restoring, Training, Writing
from napari_restore.core.watch import Watch
from napari_restore.verbs import VERBS, Verb
from napari_restore.verbs.flags import FLAGS, Flag, flag_of, read_word
from napari_restore.verbs.request import REQUIRED, Option, ask, options_of
from napari_restore.verbs.words import command_of

_ANSWER = 10
"""Seconds in which a dask scheduler has to answer."""

_INPUTS: dict[str, tuple[Any, str, str]] = {
    "image": (str, "IN", "TIFF, folder of slices, DICOM series, OME-Zarr, NPY ..."),
    "model": (list[str], "IN...", "Images with the same axes and channels."),
    "folder": (str, "FOLDER", "With images, each of which is restored by itself."),
}
_OUTPUTS = {
    "image": ("OUT", "A name ending in .zarr, .tif or .tiff."),
    "model": ("M.safetensors", "Where to put the model."),
    "folder": ("OUTDIR", "Made where it is missing."),
}
_PANELS = {
    Opening: "Opening the image",
    Training: "Training",
    Computing: "Computing",
    Restoring: "Restoring",
    Writing: "Writing",
}
"""What the help calls the groups of options; a verb's own come first, without a title of theirs."""
_WRITTEN = {"image": "output", "model": "save_model", "folder": "output"}
"""Which option ``-o`` is, by what a verb gives."""

_NAMES = frozenset(option.name for verb in VERBS for option in options_of(verb))
_NEVER = frozenset({"image", "images", "stop", "preview", "settings"})
"""What no setting is called: the arguments that the verbs have besides their options."""
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout: an event a line, or one object.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing but errors.")]


def add_commands(app: typer.Typer) -> None:
    """A command for each verb."""
    for name, verb in VERBS.items():
        app.command(command_of(name), help=_help(verb))(_command(name, verb))


def _command(name: str, verb: Verb) -> Callable[..., None]:
    def command(**given: Any) -> None:
        as_json, quiet = given.pop("as_json"), given.pop("quiet")
        image, address = given.pop("image"), given.pop("client", None)
        settings = _settings(name, given.pop("settings", None))
        options = {option: read_word(option, word) for option, word in given.items() if word not in (None, [])}
        request = ask(name, image, **options, **settings)
        from napari_restore.training.ranks import find_ranks
        from napari_restore.verbs.run import run

        speaks = verb.gives != "model" or find_ranks().first  # of the processes of torchrun, one prints
        with stoppable() as stop, _cluster(address) as client:
            if client is not None:
                request = replace(request, restoring=replace(request.restoring, client=client))
            finish(verb, show(run(request, Watch(stop)), as_json=as_json and speaks, quiet=quiet or not speaks))

    parameters = [_image(verb), _output(verb), *map(_parameter, _offered(name, verb))]
    if Training in verb.groups:
        parameters.append(_SETTINGS)
    parameters += [_keyword("as_json", Json, False), _keyword("quiet", Quiet, False)]
    command.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _offered(name: str, verb: Verb) -> Iterator[Option]:
    """The verb's options, but the one that ``-o`` is."""
    return (option for option in options_of(name) if option.name != _WRITTEN[verb.gives])


def _image(verb: Verb) -> Parameter:
    kind, metavar, text = _INPUTS[verb.gives]
    return _keyword("image", Annotated[kind, typer.Argument(metavar=metavar, help=text)], Parameter.empty)


def _output(verb: Verb) -> Parameter:
    metavar, text = _OUTPUTS[verb.gives]
    option = typer.Option("-o", "--output", metavar=metavar, help=text)
    return _keyword(_WRITTEN[verb.gives], Annotated[Path, option], Parameter.empty)


def _parameter(option: Option) -> Parameter:
    """A flag for an option; it is not given where it is left out, and the option's default holds."""
    flag = FLAGS.get(option.name, Flag())
    kind = _kind(option, flag)
    said = typer.Option(
        flag_of(option.name),
        metavar=flag.metavar or None,
        help=_told(option),
        rich_help_panel=_PANELS.get(option.group),
    )
    if kind is bool:
        return _keyword(option.name, Annotated[bool, said], False)
    if option.default is REQUIRED:
        return _keyword(option.name, Annotated[kind, said], Parameter.empty)
    if flag.often:
        return _keyword(option.name, Annotated[list[kind] | None, said], None)  # type: ignore[valid-type]
    plain_default = option.default if type(option.default) in (int, float, str) else None
    return _keyword(option.name, Annotated[kind | None, said], plain_default)


def _kind(option: Option, flag: Flag) -> Any:
    """What typer reads a word as: words and numbers by itself, all else as text that the option reads."""
    parts = get_args(option.hint) if get_origin(option.hint) is not Literal else ()
    hint = next((p for p in parts if p is not type(None)), option.hint) if _is_optional(parts) else option.hint
    base = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if flag.read is None and (base in (bool, int, float) or get_origin(base) is Literal):
        return base
    return str


def _is_optional(parts: tuple[Any, ...]) -> bool:
    return len(parts) == 2 and type(None) in parts


def _told(option: Option) -> str:
    """The option's text, with other options that it names as flags."""
    return plain(
        re.sub(r"``([a-z_]+)``", lambda found: flag_of(found[1]) if found[1] in _NAMES else found[1], option.text)
    )


def _keyword(name: str, annotation: Any, default: Any) -> Parameter:
    return Parameter(name, Parameter.KEYWORD_ONLY, annotation=annotation, default=default)


_SETTINGS = _keyword(
    "settings",
    Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="A setting of the method; may be given often. See `methods NAME`."
        ),
    ],
    None,
)


def _help(verb: Verb) -> str:
    from napari_restore.verbs.request import own_of

    return (own_of(verb).__doc__ or "").strip().partition("\n")[0]


def _settings(verb: str, given: list[str] | None) -> dict[str, Any]:
    """Settings of the method from NAME=VALUE; the method's config checks them.

    Raises
    ------
    RestoreError
        If one is written otherwise, or is no setting but an option of the verb: these have flags of their own.
    """
    settings: dict[str, Any] = {}
    options = {option.name for option in options_of(verb)}
    for item in given or []:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise RestoreError(f"--set {item}: write NAME=VALUE, for example --set masked=0.05.")
        if name in options or name in _NEVER:
            flag = flag_of(name) if name in options else "the command's own arguments"
            raise RestoreError(f"--set {item}: {name} is no setting of a method. Use {flag}.")
        settings[name] = _several(item, value) if value[:1] in ("[", "{") else value
    return settings


def _several(item: str, value: str) -> Any:
    """Several values, written as JSON."""
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise RestoreError(f"--set {item}: write several values as in --set factors=[0.5,0.75].") from None


def _cluster(address: str | None) -> AbstractContextManager[Any]:
    """The client of a dask scheduler, closed afterwards; None without an address."""
    if address is None:
        return nullcontext()
    try:
        from distributed import Client
    except ImportError:
        raise RestoreError('`client` needs dask.distributed: pip install "napari-restore[cluster]".') from None
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    where = {"scheduler_file": address} if address.endswith(".json") else {"address": address}
    try:
        client: AbstractContextManager[Any] = Client(**where, timeout=_ANSWER)
    except (OSError, ValueError) as error:
        raise RestoreError(
            f"`client` {address}: no dask scheduler answers there within {_ANSWER} s ({type(error).__name__}). Give "
            "what it says on starting, as in tcp://host:8786, or its scheduler file."
        ) from None
    return client

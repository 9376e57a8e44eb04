"""What is asked for, whole: made and checked at the door before anything is opened, carried to where it is used."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from importlib import import_module
from typing import Any

from napari_restore import methods
from napari_restore.core.checked import hints_of
from napari_restore.core.errors import RestoreError
from napari_restore.core.explained import explained
from napari_restore.core.options import Computing, Opening, Restoring, Training, Writing
from napari_restore.core.watch import Watch
from napari_restore.verbs import VERBS, Verb

REQUIRED: Any = MISSING
"""The default of an option that has to be given."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Request:
    """One piece of work: which verb, on what, and how.

    Attributes
    ----------
    verb
        A name of ``VERBS``.
    image
        As the user gave it: a layer, an array, a path, an ``Image``; what ``train`` learns from may be a list.
    own
        The verb's own options, such as a ``Deblur``.
    config
        Settings of the method, which checks them.
    """

    verb: str
    image: Any
    own: Any
    config: Mapping[str, Any] = field(default_factory=dict)
    opening: Opening = field(default_factory=Opening)
    training: Training = field(default_factory=Training)
    computing: Computing = field(default_factory=Computing)
    restoring: Restoring = field(default_factory=Restoring)
    writing: Writing = field(default_factory=Writing)

    @property
    def row(self) -> Verb:
        """Of the verb."""
        return VERBS[self.verb]

    def lesson(self) -> tuple[str, dict[str, Any]]:
        """The method that is trained, or taken as it is, and what the verb asks of it; a PSF's file is read."""
        method, asked = self.own.lesson()
        return self.instant or method, asked

    @property
    def instant(self) -> str:
        """The method that is taken where nothing is to be trained and none is named; else nothing."""
        return self.row.instant if self.training.effort == "instant" and self.named == "auto" else ""

    @property
    def named(self) -> str:
        """The method that is asked for, or ``auto``."""
        return str(getattr(self.own, "method", "auto"))


@dataclass(frozen=True)
class Option:
    """One option of a verb, as every door shows it.

    Attributes
    ----------
    group
        The dataclass that holds it.
    hint
        Its type, with bounds.
    default
        ``REQUIRED`` where it has to be given.
    text
        What it does.
    """

    name: str
    group: type
    hint: Any
    default: Any
    text: str


def ask(verb: str, image: Any, /, **options: Any) -> Request:
    """Sort options into their groups, and check them.

    Parameters
    ----------
    verb
        A name of ``VERBS``.
    image
        What it is done to.
    options
        Of the verb by name; what it does not know is a setting of the method, where one is trained.

    Raises
    ------
    RestoreError
        If there is no such verb or option, or a value is not one that the option allows.
    """
    row = find_verb(verb)
    given = dict(options)
    groups = {group.__name__.lower(): _made(verb, row, group, given) for group in row.groups}
    own = _made(verb, row, own_of(row), given)
    for name in given:
        if name in row.lacks:
            raise RestoreError(f"{verb} has no `{name}`: {row.lacks[name]}. Leave it out.")
    if given and Training not in row.groups:
        there = ", ".join(option.name for option in options_of(verb))
        raise RestoreError(f"{verb} has no option {', '.join(map(repr, given))}; there are {there}.")
    request = Request(verb=verb, image=image, own=own, config=given, **groups)
    _check_effort(request)
    return request


def _check_effort(request: Request) -> None:
    """Refuse to train nothing where the method has to be trained."""
    if request.training.effort != "instant" or request.instant:
        return
    named = request.named
    if named == "auto" or methods.listed(named).learns:
        classical = " or ".join(name for name, row in methods.METHODS.items() if not row.learns)
        what = request.verb if named == "auto" else methods.listed(named).label
        raise RestoreError(
            f"`effort` = 'instant': {what} has to be trained: give quick, normal or thorough. Without training "
            f"there is deblur with the method {classical}."
        )


def watched(options: Mapping[str, Any]) -> tuple[Watch, dict[str, Any]]:
    """Who watches, as ``stop`` and ``preview`` among the options say, and the options without these."""
    rest = dict(options)
    return Watch(rest.pop("stop", None), rest.pop("preview", None)), rest


def options_of(verb: str) -> list[Option]:
    """Every option of a verb, its own first."""
    row = find_verb(verb)
    found = []
    for group in (own_of(row), *row.groups):
        hints, texts = hints_of(group), explained(group)
        for each in _fields(row, group):
            found.append(Option(each.name, group, hints[each.name], _default(row, each), texts.get(each.name, "")))
    return found


def find_verb(verb: str) -> Verb:
    """The row of a verb.

    Raises
    ------
    RestoreError
        If there is none.
    """
    if verb not in VERBS:
        raise RestoreError(f"there is no verb {verb!r}: the verbs are {', '.join(VERBS)}.")
    return VERBS[verb]


def own_of(row: Verb) -> type:
    """The dataclass of a verb's own options."""
    found: type = load(row.own)
    return found


def load(where: str) -> Any:
    """What a row names as ``module:attribute``."""
    module, _, attribute = where.partition(":")
    return getattr(import_module(module), attribute)


def _made(verb: str, row: Verb, group: type, given: dict[str, Any]) -> Any:
    """A group from the options that belong to it, which are taken out of ``given``."""
    values = {}
    for each in _fields(row, group):
        default = _default(row, each)
        if each.name in given:
            values[each.name] = given.pop(each.name)
        elif default is not REQUIRED:
            values[each.name] = default
        else:
            raise RestoreError(f"{verb} needs `{each.name}`. {explained(group).get(each.name, '')}".strip())
    return group(**values)


def _fields(row: Verb, group: type) -> Iterator[Field[Any]]:
    """The fields of a group that mean something for the verb; one that the verb has itself comes from there alone."""
    own = own_of(row)
    mine = {each.name for each in fields(own)} if group is not own else set()
    return (each for each in fields(group) if each.name not in row.lacks and each.name not in mine)


def _default(row: Verb, each: Field[Any]) -> Any:
    if each.name in row.defaults:
        return row.defaults[each.name]
    return each.default_factory() if each.default_factory is not MISSING else each.default

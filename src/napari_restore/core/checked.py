"""Options checked when they are made: words, bounds and kinds, from the annotations, before anything is opened."""

from __future__ import annotations

import math
import os
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import Field, fields
from functools import cache
from numbers import Integral, Real
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from annotated_types import Ge, GroupedMetadata, Gt, Le, Lt

from napari_restore.core.errors import RestoreError


def check(group: Any) -> None:
    """Refuse a value that the annotation of its field does not allow.

    Raises
    ------
    RestoreError
        With the name of the option in backticks, the value, and what is allowed.
    """
    hints = hints_of(group.__class__)
    for field in fields(group):
        value = getattr(group, field.name)
        if not _is_default(value, field) and not allows(hints[field.name], value):
            raise RestoreError(_refusal(field.name, value, hints[field.name]))


@cache
def hints_of(group: Any) -> dict[str, Any]:
    """The annotations of a dataclass, with their bounds."""
    return get_type_hints(group, include_extras=True)


def allows(hint: Any, value: Any) -> bool:
    """Whether an annotation allows a value.

    Knows what options are made of: words, numbers with bounds, texts, paths, sequences, mappings, and either of them.
    """
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return allows(parts[0], value) and all(_within(limit, value) for limit in limits_of(hint))
    if origin in (Union, types.UnionType):
        return any(allows(part, value) for part in parts)
    if origin is Literal:
        return isinstance(value, str) and value in parts
    if origin is Sequence or origin is tuple:
        return _is_row(value) and all(allows(parts[0], each) for each in value)
    if origin is Mapping or origin is dict:
        return isinstance(value, Mapping) and all(allows(parts[1], each) for each in value.values())
    return _is_kind(hint, value)


def limits_of(hint: Any) -> Iterator[Any]:
    """The bounds that an annotation gives, one by one."""
    for each in get_args(hint)[1:]:
        yield from each if isinstance(each, GroupedMetadata) else (each,)


def words_for(hint: Any) -> str:
    """What an annotation allows, such as ``a number over 0 and at most 1``."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return f"{words_for(parts[0])} {_bounds(hint)}".strip()
    if origin in (Union, types.UnionType):
        return _either([words_for(part) for part in parts if part is not type(None)])
    if origin is Literal:
        return _either([str(part) for part in parts])
    if origin is Sequence or origin is tuple:
        return f"several of: {words_for(parts[0])}"
    if origin is Mapping or origin is dict:
        return f"by letter {words_for(parts[1])}"
    return _KINDS.get(hint, getattr(hint, "__name__", str(hint)))


_KINDS: dict[Any, str] = {int: "a whole number", float: "a number", bool: "True or False", str: "a text"}


def _refusal(name: str, value: Any, hint: Any) -> str:
    said = f"{value!r}" if len(repr(value)) <= 60 else f"of type {type(value).__name__}"
    return f"`{name}` = {said}: give {words_for(hint)}."


def _is_default(value: Any, field: Field[Any]) -> bool:
    return value is field.default


def _is_row(value: Any) -> bool:
    return not isinstance(value, str | bytes | Mapping) and hasattr(value, "__len__") and hasattr(value, "__iter__")


def _is_kind(hint: Any, value: Any) -> bool:
    if hint is Any:
        return True
    if hint is None or hint is type(None):
        return value is None
    if hint is int:
        return isinstance(value, Integral) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, Real) and not isinstance(value, bool)
    if isinstance(hint, type) and issubclass(hint, os.PathLike):
        return isinstance(value, os.PathLike)
    return isinstance(value, hint)


def _within(limit: Any, value: Any) -> bool:
    match limit:
        case Gt(gt):
            return bool(value > gt)
        case Ge(ge):
            return bool(value >= ge)
        case Lt(lt):
            return bool(value < lt)
        case Le(le):
            return bool(value <= le)
    return True


def _bound(limit: Any) -> str:
    match limit:
        case Gt(gt):
            return f"over {gt:g}"
        case Ge(ge):
            return f"from {ge:g}"
        case Lt(lt):
            return "" if isinstance(lt, float) and math.isinf(lt) else f"below {lt:,}"
        case Le(le):
            return f"at most {le:g}"
    return ""


def _bounds(hint: Any) -> str:
    """``over 0 and at most 1``, ``from 1 to 8``."""
    said = " and ".join(filter(None, map(_bound, limits_of(hint))))
    return said.replace(" and at most", " to") if said.startswith("from") else said


def _either(words: Sequence[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}" if len(words) > 1 else words[0]

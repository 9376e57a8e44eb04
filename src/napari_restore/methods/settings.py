"""What can be set of a method: its config as named, bounded and explained settings, for whoever shows them."""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt

from napari_restore import methods
from napari_restore.core.checked import hints_of, limits_of, words_for
from napari_restore.core.explained import explained, plain
from napari_restore.core.options import Effort

DIGITS = 4
"""Decimals that numbers are set with; what has to be over a limit is over it by the last of them."""

MOST = 1e9
"""Stands for no limit."""


@dataclass(frozen=True)
class Setting:
    """How one option is shown.

    Attributes
    ----------
    name
        What the verbs call it.
    kind
        ``"whole"`` or ``"number"``, ``"wholes"`` or ``"numbers"`` (several of them), ``"by axis"`` (a whole number, or
        one for each of some axes), ``"choice"`` (of ``choices``), ``"switch"`` or ``"text"``.
    default
        Its value where nobody changes it; where there is ``alone``, the number that counting starts from.
    low, high
        Limits of its numbers, both allowed.
    alone
        What is shown instead of a number where it is left to somebody else: ``"from effort"``, ``"auto"``.
    tip
        What it does.
    allowed
        What it takes, in words, such as ``a whole number from 1 to 8``.
    by_effort
        Its value for each effort, where an effort decides on it.
    """

    name: str
    kind: Literal["whole", "number", "wholes", "numbers", "by axis", "choice", "switch", "text"]
    default: Any
    choices: tuple[Any, ...] = ()
    low: float = -MOST
    high: float = MOST
    alone: str = ""
    tip: str = ""
    allowed: str = ""
    by_effort: Mapping[Effort, Any] = field(default_factory=dict)

    @property
    def usual(self) -> Any:
        """Its value where nobody changes it and no effort does."""
        return "auto" if self.alone == "auto" else self.default

    @property
    def limits(self) -> tuple[float | None, float | None]:
        """The least and the greatest number that is allowed, None where there is no limit."""
        as_given = int if self.kind == "whole" else float
        low, high = (as_given(limit) if abs(limit) < MOST else None for limit in (self.low, self.high))
        return low, high


def settings_of(method: str) -> tuple[Setting, ...]:
    """One setting for each field of a method's config that a user can set. Loads the method, and torch with it.

    Left out is what the method settles from the images itself: fields with an empty tuple for a default.

    Raises
    ------
    RestoreError
        If there is no method of that name.
    """
    kind = methods.find(method)
    hints, tips = hints_of(kind.Config), explained(kind.Config)
    found = []
    for each in dataclasses.fields(kind.Config):
        factory = each.default_factory
        default = each.default if factory is dataclasses.MISSING else factory()
        setting = setting_of(each.name, hints[each.name], default, tip=plain(tips.get(each.name, "")))
        if setting is not None:
            by_effort = {effort: settings.get(each.name, default) for effort, settings in kind.efforts.items()}
            setting = dataclasses.replace(setting, allowed=words_for(hints[each.name]))
            found.append(_from_effort(setting, by_effort) if len(set(map(str, by_effort.values()))) > 1 else setting)
    return tuple(found)


def setting_of(name: str, hint: Any, default: Any, *, tip: str = "") -> Setting | None:
    """How a field of this type is set, or None where a user cannot.

    Parameters
    ----------
    hint
        Its type; limits are ``annotated_types`` in ``Annotated``.
    """
    base, low, high = limited(hint)
    origin, parts = get_origin(base), get_args(base)
    if origin is Literal:
        return Setting(name, "choice", default, choices=parts, tip=tip)
    if origin in (Union, types.UnionType):
        return _either(name, parts, default, tip=tip)
    if origin is Sequence:
        inner, low, high = limited(parts[0])
        return Setting(name, "wholes", default, low=low, high=high, tip=tip) if inner is int else None
    if origin is tuple:
        inner, low, high = limited(parts[0]) if parts else (None, low, high)
        return Setting(name, "numbers", default, low=low, high=high, tip=tip) if default and inner is float else None
    known: dict[Any, Any] = {bool: "switch", int: "whole", float: "number", str: "text"}
    return Setting(name, known[base], default, low=low, high=high, tip=tip) if base in known else None


def limited(hint: Any) -> tuple[Any, float, float]:
    """A type without its ``Annotated``, and the least and the greatest number it allows."""
    if get_origin(hint) is not Annotated:
        return hint, -MOST, MOST
    base = get_args(hint)[0]
    number: Any = int if base is int else float
    step = 1 if base is int else 10.0**-DIGITS
    low, high = -MOST, MOST
    for limit in limits_of(hint):
        match limit:
            case Ge(ge):
                low = number(ge)
            case Gt(gt):
                low = number(gt) + step
            case Le(le):
                high = number(le)
            case Lt(lt):
                high = number(lt) - step
    return base, low, high


def _either(name: str, parts: tuple[Any, ...], default: Any, *, tip: str) -> Setting | None:
    """A number that may be left to ``"auto"``, or a whole number that may be another one for each axis."""
    if set(parts) == {int, dict[str, int]}:
        return Setting(name, "by axis", default, tip=tip)
    numbers = [part for part in parts if limited(part)[0] in (int, float)]
    rest = [part for part in parts if part not in numbers]
    if len(numbers) != 1 or rest != [Literal["auto"]] or default != "auto":
        return None
    number = setting_of(name, numbers[0], 0, tip=tip)
    return number and dataclasses.replace(number, default=max(number.low, 0), alone="auto")


def _from_effort(setting: Setting, by_effort: Mapping[Effort, Any]) -> Setting:
    alone = "from effort" if setting.kind in ("whole", "number") else setting.alone
    return dataclasses.replace(setting, alone=alone, by_effort=by_effort)

"""Axes as a user writes them: a letter each, and a number where one axis of the file is several: ``TC(2)YX``."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

from napari_restore.core.errors import ImageError
from napari_restore.core.geometry import AXES, canonical_axes


class Letter(NamedTuple):
    """One axis of the image, and its length where the user says it."""

    name: str
    length: int | None = None


def parse(text: str) -> list[list[Letter]]:
    """The letters, by the axes of the array that they stand for, each group from slow to fast.

    A letter with a number in brackets is part of the axis whose letter stands before it, or, where none does, behind
    it: of ``TC(2)YX`` the first axis of the array is times of 2 channels each, of ``C(2)TYX`` 2 channels of all times.

    Raises
    ------
    ImageError
        If it is written otherwise, or takes rows or columns apart.
    """
    found = re.findall(r"([A-Za-z?])(?:\((\d{1,9})\))?", text)
    if "".join(f"{a}({n})" if n else a for a, n in found) != text or any(n and not int(n) for _, n in found):
        raise ImageError(_how(text))
    names = canonical_axes("".join(letter for letter, _ in found))
    groups: list[list[Letter]] = []
    leading: list[Letter] = []
    for name, (_, number) in zip(names, found, strict=True):
        if number and groups:
            groups[-1].append(Letter(name, int(number)))
        elif number:
            leading.append(Letter(name, int(number)))
        else:
            groups.append([*leading, Letter(name)])
            leading = []
    if any(len(group) > 1 and {"Y", "X"} & {letter.name for letter in group} for group in groups) or leading:
        raise ImageError(_how(text))
    return groups


def _how(text: str) -> str:
    return (
        f"`axes` = {text[:40]!r}: give one letter of {AXES} an axis, such as ZYX. Where one axis of the file "
        "is several, say of how many planes in brackets, as in TC(2)YX: times of 2 channels each. Rows and columns "
        "stay whole."
    )


def letters_of(groups: Sequence[Sequence[Letter]]) -> str:
    """All letters in one text."""
    return "".join(letter.name for group in groups for letter in group)


def lengths_of(group: Sequence[Letter], length: int, name: str, *, floor: bool = False) -> list[int]:
    """How long each of a group is, which together are an axis of so many planes.

    ``floor`` leaves out planes at the end that are no whole number of what belongs together.

    Raises
    ------
    ImageError
        If these are no whole number of the planes that belong together.
    """
    each = math.prod(letter.length or 1 for letter in group)
    slowest = group[0].length is None
    if length % each and not (floor and slowest and length >= each):
        said = " x ".join(f"{letter.length} {letter.name}" for letter in group if letter.length)
        raise ImageError(
            f"{name}: {length} planes are not a whole number of {said} = {each}. Give another number in `axes`; of an "
            "acquisition that was stopped, `incomplete` use takes the whole ones."
        )
    return [letter.length or length // each for letter in group]

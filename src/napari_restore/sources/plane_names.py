"""What the names of files say of the planes in them: ``img_channel000_time003_z001``, ``Series001_t00_z00_ch01``.

Micro-Manager, Leica, Olympus, Zeiss and Nikon export a file a plane; letters and numbers in the name are its place.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from napari_restore.sources.formats import natural

POSITION = "P"
"""The letter of another place of the stage, which is another image."""

_WORDS = {
    "T": ("time", "timepoint", "frame", "t"),
    "C": ("channel", "chan", "ch", "wavelength", "c", "w"),
    "Z": ("slice", "stack", "z"),
    POSITION: ("position", "pos", "point", "series", "scene", "well", "field", "site", "xy"),
}
_LETTER = {word: letter for letter, words in _WORDS.items() for word in words}
_PLACE = re.compile(
    rf"(?<![^\W\d_])({'|'.join(sorted(_LETTER, key=len, reverse=True))})[_-]?(\d{{1,9}})(?!\d)", re.IGNORECASE
)
_MOST_CHANNELS = 32
"""More files than that are numbered for another reason."""

_MICROMANAGER = re.compile(r"img_(\d{9})_(.+)_(\d{3})")
"""Of version 1: time, name of the channel, slice."""


@dataclass(frozen=True)
class Grid:
    """Files in order along several axes.

    Attributes
    ----------
    axes, shape
        Of the files, the last axis the fastest; axes of one are left out.
    indices
        Numbers of the files in that order, as many as were taken: fewer than ``shape`` has where some are not there.
    whole
        How many along the first axis have all their files, counted from the first.
    missing
        How many files of ``shape`` are not there.
    channels
        Names of the channels, where these are words.
    """

    axes: str
    shape: tuple[int, ...]
    indices: tuple[int, ...]
    whole: int
    missing: int
    channels: tuple[str, ...] = ()


def positions_of(stems: Sequence[str]) -> dict[str, list[int]]:
    """Numbers of the names by what they say of the position, in natural order; one entry where they say nothing.

    Files that differ in nothing but the position are one stack: who opens their folder wants that.
    """
    places = [_place(stem) for stem in stems]
    found: dict[str, list[int]] = {}
    for i, place in enumerate(places):
        found.setdefault("" if place is None else place[0].get(POSITION, ""), []).append(i)
    several = len(found) > 1 and None not in places and max(map(len, found.values())) > 1
    return dict(sorted(found.items(), key=lambda each: natural(each[0]))) if several else {"": [*range(len(stems))]}


def grid_of(stems: Sequence[str]) -> Grid | None:
    """How the files of one position follow each other; None where their names do not tell more than one order.

    They tell it where all have the same words, but for their places, and no two the same place.
    """
    places = [_place(stem) for stem in stems]
    known = [place for place in places if place is not None]
    if len(known) < len(places) or len({(rest, *sorted(at)) for at, rest in known}) != 1:
        return None
    every = {letter: sorted({at[letter] for at, _ in known}, key=natural) for letter in "TCZ" if letter in known[0][0]}
    several = {letter: values for letter, values in every.items() if len(values) > 1}
    keys = {tuple(values.index(at[letter]) for letter, values in several.items()): i for i, (at, _) in enumerate(known)}
    if not several or len(keys) < len(stems) or len(several.get("C", ())) > _MOST_CHANNELS:
        return None
    return _arranged(several, keys)


def _arranged(several: Mapping[str, Sequence[str]], keys: Mapping[tuple[int, ...], int]) -> Grid:
    shape = tuple(len(values) for values in several.values())
    inner = math.prod(shape[1:])
    counts = [sum(key[0] == i for key in keys) for i in range(shape[0])]
    whole = next((i for i, n in enumerate(counts) if n < inner), shape[0])
    names = several.get("C", ())
    return Grid(
        axes="".join(several),
        shape=shape,
        indices=tuple(keys[key] for key in sorted(keys)),
        whole=whole,
        missing=inner * shape[0] - len(keys),
        channels=tuple(names) if not all(name.isdigit() for name in names) else (),
    )


def _place(stem: str) -> tuple[dict[str, str], str] | None:
    """Where a name says that its plane is, by letter, and the rest of the name; None where it names a place twice."""
    old = _MICROMANAGER.fullmatch(stem)
    if old is not None:
        return dict(zip("TCZ", old.groups(), strict=True)), "img"
    found = [(_LETTER[word.lower()], number) for word, number in _PLACE.findall(stem)]
    at = dict(found)
    return (at, _PLACE.sub("", stem)) if len(at) == len(found) else None

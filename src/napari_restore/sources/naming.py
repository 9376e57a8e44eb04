"""Axes and units by the names that formats and people give them."""

from __future__ import annotations

from collections.abc import Sequence

from napari_restore.core.geometry import guess_axes
from napari_restore.sources.units import LENGTHS, TIMES

_AXIS_NAMES = {
    "T": ("t", "time", "times", "frame", "frames"),
    "C": ("c", "ch", "channel", "channels", "band", "rgb", "s", "sample", "samples"),
    "Z": ("z", "depth", "slice", "slices", "plane", "planes"),
    "Y": ("y", "row", "rows", "height"),
    "X": ("x", "column", "columns", "col", "cols", "width"),
}
_LETTER = {name: letter for letter, names in _AXIS_NAMES.items() for name in names}

_UNIT_NAMES = {
    "meter": ("m", "metre", "meters", "metres"),
    "centimeter": ("cm", "centimetre", "centimeters"),
    "millimeter": ("mm", "millimetre", "millimeters"),
    "micrometer": ("um", "µm", "μm", "\\u00b5m", "micron", "microns", "micrometre", "micrometers", "micrometres"),
    "nanometer": ("nm", "nanometre", "nanometers"),
    "picometer": ("pm", "picometre", "picometers"),
    "angstrom": ("å", "å", "a", "angstroms", "ångström"),
    "inch": ("in", "inches", '"'),
    "hour": ("h", "hr", "hours"),
    "minute": ("min", "minutes"),
    "second": ("s", "sec", "secs", "seconds"),
    "millisecond": ("ms", "msec", "milliseconds"),
    "microsecond": ("us", "µs", "μs", "usec", "microseconds"),
    "nanosecond": ("ns", "nanoseconds"),
}
_UNIT = {other: unit for unit, others in _UNIT_NAMES.items() for other in (unit, *others)}

UNKNOWN_UNIT = "pixel"


def unit_name(text: object) -> str:
    """The UDUNITS word for a unit as OME-NGFF writes it; ``"pixel"`` for none and for words unknown."""
    word = str(text or "").strip().lower()
    return word if word in LENGTHS or word in TIMES else _UNIT.get(word, UNKNOWN_UNIT)


def channel_label(image: str, number: int, count: int) -> str:
    """What a channel is called that has no name."""
    return image if count == 1 else f"{image} {number}"


def letters_of(names: Sequence[object]) -> str | None:
    """One letter of TCZYX for each name of an axis, or None if any name is unknown, or one comes twice."""
    letters = [_LETTER.get(str(name).strip().lower(), "") for name in names]
    complete = all(letters) and len(set(letters)) == len(letters) and {"Y", "X"} <= set(letters)
    return "".join(letters) if complete else None


def name_unknown(axes: str, shape: Sequence[int], known: str = "TCZYX") -> tuple[str, str | None]:
    """Name the axes whose letter is not ``known``, and say so; axes that are all known come back as they are."""
    strange = [i for i, letter in enumerate(axes) if letter not in known]
    if not strange:
        return axes, None
    part = [i for i, letter in enumerate(axes) if letter not in known or letter in "YX"]
    guessed, _ = guess_axes([shape[i] if i in strange else 512 for i in part])
    free = [letter for letter in "ZTC" if letter not in axes]
    letters = list(axes)
    for i, letter in zip(part, guessed, strict=True):
        if i in strange:
            letters[i] = letter if letter in free or not free else free[0]
            free = [other for other in free if other != letters[i]]
    named = "".join(letters)
    sizes = "x".join(str(n) for n in shape)
    return named, f"axes {named} guessed from the shape {sizes}; `axes` overrides"

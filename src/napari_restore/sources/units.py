"""Units of length and time: the words of OME-NGFF, how large each is, and the symbols of OME-XML for them."""

from __future__ import annotations

from fractions import Fraction

_PREFIXES = {
    "yotta": ("Y", 24), "zetta": ("Z", 21), "exa": ("E", 18), "peta": ("P", 15), "tera": ("T", 12), "giga": ("G", 9),
    "mega": ("M", 6), "kilo": ("k", 3), "hecto": ("h", 2), "": ("", 0), "deci": ("d", -1), "centi": ("c", -2),
    "milli": ("m", -3), "micro": ("µ", -6), "nano": ("n", -9), "pico": ("p", -12), "femto": ("f", -15),
    "atto": ("a", -18), "zepto": ("z", -21), "yocto": ("y", -24),
}  # fmt: skip

LENGTHS = {f"{prefix}meter": Fraction(10) ** power for prefix, (_, power) in _PREFIXES.items()} | {
    "angstrom": Fraction("1e-10"),
    "inch": Fraction("0.0254"),
    "foot": Fraction("0.3048"),
    "yard": Fraction("0.9144"),
    "mile": Fraction("1609.344"),
    "parsec": Fraction("3.0856775814913673e16"),
}
"""Meters of every unit of length that OME-NGFF names (https://ngff.openmicroscopy.org/0.5/#axes-md)."""

TIMES = {f"{prefix}second": Fraction(10) ** power for prefix, (_, power) in _PREFIXES.items()} | {
    "minute": Fraction(60),
    "hour": Fraction(3600),
    "day": Fraction(86400),
}
"""Seconds of every unit of time that OME-NGFF names."""

OME_SYMBOLS = (
    {
        f"{prefix}{unit}": f"{symbol}{unit[0]}"
        for prefix, (symbol, _) in _PREFIXES.items()
        for unit in ("meter", "second")
    }
    | {"angstrom": "Å", "inch": "in", "foot": "ft", "yard": "yd", "mile": "mi", "parsec": "pc"}
    | {"minute": "min", "hour": "h", "day": "d", "pixel": "pixel"}
)
"""What OME-XML calls each (UnitsLength and UnitsTime of its schema of June 2016); capitals count there."""

OME_UNITS = {symbol: unit for unit, symbol in OME_SYMBOLS.items()}


def times_larger(unit: str, other: str) -> float | None:
    """How many of the other unit one unit is; None where they do not measure the same."""
    if unit == other:
        return 1.0
    table = next((table for table in (LENGTHS, TIMES) if unit in table and other in table), None)
    return None if table is None else float(table[unit] / table[other])

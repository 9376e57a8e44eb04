"""What the channels of an image are called, and the colours they are shown in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

_LONGEST = 255


@dataclass(frozen=True)
class Channel:
    """One channel of an image.

    Attributes
    ----------
    name
        What it is called: a dye, a wavelength; empty where nobody said.
    colour
        Red, green and blue as six hexadecimal digits, such as ``"00FF00"``; empty where nobody said.
    """

    name: str = ""
    colour: str = ""

    @classmethod
    def of(cls, name: Any = "", colour: Any = "") -> Channel:
        """From what a file says: a name on one line that can be shown; a colour that is none is left out."""
        known = "".join(c for c in str(name or "") if c.isprintable() or c.isspace())
        shown = " ".join(known.split())[:_LONGEST].strip()
        digits = str(colour or "").strip().removeprefix("#").upper()
        return cls(shown, digits if re.fullmatch(r"[0-9A-F]{6}", digits) else "")

    @property
    def colormap(self) -> str:
        """What napari calls the colours from black to this one; of no known colour, shades of gray."""
        return "gray" if self.colour in ("", "FFFFFF") else f"#{self.colour.lower()}"


def channels_of(names: Sequence[str], colours: Sequence[str], count: int) -> tuple[Channel, ...]:
    """One for each of the channels; none at all where nothing is known, or what is known is of another number."""
    known = [row if len(row) == count else [""] * count for row in (names, colours)]
    channels = tuple(Channel.of(name, colour) for name, colour in zip(*known, strict=True))
    return channels if any(channel != Channel() for channel in channels) else ()

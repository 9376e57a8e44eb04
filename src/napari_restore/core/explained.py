"""What the docstring of a dataclass says of each of its fields: the one text for help, ``--help`` and tooltips."""

from __future__ import annotations

import re
from functools import cache
from typing import Any


@cache
def explained(group: Any) -> dict[str, str]:
    """The text under *Attributes* for each field, on one line; that of bases first."""
    from docstring_parser import DocstringStyle, parse

    said: dict[str, str] = {}
    for base in reversed(group.__mro__):
        for field in parse(base.__dict__.get("__doc__") or "", style=DocstringStyle.NUMPYDOC).params:
            text = " ".join((field.description or "").split())
            said.update(dict.fromkeys(re.split(r",\s*", field.arg_name), text))
    return said


def plain(text: str) -> str:
    """The same text without the marks of code in it: for a terminal or a tooltip."""
    return text.replace("``", "")

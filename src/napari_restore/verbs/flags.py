"""How the shell writes options: the flag of each, and how its value is read from a word and written as one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_restore.core.errors import RestoreError


@dataclass(frozen=True)
class Flag:
    """An option in the shell.

    Attributes
    ----------
    name
        Such as ``--dask``; made of the option's name where it is empty.
    metavar
        What stands for its value in the help.
    read
        Its value from the word; the word itself where there is none.
    often
        Whether it may be given several times.
    example
        How it is written, for who wrote it otherwise.
    """

    name: str = ""
    metavar: str = ""
    read: Callable[[str], Any] | None = None
    often: bool = False
    example: str = ""


def lengths(word: str) -> tuple[int, ...]:
    """``64,64`` as whole numbers."""
    return tuple(int(each) for each in word.split(","))


def by_axis(word: str) -> dict[str, float]:
    """``Z=0.3,Y=0.1`` as a number by letter."""
    parts = [part.partition("=") for part in word.split(",")]
    numbers = {axis.strip().upper(): float(number) for axis, _, number in parts}
    if len(numbers) < len(parts):
        raise ValueError(word)  # an axis twice
    return numbers


def factor(word: str) -> int | dict[str, int]:
    """2 from ``2``, and {"Z": 4} from ``Z=4``."""
    if "=" not in word:
        return int(word)
    return {axis: _whole(number) for axis, number in by_axis(word).items()}


def share(word: str) -> float | str:
    """A number, or ``auto``."""
    return word if word == "auto" else float(word)


def index_or_name(word: str) -> int | str:
    """A number, or a name."""
    return int(word) if re.fullmatch(r"-?[0-9]{1,18}", word) else word


def fill(word: str) -> float | str:
    """A number, or ``auto`` or ``none``."""
    return word if word in ("auto", "none") else float(word)


FLAGS: Mapping[str, Flag] = {
    "axes": Flag(metavar="TCZYX"),
    "pixel_size": Flag(metavar="Z=0.3,Y=0.1,X=0.1", read=by_axis, example="Z=0.3,Y=0.1,X=0.1"),
    "channel": Flag(metavar="N|NAME", read=index_or_name),
    "series": Flag(metavar="N|NAME", read=index_or_name),
    "fill": Flag(metavar="VALUE|auto|none", read=fill, example="-3024, auto or none"),
    "method": Flag(metavar="M"),
    "second": Flag(metavar="IN2"),
    "target": Flag(metavar="CLEAN"),
    "validation": Flag(metavar="IN", often=True),
    "start": Flag(metavar="auto|none|M.safetensors"),
    "run": Flag(metavar="DIR"),
    "effort": Flag(metavar="quick|normal|thorough"),
    "seconds": Flag(metavar="S"),
    "steps": Flag(metavar="N"),
    "patch": Flag(metavar="N,N", read=lengths, example="64,64"),
    "batch": Flag(metavar="N"),
    "learning_rate": Flag(metavar="RATE"),
    "psf": Flag(metavar="PSF"),
    "factor": Flag(metavar="N|AXIS=N", read=factor, example="2, or Z=4"),
    "noise": Flag(metavar="auto|SIGMA"),
    "mask": Flag(metavar="MASK"),
    "missing": Flag(metavar="auto|nan|zeros|planes|lines|dead|saturated"),
    "thickness": Flag(metavar="auto|N|LENGTH"),
    "ratio": Flag(metavar="auto|SHARE", read=share, example="0.25, or auto"),
    "model": Flag(metavar="M.safetensors"),
    "tile": Flag(metavar="N,N", read=lengths, example="256,256"),
    "together": Flag(metavar="N"),
    "memory_share": Flag(metavar="SHARE"),
    "region": Flag(metavar="Y=0:512,X=100:612"),
    "client": Flag("--dask", metavar="ADDRESS"),
    "save_model": Flag(metavar="M.safetensors"),
    "version": Flag("--ome-zarr"),
    "report": Flag(metavar="PAGE.html"),
    "pattern": Flag(metavar="'*.tif'"),
    "suffix": Flag(metavar="WORD"),
}
"""Options whose flag or value is not the plain one of their name and type."""


def flag_of(option: str) -> str:
    """Such as ``--save-model``."""
    return FLAGS.get(option, _PLAIN).name or f"--{option.replace('_', '-')}"


def read_word(option: str, word: Any) -> Any:
    """The value that a word of the shell stands for.

    Raises
    ------
    RestoreError
        If it cannot be read.
    """
    read = FLAGS.get(option, _PLAIN).read
    if read is None or not isinstance(word, str):
        return word
    try:
        return read(word)
    except (ValueError, OverflowError):
        raise RestoreError(f"`{option}` {word}: write it as in {FLAGS[option].example}.") from None


def write_word(value: Any) -> str:
    """A value as the shell takes it: ``Z=4`` for a factor by axis."""
    if isinstance(value, Mapping):
        return ",".join(f"{key}={_written(each)}" for key, each in value.items())
    if isinstance(value, list | tuple):
        return ",".join(write_word(each) for each in value)
    return (
        path_word(value) if isinstance(value, Path) else str(value.item() if isinstance(value, np.generic) else value)
    )


def path_word(path: Any) -> str:
    """A path that is not taken for an option."""
    return f"./{path}" if str(path).startswith("-") else str(path)


def in_shell(message: str) -> str:
    """A message with the options it names in backticks as flags: ``--overwrite``."""
    return re.sub(r"`([a-z_]+)`", lambda found: flag_of(found[1]), message)


_PLAIN = Flag()


def _written(value: Any) -> str:
    """One of a mapping's values; a range of pixels as ``0:512``."""
    return ":".join(map(str, value)) if isinstance(value, list | tuple) else write_word(value)


def _whole(number: float) -> int:
    if number != int(number):
        raise ValueError(number)
    return int(number)

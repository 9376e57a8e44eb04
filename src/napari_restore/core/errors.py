"""What can go wrong for a user. Every message tells the value, the limit and the next step."""

from __future__ import annotations


class RestoreError(ValueError):
    """Something the user gave cannot be used; the shell shows it on one line and exits with 2.

    What it quotes may hold anything: as a text it is one line, and nothing in it moves a cursor.
    """

    def __str__(self) -> str:
        return _one_line(super().__str__())


class ImageError(RestoreError):
    """An image cannot be opened, or is not of a kind that can be restored."""


class ModelError(RestoreError):
    """A model file cannot be used, or does not fit the image."""


class OutputError(RestoreError):
    """A result cannot be written where it was asked for."""


class OtherRunError(OutputError, ModelError):
    """What lies there unfinished, an output or a training, was begun from another image, model or settings."""


class ChangedError(OutputError, ImageError):
    """An image, or how it is restored, is another than when its result was made: that is to be made again."""


class InterruptedWorkError(RestoreError):
    """Work was stopped before there was a result to give back."""


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory is full, of the machine or of a graphics card: torch has words of its own."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in said or "can't allocate" in said


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its name."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _one_line(text: str) -> str:
    """With what no line of text holds as Python writes it: an end of a line, a control character, half a letter."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode() for c in text)

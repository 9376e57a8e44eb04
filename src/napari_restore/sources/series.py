"""The images that one file, or files that belong together, hold: what there is, and which one is meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from napari_restore.core.errors import ImageError

_LISTED = 8
"""So many are named in a message."""


@dataclass(frozen=True)
class Held:
    """One of several images: a position of the stage, a well, an angle, a scan.

    Attributes
    ----------
    index
        Counted from 0, as the metadata list them: what the option ``series`` takes.
    name
        That the metadata give it; empty where they do not.
    axes
        In letters of the format; None where it does not say.
    shape
        Of its pixels.
    files
        Whole paths of the files that these lie in; none where they are not there.
    opened
        Whether it is the one that was opened.
    """

    index: int
    name: str
    axes: str | None
    shape: tuple[int, ...]
    files: tuple[str, ...] = ()
    opened: bool = False

    def __str__(self) -> str:
        """As it is shown in lists."""
        return f"{self.index} ({self.name})" if self.name else f"{self.index}"


def index_of(wanted: int | str, held: Sequence[Held], name: str) -> int:
    """Which of the images is meant by an index or a name.

    Raises
    ------
    ImageError
        If there is none, with what there is; or its pixels are not there.
    """
    found = [each for each in held if wanted in (each.index, each.name) and not isinstance(wanted, bool)]
    if not found and isinstance(wanted, str):
        found = [each for each in held if wanted.strip().casefold() in (each.name.casefold(), str(each.index))]
    if len(found) != 1:
        how = f"{len(found)} images are called" if found else "there is no"
        raise ImageError(f"{name}: {how} series {wanted!r}; it holds {listed(held)}. Give one of these numbers.")
    if not found[0].files:
        raise ImageError(
            f"{name}: the pixels of series {found[0]} are not there. Put all files that belong together in one folder."
        )
    return found[0].index


def listed(held: Sequence[Held]) -> str:
    """The images in a message: ``3 images: 0 (Pos0), 1 (Pos1), 2 (Pos2)``."""
    some = ", ".join(str(each) for each in held[:_LISTED])
    more = " ..." if len(held) > _LISTED else ""
    return f"{len(held)} image{'s' if len(held) > 1 else ''}: {some}{more}"


def only_series(series: int | str | None, name: str) -> None:
    """Refuse another image than the first of a thing that holds one.

    Raises
    ------
    ImageError
        With what was asked for.
    """
    if series is None or (series == 0 and not isinstance(series, bool)):
        return
    raise ImageError(f"{name}: series {series!r} does not exist; it holds one image: leave out `series`.")

"""Names of files that every file system takes, not too long and without what means something to it; and our own."""

from __future__ import annotations

import hashlib
from pathlib import Path

from napari_restore.core.errors import OutputError

NAMESPACE = "napari_restore"
"""Under which our files hold what is ours among what formats know."""

LONGEST = 255
"""Bytes of a name, in UTF-8: ext4, XFS, APFS and NFS take so many; NTFS counts 16 bits each, which are never more."""

_MARK = 8
"""Letters of the checksum that tells names apart whose ends are cut off."""


def fitting(start: str, ending: str) -> str:
    """``start + ending``; where that is too long, the start is cut, and a checksum of all of it takes its end's place.

    The same start and ending give the same name: what is looked for again is found.
    """
    whole = f"{start}{ending}"
    if _bytes(whole) <= LONGEST:
        return whole
    mark = f"~{hashlib.sha256(start.encode('utf-8', 'surrogatepass')).hexdigest()[:_MARK]}{ending}"
    room = max(0, LONGEST - _bytes(mark))
    return start.encode("utf-8", "surrogatepass")[:room].decode("utf-8", "ignore") + mark


def plain(text: str) -> str:
    """A text as the first part of a name: letters, digits, spaces, - and _, all else as _."""
    return "".join(c if c.isalnum() or c in "-_ " else "_" for c in text).strip() or "image"


def beside(path: Path, ending: str) -> Path:
    """A name that goes with another one: that with more at its end, as far as a name can be that long."""
    return path.with_name(fitting(path.name, ending))


def check_length(path: Path) -> None:
    """Refuse a name that no file can have.

    Raises
    ------
    OutputError
        With its length and the limit.
    """
    if (length := _bytes(path.name)) > LONGEST:
        raise OutputError(
            f"{path.name[:40]}... has {length} bytes, and a file's name has {LONGEST} at most (a letter of Chinese or "
            "Japanese takes 3): choose a shorter one."
        )


def _bytes(name: str) -> int:
    return len(name.encode("utf-8", "surrogatepass"))

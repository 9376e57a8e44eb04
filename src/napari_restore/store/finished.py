"""Which results in a folder are whole, and what each was made from: one flushed line of JSON a change.

Resuming a batch trusts this file and what it can check of the disk, never "a file of that name exists". A result is
noted as begun before anything is written under its name, so that whatever lies there later is known to be ours.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from napari_restore.store.beside import names_beside
from napari_restore.store.files import disk_errors

FORMAT = 1
NAME = "napari-restore-batch.jsonl"
"""Of the file, beside the results."""

_BLOCK = 1 << 20
_LITTER = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
"""What file managers leave in folders; it is not part of an image."""


@dataclass(frozen=True)
class Size:
    """How many files lie at a path, a folder or not, and their bytes."""

    files: int
    bytes: int


@dataclass(frozen=True)
class Stamp:
    """What an input holds: cheap facts that are looked at first, and a SHA-256 that decides where the time differs."""

    size: Size
    changed: int
    sha256: str


@dataclass(frozen=True)
class Entry:
    """What is known of one result.

    Attributes
    ----------
    output
        Its name in the folder.
    state
        ``begun``, or ``done`` once it was whole under its name.
    stamp, model
        What it was made from.
    size
        Of the whole result.
    """

    output: str
    state: Literal["begun", "done"]
    stamp: Stamp
    model: str
    size: Size | None = None


class Finished:
    """The notes of one folder; the last one about a result counts."""

    def __init__(self, folder: Path, entries: dict[str, Entry]) -> None:
        self.path = folder / NAME
        self.entries = entries

    @classmethod
    def open(cls, folder: Path) -> Finished:
        """Read the notes of a folder, none where there is no file; lines torn by a crash are passed over."""
        entries: dict[str, Entry] = {}
        path = folder / NAME
        if path.is_file():
            with disk_errors(path):
                lines = path.read_bytes().splitlines()
            entries = {entry.output: entry for entry in map(_parse, lines) if entry is not None}
        return cls(folder, entries)

    def note(self, entry: Entry) -> None:
        """Add a line, and wait until it is on the disk."""
        line = json.dumps({"batch": FORMAT, **asdict(entry)}).encode() + b"\n"
        with disk_errors(self.path):
            handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
            try:
                os.write(handle, (b"\n" if _is_torn(handle) else b"") + line)
                os.fsync(handle)
            finally:
                os.close(handle)
        self.entries[entry.output] = entry

    def without_results(self, paths: Sequence[Path]) -> list[Path]:
        """The paths that are no results of this folder, whole or unfinished: the same folder may hold the inputs."""
        folder = self.path.parent.resolve()
        results = {Path(name) for name in self.entries if name and Path(name).name == name}
        ours = {NAME, *(path.name for result in results for path in (result, *names_beside(result)))}
        return [path for path in paths if path.parent.resolve() != folder or path.name not in ours]


def stamp_of(path: Path, stop: threading.Event | None = None) -> Stamp | None:
    """Read a whole file or folder and say what it holds; None where it was stopped meanwhile.

    The bytes that are read here need not be fetched from a slow disk again when they are restored.
    """
    digest = hashlib.sha256()
    size, changed = _look(path)
    for file in _files(path):
        digest.update(json.dumps([file.relative_to(path).as_posix(), file.stat().st_size]).encode())
        with file.open("rb") as stream:
            while block := stream.read(_BLOCK):
                if stop is not None and stop.is_set():
                    return None
                digest.update(block)
    return Stamp(size, changed, digest.hexdigest())


def is_unchanged(path: Path, stamp: Stamp, stop: threading.Event | None = None) -> bool:
    """Whether a path holds what it held: at a glance where its time tells, else by reading it."""
    size, changed = _look(path)
    if size != stamp.size:
        return False
    if changed == stamp.changed:
        return True
    now = stamp_of(path, stop)
    return now is not None and now.sha256 == stamp.sha256


def size_of(path: Path) -> Size:
    """Of a file, or of all files in a folder."""
    return _look(path)[0]


def _look(path: Path) -> tuple[Size, int]:
    """The size, and when the youngest file was changed, in nanoseconds."""
    stats = [file.stat() for file in _files(path)]
    return Size(len(stats), sum(s.st_size for s in stats)), max((s.st_mtime_ns for s in stats), default=0)


def _files(path: Path) -> Iterator[Path]:
    """The file itself, or those of a folder in a fixed order."""
    if not path.is_dir():
        yield path
        return
    for root, folders, names in os.walk(path):
        folders.sort()
        yield from (Path(root, name) for name in sorted(names) if name not in _LITTER and not name.startswith("._"))


def _is_torn(handle: int) -> bool:
    """Whether the file ends within a line."""
    length = os.fstat(handle).st_size
    if length == 0:
        return False
    os.lseek(handle, length - 1, os.SEEK_SET)
    return os.read(handle, 1) != b"\n"


def _parse(line: bytes) -> Entry | None:
    try:
        content: dict[str, Any] = json.loads(line)
        if content.pop("batch") != FORMAT:
            return None
        stamp, size = content.pop("stamp"), content.pop("size")
        entry = Entry(
            **content,
            stamp=Stamp(**{**stamp, "size": Size(**stamp["size"])}),
            size=Size(**size) if size is not None else None,
        )
        return entry if _is_sound(entry) else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _is_sound(entry: Entry) -> bool:
    """Whether each value is of its kind: what a line says is used as it is."""
    words = (entry.output, entry.model, entry.stamp.sha256)
    numbers = (entry.stamp.changed, entry.stamp.size.files, entry.stamp.size.bytes)
    return entry.state in ("begun", "done") and all(isinstance(w, str) for w in words) and all(map(_is_whole, numbers))


def _is_whole(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool)

"""Which tiles of an output are on the disk: one flushed line each, behind a first line that says what they are.

Resuming trusts this file and nothing else; a chunk that exists may be half of a tile (measured: a missing chunk
reads as zeros, and an all-zero chunk need not be stored). The checksum in a line tells whether a disk kept what it
promised. Behind the tiles come the blocks of the smaller levels, which are made from them.
"""

from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from napari_restore.core.errors import OutputError
from napari_restore.core.region import Region
from napari_restore.store.files import atomic_write

FORMAT = 3

Blocks = dict[int, dict[int, int]]
"""For each smaller level by its number, its blocks that are on the disk, and the CRC-32 of their pixels."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A tile that is on the disk: its number, its box of output pixels, and the CRC-32 of these."""

    tile: int
    start: tuple[int, ...]
    stop: tuple[int, ...]
    checksum: int

    @property
    def region(self) -> Region:
        """Its box."""
        return Region(tuple(self.start), tuple(self.stop))


@dataclass(frozen=True, slots=True)
class Noted:
    """What a journal says.

    Attributes
    ----------
    tiles
        The finished ones by number, in the order they were noted in.
    smaller
        The finished blocks of smaller levels, in this order, too.
    length
        In bytes, up to the first line that is torn.
    """

    header: Mapping[str, Any]
    tiles: dict[int, Entry]
    smaller: Blocks
    length: int


class Journal:
    """An open journal; ``tiles`` and ``smaller`` are those of ``Noted``."""

    def __init__(self, path: Path, header: Mapping[str, Any], tiles: dict[int, Entry], smaller: Blocks) -> None:
        self.path = path
        self.header = header
        self.tiles = tiles
        self.smaller = smaller
        self._lock = threading.Lock()
        self._handle: int | None = os.open(path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0))

    @classmethod
    def create(cls, path: Path, header: Mapping[str, Any]) -> Journal:
        """A new journal with no tiles; an old one is replaced."""
        content = {"journal": FORMAT, **header}
        atomic_write(path, json.dumps(content).encode() + b"\n")
        return cls(path, content, {}, {})

    @classmethod
    def reopen(cls, path: Path) -> Journal:
        """Go on with a journal: a line torn by a crash is cut off, and its tile will be done again."""
        noted = read(path)
        os.truncate(path, noted.length)
        return cls(path, noted.header, noted.tiles, noted.smaller)

    def record(self, *entries: Entry) -> None:
        """Note that tiles are on the disk, and wait until the notes are too: once for all of them."""
        self._append(*map(asdict, entries))
        self.tiles.update((entry.tile, entry) for entry in entries)

    def record_smaller(self, level: int, blocks: Mapping[int, int]) -> None:
        """Note that blocks of a smaller level, with their checksums, are on the disk; waits as ``record`` does."""
        self._append({"level": level, "blocks": [[*block] for block in blocks.items()]})
        self.smaller.setdefault(level, {}).update(blocks)

    def forget(self, tiles: Sequence[int]) -> None:
        """Note that tiles have to be done again, and with them all smaller levels."""
        self._append({"forget": list(tiles)})
        for tile in tiles:
            del self.tiles[tile]
        self.smaller.clear()

    def _append(self, *contents: Mapping[str, Any]) -> None:
        lines = b"".join(json.dumps(content).encode() + b"\n" for content in contents)
        with self._lock:
            assert self._handle is not None, "the journal is closed"
            length = os.fstat(self._handle).st_size
            if os.write(self._handle, lines) != len(lines):
                os.ftruncate(self._handle, length)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
            os.fsync(self._handle)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        with self._lock:
            handle, self._handle = self._handle, None
        if handle is not None:
            os.close(handle)


def read(path: Path) -> Noted:
    """What a journal says, up to the first line that is torn.

    Raises
    ------
    OutputError
        If the file does not begin as a journal, was written by a newer version, or is damaged: a line says what no
        journal says, or one before the last is torn.
    """
    with path.open("rb") as file:  # line by line: a journal of ten million tiles has a gigabyte
        first = file.readline()
        header = _header(path, _parse(first))
        tiles: dict[int, Entry] = {}
        smaller: Blocks = {}
        length = len(first)
        for number, line in enumerate(file, 2):
            content = _parse(line)
            if content is None or not ("forget" in content or content.keys() in _LINES):
                if next(file, None) is not None:
                    raise damaged(path, f"line {number} is none of a journal")
                break
            _apply(content, tiles, smaller, path=path, number=number)
            length += len(line)
    return Noted(header, tiles, smaller, length)


_LINES = (Entry.__dataclass_fields__.keys(), {"level", "blocks"})


def _header(path: Path, header: dict[str, Any] | None) -> dict[str, Any]:
    """The first line, if it is that of a journal which this version reads."""
    if header is None or "journal" not in header:
        raise OutputError(f"{path} is not a journal of a restoration: remove it, or give `overwrite` to start again.")
    if header["journal"] != FORMAT:
        raise OutputError(
            f"{path} has journal format {header['journal']}, this version reads {FORMAT}: "
            "finish it with the version that began it, or give `overwrite` to start again."
        )
    return header


def damaged(path: Path, what: str) -> OutputError:
    """What is said of a journal that cannot be trusted."""
    return OutputError(f"{path} is damaged ({what}): give `overwrite` to start again.")


def _apply(content: Mapping[str, Any], tiles: dict[int, Entry], smaller: Blocks, *, path: Path, number: int) -> None:
    """Take a line for what it says; refuse what no tile and no block can be."""
    if "forget" in content:
        gone = content["forget"]
        if not (isinstance(gone, list) and all(map(_is_count, gone))):
            raise damaged(path, f"line {number} forgets what is no tile")
        for tile in gone:
            tiles.pop(tile, None)
        smaller.clear()
    elif "level" in content:
        level, blocks = content["level"], content["blocks"]
        if not (_is_count(level) and isinstance(blocks, list) and all(map(_is_block, blocks))):
            raise damaged(path, f"line {number} is no block of a smaller level")
        smaller.setdefault(level, {}).update(blocks)
    else:
        entry = _tile(content, path=path, number=number)
        tiles[entry.tile] = entry


def _tile(content: Mapping[str, Any], *, path: Path, number: int) -> Entry:
    start, stop = content["start"], content["stop"]
    boxes = isinstance(start, list) and isinstance(stop, list) and len(start) == len(stop) > 0
    if not (boxes and all(map(_is_count, (content["tile"], content["checksum"], *start, *stop)))):
        raise damaged(path, f"line {number} is no tile")
    if any(a >= b for a, b in zip(start, stop, strict=True)):
        raise damaged(path, f"line {number} is a tile without pixels")
    return Entry(content["tile"], tuple(start), tuple(stop), content["checksum"])


def _is_block(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_count, value))


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _parse(line: bytes) -> dict[str, Any] | None:
    """A whole line, or None for one without its end or that is not an object."""
    if not line.endswith(b"\n"):
        return None
    try:
        content = json.loads(line)
    except ValueError:
        return None
    except RecursionError:
        return {"forget": None}  # whole, and nothing that was ever written here
    return content if isinstance(content, dict) else None

"""Writing so that a crash, at any moment, leaves either the old file or the new one, and never half of one."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from napari_restore.core.errors import OutputError
from napari_restore.store.names import beside


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what the operating system says about a disk into one line that names the output.

    Raises
    ------
    OutputError
        For any ``OSError`` inside: a full disk, a folder that cannot be written, a path that went away.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        place = f" ({error.filename})" if error.filename and Path(os.fsdecode(error.filename)) != path else ""
        raise OutputError(
            f"{path} cannot be written: {reason}{place}. Free space there or choose another folder, then start again."
        ) from error


def check_folder(folder: Path) -> None:
    """Refuse a folder that is not there, or in which nothing can be written."""
    if not folder.is_dir():
        raise OutputError(f"the folder {folder} does not exist: make it, or choose another output.")
    with disk_errors(folder), tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"napari-restore")


def new_file(given: str | Path, *, ending: str, is_what: str) -> Path:
    """A path, ``~`` expanded, at which a file may be made.

    Raises
    ------
    OutputError
        If its name has another ending, or it is there, or its folder is not.
    """
    path = Path(given).expanduser()
    if path.suffix.lower() != ending:
        raise OutputError(f"{path.name}: {is_what}, give a name that ends in {ending}.")
    if path.exists():
        raise OutputError(f"{path} exists already: give another name, or remove it.")
    if not path.parent.is_dir():
        raise OutputError(f"{path.parent} does not exist: make it, or give another folder.")
    return path


def atomic_write(path: Path, content: bytes) -> None:
    """Put a whole file in its place: a temporary file beside it, flushed to disk, renamed over the old one."""
    temporary = beside(path.with_name(f".{path.name}"), f".{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def torn_writes(path: Path) -> list[Path]:
    """What ``atomic_write`` left of a file when its process was killed within it; for who alone writes that file."""
    name = re.compile(rf"\.{re.escape(path.name)}\.[0-9a-f]{{8}}\.tmp")
    return [
        Path(each)
        for each in os.scandir(path.parent)
        if name.fullmatch(each.name) and each.is_file(follow_symlinks=False)
    ]


def free_space(folder: Path) -> int:
    """Bytes that can still be written there."""
    return shutil.disk_usage(folder).free


def sync_file(path: Path) -> None:
    """Wait until the content of a file is on the disk."""
    handle = os.open(path, os.O_RDWR)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_folder(path: Path) -> None:
    """Wait until the names in a folder are on the disk; Windows has no such call and needs none."""
    if os.name == "nt":
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def remove(path: Path) -> None:
    """Remove a file, a link or a whole folder; nothing happens where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def occupied(path: Path) -> bool:
    """Whether anything lies there, a dangling link included."""
    return os.path.lexists(path)

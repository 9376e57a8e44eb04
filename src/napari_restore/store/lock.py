"""One writer an output: a lock file that names the process holding it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

from napari_restore.core.errors import OutputError

if sys.platform == "win32":
    import msvcrt

    def _lock_file(handle: int) -> None:
        # A byte far past the content, so that others can still read who holds it.
        os.lseek(handle, 1 << 20, os.SEEK_SET)
        msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock_file(handle: int) -> None:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


class Lock:
    """A held lock file. The operating system frees it when the process dies, however it dies."""

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self._handle: int | None = handle

    @classmethod
    def acquire(cls, path: Path) -> Lock:
        """Take the lock; one left by a dead process of this machine is taken over.

        Raises
        ------
        OutputError
            If another writer holds it, or one on another machine left it.
        """
        while True:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
            try:
                _take(path, handle)
            except BaseException:
                os.close(handle)
                raise
            if _same_file(path, handle):
                return cls(path, handle)
            os.close(handle)  # its holder removed it between our opening and our claim

    def release(self) -> None:
        """Give the lock back; a second call does nothing."""
        if self._handle is None:
            return
        handle, self._handle = self._handle, None
        if sys.platform == "win32":  # an open file cannot be removed there
            os.close(handle)
            with contextlib.suppress(OSError):
                self.path.unlink()
            return
        with contextlib.suppress(OSError):
            if _same_file(self.path, handle):
                self.path.unlink()
        os.close(handle)


def _take(path: Path, handle: int) -> None:
    here = {"host": socket.gethostname(), "pid": os.getpid()}
    claimed = _claim(handle, _owner(path))
    owner = _owner(path)
    if not claimed:
        raise OutputError(
            f"{_name(path)} is being written by process {owner.get('pid', 'unknown')} on "
            f"{owner.get('host', 'this machine')}: wait for it, stop it, or choose another output."
        )
    if owner.get("host", here["host"]) != here["host"]:
        raise OutputError(
            f"{_name(path)} was locked by process {owner.get('pid')} on {owner['host']}: if that has ended, "
            f"remove {path} and start again."
        )
    os.ftruncate(handle, 0)
    os.lseek(handle, 0, os.SEEK_SET)
    os.write(handle, json.dumps(here).encode())


def _claim(handle: int, owner: Mapping[str, object]) -> bool:
    """Whether the file is ours now; where a file system knows no locks, whether its owner is dead."""
    try:
        _lock_file(handle)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            return False
        if error.errno in (errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK):
            return not _alive(owner)
        raise
    return True


def _alive(owner: Mapping[str, object]) -> bool:
    """Whether the process a lock names runs on this machine (elsewhere it is not for us to say)."""
    pid = owner.get("pid")
    if sys.platform == "win32" or not isinstance(pid, int) or owner.get("host") != socket.gethostname():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _name(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(".lock"))


def _owner(path: Path) -> dict[str, object]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _same_file(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(handle))
    except FileNotFoundError:
        return False

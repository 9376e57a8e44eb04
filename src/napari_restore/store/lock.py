"""One writer an output: a lock file that names the process holding it."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import stat
import sys
import threading
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

    def __init__(self, held: _Held) -> None:
        self._held: _Held | None = held
        self.path = held.path

    @classmethod
    def acquire(cls, path: Path) -> Lock:
        """Take the lock; one left by a dead process of this machine is taken over.

        Raises
        ------
        OutputError
            If another writer holds it, one on another machine left it, or something else has its name: a link is not
            followed, and a file that is no lock is not written to.
        """
        while True:
            handle = _open(path)
            try:
                _take(path, handle)
            except BaseException:
                os.close(handle)
                raise
            if _same_file(path, handle):
                return cls(_Held(path, handle))
            os.close(handle)  # its holder removed it between our opening and our claim

    def again(self) -> Lock:
        """The same lock once more, for work inside of what it was taken for: it is free when both are released."""
        assert self._held is not None, "the lock is released"
        self._held.add()
        return Lock(self._held)

    def release(self) -> None:
        """Give the lock back; a second call does nothing."""
        held, self._held = self._held, None
        if held is not None:
            held.drop()


class _Held:
    """A lock file that is ours, and how many hold it: where the last one lets go, it is removed."""

    def __init__(self, path: Path, handle: int) -> None:
        self.path = path
        self._handle = handle
        self._holders = 1
        self._counting = threading.Lock()

    def add(self) -> None:
        with self._counting:
            self._holders += 1

    def drop(self) -> None:
        with self._counting:
            self._holders -= 1
            last = self._holders == 0
        if not last:
            return
        if sys.platform == "win32":  # an open file cannot be removed there
            os.close(self._handle)
            with contextlib.suppress(OSError):
                self.path.unlink()
            return
        with contextlib.suppress(OSError):
            if _same_file(self.path, self._handle):
                self.path.unlink()
        os.close(self._handle)


def _open(path: Path) -> int:
    """The lock file; what is none of ours is refused before a byte of it changes."""
    if path.is_symlink() or (os.path.lexists(path) and not path.is_file()):
        raise _not_ours(path)
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise _not_ours(path) from None
        raise
    facts = os.fstat(handle)
    if not stat.S_ISREG(facts.st_mode) or facts.st_nlink > 1 or not _is_ours(os.read(handle, _LONGEST)):
        os.close(handle)
        raise _not_ours(path)
    return handle


_START = b'{"host"'
_LONGEST = 4096


def _is_ours(head: bytes) -> bool:
    """Whether a file begins as a lock does, or holds nothing that could be lost: one of a process that was killed."""
    return head.startswith(_START) or (len(head) < _LONGEST and len(head.strip(b"\0 \n")) <= 2)


def _not_ours(path: Path) -> OutputError:
    return OutputError(f"{path} is not a lock of ours: move it away, or choose another name for the output.")


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
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _same_file(path: Path, handle: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(handle))
    except FileNotFoundError:
        return False

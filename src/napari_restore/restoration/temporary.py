"""A folder for a result that nobody gave a place: made when it is needed, and gone when nobody holds the result."""

from __future__ import annotations

import shutil
import tempfile
import threading
import weakref
from pathlib import Path
from typing import Any

_UNTIL_EXIT: list[TemporaryFolder] = []


class TemporaryFolder:
    """A folder among the temporary ones, which lives as long as somebody holds this, and at most until the exit.

    A copy in another process owns nothing.
    """

    def __init__(self) -> None:
        self._made: weakref.finalize[Any, TemporaryFolder] | None = None
        self._path: Path | None = None
        self._making = threading.Lock()

    @property
    def path(self) -> Path:
        """The folder, which is made now where it is not there yet."""
        with self._making:
            if self._path is None:
                self._path = Path(tempfile.mkdtemp(prefix="napari-restore-"))
                self._made = weakref.finalize(self, shutil.rmtree, self._path, ignore_errors=True)
            return self._path

    def remove(self) -> None:
        """Remove the folder now; a second call does nothing."""
        if self._made is not None:
            self._made()

    def until_exit(self) -> None:
        """Keep the folder until the program ends, whoever holds it: a viewer shows what is in it."""
        _UNTIL_EXIT.append(self)

    def store(self, path: Path) -> Any:
        """A Zarr in the folder as a store that holds it: arrays that are opened from it do, too."""
        from zarr.storage import LocalStore

        store: Any = LocalStore(path, read_only=True)
        store.held = self
        return store

    def __reduce__(self) -> tuple[Any, ...]:
        return _nothing, ()


def _nothing() -> None:
    """What another process has of it."""

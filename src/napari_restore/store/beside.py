"""The names beside an output, and whether what lies there is ours: nothing else is taken for it, written or removed."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from napari_restore.core.errors import ModelError, OutputError
from napari_restore.sources.marks import ZARR_MARKS
from napari_restore.store.files import occupied
from napari_restore.store.header import card_in, read_header
from napari_restore.store.names import NAMESPACE, beside

_JOURNAL = b'{"journal"'
_OF_A_RUN = re.compile(r"\.?(run\.json|events\.jsonl|(checkpoint-\d+|model)\.safetensors)(\.[0-9a-f]+\.tmp)?")


def partial_path(path: Path) -> Path:
    """The folder that holds the pixels of an unfinished output."""
    return beside(path, ".partial")


def journal_path(path: Path) -> Path:
    """The file that says which tiles of an unfinished output are done."""
    return beside(path, ".journal")


def model_path(path: Path) -> Path:
    """The model an unfinished output is being made with, so that the same one can finish it."""
    return beside(path, ".model.safetensors")


def training_path(path: Path) -> Path:
    """The run folder of the training for an output, until it is done."""
    return beside(path, ".training")


def lock_path(path: Path) -> Path:
    """The file that says who writes an output."""
    return beside(path, ".lock")


def replaced_path(path: Path) -> Path:
    """Where an old result waits while the new one takes its name."""
    return beside(path, ".replaced")


def temporary_path(path: Path) -> Path:
    """The file of an output that is one, while it is being written."""
    return beside(path, ".writing")


def names_beside(path: Path) -> tuple[Path, ...]:
    """All names that writing an output may take."""
    every = (partial_path, journal_path, model_path, training_path, lock_path, replaced_path, temporary_path)
    return tuple(name(path) for name in every)


def check_names(path: Path) -> None:
    """Refuse where a name beside an output is taken by something that is not ours.

    The lock is looked at when it is taken.

    Raises
    ------
    OutputError
        With the name.
    """
    for name, said in _foreign(path):
        raise OutputError(f"{name} is not {said} of ours: move it away, or choose another name for the output.")


def _foreign(path: Path) -> Iterator[tuple[Path, str]]:
    journal, begun = journal_path(path), occupied(journal_path(path))
    if occupied(partial_path(path)) and not _is_partial(partial_path(path)):
        yield partial_path(path), "an unfinished result"
    if begun and not (_begins(journal, _JOURNAL) or (_is_file(journal) and _is_marked(partial_path(path)))):
        yield journal, "the journal of a result"
    if occupied(temporary_path(path)) and not (begun and _is_file(temporary_path(path))):
        yield temporary_path(path), "a file"
    if occupied(replaced_path(path)) and not begun:
        yield replaced_path(path), "a replaced result"
    if occupied(training_path(path)) and not _is_run(training_path(path)):
        yield training_path(path), "the run folder of a training"
    if occupied(model_path(path)) and not _is_model(model_path(path)):
        yield model_path(path), "a model"


def _is_partial(folder: Path) -> bool:
    """Whether a folder holds an unfinished result, perhaps one that was killed as it was made or removed."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    inside = list(folder.iterdir())
    if (folder / "0").is_symlink():
        return False
    return _is_marked(folder) or all(_is_file(each) and _is_zarrs(each.name) for each in inside)


def _is_zarrs(name: str) -> bool:
    return name in ZARR_MARKS or name.endswith(".partial")


def _is_marked(folder: Path) -> bool:
    """Whether the group says that it is ours."""
    if folder.is_symlink():
        return False
    return any(NAMESPACE in _attributes(folder / mark) for mark in ("zarr.json", ".zattrs"))


def _attributes(file: Path) -> dict[str, object]:
    try:
        content = json.loads(file.read_bytes()) if _is_file(file) else {}
        found = content.get("attributes", {}) if file.name == "zarr.json" else content
    except (OSError, ValueError, RecursionError, AttributeError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_run(folder: Path) -> bool:
    if folder.is_symlink() or not folder.is_dir():
        return False
    return all(_is_file(each) and _OF_A_RUN.fullmatch(each.name) for each in folder.iterdir())


def _is_model(file: Path) -> bool:
    if not _is_file(file):
        return False
    try:
        card_in(file, read_header(file))
    except ModelError:
        return False
    return True


def _begins(file: Path, start: bytes) -> bool:
    """Whether a plain file begins so, or has no content, as after a power cut."""
    if not _is_file(file):
        return False
    with file.open("rb") as opened:
        head = opened.read(len(start))
    return head == start or not head.strip(b"\0")


def _is_file(path: Path) -> bool:
    """Whether a plain file lies there, and not a link to one."""
    try:
        return stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False

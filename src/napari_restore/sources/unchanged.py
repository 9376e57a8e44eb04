"""Whether an image is still what it was when work on it began: by its files, and by some of its pixels."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_restore.core.errors import ChangedError
from napari_restore.core.region import Region
from napari_restore.sources.image import Image
from napari_restore.sources.marks import ZARR_MARKS

_PROBE = 64
"""Along Y and X, of the boxes that an image is known by again."""


@dataclass(frozen=True)
class State:
    """What an image is known by again.

    Attributes
    ----------
    pixels
        A checksum over three small boxes.
    files
        Number, bytes and age of its files; None where it has none here.
    """

    pixels: str
    files: str | None


def state_of(image: Image) -> State:
    """Look at an image before work on it begins.

    Raises
    ------
    ImageError
        If its pixels cannot be read.
    """
    return State(probe(image), files_state(image))


def refuse_changed(image: Image, before: State, *, done: str) -> None:
    """Look at it again when work on it is done.

    Parameters
    ----------
    done
        What was done to it meanwhile, as in ``"trained on"``.

    Raises
    ------
    ChangedError
        If it is another image now.
    """
    if state_of(image) != before:
        raise ChangedError(
            f"{image.name} has changed while it was {done}: what was made of it is of two states of it. Wait until "
            "nothing writes to it, and start again."
        )


def probe(image: Image) -> str:
    """A checksum over three small boxes: enough to tell another image, too few to wait for."""
    digest = hashlib.sha256()
    sizes = tuple(min(n, _PROBE if a in "YX" else 1) for a, n in zip(image.axes, image.shape, strict=True))
    for part in (0.0, 0.5, 1.0):
        start = tuple(int(part * (n - size)) for n, size in zip(image.shape, sizes, strict=True))
        box = Region(start, tuple(s + size for s, size in zip(start, sizes, strict=True)))
        digest.update(np.ascontiguousarray(image.read(box)).tobytes())
    return digest.hexdigest()[:16]


def files_state(image: Image) -> str | None:
    """How many files an image is of, their bytes, and when the youngest was changed; None where it has no local path.

    Nothing is read. In a folder that is no Zarr the files of the most frequent extension count: the output and other
    things may lie beside the slices of a series. A file that goes away meanwhile is one less.
    """
    path = Path(image.location) if image.location is not None and "://" not in image.location else None
    if path is None or not path.exists():
        return None
    count, total, youngest = 0, 0, 0
    for file in _files_in(path) if path.is_dir() else [path]:  # one at a time: there may be millions
        try:
            facts = file.stat()
        except OSError:
            continue
        count, total, youngest = count + 1, total + facts.st_size, max(youngest, facts.st_mtime_ns)
    return f"{count} files, {total} bytes, {youngest} ns"


def _files_in(folder: Path) -> Iterator[Path]:
    if any((folder / mark).exists() for mark in ZARR_MARKS):
        return (Path(root, name) for root, _, names in os.walk(folder) for name in names)
    files = [entry for entry in folder.iterdir() if entry.is_file() and not entry.name.startswith(".")]
    usual = Counter(file.suffix for file in files).most_common(1)
    return (file for file in files if file.suffix == usual[0][0])

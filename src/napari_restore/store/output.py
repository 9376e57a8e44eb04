"""A result on disk: begun, filled in tile by tile, resumed after a crash, finished in one rename.

Beside an output ``x.zarr`` lie, while it is unfinished: ``x.zarr.partial`` (the pixels), ``x.zarr.journal``
(which tiles are done) and ``x.zarr.lock`` (who writes). Only a complete result ever gets the final name.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from napari_restore.core.channel import Channel
from napari_restore.core.errors import OtherRunError, OutputError
from napari_restore.core.geometry import Geometry, canonical
from napari_restore.core.options import Writing
from napari_restore.core.region import Region
from napari_restore.core.sizes import describe_bytes
from napari_restore.sources.image import Image
from napari_restore.store import journal as journals
from napari_restore.store import ome_zarr, pyramid, tiff
from napari_restore.store.beside import (
    check_names,
    journal_path,
    lock_path,
    model_path,
    names_beside,
    partial_path,
    replaced_path,
    temporary_path,
    training_path,
)
from napari_restore.store.files import (
    atomic_write,
    check_folder,
    disk_errors,
    free_space,
    occupied,
    remove,
    sync_folder,
    torn_writes,
)
from napari_restore.store.inputs import check_apart
from napari_restore.store.journal import Entry, Journal
from napari_restore.store.lock import Lock
from napari_restore.store.names import check_length
from napari_restore.store.ome_zarr import Version
from napari_restore.store.pyramid import Level

__all__ = [
    "Claim",
    "Made",
    "OutputPlan",
    "OutputWriter",
    "check_destination",
    "check_dtype",
    "check_made",
    "check_not_input",
    "check_space",
    "claim",
    "create",
    "forget_model",
    "forget_training",
    "is_done",
    "journal_path",
    "lock_path",
    "made",
    "made_with",
    "model_path",
    "partial_path",
    "reopen",
    "resumable",
    "training_path",
]

_LONGEST_VALUE = 60
_CHECKED = 16
_NOTED_TOGETHER = 64
"""Blocks of a smaller level, with one wait for the disk, and between two looks at the stop."""
_FILE_MARK = "finished.json"
_FINGERPRINT = "fingerprint"
"""Entry of what a result says of how it was made."""


@dataclass(frozen=True, eq=False)
class Claim:
    """The right to write an output, which one writer has from its first look at it to its end; a context manager."""

    path: Path
    lock: Lock

    def __enter__(self) -> Claim:
        return self

    def __exit__(self, *_: object) -> None:
        self.lock.release()


def claim(output: Path | Claim) -> Claim:
    """Take an output for oneself, before anything is done for it; what was taken already is held once more.

    Raises
    ------
    OutputError
        If its name ends in nothing we write, its folder is missing or cannot be written, or somebody else writes it.
    """
    if isinstance(output, Claim):
        return Claim(output.path, output.lock.again())
    _kind(output)
    check_folder(output.parent)
    with disk_errors(output):
        return Claim(output, Lock.acquire(lock_path(output)))


def check_not_input(output: Path, image: Image) -> None:
    """Refuse an output that is an image which is read, by whatever path or link, or lies in one, or holds one.

    With ``overwrite``, too: what is read is never written over. Looked at before anything is made.

    Raises
    ------
    OutputError
        With both places.
    """
    check_apart(output, names_beside(output), image)


def forget_training(path: Path) -> None:
    """Remove the run folder of a training that is done."""
    if occupied(training_path(path)):
        check_names(path)
        remove(training_path(path))


def forget_model(path: Path) -> None:
    """Remove the model that was kept for an output, which is whole."""
    if occupied(model_path(path)):
        check_names(path)
        remove(model_path(path))


def resumable(path: Path) -> bool:
    """Whether an unfinished output lies there that ``reopen`` can go on with."""
    return journal_path(path).is_file() and (partial_path(path) / "0").is_dir() and not _published(path)


def is_done(output: Path | Claim, *, fingerprint: Mapping[str, Any]) -> bool:
    """Whether a whole result of the same run lies there; what a run that was killed has left beside it is removed.

    Where there is no journal any more, tile, batch and device may be others: they change no more than a rounding.

    Raises
    ------
    OutputError
        If another process is removing it now, or it was made from something else.
    """
    path = _path(output)
    there = made(path)
    if there is not None:
        check_made(path, _but_rounding(there.fingerprint), _but_rounding(fingerprint))
        return True
    if not _published(path):
        return False
    with _locked(output) as lock:
        check_names(path)
        _check_fingerprint(path, then=_planned(path).fingerprint, now=_through_json(fingerprint))
        with disk_errors(path):
            _remove_remains(path)
        lock.release()
    return True


@dataclass(frozen=True)
class Made:
    """What a whole result says of how it was made.

    Attributes
    ----------
    card
        Of its model.
    fingerprint
        What was the same for all of its tiles.
    """

    card: Mapping[str, Any]
    fingerprint: Mapping[str, Any]


def made(path: Path) -> Made | None:
    """How the whole result that lies there was made; None where there is none of ours, or something unfinished."""
    if not path.exists() or occupied(journal_path(path)) or occupied(partial_path(path)):
        return None
    read = ome_zarr.read_provenance if _kind(path) == "zarr" else tiff.read_provenance
    said = read(path)
    card, fingerprint = said.get("model"), said.get(_FINGERPRINT)
    return Made(card, fingerprint) if isinstance(card, Mapping) and isinstance(fingerprint, Mapping) else None


def check_made(path: Path, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to take a whole result for that of a run that asks for another.

    Parameters
    ----------
    then, now
        Of the result and of the run: fields of a fingerprint, or settings by name.

    Raises
    ------
    OtherRunError
        With the first field that differs.
    """
    differs = _difference(then, _through_json(now))
    if differs is not None:
        field, old, new = differs
        raise OtherRunError(
            f"{path} exists already, made with {field} {_short(old)}; this run has {_short(new)}: choose another name, "
            "or give `overwrite` to replace it."
        )


def made_with(path: Path, card: Mapping[str, Any]) -> bool:
    """Whether a whole result lies there that says it was made with the model of this card, and nothing unfinished."""
    there = made(path)
    return there is not None and there.card == _through_json(card)


def _but_rounding(fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fingerprint.items() if name not in ("tile", "halo", "batch", "device")}


def _published(path: Path) -> bool:
    """Whether a result has got its final name and the run that made it ended before it could tidy up."""
    if not (occupied(path) and journal_path(path).is_file()):
        return False
    return not occupied(partial_path(path)) or _is_file_of(path, partial_path(path))


def _mark_file(file: Path, folder: Path) -> None:
    """Note in the folder of the pixels which file they have become, so that it is known under its final name, too."""
    facts = file.stat()
    atomic_write(folder / _FILE_MARK, json.dumps([facts.st_size, facts.st_mtime_ns]).encode())


def _is_file_of(path: Path, folder: Path) -> bool:
    """Whether a file is the one that ``_mark_file`` noted: a rename changes neither its size nor its time."""
    mark = folder / _FILE_MARK
    if not (path.is_file() and mark.is_file()):
        return False
    facts = path.stat()
    return mark.read_bytes() == json.dumps([facts.st_size, facts.st_mtime_ns]).encode()


def _remove_remains(path: Path) -> None:
    """What a published result was made from: the journal last, and it never speaks of pixels that are half gone."""
    old, folder = replaced_path(path), partial_path(path)
    remove(old)
    if occupied(folder):
        folder.rename(old)
        sync_folder(path.parent)
        remove(old)
    remove(journal_path(path))


_USUALLY = Writing()


@dataclass(frozen=True)
class OutputPlan:
    """All that an unfinished output is; the first line of its journal.

    Attributes
    ----------
    geometry
        Of the result, in the order of TCZYX.
    dtype
        NumPy's name for the pixels.
    chunks
        One entry an axis.
    fingerprint
        What must be the same for a resumed run: image, model, tile ... Must survive JSON.
    name
        What the image is called inside the file.
    provenance
        How it was made. Must survive JSON.
    version
        Of OME-Zarr.
    overwrite
        Whether an existing result may be replaced at the end.
    channels
        Name and colour of each, where they are known.
    """

    geometry: Geometry
    dtype: str
    chunks: tuple[int, ...]
    fingerprint: dict[str, Any]
    name: str
    provenance: dict[str, Any]
    version: Version = "0.5"
    overwrite: bool = False
    channels: tuple[Channel, ...] = ()

    def __post_init__(self) -> None:
        if len(self.chunks) != len(self.geometry.shape) or min(self.chunks) < 1:
            raise ValueError(f"chunks {self.chunks} do not fit an image of shape {self.geometry.shape}.")

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> OutputPlan:
        """The plan in the first line of a journal.

        Raises
        ------
        ValueError
            If it says anything that no plan does.
        """
        known = {key: value for key, value in content.items() if key in cls.__dataclass_fields__}
        plan: OutputPlan = TypeAdapter(cls).validate_json(json.dumps(known), strict=True)
        if min(plan.geometry.shape) < 1:
            raise ValueError(f"an image of shape {plan.geometry.shape}")
        return plan


def check_destination(output: Path | Claim, *, overwrite: bool, resume: bool) -> None:
    """Refuse at once what could not be written hours later.

    Parameters
    ----------
    output
        Where to, or the claim on it: then it is ours, and who writes it is not asked.

    Raises
    ------
    OutputError
        If the name ends in nothing we write, the folder is missing or cannot be written, another process writes
        it now, or something is there already that we were not asked to replace or go on with; or if a name beside it
        is taken by something that is not ours.
    """
    path = _path(output)
    _kind(path)
    check_folder(path.parent)
    if occupied(lock_path(path)):
        claim(output).lock.release()
    check_names(path)
    if overwrite:
        _check_replaceable(path)
        return
    if resume and (_published(path) or made(path) is not None):
        return
    if _published(path):
        raise OutputError(
            f"{path} is whole, but was killed before it could tidy up: `resume` does that, `overwrite` starts again."
        )
    unfinished = resumable(path)
    if unfinished and not resume:
        raise OutputError(
            f"an unfinished {path.name} lies in {path.parent}: `resume` goes on with it, `overwrite` starts again."
        )
    if occupied(path) and not (unfinished and _planned(path).overwrite):
        raise OutputError(f"{path} exists already: choose another name, or give `overwrite` to replace it.")


def check_dtype(path: Path, dtype: np.dtype[Any]) -> None:
    """Refuse pixels that a format has no name for."""
    if _kind(path) == "tiff":
        tiff.check_dtype(path, dtype)


def check_space(path: Path, *, geometry: Geometry, dtype: np.dtype[Any]) -> str | None:
    """Look whether a result will find room beside its journal; words of warning where it may not.

    Nobody knows how well it will compress, so only what is hopeless is refused: a tenth of its pixels and its pyramid.
    A TIFF is written from the Zarr that it then replaces, and needs both.

    Raises
    ------
    OutputError
        If it is hopeless.
    """
    whole = prod(geometry.shape) * np.dtype(dtype).itemsize
    most = whole * 4 // 3 if _kind(path) == "zarr" else 2 * whole
    with disk_errors(path):
        free = free_space(path.parent)
    said = f"{path.name} takes up to {describe_bytes(most)}, and {describe_bytes(free)} are free in {path.parent}"
    if free < most // 10:
        raise OutputError(f"{said}: free space there, or choose another folder.")
    return f"{said}: if that is not enough, what is done is kept and can be resumed" if free < most else None


def create(
    output: Path | Claim,
    *,
    geometry: Geometry,
    dtype: np.dtype[Any] | type[Any] | str,
    chunks: tuple[int, ...],
    fingerprint: Mapping[str, Any],
    name: str,
    provenance: Mapping[str, Any],
    writing: Writing = _USUALLY,
    channels: Sequence[Channel] = (),
) -> OutputWriter:
    """Begin an output. What is unfinished there is thrown away only where it is to be written over.

    Parameters
    ----------
    output
        Final name, ending in .zarr, .tif or .tiff; or the claim on it.
    geometry
        Of the result, in any order of axes; it is written in the order of TCZYX.
    dtype, chunks
        Of the array on disk, ``chunks`` with one entry an axis in the order of TCZYX.
    fingerprint
        What ``reopen`` compares, field by field.
    name, provenance
        What the image is called, and how it was made.
    writing
        Version of OME-Zarr, and whether to replace what is there, once the new result is complete. Its output is not
        looked at.
    channels
        Name and colour of each channel, of the one where there is no C axis; none where nothing is known of them.
    """
    plan = OutputPlan(
        geometry=canonical(geometry),
        dtype=np.dtype(dtype).name,
        chunks=tuple(min(int(c), n) for c, n in zip(chunks, canonical(geometry).shape, strict=True)),
        fingerprint=_through_json(fingerprint),
        name=name,
        provenance=_through_json(provenance),
        version=writing.version,
        overwrite=writing.overwrite,
        channels=tuple(channels),
    )
    path = _path(output)
    check_dtype(path, np.dtype(dtype))
    check_destination(output, overwrite=writing.overwrite, resume=False)
    with _locked(output) as lock:
        _clear(path)
        folder = partial_path(path)
        ome_zarr.create_group(folder, version=plan.version)
        ome_zarr.create_level(
            folder, 0, plan.geometry, dtype=np.dtype(plan.dtype), blocks=plan.chunks, version=plan.version
        )
        journal = Journal.create(journal_path(path), asdict(plan))
        return OutputWriter(path, plan, journal=journal, lock=lock)


def reopen(output: Path | Claim, *, fingerprint: Mapping[str, Any]) -> OutputWriter:
    """Go on with an unfinished output; what its journal does not name will be written again.

    Raises
    ------
    OutputError
        If nothing unfinished lies there, another process writes it, or it was begun from something else.
    """
    path = _path(output)
    if not resumable(path):
        raise OutputError(f"no unfinished {path.name} lies in {path.parent}: start it without `resume`.")
    with _locked(output) as lock:
        check_names(path)
        plan = _planned(path)
        _check_fingerprint(path, then=plan.fingerprint, now=_through_json(fingerprint))
        for torn in partial_path(path).rglob("*.partial"):  # what zarr was writing when it was killed
            torn.unlink()
        journal = Journal.reopen(journal_path(path))
        _check_tiles(path, plan, journal)
        with disk_errors(path):
            bad = _spoilt(journal, ome_zarr.open_level(partial_path(path), 0, mode="r"))
            if bad or _smaller_spoilt(journal, partial_path(path), plan):
                journal.forget(bad)
        return OutputWriter(path, plan, journal=journal, lock=lock)


def _check_tiles(path: Path, plan: OutputPlan, journal: Journal) -> None:
    """Refuse tiles that do not lie in the image, and blocks that do not lie in its smaller levels."""
    wrong = ""
    for entry in journal.tiles.values():
        if len(entry.start) != len(plan.geometry.shape) or not entry.region.inside(plan.geometry.shape):
            wrong = f"tile {entry.tile} is not in an image of this shape"
    known = {level.number: len(level) for level in _smaller(path, plan)}
    for number, blocks in journal.smaller.items():
        if number not in known or not all(block < known[number] for block in blocks):
            wrong = f"a block of level {number} is not in an image of this shape"
    if wrong:
        journal.close()
        raise journals.damaged(journal_path(path), wrong)


def _smaller(path: Path, plan: OutputPlan) -> list[Level]:
    """The levels that are made of an output's tiles: none of a TIFF."""
    return pyramid.smaller_levels(plan.geometry, plan.chunks) if _kind(path) == "zarr" else []


def _smaller_spoilt(journal: Journal, folder: Path, plan: OutputPlan) -> bool:
    """Whether one of the blocks of smaller levels that were noted last is not what was written."""
    levels = pyramid.smaller_levels(plan.geometry, plan.chunks)
    noted = [(levels[number - 1], *block) for number, blocks in journal.smaller.items() for block in blocks.items()]
    return any(pyramid.is_spoilt(folder, *block) for block in noted[-_CHECKED:])


def _spoilt(journal: Journal, array: Any) -> list[int]:
    """Of the tiles noted last, those whose pixels are not what was written: a disk may promise more than it keeps."""
    bad = []
    for entry in list(journal.tiles.values())[-_CHECKED:]:
        try:
            whole = ome_zarr.checksum(np.asarray(array[entry.region.slices])) == entry.checksum
        except (ValueError, RuntimeError):  # a chunk that cannot be decoded
            whole = False
        if not whole:
            bad.append(entry.tile)
    return bad


class OutputWriter:
    """An output being written, by this process only. Use as a context manager, or ``close`` it.

    Closing keeps what there is, to be resumed; ``finish`` gives it its final name.

    Attributes
    ----------
    path
        The final name.
    plan
        What the output is.
    array_path
        The full-size zarr array as it fills in; it moves when the output is finished.
    """

    def __init__(self, path: Path, plan: OutputPlan, *, journal: Journal, lock: Lock) -> None:
        self.path = path
        self.plan = plan
        self.array_path = partial_path(path) / "0"
        self._journal = journal
        self._lock = lock
        self._array = ome_zarr.open_level(partial_path(path), 0)

    @property
    def _folder(self) -> Path:
        return partial_path(self.path)

    @property
    def done(self) -> frozenset[int]:
        """Tiles that are on the disk."""
        return frozenset(self._journal.tiles)

    @property
    def geometry(self) -> Geometry:
        """Of the result, axes in the order of TCZYX."""
        return self.plan.geometry

    def write(self, index: int, region: Region, pixels: NDArray[Any]) -> int:
        """Write a tile of whole blocks, and note it as done when it is on the disk; gives its checksum.

        ``region`` and ``pixels`` have their axes in the order of TCZYX. May be called from several threads.
        """
        with disk_errors(self.path):
            found = ome_zarr.write_blocks(self._array, self.array_path, region, pixels)
            self._journal.record(Entry(index, region.start, region.stop, found))
        return found

    def record(self, tiles: Iterable[tuple[int, Region, int]]) -> None:
        """Note tiles as done that a worker has written with ``ome_zarr.write_blocks``: number, region and checksum."""
        with disk_errors(self.path):
            self._journal.record(*(Entry(index, region.start, region.stop, found) for index, region, found in tiles))

    @property
    def smaller(self) -> list[Level]:
        """The levels that are made when all tiles are there, each from the one before it."""
        return _smaller(self.path, self.plan)

    def left_of(self, level: Level) -> list[int]:
        """Blocks of a smaller level that are not on the disk, once it is ready to be written to."""
        noted = self._journal.smaller.get(level.number, {})
        if not noted:
            with disk_errors(self.path):
                pyramid.begin(self._folder, level, dtype=np.dtype(self.plan.dtype), version=self.plan.version)
        return [index for index in range(len(level)) if index not in noted]

    def record_smaller(self, level: Level, blocks: Mapping[int, int]) -> None:
        """Note blocks of a smaller level as done that a worker has made with ``pyramid.make``: number and checksum."""
        with disk_errors(self.path):
            self._journal.record_smaller(level.number, blocks)

    def make_smaller(self, stopping: Callable[[], bool] = lambda: False) -> bool:
        """Make what is left of the smaller levels in this process; False when it was stopped first.

        Raises
        ------
        OutputError
            If pixels are missing, or the disk is full; what there is can be resumed.
        """
        self._check_complete()
        for level in self.smaller:
            left = self.left_of(level)
            for first in range(0, len(left), _NOTED_TOGETHER):
                if first and stopping():
                    return False
                with disk_errors(self.path):
                    made = dict(pyramid.make(self._folder, level, left[first : first + _NOTED_TOGETHER]))
                self.record_smaller(level, made)
        return True

    def finish(self) -> Path:
        """Complete the output and give it its final name.

        Raises
        ------
        OutputError
            If pixels are missing, the disk is full, or something else took the name; what there is can be resumed.
        """
        self._check_complete()
        with disk_errors(self.path):
            check_names(self.path)
            if _kind(self.path) == "tiff":
                self._finish_tiff()
            else:
                self._finish_zarr()
        self.close()
        return self.path

    def close(self) -> None:
        """Let go of the output and keep what there is; a second call does nothing."""
        self._journal.close()
        self._lock.release()

    def __enter__(self) -> OutputWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _provenance(self) -> dict[str, Any]:
        """What the result says of how it was made, and by which it is known again."""
        return {**self.plan.provenance, _FINGERPRINT: self.plan.fingerprint}

    def _check_complete(self) -> None:
        written, needed = sum(entry.region.size for entry in self._journal.tiles.values()), prod(self.geometry.shape)
        if written != needed:
            raise OutputError(
                f"{self.path} has only {written} of {needed} pixels: what there is has been kept, `resume` goes on."
            )

    def _finish_zarr(self) -> None:
        plan, folder = self.plan, self._folder
        self.make_smaller()
        ome_zarr.write_metadata(
            folder,
            pyramid.levels(plan.geometry),
            name=plan.name,
            provenance=self._provenance,
            version=plan.version,
            channels=plan.channels,
        )
        self._publish(folder)
        _remove_remains(self.path)

    def _finish_tiff(self) -> None:
        temporary = temporary_path(self.path)
        remove(temporary)  # of a run that was killed
        try:
            tiff.write_tiff(
                temporary,
                self._array,
                self.geometry,
                name=self.plan.name,
                provenance=self._provenance,
                channels=self.plan.channels,
            )
            _mark_file(temporary, partial_path(self.path))
            self._publish(temporary)
        finally:
            remove(temporary)
        _remove_remains(self.path)

    def _publish(self, finished: Path) -> None:
        """Give the finished file or folder its final name, in the place of an old one if that was asked."""
        if occupied(self.path) and not self.plan.overwrite:
            raise OutputError(
                f"{self.path} has appeared meanwhile: move it away and give `resume` to finish. The result is "
                f"kept in {partial_path(self.path).name}."
            )
        _check_replaceable(self.path)  # once more: it may have appeared meanwhile
        if finished.is_dir():
            with _moved_aside(self.path):
                finished.rename(self.path)
        else:
            finished.replace(self.path)
        sync_folder(self.path.parent)


@contextlib.contextmanager
def _moved_aside(path: Path) -> Iterator[None]:
    """Lay an old result aside while the new one takes its name, and remove it only then: no folder replaces another."""
    old = replaced_path(path)
    if occupied(path):
        remove(old)
        path.rename(old)
    try:
        yield
    except BaseException:
        if occupied(old) and not occupied(path):
            old.rename(path)
        raise
    remove(old)


def _kind(path: Path) -> Literal["zarr", "tiff"]:
    suffix = path.suffix.lower()
    check_length(path)
    if suffix == ".zarr":
        return "zarr"
    if suffix in (".tif", ".tiff"):
        return "tiff"
    raise OutputError(
        f"{path.name!r} ends in {suffix or 'nothing'!r}: name the output .zarr, .ome.zarr, .tif or .tiff."
    )


def _check_replaceable(path: Path) -> None:
    """``overwrite`` replaces a result, never a folder of something else."""
    if not occupied(path) or path.is_symlink():
        return
    if path.is_dir() and (_kind(path) == "tiff" or (any(path.iterdir()) and not ome_zarr.is_zarr(path))):
        raise OutputError(f"{path} is a folder that holds no OME-Zarr image: move it away, or choose another name.")


def _clear(path: Path) -> None:
    """Remove what an earlier run left beside the output, which ``check_names`` has found to be ours.

    That there is a journal says so; therefore what has no mark of its own goes before it.
    """
    old, folder = replaced_path(path), partial_path(path)
    if occupied(old) and not occupied(path):  # the old result, laid aside by a run that was killed there
        old.rename(path)
    remove(old)
    for torn in (*torn_writes(journal_path(path)), *torn_writes(model_path(path))):
        remove(torn)
    remove(temporary_path(path))
    remove(journal_path(path))  # before the pixels: no journal ever speaks of some that are gone
    sync_folder(path.parent)
    for part in folder.iterdir() if folder.is_dir() else ():
        if part.is_dir():
            remove(part)
    remove(folder)


def _path(output: Path | Claim) -> Path:
    return output.path if isinstance(output, Claim) else output


@contextlib.contextmanager
def _locked(output: Path | Claim) -> Iterator[Lock]:
    """Hold the lock; it stays held unless the block fails."""
    lock = claim(output).lock
    try:
        with disk_errors(_path(output)):
            yield lock
    except BaseException:
        lock.release()
        raise


def _planned(path: Path) -> OutputPlan:
    with disk_errors(path):
        header = journals.read(journal_path(path)).header
    try:
        return OutputPlan.from_json(header)
    except ValueError as error:
        raise journals.damaged(journal_path(path), _first(error)) from error


def _first(error: ValueError) -> str:
    """What is wrong first."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False, include_context=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def _through_json(content: Mapping[str, Any]) -> dict[str, Any]:
    """As it will be read back: tuples become lists."""
    plain: dict[str, Any] = json.loads(json.dumps(dict(content)))
    return plain


def _check_fingerprint(path: Path, *, then: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    differs = _difference(then, now)
    if differs is not None:
        field, old, new = differs
        raise OtherRunError(
            f"the unfinished {path.name} was begun with {field} {_short(old)}, this run has {_short(new)}: "
            "use the same again, or give `overwrite` to start over."
        )


def _difference(then: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
    """The first field that is not the same in both, with its values."""
    before, after = _flat(then), _flat(now)
    differing = (f for f in sorted(before.keys() | after.keys()) if before.get(f) != after.get(f))
    return next(((field, before.get(field), after.get(field)) for field in differing), None)


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value}
    return flat


def _short(value: Any) -> str:
    text = "nothing" if value is None else json.dumps(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 3]}..."

"""Restoring many images with one model, each by itself: one bad file does not stop the others.

Called again with the same images, model and output folder, it does what is not done yet.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from napari_restore.core.checked import check
from napari_restore.core.errors import ChangedError, OutputError, RestoreError
from napari_restore.core.events import Event, FileState, Note, RestorationStarted, Stopped
from napari_restore.core.job import Events, only
from napari_restore.core.options import Computing, Opening, Restoring, Writing
from napari_restore.core.watch import Watch
from napari_restore.restoration import engine
from napari_restore.restoration.deviations import cannot, deviations_path, made_at, with_deviations
from napari_restore.restoration.plan import check_tile, name_suffix
from napari_restore.restoration.result import Restored
from napari_restore.restoration.runners import runner_for
from napari_restore.sources import Image, open_as
from napari_restore.sources.alternating import alternation
from napari_restore.sources.folders import EVERYTHING, images_in
from napari_restore.sources.formats import format_of_file
from napari_restore.sources.settled import settled
from napari_restore.store import output as outputs
from napari_restore.store.beside import names_beside
from napari_restore.store.files import disk_errors, occupied
from napari_restore.store.finished import Entry, Finished, Stamp, is_unchanged, size_of, stamp_of
from napari_restore.store.inputs import Inputs
from napari_restore.store.model import Model
from napari_restore.store.names import fitting
from napari_restore.store.packaged import open_model
from napari_restore.store.weights import checksum

_log = logging.getLogger(__name__)

OutputFormat = Literal["auto", "zarr", "tiff"]

_TIFF_ENDINGS = (".ome.tif", ".ome.tiff", ".tif", ".tiff")
_OTHER_ENDINGS = (".ome.zarr", ".zarr.zip", ".zarr")


@dataclass(frozen=True)
class Item:
    """One image of a batch and where its result goes."""

    source: Path
    output: Path


@dataclass(frozen=True, kw_only=True)
class InFolder:
    """Which images of a folder are restored, and what their results are called.

    Attributes
    ----------
    output
        The folder to write into; it is made where it is missing. It may be that of the images.
    pattern
        Which files of the folder: ``*.tif``.
    suffix
        What results are called after their images; the model's word for what it does where not given.
    format
        ``auto`` writes OME-TIFF for TIFF, under the same ending, and OME-Zarr for all else; ``zarr`` or ``tiff``.
    """

    output: str | Path
    pattern: str = EVERYTHING
    suffix: str | None = None
    format: OutputFormat = "auto"

    def __post_init__(self) -> None:
        check(self)
        if self.suffix is not None and (not self.suffix or Path(self.suffix).name != self.suffix):
            raise RestoreError(f"`suffix` = {self.suffix!r}: give a word without slashes for the names of the results.")

    @property
    def folder(self) -> Path:
        """The folder to write into, with its user's home in place of ``~``."""
        return Path(self.output).expanduser()


@dataclass(frozen=True, eq=False)
class _Batch:
    """What is the same for all images."""

    model: Model
    mark: str
    record: Finished
    sources: Inputs
    items: Sequence[Item]
    opening: Opening
    restoring: Restoring
    computing: Computing
    writing: Writing
    watch: Watch

    @property
    def tells(self) -> bool:
        """Whether how sure each pixel is, is asked for: of a model that can tell it."""
        return self.restoring.uncertainty


def restore_folder_events(
    images: str | Path | Sequence[str | Path],
    model: Model | str | Path,
    folder: InFolder,
    *,
    opening: Opening,
    restoring: Restoring,
    computing: Computing,
    writing: Writing,
    watch: Watch,
) -> Events[list[FileState]]:
    """Restore each image of a folder with one model, as a generator of events.

    A file ``NAME_denoised.EXT`` is written for each, with the image's pixel size. Which of them are whole, and what
    they were made from, is kept in ``napari-restore-batch.jsonl`` beside them: a result of the same model and the same
    input is not made again, one that is unfinished is gone on with, one that is damaged is made again.

    Parameters
    ----------
    images
        A folder, or paths. A folder of slices is one image of a list, and no image of a folder: there every file is.
    model
        A ``Model`` or the path of one.
    folder
        Which of the images, and where their results go.
    opening
        How each of them is opened.
    restoring, computing
        How, on what, and which part of each.
    writing
        With ``overwrite``, what lies at an output and was made otherwise is replaced, too; an input is never written
        over. With ``resume``, what is unfinished is gone on with. Its output is not looked at.
    watch
        May stop between images and between tiles.

    Yields
    ------
    Event
        A ``FileState`` of every image, waiting; then for each running, the events of its restoration, and how it
        ended; at last ``Stopped`` if a stop was asked for.

    Returns
    -------
    list of FileState
        How each image ended; those that a stop left undone are waiting.

    Raises
    ------
    RestoreError
        If there is no image, the model cannot be read, or nothing can be written to the folder. What is wrong with a
        single image is the ``reason`` of its state.
    """
    loaded = model if isinstance(model, Model) else open_model(model)
    check_tile(restoring.tile, loaded.method.spatial, neighbours=loaded.method.neighbours)
    record = Finished.open(folder.folder)
    sources = find_images(images, pattern=folder.pattern, record=record)
    inputs = Inputs([*sources, *([] if isinstance(model, Model) else [Path(model).expanduser()])])
    inputs.check_folder(folder.folder)
    _make(folder.folder)
    suffix = folder.suffix or name_suffix(loaded.method)
    if restoring.uncertainty and loaded.method.deviations() is None:
        yield Note(f"{cannot(loaded.method)}: only the restored images are made", "warning")
        restoring = replace(restoring, uncertainty=False)
    batch = _Batch(
        model=loaded,
        mark=request_mark(loaded, opening, restoring, writing),
        record=record,
        sources=inputs,
        items=plan_results(sources, folder.folder, suffix=suffix, format=folder.format),
        opening=opening,
        restoring=restoring,
        computing=computing,
        writing=writing,
        watch=watch,
    )
    return (yield from _run(batch))


def find_images(
    images: str | Path | Sequence[str | Path], *, pattern: str = EVERYTHING, record: Finished | None = None
) -> list[Path]:
    """The images of a folder, or those listed, without the results that ``record`` knows of.

    Raises
    ------
    RestoreError
        If there is none.
    """
    if not isinstance(images, str | Path):
        found = [Path(image).expanduser() for image in images]
    elif not Path(images).expanduser().is_dir():
        raise RestoreError(f"{images} is not a folder: give one with images, or a list of paths.")
    else:
        found = images_in(images, pattern)
        found = record.without_results(found) if record is not None else found
    if not found:
        where = f"{images} holds no images" if isinstance(images, str | Path) else "there are no images"
        narrower = f" whose names match {pattern!r}" if pattern != EVERYTHING else ""
        raise RestoreError(f"{where}{narrower}: give another folder or `pattern`.")
    return found


def plan_results(sources: Sequence[Path], folder: Path, *, suffix: str, format: OutputFormat = "auto") -> list[Item]:
    """Where each result goes: ``NAME_SUFFIX.EXT``; images that differ in their ending alone keep it in the name."""
    short = [_result_name(source, suffix, format) for source in sources]
    count = Counter(name.casefold() for name in short)
    names = [
        name if count[name.casefold()] == 1 else _result_name(source, suffix, format, whole=True)
        for source, name in zip(sources, short, strict=True)
    ]
    twice = Counter(name.casefold() for name in names)
    for source, name in zip(sources, names, strict=True):
        if twice[name.casefold()] > 1:
            raise RestoreError(f"two images are called {source.name}: restore them into different folders.")
    return [Item(source, folder / name) for source, name in zip(sources, names, strict=True)]


def _sizes_of(opening: Opening) -> dict[str, float] | list[float] | None:
    sizes = opening.pixel_size
    return (dict(sizes) if isinstance(sizes, Mapping) else [float(n) for n in sizes]) if sizes else None


def request_mark(model: Model, opening: Opening, restoring: Restoring, writing: Writing) -> str:
    """A checksum of all that decides what becomes of an image: weights, method, config, normalisation and options."""
    card = {key: value for key, value in model.card().items() if key not in ("provenance", "precision")}
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.method.state_dict().items()}
    options: dict[str, Any] = {
        "axes": opening.axes,
        "pixel_size": _sizes_of(opening),
        "channel": opening.channel,
        "version": writing.version,
    }
    for group, name in ((opening, "series"), (opening, "incomplete"), (opening, "fill"), (restoring, "outliers")):
        if (value := getattr(group, name)) != getattr(type(group)(), name):
            options[name] = value
    if restoring.region is not None:
        options["region"] = str(restoring.region)
    if restoring.unreadable != "fail":
        options["unreadable"] = restoring.unreadable
    content = json.dumps([card, checksum(tensors), options], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _run(batch: _Batch) -> Events[list[FileState]]:
    items = batch.items
    states = [FileState(i, len(items), str(x.source), str(x.output), "waiting") for i, x in enumerate(items)]
    yield from states
    for index, item in enumerate(items):
        if batch.watch.stopping:
            break
        states[index] = yield from _one(batch, item, states[index])
        yield states[index]
    if batch.watch.stopping and any(state.state == "waiting" for state in states):
        ended = sum(state.state != "waiting" for state in states)
        yield Stopped("batch", ended, str(batch.record.path.parent))
    return states


def _one(batch: _Batch, item: Item, waiting: FileState) -> Generator[Event, None, FileState]:
    """One image from its first look to its last state; whatever goes wrong with it stays with it."""
    try:
        if _is_done(batch, item) and (not batch.tells or _is_told(batch, item)):
            return _now(waiting, "skipped", "done before, with this model")
        yield _now(waiting, "running")
        image = open_as(item.source, batch.opening)
        twin = _twin(batch, item, image)
        if twin is not None:
            return _now(waiting, "skipped", f"the same image as {twin.source.name}: its result is {twin.output.name}")
        restored = yield from _restore(batch, item, image)
    except (RestoreError, OSError) as error:
        return replace(_now(waiting, "failed", str(error)), redo=isinstance(error, ChangedError))
    except Exception as error:  # noqa: BLE001  decoders raise what they like, and a night's work is not lost for one file
        _log.exception("%s failed", item.source)
        return _now(waiting, "failed", f"{type(error).__name__}: {error}")
    return _now(waiting, "done") if restored else waiting


def _now(before: FileState, state: Literal["running", "done", "skipped", "failed"], reason: str = "") -> FileState:
    return FileState(before.index, before.files, before.path, before.output, state, " ".join(reason.split()))


def _is_done(batch: _Batch, item: Item) -> bool:
    """Whether the whole result of this very image and model lies there."""
    entry = _whole(batch, item.output, item.output)
    return entry is not None and occupied(item.source) and is_unchanged(item.source, entry.stamp, batch.watch.stop)


def _is_told(batch: _Batch, item: Item) -> bool:
    """Whether how sure each pixel of that result is, lies there too."""
    return _whole(batch, made_at(item.output), deviations_path(item.output)) is not None


def _whole(batch: _Batch, output: Path, there: Path) -> Entry | None:
    """What is known of an output of this model that is done, and lies there as it was; None where it does not."""
    entry = batch.record.entries.get(output.name)
    if entry is None or entry.state != "done" or entry.model != batch.mark:
        return None
    return entry if occupied(there) and entry.size == size_of(there) else None


def _twin(batch: _Batch, item: Item, image: Image) -> Item | None:
    """An item before this one whose file opens as the very same image: one of several files that it lies in."""
    beside = {Path(file) for file in image.files} if image.series else set()
    for other in batch.items[: batch.items.index(item)] if beside else ():
        try:
            if other.source.resolve() in beside and _one_of(open_as(other.source, batch.opening)) == _one_of(image):
                return other
        except RestoreError:  # it fails by itself
            continue
    return None


def _one_of(image: Image) -> tuple[object, ...]:
    """Which of the images of its files an image is."""
    return next(((each.index, each.files) for each in image.series if each.opened), ())


def _restore(batch: _Batch, item: Item, image: Image) -> Generator[Event, None, bool]:
    """Restore an image and note that it is done; False where a stop came first."""
    image = settled(image, fill=batch.opening.fill)
    _check_not_an_input(batch, item)
    stamp = stamp_of(item.source, batch.watch.stop)
    if stamp is None:
        return False
    for text in image.notes:
        yield Note(text)
    if (warning := alternation(image)) is not None:
        yield Note(f"{item.source.name}: {warning}", "warning")
    if _is_done(batch, item):  # but for what is to be told of it
        restored = engine.found(image, batch.model, item.output, restoring=batch.restoring, suffix="")
    else:
        ours = _check_free(batch, item.output, stamp)
        batch.record.note(Entry(item.output.name, "begun", stamp, batch.mark))
        attempts = _attempts(batch, item, image, ours=ours)
        restored = yield from only(attempts, lambda event: not isinstance(event, Stopped))  # said once of the batch
        if not restored.complete:
            return False
        if not is_unchanged(item.source, stamp):
            raise ChangedError(f"{item.source.name} has changed while it was restored: start again once it is whole.")
        batch.record.note(Entry(item.output.name, "done", stamp, batch.mark, size_of(item.output)))
    return not batch.tells or (yield from _tell(batch, item, image, restored, stamp))


def _tell(batch: _Batch, item: Item, image: Image, restored: Restored, stamp: Stamp) -> Generator[Event, None, bool]:
    """Write how sure each pixel of a whole result is, and note that it is done; False where a stop came first."""
    made = made_at(item.output)
    unfinished = outputs.resumable(made)
    ours = _check_free(batch, made, stamp)
    batch.record.note(Entry(made.name, "begun", stamp, batch.mark))
    events = with_deviations(
        image,
        restored,
        restoring=batch.restoring,
        computing=batch.computing,
        writing=replace(batch.writing, resume=unfinished and ours, overwrite=not (unfinished and ours)),
        watch=batch.watch,
        runner=runner_for(image, batch.restoring, batch.opening),
    )
    restored = yield from only(events, lambda event: not isinstance(event, Stopped))
    if restored.uncertainty is None:
        return False
    batch.record.note(Entry(made.name, "done", stamp, batch.mark, size_of(deviations_path(item.output))))
    batch.record.note(Entry(item.output.name, "done", stamp, batch.mark, size_of(item.output)))  # they may lie in it
    return True


def _check_not_an_input(batch: _Batch, item: Item) -> None:
    places = [item.output, *([made_at(item.output)] if batch.tells else [])]
    try:
        for place in places:
            batch.sources.check(place, names_beside(place))
    except OutputError as error:
        raise OutputError(f"{error} Give another `suffix` or `output` folder.") from None


def _check_free(batch: _Batch, output: Path, stamp: Stamp) -> bool:
    """Whether what lies at an output, unfinished or damaged, was made by us from this image with this model."""
    entry = batch.record.entries.get(output.name)
    same_model = entry is not None and entry.model == batch.mark
    same_input = entry is not None and entry.stamp.sha256 == stamp.sha256
    if occupied(output) and not batch.writing.overwrite and not (same_model and same_input):
        other = "was not made by this batch" if entry is None else f"was made {_difference(same_model)}"
        raise (OutputError if entry is None else ChangedError)(
            f"{output} exists already and {other}: choose another `output` folder, or give `overwrite` to replace it."
        )
    return entry is not None and same_model and same_input


def _difference(same_model: bool) -> str:
    return "from another version of the image" if same_model else "with another model or other options"


def _attempts(batch: _Batch, item: Item, image: Image, *, ours: bool) -> Events[Restored]:
    """Go on with what is unfinished where it was begun in the same way; else begin again."""
    unfinished = outputs.resumable(item.output)
    if unfinished and batch.writing.resume and (ours or not batch.writing.overwrite):
        events = _restored(batch, item, image, resume=True, overwrite=False)
        try:
            first = _until_started(events)
        except OutputError as error:
            if not ours:
                raise
            yield Note(f"{item.output.name} is begun again: {error}")
        else:
            yield from first
            return (yield from events)
    return (yield from _restored(batch, item, image, resume=False, overwrite=unfinished or occupied(item.output)))


def _restored(batch: _Batch, item: Item, image: Image, *, resume: bool, overwrite: bool) -> Events[Restored]:
    return engine.restore_events(
        image,
        batch.model,
        output=item.output,
        restoring=batch.restoring,
        computing=batch.computing,
        writing=replace(batch.writing, resume=resume, overwrite=overwrite),
        watch=batch.watch,
        runner=runner_for(image, batch.restoring, batch.opening),
    )


def _until_started(events: Events[Restored]) -> list[Event]:
    """The events up to the one that says that the output is open."""
    seen = [next(events)]
    while not isinstance(seen[-1], RestorationStarted):
        seen.append(next(events))
    return seen


def _make(folder: Path) -> None:
    if occupied(folder) and not folder.is_dir():
        raise OutputError(f"{folder} is a file: give a folder to write the results into.")
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)


def _result_name(source: Path, suffix: str, format: OutputFormat, *, whole: bool = False) -> str:
    """The name of a result; ``whole`` keeps the ending of the image's name in it."""
    stem, ending = _split(source.name)
    first = source.name if whole else stem
    if format == "zarr" or (format == "auto" and not _is_tiff(source)):
        return fitting(first, f"_{suffix}.ome.zarr")
    return fitting(first, f"_{suffix}{ending if ending.lower() in _TIFF_ENDINGS else '.ome.tif'}")


def _split(name: str) -> tuple[str, str]:
    """The name and its ending, which may have two parts."""
    for ending in (*_TIFF_ENDINGS, *_OTHER_ENDINGS):
        if name.lower().endswith(ending) and len(name) > len(ending):
            return name[: -len(ending)], name[-len(ending) :]
    return Path(name).stem, Path(name).suffix


def _is_tiff(path: Path) -> bool:
    """By its first bytes; by its name where they cannot be read, so that the row that fails is called as expected."""
    try:
        found = format_of_file(path)
    except (OSError, ValueError):
        found = None
    return found == "TIFF" or (found is None and path.name.lower().endswith(_TIFF_ENDINGS))

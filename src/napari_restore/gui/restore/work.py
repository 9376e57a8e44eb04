"""What the worker thread does. Torch is imported here, when a generator starts, and never in the GUI thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.cost import Cost
from napari_restore.core.errors import OtherRunError, OutputError
from napari_restore.core.events import Event, Note, Preview
from napari_restore.core.job import Events, PreviewRequest, drain
from napari_restore.core.options import Computing, Restoring, Training
from napari_restore.core.region import Region
from napari_restore.core.watch import Watch
from napari_restore.gui.parts.layers import load_readers
from napari_restore.gui.parts.runner import Start
from napari_restore.gui.restore.point_spread import PsfRequest, read
from napari_restore.sources.image import Image
from napari_restore.store.names import fitting
from napari_restore.verbs.request import Request, ask


@dataclass(frozen=True, eq=False)
class Pair:
    """A preview and the raw pixels of the same region; both with the region's shape."""

    preview: Preview
    before: NDArray[Any]


@dataclass(frozen=True)
class Made:
    """One of several simpler results is there."""

    label: str


class Engine(Protocol):
    """The part of ``napari_restore`` that the window uses; tests bring their own."""

    def preferring(self, request: Request) -> Request:
        """The request with what the user prefers for all work, where it leaves that open."""

    def run(self, request: Request, watch: Watch) -> Events[Any]:
        """As ``verbs.run.run``."""

    def estimate(self, request: Request, stopping: Callable[[], bool]) -> Cost:
        """As ``verbs.cost.estimate``."""

    def load_model(self, path: str | Path) -> Any:
        """As ``napari_restore.load_model``."""

    def estimate_noise(self, image: Image) -> Any:
        """As ``napari_restore.estimate_noise``."""

    def describe_device(self) -> str:
        """Where work will be done, in words."""

    def baselines(
        self, image: Image, model: Any, region: Region, stopping: Callable[[], bool]
    ) -> Iterator[tuple[str, NDArray[Any]]]:
        """As ``judging.undone.each_baseline``."""

    def report(self, request: Request, result: Any, path: Path) -> Path:
        """Write the page about a whole result of a request."""

    def check(self, model: Any, image: Image) -> Any:
        """As ``napari_restore.check``."""


class _Package:
    """The real engine: everything is imported on first use, which is in the worker thread."""

    def __init__(self, device: str, memory_share: float) -> None:
        self.device = device
        self.memory_share = memory_share

    def preferring(self, request: Request) -> Request:
        computing, restoring = request.computing, request.restoring
        if computing.device == Computing().device:
            computing = replace(computing, device=self.device)
        if restoring.memory_share == Restoring().memory_share:
            restoring = replace(restoring, memory_share=self.memory_share)
        return replace(request, computing=computing, restoring=restoring)

    def run(self, request: Request, watch: Watch) -> Events[Any]:
        from napari_restore.verbs.run import run

        return run(self.preferring(request), watch)

    def estimate(self, request: Request, stopping: Callable[[], bool]) -> Cost:
        from napari_restore.verbs.cost import estimate

        return estimate(self.preferring(request), stopping=stopping)

    def load_model(self, path: str | Path) -> Any:
        from napari_restore.store.packaged import open_model

        return open_model(path)

    def estimate_noise(self, image: Image) -> Any:
        from napari_restore.api import estimate_noise

        return estimate_noise(image)

    def describe_device(self) -> str:
        import napari_restore.verbs.run  # noqa: F401  what a run does: not to be loaded after the first click
        from napari_restore.methods.device import describe, find_device

        return describe(find_device(self.device))

    def baselines(
        self, image: Image, model: Any, region: Region, stopping: Callable[[], bool]
    ) -> Iterator[tuple[str, NDArray[Any]]]:
        from napari_restore.judging.undone import each_baseline

        return each_baseline(image, model, region, stopping=stopping)

    def report(self, request: Request, result: Any, path: Path) -> Path:
        from napari_restore.verbs.learning import counted
        from napari_restore.verbs.reporting import write_report

        return write_report(self.preferring(request), counted(request.image, request), result, path)

    def check(self, model: Any, image: Image) -> Any:
        from napari_restore.verbs.checking import check

        return check(model, image, device=self.device)


def package_engine(*, device: str = "auto", memory_share: float = 0.8) -> Engine:
    """``napari_restore`` itself, whose work is done on this device with this share of the free memory."""
    return _Package(device, memory_share)


def doing(
    engine: Engine,
    request: Request,
    preview: PreviewRequest,
    *,
    folder: Path | None = None,
    suffix: str = "",
    trained: Callable[[Any], None] | None = None,
) -> Start:
    """Do what is asked: train on the image and restore it, or restore it with a model.

    Parameters
    ----------
    preview
        Which part to show while it trains.
    folder, suffix
        Where the result goes, and what it is called after the image's name. Without a folder it goes to a temporary
        one.
    trained
        Called in the thread with a model that is trained for the result, before that is made.
    """
    return lambda stop: compared(_done(engine, request, Watch(stop, preview, trained), folder, suffix), request.image)


def training(engine: Engine, request: Request, preview: PreviewRequest) -> Start:
    """Train on the image as the request would, and give the model."""
    return lambda stop: compared(_trained(engine, request, Watch(stop, preview)), request.image)


def training_on(
    engine: Engine,
    request: Request,
    preview: PreviewRequest,
    *,
    model: Any,
    seconds: float,
    restores: bool,
    folder: Path | None = None,
    suffix: str = "",
    trained: Callable[[Any], None],
) -> Start:
    """Train a model further on the image of a request, and restore that as the request would.

    Parameters
    ----------
    restores
        Whether an image is wanted; else the model alone.
    trained
        Called in the thread with the model, before anything is made with it.
    """

    def start(stop: threading.Event) -> Generator[Event | Pair, None, Any]:
        return compared(events(stop), request.image)

    def events(stop: threading.Event) -> Events[Any]:
        watch = Watch(stop, preview)
        further = yield from engine.run(on_from(request, model, seconds=seconds), watch)
        trained(further)
        if stop.is_set() or not restores:
            return further
        return (yield from _done(engine, with_model(request, further), watch, folder, suffix))

    return start


def on_from(request: Request, model: Any, *, seconds: float) -> Request:
    """To go on training a model on the image of a request, with what that learns from besides it."""
    return replace(
        ask("train", request.image),
        opening=request.opening,
        training=replace(request.training, start=model, steps=None, seconds=seconds),
        computing=request.computing,
    )


def with_model(request: Request, model: Any) -> Request:
    """The request, to be done with a model instead of training one."""
    if hasattr(request.own, "model"):
        return replace(request, own=replace(request.own, model=model))
    return replace(request, restoring=replace(request.restoring, model=model))


def distilling(engine: Engine, request: Request, preview: PreviewRequest) -> Start:
    """Train a small copy of the model that the request names, and give it."""
    return lambda stop: compared(engine.run(request, Watch(stop, preview)), request.image)


def resolved(request: Request) -> Request:
    """The request with its PSF read from a picture of beads, which may take its time."""
    psf = getattr(request.own, "psf", None)
    if not isinstance(psf, PsfRequest):
        return request
    return replace(request, own=replace(request.own, psf=read(psf).kernel))


def to_train(request: Request) -> Request:
    """To train what a request trains on its way to an image; reads the PSF."""
    from napari_restore.verbs.learning import lesson_for, subject_of

    image = subject_of(request)
    method, asked = drain(lesson_for(request, image))
    return replace(
        ask("train", image, method=method),
        config={**asked, **request.config},
        opening=request.opening,
        training=request.training,
        computing=request.computing,
    )


def _trained(engine: Engine, request: Request, watch: Watch) -> Events[Any]:
    return (yield from engine.run(to_train(resolved(request)), watch))


def _done(engine: Engine, request: Request, watch: Watch, folder: Path | None, suffix: str) -> Events[Any]:
    """Goes on with an unfinished result of this image and these settings, where one lies in the folder."""
    request = resolved(request)
    if folder is None:
        result = yield from engine.run(request, watch)
        if getattr(result, "folder", None) is not None:
            result.folder.until_exit()  # a layer shows what is in it, also where the run was stopped
        return result
    from napari_restore.store.output import forget_training

    for path in names(folder, request, suffix=suffix):
        if not _claim(path):
            continue
        try:
            writing = replace(request.writing, output=path)
            result = yield from engine.run(replace(request, writing=writing), watch)
            if not hasattr(result, "complete"):  # stopped while it trained: that is the model the window keeps
                forget_training(path)
            return result
        except OtherRunError:
            yield Note(f"the unfinished {path.name} is of something else: it stays, and the result gets another name")
        finally:
            _HELD.discard(path)


_HELD: set[Path] = set()
_LOCK = threading.Lock()
"""The outputs that this program works on, from before they are locked."""


def _claim(path: Path) -> bool:
    with _LOCK:
        free = path not in _HELD
        _HELD.add(path)
    return free


def names(folder: Path, request: Request, *, suffix: str) -> Iterator[Path]:
    """``NAME_SUFFIX.ome.zarr`` in the folder, numbered; without those that are there already or being written.

    One that lies there unfinished, from a crash or a stop, is a name too, if a request like this one can go on with it.
    """
    name = request.image.name
    safe = "".join(c if c.isalnum() or c in "-_. " else "_" for c in name).strip(" .") or "image"
    for number in count(1):
        path = folder / fitting(safe, f"_{suffix}{f'_{number}' if number > 1 else ''}.ome.zarr")
        if path not in _HELD and (_unfinished(path, trains=Training in request.row.groups) or not _taken(path)):
            yield path


def _unfinished(path: Path, *, trains: bool) -> bool:
    """Whether a run was cut off there, of a verb that trains for its result or of one that does not."""
    from napari_restore.store.output import model_path, resumable, training_path

    if _being_written(path):
        return False
    if trains:
        return training_path(path).is_dir() or (resumable(path) and model_path(path).is_file())
    return resumable(path) and not model_path(path).exists()


def _being_written(path: Path) -> bool:
    from napari_restore.store.lock import Lock
    from napari_restore.store.output import lock_path

    if not lock_path(path).exists():
        return False
    try:
        Lock.acquire(lock_path(path)).release()
    except OutputError:
        return True
    return False


def _taken(path: Path) -> bool:
    from napari_restore.store.output import journal_path, model_path, partial_path, training_path

    beside = (partial_path, journal_path, model_path, training_path)
    return path.exists() or any(each(path).exists() for each in beside) or _being_written(path)


def finding_device(engine: Engine) -> Start:
    """Find out where work will be done. This loads torch and what a run does, so that the first one starts sooner.

    Before that it loads what draws the curves and magicgui's boxes, so that the viewer need not wait for these.

    Where it is asked to stop, a run has begun: what shows a result is loaded by that, after its first picture.
    """

    def start(stop: threading.Event) -> Generator[Event, None, str]:
        import magicgui.backends._qtpy.widgets  # noqa: F401  # or its first box does, 20 ms in the viewer's thread

        import napari_restore.gui.restore.plot  # noqa: F401

        yield from ()
        device = engine.describe_device()
        if not stop.is_set():
            load_readers()
        return device

    return start


def checking(engine: Engine, model: Any, image: Image) -> Start:
    """Put a model to the guards against invented structure."""

    def start(stop: threading.Event) -> Generator[Event, None, Any]:
        yield from ()
        return engine.check(model, image)

    return start


def saving(image: Image, path: Path) -> Start:
    """Write an image as it is; what is there under that name stays until the new one is complete."""

    def start(stop: threading.Event) -> Generator[Event, None, Path]:
        from napari_restore.store.saving import save_image

        yield from ()
        return save_image(image, path, overwrite=True)

    return start


def reporting(engine: Engine, request: Request, result: Any, path: Path) -> Start:
    """Write the page about a result."""

    def start(stop: threading.Event) -> Generator[Event, None, Path]:
        yield from ()
        return engine.report(request, result, path)

    return start


def loading(engine: Engine, path: str | Path) -> Start:
    """Read the file of a model."""

    def start(stop: threading.Event) -> Generator[Event, None, Any]:
        yield from ()
        return engine.load_model(path)

    return start


def comparing(engine: Engine, image: Image, model: Any, region: Region) -> Start:
    """What simpler ways make of a part of the image: their names and pixels; each is told of as it is made.

    Where it is stopped, those that are whole by then.
    """

    def start(stop: threading.Event) -> Generator[Made, None, Mapping[str, NDArray[Any]]]:
        from napari_restore.methods.method import Interrupted

        found: dict[str, NDArray[Any]] = {}
        try:
            for label, pixels in engine.baselines(image, model, region, stop.is_set):
                found[label] = pixels
                yield Made(label)
        except Interrupted:
            pass
        return found

    return start


def compared(events: Generator[Event, None, Any], image: Image) -> Generator[Event | Pair, None, Any]:
    """The same events, each preview with the raw pixels beside it: they are read here, off the GUI thread."""
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            return end.value
        if isinstance(event, Preview):
            yield Pair(event, np.asarray(image.read(event.region)))
        else:
            yield event

"""What the worker thread does. Torch is imported here, when a generator starts, and never in the GUI thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.cost import Cost
from napari_restore.core.events import Event, Preview
from napari_restore.core.job import Events, PreviewRequest
from napari_restore.core.region import Region
from napari_restore.gui.extent import Framed, cropped, framed
from napari_restore.gui.point_spread import PsfRequest, for_method, for_verb
from napari_restore.gui.runner import Start
from napari_restore.gui.verbs import VERBS, Effort, VerbName
from napari_restore.sources.image import Image

_IMAGING_METHOD = "scale_equivariant"
_PLANES_METHOD = "finer_planes"
_RESTORING = ("restore_events", "super_resolve_events", "deblur_events", "estimate_cost")


@dataclass(frozen=True, eq=False)
class Pair:
    """A preview and the raw pixels of the same region; both with the region's shape."""

    preview: Preview
    before: NDArray[Any]


class Engine(Protocol):
    """The part of ``napari_restore`` that the widget uses; tests bring their own."""

    @property
    def train_events(self) -> Callable[..., Events[Any]]: ...  # noqa: D102
    @property
    def restore_events(self) -> Callable[..., Events[Any]]: ...  # noqa: D102
    @property
    def super_resolve_events(self) -> Callable[..., Events[Any]]: ...  # noqa: D102
    @property
    def deblur_events(self) -> Callable[..., Events[Any]]: ...  # noqa: D102
    @property
    def restore_folder_events(self) -> Callable[..., Events[Any]]: ...  # noqa: D102
    @property
    def load_model(self) -> Callable[..., Any]: ...  # noqa: D102
    @property
    def estimate_noise(self) -> Callable[..., Any]: ...  # noqa: D102
    @property
    def estimate_cost(self) -> Callable[..., Cost]: ...  # noqa: D102
    def describe_device(self) -> str: ...  # noqa: D102
    def baselines(self, image: Image, model: Any, region: Region) -> Mapping[str, NDArray[Any]]: ...  # noqa: D102


class _Package:
    """The real engine: each name is imported on first use, which is in the worker thread."""

    def __init__(self, device: str, memory_share: float) -> None:
        self.device = device
        self._share = memory_share

    def describe_device(self) -> str:
        from napari_restore.methods.device import describe, find_device

        return describe(find_device(self.device))

    def baselines(self, image: Image, model: Any, region: Region) -> Mapping[str, NDArray[Any]]:
        from napari_restore.judging.undone import baselines_of

        found: Mapping[str, NDArray[Any]] = baselines_of(image, model, region)
        return found

    def __getattr__(self, name: str) -> Any:
        import napari_restore

        found = getattr(napari_restore, name)
        given = {"device": self.device} if name.endswith("_events") or name == "estimate_cost" else {}
        share = {"memory_share": self._share} if name in _RESTORING else {}
        return partial(found, **given, **share) if given else found


def package_engine(*, device: str = "auto", memory_share: float = 0.8) -> Engine:
    """``napari_restore`` itself, whose work is done on this device with this share of the free memory."""
    return _Package(device, memory_share)


@dataclass(frozen=True, eq=False)
class Partner:
    """The other image that a method learns from.

    Attributes
    ----------
    kind
        Another acquisition, or the clean image: what the verbs call it.
    image
        With the shape of the noisy one.
    place
        Its file, or what stands for a layer in no file; see ``reproduce.file_of``.
    """

    kind: Literal["second", "target"]
    image: Image
    place: Any


@dataclass(frozen=True, eq=False)
class Wish:
    """What the user wants done to an image.

    Attributes
    ----------
    method, partner
        To denoise with, and what it learns from besides the image.
    factor, noise
        As ``super_resolve`` and ``deblur`` take them.
    psf
        Not read yet: that may take its time, and is done in the thread.
    options
        What else the user has changed, as the verbs take it: of the training, and of the method's config.
    """

    verb: VerbName = "denoise"
    effort: Effort = "normal"
    factor: int | Mapping[str, int] = 1
    psf: PsfRequest | None = None
    noise: float | Literal["auto"] = "auto"
    method: str = "auto"
    partner: Partner | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Task:
    """What a run needs, complete before the thread starts, so that the viewer may change meanwhile."""

    image: Image
    preview: PreviewRequest
    engine: Engine
    wish: Wish = field(default_factory=Wish)
    folder: Path | None = None
    part: Region | None = None
    """What is restored of the image; None for all of it. Training looks at the whole image."""

    @property
    def output(self) -> Path | None:
        """A name in the folder that is not taken; None where there is no folder."""
        suffix = VERBS[self.wish.verb].suffix + ("_part" if self.part is not None else "")
        return free_name(self.folder, self.image.name, suffix=suffix) if self.folder is not None else None


def doing(task: Task) -> Start:
    """What the main button does: train on the image, then restore it."""
    apart = task.wish.verb == "denoise" or task.part is not None
    work = _train_and_restore if apart else _image
    return lambda stop: compared(work(task, stop), task.image)


def training(task: Task) -> Start:
    """Train on the image, and give the model."""
    return lambda stop: compared(_train(task, stop), task.image)


def _train_and_restore(task: Task, stop: threading.Event) -> Generator[Event | Framed, None, Any]:
    """Stopped while it trains, it gives the model instead of the result."""
    model = yield from _train(task, stop)
    return model if stop.is_set() else (yield from _restore(task, model, stop))


def _restore(task: Task, model: Any, stop: threading.Event) -> Generator[Event | Framed, None, Any]:
    """Restore the image, or the part of it that is wanted, which is said first."""
    image = task.image
    if task.part is not None:
        frame = framed(task.part, image, model.method)
        yield frame
        image = cropped(image, frame.read)
    return (yield from task.engine.restore_events(image, model, output=task.output, stop=stop))


def _image(task: Task, stop: threading.Event) -> Events[Any]:
    """Super-resolve or deblur; stopped while it trains, it gives nothing."""
    events = task.engine.super_resolve_events if task.wish.verb == "super_resolve" else task.engine.deblur_events
    return (yield from events(task.image, **asked(task.wish), output=task.output, preview=task.preview, stop=stop))


def asked(wish: Wish) -> dict[str, Any]:
    """What the verb is called with for a wish; reads the PSF, which may take its time."""
    if wish.verb == "denoise":
        method = {"method": wish.method} if wish.method != "auto" else {}
        other: dict[str, Any] = {wish.partner.kind: wish.partner.place} if wish.partner is not None else {}
        return {**method, **other, "effort": wish.effort, **wish.options}
    given: dict[str, Any] = {"psf": for_verb(wish.psf), "noise": wish.noise, "effort": wish.effort, **wish.options}
    return {**given, "factor": wish.factor} if wish.verb == "super_resolve" else given


def imaging_method(factor: int | Mapping[str, int], *, psf: bool) -> str:
    """The method that super-resolves or deblurs, with a PSF or without: planes between planes have one of their own."""
    return _IMAGING_METHOD if psf or isinstance(factor, int) else _PLANES_METHOD


def _train(task: Task, stop: threading.Event) -> Events[Any]:
    wish = task.wish
    method, config = trained_with(wish)
    given = [method] if method != "auto" else []
    other: dict[str, Any] = {wish.partner.kind: [wish.partner.image]} if wish.partner is not None else {}
    return (
        yield from task.engine.train_events(
            [task.image], *given, effort=wish.effort, preview=task.preview, stop=stop, **other, **config
        )
    )


def trained_with(wish: Wish) -> tuple[str, dict[str, Any]]:
    """The method that a wish is trained with, and its settings; reads the PSF, which may take its time."""
    if wish.verb == "denoise":
        return wish.method, dict(wish.options)
    method = imaging_method(wish.factor, psf=wish.psf is not None)
    psf = {"psf": for_method(wish.psf)} if method == _IMAGING_METHOD else {}
    return method, {"factor": wish.factor, "noise": wish.noise, **psf, **wish.options}


def restoring(task: Task, model: Any) -> Start:
    """Restore the image with a model, or with the file of one."""

    def start(stop: threading.Event) -> Generator[Event | Pair | Framed, None, Any]:
        loaded = task.engine.load_model(model) if isinstance(model, str | Path) else model
        return compared(_restore(task, loaded, stop), task.image)

    return start


def finding_device(engine: Engine) -> Start:
    """Find out where work will be done. This loads torch, so that the first run starts sooner."""

    def start(stop: threading.Event) -> Generator[Event, None, str]:
        yield from ()
        return engine.describe_device()

    return start


def loading(engine: Engine, path: str | Path) -> Start:
    """Read the file of a model."""

    def start(stop: threading.Event) -> Generator[Event, None, Any]:
        yield from ()
        return engine.load_model(path)

    return start


def comparing(engine: Engine, image: Image, model: Any, region: Region) -> Start:
    """What simpler ways make of a part of the image: their names and pixels."""

    def start(stop: threading.Event) -> Generator[Event, None, Mapping[str, NDArray[Any]]]:
        yield from ()
        return engine.baselines(image, model, region)

    return start


def free_name(folder: Path, name: str, *, suffix: str = "denoised") -> Path:
    """``NAME_SUFFIX.ome.zarr`` in the folder, numbered where that is there already or being written."""
    safe = "".join(c if c.isalnum() or c in "-_. " else "_" for c in name).strip(" .") or "image"
    for number in count(1):
        path = folder / f"{safe}_{suffix}{f'_{number}' if number > 1 else ''}.ome.zarr"
        if not path.exists() and not path.with_name(f"{path.name}.partial").exists():
            break
    return path


def compared(events: Generator[Event | Framed, None, Any], image: Image) -> Generator[Event | Pair | Framed, None, Any]:
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

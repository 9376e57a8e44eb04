"""What the worker thread does. Torch is imported here, when a generator starts, and never in the GUI thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.events import Event, Preview
from napari_restore.core.job import Events, PreviewRequest
from napari_restore.gui.runner import Start
from napari_restore.sources.image import Image

Effort = Literal["quick", "normal", "thorough"]


@dataclass(frozen=True, eq=False)
class Compared:
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
    def load_model(self) -> Callable[..., Any]: ...  # noqa: D102
    def describe_device(self) -> str: ...  # noqa: D102


class _Package:
    """The real engine: each name is imported on first use, which is in the worker thread."""

    def describe_device(self) -> str:
        from napari_restore.methods.device import describe, find_device

        return describe(find_device())

    def __getattr__(self, name: str) -> Any:
        import napari_restore

        return getattr(napari_restore, name)


def package_engine() -> Engine:
    """``napari_restore`` itself."""
    return _Package()


@dataclass(frozen=True, eq=False)
class Task:
    """What the user asked for, complete before the thread starts, so that the viewer may change meanwhile."""

    image: Image
    effort: Effort
    preview: PreviewRequest
    engine: Engine
    folder: Path | None = None

    @property
    def output(self) -> Path | None:
        """A name in the folder that is not taken; None where there is no folder."""
        return free_name(self.folder, self.image.name) if self.folder is not None else None


def denoising(task: Task) -> Start:
    """Train on the image, then restore it; stopped while it trains, it gives the model instead of the result."""

    def work(stop: threading.Event) -> Events[Any]:
        model = yield from task.engine.train_events([task.image], effort=task.effort, preview=task.preview, stop=stop)
        if stop.is_set():
            return model
        return (yield from task.engine.restore_events(task.image, model, output=task.output, stop=stop))

    return lambda stop: compared(work(stop), task.image)


def training(task: Task) -> Start:
    """Train on the image, and give the model."""

    def start(stop: threading.Event) -> Generator[Event | Compared, None, Any]:
        events = task.engine.train_events([task.image], effort=task.effort, preview=task.preview, stop=stop)
        return compared(events, task.image)

    return start


def restoring(task: Task, model: Any) -> Start:
    """Restore the image with a model, or with the file of one."""

    def start(stop: threading.Event) -> Generator[Event | Compared, None, Any]:
        loaded = task.engine.load_model(model) if isinstance(model, str | Path) else model
        return compared(task.engine.restore_events(task.image, loaded, output=task.output, stop=stop), task.image)

    return start


def finding_device(engine: Engine) -> Start:
    """Find out where work will be done. This loads torch, so that the first run starts sooner."""

    def start(stop: threading.Event) -> Generator[Event, None, str]:
        yield from ()
        return engine.describe_device()

    return start


def free_name(folder: Path, name: str) -> Path:
    """``NAME_denoised.ome.zarr`` in the folder, numbered where that is there already or being written."""
    safe = "".join(c if c.isalnum() or c in "-_. " else "_" for c in name).strip(" .") or "image"
    for number in count(1):
        path = folder / f"{safe}_denoised{f'_{number}' if number > 1 else ''}.ome.zarr"
        if not path.exists() and not path.with_name(f"{path.name}.partial").exists():
            break
    return path


def compared(events: Events[Any], image: Image) -> Generator[Event | Compared, None, Any]:
    """The same events, each preview with the raw pixels beside it: they are read here, off the GUI thread."""
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            return end.value
        if isinstance(event, Preview):
            yield Compared(event, np.asarray(image.read(event.region)))
        else:
            yield event

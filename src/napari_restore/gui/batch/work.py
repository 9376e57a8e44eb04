"""What the threads of the tab "Batch" do."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any

from napari_restore.core.errors import RestoreError
from napari_restore.core.events import Event, FileState, Note
from napari_restore.core.watch import Watch
from napari_restore.gui.parts.layers import load_readers
from napari_restore.gui.parts.runner import Start
from napari_restore.gui.readers import LayerData, read_layers
from napari_restore.gui.restore.work import Engine
from napari_restore.sources import Image, open_image
from napari_restore.sources.folders import images_in
from napari_restore.store.files import disk_errors
from napari_restore.store.finished import Finished
from napari_restore.verbs.request import ask


def restoring_folder(engine: Engine, folder: Path, options: dict[str, Any]) -> Start:
    """Restore the images of a folder."""
    return lambda stop: engine.run(ask("restore_folder", folder, **options), Watch(stop))


def training(engine: Engine, paths: Sequence[str], *, place: Path, effort: str) -> Start:
    """Train one model on all of these images that can be opened, and keep it; gives where it is."""

    def start(stop: threading.Event) -> Generator[Event, None, Path]:
        images, left = openable(paths)
        if left:
            yield Note(f"{len(left)} of {len(paths)} images cannot be opened, and are left out: {', '.join(left)}.")
        if not images:
            raise RestoreError("none of the images can be opened: there is nothing to train on.")
        with disk_errors(place):
            place.parent.mkdir(parents=True, exist_ok=True)
        yield from engine.run(ask("train", images, effort=effort, save_model=place), Watch(stop))
        return place

    return start


def openable(paths: Sequence[str]) -> tuple[list[Image], list[str]]:
    """The images that can be opened, and the names of the others."""
    images, left = [], []
    for path in paths:
        try:
            images.append(open_image(path))
        except RestoreError:
            left.append(Path(path).name)
    return images, left


def listing(folder: Path, pattern: str, output: Path | None) -> Start:
    """Find the images of a folder: the first bytes of each file are read."""

    def start(stop: threading.Event) -> Generator[Event, None, list[FileState]]:
        yield from ()
        found = images_in(folder, pattern)
        if output is not None and output.is_dir():
            found = Finished.open(output).without_results(found)
        return [FileState(i, len(found), str(path), "", "waiting") for i, path in enumerate(found)]

    return start


def opening(path: str) -> Start:
    """Open a result lazily: a few of its pixels are read for the contrast."""

    def start(stop: threading.Event) -> Generator[Event, None, list[LayerData]]:
        yield from ()
        load_readers()
        return read_layers(path)

    return start

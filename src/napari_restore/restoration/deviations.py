"""The standard deviation of each restored pixel, beside the result: by the same tiles, resumed in the same way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from napari_restore.core.events import Note, RestorationStarted, Saved, Stopped, TileDone
from napari_restore.core.job import Events, only
from napari_restore.core.options import Computing, Restoring, Writing
from napari_restore.core.watch import Watch
from napari_restore.methods.method import Method
from napari_restore.restoration.engine import found, restore_events
from napari_restore.restoration.result import Restored
from napari_restore.restoration.running import Runner
from napari_restore.sources import Image
from napari_restore.store import output as outputs
from napari_restore.store.files import disk_errors, sync_folder
from napari_restore.store.model import Model
from napari_restore.store.names import fitting

INSIDE = "uncertainty.zarr"
"""What the second image in an OME-Zarr is called."""

_ENDINGS = (".ome.zarr", ".zarr", ".ome.tiff", ".ome.tif", ".tiff", ".tif")


def deviations_path(output: Path) -> Path:
    """Where the deviations lie that belong to a whole result: in an OME-Zarr, beside a TIFF."""
    return output / INSIDE if output.suffix.lower() == ".zarr" else made_at(output)


def made_at(output: Path) -> Path:
    """Where they are made: beside the result, under its name and ``_std``."""
    ending = next(end for end in _ENDINGS if output.name.lower().endswith(end))
    return output.with_name(fitting(output.name[: -len(ending)], f"_std{output.name[-len(ending) :]}"))


def with_deviations(
    image: Image,
    restored: Restored,
    *,
    restoring: Restoring,
    computing: Computing,
    writing: Writing,
    watch: Watch,
    runner: Runner | None = None,
) -> Events[Restored]:
    """A whole result with its ``uncertainty``, where that is asked for and its method can tell it.

    Yields
    ------
    Event
        As ``restore_events``; ``RestorationStarted`` with the suffix ``std``.

    Raises
    ------
    RestoreError
        As ``restore_events``. The result itself is whole, and stays.
    """
    if not (restoring.uncertainty and restored.complete):
        return restored
    place = deviations_path(restored.path)
    if _belongs(place, restored.path):
        return replace(restored, uncertainty=_found(image, restored, place, restoring))
    method = None if restored.model is None else restored.model.method.deviations()
    if restored.model is None or method is None:
        yield Note(_cannot(restored.model), "warning")
        return restored
    events = restore_events(
        replace(image, alpha=None),
        replace(restored.model, method=method),
        output=made_at(restored.path),
        restoring=restoring,
        computing=computing,
        writing=writing,
        watch=watch,
        runner=runner,
    )
    # What moves a bar, and a stop: all else was said of the result itself.
    made = yield from only(events, lambda event: isinstance(event, RestorationStarted | TileDone | Stopped))
    if not made.complete:
        return restored
    if place != made.path:
        with disk_errors(place):
            made.path.rename(place)
            sync_folder(place.parent)
    yield Saved(str(place), "image")
    return replace(restored, uncertainty=replace(made, path=place, contrast_limits=None))


def unfinished(restored: Restored, *, restoring: Restoring) -> bool:
    """Whether deviations that are asked for are still to be made, by the same model."""
    return restoring.uncertainty and outputs.resumable(made_at(restored.path))


def _belongs(place: Path, result: Path) -> bool:
    """Whether deviations lie there already that were made of the same image by the same model as the result."""
    there, of = outputs.made(place), outputs.made(result)
    if there is None or of is None or "gives" not in there.fingerprint:
        return False
    alike = ("image", "region", "model")
    return all(there.fingerprint.get(name) == of.fingerprint.get(name) for name in alike)


def _found(image: Image, restored: Restored, place: Path, restoring: Restoring) -> Restored:
    there = found(replace(image, alpha=None), restored.model, place, restoring=restoring, suffix="std")
    return replace(there, suffix="std", contrast_limits=None)


def _cannot(model: Model | None) -> str:
    if model is None:
        return "the uncertainty cannot be told of a result whose model was not kept: give `overwrite` to make both"
    if model.method.tells_deviations:
        return "this model was trained before uncertainty could be told, and gives none: train it again"
    return f"{cannot(model.method)}: none is written"


def cannot(method: Method) -> str:
    """What is said of a method that cannot tell it, before training and after."""
    return f"{method.label} cannot tell how sure each pixel is; the method posterior can"

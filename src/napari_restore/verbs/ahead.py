"""What can be known before the first step is looked at before it: hours of training end in no refusal.

And a model that is trained is kept, wherever there is room.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from napari_restore.core.errors import OutputError
from napari_restore.core.sizes import describe_bytes
from napari_restore.methods.method import Method
from napari_restore.metrics.noise import image_noise
from napari_restore.restoration.deviations import made_at
from napari_restore.restoration.engine import check_memory
from napari_restore.restoration.part import part_of
from napari_restore.restoration.plan import choose_dtype, kept_dtype, output_geometry, tiles_over
from napari_restore.restoration.reading import Filled, steady
from napari_restore.sources import Image
from napari_restore.store import output as outputs
from napari_restore.store.files import check_folder, disk_errors, free_space
from napari_restore.store.inputs import check_not_file
from napari_restore.store.model import Model
from napari_restore.store.names import check_length
from napari_restore.verbs.blurring import beads_of
from napari_restore.verbs.learning import opened, several
from napari_restore.verbs.reporting import check_page
from napari_restore.verbs.request import Request

_MODEL_SPARE = 256 * 1024
"""Bytes of a model's file besides its weights: card and thumbnail take a tenth of that."""


def place_of(given: str | Path | None) -> Path | None:
    """Where something goes, with the user's home in place of ``~``.

    Raises
    ------
    OutputError
        If no file can be called so.
    """
    if given is None:
        return None
    if "\0" in str(given):
        raise OutputError(f"{str(given)!r} has a zero byte in it, which no name can have: choose another one.")
    return Path(given).expanduser()


def check_places(request: Request, images: Sequence[Image]) -> None:
    """Refuse places for results and models that cannot be written, or are what is read.

    Parameters
    ----------
    images
        That the request names first, opened.

    Raises
    ------
    RestoreError
        With the place.
    """
    check_page(request)
    output, model = place_of(request.writing.output), place_of(request.writing.save_model)
    if model is not None:
        _check_model_place(model)
    places = [place for place in (output, model) if place is not None]
    if output is not None and request.restoring.uncertainty:
        writing = request.writing
        places.append(made_at(output))
        outputs.check_destination(made_at(output), overwrite=writing.overwrite, resume=writing.resume)
    if not places:
        return
    read = [*images, *_partners(request)]
    for place in places:
        for image in read:
            outputs.check_not_input(place, image)
        for file in _files(request):
            check_not_file(place, file)


def check_restoring(request: Request, image: Image, method: Method, output: Path | None) -> None:
    """Refuse, before training, what restoring the image with such a network would refuse after it.

    Raises
    ------
    RestoreError
        If tile or region do not fit, memory does not suffice, the format has no name for the pixels, or there is no
        room for them.
    """
    tiles = tiles_over(image, method, request.restoring)
    if request.restoring.client is None:
        check_memory(image, method, restoring=request.restoring, computing=request.computing)
    if output is None:
        return
    source = steady(image, Filled(), unreadable=request.restoring.unreadable)
    noise = image_noise(source) if image.dtype.kind != "f" else None
    dtype, _ = kept_dtype(image) if method.keeps else choose_dtype(image.dtype, noise)
    outputs.check_dtype(output, dtype)
    outputs.check_space(output, geometry=output_geometry(image, method, tiles.box), dtype=dtype)


def check_region(request: Request, image: Image) -> None:
    """Refuse a region that is none of the image's."""
    part_of(request.restoring.region, image)


def check_model_space(paths: Sequence[Path], method: Method) -> None:
    """Refuse folders that have no room for a model.

    Raises
    ------
    OutputError
        With the bytes.
    """
    size = sum(t.numel() * t.element_size() for t in method.state_dict().values()) + _MODEL_SPARE
    for path in paths:
        with disk_errors(path):
            free = free_space(path.parent)
        if free < size:
            raise OutputError(
                f"{path.name} takes about {describe_bytes(size)}, and {describe_bytes(free)} are free in "
                f"{path.parent}: free space there, or choose another folder."
            )


def keep(model: Model, path: Path, *, instead: Sequence[Path] = ()) -> Path:
    """Save a trained model; where that fails, in the first place of others that takes it, and among temporary files.

    Raises
    ------
    OutputError
        If it had to go elsewhere, with where it is.
    """
    try:
        return model.save(path)
    except (OutputError, OSError) as error:
        raise OutputError(f"{error} {kept_elsewhere(model, instead)}") from error


def kept_elsewhere(model: Model, places: Sequence[Path] = ()) -> str:
    """Save a trained model in the first place that takes it, and say where that is."""
    for place in _and_temporary(places):
        try:
            return f"The trained model is kept in {model.save(place)}."
        except (OutputError, OSError):
            continue
    return "The trained model could be kept nowhere: there is no room for it."


def _and_temporary(places: Sequence[Path]) -> Iterator[Path]:
    yield from places
    try:
        yield Path(tempfile.mkdtemp(prefix="napari-restore-model-")) / "model.safetensors"
    except OSError:
        return


def _check_model_place(path: Path) -> None:
    """Refuse at once what could not be saved after hours of training."""
    if path.suffix != ".safetensors":
        raise OutputError(f"{path.name!r} ends in {path.suffix or 'nothing'!r}: name the model M.safetensors.")
    check_length(path)
    check_folder(path.parent)
    if path.is_dir():
        raise OutputError(f"{path} is a folder: choose another name for the model.")


def _partners(request: Request) -> Iterator[Image]:
    """All other images of a request."""
    given = [request.training.second, request.training.target, getattr(request.own, "validation", None)]
    for images in given:
        yield from (opened(each, request) for each in several(images))


def _files(request: Request) -> Iterator[Path]:
    """Files that a request reads besides images: models, a PSF."""
    own: Any = request.own
    given = [getattr(own, name, None) for name in ("model", "psf", "mask")]
    for each in (*given, request.training.start, request.restoring.model):
        if isinstance(each, str | os.PathLike):
            beads = beads_of(each)
            path = beads[0] if beads is not None else Path(each).expanduser()
            try:
                there = path.exists()
            except (OSError, ValueError):  # a PSF in words, longer than any name
                continue
            if there:
                yield path

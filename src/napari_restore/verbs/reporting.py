"""The page about a restoration, for a paper's supplement: from a request and its result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.errors import OutputError, RestoreError
from napari_restore.core.region import Region
from napari_restore.restoration.part import part_of
from napari_restore.restoration.result import Restored
from napari_restore.sources import Image
from napari_restore.store.files import atomic_write, disk_errors, occupied
from napari_restore.verbs.request import Request
from napari_restore.verbs.words import as_command, asked

_PLAIN = (str, int, float, bool, tuple, Path)
_SIDE = 256
"""Pixels of the pictures along Y and X, at most."""


def check_page(request: Request) -> None:
    """Refuse at once a page that could not be written once there is a result.

    Raises
    ------
    OutputError
        If its name does not end in .html, its folder is missing, or something is there that is not to be replaced.
    """
    path = _place(request)
    if path is None:
        return
    if path.suffix.lower() not in (".html", ".htm"):
        raise OutputError(f"{path.name}: the report is a page, give a name that ends in .html.")
    if not path.parent.is_dir():
        raise OutputError(f"{path.parent} does not exist: make it, or give another folder.")
    if occupied(path) and not (request.writing.overwrite and path.is_file()):
        raise OutputError(f"{path} exists already: give another name, or `overwrite` to replace it.")


def write_report(request: Request, image: Image, result: Restored, path: Path | None = None) -> Path:
    """Write the page about a whole result.

    Parameters
    ----------
    path
        Where to; what the request says where it is not given.

    Raises
    ------
    RestoreError
        If the model of the result is not known, or the page cannot be written.
    """
    place = path or _place(request)
    assert place is not None
    if result.model is None:
        raise RestoreError("the report needs the model, and that of this result was not kept: give `overwrite`.")
    from napari_restore.judging.report import Told, report_page  # as in verbs.run

    box = part_of(request.restoring.region, image) or Region.of_shape(image.shape)
    told = Told(
        command=_again(request),
        report=result.report,
        measured=_measured(image, box),
        restored=_plane(result, image.axes),
        deviation=None if result.uncertainty is None else _plane(result.uncertainty, image.axes),
    )
    html = report_page(image, result.model, told, seed=request.computing.seed, device=request.computing.device)
    with disk_errors(place):
        atomic_write(place, html.encode("utf-8"))
    return place


def _place(request: Request) -> Path | None:
    return None if request.writing.report is None else Path(request.writing.report).expanduser()


def _again(request: Request) -> str:
    """What does the same again: a line for the shell, or a call where the image is in no file."""
    if isinstance(request.image, str | Path):
        try:
            return as_command(request)
        except RestoreError:
            pass
    given = {name: value for name, value in asked(request).items() if isinstance(value, _PLAIN)}
    options = ", ".join(["image", *(f"{name}={value!r}" for name, value in given.items())])
    return f"napari_restore.{request.verb}({options})"


def _middle(shape: tuple[int, ...], axes: str) -> Region:
    """One plane, of the first channel."""
    box = Region.middle_of(shape, [min(n, _SIDE) if a in "YX" else 1 for a, n in zip(axes, shape, strict=True)])
    return box.shift([-start if a == "C" else 0 for a, start in zip(axes, box.start, strict=True)])


def _measured(image: Image, box: Region) -> NDArray[Any]:
    """In the middle of what was restored, NaN where nothing was measured."""
    region = _middle(box.shape, image.axes).shift(box.start)
    return _upright(image.seen(region).measured, image.axes)


def _plane(result: Restored, axes: str) -> NDArray[Any]:
    return _upright(np.asarray(result[_middle(result.shape, axes).slices]), axes)


def _upright(pixels: NDArray[Any], axes: str) -> NDArray[Any]:
    """``(Y, X)``, as real numbers."""
    order = sorted(range(len(axes)), key=lambda i: "YX".find(axes[i]))
    flat = pixels.transpose(order)
    return np.asarray(flat.reshape(flat.shape[-2:]), np.float64)

"""Batch: what a trained model makes of each image of a folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from napari_restore.core.checked import check
from napari_restore.core.events import FileState
from napari_restore.core.job import Events
from napari_restore.core.watch import Watch
from napari_restore.verbs.request import Request


@dataclass(frozen=True, kw_only=True)
class RestoreFolder:
    """Restore each image of a folder with a trained model, and give back how each of them ended.

    Attributes
    ----------
    model
        A trained model, or its file: a ``.safetensors``, or a ``.zip`` that ``export`` or CAREamics wrote.
    output
        The folder for the results, made where it is missing. It may be that of the images.
    pattern
        Which files of the folder, such as ``*.tif``.
    suffix
        What results are called after their images; the model's word for what it does where not given.
    format
        ``auto`` writes OME-TIFF for TIFF, under the same ending, and OME-Zarr for all else; or ``zarr``, or ``tiff``.
    """

    model: Any
    output: Any
    pattern: str = "*"
    suffix: str | None = None
    format: Literal["auto", "zarr", "tiff"] = "auto"

    def __post_init__(self) -> None:
        check(self)


def restored_folder(request: Request, watch: Watch) -> Events[list[FileState]]:
    """Restore each image of the folder that is not done yet."""
    from napari_restore.restoration.batch import InFolder, restore_folder_events

    own = request.own
    folder = InFolder(output=own.output, pattern=own.pattern, suffix=own.suffix, format=own.format)
    return restore_folder_events(
        request.image, own.model, folder, opening=request.opening, restoring=request.restoring,
        computing=request.computing, writing=request.writing, watch=watch,
    )  # fmt: skip

"""Saving a layer from napari's File menu, with what napari's own writers leave out: axes, pixel size, units."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari.layers import Layer

from napari_restore.gui.parts.endings import TIFF, ZARR, ending
from napari_restore.sources import open_image
from napari_restore.store.saving import save_image


def write_zarr(path: str, data: Any, attributes: Mapping[str, Any]) -> list[str]:
    """Write an image layer as OME-Zarr; a name without an ending gets one."""
    return _write(path, ending(path, *ZARR, *TIFF), data, attributes)


def write_tiff(path: str, data: Any, attributes: Mapping[str, Any]) -> list[str]:
    """Write an image layer as OME-TIFF; a name without an ending gets one."""
    return _write(path, ending(path, *TIFF, *ZARR), data, attributes)


def _write(asked: str, path: Path, data: Any, attributes: Mapping[str, Any]) -> list[str]:
    """Napari has asked about replacing what has the very name that was given; what has another one is left."""
    layer = Layer.create(data, dict(attributes), "image")
    return [str(save_image(open_image(layer), path, overwrite=path == Path(asked)))]

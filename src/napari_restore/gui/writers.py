"""Saving a layer from napari's File menu, with what napari's own writers leave out: axes, pixel size, units."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from napari.layers import Layer

from napari_restore.sources import open_image
from napari_restore.store.saving import save_image


def write_image(path: str, data: Any, attributes: Mapping[str, Any]) -> list[str]:
    """Write an image layer as OME-Zarr or OME-TIFF, by the ending of its name; napari has asked about replacing it."""
    layer = Layer.create(data, dict(attributes), "image")
    return [str(save_image(open_image(layer), Path(path), overwrite=True))]

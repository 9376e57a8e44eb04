"""What a model makes of an image, worked out where somebody reads it: an image that lies nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from napari_restore.core.region import Region, split
from napari_restore.methods.apply import per_axis, restore_region
from napari_restore.restoration.plan import check_fit, output_geometry, usual_tile
from napari_restore.sources import Image
from napari_restore.sources.pixels import PixelRule
from napari_restore.store.model import Model


def restored_on_demand(image: Image, model: Model, *, device: torch.device) -> Image:
    """An image whose pixels are those of the restored one, of any part that is read; nothing is restored before.

    Reading it from several threads at once is fine. Each read restores what it asks for once more.

    Parameters
    ----------
    image
        To restore.
    model
        Its constants and its precision hold.
    device
        To compute on.

    Raises
    ------
    ModelError
        If the image is none that the model can restore.
    """
    check_fit(image, model.method)
    method = model.method.for_restoring().to(device)
    rate = per_axis(image.axes, method.spatial, method.rate, default=1)
    block = [
        dict(zip(method.spatial, usual_tile(method), strict=True)).get(axis, n if axis == "C" else 1)
        for axis, n in zip(image.axes, image.shape, strict=True)
    ]
    plain = replace(image, alpha=None)
    geometry = output_geometry(plain, method, Region.of_shape(image.shape))
    dtype = np.result_type(image.dtype, np.float32)

    def read(region: Region) -> NDArray[Any]:
        coarse = _measured(region, image, rate)
        fine = coarse.scale(rate)
        found = np.empty(fine.shape, dtype)
        for part in split(coarse.shape, block):
            found[part.scale(rate).slices] = restore_region(
                method,
                plain,
                part.shift(coarse.start),
                normalisation=model.normalisation,
                device=device,
                precision=model.precision,
            )
        return found[region.relative_to(fine.start).slices]

    return replace(
        plain,
        name=f"{image.name}, restored",
        geometry=geometry,
        dtype=dtype,
        chunks=tuple(n * r for n, r in zip(image.chunks, rate, strict=True)),
        reader=read,
        location=None,
        address=None,
        files=(),
        notes=(),
        stored=None,
        filling=(),
        rule=PixelRule(),
    )


def _measured(region: Region, image: Image, rate: Sequence[int]) -> Region:
    """The pixels of the image that a region of the restored one is made of, with all channels."""
    each = list(zip(image.axes, region.start, region.stop, image.shape, rate, strict=True))
    start = tuple(0 if axis == "C" else first // r for axis, first, _, _, r in each)
    stop = tuple(n if axis == "C" else -(-last // r) for axis, _, last, n, r in each)
    return Region(start, stop)

"""An image as it is, written block by block as OME-Zarr or OME-TIFF, with its axes, pixel size and units."""

from __future__ import annotations

from itertools import product
from pathlib import Path

from napari_restore.core.geometry import canonical_order
from napari_restore.core.options import Writing
from napari_restore.core.region import Region
from napari_restore.sources import Image
from napari_restore.store import output

_SIDE = 512


def save_image(image: Image, path: Path, *, overwrite: bool = False) -> Path:
    """Write an image of any size; what is there under that name stays until the new one is complete.

    Parameters
    ----------
    path
        Ending in .zarr, .tif or .tiff.

    Raises
    ------
    OutputError
        If it cannot be written there, it is there that the image is read from, or something is there that is not to be
        replaced.
    """
    output.check_not_input(path, image)
    order = canonical_order(image.axes)
    axes = "".join(image.axes[i] for i in order)
    shape = tuple(image.shape[i] for i in order)
    chunks = tuple(min(n, _SIDE) if a in "YX" else 1 for a, n in zip(axes, shape, strict=True))
    writer = output.create(
        path,
        geometry=image.geometry,
        dtype=image.dtype,
        chunks=chunks,
        fingerprint={"image": image.name},
        name=image.name,
        provenance={"source": image.location},
        writing=Writing(overwrite=overwrite),
        channels=image.channels,
    )
    with writer:
        corners = product(*(range(0, n, c) for n, c in zip(shape, chunks, strict=True)))
        for index, corner in enumerate(corners):
            stop = tuple(min(a + c, n) for a, c, n in zip(corner, chunks, shape, strict=True))
            given = {axis: (a, b) for axis, a, b in zip(axes, corner, stop, strict=True)}
            part = Region(tuple(given[a][0] for a in image.axes), tuple(given[a][1] for a in image.axes))
            writer.write(index, Region(corner, stop), image.read(part).transpose(order))
        return writer.finish()

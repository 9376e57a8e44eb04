"""Export: a trained model for other programs, as a package of the BioImage Model Zoo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_restore.core.errors import ModelError
from napari_restore.store.files import new_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from napari_restore.store.model import Model

_SIDES = {"Y": 128, "X": 128, "Z": 8, "T": 8}
_ONLY_SIDES = {"Y": 256, "X": 256, "Z": 32}
"""Pixels of the image that the package is tried with, along each axis, where the network allows as few; and of every
image where there is one size."""


def export(
    model: Any,
    output: str | Path,
    image: Any = None,
    *,
    name: str | None = None,
    authors: Sequence[str] = (),
    licence: str = "CC-BY-4.0",
    axes: str | None = None,
    channel: int | str | None = None,
    series: int | str | None = None,
) -> Path:
    """Write a trained model as a package of the BioImage Model Zoo (bioimage.io), for other programs to run.

    The package is one ZIP: the network as ONNX with what goes before and after it, its halo, a test image with the
    result, a cover, how to cite; and the model itself for napari-restore. Nothing is uploaded.

    Parameters
    ----------
    model
        A trained model, or its file: a ``.safetensors``, or a ``.zip`` that ``export`` or CAREamics wrote.
    output
        A new file, of which the name ends in .zip.
    image
        An image of the kind that it was trained on, whose middle becomes the test image and the cover. Without one
        these are noise.
    name
        Of the model, 5 to 128 letters; by default what its method is called.
    authors
        Who made it.
    licence
        Of the model, by its SPDX name.
    axes, channel, series
        Of the image, as wherever one is opened.

    Returns
    -------
    pathlib.Path
        The package.

    Raises
    ------
    RestoreError
        If the output exists or is no ZIP, the image does not fit the model, the model learns nothing or has no ONNX
        graph (the message says what to do), or the libraries for it are not installed.
    """
    from napari_restore.store.zoo import write_package
    from napari_restore.verbs.learning import model_of

    path = new_file(output, ending=".zip", is_what="the package is a ZIP file")
    exported = model_of(model)
    if not exported.method.listed.learns:
        raise ModelError(f"{exported.method.label} learns nothing: there is nothing to export. Name it where it runs.")
    if not exported.method.has_graph:
        raise ModelError(
            f"{exported.method.label} has steps that ONNX has no word for: share its .safetensors file, which "
            "napari-restore reads."
        )
    example = example_of(exported.portable, image, axes=axes, channel=channel, series=series)
    label = name or f"{exported.method.label} (napari-restore)"
    write_package(exported, path, example=example, name=label, authors=tuple(authors), licence=licence)
    return path


def example_of(model: Model, image: Any, **opening: Any) -> NDArray[np.float32]:
    """Pixels ``(1, C, *S)`` to try the package of a portable model with: the image's middle, or noise."""
    import numpy as np

    from napari_restore.core.layout import to_samples
    from napari_restore.judging.part import middle
    from napari_restore.restoration.plan import check_fit
    from napari_restore.sources import open_image
    from napari_restore.store.graph import any_size
    from napari_restore.store.zoo import least_sides

    method, sides = model.method, []
    wanted = _SIDES if any_size(method) else _ONLY_SIDES
    for axis, grid, least in zip(method.spatial, method.grid, least_sides(model), strict=True):
        sides.append(max(least + grid, wanted[axis] // grid * grid))
    mean, std = (
        np.reshape(values, (1, -1, *[1] * len(sides))) for values in (model.normalisation.mean, model.normalisation.std)
    )
    if image is None:
        noise = np.random.default_rng(0).normal(size=(1, method.channels, *sides))
        if method.fills:
            noise[..., sides[-1] // 2 : sides[-1] // 2 + 4] = np.nan
        return (mean + std * noise).astype(np.float32)
    opened = open_image(image, **opening)
    check_fit(opened, method)
    lengths = dict(zip(method.spatial, sides, strict=True))
    box = middle(opened, {"C": opened.geometry.length("C"), **lengths})
    samples = to_samples(opened.seen(box).measured, opened.axes, method.spatial)[:1].astype(np.float32)
    short = [(0, 0), (0, 0), *((0, n - have) for n, have in zip(sides, samples.shape[2:], strict=True))]
    whole = np.pad(samples, short, mode="symmetric")
    return np.where(np.isfinite(whole), whole, np.nan if method.fills else mean).astype(np.float32)

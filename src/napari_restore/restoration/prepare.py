"""What is decided before the first tile: fit of the model, tiles, where the output lies, dtype, what marks the run."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from napari_restore.core.errors import ModelError, RestoreError
from napari_restore.core.geometry import Geometry
from napari_restore.core.plan import TilePlan, plan_tiles
from napari_restore.core.region import Region
from napari_restore.methods.apply import per_axis
from napari_restore.methods.method import Method
from napari_restore.metrics.noise import image_noise
from napari_restore.restoration.reading import files_state
from napari_restore.sources import Image
from napari_restore.store.model import Model
from napari_restore.store.weights import checksum

_MOST_OVERLAP = 1.25
_SIZES = {2: (32, 64, 128, 256, 512, 1024, 2048), 3: (16, 32, 48, 64, 96, 128)}
_OUTPUT_SIZES = {2: (256, 4096), 3: (64, 512)}
_DEPTH = 32
_ROUNDING = 1 / math.sqrt(12)
_ROUNDING_SHARE = 0.05
_PROBE = 64


def check_fit(image: Image, model: Model) -> None:
    """Refuse an image the model was not made for.

    Raises
    ------
    ModelError
        If it has other channels, or lacks an axis the model looks along.
    """
    method = model.method
    channels = image.geometry.length("C")
    if channels != method.channels:
        raise ModelError(
            f"{image.name} has {channels} channels and the model was trained on {method.channels}: choose one with "
            "--channel, or train a model on this image."
        )
    missing = [a for a in method.spatial if a not in image.axes]
    if missing:
        raise ModelError(
            f"{image.name} has axes {image.axes} and the model looks along {method.spatial}: it needs "
            f"{', '.join(missing)}. If the axes are wrong, name them with --axes."
        )


def plan_image(image: Image, method: Method, tile: Sequence[int] | None) -> TilePlan:
    """Tiles over an image: along space as asked or as suits, one at a time along the other axes, all channels.

    ``tile`` is in image pixels.
    """
    radius = per_axis(image.axes, method.spatial, method.radius, default=0)
    grid = per_axis(image.axes, method.spatial, method.grid, default=1)
    if tile is not None and (len(tile) != len(method.spatial) or min(tile) < 1):
        raise RestoreError(f"tile {tuple(tile)}: give {len(method.spatial)} positive lengths, along {method.spatial}.")
    sizes = tuple(tile) if tile is not None else usual_tile(method)
    largest = [
        dict(zip(method.spatial, sizes, strict=True)).get(a, n if a == "C" else 1)
        for a, n in zip(image.axes, image.shape, strict=True)
    ]
    rate = per_axis(image.axes, method.spatial, method.rate, default=1)
    return plan_tiles(image.shape, largest=largest, radius=radius, grid=grid, rate=rate)


def usual_tile(method: Method) -> tuple[int, ...]:
    """The smallest usual tile, in image pixels, whose halo costs at most a quarter more work along Y and X.

    Of those that are chunks of a usual size on the output grid: the finer that is, the fewer image pixels.
    """
    ndim, rate = len(method.spatial), max(method.rate[-2:])
    least, most = _OUTPUT_SIZES[ndim]
    for size in (n for n in _SIZES[ndim] if least <= n * rate <= most):
        if math.prod((size + 2 * r) / size for r in method.radius[-2:]) <= _MOST_OVERLAP:
            break
    return (size,) * ndim if ndim == 2 else (_DEPTH, size, size)


def output_geometry(image: Image, method: Method) -> Geometry:
    """Where the pixels of the result lie, its axes in the order of the image's."""
    return image.geometry.refined(
        dict(zip(method.spatial, method.rate, strict=True)),
        centred=dict(zip(method.spatial, method.centred, strict=True)),
    )


def name_suffix(method: Method) -> str:
    """What the result is called after the image's name."""
    return "superresolved" if max(method.rate) > 1 else method.suffix


def choose_dtype(image: Image) -> tuple[np.dtype[Any], str]:
    """The dtype of the result and why: the source's integers where rounding is lost in what noise there was."""
    if image.dtype.kind == "f":
        return np.dtype(np.float32), "the result is float32, as the source is floating point"
    sigma = image_noise(image)
    share = _ROUNDING / sigma if sigma > 0 else math.inf
    said = f"rounding to {image.dtype} costs {share:.1%} of the noise (estimated at {sigma:.3g})"
    if share < _ROUNDING_SHARE:
        return image.dtype, f"the result is {image.dtype}, as the source: {said}"
    if math.isinf(share):
        said = f"no noise was found that would hide rounding to {image.dtype}"
    return np.dtype(np.float32), f"the result is float32: {said}"


def fingerprint(
    image: Image, model: Model, plan: TilePlan, *, batch: int, dtype: np.dtype[Any], device: str, precision: str
) -> dict[str, Any]:
    """What must be the same for tiles of an earlier run to be kept."""
    facts: Mapping[str, Any] = {
        "image": {
            "axes": image.axes,
            "shape": list(image.shape),
            "dtype": str(image.dtype),
            "pixels": probe(image),
            "state": files_state(image),
        },
        "model": {"method": model.name, "sha256": checksum(_tensors(model)), "mean": list(model.normalisation.mean)},
        "tile": list(plan.tile),
        "halo": list(plan.halo),
        "rate": list(plan.rate),
        "batch": batch,
        "dtype": str(dtype),
        "device": device,
        "precision": precision,
    }
    return dict(facts)


def _tensors(model: Model) -> dict[str, Any]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in model.method.state_dict().items()}


def probe(image: Image) -> str:
    """A checksum over three small boxes: enough to tell another image, too few to wait for."""
    digest = hashlib.sha256()
    sizes = tuple(min(n, _PROBE if a in "YX" else 1) for a, n in zip(image.axes, image.shape, strict=True))
    for part in (0.0, 0.5, 1.0):
        start = tuple(int(part * (n - size)) for n, size in zip(image.shape, sizes, strict=True))
        box = Region(start, tuple(s + size for s, size in zip(start, sizes, strict=True)))
        digest.update(np.ascontiguousarray(image.read(box)).tobytes())
    return digest.hexdigest()[:16]

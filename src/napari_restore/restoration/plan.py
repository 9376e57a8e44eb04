"""What a restoration will do, decided once, before its first tile. Pure: no pixel is read and nothing is opened."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch

from napari_restore.core.errors import ModelError, RestoreError
from napari_restore.core.geometry import Geometry, canonical_order
from napari_restore.core.normalisation import Normalisation, working_type
from napari_restore.core.options import Restoring
from napari_restore.core.plan import TilePlan, plan_tiles, whole_is_less
from napari_restore.core.region import Region
from napari_restore.methods.apply import per_axis
from napari_restore.methods.method import Method
from napari_restore.restoration.part import by_axis, geometry_of, part_of
from napari_restore.restoration.reading import ImageFacts
from napari_restore.restoration.running import Place
from napari_restore.sources import Image
from napari_restore.store.model import Model
from napari_restore.store.weights import checksum

_MOST_OVERLAP = 1.25
"""Pixels read to pixels owned, along Y and X, of a usual tile."""
_SIZES = {2: (32, 64, 128, 256, 512, 1024, 2048), 3: (16, 32, 48, 64, 96, 128)}
"""Sides of usual tiles along Y and X, by the number of axes that the method looks along."""
_OUTPUT_SIZES = {2: (256, 4096), 3: (64, 512)}
"""Of the sides they write, the least and the most."""
_DEPTH, _PLANES = 32, 8
"""Of a usual tile along Z; where a network of two axes looks at neighbouring planes, too, which are read twice."""
_ROUNDING = 1 / math.sqrt(12)
"""Standard deviation that rounding to integers adds."""
_ROUNDING_SHARE = 0.05
"""Of the noise: so much of rounding is lost in it."""
_WITHOUT_NOISE = 0.01
"""Of the deviation of an image: what counts for its noise where it has none."""


@dataclass(frozen=True, eq=False, kw_only=True)
class RestorationPlan:
    """All that is settled of a restoration; made once and carried whole.

    Attributes
    ----------
    tiles
        Over the image, or over the part of it that is restored.
    geometry
        Where the pixels of the result lie, its axes in the order of the image's.
    dtype, why
        Of the result, and the reason for it in words.
    batch
        Tiles that go through the network together.
    place
        What they are computed on.
    suffix
        What the result is called after the image's name.
    facts
        What the image was found to be.
    fingerprint
        What must be the same for tiles of an earlier run to be kept.
    provenance
        What the result says of how it was made.
    """

    tiles: TilePlan
    geometry: Geometry
    dtype: np.dtype[Any]
    why: str
    batch: int
    place: Place
    suffix: str
    facts: ImageFacts
    fingerprint: Mapping[str, Any]
    provenance: Mapping[str, Any]

    @property
    def chunks(self) -> tuple[int, ...]:
        """Of the file: what a tile writes, axes in the order that files are written in."""
        axes, shape = self.geometry.axes, self.geometry.shape
        tile = [n if a == "C" else t for a, n, t in zip(axes, shape, self.tiles.output_tile, strict=True)]
        return tuple(tile[i] for i in canonical_order(axes))


def plan_restoration(
    image: Image, model: Model, tiles: TilePlan, restoring: Restoring, *, place: Place, facts: ImageFacts
) -> RestorationPlan:
    """Settle what is left open once the tiles, the image and the place are known.

    Parameters
    ----------
    image, model
        That fit each other, and ``tiles`` over the one for the other, from ``tiles_over``.
    restoring
        What was asked for.
    place
        What tiles are computed on.
    facts
        Of the image, from ``facts_of``.
    """
    dtype, why = _dtype_of(image, model, facts)
    batch = restoring.together or usual_batch(place.device)
    how = {"rule": repr(image.rule), "outliers": restoring.outliers}
    how |= {"gives": "deviations"} if model.method.gives_deviations else {}
    return RestorationPlan(
        tiles=tiles,
        geometry=output_geometry(image, model.method, tiles.box),
        dtype=dtype,
        why=why,
        batch=batch,
        place=place,
        suffix=name_suffix(model.method),
        facts=facts,
        fingerprint=fingerprint(image, model, tiles, facts=facts, batch=batch, dtype=dtype, place=place) | how,
        provenance={"source": image.location, "model": model.card(), **_region(tiles.box, image)},
    )


def tiles_over(image: Image, method: Method, restoring: Restoring) -> TilePlan:
    """Tiles over an image, or the part of it that is asked for: along space as asked or as suits, one at a time along
    the other axes, all channels.

    Raises
    ------
    RestoreError
        If model and image do not fit, or tile or region do not fit them.
    """
    check_fit(image, method)
    check_tile(restoring.tile, method.spatial, neighbours=method.neighbours)
    part = part_of(restoring.region, image) or Region.of_shape(image.shape)
    asked = tuple(restoring.tile or ())
    if len(asked) == len(method.spatial) - 1:
        asked = (_PLANES, *asked)
    sizes = asked or _uncut(usual_tile(method), image, part, method)
    largest = [
        dict(zip(method.spatial, sizes, strict=True)).get(a, n if a == "C" else 1)
        for a, n in zip(image.axes, image.shape, strict=True)
    ]
    return plan_tiles(
        part.shape,
        largest=largest,
        radius=per_axis(image.axes, method.spatial, method.radius, default=0),
        border=per_axis(image.axes, method.spatial, method.border, default=0),
        whole=image.shape,
        grid=per_axis(image.axes, method.spatial, method.grid, default=1),
        rate=per_axis(image.axes, method.spatial, method.rate, default=1),
        start=part.start,
    )


def check_fit(image: Image, method: Method) -> None:
    """Refuse an image the method was not made for.

    Raises
    ------
    ModelError
        If it has other channels, or lacks an axis the method looks along.
    """
    channels = image.geometry.length("C")
    if channels != method.channels:
        raise ModelError(
            f"{image.name} has {channels} channels and the model was trained on {method.channels}: choose one with "
            "`channel`, or train a model on this image."
        )
    missing = [a for a in method.spatial if a not in image.axes]
    if missing:
        raise ModelError(
            f"{image.name} has axes {image.axes} and the model looks along {method.spatial}: it needs "
            f"{', '.join(missing)}. If the axes are wrong, name them with `axes`."
        )
    if image.geometry.length(method.spatial[0]) <= method.neighbours:
        raise ModelError(
            f"{image.name} has {image.geometry.length(method.spatial[0])} planes along {method.spatial[0]}, and the "
            f"model looks at {method.neighbours} to either side of each: train one with neighbours 0."
        )


def check_tile(tile: Sequence[int] | None, spatial: str, *, neighbours: int = 0) -> None:
    """Refuse a tile that has not one length for each axis that a method looks along; before training, too.

    Two lengths will do for a method that looks along three axes at planes beside each other.

    Raises
    ------
    RestoreError
        With the tile and the axes.
    """
    if tile is None or (neighbours and len(tile) == len(spatial) - 1 and min(tile) >= 1):
        return
    if len(tile) != len(spatial) or min(tile) < 1:
        raise RestoreError(f"`tile` = {tuple(tile)}: give {len(spatial)} positive lengths, along {spatial}.")


def usual_tile(method: Method) -> tuple[int, ...]:
    """The smallest usual tile, in image pixels, whose halo costs at most a quarter more work along Y and X.

    Of those that are chunks of a usual size on the output grid: the finer that is, the fewer image pixels.
    """
    if method.tile is not None:
        return method.tile
    ndim, rate = 2 if method.neighbours else len(method.spatial), max(method.rate[-2:])
    least, most = _OUTPUT_SIZES[ndim]
    for size in (n for n in _SIZES[ndim] if least <= n * rate <= most):
        if math.prod((size + 2 * r) / size for r in method.radius[-2:]) <= _MOST_OVERLAP:
            break
    depth = {"Z": _DEPTH} if ndim == 3 else dict.fromkeys(method.spatial[:-2], _PLANES)
    return (*depth.values(), size, size)


def _uncut(sizes: Sequence[int], image: Image, part: Region, method: Method) -> tuple[int, ...]:
    """Tiles as long as the image along axes where parts of it, with all around them, would be no smaller to read."""
    found = []
    for axis, size, radius, border in zip(method.spatial, sizes, method.radius, method.border, strict=True):
        n, asked = image.geometry.length(axis), part.shape[image.axes.index(axis)]
        found.append(n if asked == n and whole_is_less(n, size, radius=radius, border=border) else size)
    return tuple(found)


def usual_batch(device: torch.device) -> int:
    """Tiles that go through the network together, where the user gives no number."""
    return 1 if device.type == "cpu" else 4


def output_geometry(image: Image, method: Method, box: Region) -> Geometry:
    """Where the pixels of a restored box of an image lie, axes in the order of the image's; with its alpha."""
    finer = geometry_of(box, image.geometry).refined(
        dict(zip(method.spatial, method.rate, strict=True)),
        centred=dict(zip(method.spatial, method.centred, strict=True)),
    )
    if image.alpha is None:
        return finer
    return replace(finer, shape=tuple(n + (a == "C") for a, n in zip(finer.axes, finer.shape, strict=True)))


def name_suffix(method: Method) -> str:
    """What the result is called after the image's name."""
    return "superresolved" if max(method.rate) > 1 else method.suffix


def choose_dtype(
    source: np.dtype[Any], noise: float | None, constants: Normalisation | None = None
) -> tuple[np.dtype[Any], str]:
    """The dtype of the result and why: the source's integers where rounding is lost in what noise there was.

    Parameters
    ----------
    source
        Of the image.
    noise
        Its standard deviation in the image's units; not looked at for float32.
    constants
        Of the image: where its values lie so far from 0 that float32 would round away what it holds, a result that is
        not whole numbers is float64.
    """
    if source.kind == "f" or noise is None:
        real, because = _digits(source, noise or 0.0, constants)
        return real, f"the result is {real}, as the source is floating point{because}"
    share = _ROUNDING / noise if noise > 0 else math.inf
    said = f"rounding to {source} costs {share:.1%} of the noise (estimated at {noise:.3g})"
    if share < _ROUNDING_SHARE:
        return source, f"the result is {source}, as the source: {said}"
    if math.isinf(share):
        said = f"no noise was found that would hide rounding to {source}"
    real, because = _digits(source, noise, constants)
    return real, f"the result is {real}: {said}{because}"


def _dtype_of(image: Image, model: Model, facts: ImageFacts) -> tuple[np.dtype[Any], str]:
    if model.method.gives_deviations:
        return np.dtype(np.float32), "the deviation of each pixel is float32"
    return kept_dtype(image) if model.method.keeps else choose_dtype(image.dtype, facts.noise, model.normalisation)


def kept_dtype(image: Image) -> tuple[np.dtype[Any], str]:
    """The dtype in which pixels that stay as they are do so, and why: that of the source, at least float32."""
    source = image.stored if image.stored is not None else image.dtype
    dtype = np.dtype(np.float32) if source.kind == "b" or source == np.float16 else source
    return dtype, f"the result is {dtype}, as the source: pixels that are there stay as they are"


def _digits(source: np.dtype[Any], noise: float, constants: Normalisation | None) -> tuple[np.dtype[Any], str]:
    """float32, or float64 with a reason where values far from 0 need its digits."""
    if constants is None or working_type(source) == np.float32:
        return np.dtype(np.float32), ""
    largest = max(map(abs, constants.mean))
    fine = noise or _WITHOUT_NOISE * min((s for s in constants.std if s > 0), default=0.0)
    if float(np.spacing(np.float32(largest))) * _ROUNDING <= _ROUNDING_SHARE * fine:
        return np.dtype(np.float32), ""
    return np.dtype(np.float64), f", and float32 would round values about {largest:.3g}"


def fingerprint(
    image: Image, model: Model, tiles: TilePlan, *, facts: ImageFacts, batch: int, dtype: np.dtype[Any], place: Place
) -> dict[str, Any]:
    """What must be the same for tiles of an earlier run to be kept."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.method.state_dict().items()}
    return {
        **made_of(image, tiles.box, facts),
        "model": {
            "method": model.name,
            "config": asdict(model.method.config),  # all there is of one that does not learn
            "sha256": checksum(tensors),
            "mean": list(model.normalisation.mean),
        },
        "tile": list(tiles.tile),
        "halo": list(tiles.halo),
        "rate": list(tiles.rate),
        "batch": batch,
        "dtype": str(dtype),
        "device": place.device.type,
        "precision": place.precision,
    }


def made_of(image: Image, box: Region, facts: ImageFacts) -> dict[str, Any]:
    """Of a fingerprint, what tells the image and the box of it that is restored."""
    said = {
        "axes": image.axes,
        "shape": list(image.shape),
        "dtype": str(image.dtype),
        "pixels": facts.pixels,
        "state": facts.files,
    }
    return {"image": said, **_region(box, image)}


def _region(box: Region, image: Image) -> dict[str, Any]:
    """The part that is restored; nothing where that is the whole image, as before there were parts."""
    return {} if box == Region.of_shape(image.shape) else {"region": by_axis(box, image.axes)}

"""Planes beside a plane: a network of two axes is shown some to either side, along Z or time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BeforeValidator
from torch import Tensor, nn

from napari_restore.core.errors import ImageError
from napari_restore.core.events import Note
from napari_restore.core.region import Region
from napari_restore.methods.method import Fit
from napari_restore.metrics.between_planes import noise_between
from napari_restore.sources import Image

Neighbours = Annotated[Literal["auto", "0", "1", "2"], BeforeValidator(str)]
"""Planes to either side, as a setting."""

_SIDE, _PAIRS = 256, 4  # pixels along Y and X, and pairs of planes, by which axes are compared

_ALIKE = 0.25
"""Correlation of the noise of planes beside each other, from which two of them foretell an eighth of it."""


def beside(pixels: Tensor, count: int) -> Tensor:
    """Each plane that has ``count`` to either side, with these as channels: the plane itself is in the middle.

    Parameters
    ----------
    pixels
        ``(B, 1, P, Y, X)``.

    Returns
    -------
    Tensor
        ``(B * (P - 2 count), 2 count + 1, Y, X)``.
    """
    inner = pixels.shape[2] - 2 * count
    return torch.stack([pixels[:, 0, k : k + inner] for k in range(2 * count + 1)], 2).flatten(0, 1)


def in_place(planes: Tensor, count: int) -> Tensor:
    """Planes of ``count`` samples, ``(B * P, C, Y, X)`` as they come of ``beside``, as ``(B, C, P, Y, X)``."""
    return planes.view(count, -1, *planes.shape[1:]).transpose(1, 2)


def begun_as(weights: Mapping[str, Tensor], network: nn.Module, count: int) -> nn.Module:
    """A network that is shown ``count`` planes to either side, begun as one that sees a plane alone.

    What it makes of neighbours is zero until they are found to be of use. Begun at random, 250 steps on eight pictures
    of different things ended 0.7 dB lower than without neighbours.

    Parameters
    ----------
    weights
        Of the one that sees a plane alone, which has fewer channels in its first layer and is the same otherwise.
    """
    with torch.no_grad():
        for name, weight in network.state_dict().items():
            first = weights[name].shape[1] if weight.ndim > 1 else 0  # features of one plane
            if weight.shape != weights[name].shape:
                weight.zero_()
                weight = weight[:, count * first : (count + 1) * first]
            weight.copy_(weights[name])
    return network


def own(values: Tensor, count: int) -> Tensor:
    """The planes of ``(B, C, P, *S)`` that have ``count`` to either side; all there is where it is 0."""
    return values[:, :, count:-count] if count else values


def axis_for(asked: str, *, dimensions: str, images: Sequence[Image]) -> str:
    """The axis, Z or T, along which ``asked`` planes to either side are looked at; empty for none.

    Where there are both, that along which planes resemble each other more.

    Raises
    ------
    ImageError
        If no axis has enough planes, or the network looks along three axes already.
    """
    count = 0 if asked == "auto" else int(asked)
    if count == 0:
        return ""
    if dimensions == "3":
        raise ImageError(f"neighbours {asked} are for dimensions 2: with dimensions 3 all planes around are seen.")
    axes = axes_with(count, images)
    if not axes:
        lengths = ", ".join(f"{images[0].geometry.length(a)} along {a}" for a in "ZT" if a in images[0].axes)
        raise ImageError(
            f"neighbours {asked} needs {count + 1} planes along Z or T: {images[0].name} has axes {images[0].axes}"
            f"{f', {lengths}' if lengths else ''}. Use neighbours 0, or say which axis is which with `axes`."
        )
    return axes if len(axes) == 1 else max(axes, key=lambda axis: _resemblance(images[0], axis))


def with_neighbours(fit: Fit, images: Sequence[Image]) -> Fit:
    """The same, with the planes to look at beside each settled, and the axis that they lie along.

    Left to ``"auto"`` that is one to either side where there are any, with none as its rival; none where the noise of
    planes is alike, as after resampling along Z, for then they do help to predict a pixel: its noise.
    """
    asked, dimensions = fit.config.neighbours, fit.config.dimensions
    without = replace(fit, config=replace(fit.config, neighbours="0"))
    count = asked if asked != "auto" else "1" if dimensions != "3" and axes_with(1, images) else "0"
    axis = axis_for(count, dimensions=dimensions, images=images)
    if not axis:
        return without
    alike = noise_between(list(_pairs(images[0], axis)))
    if alike > _ALIKE and asked == "auto":
        said = f"planes along {axis} are restored one by one: their noise is alike by {alike:.2f}, and foretells itself"
        return replace(without, notes=(*fit.notes, Note(said)))
    if alike > _ALIKE:
        said = f"noise of planes along {axis} is alike by {alike:.2f}: neighbours foretell it, and some of it stays"
        fit = replace(fit, notes=(*fit.notes, Note(said, "warning")))
    seen = replace(fit, config=replace(fit.config, neighbours=count), spatial=axis + fit.spatial)
    return replace(seen, rival=without) if asked == "auto" else seen


def axes_with(count: int, images: Sequence[Image]) -> str:
    """Which of Z and T have more than ``count`` planes in all images."""
    return "".join(a for a in "ZT" if all(image.geometry.length(a) > count for image in images))


def _resemblance(image: Image, axis: str) -> float:
    """The mean correlation of the middles of some planes with the next one along an axis; -1 where none can be read."""
    found = [_correlation(a, b) for a, b in _pairs(image, axis)]
    return float(np.mean(found)) if found else -1.0


def _pairs(image: Image, axis: str) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
    """The middles of some planes along an axis, each with that of the next one; those that can be read."""
    for first in np.unique(np.linspace(0, image.geometry.length(axis) - 2, _PAIRS).astype(int)):
        box = Region.middle_of(image.shape, [{axis: 2, "Y": _SIDE, "X": _SIDE}.get(a, 1) for a in image.axes])
        move = [int(first) - start if a == axis else 0 for a, start in zip(image.axes, box.start, strict=True)]
        try:
            both = np.moveaxis(image.seen(box.shift(move)).measured, image.axes.index(axis), 0)
        except ImageError:
            continue
        a, b = both.reshape(2, *(n for n in both.shape[1:] if n > 1))
        yield a, b


def _correlation(a: NDArray[Any], b: NDArray[Any]) -> float:
    known = np.isfinite(a) & np.isfinite(b)
    a, b = a[known].astype(np.float64), b[known].astype(np.float64)
    if not known.any() or a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])

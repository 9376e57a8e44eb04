"""Missing pixels from the smoothest surface or line through what is around: which one, hidden pixels tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import BeforeValidator
from torch import Tensor

from napari_restore.core.errors import ImageError, RestoreError
from napari_restore.core.events import Note
from napari_restore.methods import METHODS
from napari_restore.methods.hiding import Shapes, Window, hidden_error, loses_planes, shapes_of, windows_of
from napari_restore.methods.measuring import constants
from napari_restore.methods.method import Fit, Method
from napari_restore.operators import gaps
from napari_restore.sources import Image
from napari_restore.sources.planes import planes_of_channels

_LEAST = 8
_TILE = {2: (1024, 1024), 3: (16, 512, 512)}


@dataclass(frozen=True)
class InterpolationConfig:
    """Settings of interpolation.

    Attributes
    ----------
    dimensions
        ``"2"`` looks along Y and X, ``"3"`` along Z too. ``"auto"`` is 3 for a stack with whole planes missing, else 2.
    rule
        ``"biharmonic"`` is a thin plate through what is around, ``"harmonic"`` a membrane, ``"between"`` the line from
        plane to plane. ``"auto"``: the one that comes nearest to pixels that are there, hidden by the same shapes.
    given
        Settled from the request: a checksum of the mask.
    shapes
        Settled from the images: what missing pixels look like, packed.
    """

    dimensions: Annotated[Literal["auto", "2", "3"], BeforeValidator(str)] = "auto"
    rule: Literal["auto", "biharmonic", "harmonic", "between"] = "auto"
    given: tuple[str, ...] = ()
    shapes: tuple[str, ...] = ()


class Interpolation(Method):
    """Biharmonic or harmonic surfaces over Y and X, or lines along Z (see ``operators.gaps``). Nothing is learned.

    Which of them is taken is measured: pixels that are there are hidden by the shapes of what is missing, moved and
    flipped, and the rule with the least squared error at them is the one.
    """

    listed = METHODS["interpolation"]
    Config: ClassVar[type] = InterpolationConfig
    efforts: ClassVar = {}
    fills: ClassVar[bool] = True
    suffix = "inpainted"
    config: Any

    @classmethod
    def fit_to(cls, config: Any, images: Sequence[Image]) -> Fit:
        """Look at what is missing, settle the axes and the rule.

        Raises
        ------
        ImageError
            If nothing is missing, or the image is too small, or not a stack where 3 dimensions are wanted.
        """
        _check_size(images[0], label=cls.listed.label)
        normalisation = constants(planes_of_channels(images), images[0].name)
        spatial = _axes(config.dimensions, images)
        windows = windows_of(images, spatial, normalisation)
        if not windows:
            raise ImageError(
                f"{images[0].name}: nothing is missing. Give a `mask` that is not 0 where a pixel is missing, set such "
                "pixels to NaN, or say with `missing` how they look, such as zeros or saturated."
            )
        shapes = shapes_of(windows)
        rule, notes = _chosen_rule(config.rule, windows, shapes, spatial)
        settled = replace(config, dimensions=str(len(spatial)), rule=rule, shapes=shapes.packed())
        return Fit(settled, spatial, normalisation, (*notes, *_wide(windows)))

    @property
    def rule(self) -> gaps.Rule:
        """The one that was settled; the thin plate before that."""
        rule: gaps.Rule = "biharmonic" if self.config.rule == "auto" else self.config.rule
        return rule

    @property
    def keeps(self) -> bool:
        """Nothing but what is missing is changed."""
        return True

    @property
    def radius(self) -> tuple[int, ...]:
        """As far as gaps are filled from."""
        return tuple(gaps.PLANES if a == "Z" else gaps.REACH for a in self.spatial)

    @property
    def grid(self) -> tuple[int, ...]:
        """Any pixel."""
        return (1,) * len(self.spatial)

    @property
    def tile(self) -> tuple[int, ...]:
        """Large, as the halo is wide."""
        return _TILE[len(self.spatial)]

    def plain(self, pixels: Tensor) -> Tensor:
        """Filled by the rule alone."""
        with torch.autocast(pixels.device.type, enabled=False):
            return gaps.fill(pixels, torch.isfinite(pixels), self.rule)

    def restore(self, pixels: Tensor) -> Tensor:
        """The same: nothing is learned."""
        return self.plain(pixels)


def _check_size(image: Image, *, label: str) -> None:
    for axis in "YX":
        if (n := image.geometry.length(axis)) < _LEAST:
            raise ImageError(
                f"axis {axis} has {n} pixels: {label} fills from what is around, and needs at least {_LEAST} along Y "
                f"and X. If this axis is not a picture's, say which is with `axes`."
            )


def _axes(dimensions: str, images: Sequence[Image]) -> str:
    """The axes to look along."""
    depth = min(image.geometry.length("Z") for image in images)
    if dimensions == "3" and depth < 2:
        raise ImageError(
            f"dimensions 3 needs a stack: {images[0].name} has axes {images[0].axes}. Use dimensions 2, or say which "
            "axis is Z with `axes`."
        )
    if dimensions == "auto" and depth > 1:
        return "ZYX" if any(map(loses_planes, images)) else "YX"
    return "ZYX" if dimensions == "3" else "YX"


def _chosen_rule(asked: str, windows: Sequence[Window], shapes: Shapes, spatial: str) -> tuple[Any, tuple[Note, ...]]:
    if asked != "auto":
        if asked == "between" and "Z" not in spatial:
            raise RestoreError("rule = 'between' goes from plane to plane: give dimensions 3, or another rule.")
        return asked, ()
    rules: tuple[gaps.Rule, ...] = ("biharmonic", "harmonic", *(("between",) if "Z" in spatial else ()))
    errors = {rule: hidden_error(windows, shapes, rule) for rule in rules}
    known = {rule: error for rule, error in errors.items() if np.isfinite(error)}
    if not known:
        return "biharmonic", ()
    best = min(known, key=lambda rule: known[rule])
    told = ", ".join(f"{rule} {error**0.5:.3f}" for rule, error in known.items())
    return best, (
        Note(f"pixels that are there, hidden by the same shapes, are missed by (in deviations of the image): {told}"),
    )


def _wide(windows: Sequence[Window]) -> tuple[Note, ...]:
    """A word about gaps too wide to be more than bridged."""
    widest = max(window.widest for window in windows)
    if widest <= gaps.REACH:
        return ()
    return (
        Note(
            f"some gaps are over {2 * gaps.REACH} pixels wide: their middle is only bridged, with what is nearest or "
            "the mean of the image, and says nothing of what was there",
            "warning",
        ),
    )

"""Missing pixels from the smoothest surface or line through what is around, and from patches that look alike.

Which of these is taken, hidden pixels tell.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BeforeValidator
from torch import Tensor

from napari_restore.core.errors import ImageError, RestoreError
from napari_restore.core.events import Note
from napari_restore.methods import METHODS, completing
from napari_restore.methods.hiding import (
    Shapes,
    Window,
    depths_of,
    hidden,
    hidden_errors,
    loses_planes,
    shapes_of,
    windows_of,
)
from napari_restore.methods.measuring import constants
from napari_restore.methods.method import Fit, Method
from napari_restore.methods.similar_patches import THOROUGH, Choice, unless_large
from napari_restore.operators import gaps
from napari_restore.sources import Image
from napari_restore.sources.planes import planes_of_channels

Alike = tuple[tuple[bool, float], ...]
Correlations = tuple[tuple[tuple[float, ...], ...], ...]

Guess = Sequence[tuple[float, tuple[tuple[float, ...], ...]]]
"""Of each channel the variance of its noise, and its correlation."""

_LEAST = 8
_JUDGED_ON, _PATCHES_JUDGED_ON = 256, 128  # pixels along Y and X of a window
_PATCHES_JUDGED_IN = 3  # windows
_NOISE = (0.0, 1 / 8, 1 / 2)  # of the squared error of the rule, which has the noise in it
_QUICKLY = 2**24  # pixels that are found by similar patches unasked
_SECONDS_A_PIXEL = 15e-6  # of one core, where pixels are missing all over
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
    similar
        Whether what is interpolated is found anew by patches that look alike, which takes up to 15 s of one core a
        million pixels. ``"auto"``: where that comes nearer to pixels that are there, hidden by the same shapes, in
        images of up to 17 million pixels.
    given
        Settled from the request: a checksum of the mask.
    shapes
        Settled from the images: what missing pixels look like, packed.
    depths
        Settled from the images: the share of missing pixels that lie 1, 2 and up to 8 pixels deep in a gap.
    alike
        Settled from the images, one entry a channel: whether similar patches are used, and the variance that they take
        the noise of known pixels to have, in units of the image's variance.
    correlations
        Settled from the images, one entry a channel: correlation of pixels, without their noise, by their distance
        along Y and X, 0 to 4 pixels.
    """

    dimensions: Annotated[Literal["auto", "2", "3"], BeforeValidator(str)] = "auto"
    rule: Literal["auto", "biharmonic", "harmonic", "between"] = "auto"
    similar: Choice = "auto"
    given: tuple[str, ...] = ()
    shapes: tuple[str, ...] = ()
    depths: tuple[float, ...] = ()
    alike: Alike = ()
    correlations: Correlations = ()


class Interpolation(Method):
    """Biharmonic or harmonic surfaces over Y and X, or lines along Z (see ``operators.gaps``), and similar patches.

    Which of them is taken is measured: pixels that are there are hidden by the shapes of what is missing, moved and
    flipped, and the rule with the least squared error at them is the one. Patches that look alike (``completing``) are
    then used where they come nearer to the hidden pixels than the rule does. Nothing else is learned.
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
        fit, _ = cls.settled(config, images)
        return fit

    @classmethod
    def settled(cls, config: Any, images: Sequence[Image]) -> tuple[Fit, list[Window]]:
        """What ``fit_to`` settles, and the parts of the images that it was settled by."""
        _check_size(images[0], label=cls.listed.label)
        normalisation = constants(planes_of_channels(images), images[0].name)
        spatial = _axes(config.dimensions, images)
        windows = windows_of(images, spatial, normalisation)
        if not windows:
            raise ImageError(
                f"{images[0].name}: nothing is missing. Give a `mask` that is not 0 where a pixel is missing, set such "
                "pixels to NaN, or say with `missing` how they look, such as zeros or saturated."
            )
        shapes, depths = shapes_of(windows), depths_of(windows)
        judge = partial(hidden_errors, windows, shapes, depths, side=_JUDGED_ON)
        rule, notes = _chosen_rule(config.rule, judge, spatial)
        some = windows[:: math.ceil(len(windows) / _PATCHES_JUDGED_IN)]
        judge = partial(hidden_errors, some, shapes, depths, side=_PATCHES_JUDGED_ON)
        similar, more = unless_large(config.similar, images, most=_QUICKLY, minutes=_minutes)
        alike, correlations, said = _chosen_patches(similar, judge, rule, some) if similar != "no" else ((), (), ())
        found = replace(
            config,
            dimensions=str(len(spatial)),
            rule=rule,
            similar="yes" if any(used for used, _ in alike) else "no",
            shapes=shapes.packed(),
            depths=depths,
            alike=alike,
            correlations=correlations,
        )
        return Fit(found, spatial, normalisation, (*notes, *more, *said, *_wide(windows))), windows

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
    def patches(self) -> bool:
        """Whether any channel is found by similar patches."""
        return any(used for used, _ in self.config.alike)

    @property
    def radius(self) -> tuple[int, ...]:
        """As far as gaps are filled from, and patches looked for."""
        along = gaps.REACH + (completing.REACH if self.patches else 0)
        return tuple(gaps.PLANES if a == "Z" else along for a in self.spatial)

    @property
    def border(self) -> tuple[int, ...]:
        """None: what is whole along an axis is mirrored where it ends."""
        return (0,) * len(self.spatial)

    @property
    def grid(self) -> tuple[int, ...]:
        """Any pixel, or those that patches begin at."""
        return tuple(THOROUGH.step if a in "YX" and self.patches else 1 for a in self.spatial)

    @property
    def tile(self) -> tuple[int, ...]:
        """Large, as the halo is wide."""
        return _TILE[len(self.spatial)]

    def as_graph(self) -> Self:
        """Without patches that look alike: which these are is decided by their values."""
        clone = copy.deepcopy(self)
        clone.config = replace(self.config, similar="no", alike=(), correlations=())
        return clone

    def usual(self, sides: Sequence[int]) -> NDArray[np.float32]:
        """Some are missing, by the shapes that were settled: what is whole takes no time."""
        if not self.config.shapes:
            return super().usual(sides)
        shapes = torch.from_numpy(Shapes.unpacked(self.config.shapes).masks)
        gone = hidden(shapes, self.channels, sides, torch.Generator().manual_seed(0))
        return torch.where(gone[:, 0], torch.nan, 0.0).float()[None].numpy()

    def refined(self, pixels: Tensor, known: Tensor, filled: Tensor) -> Tensor:
        """What is filled, found anew by similar patches where they are used."""
        if not self.patches:
            return filled
        found = filled.clone()
        for c, (used, noise) in enumerate(self.config.alike):
            if used:
                correlation = completing.believed(self.config.correlations[c])
                planes = (each[:, c] for each in (pixels, known, filled))
                found[:, c] = completing.completed(*planes, noise=noise, correlation=correlation)
        return found

    def plain(self, pixels: Tensor) -> Tensor:
        """Filled by the rule, and by similar patches."""
        known = torch.isfinite(pixels)
        with torch.autocast(pixels.device.type, enabled=False):
            return self.refined(pixels, known, gaps.fill(pixels, known, self.rule))

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


def _chosen_rule(asked: str, judge: Any, spatial: str) -> tuple[Any, tuple[Note, ...]]:
    """The rule, and what is said of it; ``judge`` is ``hidden_errors`` of the windows at hand."""
    if asked != "auto":
        if asked == "between" and "Z" not in spatial:
            raise RestoreError("rule = 'between' goes from plane to plane: give dimensions 3, or another rule.")
        return asked, ()
    rules: tuple[gaps.Rule, ...] = ("biharmonic", "harmonic", *(("between",) if "Z" in spatial else ()))
    errors = {rule: judge(partial(gaps.fill, rule=rule)) for rule in rules}
    known = {rule: float(np.nanmean(error)) for rule, error in errors.items() if np.isfinite(error).any()}
    if not known:
        return "biharmonic", ()
    best = min(known, key=lambda rule: known[rule])
    told = ", ".join(f"{rule} {error**0.5:.3f}" for rule, error in known.items())
    return best, (
        Note(f"pixels that are there, hidden by the same shapes, are missed by (in deviations of the image): {told}"),
    )


def _minutes(count: int) -> str:
    return f"up to {math.ceil(count * _SECONDS_A_PIXEL / 60)}"


def _chosen_patches(
    asked: Choice, judge: Any, rule: gaps.Rule, windows: Sequence[Window]
) -> tuple[Alike, Correlations, tuple[Note, ...]]:
    """For each channel: whether similar patches are used, with how much noise, and how pixels are alike."""
    without = judge(partial(gaps.fill, rule=rule))
    covariances = [completing.covariances([_filled(w, c, rule) for w in windows]) for c in range(len(without))]
    tried = [_guess(covariances, share * np.nan_to_num(without)) for share in _NOISE]
    errors = np.array([judge(partial(_completed, rule=rule, guess=guess)) for guess in tried])
    best = np.where(np.isfinite(errors), errors, np.inf).argmin(0)
    found = np.take_along_axis(errors, best[None], 0)[0]
    used = ((found < without) | (asked == "yes")).tolist()
    chosen = [tried[k][c] for c, k in enumerate(best)]
    told = ", ".join(f"{after**0.5:.3f} not {before**0.5:.3f}" for after, before in zip(found, without, strict=True))
    said = (Note(f"found by patches that look alike, they are missed by {told}"),) if np.isfinite(found).any() else ()
    alike = tuple((u, noise) for u, (noise, _) in zip(used, chosen, strict=True))
    return alike, tuple(correlation for _, correlation in chosen), said


def _filled(window: Window, channel: int, rule: gaps.Rule) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels of a window, which of them are known, and all of them as the rule has them."""
    pixels = torch.from_numpy(window.pixels[channel])[None, None]
    known = torch.isfinite(pixels)
    return pixels, known, gaps.fill(pixels, known, rule)


def _guess(covariances: Sequence[NDArray[np.float64]], noise: NDArray[np.float64]) -> Guess:
    each = zip(covariances, noise.tolist(), strict=True)
    return [(level, tuple(map(tuple, completing.correlations(found, level).tolist()))) for found, level in each]


def _completed(pixels: Tensor, known: Tensor, *, rule: gaps.Rule, guess: Guess) -> Tensor:
    """Channels ``(C, 1, *S)`` filled by a rule and similar patches, each by its own noise and correlation."""
    each = zip(pixels, known, gaps.fill(pixels, known, rule), guess, strict=True)
    channels = [
        completing.completed(*planes, noise=noise, correlation=completing.believed(correlation))
        for *planes, (noise, correlation) in each
    ]
    return torch.stack(channels)


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

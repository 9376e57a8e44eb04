"""Can a denoised image be trusted? A part of it restored again, and judged without the truth."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.events import Note
from napari_restore.core.job import Events
from napari_restore.judging import words
from napari_restore.judging.kinds import kept_by_kind, stays_noisy
from napari_restore.judging.looked_at import DEPTH, Noise, Units, denoiser_of, noise_of, own_error, part_looked_at
from napari_restore.metrics.estimated_error import EstimatedError, estimated_error
from napari_restore.metrics.structure import structure_map, summary
from napari_restore.metrics.whiteness import whiteness
from napari_restore.sources import Image
from napari_restore.store.model import Model

_LOST = 0.02  # share of the part with structure in what was removed
# The squared error over what a method tells of it, in the middle of eight frames and nine samples with a truth, and by
# what share of itself that errs: 0.3 there, and some more for images of other kinds.
_OVER_OWN, _OWN_ERR = 1.1, 0.5


@dataclass(frozen=True)
class Checked:
    """What is known of a denoised part of an image without its truth.

    Attributes
    ----------
    mse
        Estimated mean squared distance to the truth, in squared units of the image.
    psnr, psnr_at_least, psnr_before
        In dB over the range of the restored part: estimated (SURE, and what the method itself tells of its errors where
        these do not contradict each other); sure, by two standard errors; and of the measured image.
        These and ``mse`` are None where the noise could not be measured or is correlated, and a PSNR is where no error
        is left to tell it by.
    structure
        Share of the pixels around which what was removed holds structure, 0 to 1.
    whiteness
        Of what was removed: 0 for white noise, see ``metrics.whiteness``.
    verdict
        All of it in a sentence for users.
    trusted
        False where detail was removed, the result is not nearer to the truth than the measured image, planes of one
        kind (dim ones, mostly) keep their noise, or neighbours share the noise: fine texture looks the same then.
    """

    mse: float | None
    psnr: float | None
    psnr_at_least: float | None
    psnr_before: float | None
    structure: float
    whiteness: float
    verdict: str
    trusted: bool


def check_events(image: Image, model: Model, **options: Any) -> Events[Checked | None]:
    """``check``, as a generator of events: its verdict as a ``Note``, a warning where it is not trusted."""
    checked = check(image, model, **options)
    if checked is not None:
        yield Note(checked.verdict, "info" if checked.trusted else "warning")
    return checked


def check(image: Image, model: Model, *, size: int = 256, seed: int = 0, device: str = "auto") -> Checked | None:
    """Restore the middle of the image, and the same with a little noise added, and look at what was removed.

    Parameters
    ----------
    size
        Pixels along Y and X of the part, at most; all channels, one plane, or 8 where the method looks along Z or T, of
        half the size where its network is 3-D: with what lies around, that takes no more memory than a tile.
        Where planes differ by much, the darkest and the brightest one are looked at by themselves, too.
    seed
        Of the random probe of the SURE estimate.

    Returns
    -------
    Checked or None
        None where the method undoes an operator, which ``judge`` is for, or makes pixels finer, or fills missing ones
        (how well, it has measured itself at hidden pixels), or the part has less than 4096 pixels or cannot be read:
        its result may be there all the same, with 0 for those pixels.
    """
    if model.method.undoes is not None or max(model.method.rate) > 1 or model.method.fills:
        return None
    along = model.method.spatial[:-2]
    if any(axis not in image.axes for axis in along):  # one picture, for a model that looks at planes beside it
        return None
    if along and not model.method.neighbours:
        size //= 2
    seen = part_looked_at(image, along, size)
    if seen is None:
        return None
    units = Units.of(model.normalisation)
    pixels, shown = units.take(seen.measured), units.take(seen.values)
    known = np.isfinite(pixels)
    in_units = replace(model, normalisation=units.constants(model.normalisation))
    through = denoiser_of(in_units, image.axes, device)

    def seen_with(y: NDArray[Any]) -> NDArray[Any]:
        return np.where(known, y, shown)  # what was not measured is always seen as it is when restoring

    def denoise(y: NDArray[Any]) -> NDArray[np.float32]:
        return through(seen_with(y))

    restored = denoise(pixels)
    noise = noise_of(seen.measured, image)
    error = None if noise is None else _error(denoise, pixels, restored, noise, units, seed=seed)
    if error is not None and noise is not None and noise.correlated is None:
        own = own_error(in_units, seen_with(pixels), image.axes, device)
        error = error.weighed(_OVER_OWN * own, spread=_OWN_ERR) if own else error
    planes = [i for i, a in enumerate(image.axes) if a not in "YX"] + [image.axes.index(a) for a in "YX"]
    removed = (pixels - restored).transpose(planes)
    found = summary(
        structure_map(removed, restored.transpose(planes), correlation=noise.correlation if noise is not None else None)
    )

    def in_its_units(y: NDArray[Any]) -> NDArray[np.float64]:
        return units.give(through(units.take(y)))

    kinds = kept_by_kind(image, in_its_units, along=along, depth=DEPTH, size=size)
    noisy = kinds is not None and stays_noisy(kinds)
    shared = noise is not None and noise.correlated is not None
    told = "; ".join([words.gained(error), found.verdict, *([words.shared()] if shared else [])])
    return Checked(
        mse=error.mse * units.scale**2 if error is not None else None,
        psnr=_finite(error.psnr) if error is not None else None,
        psnr_at_least=_finite(error.psnr_at_least) if error is not None else None,
        psnr_before=_finite(error.psnr_before) if error is not None else None,
        structure=found.share,
        whiteness=float(whiteness(np.nan_to_num(removed))),
        verdict=words.dim_planes(*kinds) if kinds and noisy else told,
        trusted=found.share < _LOST and (error is None or error.better) and not noisy and not shared,
    )


def _error(
    denoise: Callable[[NDArray[Any]], NDArray[np.float32]],
    pixels: NDArray[np.float32],
    restored: NDArray[np.float32],
    noise: Noise,
    units: Units,
    *,
    seed: int,
) -> EstimatedError:
    """Of what was restored, in these units."""
    return estimated_error(
        denoise,
        pixels,
        variance=noise.variance / units.scale**2,
        spread=noise.spread,
        correlated=noise.correlated,
        rng=np.random.default_rng(seed),
        restored=restored,
    )


def _finite(psnr: float) -> float | None:
    return psnr if math.isfinite(psnr) else None

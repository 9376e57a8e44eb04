"""Can a denoised image be trusted? A part of it restored again, and judged without the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.errors import ImageError
from napari_restore.core.events import Note
from napari_restore.core.job import Events
from napari_restore.core.region import Region
from napari_restore.methods.apply import restore_region
from napari_restore.methods.device import find_device
from napari_restore.methods.imaging import Imaging
from napari_restore.methods.measuring import noise_levels
from napari_restore.metrics.estimated_error import EstimatedError, estimated_error
from napari_restore.metrics.noise_level import NoiseLevel
from napari_restore.metrics.structure import structure_map, summary
from napari_restore.metrics.whiteness import whiteness
from napari_restore.sources import Image, open_image
from napari_restore.store.model import Model

_DEPTH = 8
_LEAST_PIXELS = 4096
_CORRELATED = 0.15
_LOST = 0.02  # share of the part with structure in what was removed


@dataclass(frozen=True)
class Checked:
    """What is known of a denoised part of an image without its truth.

    Attributes
    ----------
    mse
        Estimated mean squared distance to the truth, in squared units of the image.
    psnr, psnr_at_least, psnr_before
        In dB over the range of the restored part: estimated (SURE), by two standard errors less, and of the measured
        image. These and ``mse`` are None where the noise could not be measured or is correlated.
    structure
        Share of the pixels around which what was removed holds structure, 0 to 1.
    whiteness
        Of what was removed: 0 for white noise, see ``metrics.whiteness``.
    verdict
        All of it in a sentence for users.
    trusted
        False where detail was removed, or the result is not nearer to the truth than the measured image.
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
        Pixels along Y and X of the part, at most; all channels, one plane, or 8 of them where the method looks along Z.
    seed
        Of the random probe of the SURE estimate.

    Returns
    -------
    Checked or None
        None where the method undoes an operator, which ``judge`` is for, or makes pixels finer, or the part has less
        than 4096 pixels or cannot be read: its result may be there all the same, with 0 for those pixels.
    """
    if isinstance(model.method, Imaging) or max(model.method.rate) > 1:
        return None
    region = _middle(image, depth=_DEPTH if "Z" in model.method.spatial else 1, size=size)
    try:
        pixels = np.asarray(image.read(region), np.float32)
    except ImageError:
        return None
    if np.isfinite(pixels).sum() < _LEAST_PIXELS:
        return None
    place = find_device(device)
    method = model.method.for_restoring().to(place)

    def denoise(y: NDArray[Any]) -> NDArray[np.float32]:
        part = open_image(y.astype(np.float32), axes=image.axes)
        whole = Region.of_shape(y.shape)
        return restore_region(method, part, whole, normalisation=model.normalisation, device=place)

    filled = np.where(
        np.isfinite(pixels), pixels, pixels[np.isfinite(pixels)].mean(dtype=np.float64).astype(np.float32)
    )
    restored = denoise(filled)

    def denoise_once(y: NDArray[Any]) -> NDArray[np.float32]:
        return restored if np.array_equal(y.astype(np.float32), filled) else denoise(y)

    order = [i for i, a in enumerate(image.axes) if a not in "YX"] + [image.axes.index(a) for a in "YX"]
    error = _error(denoise_once, pixels, image, seed=seed)
    residual = (pixels - restored).transpose(order)
    found = summary(structure_map(residual, restored.transpose(order)))
    better = error is None or error.better
    return Checked(
        mse=error.mse if error is not None else None,
        psnr=error.psnr if error is not None else None,
        psnr_at_least=error.psnr_at_least if error is not None else None,
        psnr_before=error.psnr_before if error is not None else None,
        structure=found.share,
        whiteness=float(whiteness(np.nan_to_num(residual))),
        verdict=f"{_error_in_words(error)}; {found.verdict}",
        trusted=found.share < _LOST and better,
    )


def _middle(image: Image, *, depth: int, size: int) -> Region:
    most = {"C": image.geometry.length("C"), "Z": depth, "Y": size, "X": size}
    lengths = [min(n, most.get(a, 1)) for a, n in zip(image.axes, image.shape, strict=True)]
    start = [(n - k) // 2 for n, k in zip(image.shape, lengths, strict=True)]
    return Region(tuple(start), tuple(a + k for a, k in zip(start, lengths, strict=True)))


def _error(denoise: Any, pixels: NDArray[np.float32], image: Image, *, seed: int) -> EstimatedError | None:
    """SURE with the noise of each channel; None where that is not known or not white."""
    try:
        levels = noise_levels([image])
    except ImageError:  # no block of finite pixels
        return None
    if not all(level.reliable and level.sigma > 0 and abs(level.correlation) < _CORRELATED for level in levels):
        return None
    split = np.moveaxis(pixels, image.axes.index("C"), 0) if "C" in image.axes else pixels[None]
    variances = np.stack([_variance(y, level) for y, level in zip(split, levels, strict=True)])
    variance = np.moveaxis(variances, 0, image.axes.index("C")) if "C" in image.axes else variances[0]
    return estimated_error(denoise, pixels, variance=variance, rng=np.random.default_rng(seed))


def _variance(y: NDArray[np.float32], level: NoiseLevel) -> NDArray[np.float64]:
    """Not clamped where the signal grows the noise: ``estimated_error`` says why."""
    return level.read**2 + level.gain * (y.astype(np.float64) - level.offset)


def _error_in_words(error: EstimatedError | None) -> str:
    if error is None:
        return "the noise is not known well enough to estimate a PSNR"
    if not error.better:
        return "the result is not surely nearer to the truth than the image itself: train longer"
    gained = error.psnr - error.psnr_before
    return (
        f"estimated without a truth: PSNR {error.psnr:.1f} dB, {error.psnr_at_least:.1f} dB at least, which is "
        f"{gained:.1f} dB more than before"
    )

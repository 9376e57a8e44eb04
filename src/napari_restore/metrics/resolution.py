"""The finest detail that two images have in common, or that one image has beside its noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.fft import fftfreq, fftn
from scipy.ndimage import uniform_filter1d

from napari_restore.core.errors import ImageError

THRESHOLD = 1 / 7
_TAPER = 0.25  # of an axis, both ends together: 1/8 of the width at each, as in Nieuwenhuizen et al. (2013)
_SMALLEST = 16
_RINGS = (3, 9)  # that the crossing is looked for in together: at least, at most


@dataclass(frozen=True, eq=False)
class Curve:
    """How alike two images are, ring by ring in Fourier space.

    Attributes
    ----------
    frequency
        Centres of the rings, ``(R,)``, in cycles per unit of the pixel size.
    correlation
        Of the two images in each ring, ``(R,)``, -1 to 1.
    threshold
        Correlation at which detail counts as lost.
    resolution
        One over the frequency at which the correlation falls to the threshold, in units of the pixel size: the finest
        detail that is there, so that smaller is better. The limit of the sampling where the correlation never falls
        so low; infinite where it is too low from the coarsest ring on.
    """

    frequency: NDArray[np.float64]
    correlation: NDArray[np.float64]
    threshold: float
    resolution: float


def frc(one: NDArray[Any], two: NDArray[Any], *, pixel_size: float | Sequence[float] = 1.0) -> Curve:
    """Fourier ring correlation of two images, or Fourier shell correlation of two volumes.

    The fixed threshold of 1/7 (Rosenthal and Henderson 2003, doi:10.1016/j.jmb.2003.07.013) as used for micrographs by
    Nieuwenhuizen et al. (2013, doi:10.1038/nmeth.2448). Edges are tapered by a Tukey window. The crossing is that of
    the curve over neighbouring rings together (a sixteenth of all, 3 to 9)
    where it stays below for as many, and is interpolated.

    The two must have independent noise: what they share counts as detail, fixed patterns of a camera too. Two
    restorations by one model share what the model made up.

    Parameters
    ----------
    one, two
        ``(Y, X)`` or ``(Z, Y, X)``, of the same shape, 16 pixels or more along Y and X. Pixels that are not finite in
        either are set to the mean.
    pixel_size
        Of every axis, or one for all. Rings go up to the limit of the finest axis; beyond that of a coarser axis they
        are the part that was sampled.

    Raises
    ------
    ImageError
        If the images differ in shape, are too small, or have another number of axes than two or three.
    """
    a, b = np.asarray(one, np.float64), np.asarray(two, np.float64)
    _check(a, b)
    sizes = _sizes(pixel_size, a.ndim)
    rings, frequency = _rings(a.shape, sizes)
    good = np.isfinite(a) & np.isfinite(b)
    first, second = (fftn(_tapered(x, good)) for x in (a, b))
    return _curve(frequency, _sums(first, second, rings, len(frequency)), limit=2 * min(sizes))


def single_image_frc(image: NDArray[Any], *, pixel_size: float = 1.0) -> Curve:
    """The Fourier ring correlation that an image would have with a second one like it, told from the image alone.

    The image is split into its four sub-lattices of every second pixel, and those on one diagonal are correlated, as by
    Koho et al. (2019, doi:10.1038/s41467-019-11024-z). Two differences, both because what the split does is known for
    noise that is independent from pixel to pixel: the phase of the shift by one pixel along both axes is taken out, and
    the correlation r is that of sub-lattices, which have four times the noise per frequency, so that 4 r / (1 + 3 r) is
    given. Theirs is an empirical factor on the resolution for both instead.

    It goes to half of the image's highest frequency: 4 pixels are the finest resolution that it tells. Finer detail
    folds back, so that it serves images sampled finer than their detail; correlated noise counts as detail.

    Parameters
    ----------
    image
        ``(Y, X)``, 16 pixels or more along both. Pixels that are not finite are set to the mean.
    pixel_size
        Of both axes.

    Raises
    ------
    ImageError
        If the image is too small, or is no plane.
    """
    whole = np.asarray(image, np.float64)
    if whole.ndim != 2:
        raise ImageError(f"single-image resolution: an array of shape {whole.shape} is no plane. Give (Y, X).")
    _check(whole, whole)
    whole = whole[: whole.shape[0] // 2 * 2, : whole.shape[1] // 2 * 2]
    parts = {(i, j): whole[i::2, j::2] for i in (0, 1) for j in (0, 1)}
    shape = parts[0, 0].shape
    rings, frequency = _rings(shape, (2 * pixel_size,) * 2)
    good = np.isfinite(whole)
    spectra = {at: fftn(_tapered(part, good[at[0] :: 2, at[1] :: 2])) * _shift(shape, at) for at, part in parts.items()}
    pairs = (((0, 0), (1, 1)), ((0, 1), (1, 0)))
    sums = sum(_sums(spectra[one], spectra[two], rings, len(frequency)) for one, two in pairs)
    return _curve(frequency, np.asarray(sums), limit=4 * pixel_size, finer=4)


def frc_resolution(image: NDArray[Any], reference: NDArray[Any], *, data_range: float | None = None) -> float:
    """Resolution in pixels of ``frc`` over the last two axes, median over the rest; smaller is better."""
    del data_range  # a correlation has no units
    return float(np.median([frc(a, b).resolution for a, b in zip(_planes(image), _planes(reference), strict=True)]))


def single_image_resolution(image: NDArray[Any]) -> float:
    """Resolution in pixels of ``single_image_frc`` over the last two axes, median over the rest; smaller is better."""
    return float(np.median([single_image_frc(plane).resolution for plane in _planes(image)]))


def _planes(image: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(image).reshape(-1, *np.shape(image)[-2:])


def _check(one: NDArray[Any], two: NDArray[Any]) -> None:
    if one.shape != two.shape:
        raise ImageError(f"Fourier ring correlation: shapes {one.shape} and {two.shape} differ. Give the same shape.")
    if one.ndim not in (2, 3):
        raise ImageError(f"Fourier ring correlation: {one.ndim} axes, and (Y, X) or (Z, Y, X) are needed.")
    if min(one.shape[-2:]) < _SMALLEST:
        raise ImageError(
            f"Fourier ring correlation: a plane of {one.shape[-2]} x {one.shape[-1]} px has too few rings. Give "
            f"{_SMALLEST} x {_SMALLEST} px or more."
        )


def _sizes(pixel_size: float | Sequence[float], ndim: int) -> tuple[float, ...]:
    sizes = tuple(np.broadcast_to(np.asarray(pixel_size, np.float64), (ndim,)).tolist())
    if not all(0 < s < math.inf for s in sizes):
        raise ImageError(f"Fourier ring correlation: pixel size {sizes} must be positive and finite on every axis.")
    return sizes


def _rings(shape: tuple[int, ...], sizes: Sequence[float]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The ring that every frequency lies in, and their centres from 0 up to the finest axis's limit.

    A ring is as wide as the coarsest step of frequency of an axis with more than one pixel.
    """
    width = max(1 / (n * s) for n, s in zip(shape, sizes, strict=True) if n > 1)
    axes = np.meshgrid(*(fftfreq(n, s) for n, s in zip(shape, sizes, strict=True)), indexing="ij", sparse=True)
    radius = np.sqrt(np.asarray(sum(np.square(f) for f in axes)))
    rings = np.rint(radius / width).astype(np.intp)
    return rings, np.arange(int(0.5 / min(sizes) / width + 1e-9) + 1) * width


def _tapered(image: NDArray[np.float64], good: NDArray[np.bool_]) -> NDArray[np.float64]:
    from scipy.signal.windows import tukey  # loads scipy.stats: a second, which a first picture does not wait for

    filled = np.where(good, image - (image[good].mean() if good.any() else 0.0), 0.0)
    for axis, n in enumerate(image.shape):
        if n > 2:  # the window of a thinner axis would be all edge
            filled = filled * tukey(n + 2, _TAPER)[1:-1].reshape([-1 if i == axis else 1 for i in range(image.ndim)])
    return filled


def _shift(shape: tuple[int, ...], at: tuple[int, int]) -> NDArray[np.complex128]:
    """What undoes a sub-lattice's place: half of its pixels along the axes where it starts one pixel later."""
    y, x = (np.exp(-1j * np.pi * i * fftfreq(n)) for i, n in zip(at, shape, strict=True))
    return np.asarray(y[:, None] * x)


def _sums(
    one: NDArray[np.complex128], two: NDArray[np.complex128], rings: NDArray[np.intp], count: int
) -> NDArray[np.float64]:
    """Cross power and both powers, summed over each ring: ``(3, R)``."""
    powers = ((one * two.conj()).real, np.square(np.abs(one)), np.square(np.abs(two)))
    return np.stack([np.bincount(rings.ravel(), p.ravel(), count)[:count] for p in powers])


def _curve(frequency: NDArray[np.float64], sums: NDArray[np.float64], *, limit: float, finer: int = 1) -> Curve:
    """The curve without the mean (ring 0); for images with ``finer`` times the signal-to-noise ratio of the sums."""
    correlation = _ratio(sums[:, 1:], finer)
    together = min(max(len(frequency) // 16, _RINGS[0]), _RINGS[1]) | 1
    smooth = _ratio(uniform_filter1d(sums[:, 1:], together, axis=1, mode="nearest"), finer)
    resolution = _resolution(frequency[1:], smooth, limit, run=together)
    return Curve(frequency[1:], correlation, THRESHOLD, resolution)


def _ratio(sums: NDArray[np.float64], finer: int) -> NDArray[np.float64]:
    power = np.sqrt(sums[1] * sums[2])
    r = np.divide(sums[0], power, out=np.zeros_like(power), where=power > 0)
    # With a signal-to-noise ratio q a correlation is q / (q + 1). Below 0 it is chance, and stays as it is.
    return np.asarray(np.where(r > 0, finer * r / (1 + (finer - 1) * r), r))


def _resolution(frequency: NDArray[np.float64], correlation: NDArray[np.float64], limit: float, *, run: int) -> float:
    """One over the frequency from which the correlation stays below the threshold for ``run`` rings, or to the end.

    The few samples of a coarse ring fall below it by chance alone.
    """
    below = np.append(correlation < THRESHOLD, np.ones(run - 1, bool))
    lasting = np.flatnonzero(np.lib.stride_tricks.sliding_window_view(below, run).all(1))
    if not lasting.size:
        return limit
    k = int(lasting[0])
    if k == 0:
        return math.inf
    part = (correlation[k - 1] - THRESHOLD) / (correlation[k - 1] - correlation[k])
    return float(1 / (frequency[k - 1] + part * (frequency[k] - frequency[k - 1])))

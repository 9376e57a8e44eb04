"""Guards against invented structure: noise alone, structures that were planted, and what the image itself bears out.

Each asks the model about arrays of which something is known: no truth is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Denoise = Callable[[NDArray[np.float64]], NDArray[Any]]
"""A measured image in, the restored one of the same shape and units out."""

LIMIT = 0.05
"""Of the noise's deviation, that noise alone may leave in a result without being told."""

CONTRASTS = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Of planted structures at their brightest, in deviations of the noise."""

SIZES = {"small": 1.5, "large": 5.0}
"""Deviations of planted structures, which are Gaussian, in pixels."""

_COMES_BACK = 0.5
"""Share of its contrast from which a structure counts as come back."""
_OF_ALL = 0.9
"""Share of structures that have to come back for their contrast to be called detectable."""
_APART = 8
"""Deviations of a structure from one to the next."""
_MOST = 64
"""Structures that are planted at once."""
_WINDOW = 7.0
"""Deviation of the window that support is looked for in, in pixels: the larger, the surer, and the coarser its map."""
_SMOOTH = 4.0
"""Of the Gaussian that a result is compared with: what there is without any fine structure."""
SURE = 1.6449
"""Standard errors that chance reaches in 1 place of 20."""
_LEAST_STRUCTURE = 0.05
"""Of the noise's variance, about: a place with less structure in the result is not asked about."""
_STEP = 0.1
"""Of the noise: of the finite difference."""


@dataclass(frozen=True)
class Null:
    """What becomes of noise without any structure.

    Attributes
    ----------
    name
        ``dark``, ``middle`` or ``bright``.
    signal
        That the noise is of, in units of the image; the mean of the channels.
    kept
        Deviation of the result over that of the noise: 0 where it comes back flat.
    """

    name: str
    signal: float
    kept: float

    @property
    def flat(self) -> bool:
        """Whether no more than ``LIMIT`` is left."""
        return self.kept <= LIMIT


@dataclass(frozen=True)
class Planted:
    """What becomes of structures that were added to the image.

    Attributes
    ----------
    size
        A name of ``SIZES``.
    contrast
        At their brightest, in deviations of the noise.
    recovered
        Share of the contrast that comes back, the mean over them; 1 where restored intensity grows in proportion.
    found
        Share of them of which half the contrast or more does.
    """

    size: str
    contrast: float
    recovered: float
    found: float


@dataclass(frozen=True, eq=False)
class Support:
    """Whether the image itself bears out the structure in a result, ``(..., Y, X)``.

    Attributes
    ----------
    own
        Share of a restored pixel that comes of the pixel itself, about it; the rest comes of its surroundings.
    borne_out
        Standard errors by which the image is nearer to the result than to a smooth picture, around there; NaN where the
        result has too little structure to ask.
    """

    own: NDArray[np.float32]
    borne_out: NDArray[np.float32]

    @property
    def flagged(self) -> NDArray[np.bool_]:
        """Places whose structure the image does not surely bear out: of what is made up, 1 in 20 passes by chance."""
        with np.errstate(invalid="ignore"):
            return self.borne_out < SURE

    @property
    def share(self) -> float:
        """Of the places with structure that are flagged; 0 where there is none."""
        asked = np.isfinite(self.borne_out)
        return float(self.flagged[asked].mean()) if asked.any() else 0.0


def null_test(
    denoise: Denoise,
    signals: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    shape: tuple[int, ...],
    *,
    margin: int,
    rng: np.random.Generator,
) -> tuple[Null, ...]:
    """Noise of a measured kind on one signal after the other, restored.

    Parameters
    ----------
    signals
        By name: the signal and the deviation of its noise, each of which broadcasts to the shape.
    shape
        Of the arrays that are restored, ``(..., Y, X)``.
    margin
        Pixels along Y and X at each border that are not looked at, where there are so many.
    """
    found = []
    for name, (signal, deviation) in signals.items():
        restored = np.asarray(denoise(signal + deviation * rng.normal(size=shape)), np.float64)
        left = (restored - signal) / np.maximum(deviation, np.finfo(np.float32).tiny)
        found.append(Null(name, float(np.mean(signal)), float(_inner(left, margin).std())))
    return tuple(found)


def planted_test(
    denoise: Denoise,
    image: NDArray[np.float64],
    restored: NDArray[Any],
    deviation: NDArray[np.float64],
    *,
    depth: bool,
) -> tuple[Planted, ...]:
    """Structures of every size and contrast, added to the image at places of a grid, and found again in the result.

    What was added to an image and what that adds to the result are compared: the shares are those of this image, with
    its own structures around.

    Parameters
    ----------
    image, restored
        ``(..., Y, X)``.
    deviation
        Of the noise, in units of the image, one for all pixels of a channel: it broadcasts to the image.
    depth
        Whether structures end along the axis before Y as well: of a volume.
    """
    rows = []
    for size, width in SIZES.items():
        places = _places(image.shape, width)
        shapes = _shapes(image.shape, places, width, depth=depth)
        for contrast in CONTRASTS:
            height = contrast * deviation
            more = (np.asarray(denoise(image + height * shapes), np.float64) - restored) / height
            shares = np.array([_share(more, shapes, place, width) for place in places])
            rows.append(Planted(size, contrast, float(shares.mean()), float((shares >= _COMES_BACK).mean())))
    return tuple(rows)


def detectable(rows: Sequence[Planted], size: str) -> float | None:
    """The contrast, in deviations of the noise, from which nine of ten structures come back; None where they do not.

    Between the contrasts that were planted along a line in the logarithm.
    """
    curve = sorted((row.contrast, row.found) for row in rows if row.size == size)
    lost = [k for k, (_, found) in enumerate(curve) if found < _OF_ALL]
    first = lost[-1] + 1 if lost else 0
    if first == len(curve):
        return None
    if first == 0:
        return curve[0][0]
    (low, some), (high, most) = curve[first - 1 : first + 1]
    return float(np.exp(np.interp(_OF_ALL, (some, most), np.log((low, high)))))


def support(
    denoise: Denoise,
    image: NDArray[np.float64],
    restored: NDArray[Any],
    variance: NDArray[np.float64],
    *,
    rng: np.random.Generator,
    probes: int = 2,
) -> Support:
    """Whether the image is nearer to a result than to the same without its fine structure, place by place.

    Stein's unbiased estimate of the risk of both (Stein 1981, doi:10.1214/aos/1176345632; its divergence by probes:
    Ramani, Blu, Unser 2008, doi:10.1109/TIP.2008.2001404) is kept for each pixel, and their difference added up in a
    Gaussian window. A structure that was made up has to be paid for: it takes the result away from the image. A true
    one brings it nearer. The smooth picture is the result itself through a Gaussian, so that what both have in common
    costs neither.

    Parameters
    ----------
    image, restored, variance
        ``(..., Y, X)``: measured, its result, and the variance of the noise at each pixel.
    rng
        Draws the probes, of -1 and 1.
    """
    y, f = np.asarray(image, np.float64), np.asarray(restored, np.float64)
    step = _STEP * float(np.sqrt(variance.mean())) or 1.0
    own, own_smooth = np.zeros(y.shape), np.zeros(y.shape)
    for _ in range(probes):
        probe = rng.choice([-1.0, 1.0], y.shape)
        answer = (np.asarray(denoise(y + step * probe), np.float64) - f) / step
        own += probe * answer / probes
        own_smooth += probe * _gaussian(answer, _SMOOTH) / probes
    smooth = _gaussian(f, _SMOOTH)
    detail = f - smooth
    # Both less y^2: what they have in common only adds chance.
    gained = 2 * y * detail - f**2 + smooth**2 - 2 * variance * (own - own_smooth)
    window = _window_sum(_WINDOW)
    chance = np.sqrt(4 * _gaussian(np.square(detail) * variance, _WINDOW) / window + 1e-30)
    surely = _gaussian(gained, _WINDOW) / chance
    some = _gaussian(np.square(detail), _WINDOW) > _LEAST_STRUCTURE * _gaussian(variance, _WINDOW)
    return Support(
        np.clip(_gaussian(own, _WINDOW), 0, 1).astype(np.float32), np.where(some, surely, np.nan).astype(np.float32)
    )


def _gaussian(pixels: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """Along Y and X."""
    return np.asarray(gaussian_filter(pixels, (*(0,) * (pixels.ndim - 2), width, width)))


def _window_sum(width: float) -> float:
    """Independent pixels that a Gaussian mean is of: one over the sum of its squared weights."""
    return 4 * np.pi * width**2


def _inner(pixels: NDArray[np.float64], margin: int) -> NDArray[np.float64]:
    cut = [min(margin, (n - 1) // 4) for n in pixels.shape[-2:]]
    return pixels[..., cut[0] : pixels.shape[-2] - cut[0], cut[1] : pixels.shape[-1] - cut[1]]


def _places(shape: tuple[int, ...], width: float) -> list[tuple[int, int]]:
    """Along Y and X, as far from each other and from the borders as structures of a width have to be."""
    pitch = round(_APART * width)
    along = [range(pitch // 2, max(n - pitch // 2, pitch // 2 + 1), pitch) for n in shape[-2:]]
    places = [(y, x) for y in along[0] for x in along[1] if y < shape[-2] and x < shape[-1]]
    return places[:: -(-len(places) // _MOST)]


def _shapes(
    shape: tuple[int, ...], places: Sequence[tuple[int, int]], width: float, *, depth: bool
) -> NDArray[np.float64]:
    """All structures, each 1 at its brightest."""
    y, x = np.mgrid[: shape[-2], : shape[-1]]
    plane = np.zeros(shape[-2:])
    for cy, cx in places:
        plane += np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * width**2))
    if not depth or len(shape) < 3:
        return np.broadcast_to(plane, shape)
    z = np.arange(shape[-3]) - shape[-3] // 2
    return np.broadcast_to(np.exp(-(z**2) / (2 * width**2))[:, None, None] * plane, shape)


def _share(more: NDArray[np.float64], shapes: NDArray[np.float64], place: tuple[int, int], width: float) -> float:
    """What came back of one structure: its least-squares height."""
    reach = round(_APART * width / 2)
    rows, columns = (slice(max(0, c - reach), c + reach) for c in place)
    here = shapes[..., rows, columns]
    return float((more[..., rows, columns] * here).sum() / np.square(here).sum())

"""How much noise an image has, from the image alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_restore.core.region import Region
from napari_restore.sources import Image

_NORMAL_MAD = 0.6744897501960817
_SAMPLE = 512


def noise_sigma(plane: NDArray[Any]) -> float:
    """Standard deviation of white noise in a 2-D plane, in its units.

    Median absolute deviation of the finest diagonal Haar coefficients, which a smooth signal leaves empty
    (Donoho and Johnstone 1994, doi:10.1093/biomet/81.3.425). Pixels that are not finite are left out; noise that is
    correlated from pixel to pixel is underestimated, and a noiseless texture is taken for noise.
    """
    y = np.asarray(plane, dtype=np.float64)
    y = y[: y.shape[0] // 2 * 2, : y.shape[1] // 2 * 2]
    diagonal = (y[::2, ::2] - y[::2, 1::2] - y[1::2, ::2] + y[1::2, 1::2]) / 2
    finite = diagonal[np.isfinite(diagonal)]
    return float(np.median(np.abs(finite)) / _NORMAL_MAD) if finite.size else 0.0


def image_noise(image: Image) -> float:
    """Median of ``noise_sigma`` over the middle of up to five planes, spread over the image."""
    rest = [i for i, a in enumerate(image.axes) if a not in "YX"]
    sigmas = []
    for part in (0.5, 0.25, 0.75, 0.1, 0.9):
        start = [int(part * (n - 1)) for n in image.shape]
        stop = [s + 1 for s in start]
        for axis in (image.axes.index("Y"), image.axes.index("X")):
            n = image.shape[axis]
            start[axis] = max(0, (n - _SAMPLE) // 2)
            stop[axis] = min(n, start[axis] + _SAMPLE)
        plane = image.read(Region(tuple(start), tuple(stop)))
        sigmas.append(noise_sigma(plane.reshape([n for i, n in enumerate(plane.shape) if i not in rest])))
    return float(np.median(sigmas))

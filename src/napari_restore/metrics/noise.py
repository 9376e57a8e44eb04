"""How much noise an image has, from the image alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_restore.sources import Image
from napari_restore.sources.planes import middle_planes

_NORMAL_MAD = 0.6744897501960817


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
    sigmas = [noise_sigma(plane) for plane in middle_planes(image)]
    return float(np.median(sigmas))

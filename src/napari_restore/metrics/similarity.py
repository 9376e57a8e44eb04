"""How near an image is to the truth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity


def mean_squared_error(image: NDArray[Any], reference: NDArray[Any]) -> float:
    """Mean over all pixels finite in both, in the square of their units."""
    difference = np.asarray(image, np.float64) - np.asarray(reference, np.float64)
    return float(np.mean(np.square(difference[np.isfinite(difference)])))


def psnr(image: NDArray[Any], reference: NDArray[Any], *, data_range: float | None = None) -> float:
    """Peak signal-to-noise ratio in dB; the range is that of the reference where none is given."""
    span = data_range if data_range is not None else _range(reference)
    error = mean_squared_error(image, reference)
    return float("inf") if error == 0 else float(10 * np.log10(span**2 / error))


def psnr_fitted(image: NDArray[Any], reference: NDArray[Any], *, data_range: float | None = None) -> float:
    """PSNR after the gain and the offset that bring the image nearest to the reference (least squares).

    For pairs that were stretched or exposed differently.
    """
    x, y = np.asarray(image, np.float64).ravel(), np.asarray(reference, np.float64).ravel()
    good = np.isfinite(x) & np.isfinite(y)
    gain, offset = np.polyfit(x[good], y[good], 1) if np.ptp(x[good]) > 0 else (0.0, y[good].mean())
    span = data_range if data_range is not None else _range(reference)
    return psnr(x[good] * gain + offset, y[good], data_range=span)


def ssim(image: NDArray[Any], reference: NDArray[Any], *, data_range: float | None = None) -> float:
    """Structural similarity (Wang et al. 2004, doi:10.1109/TIP.2003.819861) of the last two axes, mean over the rest.

    Gaussian weights of 1.5 px; -1 to 1.
    """
    span = data_range if data_range is not None else _range(reference)
    planes = zip(
        np.asarray(image, np.float64).reshape(-1, *image.shape[-2:]),
        np.asarray(reference, np.float64).reshape(-1, *reference.shape[-2:]),
        strict=True,
    )
    values = [
        structural_similarity(a, b, data_range=span, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
        for a, b in planes
    ]
    return float(np.mean(values))


def _range(reference: NDArray[Any]) -> float:
    finite = np.asarray(reference)[np.isfinite(reference)]
    return float(np.ptp(finite.astype(np.float64))) if finite.size else 1.0

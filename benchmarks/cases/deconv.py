"""Cases of deconvolution in 3-D: what a run says and does, by public names alone."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np


def stack_of_photons() -> np.ndarray:
    """Bodies on dark ground, blurred, as a camera with an offset and read noise counts them: 12 x 64 x 64."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(0)
    bodies = gaussian_filter(rng.normal(size=(12, 64, 64)), (2, 5, 5))
    clean = np.clip(bodies / bodies.std(), 0, None)
    counts = rng.poisson(60 * gaussian_filter(clean, (1, 1.5, 1.5)))
    return (counts + rng.normal(100, 2, counts.shape)).astype(np.float32)


def warnings_of_judging() -> str:
    """Numerical warnings while a stack is deblurred in a few steps and judged."""
    from napari_restore import deblur

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RuntimeWarning)
        deblur(
            stack_of_photons(), psf="gaussian:1,1.5,1.5", steps=2, width=4, axes="ZYX", device="cpu", patch=(8, 40, 40)
        )
    found = sorted({str(w.message) for w in caught if issubclass(w.category, RuntimeWarning)})
    return f"{len(found)} kinds of warning" + (f": {'; '.join(found)}" if found else "")


def without_training() -> str:
    """Whether there is classical deconvolution, and how far it brings a stack from its residual."""
    from napari_restore import deblur

    try:
        result = deblur(
            stack_of_photons(), psf="gaussian:1,1.5,1.5", method="richardson_lucy", axes="ZYX", device="cpu"
        )
    except Exception as error:  # noqa: BLE001  whatever the tree at hand says is the figure
        return f"refused: {str(error)[:80]}"
    return f"restored, deviation {float(np.asarray(result).std()):.1f} of {float(stack_of_photons().std()):.1f}"


CASES: dict[str, Callable[[], str]] = {
    "15.1 classical deconvolution without training": without_training,
    "15.7 numerical warnings while a stack is judged": warnings_of_judging,
}

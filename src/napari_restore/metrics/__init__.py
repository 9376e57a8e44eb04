"""Numbers to report about an image. One row adds a measure."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

WITH_REFERENCE = {
    "psnr": "napari_restore.metrics.similarity:psnr",
    "psnr_fitted": "napari_restore.metrics.similarity:psnr_fitted",
    "ssim": "napari_restore.metrics.similarity:ssim",
    "frc": "napari_restore.metrics.resolution:frc_resolution",
    "whiteness": "napari_restore.metrics.whiteness:whiteness_against",
}
"""Measures of an image against a reference: ``(image, reference, *, data_range=None) -> float``.

Arrays ``(..., Y, X)``. More is better in psnr, psnr_fitted and ssim; less is better in frc and whiteness.
"""

ALONE = {
    "resolution": "napari_restore.metrics.resolution:single_image_resolution",
}
"""Measures of one image: ``(image) -> float``, of an array ``(..., Y, X)``."""


def find(name: str) -> Callable[..., float]:
    """The measure of that name."""
    module, _, attribute = (WITH_REFERENCE | ALONE)[name].partition(":")
    found: Callable[..., Any] = getattr(import_module(module), attribute)
    return found

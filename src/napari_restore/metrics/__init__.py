"""Numbers to report about an image. One row adds a measure."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

WITH_REFERENCE = {
    "psnr": "napari_restore.metrics.similarity:psnr",
    "psnr_fitted": "napari_restore.metrics.similarity:psnr_fitted",
    "ssim": "napari_restore.metrics.similarity:ssim",
}
"""Measures of an image against a reference: ``(image, reference, *, data_range) -> float``."""


def find(name: str) -> Callable[..., float]:
    """The measure of that name."""
    module, _, attribute = WITH_REFERENCE[name].partition(":")
    found: Callable[..., Any] = getattr(import_module(module), attribute)
    return found

"""Which page of the documentation tells about which box. No Qt here."""

from __future__ import annotations

from collections.abc import Mapping

DOCS = "https://github.com/napari-restore/napari-restore/blob/main/docs/"

PAGES: Mapping[str, str] = {
    "preset": "which-method.md",
    "layer": "first-stack.md#4-look-whether-it-understood-the-image",
    "axes": "opening.md#arrays",
    "factor": "super-resolution.md#in-napari",
    "psf": "deblurring.md#the-psf",
    "noise": "super-resolution.md#the-noise",
    "mask": "inpainting.md#what-is-missing",
    "missing": "inpainting.md#what-is-missing",
    "denoise": "inpainting.md#how-it-is-done",
    "method": "which-method.md",
    "dimensions": "denoising.md#settings",
    "effort": "denoising.md#how-long-to-train",
    "advanced": "denoising.md#settings",
    "region": "large-images.md",
    "output": "first-stack.md#10-save-it",
    "runs": "first-stack.md#7-see-the-result",
    "folder": "denoising.md#another-image-with-the-same-model",
    "model": "denoising.md#another-image-with-the-same-model",
    "results": "large-images.md#when-it-is-interrupted",
    "compare": "first-stack.md#8-compare-before-and-after",
    "difference": "first-stack.md#9-look-at-what-was-removed",
    "regions": "measuring.md",
}
"""By the name of what is asked."""


def page_about(name: str) -> str:
    """The address of the page about a box."""
    return DOCS + PAGES[name]

"""Sample images for File ▸ Open Sample: made by the package itself, so that nothing is downloaded."""

from __future__ import annotations

from napari_restore.gui.readers import LayerData, layer_of
from napari_restore.sources.samples import sample_image, sample_with_truth


def open_microscopy() -> list[LayerData]:
    """A noisy stack as from a confocal microscope."""
    return [layer_of(sample_image("microscopy"))]


def open_ct() -> list[LayerData]:
    """Noisy slices as from a CT scanner."""
    return [layer_of(sample_image("ct"))]


def open_tissue() -> list[LayerData]:
    """A dim stack of cells that touch, to denoise."""
    return [layer_of(sample_image("tissue"))]


def open_blurred() -> list[LayerData]:
    """Cells out of focus, to deblur: the layer's name tells the PSF."""
    return [layer_of(sample_image("blurred"))]


def open_movie() -> list[LayerData]:
    """A noisy movie of vesicles, to denoise."""
    return [layer_of(sample_image("movie"))]


def open_truth() -> list[LayerData]:
    """A dim stack of cells that touch and, hidden below it, what it would be without noise: to compare a gain with."""
    noisy, truth = sample_with_truth("tissue")
    pixels, looks, kind = layer_of(truth)
    return [(pixels, {**looks, "visible": False}, kind), layer_of(noisy)]

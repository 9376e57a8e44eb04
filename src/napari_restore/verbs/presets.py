"""Settings for what people often have, by a name of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Preset:
    """Settings that go together.

    Attributes
    ----------
    tip
        What they are for.
    chosen
        The verb, and its options by their names; a PSF by its kind alone.
    """

    tip: str
    chosen: Mapping[str, Any]


PRESETS: Mapping[str, Preset] = {
    "A first look": Preset(
        "Grain of any kind: looks at the noise, and trains for seconds.",
        {"verb": "denoise", "method": "auto", "effort": "quick"},
    ),
    "Dim fluorescence": Preset(
        "Few photons, another grain in each pixel: the method that knows how the noise grows with the signal.",
        {"verb": "denoise", "method": "posterior", "effort": "normal"},
    ),
    "Noise in blotches or rows": Preset(
        "Of a scanner, or of an image that was resampled: the method for noise alike in neighbouring pixels.",
        {"verb": "denoise", "method": "recorrupted", "effort": "normal"},
    ),
    "Finer pixels": Preset(
        "CT slices or coarse cameras: twice as many pixels along Y and X.",
        {"verb": "super_resolve", "factor": 2, "psf": "none", "noise": "auto", "effort": "normal"},
    ),
    "Widefield, at once": Preset(
        "Takes the blur of a microscope away without training; its numbers are filled in from the file, or by you.",
        {"verb": "deblur", "psf": "theory", "noise": "auto", "effort": "instant"},
    ),
    "Scratches and dead pixels": Preset(
        "Fills what is found to be missing, and takes noise away, too.",
        {"verb": "inpaint", "missing": "auto", "denoise": True, "effort": "quick"},
    ),
}
"""Those that everybody has."""

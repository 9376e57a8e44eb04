"""Point spread functions: by formula, from theory, from measured pixels, and as a text that a model file can hold.

Each is a NumPy array in axis order (Z,) Y, X: float64, odd along every axis, centred, none negative, its sum 1.
"""

from napari_restore.operators.psf.formulas import box, gaussian, motion
from napari_restore.operators.psf.kernel import Kernel, middle, symmetric
from napari_restore.operators.psf.measured import (
    AveragedBeads,
    Taken,
    average_beads,
    from_beads,
    from_pixels,
    resampled,
    take,
)
from napari_restore.operators.psf.microscope import IMMERSIONS, Mode, focus_widths, theory
from napari_restore.operators.psf.texts import axes_of, inline, parse, sweep, theory_keys

__all__ = [
    "IMMERSIONS",
    "AveragedBeads",
    "Kernel",
    "Mode",
    "Taken",
    "average_beads",
    "axes_of",
    "box",
    "focus_widths",
    "from_beads",
    "from_pixels",
    "gaussian",
    "inline",
    "middle",
    "motion",
    "parse",
    "resampled",
    "sweep",
    "symmetric",
    "take",
    "theory",
    "theory_keys",
]

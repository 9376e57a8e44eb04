"""The variance of each pixel's noise: a line in the signal, as a camera's is, and what becomes of it in the dark."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

_LEAST = 1 / 8  # photons whose variance is left to a dark pixel
_DARK = (2 * _LEAST) ** 2


@dataclass(frozen=True)
class PixelNoise:
    """Noise of variance ``constant + gain * (signal - offset)`` (Foi et al. 2008, doi:10.1109/TIP.2008.2001399).

    Below the offset that line falls under the noise there is without any signal, and at last under 0. What is right
    there depends on what the variance is for, so that there are three ways to ask.

    Attributes
    ----------
    constant
        Of the noise that does not come from the signal, in squared units of the image; 0 or more.
    gain
        Units of the image for one photon; 0 where the noise is the same at every signal.
    offset
        The signal from which it grows.
    """

    constant: float
    gain: float = 0.0
    offset: float = 0.0

    def at(self, signal: NDArray[Any]) -> NDArray[np.float64]:
        """Never less than ``constant``, nor than that of an eighth of a photon where there are any: to divide by."""
        line = self.constant + self.gain * np.maximum(0, signal.astype(np.float64) - self.offset)
        return np.maximum(line, self.gain**2 * _LEAST)

    def unbiased_at(self, measured: NDArray[Any]) -> NDArray[np.float64]:
        """The line itself, of pixels with their noise: in the mean over that, the variance at the pixel without it.

        This is what SURE asks for (Le Montagner et al. 2014, doi:10.1109/TIP.2014.2344294): cut off, it would be too
        much where dark pixels are dark by their noise.
        """
        with np.errstate(invalid="ignore"):  # an infinite pixel without gain: it is not finite here either
            return self.constant + self.gain * (measured.astype(np.float64) - self.offset)

    def smooth_at(self, signal: Tensor) -> Tensor:
        """As ``at``, rounded off about the offset, where an eighth of a photon is left: to be learned through.

        ``gain`` must be above 0.
        """
        photons = (signal - self.offset).div_(self.gain)  # in place: one tensor of an image less at a time
        photons = photons + photons.square().add_(_DARK).sqrt_()
        return photons.mul_(self.gain**2).div_(2).add_(self.constant)

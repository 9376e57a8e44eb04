"""How far a restored image is from the truth, told without the truth."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_restore.core.errors import ImageError

Denoise = Callable[[NDArray[np.float64]], NDArray[Any]]
"""A measured image in, the restored one of the same shape and units out."""

_STEP = 0.05  # of the noise: from 0.5 on soft thresholds are jumps, below 0.01 medians are stairs
_PARTS = 8
_SURE_OF = 2.0  # standard errors
_AGREED = 2.0  # deviations of the difference of two estimates


@dataclass(frozen=True)
class EstimatedError:
    """What is known of the mean squared distance between a restored image and the noiseless one.

    Attributes
    ----------
    mse
        The estimate, in squared units of the image. It is unbiased, so that chance may bring it below 0.
    standard_error
        Of ``mse``: how much parts of the image far from each other disagree. It knows nothing of a wrong variance.
    by_variance
        By how much ``mse`` would be larger if the noise's variance were smaller by one of its own standard errors.
    psnr
        In dB; infinite where ``mse`` is not above 0.
    psnr_at_least
        In dB, of ``mse`` and twice what both errors make together.
    psnr_before
        Of the measured image, in dB, by its noise.
    peak
        Of the PSNRs, in units of the image.
    """

    mse: float
    standard_error: float
    psnr: float
    psnr_at_least: float
    psnr_before: float
    peak: float
    by_variance: float = 0.0

    @property
    def possible(self) -> bool:
        """False where no error is left after two standard errors: the variance was taken for more than it is."""
        return self.mse + _SURE_OF * self.standard_error > 0

    @property
    def better(self) -> bool:
        """Whether the restored image is nearer to the truth than the measured one, by two standard errors."""
        return self.possible and self.psnr_before < self.psnr_at_least

    def weighed(self, mse: float, *, spread: float) -> EstimatedError:
        """Together with another estimate, each by its variance; as it is where the two contradict each other.

        Stein's errs by a share of the noise, which is more than all there is left where noise is taken away by 15 dB;
        one that errs by a share of itself tells more there. What one has not seen the other may: apart by two
        deviations, this one alone is right whatever the network is.

        Parameters
        ----------
        mse
            The other, above 0, in squared units of the image.
        spread
            By what share of itself it errs.
        """
        own, other = math.hypot(self.standard_error, self.by_variance), spread * mse
        if not abs(self.mse - mse) <= _AGREED * math.hypot(own, other):
            return self
        share = own**2 / (own**2 + other**2) if math.isfinite(own) else 1.0  # of the other
        both = (1 - share) * self.mse + share * mse
        error = other * math.sqrt(share)
        return replace(
            self,
            mse=both,
            standard_error=error,
            by_variance=0.0,
            psnr=_psnr(both, self.peak),
            psnr_at_least=_psnr(both + _SURE_OF * error, self.peak),
        )


def estimated_error(
    denoise: Denoise,
    image: NDArray[Any],
    *,
    variance: ArrayLike,
    rng: np.random.Generator,
    spread: float = 0.0,
    correlated: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = None,
    data_range: float | None = None,
    probes: int = 1,
    step: float | None = None,
    restored: NDArray[Any] | None = None,
) -> EstimatedError:
    """Stein's unbiased risk estimate (Stein 1981, doi:10.1214/aos/1176345632) of any denoiser, on one image.

    ``mean (f(y) - y)^2 - v + 2 v b (f(y + h b) - f(y)) / h`` with noise of variance v and a probe b of -1 and 1, whose
    mean over probes is the divergence (Ramani, Blu, Unser 2008, doi:10.1109/TIP.2008.2001404, eq. 13; they draw b
    normal: -1 and 1 add less chance). ``losses.sure`` is the same number to minimise; here it is kept for each pixel,
    which is what its standard error is made of.

    The noise must be independent from pixel to pixel, or its correlation be known: then ``v b`` is the covariance times
    b, whose mean product with the divergence's is what Stein's estimate asks for (Eldar 2009,
    doi:10.1109/TSP.2008.2008212, eq. 14). Where its variance grows with the signal, give it at the measured
    values and do not clamp it: ``gain * (y - offset) + read**2`` makes this the estimate of Le Montagner et al. (2014,
    doi:10.1109/TIP.2014.2344294, eq. 15) without its second derivative.

    Parameters
    ----------
    denoise
        Called once for the image and once for each probe, in float64. It must depend on the image without jumps:
        rounding to whole numbers, hard thresholds and random numbers of its own spoil the estimate.
    image
        Measured, of any shape. Pixels that are not finite are given to ``denoise`` as the mean, and do not count.
    variance
        Of the noise, in squared units of the image: one number, or what broadcasts to the image.
    rng
        Draws the probes.
    spread
        Relative uncertainty of the noise's deviation, the root of ``variance``: 0.01 is 1 %. Where little error is
        left, it is what the estimate is least sure of: 1 % of the deviation is 2 % of the variance, which is all the
        error there is at 17 dB below the noise.
    correlated
        What the noise's correlation makes of an array of the image's shape: a convolution with it; None where noise is
        independent from pixel to pixel.
    data_range
        The peak of the PSNR, in units of the image; the range of the restored image where it is not given.
    probes
        More of them make the estimate surer where a denoiser follows single pixels.
    step
        Of the finite difference, in units of the image; a twentieth of the noise where it is not given.
    restored
        What ``denoise`` makes of the image, where that is known already: it is not called for it again.

    Raises
    ------
    ImageError
        If no pixel is finite, the variance does not fit the image, the step or the number of probes is not above 0, or
        what ``denoise`` gives has another shape or values that are not finite.
    """
    y, v, finite = _checked(image, variance)
    noise = math.sqrt(max(0.0, float(v[finite].mean())))
    h = step if step is not None else (_STEP * noise or 1.0)
    if not (h > 0 and probes > 0):
        raise ImageError(f"estimated error: a step of {h:g} and {probes} probes. Give numbers above 0.")
    f = _restored(denoise if restored is None else lambda _: restored, y)
    divergence = np.zeros(y.shape)
    for _ in range(probes):
        probe = rng.choice([-1.0, 1.0], y.shape)
        weight = probe if correlated is None else correlated(probe)
        divergence += weight * (_restored(denoise, y + h * probe) - f) / (h * probes)
    by_variance = v * (2 * divergence - 1)
    peak = data_range if data_range is not None else float(np.ptp(f[finite]))
    return _summary(
        np.square(f - y) + by_variance, v, finite, peak, 2 * spread * abs(float(by_variance[finite].mean()))
    )


def _checked(
    image: NDArray[Any], variance: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """The image with its mean where it is not finite, the variance of each pixel, and where both are finite."""
    y, v = np.asarray(image, np.float64), np.asarray(variance, np.float64)
    try:
        v = np.broadcast_to(v, y.shape)
    except ValueError as error:
        raise ImageError(
            f"estimated error: a variance of shape {v.shape} for an image of shape {y.shape}. Give one number, or one "
            "for each pixel."
        ) from error
    finite = np.isfinite(y) & np.isfinite(v)
    if not finite.any():
        raise ImageError(f"estimated error: no pixel of {y.size} is finite. Give an image that has some.")
    return np.where(finite, y, y[finite].mean()), np.where(finite, v, 0.0), finite


def _restored(denoise: Denoise, y: NDArray[np.float64]) -> NDArray[np.float64]:
    restored = np.asarray(denoise(y.copy()), np.float64)  # it may work in place
    if restored.shape != y.shape or not np.isfinite(restored).all():
        what = "values that are not finite" if restored.shape == y.shape else f"shape {restored.shape}"
        raise ImageError(f"estimated error: the denoiser made {what} of an image of shape {y.shape}. Check it.")
    return restored


def _summary(
    risk: NDArray[np.float64],
    variance: NDArray[np.float64],
    finite: NDArray[np.bool_],
    peak: float,
    by_variance: float,
) -> EstimatedError:
    mse, error = float(risk[finite].mean()), _standard_error(risk, finite)
    return EstimatedError(
        mse=mse,
        standard_error=error,
        psnr=_psnr(mse, peak),
        psnr_at_least=_psnr(mse + _SURE_OF * math.hypot(error, by_variance), peak),
        psnr_before=_psnr(float(variance[finite].mean()), peak),
        peak=peak,
        by_variance=by_variance,
    )


def _psnr(mse: float, peak: float) -> float:
    if mse <= 0:
        return math.inf
    return 10 * math.log10(peak**2 / mse) if peak > 0 and math.isfinite(mse) else -math.inf


def _standard_error(risk: NDArray[np.float64], finite: NDArray[np.bool_]) -> float:
    """Of the mean, from parts in space: neighbouring pixels are restored together and are no independent witnesses."""
    index = np.zeros(risk.shape, np.intp)
    for axis in range(max(0, risk.ndim - 2), risk.ndim):
        n = risk.shape[axis]
        place = np.arange(n) * min(n, _PARTS) // max(n, 1)
        index = index * _PARTS + place.reshape([-1 if i == axis else 1 for i in range(risk.ndim)])
    sums = np.bincount(index[finite], risk[finite], _PARTS**2)
    counts = np.bincount(index[finite], minlength=_PARTS**2)
    sums, counts = sums[counts > 0], counts[counts > 0]
    if len(counts) < 2:
        return math.inf
    left = sums - counts * sums.sum() / counts.sum()  # of the ratio of two sums (Cochran 1977, chapter 6)
    return float(math.sqrt(len(counts) / (len(counts) - 1) * np.sum(np.square(left))) / counts.sum())

"""What was found out, in words for users: what is wrong, how large it is, and what to do."""

from __future__ import annotations

import math

from napari_restore.judging.kinds import Kept
from napari_restore.metrics.estimated_error import EstimatedError


def more_noise(taken: float, found: float) -> str:
    """The noise is larger than it was said to be, both as deviations in units of the image."""
    return (
        f"the image has more noise than the {taken:.3g} it was taken to have: about {found:.2g} "
        "is left in its finest details. Give that as the noise: too little costs more than too much."
    )


def less_noise(taken: float) -> str:
    """The noise is smaller than it was said to be, a deviation in units of the image."""
    return (
        f"the image has less noise than the {taken:.3g} it was taken to have: less than that is left between it "
        "and the result. Give a smaller noise for more detail."
    )


def no_better(learned: float, rival: str, error: float) -> str:
    """The learned result has a larger estimated error than a classical one; in units of the image."""
    return (
        f"the learned result is no better than a classical one here: its estimated error is {learned:.3g}, "
        f"that of {rival} {error:.3g}. Train longer, or check the PSF: one too wide does this."
    )


def left_out(period: float, power: float) -> str:
    """The residual has details of that many pixels, with that many times the power of the noise."""
    return (
        f"the learned result leaves out more than noise: details of about {period:.2g} px have "
        f"{power:.1f} times the power of the noise in what it leaves. The PSF may be too wide, or the noise "
        "given too large."
    )


def dim_planes(*kinds: Kept) -> str:
    """Planes of one kind keep their noise."""
    noisy, clear = sorted(kinds, key=lambda kept: -kept.left)
    return (
        f"some planes stay noisy: those with a mean of about {noisy.level:.4g} keep {100 * min(1, noisy.left):.0f} % "
        f"of their noise, those of about {clear.level:.4g} {100 * clear.left:.0f} %. If they are channels in turn, say "
        "so with `axes`, as in TC(2)YX; else restore them by themselves"
    )


def shared() -> str:
    """Neighbours share the noise, as far as can be told."""
    return "neighbours share what was taken for noise, as they do in fine texture: compare that before and after"


def gained(error: EstimatedError | None) -> str:
    """How near to the truth a denoised image is; None where that cannot be told."""
    if error is None:
        return "the noise is not known well enough to estimate a PSNR"
    if not error.possible:
        return "the noise was taken for more than it is, so that no PSNR can be estimated"
    if not error.better:
        return "the result is not surely nearer to the truth than the image itself: train longer"
    least = error.psnr_at_least - error.psnr_before
    if math.isinf(error.psnr):
        return f"estimated without a truth: PSNR {error.psnr_at_least:.1f} dB at least, {least:.1f} dB more than before"
    gain = error.psnr - error.psnr_before
    return (
        f"estimated without a truth: PSNR {error.psnr:.1f} dB, {error.psnr_at_least:.1f} dB at least, which is "
        f"{least:.1f} to {gain:.1f} dB more than before"
    )


def unknown_noise() -> str:
    """The noise could not be measured."""
    return "the noise of the image is not surely known, and what is told in units of it is rough"


def other_scale(own: tuple[float, float], then: tuple[float, float]) -> str:
    """Mean and deviation of an image, and of those that its model was trained on."""
    return (
        f"the model was trained on images of {then[0]:.4g} ± {then[1]:.3g}, and this one has {own[0]:.4g} ± "
        f"{own[1]:.3g}: another gain, exposure or content. Use `match_intensity`, or train on this image"
    )


def noise_comes_back(name: str, kept: float, limit: float) -> str:
    """Noise alone leaves so much of its deviation in the result, where so much would be none."""
    return (
        f"noise alone does not come back flat: on a {name} signal {100 * kept:.0f} % of its deviation stays "
        f"({100 * limit:.0f} % is flat). Spots as faint as that in the result may be noise: train longer"
    )


def not_in_proportion(recovered: float) -> str:
    """Large bright structures come back with this share of their brightness."""
    return (
        f"large bright structures come back with {round(100 * recovered)} % of their brightness: do not measure "
        "intensities in this result"
    )


def not_borne_out(share: float) -> str:
    """The image does not bear out this share of the places with structure in the result."""
    return (
        f"the image does not bear out {100 * share:.0f} % of the structure in the result: it may be made up. Use a "
        "model that was trained on this kind of image"
    )

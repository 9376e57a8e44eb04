"""The methods in words: what the window says of them. No Qt here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from napari_restore.core.options import Effort
from napari_restore.verbs import VERBS

SHOWN: tuple[str, ...] = tuple(name for name, row in VERBS.items() if row.loss)
"""The verbs that have a button."""

_USUAL: Mapping[Effort, float] = {"quick": 20, "normal": 60, "thorough": 600}
_UNDOING: Mapping[Effort, float] = {"quick": 20, "normal": 55, "thorough": 900}


@dataclass(frozen=True)
class Denoiser:
    """How one method of denoising is shown.

    Attributes
    ----------
    label
        In the list.
    tip
        When to take it.
    needs
        What it learns from besides the noisy image: another acquisition, or the clean image.
    seconds
        Of training for each effort, as the method has them; a test compares them.
    """

    label: str
    tip: str
    needs: Literal["", "second", "target"] = ""
    seconds: Mapping[Effort, float] = field(default_factory=lambda: _USUAL)


DENOISERS: Mapping[str, Denoiser] = {
    "auto": Denoiser("Chosen by the noise", "Looks at the noise, takes the method that suits it, and says why."),
    "posterior": Denoiser(
        "Posterior mean",
        "For noise that is independent from pixel to pixel and can be measured: the sharpest without a second image.",
        seconds={"quick": 15, "normal": 40, "thorough": 600},
    ),
    "noise2void2": Denoiser("Noise2Void 2", "For noise that is independent from pixel to pixel, of whatever kind."),
    "noise2void": Denoiser("Noise2Void", "As Noise2Void 2, and the one that asks for the fewest pixels."),
    "struct_noise2void": Denoiser(
        "Structured Noise2Void", "For noise in stripes: pixels along a row are hidden together."
    ),
    "zero_shot": Denoiser(
        "Zero-shot",
        "A tiny network in seconds, for a first look and for single small images.",
        seconds={"quick": 5, "normal": 10, "thorough": 60},
    ),
    "noise2noise": Denoiser(
        "Noise2Noise: with a second image", "The same scene taken twice, with other noise.", needs="second"
    ),
    "supervised_denoising": Denoiser(
        "Supervised: with a clean image", "The same scene without noise, to learn from.", needs="target"
    ),
}
"""Named here because asking the methods for their labels would load torch in the GUI thread."""


def seconds_of(method: str) -> Mapping[Effort, float]:
    """Of training for each effort, as the method has them; a test compares them."""
    if method in DENOISERS:
        return DENOISERS[method].seconds
    return _USUAL if method == "finer_planes" else _UNDOING

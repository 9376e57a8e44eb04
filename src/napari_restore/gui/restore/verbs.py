"""What the widget can do to an image: the verbs of the package, and the words for each. No Qt here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

VerbName = Literal["denoise", "super_resolve", "deblur"]
Effort = Literal["quick", "normal", "thorough"]


@dataclass(frozen=True)
class Verb:
    """How one verb is shown.

    Attributes
    ----------
    label
        On its buttons.
    suffix
        What a result is called after its image's name.
    tip
        What it does.
    seconds
        Of training for each effort, as the verb's method has them. Repeated here because asking the methods would
        load torch in the GUI thread; a test compares them.
    loss
        What the curves are.
    """

    label: str
    suffix: str
    tip: str
    seconds: Mapping[Effort, float]
    loss: str


_FLAT = "When the bold curve is flat, more training gains nothing."
_IMAGING_LOSS = (
    "How far the result, measured as the instrument would, is from the image beyond its noise (SURE),\n"
    f"and how it changes where it should not; in units of the image's variance. {_FLAT}"
)
_IMAGING_SECONDS: Mapping[Effort, float] = {"quick": 20, "normal": 55, "thorough": 900}

VERBS: Mapping[VerbName, Verb] = {
    "denoise": Verb(
        label="Denoise",
        suffix="denoised",
        tip="Train on this image, then restore it into a new layer.",
        seconds={"quick": 20, "normal": 60, "thorough": 600},
        loss="Error of the prediction of hidden pixels, in units of the image's variance.\n"
        "Thin: on the patches of the moment, smoothed. Bold: on pixels kept out of training.\n"
        f"It levels off at the noise; {_FLAT[0].lower()}{_FLAT[1:]}",
    ),
    "super_resolve": Verb(
        label="Super-resolve",
        suffix="superresolved",
        tip="Train on this image, then make its pixels finer in a new layer that lies over it.",
        seconds=_IMAGING_SECONDS,
        loss=_IMAGING_LOSS,
    ),
    "deblur": Verb(
        label="Deblur",
        suffix="deblurred",
        tip="Train on this image, then undo its blur in a new layer.",
        seconds=_IMAGING_SECONDS,
        loss=_IMAGING_LOSS,
    ),
}


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
    seconds: Mapping[Effort, float] = field(default_factory=lambda: VERBS["denoise"].seconds)


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

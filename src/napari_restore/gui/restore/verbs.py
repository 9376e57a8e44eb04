"""What the widget can do to an image: the verbs of the package, and the words for each. No Qt here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from napari_restore.core.options import Effort
from napari_restore.methods import METHODS

VerbName = Literal["denoise", "super_resolve", "deblur"]


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
        Of training for each effort; where the noise decides on the method, at most.
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

VERBS: Mapping[VerbName, Verb] = {
    "denoise": Verb(
        label="Denoise",
        suffix="denoised",
        tip="Train on this image, then restore it into a new layer.",
        seconds=METHODS["noise2void"].seconds,
        loss="Error of the prediction of hidden pixels, in units of the image's variance.\n"
        "Thin: on the patches of the moment, smoothed. Bold: on pixels kept out of training.\n"
        f"It levels off at the noise; {_FLAT[0].lower()}{_FLAT[1:]}",
    ),
    "super_resolve": Verb(
        label="Super-resolve",
        suffix="superresolved",
        tip="Train on this image, then make its pixels finer in a new layer that lies over it.",
        seconds=METHODS["scale_equivariant"].seconds,
        loss=_IMAGING_LOSS,
    ),
    "deblur": Verb(
        label="Deblur",
        suffix="deblurred",
        tip="Train on this image, then undo its blur in a new layer.",
        seconds=METHODS["scale_equivariant"].seconds,
        loss=_IMAGING_LOSS,
    ),
}

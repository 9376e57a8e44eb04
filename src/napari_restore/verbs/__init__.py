"""What a user can ask for: a row a verb. Shell, scripts, console and window are all made from these rows.

No torch here: the rows are strings, and what they name is loaded when it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from napari_restore.core.options import Computing, Opening, Restoring, Training, Writing

Gives = Literal["image", "model", "folder"]
Curve = Literal["error", "change"]
Does = Literal["denoise", "undo", "copy"]


@dataclass(frozen=True)
class Verb:
    """A row of ``VERBS``.

    Attributes
    ----------
    label
        On buttons and in menus.
    own
        Where the dataclass of its own options is, ``module:Class``. Its docstring explains them.
    flow
        Where the generator of events is that does it, ``module:function(request, watch)``.
    tip
        What it does, in a sentence.
    gives
        What comes of it: a restored image, a model, or a folder of restored images.
    groups
        Options it takes besides its own.
    lacks
        Those of the groups' options that mean nothing for it, and why.
    defaults
        Of the groups' options, where they are others than usual.
    suffix
        What a result is called after its image's name; the model says it where this is empty.
    command
        What the shell calls it, where that is another word.
    first, second
        What the function calls its first argument, and the option that may be given as the second without its name.
    loss
        What the curves of its training are, for the window; empty for verbs that it has no button for.
    curve
        Whether the held-out error falls as the image gets better, or is one that does not, as what is compared with
        changes too: then the window draws how much the image still changes.
    does
        Whether it takes the noise away, with a method that is chosen, or undoes what the instrument did, with its
        own, or copies a model that does.
    instant
        The method of the effort of that name, which trains nothing; empty where there is none for it.
    """

    label: str
    own: str
    flow: str
    tip: str
    gives: Gives
    groups: tuple[type, ...]
    lacks: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    suffix: str = ""
    command: str = ""
    first: Literal["image", "images"] = "image"
    second: str = ""
    loss: str = ""
    curve: Curve = "error"
    does: Does = "denoise"
    instant: str = ""


_WHOLE = (Opening, Training, Computing, Restoring, Writing)
_FLAT = "When the bold curve is flat, more training gains nothing."
_HIDDEN_LOSS = (
    "Error of the prediction of hidden pixels, in units of the image's variance.\n"
    "Thin: on the patches of the moment, smoothed. Bold: on pixels kept out of training.\n"
    f"It levels off at the noise; {_FLAT[0].lower()}{_FLAT[1:]}"
)
_IMAGING_LOSS = (
    "How much the picture still changes from one preview to the next, in percent of its contrast.\n"
    "Near 0, more training gains nothing. What is learned from does not fall as the image gets sharper:\n"
    "it asks how far the result, measured as the instrument would, is from the image beyond its noise (SURE),\n"
    "and how it changes where it should not, which sharp images do more."
)
_GAPS_LOSS = (
    "Error at known pixels that are hidden as the missing ones are, in units of the image's variance.\n"
    f"Thin: on the patches of the moment. Bold: on pixels kept out of training. {_FLAT}"
)
_HAS_A_MODEL = "the model is there already"

VERBS: dict[str, Verb] = {
    "denoise": Verb(
        label="Denoise",
        own="napari_restore.verbs.denoising:Denoise",
        flow="napari_restore.verbs.run:trained_and_restored",
        tip="Train on this image, then restore it into a new layer.",
        gives="image",
        groups=_WHOLE,
        suffix="denoised",
        loss=_HIDDEN_LOSS,
    ),
    "super_resolve": Verb(
        label="Super-resolve",
        own="napari_restore.verbs.super_resolving:SuperResolve",
        flow="napari_restore.verbs.run:trained_and_restored",
        tip="Train on this image, then make its pixels finer in a new layer that lies over it.",
        gives="image",
        groups=_WHOLE,
        suffix="superresolved",
        loss=_IMAGING_LOSS,
        curve="change",
        does="undo",
    ),
    "deblur": Verb(
        label="Deblur",
        own="napari_restore.verbs.deblurring:Deblur",
        flow="napari_restore.verbs.run:trained_and_restored",
        tip="Train on this image, then undo its blur in a new layer.",
        gives="image",
        groups=_WHOLE,
        suffix="deblurred",
        loss=_IMAGING_LOSS,
        curve="change",
        does="undo",
        instant="richardson_lucy",
    ),
    "inpaint": Verb(
        label="Inpaint",
        own="napari_restore.verbs.inpainting:Inpaint",
        flow="napari_restore.verbs.run:trained_and_restored",
        tip="Train on this image, then give values to its missing pixels, lines and planes in a new layer.",
        gives="image",
        groups=_WHOLE,
        suffix="inpainted",
        loss=_GAPS_LOSS,
        does="undo",
        instant="interpolation",
    ),
    "train": Verb(
        label="Train",
        own="napari_restore.verbs.training:Train",
        flow="napari_restore.verbs.training:trained",
        tip="Train a method on images and keep the model.",
        gives="model",
        groups=(Opening, Training, Computing, Writing),
        lacks={
            "output": "a model is kept with `save_model`",
            "overwrite": "a model is always written over",
            "version": "it writes no image",
            "report": "it is of a restored image",
        },
        defaults={"resume": False},
        first="images",
        second="method",
    ),
    "distill": Verb(
        label="Distill",
        own="napari_restore.verbs.distilling:Distill",
        flow="napari_restore.verbs.distilling:distilled",
        tip="Make a small, fast copy of a trained model.",
        gives="model",
        groups=(Opening, Training, Computing, Writing),
        lacks={
            "second": "the copy learns from what its teacher makes of the images",
            "target": "the copy learns from what its teacher makes of the images",
            "start": "the copy begins anew",
            "output": "a model is kept with `save_model`",
            "overwrite": "a model is always written over",
            "version": "it writes no image",
            "report": "it is of a restored image",
        },
        defaults={"resume": False},
        first="images",
        second="model",
        does="copy",
    ),
    "restore": Verb(
        label="Restore",
        own="napari_restore.verbs.restoring:Restore",
        flow="napari_restore.verbs.restoring:restored",
        tip="Restore an image with a trained model.",
        gives="image",
        groups=(Opening, Computing, Restoring, Writing),
        lacks={"save_model": _HAS_A_MODEL},
        second="model",
    ),
    "restore_folder": Verb(
        label="Batch",
        own="napari_restore.verbs.folder:RestoreFolder",
        flow="napari_restore.verbs.folder:restored_folder",
        tip="Restore each image of a folder with a trained model; again, it does what is not done yet.",
        gives="folder",
        groups=(Opening, Computing, Restoring, Writing),
        lacks={
            "save_model": _HAS_A_MODEL,
            "region": "the images of a folder differ in size",
            "client": "images of a folder are restored one after the other on this machine",
            "resume": "it always goes on with what is not done yet",
            "seed": "its results are not judged, and nothing else is left to chance",
            "report": "it is of one image: restore that by itself",
        },
        command="batch",
        first="images",
        second="model",
    ),
}

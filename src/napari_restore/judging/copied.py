"""What a small copy of a model costs and saves: how unlike its teacher it is, and how much sooner it is done."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch

from napari_restore.core.events import Note
from napari_restore.judging.denoised import check
from napari_restore.methods.apply import autocast
from napari_restore.methods.device import find_device
from napari_restore.sources import Image
from napari_restore.store.model import Model

_MOST_LOST = 0.2
"""dB by its own estimate, beyond which a copy is warned of."""

_ALIKE = {"denoise": 20.0, "undo": 10.0}
"""dB that the distance to the teacher has to be below what the teacher changes, where its error cannot be estimated.

Noise that is removed is some ten times the error that is left; what is added to an interpolation is about as large.
"""

_SIDE = {2: 128, 3: 48}
_DEPTH = 16
_TIMES = 3


@dataclass(frozen=True)
class Copied:
    """A copy beside its teacher.

    Attributes
    ----------
    weights
        Of the copy over those of the teacher; None for a teacher without.
    seconds
        The copy takes for a part of an image, over those that the teacher takes.
    alike
        In dB: how far the mean squared distance to the teacher is below that of the teacher to what there would be
        without learning, at pixels kept out of training; None where there are none.
    lost
        PSNR of the teacher less that of the copy, in dB, both estimated without the truth on the same pixels; None
        where that cannot be told.
    enough
        What ``alike`` has to be where ``lost`` is not known.
    """

    weights: float | None
    seconds: float
    alike: float | None
    lost: float | None
    enough: float

    @property
    def good(self) -> bool:
        """Whether it can stand for its teacher, as far as can be told."""
        if self.lost is not None:
            return self.lost <= _MOST_LOST
        return self.alike is None or self.alike >= self.enough

    @property
    def note(self) -> Note:
        """In a sentence for users; a warning where the copy is much worse, or no faster."""
        said = [f"the copy takes {self.seconds:.0%} of its teacher's time"]
        if self.weights is not None:
            said.append(f"has {self.weights:.0%} of its weights")
        if self.alike is not None:
            said.append(f"differs from it by {self.alike:.1f} dB less than what the teacher changes")
        if self.lost is not None:
            said.append(f"loses {max(self.lost, 0):.2f} dB by its own estimate")
        words = f"{', '.join(said[:-1])} and {said[-1]}" if len(said) > 1 else said[0]
        if not self.good:
            return Note(f"{words}: train it longer, or give a larger `ratio`", "warning")
        return Note(f"{words}: it is no faster, keep the teacher", "warning") if self.seconds > 1 else Note(words)


def compare(image: Image, teacher: Model, copy: Model, *, device: str = "auto", seed: int = 0) -> Copied:
    """A copy beside its teacher, on an image that it has learned from.

    Parameters
    ----------
    image
        Whose middle both restore where their error can be estimated.
    copy
        A model of ``distilled``, trained.
    seed
        Of the random probe of the estimate.
    """
    sizes = [sum(weight.numel() for weight in model.method.parameters()) for model in (copy, teacher)]
    own, given = (check(image, model, device=device, seed=seed) for model in (copy, teacher))
    known = [each.mse for each in (own, given) if each is not None and each.mse is not None and each.mse > 0]
    unlike = copy.method.config.unlike
    own_seconds, given_seconds = (_seconds(model, device) for model in (copy, teacher))
    return Copied(
        weights=sizes[0] / sizes[1] if sizes[1] else None,
        seconds=own_seconds / given_seconds,
        alike=10 * math.log10(unlike[1] / unlike[0]) if unlike and min(unlike) > 0 else None,
        lost=10 * math.log10(known[0] / known[1]) if len(known) == 2 else None,
        enough=_ALIKE["denoise" if teacher.method.undoes is None and max(teacher.method.rate) == 1 else "undo"],
    )


def _seconds(model: Model, device: str) -> float:
    """That a part of an image takes."""
    place, ndim = find_device(device), len(model.method.spatial)
    method = model.method.for_restoring().to(place)
    sides = [_DEPTH, _SIDE[3], _SIDE[3]] if ndim == 3 else [_SIDE[2]] * 2
    sides = [-(-side // g) * g for side, g in zip(sides, method.grid, strict=True)]
    pixels = torch.zeros((1, method.channels, *sides), device=place)
    spent = []
    with torch.inference_mode(), autocast(place, model.precision):
        for _ in range(_TIMES):
            began = time.perf_counter()
            float(method.restore(pixels).sum())  # waits for the device
            spent.append(time.perf_counter() - began)
    return min(spent)

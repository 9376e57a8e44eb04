"""What is to be learned: a method, the images it learns from, and what it is judged on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from napari_restore.core.errors import ImageError, RestoreError
from napari_restore.core.normalisation import Normalisation
from napari_restore.methods.method import Method
from napari_restore.sources import Image


@dataclass(frozen=True, kw_only=True, eq=False)
class Lesson:
    """One method and everything it learns from.

    Attributes
    ----------
    name
        Of the method, as ``list_methods`` gives it.
    method
        With fresh weights, or with those that training goes on from. It is trained in place.
    images
        With the same channels; patches are drawn from all of them alike.
    rival
        The same method without neighbouring planes, where it has to show which is better: both are trained at first.
    partners
        The second acquisition or the clean version of each image, for methods that use one.
    validation
        Images to measure the held-out loss on, instead of held-out pixels of ``images``.
    validation_partners
        Those of ``validation``, if there are any.
    normalisation
        Constants the method was built for, instead of those measured on the first blocks.
    noise
        Variance of the noise of each channel in units of the image, where it is known and the held-out loss will end
        there.
    start
        What is known of the weights that training begins with; nothing of fresh ones.
    fresh
        The same with fresh weights, where it is to be found out whether those it begins with are better.
    """

    name: str
    method: Method
    images: Sequence[Image]
    rival: Method | None = None
    partners: Sequence[Image] | None = None
    validation: Sequence[Image] = ()
    validation_partners: Sequence[Image] | None = None
    normalisation: Normalisation | None = None
    noise: Sequence[float] | None = None
    start: Mapping[str, Any] = field(default_factory=dict)
    fresh: Lesson | None = None

    @property
    def pairs(self) -> list[tuple[Sequence[Image], Sequence[Image] | None]]:
        """Images and partners of each pool: the one to learn from and, where it is another, the one to be judged on."""
        judged = [(self.validation, self.validation_partners)] if self.validation else []
        return [(self.images, self.partners), *judged]

    def rate(self, partners: Sequence[Image] | None) -> tuple[int, ...]:
        """Pixels of a partner to one of its image: the method's for a clean image, 1 for another acquisition."""
        method = self.method
        return method.rate if partners and "target" in method.listed.needs else (1,) * len(method.spatial)

    def check(self) -> None:
        """Refuse partners that do not lie on their images pixel by pixel.

        Raises
        ------
        RestoreError
            If there is not one for each image, or one has other axes or another shape.
        """
        for images, partners in self.pairs:
            if partners and len(partners) != len(images):
                raise RestoreError(f"{len(partners)} images to go with {len(images)}: give one for each.")
            rate = dict(zip(self.method.spatial, self.rate(partners), strict=True))
            for image, partner in zip(images, partners or (), strict=bool(partners)):
                _check_alike(image, partner, rate)


def _check_alike(image: Image, partner: Image, rate: dict[str, int]) -> None:
    wanted = tuple(n * rate.get(a, 1) for a, n in zip(image.axes, image.shape, strict=True))
    if partner.axes != image.axes or partner.shape != wanted:
        raise ImageError(
            f"{partner.name} has axes {partner.axes} and shape {partner.shape}; to go with {image.name}, "
            f"{image.axes} of {image.shape}, it needs {wanted}. Give the same part of the sample on the same "
            "pixels."
        )

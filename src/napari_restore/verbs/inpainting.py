"""Inpaint: values for what an image misses, learned from the image itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from napari_restore.core.checked import check
from napari_restore.sources import Image
from napari_restore.sources.missing import checksum_of, rules_of, with_gaps


@dataclass(frozen=True, kw_only=True)
class Inpaint:
    """Train on an image and give values to its missing pixels; those that are there stay as they are, to the bit.

    Attributes
    ----------
    mask
        Not 0 where a pixel is missing: an array, an image file, a layer of labels or shapes; of the image's shape, or
        of one plane for all of them. Pixels that are not a finite number are missing anyway.
    missing
        What else is missing, by how it looks: ``planes`` and ``lines`` (rows and columns) of one value, ``dead`` pixels
        far below all around them, ``zeros``, ``saturated`` at the largest value of the type; ``nan`` for nothing else.
        Several with + between. ``auto`` is ``nan+planes+lines+dead``, and ``nan`` where there is a mask.
    denoise
        Also take the noise away where pixels are there.
    method
        ``inpainting``, or ``interpolation``, which needs no training. ``auto`` is the first, and with the effort
        ``instant`` the second.
    """

    mask: Any = None
    missing: str = "auto"
    denoise: bool = False
    method: str = "auto"

    def __post_init__(self) -> None:
        check(self)
        rules_of(self.missing)

    @property
    def settled_method(self) -> str:
        """The method, whether it was asked for or not."""
        return self.method if self.method != "auto" else "inpainting"

    def subject(self, image: Image) -> Image:
        """The image with NaN where something is missing."""
        rules = ("nan",) if self.missing == "auto" and self.mask is not None else rules_of(self.missing)
        return with_gaps(image, mask=self.mask, rules=rules)

    def lesson(self) -> tuple[str, dict[str, Any]]:
        """The method, and what this verb asks of it."""
        given = (self.missing, *((checksum_of(self.mask),) if self.mask is not None else ()))
        return self.settled_method, {"given": given, **({"denoise": True} if self.denoise else {})}

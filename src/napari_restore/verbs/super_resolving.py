"""Super-resolve: finer pixels than the instrument has, learned from the image itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

from annotated_types import Interval

from napari_restore.core.checked import check
from napari_restore.core.errors import RestoreError
from napari_restore.core.geometry import in_micrometres
from napari_restore.methods import MOST_FINER, MOST_THICK
from napari_restore.sources import Image
from napari_restore.sources.naming import unit_name
from napari_restore.verbs.deblurring import noise_level

Factor = Annotated[int, Interval(ge=1, le=MOST_FINER)]


@dataclass(frozen=True, kw_only=True)
class SuperResolve:
    """Train on an image and make its pixels finer.

    Attributes
    ----------
    factor
        Fine pixels to one of the image along Y and X, or by axis: ``{"Z": 4}`` makes planes finer.
    psf
        What blurs the image before it is sampled, on the fine grid: ``gaussian:STD``, ``box:RADIUS``,
        ``motion:LENGTH,ANGLE``, ``theory:NA=..,wavelength=..,pixel=..``, ``theory`` alone where the image's metadata
        say the rest, an image file, ``beads:FILE``, or an array; none for plain sampling.
    noise
        Standard deviation of the noise in units of the image, or ``auto`` to estimate it.
    thickness
        Of a plane, where Z alone becomes finer: its width at half maximum in distances between planes, or a length
        such as ``0.8um`` or ``5mm``. 1 where each plane begins where the last one ends, 0 where planes are far thinner
        than that. ``auto`` is what the metadata say, else 1.
    method
        ``scale_equivariant``, or one it is compared with: ``sure``, ``equivariant_shift``, ``equivariant_rotation``,
        ``css``, ``supervised``, ``ssirn``, ``srcnn``, ``srgan``, ``total_variation``, ``deep_image_prior``,
        ``denoised_upsampling``. ``auto`` is the first, and ``finer_planes`` where Z alone becomes finer.
    """

    factor: Factor | Mapping[str, Factor] = 2
    psf: Any = None
    noise: float | str = "auto"
    thickness: float | str = "auto"
    method: str = "auto"

    def __post_init__(self) -> None:
        check(self)

    @property
    def by_axis(self) -> dict[str, int]:
        """The factor for each axis that is named."""
        return dict(self.factor) if isinstance(self.factor, Mapping) else {"Y": self.factor, "X": self.factor}

    @property
    def settled_method(self) -> str:
        """The method, whether it was asked for or not."""
        if self.method != "auto":
            return self.method
        finer = {axis for axis, n in self.by_axis.items() if n > 1}
        return "finer_planes" if finer == {"Z"} and self.psf is None else "scale_equivariant"

    def lesson(self) -> tuple[str, dict[str, Any]]:
        """The method, and what this verb asks of it; the PSF is settled (``blurring.with_psf``)."""
        config: dict[str, Any] = {"factor": self.by_axis, "noise": noise_level(self.noise)}
        if self.psf is not None:
            config["psf"] = self.psf
        if self.thickness != "auto":
            if self.settled_method != "finer_planes":
                raise RestoreError(
                    f"`thickness` {self.thickness} with `factor` {self.by_axis}: it is for planes that become finer "
                    "along Z alone, without a PSF. Give Z alone, or a `psf` that is as long."
                )
            config["thickness"] = self.thickness
        return self.settled_method, config


def with_thickness(own: Any, image: Image) -> Any:
    """A verb's own options with the thickness of planes as a number of distances between them, or ``auto``.

    Raises
    ------
    RestoreError
        If it is neither, nor a length, or one of an image whose pixels have none.
    """
    given = getattr(own, "thickness", "auto")
    return own if given == "auto" else replace(own, thickness=in_planes(given, image))


def in_planes(thickness: float | str, image: Image) -> float:
    """A number, or a length such as ``0.8 um``, in distances between the planes of an image.

    Raises
    ------
    RestoreError
        If it is neither, over ``MOST_THICK``, or how far the planes are apart is not known.
    """
    found = re.fullmatch(r"\s*([0-9]*\.?[0-9]+(?:[eE][-+]?[0-9]+)?)\s*(\D*?)\s*", str(thickness))
    unit = in_micrometres(unit_name(found[2])) if found is not None else None
    if found is None or (found[2] and unit is None):
        raise RestoreError(
            f"`thickness` {thickness!r}: give a number of distances between planes, a length such as 0.8um or 5mm, or "
            "auto."
        )
    if unit is None:
        return _seen_apart(float(found[1]), thickness)
    apart = image.geometry.micrometres("Z")
    if apart is None:
        raise RestoreError(
            f"`thickness` {thickness}: how far apart the planes of {image.name} are is not known. Give `pixel_size`, "
            "or a number of distances between planes."
        )
    return _seen_apart(float(found[1]) * unit / apart, thickness)


def _seen_apart(planes: float, given: float | str) -> float:
    """The number, unless planes so thick overlap too much."""
    if planes > MOST_THICK:
        raise RestoreError(
            f"`thickness` {given}: {planes:.3g} distances between planes, and at most {MOST_THICK:g} can be told "
            "apart. Give less, or deblur the stack with a PSF in 3-D."
        )
    return planes

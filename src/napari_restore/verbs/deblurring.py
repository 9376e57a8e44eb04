"""Deblur: undo the blur of an instrument, learned from the image itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from napari_restore.core.checked import check
from napari_restore.core.errors import RestoreError


@dataclass(frozen=True, kw_only=True)
class Deblur:
    """Train on an image and undo its blur.

    Attributes
    ----------
    psf
        ``gaussian:STD``, ``box:RADIUS``, ``motion:LENGTH,ANGLE``, ``theory:NA=..,wavelength=..,pixel=..``, ``theory``
        alone where the image's metadata say the rest, an image file, ``beads:FILE``, or an array. One number may be a
        range such as ``gaussian:1.5..2.5``: three are tried, and the one that leaves the whitest residual is taken, the
        narrower in doubt.
    noise
        Standard deviation of the noise in units of the image, or ``auto`` to estimate it.
    method
        ``scale_equivariant``; ``richardson_lucy`` or ``wiener``, which are classical and need no training;
        ``learned_richardson_lucy``, which corrects the first of these by what it learns, in 3-D too;
        ``two_exposures`` where the second one is blurred otherwise; or one the first is compared with: ``sure``,
        ``equivariant_shift``, ``equivariant_rotation``, ``css``, ``supervised``, ``total_variation``,
        ``deep_image_prior``.
        ``auto`` is the first, with a PSF that reaches along Z learned Richardson-Lucy, and with the effort ``instant``
        Richardson-Lucy.
    """

    reasons: ClassVar[Mapping[str, str]] = {
        "learned_richardson_lucy": "the PSF reaches along Z, where learning goes on from the classical result"
    }
    """Why a method was chosen, where that is not the usual one."""

    psf: Any
    noise: float | str = "auto"
    method: str = "auto"

    def __post_init__(self) -> None:
        check(self)

    @property
    def settled_method(self) -> str:
        """The method, whether it was asked for or not."""
        if self.method != "auto":
            return self.method
        return "learned_richardson_lucy" if _reaches_along_z(self.psf) else "scale_equivariant"

    def lesson(self) -> tuple[str, dict[str, Any]]:
        """The method, and what this verb asks of it; the PSF is settled (``blurring.with_psf``)."""
        return self.settled_method, {"noise": noise_level(self.noise), "psf": self.psf}


def _reaches_along_z(psf: Any) -> bool:
    """Whether a PSF has several planes; of a file, or of what metadata say, that is known once it is a text."""
    if isinstance(psf, str):
        from napari_restore.operators.psf import axes_of

        return axes_of(psf) == 3
    shape = tuple(getattr(psf, "shape", ()))
    return len(shape) == 3 and shape[0] > 1


def noise_level(given: float | str) -> float | Literal["auto"]:
    """A number, or ``auto``.

    Raises
    ------
    RestoreError
        If it is neither.
    """
    if given == "auto":
        return "auto"
    try:
        return float(given)
    except ValueError:
        raise RestoreError(f"noise {given!r}: give a number in units of the image, or auto.") from None

"""Super-resolve: finer pixels than the instrument has, learned from the image itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from annotated_types import Interval

from napari_restore.core.checked import check
from napari_restore.methods import MOST_FINER
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
    method
        ``scale_equivariant``, or one it is compared with: ``sure``, ``equivariant_shift``, ``equivariant_rotation``,
        ``css``, ``supervised``. ``auto`` is the first, and ``finer_planes`` where Z alone becomes finer.
    """

    factor: Factor | Mapping[str, Factor] = 2
    psf: Any = None
    noise: float | str = "auto"
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
        return self.settled_method, config

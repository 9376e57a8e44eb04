"""Two exposures of one scene, blurred by different PSFs that are known: each sees what the other has lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from napari_restore.core.errors import RestoreError
from napari_restore.methods import METHODS
from napari_restore.methods.imaging import build_operator, check_margin, samplings
from napari_restore.methods.method import Fit
from napari_restore.methods.scale_equivariant import ScaleEquivariant, ScaleEquivariantConfig
from napari_restore.operators import psf as psfs
from napari_restore.operators.operator import Operator
from napari_restore.sources import Image


@dataclass(frozen=True)
class TwoExposuresConfig(ScaleEquivariantConfig):
    """Settings of two exposures, besides those of scale-equivariant imaging.

    Attributes
    ----------
    second_psf
        What blurs the second exposure, as ``psf`` does the first.
    """

    second_psf: str = ""


class TwoExposures(ScaleEquivariant):
    """Noise2Noise through two known blurs, with scale equivariance for what neither sees.

    Restored from the first exposure and blurred as the second was, the image is to be the second one (Lehtinen et al.
    2018, arXiv:1803.04189, with an operator of each exposure): ``|A2 f(y1) - y2|^2``. Its minimiser is the sharp image
    wherever the second PSF has a frequency; what it has not is told by scale equivariance (Scanvic et al. 2026,
    arXiv:2312.11232). The noise level is needed for that part alone. Afterwards images like the first are restored.
    """

    listed = METHODS["two_exposures"]
    Config = TwoExposuresConfig
    same_blur: ClassVar[bool] = False
    config: TwoExposuresConfig

    def __init__(self, config: TwoExposuresConfig, *, spatial: str, channels: int) -> None:
        super().__init__(config, spatial=spatial, channels=channels)
        self._second = build_operator(self.rate, _kernel(config, spatial), samplings(config, spatial))

    @classmethod
    def fit_to(cls, config: Any, images: Sequence[Image]) -> Fit:
        """As scale-equivariant imaging; refuse an image too small for the second blur.

        Raises
        ------
        RestoreError
            If there are not two PSFs.
        """
        if not config.psf or not config.second_psf:
            raise RestoreError(
                f"{cls.listed.label} needs a PSF of each exposure: give psf and second_psf, such as gaussian:1 and "
                "gaussian:2."
            )
        fit = super().fit_to(config, images)
        check_margin(fit.config, images, fit.spatial, _kernel(config, fit.spatial))
        return fit

    @property
    def second(self) -> Operator:
        """Of the second exposure."""
        return self._second

    @property
    def patch(self) -> tuple[int, ...]:
        """As of others, whose surroundings both operators see."""
        each = zip(super().patch, self._second.margin, self.operator.margin, self.grid, strict=True)
        return tuple(-(-(n + 2 * max(0, second - first)) // g) * g for n, second, first, g in each)


def _kernel(config: TwoExposuresConfig, spatial: str) -> psfs.Kernel | None:
    return psfs.parse(config.second_psf, ndim=len(spatial)) if config.second_psf else None

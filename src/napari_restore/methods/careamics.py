"""The denoisers of CAREamics: networks that were trained there, as its packages hold them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from annotated_types import Interval
from torch import Tensor

from napari_restore import networks
from napari_restore.core.errors import RestoreError
from napari_restore.core.options import Effort
from napari_restore.methods import METHODS
from napari_restore.methods.method import Fit, Method
from napari_restore.sources import Image


@dataclass(frozen=True)
class CareamicsConfig:
    """Settings of a network of CAREamics; a package says all of them.

    Attributes
    ----------
    width
        Features of the network's first level.
    depth
        Times each axis is halved.
    n2v2
        Whether pooling blurs and the first level has no skip.
    batch_norm
        Whether features are normalised after each convolution.
    residual
        Whether the image is added to what the network gives.
    apart
        Whether each channel has weights of its own.
    """

    width: Annotated[int, Interval(ge=2, le=1024)] = 32
    depth: Annotated[int, Interval(ge=1, le=10)] = 2
    n2v2: bool = False
    batch_norm: bool = True
    residual: bool = False
    apart: bool = True


class Careamics(Method):
    """A U-Net that CAREamics trained: Noise2Void, N2V2, structured Noise2Void, Noise2Noise or CARE.

    Attributes
    ----------
    line
        Gain and offset ``(2, channels)`` of what the network gives, in units of the image's deviation.
    """

    listed = METHODS["careamics"]
    Config: ClassVar[type] = CareamicsConfig
    efforts: ClassVar[Mapping[Effort, Mapping[str, Any]]] = {"quick": {}, "normal": {}, "thorough": {}}
    config: CareamicsConfig
    line: Tensor

    def __init__(self, config: CareamicsConfig, *, spatial: str, channels: int) -> None:
        super().__init__(config, spatial=spatial, channels=channels)
        self.network = networks.build(
            "careamics_unet",
            ndim=len(spatial),
            channels=channels,
            width=config.width,
            depth=config.depth,
            n2v2=config.n2v2,
            batch_norm=config.batch_norm,
            residual=config.residual,
            apart=config.apart,
        )
        self.register_buffer("line", torch.tensor([[1.0] * channels, [0.0] * channels]))

    @classmethod
    def fit_to(cls, config: Any, images: Sequence[Image]) -> Fit:
        """Nothing is trained here.

        Raises
        ------
        RestoreError
            Always.
        """
        raise RestoreError(
            f"{cls.listed.label} is trained with CAREamics: give the .zip that it exports as `model` of restore. To "
            "train here, take noise2void2 or another method."
        )

    @property
    def radius(self) -> tuple[int, ...]:
        """Receptive radius of the network along each spatial axis."""
        return tuple(self.network.radius)

    @property
    def grid(self) -> tuple[int, ...]:
        """Of the network."""
        return tuple(self.network.grid)

    def restore(self, pixels: Tensor) -> Tensor:
        """What the network gives, in units of the image."""
        gain, offset = self.line.view(2, 1, -1, *[1] * len(self.spatial))
        restored: Tensor = gain * self.network(pixels).float() + offset
        return restored

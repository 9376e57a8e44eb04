"""What the denoisers share: a network for each channel, its size, and how it restores."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Interval
from pydantic import BeforeValidator
from torch import Tensor, nn

from napari_restore import networks
from napari_restore.core.errors import ImageError
from napari_restore.methods.method import Fit, Method
from napari_restore.methods.neighbours import begun_as, beside, in_place
from napari_restore.sources import Image

_LEAST = 8
_NARROWEST = 4


@dataclass(frozen=True)
class DenoiserConfig:
    """Settings of the methods that learn from a second image on the same pixels.

    Attributes
    ----------
    dimensions
        ``"2"`` looks along Y and X, ``"3"`` along Z too, which takes some four times longer a pixel. ``"auto"`` is 2.
    network
        ``"residual_unet"`` works on 2 x 2 pixels at a time and adds what it learns to its input: on the 8 benchmark
        images 30.14 dB after 30 s of one core, towards the clean image. At a learning rate of 0.002 ``"unet"`` (width
        16, depth 2) reached 29.36, and ``"rdunet"`` (Gurrola-Ramos et al. 2021; width 12, depth 2, 1 block) 27.93: it
        takes many times longer a step, and is for a GPU or for hours.
    width
        Features of the network's first level.
    depth
        Times Y and X are halved.
    blocks
        Residual or dense blocks a level; a ``"unet"`` has none.
    """

    dimensions: Annotated[Literal["auto", "2", "3"], BeforeValidator(str)] = "auto"
    network: Literal["residual_unet", "unet", "rdunet"] = "residual_unet"
    width: Annotated[int, Interval(ge=2, le=256)] = 24
    depth: Annotated[int, Interval(ge=1, le=5)] = 1
    blocks: Annotated[int, Interval(ge=1, le=8)] = 2


class Denoiser(Method):
    """Base of the denoisers. Each channel has a network of its own.

    Subclasses say what is minimised, in ``forward``; this is for those whose network sees every pixel.

    Attributes
    ----------
    least_student
        Features that the width of its student is a part of, and blocks of it, at least.
    line
        Gain and offset ``(2, channels)`` of what is restored, in units of the image's deviation: measured after
        training, so that its mean is that of the image. What is learned is learned without.
    """

    Config: ClassVar[type] = DenoiserConfig
    efforts: ClassVar = {"quick": {}, "normal": {}, "thorough": {"width": 48, "depth": 2}}
    learning_rate: float = 3e-3
    clip: ClassVar[float | None] = 1.0
    keeps_mean: bool = True
    compresses: bool = True
    narrower: ClassVar[float] = 0.5
    least_student: ClassVar[tuple[int, int]] = (1, 1)
    config: Any
    line: Tensor

    def __init__(self, config: Any, *, spatial: str, channels: int) -> None:
        super().__init__(config, spatial=spatial, channels=channels)
        self.networks = nn.ModuleList(self._new() for _ in range(channels))
        self.register_buffer("line", torch.tensor([[1.0] * channels, [0.0] * channels]))

    def _new(self) -> nn.Module:
        """A new network for one channel; one that is shown neighbours begins as one that is not."""
        alone = self.build()
        if not self.neighbours:
            return alone
        return begun_as(alone.state_dict(), self.build(2 * self.neighbours + 1), self.neighbours)

    def build(self, planes: int = 1) -> nn.Module:
        """A network for one channel that is shown so many ``planes``; only with neighbours more than one."""
        config, axes = self.config, self.network_axes
        size = {"ndim": len(axes), "width": config.width, "depth": [0 if a == "Z" else config.depth for a in axes]}
        rest: dict[str, dict[str, Any]] = {
            "unet": {"channels_in": planes},
            "rdunet": {"blocks": config.blocks},
            "residual_unet": {
                "blocks": config.blocks,
                "channels_in": planes,
                "channels_out": 1,
                "fold": [1 if a == "Z" else 2 for a in axes],
                "rate": (1,) * len(axes),
            },
        }
        network: nn.Module = networks.build(config.network, **size, **rest[config.network])
        return network

    @classmethod
    def fit_to(cls, config: Any, images: Sequence[Image]) -> Fit:
        """Settle ``dimensions``, and a depth that small images leave room for."""
        spatial = cls.axes_for(config.dimensions, images)
        folded = config.network == "residual_unet"
        depth = min(config.depth, cls.shortest_side(images, least=_LEAST).bit_length() - 2 - folded)
        return Fit(replace(config, dimensions=str(len(spatial)), depth=depth), spatial)

    @staticmethod
    def axes_for(dimensions: str, images: Sequence[Image]) -> str:
        """The axes to look along: ``"YX"``, or ``"ZYX"`` for 3 dimensions of a stack.

        Raises
        ------
        ImageError
            If 3 are wanted, and the image is no stack.
        """
        geometry = images[0].geometry
        if dimensions == "3" and geometry.length("Z") < 2:
            raise ImageError(
                f"dimensions 3 needs a stack: the image has axes {geometry.axes} and {geometry.length('Z')} plane. "
                "Use dimensions 2, or say which axis is Z with `axes`."
            )
        return "ZYX" if dimensions == "3" else "YX"

    @classmethod
    def shortest_side(cls, images: Sequence[Image], *, least: int) -> int:
        """Pixels along Y or X of the image that has the fewest.

        Raises
        ------
        ImageError
            If they are fewer than a method can learn from.
        """
        shortest, axis = min((image.geometry.length(a), a) for image in images for a in "YX")
        if shortest < least:
            raise ImageError(
                f"axis {axis} has {shortest} pixels: {cls.listed.label} learns from a pixel's surroundings and needs "
                f"at least {least} along Y and X. If this axis is not a picture's, say which is with `axes`."
            )
        return shortest

    @property
    def _first(self) -> Any:
        return self.networks[0]

    @property
    def neighbours(self) -> int:
        """As its setting of that name says, where it has one."""
        asked = getattr(self.config, "neighbours", "auto")
        return 0 if asked == "auto" else int(asked)

    @property
    def network_axes(self) -> str:
        """Those that its networks look along; planes beside each other are channels to them."""
        return self.spatial[-2:] if self.neighbours else self.spatial

    @property
    def radius(self) -> tuple[int, ...]:
        """Receptive radius of the network along each spatial axis."""
        return (*([self.neighbours] if self.neighbours else []), *self._first.radius)

    @property
    def grid(self) -> tuple[int, ...]:
        """Of the network."""
        return (*([1] if self.neighbours else []), *self._first.grid)

    @property
    def patch(self) -> tuple[int, ...]:
        """As of others; with neighbours one plane and these."""
        return (2 * self.neighbours + 1, 64, 64) if self.neighbours else super().patch

    @property
    def batch(self) -> int | None:
        """As of others: planes that are only looked at do not count."""
        return 8 if self.neighbours else super().batch

    def student(self, ratio: float) -> tuple[str, dict[str, Any]]:
        """A residual U-Net on 2 x 2 pixels at a time, which sees about as far, and the same neighbouring planes."""
        config = self.config
        width, blocks = self.least_student
        whole = self.ends_at_the_image  # at every pixel: one level more than a network on 2 x 2 of them
        return "supervised_denoising", {
            "dimensions": str(len(self.network_axes)),
            "neighbours": str(self.neighbours),
            "width": max(_NARROWEST, round(max(config.width, width) * ratio)),
            "depth": max(1, config.depth - whole),
            "blocks": 1 if whole else max(config.blocks, blocks),
        }

    def restore(self, pixels: Tensor) -> Tensor:
        """What was learned, by the line that keeps the image's mean."""
        gain, offset = self.line.view(2, 1, -1, *[1] * len(self.spatial))
        learned = self.learned(pixels).float()
        levelled: Tensor = gain.abs() * learned if self.gives_deviations else gain * learned + offset
        return levelled

    def learned(self, pixels: Tensor) -> Tensor:
        """Each channel ``(B, C, *S)`` through its own network; planes that are only looked at stay as they are."""
        k, learned = self.neighbours, self.predicted(pixels)
        return torch.cat([pixels[:, :, :k], learned, pixels[:, :, -k:]], 2) if k else learned

    def predicted(self, pixels: Tensor, shown: Tensor | None = None) -> Tensor:
        """What the networks make of each channel ``(B, C, *S)``: of planes with neighbours, those that have them all.

        These may be ``shown`` as other than they are, each to itself: its neighbours are seen as they are.
        """
        pieces = [
            self.predicted_of(c, pixels[:, c : c + 1], None if shown is None else shown[:, c : c + 1])
            for c in range(self.channels)
        ]
        return torch.cat(pieces, 1) if len(pieces) > 1 else pieces[0]

    def predicted_of(self, channel: int, pixels: Tensor, shown: Tensor | None = None) -> Tensor:
        """``predicted`` for one channel ``(B, 1, *S)``."""
        k, network = self.neighbours, self.networks[channel]
        if not k:
            return self.through(network, pixels if shown is None else shown)
        planes = beside(pixels, k)
        if shown is not None:
            planes[:, k] = shown.flatten(0, 2)
        return in_place(self.through(network, planes), len(pixels))

    def through(self, network: nn.Module, pixels: Tensor) -> Tensor:
        """One channel ``(B, 1, *S)`` restored by its network; with neighbours, the middle of ``2 k + 1`` planes."""
        layout = torch.channels_last if pixels.ndim == 4 else torch.channels_last_3d
        learned: Tensor = network(pixels.contiguous(memory_format=layout))
        k = self.neighbours
        return learned if self.ends_at_the_image else (pixels[:, k : k + 1] if k else pixels) + learned

    @property
    def ends_at_the_image(self) -> bool:
        """Whether its networks give the image themselves, instead of what is to be added to it."""
        return self.config.network in ("unet", "rdunet")

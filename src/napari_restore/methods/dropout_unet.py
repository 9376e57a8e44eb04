"""The U-Net of 15 million weights with dropout, learned from pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Interval
from pydantic import BeforeValidator
from torch import Tensor, nn

from napari_restore import networks
from napari_restore.methods import METHODS
from napari_restore.methods.method import Batch
from napari_restore.methods.supervised_denoising import SupervisedDenoising


@dataclass(frozen=True)
class DropoutUNetConfig:
    """Settings of the U-Net with dropout.

    Attributes
    ----------
    dimensions
        ``"2"`` looks along Y and X, ``"3"`` along Z too. ``"auto"`` is 2.
    neighbours
        Planes to either side, along Z or time, that are looked at beside each plane.
    dropout
        Share of the features that are left out at random on the way up, while it learns.
    width
        Features of the network's first level. With 53, and a depth of 4, it has the paper's 15 million weights.
    depth
        Times Y and X are halved.
    """

    network: ClassVar[str] = "unet"
    blocks: ClassVar[int] = 1
    similar: ClassVar[str] = "no"
    dimensions: Annotated[Literal["auto", "2", "3"], BeforeValidator(str)] = "auto"
    neighbours: Annotated[Literal["0", "1", "2"], BeforeValidator(str)] = "0"
    dropout: Annotated[float, Interval(ge=0, le=0.9)] = 0.1
    width: Annotated[int, Interval(ge=2, le=256)] = 53
    depth: Annotated[int, Interval(ge=1, le=5)] = 4


class DropoutUNet(SupervisedDenoising):
    """Mishra, Chide, Manmode, Pandita, Bhonsle (2022): a U-Net (Ronneberger et al. 2015) that learns from pairs.

    Theirs are blurred and sharp pictures of flowers, of the same pixels. A network of its size takes a GPU, or hours.
    """

    listed = METHODS["dropout_unet"]
    Config: ClassVar[type] = DropoutUNetConfig
    efforts: ClassVar = {"quick": {}, "normal": {}, "thorough": {}}
    learning_rate: float = 1e-3
    config: Any

    def build(self, planes: int = 1) -> nn.Module:
        """A U-Net for one channel."""
        config, axes = self.config, self.network_axes
        depth = [0 if a == "Z" else config.depth for a in axes]
        network: nn.Module = networks.build(
            "unet", ndim=len(axes), width=config.width, depth=depth, channels_in=planes, dropout=config.dropout
        )
        return network

    def forward(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """As supervised denoising; what is left out is drawn from ``rng``."""
        seed = int(torch.randint(2**31, (), generator=rng))
        devices: list[Any] = [batch.pixels.device] if batch.pixels.is_cuda else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            return super().forward(batch, rng)

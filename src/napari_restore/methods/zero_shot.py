"""Zero-shot: halves of the noisy image are the pair to learn from, and a small network needs seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar, Literal

import torch
from annotated_types import Interval
from torch import Tensor, nn

from napari_restore.core.errors import RestoreError
from napari_restore.losses.halves import Halve, against_itself, diagonals, neighbours
from napari_restore.methods import METHODS
from napari_restore.methods.denoiser import Denoiser
from napari_restore.methods.method import Batch, Fit
from napari_restore.sources import Image

_LEAST = 16


@dataclass(frozen=True)
class ZeroShotConfig:
    """Settings of zero-shot denoising.

    Attributes
    ----------
    network
        ``"residual_unet"``, or ``"small"``: the two layers of Mansour and Heckel 2023, 21 000 weights at their width of
        48, which see 2 pixels far.
    halves
        ``"neighbours"`` are two pixels of every 2 x 2, drawn at each step, as noisy as the image. ``"diagonals"`` are
        the means over its diagonals, with less noise than the network will meet.
    consistency
        Weight of halves of the restored image being like restored halves. ``"diagonals"`` need it, with 1, to learn the
        noise of the whole image; it costs three times the time.
    width
        Features of the network's first level; the one size of ``"small"``.
    depth
        Times Y and X are halved.
    blocks
        Residual blocks a level.
    """

    network: Literal["residual_unet", "small"] = "residual_unet"
    halves: Literal["neighbours", "diagonals"] = "neighbours"
    consistency: Annotated[float, Interval(ge=0, le=100)] = 0.0
    width: Annotated[int, Interval(ge=2, le=256)] = 16
    depth: Annotated[int, Interval(ge=1, le=4)] = 1
    blocks: Annotated[int, Interval(ge=1, le=8)] = 2


class ZeroShot(Denoiser):
    """Zero-shot denoising (Mansour and Heckel 2023, CVPR, arXiv:2303.11253), for a first look after seconds.

    Two halves of an image made of different pixels show the same scene under independent noise: Noise2Noise without a
    second acquisition. Right where noise is independent from pixel to pixel, as for Noise2Void, and details are two
    pixels wide or more: finer ones count as noise. Planes of a stack are restored each by itself.

    With ``network="small"``, ``halves="diagonals"``, ``consistency=1`` this is what was published. Usually it learns
    from the pairs of Neighbor2Neighbor (Huang et al. 2021, CVPR, arXiv:2101.02824) without its regulariser. On the 8
    benchmark images it reached 28.8 and 29.1 dB (seeds 0 and 1) after 5 s of one core, 29.5 and 29.4 after 10 s. What
    was published reached 25.4 after 5 s.
    """

    listed = METHODS["zero_shot"]
    Config: ClassVar[type] = ZeroShotConfig
    efforts: ClassVar = {"quick": {}, "normal": {}, "thorough": {"width": 24}}
    learning_rate: float = 6e-3
    config: ZeroShotConfig

    def build(self, planes: int = 1) -> nn.Module:
        """A new network for one channel."""
        return _Small(self.config.width) if self.config.network == "small" else super().build()

    @classmethod
    def fit_to(cls, config: ZeroShotConfig, images: Sequence[Image]) -> Fit:
        """Settle a depth that halves of small images leave room for."""
        shortest = cls.shortest_side(images, least=_LEAST)
        return Fit(replace(config, depth=min(config.depth, shortest.bit_length() - 3)), "YX")

    def forward(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Each half from the other; see ``losses.halves.against_itself``."""
        multiples = [2 * g for g in self.grid]
        rows, columns = (n // m * m for n, m in zip(batch.pixels.shape[2:], multiples, strict=True))
        if not rows or not columns:
            raise RestoreError(
                f"a patch of {' x '.join(map(str, batch.pixels.shape[2:]))} px has no halves that the network takes: "
                f"use at least {' x '.join(map(str, multiples))} px."
            )
        pixels, target = batch.pixels[..., :rows, :columns], batch.target[..., :rows, :columns]
        halve = self._halve(pixels, rng)
        losses = [
            against_itself(
                lambda half, network=network: self.through(network, half),  # type: ignore[misc]
                pixels[:, c : c + 1],
                halve,
                consistency=self.config.consistency,
                weight=target,
            )
            for c, network in enumerate(self.networks)
        ]
        return torch.stack(losses).mean()

    def _halve(self, pixels: Tensor, rng: torch.Generator) -> Halve:
        if self.config.halves == "diagonals":
            return diagonals
        places = (len(pixels), 1, pixels.shape[2] // 2, pixels.shape[3] // 2)
        return neighbours(torch.randint(8, places, generator=rng).to(pixels.device, non_blocking=True))


class _Small(nn.Module):
    """Two 3 x 3 convolutions and a 1 x 1 one (Mansour and Heckel 2023, section 3.3)."""

    radius, grid = (2, 2), (1, 1)

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, width, 3, padding=1),
            nn.LeakyReLU(0.2),
        )
        self.head = nn.Conv2d(width, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        features = self.layers(x)
        # bfloat16 keeps 8 bits: the sum over features is taken in float32 so that the result has more.
        with torch.autocast(x.device.type, enabled=False):
            return self.head(features.to(self.head.weight.dtype))  # type: ignore[no-any-return]

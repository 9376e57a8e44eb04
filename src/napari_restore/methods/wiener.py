"""Wiener's filter as a method of its own: one linear filter for the blur and the noise, at once."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from napari_restore.methods import METHODS
from napari_restore.methods.classical import Classical, ClassicalConfig
from napari_restore.operators.blur import Blur
from napari_restore.operators.inverse import wiener


class Wiener(Classical):
    """Wiener's filter with the spectrum of natural images (Field 1987); see ``operators.inverse.wiener``."""

    listed = METHODS["wiener"]
    Config: ClassVar[type] = ClassicalConfig

    def __init__(self, config: ClassicalConfig, *, spatial: str, channels: int) -> None:
        super().__init__(config, spatial=spatial, channels=channels)
        sigmas = config.sigma or (0.05,) * channels
        deviations = config.std or (1.0,) * channels
        relative = [sigma / (std or 1.0) for sigma, std in zip(sigmas, deviations, strict=True)]
        self.filters = torch.nn.ModuleList(Blur(wiener(self.psf, noise)) for noise in relative)

    @property
    def radius(self) -> tuple[int, ...]:
        """Of the longest filter."""
        margins = [blur.margin for blur in self.filters if isinstance(blur, Blur)]
        return tuple(max(along) for along in zip(*margins, strict=True))

    @property
    def padding(self) -> tuple[int, ...]:
        """Of the longest filter, too, where it is not separable."""
        return tuple(max(along) for along in zip(*(blur.padding for blur in self.filters), strict=True))

    def plain(self, pixels: Tensor) -> Tensor:
        """The result itself, as nothing is learned."""
        return self.restore(pixels)

    def restore(self, pixels: Tensor) -> Tensor:
        """Each channel through the filter for its noise."""
        with torch.autocast(pixels.device.type, enabled=False):
            given = pixels.float()
            return torch.cat([blur(given[:, c : c + 1]) for c, blur in enumerate(self.filters)], 1)

"""Deblurring as denoising: Noise2Noise between two random blurs of one image, in four variants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from annotated_types import Interval
from torch import Tensor

from napari_restore.losses.sure import mean_of
from napari_restore.methods import METHODS
from napari_restore.methods.denoiser import Denoiser, DenoiserConfig
from napari_restore.methods.method import Batch, Fit
from napari_restore.sources import Image

_LEAST_WINDOW = 16
_FLOOR = 1e-3
"""Of a Fourier coefficient, in units of the deviation of white noise of the image's: its logarithm goes no lower."""

_LIFT = 4.0
"""Deviations that are added before a logarithm: their images are positive, and so is the mean of a window then."""

_SPREAD = {"log": 1.0, "log_without_dc": 1.0, "multiplicative": 0.5, "convolve": 0.1}


@dataclass(frozen=True)
class FourierNoise2NoiseConfig(DenoiserConfig):
    """Settings of Noise2Noise in Fourier space: those of ``DenoiserConfig``, and what its random blurs are.

    Attributes
    ----------
    variant
        ``"log"``: a blur is a sum of logarithms, and the network works on what these transform back to.
        ``"log_without_dc"``: the same, the mean kept aside. ``"multiplicative"``: the network works on the image, and
        each frequency is multiplied by a random complex number. ``"convolve"``: Convolve2Convolve, by random kernels.
    spread
        Of the random blurs: of the logarithms (``log``), of the factors, of each entry of the kernel. ``"auto"`` is 1,
        0.5 and 0.1. What a patch has of it is drawn evenly.
    kernel
        Pixels along each side of random kernels; the paper's is 5.
    window
        Pixels along each side of the square that a logarithm is taken of, in steps of which the image is restored.
    """

    variant: Literal["log", "log_without_dc", "multiplicative", "convolve"] = "convolve"
    spread: Literal["auto"] | Annotated[float, Interval(ge=0, le=50)] = "auto"
    kernel: Annotated[int, Interval(ge=3, le=31)] = 5
    window: Annotated[int, Interval(ge=_LEAST_WINDOW, le=512)] = 64


class FourierNoise2Noise(Denoiser):
    """The four ways of Cadiou and Dervishi (section 4.2) to learn deblurring as denoising is learned.

    Two random blurs of one image are input and target, so that what is learned is their mean: the image itself, where
    the mean of the kernels is a single point and that of their logarithms is nothing. Neither holds for the blur of an
    instrument, which is no noise about the image. They are there to compare with: what does what they look for is
    ``two_exposures``. Learned from sharp images; of a blurred one alone, what is learned is to undo a further blur.
    """

    listed = METHODS["fourier_noise2noise"]
    Config: ClassVar[type] = FourierNoise2NoiseConfig
    keeps_mean: bool = False
    compresses: bool = False
    config: FourierNoise2NoiseConfig

    @classmethod
    def fit_to(cls, config: Any, images: Sequence[Image]) -> Fit:
        """Settle axes, depth, and a window that the images leave room for; always along Y and X."""
        shortest = cls.shortest_side(images, least=_LEAST_WINDOW)
        fit = super().fit_to(replace(config, dimensions="2"), images)
        window = 1 << (min(config.window, shortest).bit_length() - 1)  # a step of any grid
        spread = _SPREAD[config.variant] if config.spread == "auto" else config.spread
        return replace(fit, config=replace(fit.config, window=window, spread=spread))

    @property
    def logarithmic(self) -> bool:
        """Whether it works on logarithms of Fourier coefficients, of whole windows."""
        return self.config.variant.startswith("log")

    @property
    def has_graph(self) -> bool:
        """Where it does not compute with complex numbers."""
        return not self.logarithmic

    @property
    def grid(self) -> tuple[int, ...]:
        """Windows, or that of the network."""
        return (self.config.window,) * 2 if self.logarithmic else super().grid

    @property
    def radius(self) -> tuple[int, ...]:
        """That of the network; a window begins on the grid, and nothing outside of it is seen."""
        return (0, 0) if self.logarithmic else super().radius

    @property
    def patch(self) -> tuple[int, ...]:
        """One window."""
        return (self.config.window,) * 2 if self.logarithmic else super().patch

    @property
    def batch(self) -> int | None:
        """As many as have the pixels of 16 patches of 64."""
        return max(2, 16 * 64**2 // self.config.window**2) if self.logarithmic else super().batch

    def learned(self, pixels: Tensor) -> Tensor:
        """Each channel through its network, window by window where logarithms are taken."""
        if not self.logarithmic:
            return super().learned(pixels)
        n, (b, c, height, width) = self.config.window, pixels.shape
        windows = pixels.float().view(b, c, height // n, n, width // n, n).permute(0, 2, 4, 1, 3, 5).flatten(0, 2)
        shown, aside = self._logarithm(windows)
        given = self._exponential(super().learned(shown), aside)
        joined: Tensor = given.view(b, height // n, width // n, c, n, n).permute(0, 3, 1, 4, 2, 5)
        return joined.reshape(pixels.shape)

    def forward(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """Mean squared error between what is made of one random blur and the other, where the paper has it."""
        with torch.autocast(batch.pixels.device.type, enabled=False):
            first, second = (self.blurred(batch.pixels.float(), rng) for _ in range(2))
            if self.logarithmic:
                first, second = (self._logarithm(each)[0] for each in (first, second))
        found = super().learned(first).float()
        return mean_of((found - second).square(), batch.target.to(found.dtype))

    def blurred(self, pixels: Tensor, rng: torch.Generator) -> Tensor:
        """Patches ``(B, C, Y, X)`` blurred at random, each by itself, as if they repeated themselves."""
        like = pixels[:, :1]
        spread = float(self._spread) * torch.rand(len(pixels), 1, 1, 1, generator=rng)
        if self.config.variant == "multiplicative":
            drawn = torch.randn(like.shape, generator=rng) / like[0, 0].numel() ** 0.5
            drawn = spread * drawn  # each frequency of it has the variance 1
            drawn[..., 0, 0] += 1
        else:
            drawn = self._kernels(spread, rng)
            drawn = F.pad(drawn, (0, like.shape[-1] - drawn.shape[-1], 0, like.shape[-2] - drawn.shape[-2]))
            drawn = drawn.roll((-(self.config.kernel // 2),) * 2, (-2, -1))
        factor, lift = torch.fft.rfft2(drawn.to(pixels.device)), _LIFT if self.logarithmic else 0.0
        blurred: Tensor = torch.fft.irfft2(torch.fft.rfft2(pixels + lift) * factor, s=pixels.shape[-2:])
        return blurred - lift

    def _kernels(self, spread: Tensor, rng: torch.Generator) -> Tensor:
        """Random kernels, a patch each, their middle in the middle."""
        n = self.config.kernel
        drawn = spread * torch.randn(len(spread), 1, n, n, generator=rng)
        if self.logarithmic:  # a log-normal factor at each frequency, so that its logarithm has the mean 0
            if self.config.variant == "log_without_dc":
                drawn[..., 0, 0] = 0  # what is kept aside is not blurred
            kernels: Tensor = torch.fft.fftshift(torch.fft.ifft2(drawn.exp()).real, dim=(-2, -1))
            return kernels
        drawn[..., n // 2, n // 2] += 1
        return drawn

    @property
    def _spread(self) -> float:
        spread = self.config.spread
        return _SPREAD[self.config.variant] if spread == "auto" else spread

    def _logarithm(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        """Of the Fourier coefficients, transformed back; and the mean, which one variant keeps aside."""
        coefficients = torch.fft.fft2(windows + _LIFT, norm="ortho")
        size = coefficients.abs().clamp(min=_FLOOR)
        logarithm = torch.complex(size.log(), coefficients.angle())
        aside = coefficients[..., :1, :1].clone()
        if self.config.variant == "log_without_dc":
            logarithm[..., 0, 0] = 0
        return torch.fft.ifft2(logarithm, norm="ortho").real, aside

    def _exponential(self, shown: Tensor, aside: Tensor) -> Tensor:
        """What these logarithms are of."""
        coefficients = torch.fft.fft2(shown.float(), norm="ortho").exp()
        if self.config.variant == "log_without_dc":
            coefficients[..., :1, :1] = aside
        back: Tensor = torch.fft.ifft2(coefficients, norm="ortho").real
        return back - _LIFT

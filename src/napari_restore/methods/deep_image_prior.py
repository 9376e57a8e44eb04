"""Deep image prior: a network made for one image, stopped before it learns the noise."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from annotated_types import Interval
from skimage.restoration import denoise_nl_means
from torch import Tensor

from napari_restore import networks
from napari_restore.losses.sure import inside, mean_of
from napari_restore.methods import METHODS
from napari_restore.methods.imaging import ImagingConfig
from napari_restore.methods.method import Interrupted
from napari_restore.methods.windowed import Windowed
from napari_restore.networks.layout import channels_last
from napari_restore.operators.variation import total_variation

_SHOWN = 8
_RATE = 0.01
_KEEP = 0.95  # of the running mean of results
_EVERY, _PATIENCE = 10, 10  # steps between two looks at the risk, and looks without a better one
_TARGET_STEPS = 60
_TIMED = 8


@dataclass(frozen=True)
class DeepImagePriorConfig(ImagingConfig):
    """Settings of the deep image prior: of those of ``ImagingConfig`` what is undone and its noise, and these.

    Attributes
    ----------
    targets
        ``"one"`` is the measured image; ``"three"`` are it and what total variation and non-local means make of it.
    until
        ``"noise"`` stops where the measured image is missed by as much as its noise, ``"sure"`` where Stein's estimate
        of the risk, of a network that is shown the measured image, is least; ``"never"`` takes all the steps.
    iterations
        Steps for a window, at most.
    width
        Features of the network's first level.
    depth
        Times Y and X are halved.
    """

    targets: Literal["one", "three"] = "three"
    until: Literal["noise", "sure", "never"] = "noise"
    iterations: Annotated[int, Interval(ge=1, le=20000)] = 600
    width: Annotated[int, Interval(ge=4, le=256)] = 16
    depth: Annotated[int, Interval(ge=1, le=4)] = 3


class DeepImagePrior(Windowed):
    """Ulyanov, Vedaldi, Lempitsky (2018, doi:10.1109/CVPR.2018.00984), with several targets and a rule to stop by.

    Targets and rule by the noise level after Chen, Xu, Chen, Li (2021, doi:10.3390/app11114803), whose two further
    targets are BM3D and FFDNet. The rule by Stein's risk takes the weights of the moment for given, and is for a
    network that sees the image; such a one soon learns to hand it through, and ends lower (measured).

    A network is trained for each window, from the weights that the model holds: the result is the same each time, and
    takes long.
    """

    listed = METHODS["deep_image_prior"]
    Config: ClassVar[type] = DeepImagePriorConfig
    step = 128
    config: DeepImagePriorConfig

    def build(self) -> Any:
        """The network that each window begins with."""
        depth = [0 if a == "Z" else self.config.depth for a in self.spatial]
        return networks.build(
            "unet", ndim=len(self.spatial), width=self.config.width, depth=depth, channels_in=_SHOWN, channels_out=1
        )

    def for_restoring(self) -> Self:
        """A copy as it is: the network is still to learn."""
        return copy.deepcopy(self)

    def in_short(self) -> Self:
        """A copy that takes two steps a window."""
        short = copy.deepcopy(self)
        short.most = 2
        return short

    def timed(self) -> tuple[Self, float]:
        """A few of its steps, and those it may take: it stops sooner where an image's noise lets it."""
        few = copy.deepcopy(self)
        few.most = min(_TIMED, self.config.iterations)
        few.config = replace(self.config, until="never")
        return few, self.config.iterations / few.most

    most: int = 20000

    def solved(self, y: Tensor, sigma: float) -> Tensor:
        """That of one window."""
        with torch.no_grad():
            start = self.plain(y)
            targets = self._targets(y, start, sigma)
        shown = self._shown(start)
        network = channels_last(copy.deepcopy(self.network)).train().requires_grad_(True)
        learner = torch.optim.Adam(network.parameters(), lr=_RATE)
        weight = inside(y, self.operator.margin, None)
        best, least, waited = start, float("inf"), 0
        mean: Tensor | None = None
        with torch.enable_grad():
            for step in range(min(self.config.iterations, self.most)):
                if self.stopping():
                    raise Interrupted
                found = self._fitted(network(shown), start)
                missed = mean_of((self.operator(found) - y).square(), weight)
                loss = missed + sum((found - target).square().mean() for target in targets)
                learner.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                learner.step()
                now = found.detach()
                keep = min(_KEEP, (1 + step) / (10 + step))  # the first ones are soon forgotten
                mean = now if mean is None else keep * mean + (1 - keep) * now
                if self.config.until == "noise":
                    if float(missed.detach()) <= sigma**2:
                        return mean
                elif self.config.until == "sure" and step % _EVERY == _EVERY - 1:
                    risk = float(missed.detach()) + 2 * sigma**2 * self._divergence(network, y, shown, weight)
                    waited = 0 if risk < least else waited + 1
                    best, least = (mean, risk) if risk < least else (best, least)
                    if waited >= _PATIENCE:
                        return best
        return best if self.config.until == "sure" and least < float("inf") else mean if mean is not None else start

    def _shown(self, start: Tensor) -> Tensor:
        """What the network sees: noise, the same each time; the image, where the rule is one for what sees it."""
        size = [-(-n // g) * g for n, g in zip(start.shape[2:], self.network.grid, strict=True)]
        shown = torch.rand((1, _SHOWN, *size), generator=torch.Generator().manual_seed(0)).to(start.device) / 10
        if self.config.until == "sure":
            _cut(shown[:, :1], start).copy_(start)
        layout = torch.channels_last if start.ndim == 4 else torch.channels_last_3d
        return shown.contiguous(memory_format=layout)

    @staticmethod
    def _fitted(given: Tensor, start: Tensor) -> Tensor:
        return _cut(given, start).float()

    def _divergence(self, network: Any, y: Tensor, shown: Tensor, weight: Tensor) -> float:
        """Of what is restored and measured, by a random probe, a mean over pixels."""
        rng = torch.Generator().manual_seed(1)
        probe = torch.randn(y.shape, generator=rng).to(y.device)
        with torch.no_grad():
            moved = self._shown(self.plain(y + self.config.tau * probe))
            both = [self.operator(self._fitted(network(each), self.plain(y))) for each in (shown, moved)]
            return float(mean_of(probe * (both[1] - both[0]) / self.config.tau, weight))

    def _targets(self, y: Tensor, start: Tensor, sigma: float) -> list[Tensor]:
        if self.config.targets == "one":
            return []
        smooth = total_variation(y, self.operator, start=start, sigma=sigma, weight=None, steps=_TARGET_STEPS)
        plane = start[0, 0].cpu().numpy()
        patches = {"patch_size": 5, "patch_distance": 5 if plane.ndim == 2 else 2}
        means = denoise_nl_means(plane, h=0.8 * sigma, sigma=sigma, fast_mode=True, **patches)
        return [smooth, torch.from_numpy(means.astype(np.float32)).to(start)[None, None]]


def _cut(pixels: Tensor, like: Tensor) -> Tensor:
    """``(B, C, *S)`` as long along S as another is."""
    for axis in range(2, like.ndim):
        pixels = pixels.narrow(axis, 0, like.shape[axis])
    return pixels

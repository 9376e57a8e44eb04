"""What a method is: a module that turns a batch into a loss, and noisy pixels into restored ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from napari_restore.core.geometry import Geometry


class Batch(NamedTuple):
    """Patches to learn from. S are the spatial axes; pixels and target share a device.

    Attributes
    ----------
    pixels
        ``(B, C, *S)`` float32, in units of the image's deviation; 0 where the image is not finite.
    target
        ``(B, 1, *S)`` bool: pixels whose value may be predicted. Not finite, padded and held-out pixels may not.
    hidden
        ``(B, K)`` positions in the flattened S to hide, in host memory, or None for the method to draw them.
    """

    pixels: Tensor
    target: Tensor
    hidden: Tensor | None = None


@dataclass(frozen=True)
class Effort:
    """What one level of effort means for a method."""

    seconds: float
    config: Mapping[str, Any]


class Method(nn.Module):
    """Base of all methods. A method is this class, a frozen config dataclass, and a row in ``METHODS``.

    Attributes
    ----------
    label, citation, needs
        For people: its name, its paper, and what it wants besides the noisy image.
    Config
        The frozen dataclass of its settings, with ``Annotated`` bounds.
    efforts
        Budget and settings for ``quick``, ``normal`` and ``thorough``.
    """

    label: ClassVar[str]
    citation: ClassVar[str]
    needs: ClassVar[tuple[str, ...]] = ()
    Config: ClassVar[type]
    efforts: ClassVar[Mapping[str, Effort]]

    config: Any
    spatial: str
    channels: int

    def __init__(self, config: Any, *, spatial: str, channels: int) -> None:
        super().__init__()
        self.config, self.spatial, self.channels = config, spatial, channels

    @classmethod
    def fit_to(cls, config: Any, geometry: Geometry) -> Any:
        """The config with everything left to ``"auto"`` settled for images of this geometry."""
        raise NotImplementedError

    @property
    def radius(self) -> tuple[int, ...]:
        """Receptive radius along each spatial axis, in pixels."""
        raise NotImplementedError

    @property
    def grid(self) -> tuple[int, ...]:
        """Inputs of ``restore`` start on, and are as long as, multiples of this along each spatial axis."""
        raise NotImplementedError

    def forward(self, batch: Batch, rng: torch.Generator) -> Tensor:
        """The loss, a scalar."""
        raise NotImplementedError

    def restore(self, pixels: Tensor) -> Tensor:
        """Restored ``(B, C, *S)`` from noisy ``(B, C, *S)``, both in units of the image's deviation."""
        raise NotImplementedError

    def for_restoring(self) -> Method:
        """A copy whose ``restore`` gives the same pixels sooner."""
        raise NotImplementedError

"""Base of the methods that look for the image anew in each window of it: nothing is learned beforehand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from napari_restore.methods.imaging import Imaging
from napari_restore.methods.method import Interrupted

_STEP, _AROUND = {"Z": 8}, {"Z": 4}


class Windowed(Imaging):
    """What undoes an operator window by window, by what a window alone says.

    A window is a step of the grid with some pixels around it; it is found from these alone, and the same wherever a
    tile begins: so tiles are the whole, to the bit, and where windows meet there may be seams. What of the pixels that
    ``restore`` is shown has not all of its surroundings is the start from physics.
    """

    efforts: ClassVar = {}
    step = 64
    """Pixels of a window along Y and X."""
    around = 16
    """Pixels to either side of it that are looked at."""

    def build(self) -> Any:
        """Nothing."""
        return nn.Identity()

    @property
    def grid(self) -> tuple[int, ...]:
        """Windows."""
        return tuple(_STEP.get(a, self.step) for a in self.spatial)

    @property
    def radius(self) -> tuple[int, ...]:
        """What is around a window."""
        return tuple(_AROUND.get(a, self.around) for a in self.spatial)

    def restore(self, pixels: Tensor) -> Tensor:
        """Window by window.

        Raises
        ------
        Interrupted
            If somebody asks to stop.
        """
        with torch.inference_mode(False), torch.autocast(pixels.device.type, enabled=False):
            single = pixels.float().clone().flatten(0, 1)[:, None]
            with torch.no_grad():
                restored = self.plain(single).clone()
            for place in self._windows(single.shape[2:]):
                seen = [slice(max(0, s - r), s + g + r) for s, g, r in zip(place, self.grid, self.radius, strict=True)]
                for k in range(len(single)):
                    if self.stopping():
                        raise Interrupted
                    found = self.solved(_part(single[k : k + 1], seen), self._sigma(k % self.channels))
                    each = list(zip(place, seen, self.grid, self.rate, strict=True))
                    there = [slice(s * r, (s + g) * r) for s, _, g, r in each]
                    inner = [slice((s - look.start) * r, (s - look.start + g) * r) for s, look, g, r in each]
                    _part(restored[k : k + 1], there).copy_(_part(found, inner))
            return restored.view(*pixels.shape[:2], *restored.shape[2:])

    def solved(self, y: Tensor, sigma: float) -> Tensor:
        """The image ``(1, 1, *(S * rate))`` that a window ``(1, 1, *S)`` was measured of, its noise ``sigma``."""
        raise NotImplementedError

    def _windows(self, size: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
        """Where they begin: all that have their surroundings, or all there are."""
        along = [list(range(0, n, g)) for n, g in zip(size, self.grid, strict=True)]
        return product(*(starts[1:-1] if len(starts) > 2 else starts for starts in along))

    def _sigma(self, channel: int) -> float:
        return self._noise_at_the_mean if self.config.gain > 0 else self.noise_levels[channel]


def _part(pixels: Tensor, places: Sequence[slice]) -> Tensor:
    """``(B, C, *S)`` at these places of S."""
    for axis, place in enumerate(places, start=2):
        pixels = pixels[(slice(None),) * axis + (place,)]
    return pixels

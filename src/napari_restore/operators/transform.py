"""Transforms under which images of a kind stay images of that kind: smaller, shifted, turned, their axes exchanged.

Each maps fine images ``(B, C, *S)`` and random numbers to fine images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from napari_restore.operators.matrices import apply_along


@dataclass(frozen=True)
class Scale:
    """A smaller image: anti-aliased cubic resampling at a random sub-pixel place, and a random cut of it.

    Parameters
    ----------
    factors
        One is drawn a call; 1 leaves the image as it is but for the cut.
    multiple
        Lengths of the result along each spatial axis are multiples of these.
    """

    factors: Sequence[float] = (0.75, 0.5)
    multiple: Sequence[int] = (1, 1)

    def __call__(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """One factor for all of ``(B, C, *S)``."""
        factor = self.factors[int(torch.randint(len(self.factors), (), generator=rng))]
        matrices = []
        for n, multiple in zip(x.shape[2:], self.multiple, strict=True):
            count = int(n * factor + 1e-6)
            # The smaller pixels may start anywhere within one of them.
            phase = float(torch.rand((), generator=rng)) * (n - count / factor)
            whole = resampling_matrix(n, count, factor=factor, start=phase)
            kept = count // multiple * multiple
            first = int(torch.randint(count - kept + 1, (), generator=rng))
            matrices.append(whole[first : first + kept].to(x.device, x.dtype))
        return apply_along(x, matrices)


@dataclass(frozen=True)
class PaperScale:
    """The authors' grid: bicubic samples about a random centre, mirrored where the image ends, of the same size.

    Kept for comparison: it is not anti-aliased, scrambles images that are not square (the grid's axes are exchanged),
    and at factor 1 is not the identity (its grid lacks the last half pixel). 2-D.
    """

    factors: Sequence[float] = (0.75, 0.5)

    def __call__(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """A factor and a centre for each image."""
        b, _, h, w = x.shape
        pick = torch.randint(len(self.factors), (b,), generator=rng)
        factor = torch.tensor(self.factors)[pick].view(b, 1, 1, 1)
        centre = 2 * torch.rand((b, 1, 1, 2), generator=rng) - 1
        u, v = 2 / w * torch.arange(w) - 1, 2 / h * torch.arange(h) - 1
        rows, columns = torch.meshgrid(u, v, indexing="ij")
        grid = torch.stack([columns, rows], -1).view(1, h, w, 2)
        grid = ((grid - centre) / factor + centre).to(x.device, x.dtype)
        return F.grid_sample(x, grid, mode="bicubic", padding_mode="reflection", align_corners=True)


@dataclass(frozen=True)
class Shift:
    """A shift of the torus, as in the papers on equivariant imaging: only here an image is taken to be periodic."""

    def __call__(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """One shift for all of ``(B, C, *S)``."""
        by = [int(torch.randint(n, (), generator=rng)) for n in x.shape[2:]]
        return x.roll(by, tuple(range(2, x.ndim)))


@dataclass(frozen=True)
class Rotate:
    """Turned in the plane of the last two axes by any angle, bilinear, mirrored where the image ends."""

    def __call__(self, x: Tensor, rng: torch.Generator) -> Tensor:
        """An angle for each image."""
        planes = x.flatten(2, -3) if x.ndim == 5 else x
        planes = planes.flatten(1, 2) if planes.ndim == 5 else planes
        b, _, h, w = planes.shape
        angle = 2 * math.pi * torch.rand(b, generator=rng)
        cos, sin, zero = angle.cos(), angle.sin(), torch.zeros(b)
        # Normalised coordinates are stretched by the image's shape; a rotation is one of pixels.
        rows = [torch.stack([cos, -sin * h / w, zero], -1), torch.stack([sin * w / h, cos, zero], -1)]
        grid = F.affine_grid(torch.stack(rows, 1).to(planes), list(planes.shape), align_corners=False)
        turned = F.grid_sample(planes, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
        return turned.view(x.shape)


def resampling_matrix(n: int, count: int, *, factor: float, start: float = 0.0) -> Tensor:
    """``(count, n)``: pixels of width ``1 / factor`` from pixels of width 1, the first starting at ``start``.

    Keys' cubic kernel (a = -1/2), stretched to the wider of both pixels so that nothing aliases; rows sum to 1.
    """
    place = (torch.arange(count, dtype=torch.float64) + 0.5) / factor - 0.5 + start
    x = ((torch.arange(n) - place[:, None]) * min(factor, 1.0)).abs()
    near, far = (1.5 * x - 2.5) * x**2 + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    weights = torch.where(x < 1, near, torch.where(x < 2, far, torch.zeros_like(x)))
    return (weights / weights.sum(1, keepdim=True)).float()

"""Features to compare images by: filters learned from images without a label, or those of a VGG network's file."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from napari_restore.operators.exact import in_double

_SIDES = (7, 5)
_COUNTS = (8, 16)
LEAST_SIDE = 16
"""Pixels along Y and X that filters are learned from, at least."""

_FLOOR = 0.01
"""Of the largest variance of a filter's response: what has less is not made as large as the others."""

_LEVELS = 5
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Features(nn.Module):
    """Maps of features of planes, one for each level. No weight of it is learned with, or saved with, a model.

    Parameters
    ----------
    kernels
        Of each convolution, ``(F, C, k, k)``, in their order.
    biases
        Of each, ``(F,)``; None for none.
    pools
        Whether pixels are halved before each.
    told
        After which convolutions the features are told.
    colours
        Whether the first takes red, green and blue of 0 to 1, as a network of photographs does; then a plane is shown
        as grey, its values taken for those within two deviations of the mean.
    """

    def __init__(
        self,
        kernels: Sequence[Tensor],
        *,
        biases: Sequence[Tensor | None],
        pools: Sequence[bool],
        told: Sequence[int],
        colours: bool = False,
    ) -> None:
        super().__init__()
        self._pools, self._told, self._colours = tuple(pools), tuple(told), colours
        for i, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
            self.register_buffer(f"kernel{i}", kernel, persistent=False)
            self.register_buffer(f"bias{i}", bias, persistent=False)

    def forward(self, planes: Tensor) -> list[Tensor]:
        """Features ``(N, F, y, x)`` of planes ``(N, 1, Y, X)`` in units of the image's deviation, a level each."""
        seen, found = _shown(planes) if self._colours else planes, []
        for i, pool in enumerate(self._pools):
            if pool:
                seen = F.max_pool2d(seen, 2) if self._colours else F.avg_pool2d(seen.abs(), 2)
            kernel, bias = getattr(self, f"kernel{i}"), getattr(self, f"bias{i}")
            seen = F.conv2d(seen, kernel, bias, padding=kernel.shape[-1] // 2)
            seen = F.relu(seen) if self._colours else seen
            if i in self._told:
                found.append(seen)
        return found


def learned_features(planes: Tensor) -> Features:
    """Two levels of filters that are the principal components of what planes hold (Chan et al. 2015, PCANet).

    Chan TH, Jia K, Gao S, Lu J, Zeng Z, Ma Y (2015). doi:10.1109/TIP.2015.2475625, section II. Each response is
    divided by its deviation, so that fine detail, of which there is less, counts as much as what is coarse; and the
    second level sees how strong the responses of the first are over 2 x 2 pixels, where the paper keeps their sign.

    Parameters
    ----------
    planes
        ``(N, 1, Y, X)`` in units of the image's deviation, at least ``LEAST_SIDE`` pixels along Y and X.
    """
    kernels, seen = [], planes
    for level, (side, count) in enumerate(zip(_SIDES, _COUNTS, strict=True)):
        seen = F.avg_pool2d(seen.abs(), 2) if level else seen
        kernel = _components(seen, side=side, count=count)
        kernels.append(kernel)
        seen = F.conv2d(seen, kernel, padding=side // 2)
    return Features(kernels, biases=[None, None], pools=[False, True], told=[0, 1])


def vgg_features(weights: Mapping[str, Tensor]) -> Features:
    """Those of a VGG network (Simonyan and Zisserman 2015, arXiv:1409.1556), before each pooling, up to five levels.

    Parameters
    ----------
    weights
        By their names in torchvision, ``features.0.weight`` and so on, of a network without batch normalisation.

    Raises
    ------
    ValueError
        If these are not such weights.
    """
    numbers = sorted(int(found[1]) for name in weights if (found := re.fullmatch(r"features\.(\d+)\.weight", name)))
    kernels = [weights[f"features.{n}.weight"].float() for n in numbers]
    width = 3
    for number, kernel in zip(numbers, kernels, strict=True):
        if kernel.ndim != 4 or kernel.shape[1] != width or f"features.{number}.bias" not in weights:
            raise ValueError(f"features.{number} of shape {tuple(kernel.shape)} is no convolution of a VGG network")
        width = kernel.shape[0]
    gaps = [b - a for a, b in pairwise(numbers)]
    if numbers[:1] != [0] or not set(gaps) <= {2, 3}:  # a convolution, ReLU, and a pooling now and then
        raise ValueError("there is no features.0.weight, or it is no VGG network without batch normalisation")
    pools = [False, *(gap == 3 for gap in gaps)]
    told = [i for i in range(len(pools)) if i + 1 == len(pools) or pools[i + 1]][:_LEVELS]
    used = told[-1] + 1
    biases = [weights[f"features.{n}.bias"].float() for n in numbers]
    return Features(kernels[:used], biases=biases[:used], pools=pools[:used], told=told, colours=True)


def _shown(planes: Tensor) -> Tensor:
    grey = planes.clamp(-2, 2) / 4 + 0.5
    mean, std = (torch.tensor(each, device=planes.device).view(1, 3, 1, 1) for each in (_MEAN, _STD))
    shown: Tensor = (grey - mean) / std
    return shown


def _components(seen: Tensor, *, side: int, count: int) -> Tensor:
    """Filters ``(count, C, side, side)``: of all boxes, less their mean, the directions along which they vary most."""
    boxes = in_double(F.unfold(seen, side).movedim(1, 2).flatten(0, 1))
    channels = seen.shape[1]
    by_channel = boxes.view(len(boxes), channels, -1)
    boxes = (by_channel - by_channel.mean(2, keepdim=True)).flatten(1)
    values, directions = torch.linalg.eigh(boxes.T @ boxes / len(boxes))
    values, directions = values.flip(0)[:count], directions.flip(1)[:, :count]
    # The sign of a direction is the library's whim; a filter's largest weight is above 0.
    largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))
    scale = values.clamp(min=_FLOOR * float(values[0]) + 1e-12).sqrt()
    filters: Tensor = (directions * largest.sign() / scale).T
    return filters.float().to(seen.device).view(count, channels, side, side)

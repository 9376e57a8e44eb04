"""Features that images are compared by while something is learned: of a file, or learned from the images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from napari_restore.core.errors import RestoreError
from napari_restore.core.layout import to_samples
from napari_restore.core.normalisation import Normalisation
from napari_restore.networks.features import LEAST_SIDE, Features, learned_features, vgg_features
from napari_restore.sources import Image
from napari_restore.store.weights import read_others

_BOXES, _BOX = 4, 128
"""Parts of the images that features are learned from, and their pixels along Y and X, at most."""


def features_for(wanted: str, images: Sequence[Image], normalisation: Normalisation) -> Features | None:
    """Of a file, or learned from parts of images; None where these are too small to learn from.

    Parameters
    ----------
    wanted
        ``own``, or the ``.safetensors`` file of a VGG network's weights.
    normalisation
        By which the images are brought to units of their deviation.

    Raises
    ------
    RestoreError
        If the file holds no such network.
    """
    if wanted == "own":
        planes = _planes(images, normalisation)
        return learned_features(planes) if min(planes.shape[2:]) >= LEAST_SIDE else None
    try:
        return vgg_features(read_others(Path(wanted).expanduser()))
    except ValueError as error:
        raise RestoreError(
            f"`features` {wanted}: {error}. Give own, or a .safetensors file of VGG weights as torchvision names them."
        ) from None


def _planes(images: Sequence[Image], normalisation: Normalisation) -> torch.Tensor:
    """The middles of some images, in units of their deviation, as ``(N, 1, Y, X)``."""
    # It loads scipy.stats: a second, which a first picture does not wait for.
    from napari_restore.judging.part import middle

    found = []
    for which in sorted({round(k) for k in np.linspace(0, len(images) - 1, _BOXES)}):
        image = images[which]
        box = middle(image, {"C": image.geometry.length("C"), "Y": _BOX, "X": _BOX})
        samples = normalisation.apply(to_samples(image.read(box), image.axes, "YX"))
        found.append(np.nan_to_num(samples).reshape(-1, 1, *samples.shape[-2:]))
    side = [min(planes.shape[axis] for planes in found) for axis in (2, 3)]
    return torch.from_numpy(np.concatenate([planes[..., : side[0], : side[1]] for planes in found]).astype(np.float32))

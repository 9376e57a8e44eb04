"""The held-out loss looks at as many pixels as a step of large patches has memory for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from napari_restore import train
from napari_restore.training.pool import PatchPool
from napari_restore.training.session import held_out_patches


@pytest.mark.parametrize("patch", [(64, 64), (8, 24, 24), (24, 84, 84), (64, 256, 256)])
def test_large_patches_are_few(patch: tuple[int, ...]) -> None:
    count = held_out_patches(patch, 8)
    assert 2 <= count <= 48
    assert count == 2 or count * math.prod(patch) <= 2**20


def test_patches_of_the_usual_size_are_as_many_as_they_were() -> None:
    assert held_out_patches((64, 64), 8) == held_out_patches((128, 128), 3) == 48


def test_small_batches_have_few_patches_to_be_judged_by() -> None:
    assert held_out_patches((64, 64), 1) == 16


@pytest.mark.parametrize(
    ("shape", "axes", "beside", "count"),
    [((40, 44), "YX", "0", 28), ((128, 96), "YX", "0", 48), ((3, 17, 23), "ZYX", "1", 20), ((16, 16), "YX", "0", 4)],
)
def test_of_small_images_they_hold_each_pixel_four_times(
    shape: tuple[int, ...], axes: str, beside: str, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same pixels again tell nothing, and all that is measured in the end took as long as of a large image."""
    asked, draw = [], PatchPool.draw_held_out

    def noted(pool: PatchPool, batch: int, *more: Any) -> Any:
        asked.append(batch)
        return draw(pool, batch, *more)

    monkeypatch.setattr(PatchPool, "draw_held_out", noted)
    image = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    patch = (3, 16, 16) if beside == "1" else (16, 16)
    train(image, "noise2void2", axes=axes, steps=1, width=2, depth=1, patch=patch, neighbours=beside, device="cpu")
    assert asked == [count]

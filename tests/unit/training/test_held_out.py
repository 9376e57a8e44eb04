"""The held-out loss looks at as many pixels as a step of large patches has memory for."""

from __future__ import annotations

import math

import pytest

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


@pytest.mark.parametrize(("pixels", "count"), [(100, 4), (64 * 64, 4), (5 * 64 * 64, 15), (10**9, 48)])
def test_small_planes_are_looked_at_three_times(pixels: int, count: int) -> None:
    """What follows the last step once took 3 s of an image of 70 x 80 pixels, for 48 patches of nearly all of it."""
    assert held_out_patches((64, 64), 8, pixels=pixels) == count
    assert held_out_patches((5, 64, 64), 8, pixels=pixels, beside=2) == count, "planes beside one are only seen"


def test_volumes_have_few_as_it_is() -> None:
    assert held_out_patches((16, 64, 64), 2, pixels=100) == held_out_patches((16, 64, 64), 2) == 16

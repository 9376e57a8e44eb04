"""What planes beside a plane add to a linear prediction, in images whose answer is known."""

import pytest
import torch

from napari_restore.methods.method import Batch
from napari_restore.training.linear import Gain, linear_gain


def patches(make, *, count=24, planes=3, side=40):
    """Patches of planes that ``make`` gives, under noise of 1: half of their pixels to learn from, half to judge by."""
    rng = torch.Generator().manual_seed(0)
    clean = torch.stack([make(torch.randn(planes, side, side, generator=rng), k) for k in range(count)])[:, None]
    noisy = clean + torch.randn(clean.shape, generator=rng)
    learned = torch.rand(noisy.shape, generator=rng) > 0.5
    return Batch(noisy, learned), Batch(noisy, ~learned)


def test_planes_that_are_alike_help_and_others_do_not():
    alike = linear_gain(*patches(lambda z, _: z[:1].expand_as(z)), 1)
    assert 0.3 < alike.part < 0.34  # of 2, the variance of a pixel, to 1 + 1/3 by two more looks at it
    assert alike.exceeds(0.3, doubts=4)
    for other in (lambda z, _: z, lambda z, _: 0 * z):
        assert not linear_gain(*patches(other), 1).exceeds(0.001, doubts=2)


@pytest.mark.parametrize("beside", [1, 2])
def test_more_planes_in_a_patch_are_looked_at_one_by_one(beside):
    both = patches(lambda z, _: z[:1].expand_as(z), planes=2 * beside + 3, count=8)
    assert linear_gain(*both, beside).exceeds(0.3, doubts=4)


def test_where_nothing_can_be_learned_nothing_is_gained():
    learned, judged = patches(lambda z, _: z)
    assert not linear_gain(learned, judged._replace(target=torch.zeros_like(judged.target)), 1).exceeds(0.0, doubts=0)
    flat = torch.zeros_like(learned.pixels)
    assert linear_gain(learned._replace(pixels=flat), judged._replace(pixels=flat), 1) == Gain(0.0, 0.0)

"""Halves of an image: which pixels they are made of, and the loss against the published one written out."""

import pytest
import torch
import torch.nn.functional as F

from napari_restore.losses.halves import against_itself, diagonals, neighbours


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(shape, seed=0):
    return neighbours(torch.randint(8, (shape[0], 1, shape[2] // 2, shape[3] // 2), generator=generator(seed)))


def published(noise_of, y):
    """The loss as Mansour and Heckel 2023 write it, with their filters as convolutions (section 3.1)."""
    kernels = torch.tensor([[[[0.0, 0.5], [0.5, 0.0]]], [[[0.5, 0.0], [0.0, 0.5]]]], dtype=y.dtype)

    def down(x):
        return F.conv2d(x, kernels[:1], stride=2), F.conv2d(x, kernels[1:], stride=2)

    (a, b), (c, d) = down(y), down(y - noise_of(y))
    clean_a, clean_b = a - noise_of(a), b - noise_of(b)
    residual = (F.mse_loss(clean_a, b) + F.mse_loss(clean_b, a)) / 2
    return residual + (F.mse_loss(clean_a, c) + F.mse_loss(clean_b, d)) / 2


@pytest.mark.parametrize("shape", [(2, 1, 6, 10), (1, 1, 16, 8)])
def test_the_loss_is_the_published_one(shape):
    torch.manual_seed(1)
    network = torch.nn.Conv2d(1, 1, 3, padding=1).double()
    y = torch.randn(shape, generator=generator()).double()
    ours = against_itself(lambda x: x - network(x), y, diagonals, consistency=1.0)
    assert ours.item() == pytest.approx(published(network, y).item(), rel=1e-12)
    gradients = [torch.autograd.grad(loss, network.weight)[0] for loss in (ours, published(network, y))]
    assert torch.allclose(*gradients, rtol=1e-10)


@pytest.mark.parametrize("halve", [diagonals, drawn((1, 1, 6, 10))])
def test_two_halves_share_no_pixel(halve):
    x = torch.randn(1, 1, 6, 10, requires_grad=True)
    touched = [torch.autograd.grad(half.sum(), x, retain_graph=True)[0] != 0 for half in halve(x)]
    assert not (touched[0] & touched[1]).any()
    assert touched[0].any() and touched[1].any()


def test_neighbours_have_a_side_in_common_and_every_pair_is_drawn():
    shape = (1, 1, 80, 80)
    rows, columns = (n[None, None].double() for n in torch.meshgrid(torch.arange(80), torch.arange(80), indexing="ij"))
    halve = drawn(shape)
    (r1, r2), (c1, c2) = halve(rows), halve(columns)
    assert ((r1 - r2).abs() + (c1 - c2).abs() == 1).all()
    assert torch.equal(r1 // 2, r2 // 2) and torch.equal(c1 // 2, c2 // 2)
    kinds = torch.stack([r1 % 2, c1 % 2, r2 % 2, c2 % 2]).flatten(1).T.unique(dim=0, return_counts=True)
    assert len(kinds[0]) == 8
    assert kinds[1].min() > 140, "of 200 expected each"


def test_all_channels_and_the_weight_are_halved_alike():
    halve = drawn((2, 1, 8, 8))
    x = torch.randn(2, 1, 8, 8)
    for of_both, alone in zip(halve(torch.cat([x, 2 * x], 1)), halve(x), strict=True):
        assert torch.equal(of_both, torch.cat([alone, 2 * alone], 1))


def test_neighbours_are_as_noisy_as_the_image_and_diagonals_less():
    noise = torch.randn(1, 1, 200, 200, generator=generator())
    assert drawn(noise.shape)(noise)[0].std() == pytest.approx(1, abs=0.03)
    assert diagonals(noise)[0].std() == pytest.approx(0.5**0.5, abs=0.03)


@pytest.mark.parametrize("consistency", [0.0, 1.0])
@pytest.mark.parametrize("halve", [diagonals, drawn((1, 1, 8, 8), 3)])
def test_targets_that_do_not_count_change_nothing(halve, consistency):
    """The restored image here is a constant: nothing but the target carries a pixel's value into the loss."""
    y = torch.randn(1, 1, 8, 8, generator=generator())
    weight = torch.ones(1, 1, 8, 8, dtype=torch.bool)
    weight[0, 0, 2, 5] = False
    wild = y.clone()
    wild[0, 0, 2, 5] = 1e6
    losses = [
        against_itself(lambda x: torch.full_like(x, 0.3), each, halve, consistency=consistency, weight=weight)
        for each in (y, wild)
    ]
    assert torch.equal(*losses)


def test_without_any_target_there_is_no_loss():
    y = torch.randn(1, 1, 8, 8)
    weight = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    assert against_itself(lambda x: x * 0.5, y, diagonals, consistency=1.0, weight=weight) == 0

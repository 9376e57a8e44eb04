"""The residual U-Net: its radius, its grid, its shapes, and that it begins at nothing."""

from __future__ import annotations

import pytest
import torch

from napari_restore.networks import build
from napari_restore.networks.residual_unet import fold, unfold

CASES = [
    {"ndim": 2, "depth": (1, 1), "fold": (2, 2), "rate": (1, 1), "blocks": 2},
    {"ndim": 2, "depth": (1, 1), "fold": (1, 1), "rate": (3, 3), "blocks": 1},
    {"ndim": 2, "depth": (2, 2), "fold": (1, 1), "rate": (2, 2), "blocks": 1},
    {"ndim": 3, "depth": (0, 1, 1), "fold": (1, 2, 2), "rate": (1, 1, 1), "blocks": 1},
    {"ndim": 3, "depth": (0, 1, 1), "fold": (1, 1, 1), "rate": (4, 1, 1), "blocks": 1},
]


def network(case):
    torch.manual_seed(0)
    found = build("residual_unet", channels_in=1, channels_out=1, width=4, **case).double()
    for weight in found.parameters():  # no path may be dead, by a zero or by a rectifier
        torch.nn.init.normal_(weight, std=0.3)
        weight.data.abs_()
    return found


def reach(net, axis):
    """How far along an axis a gradient comes back from any phase of the grid."""
    size = [2 * r + 5 * g - (2 * r) % g for r, g in zip(net.radius, net.grid, strict=True)]
    x = torch.rand(1, 1, *size, dtype=torch.double, requires_grad=True)
    y = net(x)
    farthest = 0
    centre = [n // 2 // g * g for n, g in zip(size, net.grid, strict=True)]
    for phase in range(net.grid[axis]):
        at = [c + phase * (a == axis) for a, c in enumerate(centre)]
        for fine in range(net.rate[axis]):
            pixel = [c * r + fine * (a == axis) for a, (c, r) in enumerate(zip(at, net.rate, strict=True))]
            (gradient,) = torch.autograd.grad(y[(0, 0, *pixel)], x, retain_graph=True)
            seen = gradient[0, 0].nonzero()[:, axis]
            farthest = max(farthest, at[axis] - int(seen.min()), int(seen.max()) - at[axis])
    return farthest


@pytest.mark.parametrize("case", CASES)
def test_the_radius_is_what_a_gradient_measures(case):
    net = network(case)
    assert net.radius == tuple(reach(net, axis) for axis in range(net.ndim))


@pytest.mark.parametrize("case", CASES)
def test_the_output_is_finer_by_the_rate_and_an_untrained_network_adds_nothing(case):
    net = build("residual_unet", channels_in=2, channels_out=3, width=4, **case)
    size = [3 * g for g in net.grid]
    y = net(torch.rand(2, 2, *size))
    assert y.shape == (2, 3, *(n * r for n, r in zip(size, net.rate, strict=True)))
    assert not y.any()


@pytest.mark.parametrize("by", [(2, 2), (3, 2), (1, 2, 2), (2, 3, 4)])
def test_unfolding_undoes_folding_and_keeps_boxes_together(by):
    size = [2 * f for f in by]
    x = torch.arange(3 * torch.Size(size).numel()).view(1, 3, *size).float()
    folded = fold(x, by)
    assert folded.shape == (1, 3 * torch.Size(by).numel(), *[2] * len(by))
    assert torch.equal(unfold(folded, by), x)
    first = folded[(0, slice(0, torch.Size(by).numel()), *[0] * len(by))]
    assert torch.equal(first, x[(0, 0, *(slice(f) for f in by))].flatten())

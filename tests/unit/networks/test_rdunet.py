"""The residual dense U-Net: its radius, its grid, its shapes, and that it begins at its input."""

import pytest
import torch

from napari_restore.networks.rdunet import RDUNet

CASES = [
    {"depth": (1, 1), "blocks": 1},
    {"depth": (1, 1), "blocks": 2},
    {"depth": (2, 2), "blocks": 1},
    {"depth": (1, 2), "blocks": 1},
    {"depth": (0, 1, 1), "blocks": 1},
    {"depth": (1, 1, 1), "blocks": 1},
]


def network(depth, *, blocks=1, width=2, channels=1, seed=0):
    """A network as after training: none of its weights is zero."""
    torch.manual_seed(seed)
    net = RDUNet(ndim=len(depth), width=width, depth=depth, blocks=blocks, channels=channels).double()
    torch.nn.init.normal_(net.head.weight, std=0.3)
    return net.eval()


@pytest.mark.parametrize("case", CASES)
def test_the_radius_is_the_one_measured(case):
    """The largest over the places that an output pixel can have in a cell of the grid, one axis after another."""
    net = network(**case)
    for weight in net.parameters():  # no path may be dead, and none may cancel another
        weight.data.abs_().clamp_(min=0.05)
    measured = []
    for axis, (radius, step) in enumerate(zip(net.radius, net.grid, strict=True)):
        far = step * (1 + -(-radius // step))
        size = [2 * far + step if a == axis else g for a, g in enumerate(net.grid)]
        pixels = torch.rand(1, 1, *size, dtype=torch.double, requires_grad=True)
        restored = net(pixels)
        farthest = 0
        for inside in range(step):
            at = [far + inside if a == axis else 0 for a in range(net.ndim)]
            (gradient,) = torch.autograd.grad(restored[(0, 0, *at)], pixels, retain_graph=True)
            seen = gradient[0, 0].nonzero()[:, axis]
            farthest = max(farthest, far + inside - int(seen.min()), int(seen.max()) - far - inside)
        measured.append(farthest)
    assert tuple(measured) == net.radius


@pytest.mark.parametrize("depth", [(1, 1), (2, 2), (0, 1, 1)])
def test_shifting_the_input_by_the_grid_shifts_the_output_and_by_less_does_not(depth):
    net = network(depth)
    for axis, (r, g) in enumerate(zip(net.radius, net.grid, strict=True)):
        n = 2 * g * -(-r // g) + 2 * g
        noise = torch.randn(1, 1, *[n + g if a == axis else other for a, other in enumerate(net.grid)]).double()
        for shift in {g, g // 2} - {0}:
            with torch.no_grad():
                here, there = net(noise.narrow(axis + 2, 0, n)), net(noise.narrow(axis + 2, shift, n))
            inner = n - 2 * r - shift
            error = (here.narrow(axis + 2, r + shift, inner) - there.narrow(axis + 2, r, inner)).abs().max()
            if shift == g:
                assert error < 1e-10 * here.std()
            else:
                assert error > 1e-4 * here.std(), "a network that halves cannot do this: the test would see nothing"


@pytest.mark.parametrize("case", CASES)
def test_an_untrained_network_gives_its_input(case):
    net = RDUNet(ndim=len(case["depth"]), width=4, channels=2, **case)
    pixels = torch.randn(2, 2, *[3 * g for g in net.grid])
    assert torch.equal(net(pixels), pixels)


def test_at_the_depth_of_the_paper_it_has_the_layers_of_the_paper():
    """Every level: two blocks of four convolutions, half as many features from each but the last (its fig. 2 and 3)."""
    net = RDUNet(ndim=2, width=16, depth=(3, 3), blocks=2)

    def block(w):
        inside = sum((w + k * w // 2) * 9 * (w // 2) + 2 * (w // 2) for k in range(3))
        return inside + (w + 3 * w // 2) * 9 * w + 2 * w

    levels = [16, 32, 64]
    count = (9 * 16 + 2 * 16) + 2 * (16 * 9 * 16 + 2 * 16) + (16 * 9 + 1)
    count += sum(4 * block(w) for w in levels) + 2 * block(128)
    count += sum(w * 4 * 2 * w + 2 * 2 * w for w in levels)  # halved
    count += sum(2 * w * 4 * 2 * w + 2 * 2 * w + 3 * w * 9 * w + 2 * w for w in levels)  # doubled and joined
    assert sum(p.numel() for p in net.parameters()) == count


def test_a_step_reaches_every_weight_in_bfloat16_too():
    net = network((1, 1), width=4).float()
    with torch.autocast("cpu", torch.bfloat16):
        out = net(torch.randn(1, 1, 8, 8))
    assert out.dtype == torch.float32
    assert not torch.equal(out, out.bfloat16().float()), "the last sum is rounded"
    out.square().sum().backward()
    assert all(p.grad.abs().max() > 0 for p in net.parameters())


@pytest.mark.parametrize(
    ("ndim", "depth"), [(2, (1,)), (2, (0, 0)), (2, (-1, 2)), (3, (1, 1)), (3, (0, 0, 0)), (2, (1, 1, 1))]
)
def test_a_depth_that_does_not_fit_is_refused(ndim, depth):
    with pytest.raises(ValueError, match="entries, one of them at least 1"):
        RDUNet(ndim=ndim, width=2, depth=depth)


@pytest.mark.parametrize("size", [{"width": 1}, {"width": 4, "blocks": 0}])
def test_a_size_that_leaves_no_layers_is_refused(size):
    with pytest.raises(ValueError, match="at least"):
        RDUNet(ndim=2, depth=(1, 1), **size)

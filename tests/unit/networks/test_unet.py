import copy

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate1d
from torch import nn

from napari_restore.networks.unet import MaxBlurPool, UNet, fold_batch_norm

DEPTHS = [(1, 1), (2, 2), (3, 3), (1, 2), (0, 1, 1), (1, 2, 2), (1, 1, 1)]
PLAIN, BLURRED = {}, {"pooling": "blur", "top_skip": False}
KINDS = [PLAIN, BLURRED, {"pooling": "blur"}, {"top_skip": False}]
two_kinds = pytest.mark.parametrize("kind", KINDS[:2], ids=["plain", "blurred without top skip"])
every_kind = pytest.mark.parametrize("kind", KINDS, ids=["plain", "blurred without top skip", "blurred", "no top skip"])


def network(depth, *, width=4, channels=1, seed=0, **kind):
    """A U-Net as it is after training: with statistics of its own in every batch normalisation."""
    torch.manual_seed(seed)
    unet = UNet(ndim=len(depth), width=width, depth=depth, channels_in=channels, channels_out=channels, **kind)
    for module in unet.modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            nn.init.kaiming_normal_(module.weight)  # so that the output varies as much as the input
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            nn.init.normal_(module.running_mean, std=0.3)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias, std=0.3)
    return unet.eval()


def opened(depth, **kind):
    """A network that blocks nothing: all weights are positive, and so is every value inside it."""
    unet = network(depth, width=2, **kind)
    for module in unet.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            module.reset_running_stats()
    for name, parameter in unet.named_parameters():
        nn.init.constant_(parameter, 0.1 if name.endswith("weight") else 0.5)
    return unet


@two_kinds
@pytest.mark.parametrize("depth", DEPTHS)
def test_the_radius_is_the_one_measured(depth, kind):
    """The largest over the places that an output pixel can have in a cell of the grid, in every direction.

    Of the pixels under a maximum only the largest gets the gradient: a ramp uphill opens the farthest path.
    """
    unet = opened(depth, **kind)
    far = [g * (1 + -(-r // g)) for r, g in zip(unet.radius, unet.grid, strict=True)]
    size = [2 * f + g for f, g in zip(far, unet.grid, strict=True)]
    farthest = torch.zeros(len(depth), dtype=torch.long)
    for sign in (-1.0, 1.0):
        ramps = torch.meshgrid(*[1 + torch.linspace(-sign, sign, n) for n in size], indexing="ij")
        pixels = sum(ramps)[None, None].requires_grad_()
        restored = unet(pixels)
        for inside in range(max(unet.grid)):
            at = torch.tensor([f + inside % g for f, g in zip(far, unet.grid, strict=True)])
            (gradient,) = torch.autograd.grad(restored[(0, 0, *at)], pixels, retain_graph=True)
            seen = gradient[0, 0].nonzero()
            farthest = torch.stack([farthest, at - seen.min(0).values, seen.max(0).values - at]).amax(0)
    assert tuple(farthest.tolist()) == unet.radius


@two_kinds
@pytest.mark.parametrize("depth", DEPTHS)
def test_nothing_beyond_the_radius_changes_an_output_pixel(depth, kind):
    unet = network(depth, **kind)
    size = [2 * g * (1 + -(-r // g)) for r, g in zip(unet.radius, unet.grid, strict=True)]
    noise = torch.randn(1, 1, *size)
    with torch.no_grad():
        for axis, (r, g) in enumerate(zip(unet.radius, unet.grid, strict=True)):
            changed = noise.clone()
            first = g * (1 + -(-r // g)) + 1  # not the first of a cell: the cells before it see it from farther
            changed.narrow(2 + axis, first, size[axis] - first).add_(5)
            difference = (unet(changed) - unet(noise)).abs().amax([i for i in range(2 + len(depth)) if i != 2 + axis])
            assert (difference[: first - r] == 0).all()
            assert difference[first:].min() > 0


@pytest.mark.parametrize("d", [1, 2, 3, 4, 5])
def test_the_radius_is_the_published_formula_where_all_levels_pool(d):
    assert UNet(ndim=2, width=2, depth=(d, d)).radius == (7 * 2**d - 5,) * 2
    assert UNet(ndim=2, width=2, depth=(d, d), pooling="blur").radius == (8 * 2**d - 6,) * 2


def test_an_axis_that_is_not_pooled_is_looked_along_by_its_convolutions():
    unet = UNet(ndim=3, width=2, depth=(0, 2, 2))
    assert unet.radius == (10, 23, 23)
    assert unet.grid == (1, 4, 4)
    blurred = UNet(ndim=3, width=2, depth=(0, 2, 2), **BLURRED)
    assert blurred.radius == (10, 26, 26)
    assert blurred.grid == (1, 4, 4)


@every_kind
@pytest.mark.parametrize("depth", [(1, 1), (2, 2), (3, 3), (0, 1, 1), (1, 1, 1)])
def test_shifting_the_input_by_the_grid_shifts_the_output_and_by_less_does_not(depth, kind):
    unet = network(depth, **kind)
    size = [2 * g * -(-r // g) + 2 * g for r, g in zip(unet.radius, unet.grid, strict=True)]
    noise = torch.randn(1, 1, *[n + g for n, g in zip(size, unet.grid, strict=True)])
    for axis, (r, g, n) in enumerate(zip(unet.radius, unet.grid, size, strict=True), start=2):
        for shift in {g, g // 2} - {0}:
            with torch.no_grad():
                here = unet(noise.narrow(axis, 0, n))
                there = unet(noise.narrow(axis, shift, n))
            inner = n - 2 * r - shift
            error = (here.narrow(axis, r + shift, inner) - there.narrow(axis, r, inner)).abs().max() / here.std()
            if shift == g:
                assert error < 1e-5
            else:
                assert error > 1e-3, "a network that pools cannot do this: the test would see nothing"


@every_kind
@pytest.mark.parametrize("depth", [(2, 2), (1, 1, 1)])
def test_folding_batch_normalisation_changes_nothing(depth, kind):
    unet = network(depth, **kind)
    folded = fold_batch_norm(copy.deepcopy(unet))
    assert not any(isinstance(m, nn.BatchNorm2d | nn.BatchNorm3d) for m in folded.modules())
    noise = torch.randn(2, 1, *[3 * g for g in unet.grid])
    with torch.no_grad():
        wanted = unet(noise)
        assert (folded(noise) - wanted).abs().max() < 1e-5 * wanted.std()
        assert (
            UNet(ndim=len(depth), width=2, depth=depth, **kind).eval()(noise) - wanted
        ).abs().max() > 1e-3 * wanted.std()


def test_batch_normalisation_is_the_only_thing_between_training_and_restoring():
    unet = network((1, 1))
    noise = torch.randn(2, 1, 8, 8)
    with torch.no_grad():
        assert torch.allclose(unet(noise)[:1], unet(noise[:1]), atol=1e-5)
        assert not torch.allclose(copy.deepcopy(unet).train()(noise), unet(noise), atol=1e-2)


@pytest.mark.parametrize(
    ("ndim", "depth"), [(2, (1,)), (2, (0, 0)), (2, (-1, 2)), (3, (1, 1)), (3, (0, 0, 0)), (2, (1, 1, 1))]
)
def test_a_depth_that_does_not_fit_is_refused(ndim, depth):
    with pytest.raises(ValueError, match="entries, one of them at least 1"):
        UNet(ndim=ndim, width=2, depth=depth)


def test_several_channels_go_in_and_out():
    assert network((1, 1), channels=3)(torch.zeros(2, 3, 4, 6)).shape == (2, 3, 4, 6)


def test_the_last_sum_is_not_rounded_to_bfloat16():
    unet = network((1, 1))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        out = unet(torch.randn(1, 1, 16, 16))
    assert out.dtype == torch.float32
    assert not torch.equal(out, out.bfloat16().float())


def test_options_leave_the_usual_network_as_it_was():
    usual = UNet(ndim=2, width=2, depth=(2, 2))
    blurred = UNet(ndim=2, width=2, depth=(2, 2), pooling="blur")
    lean = UNet(ndim=2, width=2, depth=(2, 2), top_skip=False)
    assert blurred.state_dict().keys() == usual.state_dict().keys() == lean.state_dict().keys()
    assert {key.split(".")[0] for key in usual.state_dict()} == {"down", "bottom", "up", "head"}
    smaller = {k for k, v in usual.state_dict().items() if v.shape != lean.state_dict()[k].shape}
    assert smaller == {"up.1.0.weight"}, "only the block that the top skip went to has fewer inputs"


def test_without_the_top_skip_nothing_gets_past_the_pooling():
    """With every pooled value silenced, the output is the same for any input."""
    noise = torch.randn(2, 1, 16, 16)
    for kind, alike in ((BLURRED, True), ({"top_skip": False}, True), ({"pooling": "blur"}, False), (PLAIN, False)):
        unet = network((2, 2), **kind)
        unet.pool[0].register_forward_hook(lambda _m, _i, pooled: pooled * 0)
        with torch.no_grad():
            first, second = unet(noise)
        assert torch.allclose(first, second) == alike


@pytest.mark.parametrize("size", [(2, 2), (1, 2), (2, 2, 2), (1, 2, 2), (2, 1, 1)])
def test_blurred_pooling_is_the_textbook_chain(size):
    """Largest of every two neighbours, 1-2-1 along each pooled axis, every other kept, zeros beyond the border."""
    pixels = torch.randn(
        2, 3, *[6, 8, 10][: len(size)], dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    got = MaxBlurPool(size).double()(pixels)
    wanted = np.pad(pixels.numpy(), [(0, 0), (0, 0), *[(n - 1, n - 1) for n in size]])
    pooled = [axis for axis, n in enumerate(size, start=2) if n == 2]
    for axis in pooled:
        there = np.swapaxes(wanted, 0, axis)
        wanted = np.swapaxes(np.maximum(there[1:], there[:-1]), 0, axis)
    for axis in pooled:
        wanted = correlate1d(wanted, [0.25, 0.5, 0.25], axis=axis)
        wanted = np.take(wanted, range(1, wanted.shape[axis] - 1, 2), axis=axis)
    assert got.shape == wanted.shape
    assert np.allclose(got.numpy(), wanted, rtol=1e-12)


@pytest.mark.parametrize("size", [(2, 2), (1, 2, 2)])
def test_blurred_pooling_sees_both_sides_of_a_cell_alike(size):
    pixels = torch.randn(1, 2, *[4, 8, 12][-len(size) :])
    axes = list(range(2, pixels.ndim))
    pool = MaxBlurPool(size)
    assert torch.allclose(pool(pixels.flip(axes)), pool(pixels).flip(axes), atol=1e-6)


@pytest.mark.parametrize("ndim", [2, 3])
def test_blurred_pooling_computes_in_the_precision_it_is_given(ndim):
    pool = MaxBlurPool((2,) * ndim)
    assert pool(torch.zeros(1, 2, *[4] * ndim, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_a_pooling_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="pooling 'mean': it is one of max, blur"):
        UNet(ndim=2, width=2, depth=(1, 1), pooling="mean")

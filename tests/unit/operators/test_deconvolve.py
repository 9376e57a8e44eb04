"""The updates of Richardson and Lucy: what they climb, how fast, and that rounding stays rounding."""

from itertools import islice

import numpy as np
import pytest
import torch

from napari_restore.operators.blur import Blur, mirrored
from napari_restore.operators.deconvolve import bend, curb, richardson_lucy
from napari_restore.operators.psf import gaussian, motion

BACKGROUND = 3.0


def photons(shape, kernel, *, seed=0):
    rng = np.random.default_rng(seed)
    scene = np.zeros(shape, np.float32)
    scene[tuple(rng.integers(0, n, 20) for n in shape)] = rng.uniform(500, 3000, 20)
    blurred = Blur(kernel)(torch.from_numpy(scene)[None, None]) + BACKGROUND
    return torch.poisson(blurred.clamp(min=0), generator=torch.Generator().manual_seed(seed))


def after(y, operator, count, **options):
    start = torch.full_like(y, float(y.mean()))
    return next(islice(richardson_lucy(y, operator, start=start, background=BACKGROUND, **options), count - 1, None))


def likelihood(y, operator, x):
    expected = operator(x) + BACKGROUND
    return float((y * expected.log() - expected).double().sum())


@pytest.mark.parametrize("shape", [(37, 41), (5, 23, 26)])
def test_each_update_makes_the_image_likelier_and_accelerated_ones_sooner(shape):
    kernel = gaussian(1.5) if len(shape) == 2 else gaussian((0.5, 1.5, 1.5), ndim=3)
    y, operator = photons(shape, kernel), Blur(kernel)
    plain = [likelihood(y, operator, after(y, operator, n)) for n in (1, 2, 5, 10, 20)]
    assert plain == sorted(plain)
    assert likelihood(y, operator, after(y, operator, 10, accelerated=True)) > plain[-1]


def test_photons_are_kept_and_none_is_below_zero():
    kernel = motion(5, 30)
    y, operator = photons((37, 41), kernel), Blur(kernel)
    start = torch.full_like(y, 1.0)
    x = next(islice(richardson_lucy(y, operator, start=start), 6, None))
    assert float(x.min()) >= 0 and float(operator(x).sum()) == pytest.approx(float(y.sum()), rel=1e-3)


def test_total_variation_is_curbed_along_its_gradient_and_mirrored_at_the_border():
    x = torch.rand((1, 1, 4, 7, 6), generator=torch.Generator().manual_seed(0)).mul_(50)
    wide = mirrored(x, (3, 3, 3)).requires_grad_()
    square = torch.full_like(wide, 0.1**2)
    for axis in range(2, 5):
        step = wide.diff(dim=axis).square() / 2
        square = square + torch.cat([step, torch.zeros_like(step.narrow(axis, 0, 1))], axis)
        square = square + torch.cat([torch.zeros_like(step.narrow(axis, 0, 1)), step], axis)
    square.sqrt().sum().backward()
    assert torch.allclose(curb(x, 0.0), -wide.grad[..., 3:-3, 3:-3, 3:-3], atol=1e-4)
    assert torch.allclose(curb(x.flip(3), 0.01), curb(x, 0.01).flip(3), atol=1e-4)


@pytest.mark.parametrize("shape", [(4, 7, 6), (5, 9), (2, 6, 5), (1, 8, 7)])
def test_bending_is_curbed_along_its_gradient_and_mirrored_at_the_border(shape):
    x = torch.rand((1, 1, *shape), generator=torch.Generator().manual_seed(0)).mul_(50)
    wide = mirrored(x, (3,) * len(shape)).requires_grad_()
    axes = [axis for axis in range(2, x.ndim) if x.shape[axis] > 1]
    spatial = tuple(range(2, x.ndim))

    def moved(**steps):
        return wide.roll([-steps.get(f"a{axis}", 0) for axis in spatial], spatial)

    square = torch.full_like(wide, 0.1**2)
    for a in axes:
        square = square + (moved(**{f"a{a}": 1}) + moved(**{f"a{a}": -1}) - 2 * wide).square()
        for b in axes:
            if b > a:
                corners = [moved(**{f"a{a}": i, f"a{b}": j}) * (i * j) for i in (-1, 1) for j in (-1, 1)]
                square = square + 2 * (sum(corners) / 4).square()
    square[(..., *[slice(1, -1)] * len(shape))].sqrt().sum().backward()
    inner = (..., *[slice(3, -3)] * len(shape))
    assert torch.allclose(bend(x, 0.0), -wide.grad[inner], atol=1e-4)
    assert torch.allclose(bend(x.flip(3), 0.01), bend(x, 0.01).flip(3), atol=1e-4)


def test_a_slope_is_not_bent_where_it_is_curbed():
    slope = torch.linspace(0, 90, 30).expand(1, 1, 12, 30).contiguous()
    assert float(bend(slope, 0.0)[..., 3:-3].abs().max()) < 1e-3
    steps = torch.where(slope > 45, 90.0, 0.0)
    assert float(bend(steps, 0.0).abs().max()) > 1 and float(curb(steps, 0.0).abs().max()) > 0.5


@pytest.mark.parametrize("prior", ["total_variation", "hessian"])
@pytest.mark.parametrize("weight", [0.0, 0.004, 0.02])
def test_a_difference_as_small_as_rounding_stays_that_small(weight, prior):
    kernel = gaussian(1.5)
    y, operator = photons((61, 64), kernel).add_(200), Blur(kernel)
    one, other = (after(z, operator, 25, weight=weight, prior=prior, accelerated=True) for z in (y, y * (1 + 1e-6)))
    assert float((one - other).abs().max()) < 1e-3 * float(y.mean().sqrt())


@pytest.mark.parametrize(("prior", "order"), [("total_variation", 1), ("hessian", 2)])
def test_a_heavier_weight_is_flatter(prior, order):
    kernel = gaussian(1.5)
    y, operator = photons((61, 64), kernel), Blur(kernel)
    options = {"prior": prior, "accelerated": True}
    found = [after(y, operator, 12, weight=w, **options) for w in (0, 0.005, 0.05)]
    rough = [float(x.diff(n=order).abs().sum()) for x in found]
    assert rough[0] > 1.05 * rough[1] and rough[1] > 1.05 * rough[2]

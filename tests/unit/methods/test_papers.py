"""Systems of papers: what each of them says of itself, beside what every method promises."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_restore import methods
from napari_restore.core.errors import RestoreError
from napari_restore.losses.perceptual import adversarial, perceptual
from napari_restore.methods.method import Batch, Interrupted
from napari_restore.networks.features import learned_features
from napari_restore.networks.judge import Judge
from napari_restore.operators import psf as psfs
from napari_restore.operators.blur import Blur
from napari_restore.operators.combine import Identity
from napari_restore.operators.variation import total_variation
from napari_restore.sources import open_image
from napari_restore.store.model import build_method

VARIANTS = ("log", "log_without_dc", "multiplicative", "convolve")


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def picture(*shape: int, seed: int = 0) -> torch.Tensor:
    """Smooth, in units of its deviation."""
    x = gaussian_filter(np.random.default_rng(seed).normal(size=shape), [0] * (len(shape) - 2) + [2, 2])
    return torch.from_numpy((x / x.std()).astype(np.float32))


def built(name: str, **settings: object):
    small = {"width": 4, "blocks": 1, **settings}
    known = {each.name for each in fields(methods.find(name).Config)}
    return build_method(name, {k: v for k, v in small.items() if k in known}, spatial="YX", channels=1)


def batch(pixels: torch.Tensor, partner: torch.Tensor | None = None) -> Batch:
    return Batch(pixels, torch.ones_like(pixels, dtype=torch.bool), None, partner)


@pytest.mark.parametrize("variant", VARIANTS)
def test_untrained_a_fourier_variant_gives_what_it_is_shown(variant: str) -> None:
    """But for the sign of the finest stripes: the logarithm of a negative number has no real part of it."""
    method = built("fourier_noise2noise", variant=variant, window=32)
    x = picture(2, 1, 64, 96) + 0.2 * torch.randn(2, 1, 64, 96, generator=rng())
    with torch.no_grad():
        assert (method.restore(x) - x).abs().max() < 0.1


def test_where_the_mean_is_kept_aside_it_stays_whatever_was_learned() -> None:
    x = picture(1, 1, 32, 32) + 0.5
    for variant, kept in (("log", False), ("log_without_dc", True)):
        method = built("fourier_noise2noise", variant=variant, window=32)
        torch.nn.init.normal_(method.networks[0].head.weight, std=0.05)
        with torch.no_grad():
            assert (abs(method.restore(x).mean() - x.mean()) < 1e-4) == kept


@pytest.mark.parametrize("variant", ["multiplicative", "convolve"])
def test_the_mean_of_random_blurs_is_the_image_and_none_of_them_is(variant: str) -> None:
    method, x = built("fourier_noise2noise", variant=variant), picture(1, 1, 24, 24)
    many = method.blurred(x.expand(4000, -1, -1, -1), rng())
    each = (many - x).square().mean((1, 2, 3)).sqrt()
    assert each.median() > 0.1 and (many.mean(0) - x[0]).square().mean().sqrt() < 3 * each.mean() / 4000**0.5


def test_the_logarithms_of_the_paper_s_kernels_have_the_mean_0() -> None:
    method = built("fourier_noise2noise", variant="log")
    drawn = torch.randn(500, 1, 5, 5, generator=rng(3)).exp()
    kernels = method._kernels(torch.ones(500, 1, 1, 1), rng(3))
    factors = torch.fft.fft2(torch.fft.ifftshift(kernels, dim=(-2, -1)))
    even = (drawn + torch.roll(drawn.flip(-1, -2), (1, 1), (-1, -2))) / 2  # a real kernel's factors are even
    assert torch.allclose(factors.real, even, atol=1e-3) and factors.imag.abs().max() < 1e-3


def test_two_exposures_ask_the_second_one_through_its_own_blur() -> None:
    settings = {"psf": "gaussian:1", "second_psf": "gaussian:2", "weight": 0.0}
    method, x = built("two_exposures", **settings), picture(1, 1, 64, 64)
    first, second = (Blur(psfs.parse(settings[k]))(x) for k in ("psf", "second_psf"))
    for partner, small in ((second, True), (first, False)):
        loss = method.objective(lambda y: x if y.shape == x.shape else y, batch(first, partner), rng())
        assert (loss < 1e-9) == small


def test_two_exposures_without_two_psfs_are_refused() -> None:
    kind = methods.find("two_exposures")
    with pytest.raises(RestoreError, match="give psf and second_psf"):
        kind.fit_to(kind.Config(psf="gaussian:1"), [open_image(np.zeros((64, 64), np.float32))])


def test_who_restores_and_who_judges_have_a_gradient_each_of_its_own_loss() -> None:
    judge, given, wanted = Judge(width=4), picture(2, 1, 32, 32).requires_grad_(), picture(2, 1, 32, 32, seed=1)
    deceiving, telling = adversarial(judge, given, wanted)
    weights = list(judge.parameters())
    assert torch.autograd.grad(deceiving, weights, retain_graph=True, allow_unused=True) == (None,) * len(weights)
    assert torch.autograd.grad(telling, given, retain_graph=True, allow_unused=True) == (None,)
    assert torch.autograd.grad(deceiving, given)[0].abs().max() > 0
    assert all(g.abs().max() > 0 for g in torch.autograd.grad(telling, weights))
    assert telling.item() == pytest.approx(2 * np.log(2), abs=0.5), "it cannot tell them apart yet"


def test_the_distance_of_features_is_nothing_for_the_same_and_only_where_it_counts() -> None:
    x, other = picture(2, 1, 32, 32), picture(2, 1, 32, 32, seed=1)
    see = learned_features(x)
    assert perceptual(see, x, x) == 0 < perceptual(see, other, x)
    assert perceptual(see, other, x, weight=torch.zeros_like(x)) == 0


@pytest.mark.parametrize("weights", [{"adversarial": 0.1}, {"perceptual": 0.1}])
@pytest.mark.parametrize("name", ["srgan", "ssirn"])
def test_a_sum_of_losses_shows_the_squared_error_and_learns_by_all(name: str, weights: dict[str, float]) -> None:
    method = built(name, **{"adversarial": 0.0, "perceptual": 0.0, **weights}).train()
    assert method.wants_features == ("perceptual" in weights)
    x, other = picture(2, 1, 32, 32), picture(2, 1, 32, 32, seed=1).requires_grad_()
    method.features = learned_features(x) if method.wants_features else None
    loss = method.towards(other, x, torch.ones_like(x))
    assert loss.item() == pytest.approx((other - x).square().mean().item(), rel=1e-5)
    loss.backward()
    plain = 2 * (other - x).detach() / x.numel()
    assert not torch.allclose(other.grad, plain, rtol=0.01)
    assert (method.judge is not None) == ("adversarial" in weights)
    assert method.judge is None or method.judge.layers[0].weight.grad.abs().max() > 0
    restoring, judge = method.for_restoring(), method.judge
    assert restoring.judge is None is restoring.features and method.judge is judge


@pytest.mark.parametrize("factor", [1, 2])
def test_ssirn_is_not_shown_what_counts_where_there_is_one_scale(factor: int) -> None:
    method, y = built("ssirn", factor=factor, noised=0.0).eval(), picture(2, 1, 32, 32)
    y[..., 4:8, 4:9] = torch.nan
    seen = {}

    def restore(shown: torch.Tensor) -> torch.Tensor:
        seen["shown"] = shown
        return torch.zeros_like(y)

    target = torch.isfinite(y)
    loss = method.objective(restore, Batch(y, target, None, None), rng())
    missing = torch.isnan(seen["shown"])
    assert 0.02 < missing.float().mean() < 0.3 and [n * factor for n in missing.shape[2:]] == [32, 32]
    counted = target & missing if factor == 1 else target
    assert loss.item() == pytest.approx(y[counted].square().mean().item(), rel=1e-5)


@pytest.mark.parametrize("noised", [0.5, 1.0])
def test_noise_of_what_ssirn_sees_and_of_what_it_is_to_give_is_independent(noised: float) -> None:
    """So their squares add up: nothing is gained by giving back a pixel as it is shown."""
    method, sigma = built("ssirn", factor=1, noised=noised, sigma=(0.5,)).eval(), 0.5
    y = sigma * torch.randn(4, 1, 256, 256, generator=rng(7))
    whole = torch.ones(4, 1, 256, 256, dtype=torch.bool)
    wanted = method.objective(lambda shown: torch.zeros_like(y), Batch(y, whole, None, None), rng()).item()
    apart = method.objective(lambda shown: shown.nan_to_num(0.0), Batch(y, whole, None, None), rng()).item()
    seen = (1 - method.config.hidden) * (1 + noised**2) * sigma**2
    assert wanted == pytest.approx((1 + noised**-2) * sigma**2, rel=0.02)
    assert apart == pytest.approx(wanted + seen, rel=0.02)


def test_what_ssirn_sees_coarser_has_the_noise_of_the_image() -> None:
    method, seen = built("ssirn", factor=2, sigma=(0.5,)).eval(), {}
    y = 0.5 * torch.randn(4, 1, 256, 256, generator=rng(7))

    def restore(shown: torch.Tensor) -> torch.Tensor:
        seen["shown"] = shown[torch.isfinite(shown)]
        return torch.zeros_like(y)

    method.objective(restore, Batch(y, torch.ones_like(y, dtype=torch.bool), None, None), rng())
    assert seen["shown"].std() == pytest.approx(0.5, rel=0.03)


def test_ssirn_gives_values_to_what_is_missing_and_says_that_it_has_no_copy() -> None:
    method, y = built("ssirn", factor=2), picture(1, 1, 32, 32)
    gaps = y.clone()
    gaps[..., 10:13, 10:13] = torch.nan
    with torch.no_grad():
        assert torch.isfinite(method.restore(gaps)).all()
        assert (method.plain(gaps) - method.plain(y)).square().mean() < 0.01
    with pytest.raises(RestoreError, match="cannot be distilled"):
        method.student(0.5)


@pytest.mark.parametrize("blur", [None, "gaussian:1"])
def test_total_variation_is_no_worse_than_another_search_for_the_same(blur: str | None) -> None:
    """By the value of what is minimised: scikit-image's, and the start."""
    from skimage.restoration import denoise_tv_chambolle

    operator = Identity(2) if blur is None else Blur(psfs.parse(blur))
    y = operator(picture(1, 1, 40, 44)) + 0.3 * torch.randn(1, 1, 40, 44, generator=rng())
    weight = 0.2

    def price(x: torch.Tensor) -> float:
        steps = [torch.diff(x, dim=k, append=x.narrow(k, x.shape[k] - 1, 1)) for k in (2, 3)]
        return float((operator(x) - y).square().sum() / 2 + weight * (steps[0] ** 2 + steps[1] ** 2).sqrt().sum())

    found = total_variation(y, operator, start=y, sigma=0.3, weight=weight, steps=300)
    other = torch.from_numpy(denoise_tv_chambolle(y[0, 0].numpy(), weight=weight, eps=1e-6, max_num_iter=500))[
        None, None
    ]
    assert price(found) <= (price(other) * 1.001 if blur is None else price(y))


def test_total_variation_leaves_what_is_as_large_as_the_noise() -> None:
    y = picture(1, 1, 64, 64) + 0.3 * torch.randn(1, 1, 64, 64, generator=rng())
    found = total_variation(y, Identity(2), start=y, sigma=0.3, weight=None, steps=200)
    assert (found - y).square().mean().sqrt().item() == pytest.approx(0.3, rel=0.05)


@pytest.mark.parametrize("name", ["total_variation", "deep_image_prior"])
def test_windows_are_found_each_by_itself(name: str) -> None:
    method = built(name, iterations=2, depth=1)
    g = method.step
    y = picture(1, 1, 3 * g, 4 * g)
    whole = method.restore(y)
    part = method.restore(y[..., g:])[..., g:-g]
    assert torch.equal(whole[..., 2 * g : -g], part), "but for a rim of one window, which lacks its surroundings"
    assert torch.equal(whole[..., :g, :], method.plain(y)[..., :g, :])
    method.stopping = lambda: True
    with pytest.raises(Interrupted):
        method.restore(y)


def test_the_deep_image_prior_stops_at_the_noise() -> None:
    y = picture(1, 1, 32, 32)
    settings = {"depth": 1, "targets": "one", "iterations": 60}
    found = {}
    for sigma in (0.9, 0.5):
        method = built("deep_image_prior", **settings)
        found[sigma] = (method.solved(y, sigma) - y).square().mean().sqrt().item()
    assert found[0.9] > found[0.5] > 0.45
    by_risk = built("deep_image_prior", **settings, until="sure").solved(y, 0.5)
    assert (by_risk - y).square().mean() < 1


def test_what_is_dropped_is_drawn_from_the_given_numbers_and_only_while_it_learns() -> None:
    method, x = built("dropout_unet", depth=1), batch(picture(2, 1, 16, 16), picture(2, 1, 16, 16, seed=1))
    before = torch.random.get_rng_state()
    with torch.no_grad():
        losses = [method.train()(x, rng(seed)).item() for seed in (0, 0, 1)]
        assert losses[0] == losses[1] != losses[2]
        assert method.eval()(x, rng(0)) == method(x, rng(1))
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_u_net_of_15_million_weights_has_them() -> None:
    method = build_method("dropout_unet", methods.configure("dropout_unet", {}), spatial="YX", channels=1)
    assert sum(p.numel() for p in method.parameters()) == pytest.approx(15e6, rel=0.02)

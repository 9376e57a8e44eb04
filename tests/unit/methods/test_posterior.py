"""A pixel is predicted from the others alone, and combined with itself as its noise allows."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate, gaussian_filter
from scipy.signal import convolve2d, correlate2d

from napari_restore import denoise, restore, train
from napari_restore.methods.borne_out import borne_out
from napari_restore.methods.method import Batch
from napari_restore.methods.posterior import (
    _FOUR,
    _NEAREST,
    _PHASES,
    Posterior,
    PosteriorConfig,
    _bars,
    _beside,
    _by_variance,
    _corners,
    _least_line,
    _mirrored,
    _redrawn,
    _surest,
    _unexplained,
    mean_around,
)
from napari_restore.sources import open_image

SHAPES = [("YX", (20, 28)), ("YX", (4, 8)), ("ZYX", (3, 12, 8)), ("ZYX", (1, 8, 16))]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def built(spatial="YX", channels=1, seed=0, **config):
    """With weights that are not zero anywhere, as after training."""
    settled = {"sigma": (3.0,), "gain": (0.0,), "offset": (0.0,), "mean": (0.0,), "std": (1.0,)}
    settled = {name: value * channels for name, value in settled.items()}
    torch.manual_seed(seed)
    method = Posterior(PosteriorConfig(**{"width": 4, **settled, **config}), spatial=spatial, channels=channels)
    for parameter in method.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return method.eval()


@pytest.mark.parametrize("shape", [(2, 2), (6, 10), (8, 4)])
def test_the_stand_in_is_the_weighted_mean_of_the_eight_neighbours(shape):
    y = torch.randn(1, 1, *shape, generator=generator())
    weights = np.array([[1, 2, 1], [2, 0, 2], [1, 2, 1]]) / 12
    wanted = correlate(y[0, 0].numpy(), weights, mode="mirror")[::2, ::2]
    assert np.allclose(mean_around(y)[0, 0].numpy(), wanted, atol=1e-6)


@pytest.mark.parametrize(("spatial", "shape"), SHAPES)
@pytest.mark.parametrize("phase", _PHASES)
def test_no_pixel_of_a_phase_is_seen_when_it_is_predicted(spatial, shape, phase):
    method, (dy, dx) = built(spatial), phase
    y = torch.randn(1, 1, *shape, generator=generator(1), requires_grad=True)
    mean, variance = method.blind(0, y, phase)
    hidden = torch.zeros_like(y, dtype=torch.bool)
    hidden[..., dy::2, dx::2] = True
    (gradient,) = torch.autograd.grad(mean.sum() + variance.sum(), y)
    assert gradient[hidden].abs().max() == 0
    assert gradient[~hidden].abs().max() > 0
    other = torch.where(hidden, torch.full_like(y, 1e3), y)
    for before, after in zip((mean, variance), method.blind(0, other, phase), strict=True):
        assert torch.equal(before, after)


@pytest.mark.parametrize("combine", ["yes", "no"])
def test_without_the_pixel_itself_nothing_of_it_comes_back(combine):
    method = built(combine=combine)
    y = torch.randn(1, 1, 16, 16, generator=generator(2), requires_grad=True)
    (gradient,) = torch.autograd.grad(method.restore(y)[0, 0, 7, 8], y)
    assert (gradient[0, 0, 7, 8] != 0) == (combine == "yes")


@pytest.mark.parametrize(("spatial", "depth"), [("YX", 1), ("YX", 2), ("ZYX", 1)])
def test_the_radius_is_that_of_the_gradient(spatial, depth):
    method = built(spatial, depth=depth).double()
    radius, grid = method.radius, method.grid
    shape = [-(-(2 * r + 3) // g) * g + 2 * g for r, g in zip(radius, grid, strict=True)]
    y = torch.randn(1, 1, *shape, generator=generator(), dtype=torch.float64, requires_grad=True)
    reach = torch.zeros(len(shape), dtype=torch.long)
    middle = [n // 2 // g * g for n, g in zip(shape, grid, strict=True)]
    for corner in torch.cartesian_prod(*[torch.arange(g) for g in grid]).view(-1, len(shape)).tolist():
        place = [m + c for m, c in zip(middle, corner, strict=True)]
        (gradient,) = torch.autograd.grad(method.restore(y)[(0, 0, *place)], y)
        reach = torch.maximum(reach, (gradient[0, 0].nonzero() - torch.tensor(place)).abs().amax(0))
    assert (reach <= torch.tensor(radius)).all()
    assert (reach >= torch.tensor(radius) - torch.tensor(grid) - 1).all(), "a halo much too wide costs time"


def test_a_pixel_counts_as_its_noise_allows():
    y = torch.randn(1, 1, 16, 16, generator=generator(3))
    assert torch.allclose(built(sigma=(1e-4,), combine="yes").restore(y), y, atol=1e-2)
    predicted = built(combine="no").restore(y)
    assert built(sigma=(1e4,), combine="yes").restore(y).std() < predicted.std() / 2, "no pixel bears these waves out"
    method = built(sigma=(1.0,), combine="yes")
    between, (mean, variance) = method.restore(y), method._predicted(0, y)
    kept, _ = borne_out(y, mean, variance, method.noise_at(0, mean))
    assert ((between - kept) * (y - kept) >= -1e-6).all()
    assert ((y - between) * (y - kept) >= -1e-6).all()


def test_noise_grows_with_the_light_and_never_vanishes_in_the_dark():
    method = built(gain=(7.0,), offset=(50.0,), sigma=(2.0,), mean=(200.0,), std=(40.0,))
    light = torch.tensor([900.0, 5000.0, 50.0, -3000.0])
    variance = method.noise_variance(0, (light - 200) / 40) * 40**2
    wanted = torch.tensor([7.0 * 850 + 4, 7.0 * 4950 + 4])
    assert torch.allclose(variance[:2], wanted, rtol=1e-3)
    assert variance[2] == pytest.approx(7**2 / 8 + 4, rel=1e-3)
    assert variance[3] >= 4


def test_the_loss_shows_the_squared_error_and_descends_the_likelihood():
    method = built().train()
    y = torch.randn(2, 1, 16, 20, generator=generator(4))
    target = torch.rand(2, 1, 16, 20, generator=generator(5)) > 0.3
    loss = method(Batch(y, target), generator(6))
    dy, dx = phase = _PHASES[int(torch.randint(4, (), generator=generator(6)))]
    mean, variance = method.blind(0, y, phase)
    weight = target[..., dy::2, dx::2]
    error = (y[..., dy::2, dx::2] - mean).square()
    assert loss.item() == pytest.approx(error[weight].mean().item(), rel=1e-5)
    likely = -torch.distributions.Normal(mean, (variance + 9).sqrt()).log_prob(y[..., dy::2, dx::2])[weight].mean()
    wanted = torch.autograd.grad(likely, list(method.parameters()))
    found = torch.autograd.grad(loss, list(method.parameters()))
    for a, b in zip(wanted, found, strict=True):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-6)


ANY = np.empty((0, 2))
"""Of noise that may be as large as it likes."""


def test_the_least_line_lies_under_what_is_unsure_and_on_what_is_sure():
    rng = np.random.default_rng(0)
    signal = np.concatenate([rng.uniform(-1, 0, 20_000), rng.uniform(0, 6, 2000)])
    noise = 0.3 + 0.2 * signal
    unsure = np.where(rng.uniform(size=signal.size) < 0.6, rng.exponential(0.5, signal.size), 0)
    dark = np.full(signal.size, 0.1)  # what flat parts have shown
    surest = _surest(signal, noise + unsure, dark)
    assert _unexplained(*surest, most=ANY) == pytest.approx((0.3, 0.2), abs=0.05)
    assert _unexplained(*surest, most=np.array([[5.0, 1.2]])) != (0, 0), "1.3 is possible"
    assert _unexplained(*surest, most=np.array([[5.0, 0.4]])) == (0, 0), "flat parts as bright have less"
    falling = _least_line(*_surest(signal, 2 - 0.2 * signal, dark)[:2])
    assert falling[1] == 0, "noise does not fall with the light"
    assert falling[0] == pytest.approx(2 - 0.2 * 6, abs=0.1)
    assert _unexplained(*_surest(signal[:5], noise[:5], dark[:5]), most=ANY) == (0, 0)


def test_what_no_line_explains_is_not_noise():
    """Predictions of walls are unsure at their rims, and sure of what is dark: no photons do that."""
    rng = np.random.default_rng(0)
    signal = rng.uniform(0, 6, 20_000)
    measured, not_learned = np.full(signal.size, 0.01), np.where((signal > 1) & (signal < 5), 0.5, 0.02)
    left = measured + not_learned * rng.uniform(1, 2, signal.size)
    assert _unexplained(*_surest(signal, left, measured), most=ANY) == (0, 0)
    assert _unexplained(*_surest(signal, 1.2 * measured, measured), most=ANY) == (0, 0), "what was measured is surer"


@pytest.mark.parametrize("blur", [0.0, 0.5])
def test_hardly_any_noise_in_walls_is_left_to_the_pixels(blur):
    """A network that was trained for a moment knows less of a wall than was measured there: 5 and 400 times the noise.

    Half of that was taken for noise that grows with the light by what the flattest of all walls have, half by what
    predictions leave there.
    """
    rng = np.random.default_rng(7)
    y, x = np.mgrid[:192, :192]
    walls = np.ones((192, 192))
    for cy, cx, r in zip(*rng.uniform(0, 192, (2, 160)), rng.uniform(4, 12 if blur else 10, 160), strict=True):
        walls[np.hypot(y - cy, x - cx) < r] = 0
    walls = gaussian_filter(walls, blur) * (1 + 0.1 * gaussian_filter(rng.normal(size=walls.shape), 0.7))
    noisy = (walls + 0.004 * rng.normal(size=walls.shape)).astype(np.float32)
    restored = denoise(noisy, method="posterior", steps=60, precision="float32")
    assert np.square(np.asarray(restored) - walls).mean() < 0.004**2


def test_noise_that_flat_parts_do_not_show_is_found_by_the_predictions():
    y = torch.randn(1, 1, 16, 16, generator=generator(3))
    trusting = built(sigma=(1e-4,), combine="yes")
    assert torch.allclose(trusting.restore(y), y, atol=1e-2)
    trusting.config = replace(trusting.config, unexplained=((1e9, 0.0),))
    assert torch.equal(trusting.restore(y), built(sigma=(10**4.5,), combine="yes").restore(y))
    # Spots on a dark ground: nothing bright is flat, and the noise grows with the light.
    rng = np.random.default_rng(5)
    spots = gaussian_filter((rng.uniform(size=(160, 160)) < 0.004).astype(float), 1.5)
    noisy = rng.poisson(10 + 150 * spots / spots.max()).astype(np.float32)
    model = train(noisy, "posterior", steps=150, precision="float32", noise=3.2, start="none")
    (middle, growth), std = model.method.config.unexplained[0], model.normalisation.std[0]
    assert growth * std == pytest.approx(1, rel=0.5), "photons"
    assert middle * std**2 > 8


def test_noise_that_is_measured_settles_the_config():
    rng = np.random.default_rng(0)
    flat = 100 + 5 * rng.normal(size=(2, 90, 110))
    photons = 3 * rng.poisson(np.linspace(5, 400, 200)[:, None] / 3, (200, 220))
    fit = Posterior.fit_to(PosteriorConfig(), [open_image(flat.astype(np.float32), axes="CYX")])
    assert fit.config.sigma == pytest.approx((5, 5), rel=0.1)
    assert (fit.config.gain, fit.config.combine, fit.config.dimensions) == ((0.0, 0.0), "yes", "2")
    fit = Posterior.fit_to(PosteriorConfig(), [open_image(photons.astype(np.float32))])
    assert fit.config.gain[0] == pytest.approx(3, rel=0.3)
    fit = Posterior.fit_to(PosteriorConfig(noise=8.0), [open_image(photons.astype(np.float32))])
    assert (fit.config.sigma, fit.config.gain, fit.config.combine) == ((8.0,), (0.0,), "yes")


def test_where_the_noise_cannot_be_measured_the_pixel_is_left_out():
    image = np.random.default_rng(0).normal(size=(64, 72)).astype(np.float32)
    image[:, ::5] = np.nan
    fit = Posterior.fit_to(PosteriorConfig(), [open_image(image)])
    assert (fit.config.combine, fit.config.sigma) == ("no", (0.0,))
    assert train(image, "posterior", steps=2).name == "posterior"


def test_where_the_noise_is_correlated_the_pixel_is_left_out():
    rng = np.random.default_rng(1)
    lines = (100 + 20 * gaussian_filter(rng.normal(size=(96, 120)), (0, 1.5))).astype(np.float32)
    fit = Posterior.fit_to(PosteriorConfig(), [open_image(lines)])
    assert fit.config.combine == "no"
    assert any("predicted alone" in note.text for note in fit.notes)


def test_it_learns_from_one_noisy_image(tmp_path):
    rng = np.random.default_rng(2)
    clean = 200 * (gaussian_filter(rng.normal(size=(96, 99)), 4) > 0)
    noisy = (clean + 40 * rng.normal(size=clean.shape)).astype(np.float32)
    model = train(noisy, "posterior", steps=150, seed=0, precision="float32")
    options = {"precision": "float32", "overwrite": True}
    whole = np.asarray(restore(noisy, model, output=tmp_path / "a.zarr", **options))
    assert np.square(whole - clean).mean() < 0.25 * np.square(noisy - clean).mean()
    tiled = np.asarray(restore(noisy, model, output=tmp_path / "b.zarr", tile=(32, 40), **options))
    assert np.abs(tiled - whole).max() < 1e-5 * whole.std()


FOUND = ((0.01, 0.02), (0.1, 0.1), (1.0, 2.0))


@pytest.mark.parametrize("combine", ["yes", "no"])
@pytest.mark.parametrize("spatial", ["YX", "ZYX"])
def test_the_deviation_is_told_by_the_predicted_variance(combine, spatial):
    method = built(spatial, combine=combine, told=(FOUND,))
    y = torch.randn(2, 1, *(4, 12, 16)[-len(spatial) :], generator=generator(3))
    mean, variance = method._predicted(0, y)
    noise = method.noise_at(0, mean)
    wanted = (noise * torch.from_numpy(at(variance / noise))).sqrt()
    assert torch.allclose(method.deviations().restore(y), wanted, rtol=1e-4)
    assert torch.equal(method.restore(y), built(spatial, combine=combine).restore(y)), "what is restored stays"


def at(ratio):
    """Straight lines in the logarithms; level below the first, in proportion above the last."""
    x, found = np.log(np.array(FOUND)).T
    there = np.log(ratio.detach().numpy())
    return np.exp(np.interp(there, x, found) + np.maximum(there - x[-1], 0)).astype(np.float32)


def test_the_right_variance_gives_the_posterior_deviation():
    same = tuple((float(v), float(v)) for v in np.geomspace(1e-4, 1e4, 9))
    method = built(combine="yes", errors=(same,))
    y = torch.randn(1, 1, 16, 16, generator=generator(4))
    mean, variance = method._predicted(0, y)
    noise = method.noise_at(0, mean)
    found = method._deviation(0, mean, variance, method._share(0, mean, variance))
    assert torch.allclose(found, (noise * variance / (noise + variance)).sqrt(), rtol=1e-4)


def test_one_pair_is_enough_and_a_model_without_any_gives_no_deviations():
    assert built().deviations() is None and built(errors=(FOUND,)).deviations() is None
    assert built(channels=2, told=(FOUND, ())).deviations() is None, "of one channel there were too few pixels to tell"
    method = built(told=(((0.5, 0.25),),))
    assert torch.isfinite(method.deviations().restore(torch.randn(1, 1, 8, 8))).all()


def test_a_line_that_turns_the_image_over_leaves_deviations_above_zero():
    method = built(told=(FOUND,)).deviations()
    before = method.restore(torch.zeros(1, 1, 8, 8))
    method.line[0], method.line[1] = -2, 7
    assert torch.allclose(method.restore(torch.zeros(1, 1, 8, 8)), 2 * before)


def test_errors_are_told_in_bins_that_rise():
    rng = np.random.default_rng(0)
    variance = rng.lognormal(-3, 1, 20_000)
    some, none = np.full_like(variance, 0.02), np.zeros_like(variance)
    pairs = np.array(_by_variance(variance, some, none))
    assert (np.diff(pairs[:, 0]) > 0).all() and len(pairs) > 5
    assert pairs[:, 1] == pytest.approx(0.02 * 0.8)
    assert np.array(_by_variance(variance, some, some))[:, 1] == pytest.approx(0.02 * 1.5), "what neighbours share"
    assert np.array(_by_variance(variance, some, 9 * some))[:, 1] == pytest.approx(0.02 * 1.85), "and no more than that"
    assert np.array(_by_variance(variance, some, -some))[:, 1] == pytest.approx(0.02 * 0.8), "never less"
    assert _by_variance(*(each[:10] for each in (variance, some, none))) == ()


def test_noise_is_drawn_anew_from_pixels_about_as_bright():
    rng = np.random.default_rng(8)
    signal = torch.from_numpy(rng.permutation(np.repeat([1.0, 9.0], 4000)).reshape(2, 1, 40, 100)).float()
    left = signal * torch.from_numpy(rng.exponential(size=signal.shape)).float()
    measured = torch.from_numpy(rng.uniform(size=signal.shape) < 0.7)
    drawn = _redrawn(left, signal, measured, seed=1)
    assert (drawn[~measured] == 0).all()
    for level in (1, 9):
        there = measured & (signal == level)
        assert torch.equal(drawn[there].sort().values, left[there].sort().values), "as large, as rare, as skew"
        assert np.corrcoef(drawn[there].numpy(), left[there].numpy())[0, 1] == pytest.approx(0, abs=0.1)
    assert torch.equal(_redrawn(left, signal, measured, seed=1), drawn), "the same each time"
    assert not torch.equal(_redrawn(left, signal, measured, seed=2), drawn)
    centred = _redrawn(left, signal, measured, seed=1, centred=True)
    for level in (1, 9):
        there = measured & (signal == level)
        assert float(centred[there].mean()) == pytest.approx(0, abs=1e-5)
        assert float(centred[there].std()) == pytest.approx(float(left[there].std()), rel=1e-5)
    assert (_redrawn(left, signal, torch.zeros_like(measured), seed=1) == 0).all()


def test_planes_are_mirrored_so_that_each_has_its_neighbours():
    planes = torch.arange(3.0).view(1, 1, 3, 1, 1)
    assert _mirrored(planes, 1).flatten().tolist() == [1, 0, 1, 2, 1]
    assert torch.equal(_mirrored(planes, 0), planes)


@pytest.mark.parametrize("planes", [(), (5,)])
def test_the_error_is_that_of_predicting_once_more_what_was_predicted(planes, monkeypatch):
    """A network that gives nothing predicts the mean about a pixel: of white noise all is left, and drawn anew."""
    monkeypatch.setattr("napari_restore.methods.posterior._OF_ERROR", 1.0)
    monkeypatch.setattr("napari_restore.methods.posterior._OF_ALIKE", 0.0)
    method = flat(neighbours="1" if planes else "0")
    y = torch.randn(2, 1, *planes, 128, 128, generator=generator(9))
    with torch.inference_mode():
        pairs = method._errors(0, Batch(y, torch.ones_like(y)), *method._predicted(0, y))
    of_one = (4 * 2**2 + 4) / 12**2
    assert [error for _, error in pairs] == pytest.approx([2 * of_one], rel=0.05), "of two means of other noise"


def test_bars_hold_nine_of_ten_errors_of_any_kind():
    rng = np.random.default_rng(3)
    variance = rng.lognormal(-3, 1, 60_000)
    for error in (
        rng.normal(size=variance.shape),
        rng.standard_t(3, variance.shape),
        rng.exponential(size=variance.shape),
    ):
        at, bar = np.array(_bars(variance, *(error * np.sqrt(variance),) * 2, np.zeros_like(error))).T
        assert (np.diff(at) > 0).all() and len(at) > 5
        there = np.exp(np.interp(np.log(variance), np.log(at), np.log(bar)))
        assert (np.abs(error) * np.sqrt(variance) <= 1.6449 * np.sqrt(there)).mean() == pytest.approx(0.9, abs=0.01)


def test_bars_are_wider_by_what_a_second_restoration_loses_less():
    rng = np.random.default_rng(4)
    variance, error = rng.lognormal(-3, 1, (2, 20_000))
    none = np.zeros_like(error)
    before = np.array(_bars(variance, error, error, none))[:, 1]
    for times, wanted in ((1 / np.sqrt(1.2), 1.2), (0.1, 1.5), (0.0, 1.5), (2.0, 1.0)):
        assert np.array(_bars(variance, error, times * error, none))[:, 1] == pytest.approx(wanted * before)
    assert _bars(variance[:10], error[:10], error[:10], none[:10]) == ()


def test_bars_are_wider_where_structure_is_left_in_the_pixels():
    rng = np.random.default_rng(4)
    variance, error = rng.lognormal(-3, 1, (2, 30_000))
    surest = variance < np.quantile(variance, 1 / 3)
    before = np.array(_bars(variance, error, error, np.zeros_like(error)))[:, 1]
    for share, wanted in ((0.5, 1.5), (1.0, 2.0), (30.0, 2.0), (-1.0, 1.0)):
        alike = np.where(surest, share * np.square(error[surest]).mean(), 0)
        after = np.array(_bars(variance, error, error, alike))[:, 1]
        assert after[:3] == pytest.approx(wanted * before[:3], rel=0.1) and after[4:] == pytest.approx(before[4:])


def test_what_is_left_is_multiplied_with_the_mean_about_it_and_never_with_itself():
    left = torch.zeros(2, 1, 3, 9, 9)
    left[1, 0, 2, 4, 4] = 2
    assert not _beside(left, _NEAREST).any()
    left[1, 0, 2, 4, 5] = 3
    found = _beside(left, _NEAREST)
    assert found.flatten().nonzero().numel() == 2 and found[1, 0, 2, 4, 4] == found[1, 0, 2, 4, 5] > 0.5
    assert _beside(torch.ones(1, 1, 9, 9), _NEAREST)[0, 0, 4, 4] == pytest.approx(1)


def test_bars_are_told_by_one_part_of_each_patch_in_turn_of_its_corners():
    places = torch.arange(88 * 60).view(1, 1, 88, 60).repeat(5, 2, 1, 1)
    parts = _corners(places)
    assert parts.shape == (5, 2, 48, 48)
    assert parts[:, 0, 0, 0].tolist() == [0, 12, 40 * 60, 40 * 60 + 12, 0]
    assert torch.equal(_corners(places[..., :40, :31]), places[..., :40, :31])


@pytest.mark.parametrize("planes", [(), (3,)])
def test_bars_are_those_of_restoring_once_more_what_was_restored(planes):
    """A network that gives nothing predicts the mean about a pixel, h: of noise n, n', n'' all is known."""
    method = flat(neighbours="1" if planes else "0", combine="no")
    y = torch.randn(2, 1, *planes, 128, 128, generator=generator(9))
    with torch.inference_mode():
        pairs = method._told(0, y)
    h = np.array([[1, 2, 1], [2, 0, 2], [1, 2, 1]]) / 12
    hh, once = convolve2d(h, h), np.pad(h, 1)
    first = np.square(hh - once).sum() + np.square(h).sum()
    hhh = convolve2d(hh, h)
    second = np.square(hhh - np.pad(hh, 1)).sum() + first
    more = correlate2d(hh - once, hh - once)[2:7, 2:7]  # of n is in what is restored, and not left by the second
    near = np.exp(-np.square(np.arange(-2, 3)) / (2 * 0.8**2))
    near = np.outer(near, near) * (np.arange(25).reshape(5, 5) != 12)
    alike = 1 - (near * more).sum() / near.sum() / first
    assert [bar for _, bar in pairs] == pytest.approx([first * max(first / second, 1) * alike], rel=0.05)


@pytest.mark.parametrize(
    ("similar", "combine", "soft"), [("no", "no", 2.5), ("no", "yes", 2.5), ("yes", "yes", 2.5), ("yes", "yes", 8.0)]
)
def test_intervals_of_90_percent_hold_about_as_much_of_the_truth(similar, combine, soft):
    rng = np.random.default_rng(11)
    clean = gaussian_filter(rng.normal(size=(4, 1, 96, 96)), (0, 0, soft, soft))
    clean = torch.from_numpy(3 * clean / clean.std()).float()
    y = clean + torch.randn(clean.shape, generator=generator(12))
    method = flat(similar=similar, combine=combine)
    with torch.inference_mode():
        method.finish(Batch(y, torch.ones_like(y, dtype=torch.bool)))
        off = (method.restore(y) - clean).abs()
        # Bars are told by blurring once more what was blurred, which a mean of neighbours does and a network hardly.
        assert 0.87 <= (off <= 1.6449 * method.deviations().restore(y)).float().mean() <= 0.98


def flat(**config):
    """One that predicts the mean about a pixel, with noise of variance 1."""
    method = built(sigma=(1.0,), **config)
    for parameter in method.parameters():
        torch.nn.init.zeros_(parameter)
    return method


def test_products_with_pixels_beside_are_those_of_a_plane():
    left = torch.randn(2, 1, 3, 5, 6, generator=generator(6))
    kernel = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]]) / 4
    wanted = [left[b, 0, z] * torch.from_numpy(correlate(left[b, 0, z].numpy(), kernel, mode="constant"))
              for b in range(2) for z in range(3)]  # fmt: skip
    assert torch.allclose(_beside(left, _FOUR).view(6, 5, 6), torch.stack(wanted), atol=1e-6)

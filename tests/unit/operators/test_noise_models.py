import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from scipy.signal import correlate, fftconvolve

from napari_restore.core.errors import RestoreError
from napari_restore.operators.noise import (
    CorrelatedGaussian,
    Gaussian,
    PoissonGaussian,
    _debiased,
    flat_covariance,
    from_covariance,
)
from napari_restore.operators.psf import gaussian

CHANNELS = torch.tensor([0.5, 3.0]).view(2, 1, 1)
MAP = torch.linspace(0.5, 2, 5).expand(2, 4, 5)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def clean_image(shape=(2, 4, 5)):
    return torch.linspace(2, 40, int(np.prod(shape))).view(1, *shape)


def kernel_of(std, total=2.0):
    """Lopsided, so that a kernel laid the wrong way round shows."""
    kernel = gaussian(std)
    kernel[:, : kernel.shape[1] // 2] *= 0.3
    return torch.from_numpy(kernel * total / np.sqrt((kernel**2).sum())).float()


MODELS = {
    "gaussian": Gaussian(3.0),
    "gaussian, channels": Gaussian(CHANNELS),
    "gaussian, map": Gaussian(MAP),
    "photons": PoissonGaussian(1.7, 0.0, 0.0),
    "photons, channels": PoissonGaussian(CHANNELS, 0.0, 0.0),
    "camera": PoissonGaussian(2.0, 10.0, 1.5),
    "camera, channels and map": PoissonGaussian(CHANNELS, -4.0, MAP),
    "correlated": CorrelatedGaussian(kernel_of(1.0)),
}


@pytest.mark.parametrize("name", MODELS)
def test_samples_have_the_mean_and_the_variance_that_the_model_tells(name):
    model, clean, draws = MODELS[name], clean_image(), 20_000
    samples = model.sample(clean.expand(draws, -1, -1, -1), rng())
    mean = clean.clamp(min=10) if name == "camera" else clean  # a camera shows its offset below it
    variance = model.variance(clean)
    assert variance.shape == clean.shape
    # The mean of n draws spreads by sqrt(v / n), their variance by v sqrt((2 + k) / n), where the excess kurtosis k of
    # Poisson noise is 1 / photons, here 1.5 at most. 40 pixels: 5 of these are passed once in 40 000 runs, and the
    # seed is fixed.
    assert ((samples.mean(0) - mean[0]).abs() <= 5 * (variance[0] / draws).sqrt() + 1e-4).all()
    assert ((samples.var(0) / variance[0] - 1).abs() <= 5 * (3.5 / draws) ** 0.5).all()


def test_poisson_noise_counts_whole_photons():
    gain = 2.5
    photons = PoissonGaussian(gain, 0.0, 0.0).sample(torch.full((1, 1, 50, 50), 10.0), rng()) / gain
    assert_allclose(photons, photons.round(), atol=1e-5)
    assert (photons == 0).any()  # e^-4 of them: no Gaussian has these, and no negative ones
    camera = (PoissonGaussian(gain, 7.0, 0.0).sample(torch.full((1, 1, 50, 50), 17.0), rng()) - 7) / gain
    assert_allclose(camera, camera.round(), atol=1e-5)


def test_nothing_below_dark_is_counted():
    dark = torch.full((1, 1, 3, 3), -5.0)
    camera = PoissonGaussian(1.0, 100.0, 0.0)
    assert (camera.sample(dark, rng()) == 100).all()
    assert (camera.variance(dark) == 0).all()


@pytest.mark.parametrize("name", MODELS)
def test_the_same_seed_gives_the_same_noise_and_a_further_draw_another(name):
    model, clean, source = MODELS[name], clean_image(), rng(3)
    first, second = model.sample(clean, source), model.sample(clean, source)
    assert torch.equal(first, model.sample(clean, rng(3)))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_noise_has_the_type_of_the_image(name, dtype):
    clean = clean_image().to(dtype)
    assert MODELS[name].sample(clean, rng()).dtype == dtype
    assert MODELS[name].variance(clean).dtype == dtype


@pytest.mark.parametrize("model", [Gaussian(2.0), CorrelatedGaussian(torch.ones(3, 3))])
def test_noise_that_is_added_lets_gradients_through(model):
    clean = clean_image().requires_grad_()
    model.sample(clean, rng()).sum().backward()
    assert (clean.grad == 1).all()


def autocovariance(noise, radius):
    """Mean products at each distance, over all draws ``(N, Y, X)``."""
    height, width = noise.shape[-2:]
    steps = range(-radius, radius + 1)
    return np.array(
        [
            [
                (
                    noise[:, max(0, -dy) : height - max(0, dy), max(0, -dx) : width - max(0, dx)]
                    * noise[:, max(0, dy) : height + min(0, dy), max(0, dx) : width + min(0, dx)]
                ).mean()
                for dx in steps
            ]
            for dy in steps
        ]
    )


def test_correlated_noise_has_the_autocorrelation_of_its_kernel():
    kernel = kernel_of((1.2, 0.8))
    noise = CorrelatedGaussian(kernel).sample(torch.zeros(40, 2, 90, 100), rng()).flatten(0, 1).double().numpy()
    full = correlate(kernel.double(), kernel.double())
    middle = [n // 2 for n in full.shape]
    expected = full[middle[0] - 3 : middle[0] + 4, middle[1] - 3 : middle[1] + 4]
    # 720 000 pixels, some 20 to an independent one: a covariance spreads by 4 * sqrt(2 / 36 000) = 0.03.
    assert_allclose(autocovariance(noise, 3), expected, atol=0.1)
    assert abs(expected[3, 4] - expected[4, 3]) > 0.5  # y and x exchanged would show


def test_correlated_noise_is_a_convolution_and_does_not_wrap():
    kernel = kernel_of(1.0)
    clean = torch.zeros(1, 1, 9, 11)
    white = torch.randn(1, 1, 9 + kernel.shape[0] - 1, 11 + kernel.shape[1] - 1, generator=rng())
    expected = fftconvolve(white[0, 0], kernel, "valid")
    assert_allclose(CorrelatedGaussian(kernel).sample(clean, rng())[0, 0], expected, atol=1e-5)
    lines = CorrelatedGaussian(torch.ones(1, 5)).sample(torch.zeros(4000, 1, 1, 12), rng())[:, 0, 0]
    assert abs(float((lines[:, 0] * lines[:, -1]).mean())) < 0.4  # 5 sigma; 4 where it wraps


def test_a_flat_kernel_leaves_planes_independent_and_a_deep_one_does_not():
    stack = torch.zeros(1, 1, 6, 60, 70)
    flat = CorrelatedGaussian(torch.ones(3, 3)).sample(stack, rng())[0, 0]
    deep = CorrelatedGaussian(torch.ones(3, 3, 3)).sample(stack, rng())[0, 0]
    assert flat.shape == deep.shape == (6, 60, 70)
    assert abs(float((flat[1:] * flat[:-1]).mean())) < 1.5  # variance 9 of 2300 independent pixels: 5 sigma is 1
    assert float((deep[1:] * deep[:-1]).mean()) == pytest.approx(18, abs=4)
    assert CorrelatedGaussian(torch.ones(3, 3, 3)).variance(stack).unique().item() == 27
    with pytest.raises(RestoreError, match="3 axes for images with 2"):
        CorrelatedGaussian(torch.ones(3, 3, 3)).sample(stack[0], rng())


@pytest.mark.parametrize(
    "kernel", [gaussian(1.0), gaussian((0.5, 1.5)), gaussian((0.7, 1.0, 1.2), ndim=3), np.array([[-0.3, 1.0, -0.3]])]
)
def test_a_covariance_gives_noise_of_that_covariance(kernel):
    covariance = 9 * correlate(kernel, kernel) / (kernel**2).sum()
    found = from_covariance(covariance).kernel.double().numpy()
    again = correlate(found, found)
    assert again.shape != covariance.shape or again.max() == pytest.approx(9)
    small = [(max(a, c) - a) // 2 for a, c in zip(again.shape, covariance.shape, strict=True)]
    again = np.pad(again, [(s, s) for s in small])
    cut = [(a - c) // 2 for a, c in zip(again.shape, covariance.shape, strict=True)]
    again = again[tuple(slice(s, a - s) for s, a in zip(cut, again.shape, strict=True))]
    assert_allclose(again, covariance, atol=0.1)


def test_white_noise_of_a_covariance_of_one_value():
    assert from_covariance(np.array([[4.0]])).kernel.tolist() == [[2.0]]


def test_what_no_noise_can_have_is_left_out_and_the_variance_stays():
    covariance = np.zeros((3, 3))
    covariance[1] = [1, 1, 1]  # power 1 + 2 cos(w), negative beyond 120 degrees
    model = from_covariance(covariance)
    assert torch.isfinite(model.kernel).all()
    assert model.variance(torch.zeros(1, 1, 1, 1)).item() == pytest.approx(1)
    assert correlate(model.kernel, model.kernel).max() == pytest.approx(1, abs=1e-4)
    alternating = (-1.0) ** torch.arange(model.kernel.shape[1])
    assert abs(float((model.kernel.sum(0) * alternating).sum())) < 0.1 * float(model.kernel.sum())


@pytest.mark.parametrize(
    "covariance", [np.ones((2, 3)), np.ones(3), np.zeros((3, 3)), -np.ones((3, 3)), np.full((3, 3), np.nan)]
)
def test_what_is_no_covariance_is_refused(covariance):
    with pytest.raises(RestoreError, match="covariance"):
        from_covariance(covariance)


def scene(size):
    """Discs, a fine texture and a slope."""
    y, x = np.mgrid[:size, :size]
    discs = 300.0 * (np.hypot(y - size / 2, x - size / 2) < size / 4) + 100 * (np.hypot(y - 40, x - 60) < 20)
    return discs + 80 * np.sin(x / 4) * (y > 0.75 * size) + 0.2 * y


def coloured(kernel, size, seed):
    white = np.random.default_rng(seed).normal(0, 1, [size + n - 1 for n in kernel.shape])
    return fftconvolve(white, kernel, "valid")


@pytest.mark.parametrize(("wide", "narrow"), [(0, None), (0.8, None), (0.6, 1.2)])
def test_a_known_covariance_is_found_between_edges(wide, narrow):
    kernel = gaussian((wide, 1.3 * wide))
    if narrow:  # band-pass, as reconstructed slices have
        low = gaussian(narrow)
        kernel = np.pad(kernel, [((n - k) // 2,) * 2 for n, k in zip(low.shape, kernel.shape, strict=True)]) - 0.7 * low
    kernel *= 7 / np.sqrt((kernel**2).sum())
    full = np.pad(correlate(kernel, kernel), 4)
    middle = [n // 2 for n in full.shape]
    expected = full[middle[0] - 3 : middle[0] + 4, middle[1] - 3 : middle[1] + 4]
    found = np.mean([flat_covariance(scene(384) + coloured(kernel, 384, seed)) for seed in range(4)], 0)
    assert found.shape == (7, 7)
    # Four planes, half of each flat: some 150 000 pixels, of which 10 may make an independent one, tell a variance to
    # sqrt(2 / 15 000) = 1.2 %; choosing costs 2 % (see below).
    assert_allclose(found, expected, atol=0.04 * 49)
    assert_allclose(found, found[::-1, ::-1])


def test_what_the_fitted_planes_take_is_given_back_exactly():
    block, radius = 16, 3
    full = correlate(gaussian(0.6), gaussian(0.6))  # 9 x 9, of which 7 x 7 are the truth here
    middle = full.shape[0] // 2
    covariance = full[middle - radius : middle + radius + 1, middle - radius : middle + radius + 1]
    y, x = (a.ravel() for a in np.indices((block, block)))
    lag = np.stack([y[:, None] - y, x[:, None] - x])
    near = np.abs(lag).max(0) <= radius
    pixels = np.where(near, covariance[tuple(np.clip(lag + radius, 0, 2 * radius))], 0)
    planes, _ = np.linalg.qr(np.stack([np.ones(block**2), y, x], 1))
    left = np.eye(block**2) - planes @ planes.T
    residual = left @ pixels @ left
    steps = range(-radius, radius + 1)
    expected = np.array([[residual[(lag[0] == dy) & (lag[1] == dx)].mean() for dx in steps] for dy in steps])
    assert expected[radius, radius] < 0.98 * covariance[radius, radius]
    assert_allclose(_debiased(expected, block), covariance, atol=1e-12)


@pytest.mark.parametrize(("std", "loss"), [(0, 0.01), (0.8, 0.035), (1.5, 0.08)])
def test_choosing_flat_blocks_costs_no_more_than_is_told(std, loss):
    kernel = gaussian(std)
    kernel *= 7 / np.sqrt((kernel**2).sum())
    found = np.mean([flat_covariance(coloured(kernel, 384, seed), radius=5)[5, 5] for seed in range(6)])
    assert 49 * (1 - loss) < found < 49 * 1.01


def test_padding_saturation_and_missing_pixels_are_left_out():
    plane = scene(384) + coloured(np.full((1, 1), 7.0), 384, 1)
    plane[:120] = -1000
    plane[:, -100:] = 5000
    plane[200, 100] = np.nan
    assert flat_covariance(plane)[3, 3] == pytest.approx(49, rel=0.05)


def test_a_fine_texture_that_is_even_at_a_coarse_scale_is_not_noise():
    y, x = np.indices((384, 384))
    texture = 8.0 * ((y + x) % 2) * (x > 290)
    assert flat_covariance(texture + coloured(np.full((1, 1), 7.0), 384, 3))[3, 3] == pytest.approx(49, rel=0.03)


def test_a_covariance_scales_with_the_square_and_not_with_the_offset():
    plane = scene(256) + coloured(gaussian(0.7), 256, 2)
    assert_allclose(flat_covariance(3 * plane + 1000), 9 * flat_covariance(plane), rtol=1e-6)


@pytest.mark.parametrize(
    ("plane", "options", "words"),
    [
        (np.zeros((20, 40)), {}, "smaller blocks"),
        (np.zeros((4, 64, 64)), {}, "two axes"),
        (np.zeros((64, 64)), {}, "constant"),
        (np.full((64, 64), np.nan), {}, "measured"),
        (np.zeros((64, 64)), {"radius": 8}, "at least 36"),
        (np.zeros((64, 64)), {"block": 30}, "multiple of 4"),
        (np.zeros((64, 64)), {"radius": -1}, "0 or more"),
    ],
)
def test_a_plane_that_tells_nothing_is_refused(plane, options, words):
    with pytest.raises(RestoreError, match=words):
        flat_covariance(plane, **options)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Gaussian(-1.0),
        lambda: Gaussian(float("nan")),
        lambda: PoissonGaussian(0.0, 0.0, 1.0),
        lambda: PoissonGaussian(torch.tensor([1.0, 0.0]), 0.0, 1.0),
        lambda: PoissonGaussian(-1.0, 0.0, 1.0),
        lambda: PoissonGaussian(1.0, 0.0, -1.0),
        lambda: CorrelatedGaussian(torch.ones(4, 3)),
        lambda: CorrelatedGaussian(torch.ones(3)),
    ],
)
def test_parameters_out_of_range_are_refused(make):
    with pytest.raises(RestoreError, match="noise"):
        make()

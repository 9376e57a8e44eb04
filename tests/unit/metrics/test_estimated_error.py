import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, median_filter
from scipy.signal import fftconvolve
from skimage.restoration import denoise_tv_chambolle

from napari_restore.core.errors import ImageError
from napari_restore.metrics.estimated_error import EstimatedError, estimated_error


def scene(shape=(160, 190)):
    y, x = np.mgrid[: shape[0], : shape[1]]
    disk = gaussian_filter(100.0 * (np.hypot(y - 70, x - 90) < 45), 1)
    return disk + 40 * np.sin(x / 9) + 20 * np.cos(y / 5)


def haar_softened(y, level):
    """Soft thresholds of the finest Haar coefficients, mean over the four grids of pixel pairs."""
    out = np.zeros_like(y)
    for shift in ((0, 0), (0, 1), (1, 0), (1, 1)):
        z = np.roll(y, shift, (0, 1))
        a, b, c, d = z[::2, ::2], z[::2, 1::2], z[1::2, ::2], z[1::2, 1::2]
        mean, *fine = (a + b + c + d) / 2, (a - b + c - d) / 2, (a + b - c - d) / 2, (a - b - c + d) / 2
        u, v, w = (np.sign(f) * np.maximum(np.abs(f) - level, 0) for f in fine)
        z = np.empty_like(z)
        z[::2, ::2], z[::2, 1::2] = (mean + u + v + w) / 2, (mean - u + v - w) / 2
        z[1::2, ::2], z[1::2, 1::2] = (mean + u - v - w) / 2, (mean - u - v + w) / 2
        out += np.roll(z, (-shift[0], -shift[1]), (0, 1)) / 4
    return out


DENOISERS = {
    "nothing": lambda y, s: y,
    "gaussian": lambda y, s: gaussian_filter(y, 1),
    "wide gaussian": lambda y, s: gaussian_filter(y, 3),
    "median": lambda y, s: median_filter(y, 3),
    "wavelet": lambda y, s: haar_softened(y, 1.5 * s),
    "tv": lambda y, s: denoise_tv_chambolle(y, weight=s),
}


@pytest.mark.parametrize("name", DENOISERS)
@pytest.mark.parametrize("sigma", [5.0, 20.0])
def test_the_psnr_is_told_within_half_a_decibel(name, sigma):
    truth, rng = scene(), np.random.default_rng(3)
    y = truth + rng.normal(0, sigma, truth.shape)

    def denoise(image):
        return DENOISERS[name](image, sigma)

    found = estimated_error(denoise, y, variance=sigma**2, rng=rng, data_range=255)
    wanted = 10 * math.log10(255**2 / np.mean((denoise(y) - truth) ** 2))
    assert found.psnr == pytest.approx(wanted, abs=0.5)
    assert found.psnr_at_least < wanted + 0.05
    assert found.psnr_before == pytest.approx(10 * math.log10(255**2 / sigma**2))
    if name in ("nothing", "median", "tv", "wide gaussian") and (name != "wide gaussian" or sigma == 5):
        assert found.better == (name in ("median", "tv"))


def test_noise_that_grows_with_the_signal_is_judged_by_its_own_variance():
    truth, rng = scene() + 80, np.random.default_rng(1)
    y = 4.0 * rng.poisson(truth / 4) + rng.normal(0, 3, truth.shape)
    for name, denoise in DENOISERS.items():
        found = estimated_error(lambda image, f=denoise: f(image, 20), y, variance=4 * y + 9, rng=rng, data_range=255)
        wanted = 10 * math.log10(255**2 / np.mean((denoise(y, 20) - truth) ** 2))
        assert found.psnr == pytest.approx(wanted, abs=0.5), name


@pytest.mark.parametrize("wrong", [0.98, 1.02])
def test_what_is_sure_holds_where_the_noise_is_as_wrong_as_it_was_said_to_be(wrong):
    truth, rng = np.full((256, 256), 100.0) + scene((256, 256)) / 10, np.random.default_rng(5)
    y = truth + rng.normal(0, 20, truth.shape)

    def denoise(image):
        return gaussian_filter(image, 3.0)

    found = estimated_error(denoise, y, variance=(20 * wrong) ** 2, spread=0.02, rng=rng, data_range=255)
    sure = estimated_error(denoise, y, variance=(20 * wrong) ** 2, rng=np.random.default_rng(5), data_range=255)
    told = 10 * math.log10(255**2 / np.mean((denoise(y) - truth) ** 2))
    assert found.psnr_at_least < told
    assert found.by_variance == pytest.approx(0.04 * (20 * wrong) ** 2, rel=0.05), "a wide filter has no divergence"
    assert sure.psnr_at_least > found.psnr_at_least


def test_the_standard_error_is_what_chance_does():
    truth = scene((96, 96))
    errors = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        y = truth + rng.normal(0, 10, truth.shape)
        found = estimated_error(lambda image: gaussian_filter(image, 0.7), y, variance=100, rng=rng)
        left = found.mse - np.mean((gaussian_filter(y, 0.7) - truth) ** 2)
        errors.append((left, found.standard_error))
    left, said = np.array(errors).T
    assert abs(left.mean()) < 4 * left.std() / math.sqrt(40)
    assert 0.7 * left.std() < np.median(said) < 3 * left.std()


@settings(max_examples=25)
@given(
    shape=st.lists(st.integers(1, 23), min_size=1, max_size=4).map(tuple),
    dtype=st.sampled_from([np.uint8, np.uint16, np.float32]),
    seed=st.integers(0, 99),
)
def test_any_shape_has_an_error(shape, dtype, seed):
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 200, shape).astype(dtype)
    nothing = estimated_error(lambda image: image, y, variance=9.0, rng=rng)
    # The identity has the error of the noise, exactly: its residual is 0 and its divergence 1.
    assert nothing.mse == pytest.approx(9.0)
    constant = estimated_error(np.zeros_like, y, variance=9.0, rng=rng, data_range=1)
    assert constant.mse == pytest.approx(np.mean(np.square(y, dtype=float)) - 9)


def test_pixels_that_are_not_finite_do_not_count():
    truth, rng = scene(), np.random.default_rng(3)
    y = truth + rng.normal(0, 10, truth.shape)
    y[20:30, 10:50], y[3, 3] = np.nan, np.inf
    seen = []

    def denoise(image):
        seen.append(np.isfinite(image).all())
        return gaussian_filter(image, 1)

    found = estimated_error(denoise, y, variance=100, rng=rng, data_range=255)
    good = np.isfinite(y)
    filled = np.where(good, y, y[good].mean())
    assert all(seen)
    assert found.mse == pytest.approx(np.mean(((gaussian_filter(filled, 1) - truth) ** 2)[good]), rel=0.1)


def test_what_is_known_is_not_restored_again():
    y = scene() + np.random.default_rng(3).normal(0, 10, (160, 190))
    seen = []

    def denoise(image):
        seen.append(image)
        return gaussian_filter(image, 1)

    alone = estimated_error(denoise, y, variance=100, rng=np.random.default_rng(0))
    known = estimated_error(denoise, y, variance=100, rng=np.random.default_rng(0), restored=gaussian_filter(y, 1))
    assert known == alone
    assert len(seen) == 2 + 1
    assert (seen[1] == seen[2]).all()


positive = st.floats(1e-3, 1e3)


def known(mse, error, by_variance=0.0, peak=100.0):
    return EstimatedError(mse, error, 0.0, 0.0, 10.0, peak, by_variance)


@given(positive, positive, st.floats(0, 1e3), st.floats(-1.9, 1.9), st.floats(0.05, 0.9))
@example(644.0, 0.001953125, 0.0, 0.0, 0.875)
def test_two_estimates_that_agree_are_surer_than_either(other, error, by_variance, apart, spread):
    own, wide = math.hypot(error, by_variance), spread * other
    found = known(other + apart * math.hypot(own, wide), error, by_variance)
    both = found.weighed(other, spread=spread)
    low, high = sorted((found.mse, other))
    assert low - 1e-9 * high <= both.mse <= high * (1 + 1e-9)
    assert both.standard_error <= min(own, wide) * (1 + 1e-6)
    assert abs(both.mse - other) * own**2 == pytest.approx(abs(both.mse - found.mse) * wide**2, rel=1e-3, abs=1e-3)
    if both.mse > 0:
        assert both.psnr == pytest.approx(10 * math.log10(100**2 / both.mse))
        assert both.psnr_at_least < both.psnr


@pytest.mark.parametrize("mse", [500.0, -300.0])
def test_an_estimate_that_contradicts_the_other_stands_alone(mse):
    """A model of another image makes errors that its error bars know nothing of."""
    found = known(mse, 20.0, 30.0)
    assert found.weighed(10.0, spread=0.5) is found


def test_of_an_estimate_that_knows_nothing_the_other_is_left():
    assert known(3.0, math.inf).weighed(10.0, spread=0.5).mse == 10


def test_a_denoiser_that_works_in_place_spoils_nothing():
    y = scene() + np.random.default_rng(3).normal(0, 10, (160, 190))
    before = y.copy()

    def in_place(image):
        image *= 0.5
        return image

    one = estimated_error(in_place, y, variance=100, rng=np.random.default_rng(0))
    other = estimated_error(lambda image: image * 0.5, y, variance=100, rng=np.random.default_rng(0))
    assert (y == before).all()
    assert one == other


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"variance": np.ones(3)}, r"variance of shape \(3,\) for an image of shape \(9, 8\)"),
        ({"step": 0.0}, "step of 0 and 1 probes"),
        ({"probes": 0}, "0 probes"),
        ({"denoise": lambda y: y[1:]}, r"made shape \(8, 8\) of an image of shape \(9, 8\)"),
        ({"denoise": lambda y: y / 0.0 * 0}, "not finite"),
        ({"restored": np.ones((8, 8))}, r"made shape \(8, 8\) of an image of shape \(9, 8\)"),
        ({"image": np.full((9, 8), np.nan)}, "no pixel of 72 is finite"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_what_cannot_be_judged_is_refused(change, words):
    given_ = {"denoise": lambda y: y, "image": np.ones((9, 8)), "variance": 1.0, "rng": np.random.default_rng(0)}
    given_ |= change
    with pytest.raises(ImageError, match=words):
        estimated_error(given_.pop("denoise"), given_.pop("image"), **given_)


@pytest.mark.parametrize("width", [0.8, 1.5])
def test_noise_that_neighbours_share_is_judged_by_its_correlation(width):
    """Without it a filter that keeps half of such noise is praised for having taken nearly all of it."""
    rng, clean = np.random.default_rng(0), scene()
    noise = gaussian_filter(rng.normal(size=clean.shape), width, mode="wrap")
    y = clean + 12 * noise / noise.std()
    lag = np.arange(-8, 9)
    along = np.exp(-(lag**2) / (4 * width**2))
    matrix = np.outer(along, along)

    def denoise(pixels):
        return gaussian_filter(pixels, 1.0)

    given = {"variance": 144, "data_range": 255}
    told = estimated_error(
        denoise, y, correlated=lambda b: fftconvolve(b, matrix, "same"), rng=np.random.default_rng(1), probes=4, **given
    )
    true = 10 * np.log10(255**2 / np.square(denoise(y) - clean).mean())
    assert told.psnr == pytest.approx(true, abs=0.7)
    assert estimated_error(denoise, y, rng=np.random.default_rng(1), **given).psnr > true + 2

"""Losses against closed forms: the true risk of a linear filter, and plain NumPy with the same random numbers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_restore.core.errors import RestoreError
from napari_restore.losses.equivariance import equivariance
from napari_restore.losses.recorruption import r2r, recorrupted, split
from napari_restore.losses.supervised import measurement_as_clean, supervised
from napari_restore.losses.sure import pg_sure, sure
from napari_restore.operators import noise as noises
from napari_restore.operators import psf
from napari_restore.operators.blur import Blur
from napari_restore.operators.combine import Identity
from napari_restore.operators.downsample import Downsample

SIGMA = 0.3
DRAWS = 200


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def smooth(size, seed=0):
    x = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(size), 2)
    return torch.from_numpy(x / x.std()).float()[None, None]


def inner(x, margin):
    return x[(..., *(slice(m, n - m) for m, n in zip(margin, x.shape[2:], strict=True)))]


CASES = [
    (Identity(2), Blur(psf.gaussian(0.8)), (37, 29)),
    (Blur(psf.gaussian(1.0)), Blur(psf.gaussian(0.7)), (31, 43)),
    (Blur(psf.gaussian(0.6, ndim=3)), Blur(psf.gaussian(0.6, ndim=3)), (9, 17, 13)),
]


def gap(estimate, truth):
    """Mean difference of paired draws in units of its standard error, and that error."""
    difference = np.asarray(estimate) - np.asarray(truth)
    return abs(difference.mean()) / (difference.std() / np.sqrt(len(difference))), difference.std() / len(
        difference
    ) ** 0.5


@pytest.mark.parametrize(("operator", "restore", "size"), CASES, ids=["denoise", "deblur", "volume"])
def test_sure_is_the_true_risk_in_the_mean(operator, restore, size):
    rng, x = seeded(1), smooth(size)
    clean = operator(x)
    estimates, truths = [], []
    for _ in range(DRAWS):
        y = clean + SIGMA * torch.randn(clean.shape, generator=rng)
        estimates.append(float(sure(restore, operator, y, sigma=SIGMA, rng=rng, tau=0.01)[0]))
        truths.append(float(inner(operator(restore(y)) - clean, operator.margin).square().mean()))
    deviations, error = gap(estimates, truths)
    assert deviations < 4
    assert error < 0.1 * SIGMA**2  # the test can see a bias of a third of the noise's variance


def test_sures_divergence_is_the_middle_of_the_kernels_in_closed_form():
    first, second = psf.gaussian(1.0), psf.gaussian(0.7)
    operator, restore, size = Blur(first), Blur(second), (41, 37)
    y = torch.zeros(1, 1, *size)  # nothing but the divergence is left of SURE
    middle = ndimage.convolve(np.pad(first, 8), second, mode="constant")
    at_centre = middle[middle.shape[0] // 2, middle.shape[1] // 2]
    rng = seeded(2)
    found = [float(sure(restore, operator, y, sigma=1.0, rng=rng, tau=0.1)[0]) for _ in range(600)]
    expected = 2 * at_centre - 1
    assert np.mean(found) == pytest.approx(expected, abs=4 * np.std(found) / np.sqrt(len(found)))
    assert np.std(found) / np.sqrt(len(found)) < 0.01


def test_sure_and_equivariance_are_plain_numpy_with_the_same_random_numbers():
    kernel, filtered = psf.gaussian(1.0), psf.box(1)
    operator, tau = Blur(kernel), 0.05
    y = smooth((29, 23)) + 0.1
    loss, x1 = sure(Blur(filtered), operator, y, sigma=0.2, rng=seeded(3), tau=tau)
    probe = torch.randn(y.shape, generator=seeded(3))[0, 0].double().numpy()
    m = len(kernel) // 2
    inside = np.zeros(y.shape[2:], bool)
    inside[m:-m, m:-m] = True
    data, probe = y[0, 0].double().numpy(), np.where(inside, probe, 0)

    def through(z):
        return ndimage.convolve(ndimage.convolve(z, filtered, mode="mirror"), kernel, mode="mirror")

    divergence = probe * (through(data + tau * probe) - through(data)) / tau
    expected = ((through(data) - data) ** 2 - 0.2**2 + 2 * 0.2**2 * divergence)[inside].mean()
    assert float(loss) == pytest.approx(expected, abs=2e-6)
    flipped = equivariance(
        Blur(filtered), operator, x1, transform=lambda x, _: x.flip(-1), noise=lambda x, _: x + 0.25, rng=seeded(4)
    )
    x2 = x1[0, 0].double().numpy()[:, ::-1]
    x3 = ndimage.convolve(ndimage.convolve(x2, kernel, mode="mirror") + 0.25, filtered, mode="mirror")
    assert float(flipped) == pytest.approx(((x3 - x2) ** 2).mean(), rel=1e-5)


@pytest.mark.parametrize("restore", [Blur(psf.gaussian(0.8)), Blur(psf.box(1))], ids=["gaussian", "box"])
def test_pg_sure_is_the_true_risk_in_the_mean(restore):
    rng, operator = seeded(5), Identity(2)
    clean = 8 + 2 * smooth((37, 29))
    camera = noises.PoissonGaussian(gain=0.4, offset=1.0, read=0.5)
    estimates, truths = [], []
    for _ in range(DRAWS):
        y = camera.sample(clean, rng)
        found = pg_sure(restore, operator, y, camera=(0.4, 1.0, 0.5), rng=rng, tau=0.05)[0]
        estimates.append(float(found))
        truths.append(float((restore(y) - clean).square().mean()))
    deviations, error = gap(estimates, truths)
    assert deviations < 4
    assert error < 0.1 * float(camera.variance(clean).mean())


def test_sure_is_not_the_risk_where_neighbours_share_their_noise():
    rng, operator, restore = seeded(6), Identity(2), Blur(psf.gaussian(0.8))
    kernel = torch.from_numpy(psf.gaussian(0.7)).float()
    noise, clean = noises.CorrelatedGaussian(kernel), smooth((41, 33))
    deviation = float(kernel.square().sum()) ** 0.5
    estimates, truths = [], []
    for _ in range(DRAWS):
        y = noise.sample(clean, rng)
        estimates.append(float(sure(restore, operator, y, sigma=deviation, rng=rng, tau=0.01)[0]))
        truths.append(float((restore(y) - clean).square().mean()))
    assert gap(estimates, truths)[0] > 20


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_recorruption_is_the_risk_of_restoring_the_noisier_image(alpha):
    rng, operator, restore = seeded(7), Blur(psf.gaussian(1.0)), Blur(psf.gaussian(0.7))
    x = smooth((31, 43))
    clean = operator(x)
    estimates, truths = [], []
    for _ in range(DRAWS):
        y = clean + SIGMA * torch.randn(clean.shape, generator=rng)
        loss, x1 = r2r(restore, operator, y, sigma=SIGMA, rng=rng, alpha=alpha)
        estimates.append(float(loss))
        truths.append(float(inner(operator(x1) - clean, operator.margin).square().mean()))
    assert gap(estimates, truths)[0] < 4


def test_recorruption_with_correlated_noise_is_that_risk_too():
    rng, operator, restore = seeded(8), Identity(2), Blur(psf.box(1))
    kernel = torch.from_numpy(psf.gaussian(0.7)).float()
    noise, clean = noises.CorrelatedGaussian(kernel), smooth((41, 33))
    estimates, truths = [], []
    for _ in range(DRAWS):
        y = noise.sample(clean, rng)
        fresh = noise.sample(torch.zeros_like(y), rng)
        loss, x1 = recorrupted(restore, operator, y, fresh=fresh, variance=float(kernel.square().sum()))
        estimates.append(float(loss))
        truths.append(float((x1 - clean).square().mean()))
    assert gap(estimates, truths)[0] < 4


def test_a_second_measurement_gives_the_risk_plus_its_noise():
    rng, operator, restore = seeded(10), Downsample((2, 2)), torch.nn.Upsample(scale_factor=2)
    clean = operator(smooth((38, 46)))
    estimates, truths = [], []
    for _ in range(DRAWS):
        y, second = (clean + SIGMA * torch.randn(clean.shape, generator=rng) for _ in range(2))
        loss, x1 = split(restore, operator, y, second)
        estimates.append(float(loss))
        truths.append(float(inner(operator(x1) - clean, operator.margin).square().mean()) + SIGMA**2)
    assert gap(estimates, truths)[0] < 4


@pytest.mark.parametrize("name", ["sure", "pg", "r2r", "split"])
def test_masked_pixels_change_neither_the_loss_nor_a_gradient(name):
    y = smooth((19, 23)) + 5
    weight = torch.rand(1, 1, 19, 23, generator=seeded(16)) > 0.4
    other = torch.where(weight, y, y + 100)

    def loss_with(measured):
        scale = torch.tensor(0.9, requires_grad=True)
        own = {"rng": seeded(17), "weight": weight}
        pointwise = lambda z: scale * z  # noqa: E731
        loss, _ = {
            "sure": lambda: sure(pointwise, Identity(2), measured, sigma=0.1, tau=0.1, **own),
            "pg": lambda: pg_sure(pointwise, Identity(2), measured, camera=(0.1, 0.0, 0.1), tau=0.1, **own),
            "r2r": lambda: r2r(pointwise, Identity(2), measured, sigma=0.1, **own),
            "split": lambda: split(pointwise, Identity(2), measured, y, weight=weight),
        }[name]()
        loss.backward()
        return loss.item(), scale.grad.item()

    assert loss_with(y) == pytest.approx(loss_with(other), rel=1e-3)


def test_a_level_for_each_channel_counts_in_its_channel():
    y = torch.zeros(1, 2, 33, 31)
    level = torch.tensor([0.5, 2.0]).view(1, 2, 1, 1)
    found = [float(sure(lambda z: z, Identity(2), y, sigma=level, rng=seeded(k), tau=0.1)[0]) for k in range(50)]
    assert np.mean(found) == pytest.approx((0.25 + 4) / 2, rel=0.02)


def test_a_margin_that_leaves_nothing_says_what_to_do():
    y = torch.zeros(1, 1, 12, 40)
    with pytest.raises(RestoreError, match=r"12 px.*6.*more than 12 px"):
        sure(lambda z: z, Blur(psf.gaussian(2.0)), y, sigma=1.0, rng=seeded(), tau=0.1)


def test_the_gradient_stops_at_the_transformed_image_and_only_there():
    x = smooth((16, 16)).requires_grad_()
    scale = torch.tensor(0.5, requires_grad=True)
    same = lambda z, _: z  # noqa: E731
    kept = {"transform": same, "noise": same, "rng": seeded()}
    equivariance(lambda z: scale * z, Identity(2), x, **kept).backward()
    assert x.grad is None
    assert float(scale.grad) == pytest.approx(2 * (0.5 - 1) * float(x.detach().square().mean()), rel=1e-4)
    equivariance(lambda z: scale * z, Identity(2), x, stop_gradient=False, **kept).backward()
    assert x.grad is not None and x.grad.abs().sum() > 0


def test_an_equivariant_restoration_has_no_loss():
    loss = equivariance(
        lambda z: z,
        Identity(3),
        smooth((5, 7, 9)),
        transform=lambda z, _: z.flip(-1),
        noise=lambda z, _: z,
        rng=seeded(),
    )
    assert float(loss) == 0


def test_clean_targets():
    y, target = smooth((10, 12)), torch.ones(1, 1, 20, 24)
    restore = torch.nn.Upsample(scale_factor=2)
    loss, x1 = supervised(restore, y, target)
    assert torch.equal(x1, restore(y))
    assert float(loss) == pytest.approx(float((restore(y) - 1).square().mean()))
    weight = torch.zeros(1, 1, 10, 12)
    weight[..., 2, 3] = 1
    only = float((y[0, 0, 2, 3] - 1) ** 2)
    assert float(supervised(restore, y, target, weight=weight)[0]) == pytest.approx(only, rel=1e-5)


def test_the_measured_image_as_clean_is_cut_to_what_the_network_takes():
    y = smooth((17, 23))
    seen = []

    def restore(z):
        seen.append(z.shape[2:])
        return torch.nn.functional.interpolate(z, scale_factor=2)

    operator = Downsample((2, 2), sampling="point")
    loss = measurement_as_clean(restore, operator, y, noise=lambda z, _: z, rng=seeded(), multiple=(4, 4))
    assert seen == [(8, 8)]
    kept = y[..., :16, :16]
    assert float(loss) == pytest.approx(float((restore(kept[..., ::2, ::2]) - kept).square().mean()), rel=1e-6)

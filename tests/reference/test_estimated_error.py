"""The estimated error against closed forms, and against the losses of the same papers."""

import numpy as np
import pytest
import torch
from scipy.ndimage import convolve, uniform_filter

from napari_restore.losses.sure import pg_sure, sure
from napari_restore.metrics.estimated_error import estimated_error
from napari_restore.operators.operator import Operator


class Nothing(Operator):
    """The instrument that changes nothing."""

    rate, margin = (1, 1), (0, 0)

    def forward(self, x):
        return x


KERNELS = {
    "box": np.full((3, 3), 1 / 9),
    "sharpened": np.array([[0, -0.2, 0], [-0.2, 1.8, -0.2], [0, -0.2, 0]]),
    "shifted": np.array([[0, 0, 0], [0.5, 0.5, 0], [0, 0, 0.0]]),
}


def measured(shape=(400, 400), sigma=10.0):
    rng = np.random.default_rng(0)
    truth = 50 * np.sin(np.arange(shape[1]) / 11) + np.zeros(shape)
    return truth + rng.normal(0, sigma, shape), rng


@pytest.mark.parametrize("name", KERNELS)
def test_a_linear_filter_has_the_error_of_its_closed_form(name):
    """Mallows 1973 (doi:10.1080/00401706.1973.10489103): mean (Hy - y)^2 - s^2 + 2 s^2 tr(H) / n."""
    y, rng = measured()
    kernel = KERNELS[name]
    wanted = np.mean((convolve(y, kernel, mode="wrap") - y) ** 2) - 100 + 2 * 100 * kernel[1, 1]
    found = estimated_error(lambda image: convolve(image, kernel, mode="wrap"), y, variance=100, rng=rng, probes=4)
    assert found.mse == pytest.approx(wanted, rel=0.01)


def smooth(batch):
    return torch.from_numpy(uniform_filter(batch.numpy(), (1, 1, 3, 3), mode="wrap")) ** 3 / 1e3


def test_it_is_the_loss_that_methods_minimise():
    y, rng = measured((300, 300))
    tensor = torch.from_numpy(y)[None, None]
    torch_rng = torch.Generator().manual_seed(0)
    wanted = [float(sure(smooth, Nothing(), tensor, sigma=10.0, rng=torch_rng, tau=0.1)[0]) for _ in range(16)]
    found = estimated_error(
        lambda image: smooth(torch.from_numpy(image)[None, None])[0, 0].numpy(), y, variance=100, rng=rng, probes=16
    )
    chance = 4 * np.std(wanted) / np.sqrt(16) + 1e-3 * abs(found.mse)
    assert found.mse == pytest.approx(np.mean(wanted), abs=chance)


def test_noise_that_grows_with_the_signal_has_the_loss_of_le_montagner():
    rng = np.random.default_rng(1)
    y = 20 + 3.0 * rng.poisson(np.full((300, 300), 40.0)) + rng.normal(0, 5, (300, 300))
    tensor, torch_rng = torch.from_numpy(y)[None, None], torch.Generator().manual_seed(0)

    def restore(batch):
        return torch.from_numpy(uniform_filter(batch.numpy(), (1, 1, 3, 3), mode="wrap"))

    given = {"camera": (3.0, 20.0, 5.0), "rng": torch_rng, "tau": 0.1}
    wanted = [float(pg_sure(restore, Nothing(), tensor, **given)[0]) for _ in range(16)]
    found = estimated_error(
        lambda image: uniform_filter(image, 3, mode="wrap"), y, variance=3 * (y - 20) + 25, rng=rng, probes=16
    )
    assert found.mse == pytest.approx(np.mean(wanted), abs=4 * np.std(wanted) / 4 + 1e-3 * abs(found.mse))

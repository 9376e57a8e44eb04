"""Recorrupted-to-recorrupted takes away noise that neighbours share, by a covariance measured on the image itself."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_restore import denoise, methods
from napari_restore.core.errors import ImageError
from napari_restore.methods.method import Batch
from napari_restore.methods.recorrupted import Recorrupted
from napari_restore.sources import open_image
from napari_restore.store.model import build_method


def blurred(std, *, shape=(128, 128), seed=0):
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), std, mode="wrap")
    return noise / noise.std()


def scene(shape=(128, 128)):
    y, x = np.indices(shape)
    return 60 + 120.0 * (np.hypot(y - 60, x - 70) < 30) + 0.2 * x


def fitted(pixels, **settings):
    kind = methods.find("recorrupted")
    return kind.fit_to(methods.configure("recorrupted", settings), [open_image(np.asarray(pixels, np.float32))])


def test_two_recorruptions_have_independent_noise_and_the_loss_is_the_error():
    """Of a network that gives its input the error is known: the variance of the noise in that input."""
    fit = fitted(50 + 9 * blurred(1.0), width=4, blocks=1)
    method = build_method("recorrupted", fit.config, spatial="YX", channels=1)
    assert isinstance(method, Recorrupted)
    scale = fit.config.std[0]
    pixels = np.stack([9 / scale * blurred(1.0, seed=k) for k in range(8)]).astype(np.float32)[:, None]
    batch = Batch(torch.from_numpy(pixels), torch.ones(8, 1, 128, 128, dtype=torch.bool))
    with torch.no_grad():
        loss = float(method(batch, torch.Generator().manual_seed(0)))
    assert loss * scale**2 == pytest.approx(81 * (1 + 0.5**2), rel=0.15)


def test_noise_of_neighbours_is_taken_away_where_others_cannot():
    truth = scene()
    noisy = (truth + 20 * blurred(1.0)).astype(np.float32)
    result = denoise(noisy, method="auto", steps=60, batch=4, width=8, blocks=1, device="cpu")
    assert result.model.name == "recorrupted"
    left = np.asarray(result, np.float64) - truth
    assert np.square(left).mean() < 0.35 * 400
    assert np.asarray(result).mean() == pytest.approx(noisy.mean(), rel=0.002)


def test_noise_is_measured_told_and_scaled_by_the_signal():
    fit = fitted(scene() + 20 * blurred(1.0))
    assert fit.config.sigma[0] == pytest.approx(20, rel=0.1)
    assert "noise estimated at" in fit.notes[0].text
    assert "along X and 0.7" in fit.notes[0].text
    told = fitted(scene() + 20 * blurred(1.0), noise=7)
    assert told.config.sigma == (7,)
    assert told.config.gain == (0,)
    assert told.notes == ()
    y = np.indices((192, 192))[0] // 24 * 30.0 + 10
    grown = fitted(y + np.sqrt(2 * y) * blurred(1.0, shape=(192, 192)))
    method = build_method("recorrupted", grown.config, spatial="YX", channels=1)
    assert (fit.config.strength, grown.config.strength) == (0.5, 1.0)
    mean, std = grown.config.mean[0], grown.config.std[0]
    bright, dark = (method.variance(0, torch.full((1, 1, 16, 16), (v - mean) / std)).mean() for v in (200, 50))
    assert float(bright / dark) == pytest.approx(4, rel=0.4)


def test_a_texture_is_taken_for_noise_in_part_only_and_that_is_said():
    texture = 20 * sum(blurred(s, seed=k) for k, s in enumerate((0.7, 2, 4, 8)))
    fit = fitted(texture)
    assert [note.level for note in fit.notes] == ["warning"]
    assert "not sure" in fit.notes[0].text
    assert fit.config.sigma[0] < 0.6 * texture.std()


def test_patches_are_turned_only_where_noise_is_alike_from_all_sides():
    for std, turns in ((1.0, True), ((0.3, 1.2), False)):
        config = fitted(scene() + 20 * blurred(std)).config
        assert build_method("recorrupted", config, spatial="YX", channels=1).turns == turns


def test_stacks_and_channels_have_noise_of_their_own():
    stack = np.stack([[scene() + k * blurred(1.0, seed=s) for s in range(3)] for k in (5, 15)])
    image = open_image(stack.astype(np.float32), axes="CZYX")
    fit = Recorrupted.fit_to(methods.configure("recorrupted", {"dimensions": "3", "width": 4, "blocks": 1}), [image])
    assert fit.spatial == "ZYX"
    assert fit.config.sigma == pytest.approx((5, 15), rel=0.12)
    method = build_method("recorrupted", fit.config, spatial="ZYX", channels=2)
    batch = Batch(torch.randn(2, 2, 3, 24, 24), torch.ones(2, 1, 3, 24, 24, dtype=torch.bool))
    assert torch.isfinite(method(batch, torch.Generator().manual_seed(0)))


def test_an_image_without_blocks_to_measure_in_is_refused_before_training():
    with pytest.raises(ImageError, match=r"axis Y has 12 pixels.*at least 16"):
        fitted(np.zeros((12, 64)))
    with pytest.raises(ImageError, match="blocks of 16 x 16 px can be used"):
        fitted(np.where(np.indices((40, 40))[0] % 9, blurred(1.0, shape=(40, 40)), np.nan))

"""Pixels stay as they were measured where a prediction errs by more than their noise, and nowhere else."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from napari_restore import restore, train
from napari_restore.methods.kept import REACH, floor_of, kept, noise_by, share_kept
from napari_restore.methods.noise2void import Noise2Void, Noise2VoidConfig


def squares(seed, *, noise, side=192):
    """Sharp squares, a prediction that blurs them, and the same with white noise."""
    rng = np.random.default_rng(seed)
    clean = np.zeros((side, side))
    for y, x in rng.integers(0, side - 20, (12, 2)):
        clean[y : y + 20, x : x + 20] = rng.uniform(2, 6)
    measured = clean + noise * rng.normal(size=clean.shape)
    return (torch.from_numpy(each).float() for each in (clean, gaussian_filter(clean, 2), measured))


def off(result, clean):
    return float((result - clean).square().mean())


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("noise", [0.02, 0.1, 0.5])
def test_it_is_better_than_the_prediction_and_than_the_pixels(seed, noise):
    clean, blurred, measured = squares(seed, noise=noise)
    result = kept(measured, blurred, noise_by(floor_of(measured, blurred), blurred))
    assert off(result, clean) < min(off(blurred, clean), off(measured, clean))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_prediction_that_leaves_only_noise_stays(seed):
    rng = np.random.default_rng(seed)
    clean = torch.from_numpy(gaussian_filter(rng.normal(size=(3, 96, 96)), (0, 3, 3))).float()
    clean = 20 + 80 * clean / clean.std() * 0.1
    measured = torch.from_numpy(rng.poisson(clean.numpy().clip(0))).float()
    result = kept(measured, clean, noise_by(floor_of(measured, clean), clean))
    assert off(result, clean) < 1e-3 * off(measured, clean)


def test_noise_is_told_by_the_signal():
    rng = np.random.default_rng(3)
    clean = torch.linspace(1, 100, 300).repeat(300, 1)
    measured = clean + clean.sqrt() * torch.from_numpy(rng.normal(size=clean.shape)).float()
    signals, variances = np.array(floor_of(measured, clean)).T
    assert (np.diff(signals) > 0).all()
    there = np.array([20.0, 50, 80])
    np.testing.assert_allclose(np.interp(there, signals, variances) / there, 0.8, atol=0.1)  # of the flattest places


def test_a_hot_pixel_does_not_bring_the_noise_about_it_back():
    clean, _, measured = squares(4, noise=0.5)
    floor = floor_of(measured, clean)
    hot = measured.clone()
    hot[8::16, 8::16] += 50
    assert off(kept(hot, clean, noise_by(floor, clean)), clean) < 0.02 * 0.5**2


def test_what_was_not_measured_is_predicted():
    _, blurred, measured = squares(5, noise=0.02)
    measured[40:60] = 0
    result = kept(measured, blurred, noise_by(floor_of(measured, blurred), blurred))
    torch.testing.assert_close(result[40:60], blurred[40:60])
    assert floor_of(torch.zeros(2, 1, 9, 11), torch.ones(2, 1, 9, 11)) == ()


@given(st.data())
@settings(max_examples=30, deadline=None)
def test_a_part_is_the_part_of_the_whole(data):
    y, x = (data.draw(st.integers(1, 60)) for _ in range(2))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    measured = torch.from_numpy(rng.normal(size=(2, 1, y, x))).float()
    predicted = torch.from_numpy(rng.normal(size=(2, 1, y, x))).float() * 0.5
    noise = noise_by(((-0.5, 0.3), (0.4, 0.6)), predicted)
    whole = kept(measured, predicted, noise)
    top, left = data.draw(st.integers(0, y - 1)), data.draw(st.integers(0, x - 1))
    above, before = max(0, top - REACH), max(0, left - REACH)
    part = kept(*(each[..., above:, before:] for each in (measured, predicted, noise)))
    torch.testing.assert_close(part[..., top - above :, left - before :], whole[..., top:, left:], rtol=0, atol=0)
    share = share_kept(measured, predicted, noise)
    assert ((share >= 0) & (share <= 1)).all()


@pytest.mark.parametrize("name", ["noise2void", "noise2void2", "struct_noise2void"])
def test_hardly_trained_it_spoils_little_of_what_has_hardly_any_noise(name):
    clean, _, measured = (each.numpy() for each in squares(6, noise=0.05))
    small = {"axes": "YX", "steps": 60, "seed": 0, "device": "cpu", "patch": (32, 32), "batch": 8}
    model, bare = train(measured, name, **small), train(measured, name, keep="no", **small)
    errors = [np.mean((np.asarray(restore(measured, each, axes="YX")) - clean) ** 2) for each in (model, bare)]
    assert errors[0] < min(0.1 * errors[1], 4 * 0.05**2)
    said = [any("is kept as it was measured" in note.text for note in each.method.remarks()) for each in (model, bare)]
    assert said == [True, False]


def test_as_published_it_sees_no_further():
    radii = [Noise2Void(Noise2VoidConfig(keep=k, similar="no"), spatial="YX", channels=1).radius for k in ("yes", "no")]
    assert [a - b for a, b in zip(*radii, strict=True)] == [REACH, REACH]

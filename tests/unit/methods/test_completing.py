"""Missing pixels by patches that look alike: as the formula says it, alike from tile to tile, nothing else touched."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_restore.methods import completing
from napari_restore.methods.completing import REACH, believed, completed, correlations, covariances
from napari_restore.methods.similar_patches import SIDE, THOROUGH
from napari_restore.operators import gaps

SMOOTH = believed(np.exp(-np.hypot(*np.indices((SIDE, SIDE))) / 4))


def drawn(seed, *shape, share=0.3):
    rng = np.random.default_rng(seed)
    clean = torch.from_numpy(np.cumsum(rng.normal(size=shape), -1).astype(np.float32) / 4)
    known = torch.from_numpy(rng.random(shape) > share)
    return clean, known, gaps.fill(clean[None, None], known[None, None], "harmonic")[0, 0]


def plainly(measured, known, filled, noise, left):
    """The mean of each patch of one group, given its known pixels, in numpy and double precision."""
    mean, left = filled.mean(0), left * noise.mean()
    covariance = np.cov(filled.T, bias=True)
    power = np.trace(covariance) / len(mean) + completing._LEAST
    signal = max(power - left, completing._FAINT * left)
    share = min(signal / power, 1)
    prior = (1 - share + completing._PRIOR) * signal * SMOOTH.double().numpy()
    covariance = (share * covariance + prior) / (1 + completing._PRIOR)
    covariance += completing._EXACT * power * np.eye(len(mean))
    found = []
    for y, k, n in zip(measured, known, noise, strict=True):
        inverse = np.linalg.inv(covariance[np.ix_(k, k)] + np.diag(n[k] + completing._EXACT * power))
        found.append(mean + covariance[:, k] @ inverse @ (y - mean)[k])
    return np.array(found)


@pytest.mark.parametrize(
    ("level", "growth", "left"), [(0.0, 0.0, 0.0), (0.3, 0.0, 0.0), (0.3, 0.0, 1.0), (0.2, 0.3, 0.2)]
)
def test_as_the_formula_says_it(level, growth, left, monkeypatch):
    """Also where the noise is another in each pixel."""
    monkeypatch.setattr(completing, "_STEPS", 60)
    rng = np.random.default_rng(3)
    filled, measured = rng.normal(size=(24, SIDE**2)), rng.normal(size=(24, SIDE**2))
    known, noise = rng.random(filled.shape) > 0.3, level + growth * rng.random(filled.shape)
    shown = (np.where(known, measured, 0), known, filled, noise)
    y, k, x, n = (torch.from_numpy(each[None].astype(np.float32)) for each in shown)
    found = completing._expected(y, k, x, noise=n, left=left, correlation=SMOOTH)[0]
    assert np.allclose(found, plainly(measured, known, filled, noise, left), atol=5e-3)


def test_few_steps_of_conjugate_gradients_come_near():
    clean, known, filled = drawn(1, 40, 44)
    few = completed(clean, known, filled, noise=0.05, correlation=SMOOTH)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(completing, "_STEPS", 40)
        many = completed(clean, known, filled, noise=0.05, correlation=SMOOTH)
    apart, gained = ((few - many).square().mean(), (filled - many).square().mean())
    assert float(apart) < 0.05 * float(gained)


@given(st.integers(0, 3), st.integers(0, 3), st.integers(0, 99), st.sampled_from([0.0, 0.1]))
@settings(max_examples=5, deadline=None)
def test_a_part_is_found_as_in_the_whole(down, right, seed, noise):
    clean, known, filled = drawn(seed, 107, 99)
    whole = completed(clean, known, filled, noise=noise, correlation=SMOOTH)
    part = (slice(THOROUGH.step * down, 107), slice(THOROUGH.step * right, 98))
    alone = completed(clean[part], known[part], filled[part], noise=noise, correlation=SMOOTH)
    inner = (slice(REACH, -REACH), slice(REACH, -REACH))
    assert torch.allclose(alone[inner], whole[part][inner], atol=2e-4)


def test_what_comes_again_is_found_by_what_it_resembles():
    rng = np.random.default_rng(11)
    clean = torch.from_numpy(np.tile(rng.normal(size=(6, 6)), (10, 10)).astype(np.float32))
    known = torch.from_numpy(rng.random(clean.shape) > 0.25)
    filled = gaps.fill(clean[None, None], known[None, None], "biharmonic")[0, 0]
    found = completed(clean, known, filled, noise=0.0, correlation=SMOOTH)
    before, after = ((each - clean)[~known].square().mean() for each in (filled, found))
    assert float(after) < 0.5 * float(before)


def test_what_is_there_stays_and_so_does_what_nothing_tells_of():
    clean, known, filled = drawn(5, 50, 60)
    known[20:40, 20:45] = False  # wider than patches that see its rim
    for noise in (0.0, 0.2):
        found = completed(clean, known, filled, noise=noise, correlation=SMOOTH)
        assert torch.equal(found[known], clean[known]) and torch.isfinite(found).all()
    nothing = torch.zeros_like(known)
    assert torch.equal(completed(clean, nothing, filled, noise=0.0, correlation=SMOOTH), filled)


def test_known_pixels_are_denoised_where_that_is_asked_for():
    rng = np.random.default_rng(4)
    clean, known, _ = drawn(4, 60, 64)
    noisy = clean + torch.from_numpy(rng.normal(0, 0.3, clean.shape).astype(np.float32))
    filled = gaps.fill(noisy[None, None], known[None, None], "harmonic")[0, 0]
    kept, found = (completed(noisy, known, filled, noise=0.09, correlation=SMOOTH, denoise=d) for d in (False, True))
    assert torch.equal(kept[known], noisy[known]) and torch.equal(kept[~known], found[~known])
    before, after = ((each - clean)[known].square().mean() for each in (noisy, found))
    assert float(after) < 0.5 * float(before)


@pytest.mark.parametrize("level", [0.0, 1e3])
def test_an_even_image_is_filled_evenly(level):
    even, known = torch.full((20, 24), level), drawn(2, 20, 24)[1]
    assert torch.allclose(completed(even, known, even, noise=0.0, correlation=SMOOTH), even)


def test_planes_are_found_each_by_itself():
    clean, known, _ = drawn(5, 2, 3, 17, 20)
    filled = gaps.fill(clean, known, "harmonic")
    found = completed(clean, known, filled, noise=0.0, correlation=SMOOTH)
    alone = completed(clean[1, 2], known[1, 2], filled[1, 2], noise=0.0, correlation=SMOOTH)
    assert found.shape == filled.shape and torch.allclose(found[1, 2], alone, atol=1e-6)


def test_pixels_are_as_alike_as_they_were_made_whatever_is_missing():
    rng = np.random.default_rng(2)
    white = rng.normal(size=(2, 120, 131))
    image = torch.from_numpy((white[:, 1:, 1:] + white[:, :-1, 1:]).astype(np.float32))  # alike along Y by a half
    noisy = image + torch.from_numpy(rng.normal(0, 0.7, image.shape).astype(np.float32))
    known = torch.from_numpy(rng.random(image.shape) > 0.3)
    filled = torch.where(known, noisy, 0)
    found = correlations(covariances([(noisy, known, filled)]), 0.49)
    assert found[0, 0] == 1 and found[1, 0] == pytest.approx(0.5, abs=0.03)
    assert np.abs(found[:, 1:]).max() < 0.05 and np.abs(found[2:]).max() < 0.05

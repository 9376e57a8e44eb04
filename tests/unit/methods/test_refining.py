"""What similar patches say is trusted by a share that is found without the truth; where it is not, nothing is done."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from napari_restore.methods.posterior import Posterior, PosteriorConfig
from napari_restore.methods.recorrupted import Recorrupted, RecorruptedConfig
from napari_restore.methods.refining import similar_if
from napari_restore.methods.similar_patches import RADIUS, STEP

WHITE = {"sigma": (0.5,), "gain": (0.0,), "offset": (0.0,), "mean": (0.0,), "std": (1.0,)}
SHARED = np.outer(kernel := np.array([0.2, 0.7, 1.0, 0.7, 0.2]), kernel)


def posterior(seed=0, **config):
    torch.manual_seed(seed)
    return Posterior(PosteriorConfig(**{"width": 4, "combine": "yes", **WHITE, **config}), spatial="YX", channels=1)


def recorrupted(**config):
    torch.manual_seed(0)
    settled = {"width": 4, "correlation": (tuple(map(tuple, SHARED.tolist())),), **WHITE, **config}
    return Recorrupted(RecorruptedConfig(**settled), spatial="YX", channels=1)


def tiled(seed):
    """A pattern that comes again and again, and the same with white noise."""
    rng = np.random.default_rng(seed)
    clean = np.tile(rng.normal(size=(2, 1, 6, 6)), (1, 1, 14, 14))
    return (torch.from_numpy(each).float() for each in (clean, clean + 0.5 * rng.normal(size=clean.shape)))


def best_by_truth(method, clean, noisy, spread):
    with torch.inference_mode():
        once = method.once(0, noisy)
        more = method._again(0, noisy, once, spread) - once
    return float(((clean - once) * more).sum() / more.square().sum())


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_share_is_near_that_by_the_truth(seed):
    clean, noisy = tiled(seed)
    method = posterior(similar="yes").eval()
    with torch.inference_mode():
        method.finish(SimpleNamespace(pixels=noisy, target=torch.ones_like(noisy, dtype=torch.bool)))
    ((spread, share),) = method.config.alike
    assert share == pytest.approx(min(1.0, best_by_truth(method, clean, noisy, spread)), abs=0.15)
    with torch.inference_mode():
        errors = [float((each.restore(noisy) - clean).square().mean()) for each in (method, method.as_graph())]
    assert errors[0] < 0.7 * errors[1]


def test_noise_that_neighbours_share_is_told_as_it_is():
    rng = np.random.default_rng(4)
    clean = torch.from_numpy(np.tile(3 * rng.normal(size=(1, 1, 6, 6)), (1, 1, 14, 14))).float()
    method = recorrupted(similar="yes").eval()
    noisy = clean + method.fresh_noise(0, torch.full_like(clean, 0.25), torch.Generator().manual_seed(5))
    with torch.inference_mode():
        method.finish(SimpleNamespace(pixels=noisy))
        (_, share), restored = method.config.alike[0], method.restore(noisy)
    assert share > 0.5
    assert float((restored - clean).square().mean()) < 0.95 * float((noisy - clean).square().mean())


def test_where_they_say_nothing_they_cost_nothing():
    plain, unused, used = (
        posterior(**each)
        for each in ({"similar": "no"}, {"similar": "yes", "alike": ((0.1, 0.0),)}, {"similar": "yes"})
    )
    assert plain.radius == unused.radius and plain.grid == unused.grid
    assert [u - p for u, p in zip(used.radius, plain.radius, strict=True)] == [RADIUS, RADIUS]
    assert all(g % STEP == 0 for g in used.grid)
    assert used.as_graph().radius == plain.radius


@pytest.mark.parametrize(
    ("asked", "known", "side", "wanted"),
    [
        ("auto", True, 512, "yes"),
        ("auto", True, 16384, "no"),
        ("yes", True, 16384, "yes"),
        ("yes", False, 512, "no"),
        ("auto", False, 512, "no"),
        ("no", True, 512, "no"),
    ],
)
def test_they_are_looked_for_where_noise_is_known_and_the_image_is_not_large(asked, known, side, wanted):
    image = SimpleNamespace(shape=(1, side, side))
    found, said = similar_if(asked, noise_is_known=known, images=[image])
    assert found == wanted
    unasked = (asked, side, known) == ("auto", 16384, True)
    assert ["268 million pixels" in note.text for note in said] == [True] * unasked


@pytest.mark.parametrize("neighbours", [0, 1])
def test_what_a_tile_owns_is_the_same_where_its_halo_is_not_asked_for(neighbours):
    spatial = "ZYX" if neighbours else "YX"
    torch.manual_seed(0)
    config = PosteriorConfig(width=4, combine="yes", similar="yes", neighbours=str(neighbours), **WHITE)
    method = Posterior(config, spatial=spatial, channels=1).eval()
    pixels = torch.randn(1, 1, *((3,) if neighbours else ()), 128, 132)
    halo = method.radius
    owned = (..., *(slice(h, -h) for h in halo))
    with torch.inference_mode():
        whole = method.restore(pixels)
        method.unread = halo
        assert torch.allclose(method.restore(pixels)[owned], whole[owned], atol=1e-5)

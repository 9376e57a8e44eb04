"""What similar patches say is trusted by a share that is found without the truth; where it is not, nothing is done."""

import copy
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_restore import restore, train
from napari_restore.methods.noise2void2 import Noise2Void2
from napari_restore.methods.posterior import Posterior, PosteriorConfig
from napari_restore.methods.recorrupted import Recorrupted, RecorruptedConfig
from napari_restore.methods.refining import Refining, similar_if
from napari_restore.methods.similar_patches import RADIUS, THOROUGH
from napari_restore.methods.struct_noise2void import StructNoise2Void, StructNoise2VoidConfig
from napari_restore.sources import open_image

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
    """A pattern that comes again and again, in which pixels resemble those around, and the same with white noise."""
    rng = np.random.default_rng(seed)
    smooth = gaussian_filter(rng.normal(size=(2, 1, 6, 6)), (0, 0, 0.8, 0.8), mode="wrap")
    clean = np.tile(smooth / smooth.std(), (1, 1, 14, 14))
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
        method.finish(batch := SimpleNamespace(pixels=noisy, target=torch.ones_like(noisy, dtype=torch.bool)))
        method.config = replace(method.config, unexplained=())  # of an untrained network, which knows nothing of noise
        Refining.finish(method, batch)
    (((spread, share),),) = method.config.alike
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
        ((_, share), *more), restored = method.config.alike[0], method.restore(noisy)
    assert share > 0.5 and len(more) < method.passes
    assert float((restored - clean).square().mean()) < 0.95 * float((noisy - clean).square().mean())


def test_where_they_say_nothing_they_cost_nothing():
    plain, unused, used = (
        posterior(**each) for each in ({"similar": "no"}, {"similar": "yes", "alike": ((),)}, {"similar": "yes"})
    )
    assert plain.radius == unused.radius and plain.grid == unused.grid
    assert [u - p for u, p in zip(used.radius, plain.radius, strict=True)] == [RADIUS, RADIUS]
    assert all(g % THOROUGH.step == 0 for g in used.grid)
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
    found, said = similar_if(asked, noise_is_known=known, images=[image], passes=1)
    assert found == wanted
    reason = {("auto", True, 16384): "268 million pixels", ("yes", False, 512): "could not be measured"}
    assert [note.text for note in said if reason.get((asked, known, side), "?") not in note.text] == []
    assert len(said) == ((asked, known, side) in reason)


@pytest.mark.parametrize(("kind", "neighbours"), [(Posterior, 0), (Posterior, 1), (Noise2Void2, 1)])
def test_what_a_tile_owns_is_the_same_where_its_halo_is_not_asked_for(kind, neighbours):
    spatial = "ZYX" if neighbours else "YX"
    torch.manual_seed(0)
    method = kind(kind.Config(width=4, similar="yes", neighbours=str(neighbours), **WHITE), spatial=spatial, channels=1)
    method.eval()
    pixels = torch.randn(1, 1, *((3,) if neighbours else ()), 160, 164)
    halo = method.radius
    owned = (..., *(slice(h, -h) for h in halo))
    with torch.inference_mode():
        whole = method.restore(pixels)
        method.unread = halo
        assert torch.allclose(method.restore(pixels)[owned], whole[owned], atol=1e-5)


@pytest.mark.parametrize("method", ["noise2void", "noise2void2"])
def test_what_is_predicted_without_the_pixel_itself_gains_most(method):
    rng = np.random.default_rng(6)
    clean = np.zeros((128, 128))  # half of it flat, where noise is measured
    clean[:, :64] = np.tile(200 * gaussian_filter(rng.normal(size=(32, 32)), 1.5, mode="wrap"), (4, 2))
    noisy = (clean + 5 * rng.normal(size=clean.shape)).astype(np.float32)
    model = train(noisy, method, steps=40, seed=0, device="cpu", keep="no")
    without = replace(model, method=copy.deepcopy(model.method))
    without.method.config = replace(model.method.config, similar="no")
    assert model.method.config.similar == "yes" and not without.method.refines
    errors = [np.square(np.asarray(restore(noisy, each, device="cpu")) - clean).mean() for each in (model, without)]
    assert errors[0] < 0.7 * errors[1]


def test_lines_of_noise_are_left_to_the_mask():
    noisy = 100 + np.random.default_rng(8).normal(size=(64, 64)).astype(np.float32)
    image = open_image(np.repeat(noisy, 2, 1))
    fit = StructNoise2Void.fit_to(StructNoise2VoidConfig(), [image])
    assert fit.config.similar == "no" and not fit.config.sigma

"""A model goes on to other images: trained further on them, or with their intensities matched to what it knows."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_restore import load_model, restore, train
from napari_restore.core.errors import RestoreError

EXACT = {"precision": "float32"}


def noisy(seed, *, gain=1.0, offset=0.0, shape=(96, 104)):
    rng = np.random.default_rng(seed)
    clean = 100 + 60 * (gaussian_filter(rng.normal(size=shape), 4) > 0)
    return (gain * (clean + 15 * rng.normal(size=shape)) + offset).astype(np.float32)


@pytest.fixture(scope="module")
def model():
    return train(noisy(0), "posterior", steps=250, start="none", **EXACT)


def test_training_goes_on_from_the_weights_of_a_model(model, tmp_path):
    kept = model.save(tmp_path / "m.safetensors")
    more = train(noisy(1, gain=3, offset=50), start=kept, steps=1, learning_rate=1e-12, **EXACT)
    assert more.name == "posterior"
    for (name, mine), theirs in zip(more.method.state_dict().items(), model.method.state_dict().values(), strict=True):
        # The line that keeps the mean of an image is measured anew, on the new one.
        assert name == "line" or np.allclose(mine, theirs, atol=1e-6), name
    assert more.method.config.sigma[0] == pytest.approx(45, rel=0.2), "of the new images"
    assert more.normalisation.mean[0] > 2 * model.normalisation.mean[0]
    assert more.provenance["start"]["steps"] == 250
    again = load_model(more.save(tmp_path / "n.safetensors"))
    assert again.provenance["start"]["steps"] == 250


def test_a_start_makes_a_short_training_better(model):
    image = noisy(2)
    short = {"steps": 5, "seed": 3, **EXACT}
    fresh, begun = train(image, "posterior", start="none", **short), train(image, start=model, **short)
    assert begun.provenance["held_out_loss"] < fresh.provenance["held_out_loss"]


def test_a_start_of_another_kind_is_refused(model):
    with pytest.raises(RestoreError, match="leave the method out"):
        train(noisy(0), "noise2void", start=model, steps=1)
    with pytest.raises(RestoreError, match="same kind"):
        train(np.stack([noisy(0), noisy(1)]), axes="CYX", start=model, steps=1)
    with pytest.raises(RestoreError, match="same kind"):
        train(noisy(0), start=model, steps=1, width=8)


def test_matched_intensities_undo_another_gain_and_offset(model):
    image, other = noisy(4), noisy(4, gain=7, offset=-300)
    wanted = np.asarray(restore(image, model, match_intensity=True, **EXACT), np.float64)
    matched = np.asarray(restore(other, model, match_intensity=True, **EXACT), np.float64)
    assert np.allclose((matched + 300) / 7, wanted, atol=0.01)
    as_it_is = np.asarray(restore(other, model, **EXACT), np.float64)
    assert np.abs((as_it_is + 300) / 7 - wanted).max() > 1, "values mean what they meant in training, unless asked"

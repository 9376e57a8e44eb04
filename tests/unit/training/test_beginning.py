"""What a network begins with: weights made before where they tell the image, fresh ones where they do not."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from napari_restore import denoise, load_model, methods, restore, train, train_events
from napari_restore.core.errors import RestoreError
from napari_restore.core.events import Note
from napari_restore.methods.posterior import stabilised
from napari_restore.metrics.pixel_noise import PixelNoise

SHIPPED = Path(methods.__file__).parent / methods.find("posterior").begins_with
SHORT = {"method": "posterior", "steps": 3, "device": "cpu", "precision": "float32", "patch": (64, 64)}


def clean(shape=(70, 93)):
    rng = np.random.default_rng(0)
    return 100 + 60.0 * (gaussian_filter(rng.normal(size=shape), [0] * (len(shape) - 2) + [4, 4]) > 0)


def image(shape=(70, 93)):
    return (clean(shape) + np.random.default_rng(1).normal(0, 15, shape)).astype(np.float32)


class StopAfter:
    """Asks to stop when it was looked at so often."""

    def __init__(self, looks):
        self.looks = looks

    def is_set(self):
        self.looks -= 1
        return self.looks < 0


def of(pixels, **options):
    """The model, and what was said."""
    events, said = train_events(pixels, **SHORT | options), []
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            return end.value, said
        if isinstance(event, Note):
            said.append(event.text)


def test_weights_made_before_are_used_said_and_kept(tmp_path):
    model, said = of(image(), axes="YX")
    assert any("pictures made by formulas" in text for text in said)
    assert model.method.config.units == ("noise",)
    again = load_model(model.save(tmp_path / "m.safetensors"))
    assert again.provenance["start"]["pictures"] == "made by formulas"
    fresh, said = of(image(), axes="YX", start="none")
    assert not any("begin" in text for text in said)
    assert fresh.method.config.units == () and "start" not in fresh.provenance
    errors = [np.square(np.asarray(restore(image(), each, axes="YX")) - clean()).mean() for each in (model, fresh)]
    assert errors[0] < 0.8 * errors[1]


def test_an_image_that_they_do_not_tell_is_learned_from_alone():
    wrong = {"axes": "YX", "noise": 0.5}  # thirty times too little: nothing of what they know holds
    model, said = of(image(), **wrong)
    assert any("begins anew" in text for text in said)
    fresh, _ = of(image(), **wrong, start="none")
    assert all(torch.equal(a, b) for a, b in zip(model.method.parameters(), fresh.method.parameters(), strict=True))


@pytest.mark.parametrize(
    ("axes", "shape", "options"),
    [("CYX", (2, 66, 77), {}), ("ZYX", (4, 66, 65), {"neighbours": 1}), ("TYX", (3, 64, 71), {"neighbours": 2})],
)
def test_channels_and_stacks_begin_with_them_too(axes, shape, options):
    model, _ = of(image(shape), axes=axes, **options)
    assert model.provenance["start"] and set(model.method.config.units) == {"noise"}


@pytest.mark.parametrize("options", [{"width": 8}, {"dimensions": 3}, {"noise": 0.0}])
def test_a_network_of_another_kind_begins_anew(options):
    pixels = image((4, 40, 48))
    model, _ = of(pixels, axes="ZYX", patch=None, batch=1, **options)
    assert "start" not in model.provenance and model.method.config.units == ()


def test_training_goes_on_with_what_it_began_with(tmp_path):
    whole, _ = of(image(), axes="YX", steps=6)
    common = {**SHORT, "axes": "YX", "steps": 6, "run": tmp_path / "run"}
    events = train_events(image(), stop=StopAfter(4), **common)
    assert sum(1 for _ in events) > 3
    resumed = train(image(), resume=True, **common)
    assert all(torch.equal(a, b) for a, b in zip(resumed.method.parameters(), whole.method.parameters(), strict=True))


def test_an_output_is_not_gone_on_with_by_another_start(tmp_path):
    options = {**SHORT, "axes": "YX", "output": tmp_path / "out.ome.zarr"}
    denoise(image(), **options)
    assert denoise(image(), **options).complete, "the same again is done"
    with pytest.raises(RestoreError, match="start"):
        denoise(image(), start="none", **options)


def test_weights_stay_near_those_they_began_with():
    def far(rate):
        model, _ = of(image(), axes="YX", learning_rate=rate)
        weights = zip(model.method.parameters(), load_model(SHIPPED).method.parameters(), strict=True)
        return max(float((a - b).detach().abs().max()) for a, b in weights)

    assert far(1e-12) < 1e-6 < far(1e-3) < 0.01


def test_what_is_shipped_is_small_and_says_where_it_comes_from():
    assert SHIPPED.stat().st_size < 2_000_000
    told = load_model(SHIPPED).provenance
    assert told["made_by"].startswith("benchmarks/start/") and not told.get("images")
    json.dumps(told)


@pytest.mark.parametrize("start", [3, "nowhere.safetensors", "warm"])
def test_a_start_that_is_none_is_refused(start):
    with pytest.raises(RestoreError):
        of(image(), axes="YX", start=start)


@pytest.mark.parametrize("noise", [PixelNoise(4.0, 0.5, -20.0), PixelNoise(0.3, 2.0, -50.0)])
def test_stabilised_noise_is_one_at_every_signal(noise):
    rng = np.random.default_rng(0)
    for signal in (0.0, 30.0, 300.0):
        y = torch.from_numpy(signal + rng.normal(0, float(noise.at(np.array(signal))) ** 0.5, 20_000))
        assert float(stabilised(y, noise.smooth_at).std()) == pytest.approx(1, rel=0.05)

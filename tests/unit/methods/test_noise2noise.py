import numpy as np
import pytest
import torch

from napari_restore import train
from napari_restore.core.errors import ImageError
from napari_restore.methods.method import Batch
from napari_restore.methods.noise2noise import Noise2Noise, Noise2NoiseConfig
from napari_restore.sources import open_image
from napari_restore.sources.shifted import neighbouring_frames


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def method(**config):
    torch.manual_seed(0)
    made = Noise2Noise(Noise2NoiseConfig(width=4, blocks=1, **config), spatial="YX", channels=1)
    with torch.no_grad():
        for weight in made.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return made


def pair(count=1):
    first, second = torch.randn(2, count, 1, 8, 12, generator=generator())
    return Batch(first, torch.ones(count, 1, 8, 12, dtype=torch.bool), None, second)


def error(made, one, other):
    return float((made.restore(one) - other).square().mean())


def test_the_loss_is_the_squared_error_towards_the_other_acquisition_from_either():
    made, given = method(), pair()
    with torch.no_grad():
        wanted = [error(made, given.pixels, given.partner), error(made, given.partner, given.pixels)]
        losses = [float(made(given, generator(seed))) for seed in range(60)]
    assert min(wanted) < 0.99 * max(wanted)
    nearest = [min((abs(loss - each), k) for k, each in enumerate(wanted)) for loss in losses]
    assert max(apart for apart, _ in nearest) < 1e-5
    assert 15 < sum(k for _, k in nearest) < 45, "either direction, with equal chance"


def test_forward_learns_towards_the_second_alone():
    made, given = method(directions="forward"), pair(count=5)
    with torch.no_grad():
        losses = {round(float(made(given, generator(seed))), 5) for seed in range(5)}
        assert losses == {round(error(made, given.pixels, given.partner), 5)}


def test_every_patch_has_a_direction_of_its_own():
    made, given = method(), pair(count=32)
    seen = []
    made.networks[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    made(given, generator())
    from_first = (seen[0] == given.pixels).flatten(1).all(1)
    from_second = (seen[0] == given.partner).flatten(1).all(1)
    assert (from_first ^ from_second).all()
    assert from_first.any() and from_second.any()


def lapse(frames=4):
    return open_image(np.random.default_rng(0).normal(size=(frames, 9, 11)).astype(np.float32), axes="TYX")


@pytest.mark.parametrize("frames", ["auto", "yes"])
def test_neighbouring_frames_are_pairs(frames):
    image = lapse()
    (partner,) = Noise2Noise.partners(Noise2NoiseConfig(frames=frames), [image], [])
    assert np.array_equal(partner.read()[:-1], image.read()[1:])


@pytest.mark.parametrize(("frames", "kept"), [("auto", True), ("no", True), ("yes", False)])
def test_a_second_acquisition_is_used_unless_frames_are_asked_for(frames, kept):
    second = [lapse()]
    found = Noise2Noise.partners(Noise2NoiseConfig(frames=frames), [lapse()], second)
    assert (found is second) == kept


def test_without_a_second_acquisition_or_frames_there_are_no_partners():
    image = open_image(np.zeros((9, 11), np.float32))
    with pytest.raises(ImageError, match=r"has axes YX and 1 frame.*second image.*axes"):
        Noise2Noise.partners(Noise2NoiseConfig(), [image], [])
    assert Noise2Noise.partners(Noise2NoiseConfig(frames="no"), [lapse()], []) == []


def test_neighbouring_frames_are_learned_from_like_a_second_acquisition():
    image = lapse()
    partner = neighbouring_frames(image)
    model = train(image, "noise2noise", second=partner, steps=2, device="cpu", width=4, blocks=1)
    assert np.isfinite(model.provenance["held_out_loss"])

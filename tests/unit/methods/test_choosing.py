"""A method is chosen by what there is to learn from, and by what its noise is like."""

import json
import re

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, uniform_filter1d

from napari_restore import train, train_events
from napari_restore.core.errors import RestoreError
from napari_restore.core.events import Note
from napari_restore.methods.choosing import choose
from napari_restore.sources import open_image


def scene(seed=0, shape=(160, 200)):
    """Smooth parts with edges, 0 to 255."""
    rng = np.random.default_rng(seed)
    return 60 + 140 * (gaussian_filter(rng.normal(size=shape), 12) > 0)


def noise(kind, seed=1, shape=(160, 200), reach=3):
    white = np.random.default_rng(seed).normal(size=shape)
    if kind == "white":
        return 20 * white
    axis = {"horizontal": 1, "vertical": 0}[kind]
    return 20 * np.sqrt(reach) * uniform_filter1d(white, reach, axis=axis)


def chosen(pixels, **given):
    return choose([open_image(np.asarray(pixels, np.float32))], **given)


def test_what_is_given_beside_the_image_decides_first():
    lines = scene() + noise("horizontal", reach=15)
    assert chosen(lines, second=True).method == "noise2noise"
    assert chosen(lines, target=True).method == "supervised_denoising"


def test_white_noise_of_known_size_allows_for_a_posterior_mean():
    choice = chosen(scene() + noise("white"))
    assert (choice.method, dict(choice.config)) == ("posterior", {})
    photons = np.random.default_rng(2).poisson(np.broadcast_to(np.linspace(2, 200, 400), (320, 400)))
    choice = chosen(photons)
    assert choice.method == "posterior"
    assert "grows with the signal" in choice.reason


@pytest.mark.parametrize(("kind", "shape"), [("horizontal", (1, None)), ("vertical", (None, 1))])
def test_noise_in_lines_gets_a_mask_along_it(kind, shape):
    choice = chosen(scene() + noise(kind, reach=15))
    assert choice.method == "struct_noise2void"
    mask = np.array(choice.config["mask"])
    assert all(n == wanted for n, wanted in zip(mask.shape, shape, strict=True) if wanted is not None)
    assert max(mask.shape) >= 5
    assert mask.all()
    assert "Y" in choice.reason or "X" in choice.reason


@pytest.mark.parametrize("std", [0.6, 1.0, 1.5, 2.0])
def test_noise_that_neighbours_share_is_told_by_noise_of_its_kind(std):
    choice = chosen(scene() + 20 * blurred(std))
    assert choice.method == "recorrupted"
    assert re.match(r"noise of neighbours is alike by -?\d\.\d\d along X and -?\d\.\d\d along Y: ", choice.reason)


@pytest.mark.parametrize("std", [(0, 0.6), (1.0, 0), (0, 1.5)])
def test_noise_that_neighbours_share_along_one_axis_is_told_so_too(std):
    assert chosen(scene() + 20 * blurred(std)).method == "recorrupted"


def test_single_bright_pixels_are_no_noise_that_neighbours_share():
    bright = np.random.default_rng(3).random((160, 200)) < 0.02
    image = np.where(bright, 255, scene() + 10 * np.random.default_rng(4).normal(size=(160, 200)))
    assert chosen(image).method != "recorrupted"


def test_noise_that_neighbours_share_a_little_of_is_predicted_from_around():
    choice = chosen(scene() + 20 * blurred(0.45))
    assert choice.method == "noise2void2"
    assert "too little to be predicted" in choice.reason


def blurred(std, seed=1, shape=(160, 200)):
    """Noise of deviation 1 that is alike in all directions."""
    smooth = gaussian_filter(np.random.default_rng(seed).normal(size=shape), std, mode="wrap")
    return smooth / smooth.std()


def test_images_too_small_or_without_noise_still_get_a_method():
    assert chosen(noise("white", shape=(9, 40))).method == "noise2void"
    assert chosen(np.full((64, 64), 7)).method == "noise2void2"


def test_training_says_what_was_chosen_and_takes_the_mask():
    events = train_events((scene() + noise("horizontal", reach=15)).astype(np.float32), steps=2, effort="quick")
    said = []
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            model = end.value
            break
        said += [event.text] if isinstance(event, Note) else []
    assert model.name == "struct_noise2void"
    assert len(json.loads(model.method.config.mask)) == 1
    assert any("struct_noise2void was chosen: noise is correlated along X" in text for text in said)


def test_a_method_that_is_named_is_taken_and_a_mask_that_is_given_too():
    image = (scene() + noise("horizontal", reach=15)).astype(np.float32)

    assert train(image, "noise2void2", steps=1).name == "noise2void2"
    assert train(image, mask="vertical", steps=1).method.config.mask == "vertical"


def test_neighbouring_frames_teach_where_no_second_acquisition_is_given():
    frames = np.stack([scene() + noise("white", seed) for seed in range(3)]).astype(np.float32)
    assert train(frames, "noise2noise", axes="TYX", steps=1).name == "noise2noise"
    with pytest.raises(RestoreError, match="second acquisition or from neighbouring frames"):
        train(frames[0], "noise2noise", steps=1)

"""The picture that a model carries: what was measured beside what it makes of it."""

from __future__ import annotations

import json
import struct
from base64 import b64encode

import imagecodecs
import numpy as np
import pytest
import torch

import napari_restore
from napari_restore.methods.method import Method
from napari_restore.store.model import load_model
from napari_restore.store.weights import read_card, write_weights
from napari_restore.training.thumbnail import SIDE, thumbnail


class Doubling(Method):
    """Gives every pixel ``rate`` times along each axis, 0 where it was below 0.5 and 1 above."""

    def __init__(self, rate, spatial="YX", grid=None):
        super().__init__(None, spatial=spatial, channels=1)
        self._rate, self._grid = rate, grid or (1,) * len(rate)

    rate = property(lambda self: self._rate)
    grid = property(lambda self: self._grid)

    def restore(self, pixels):
        assert all(n % g == 0 for n, g in zip(pixels.shape[2:], self.grid, strict=True)), "off the grid"
        self.seen = tuple(pixels.shape)
        for axis, rate in enumerate(self.rate, 2):
            pixels = pixels.repeat_interleave(rate, axis)
        return (pixels > 0.5).to(pixels.dtype)


def picture(method, pixels):
    return imagecodecs.png_decode(thumbnail(method, torch.as_tensor(pixels, dtype=torch.float32)))


@pytest.mark.parametrize(
    ("shape", "rate", "expected"),
    [
        ((3, 1, 64, 64), (1, 1), (64, 64)),
        ((3, 1, 17, 23), (1, 1), (17, 23)),
        ((3, 1, 17, 23), (2, 2), (34, 46)),
        ((2, 1, 48, 48), (2, 2), (64, 64)),
        ((2, 3, 300, 20), (1, 1), (64, 20)),
        ((2, 1, 5, 40, 31), (1, 1, 1), (40, 31)),
        ((2, 2, 5, 40, 31), (3, 1, 1), (40, 31)),
        ((1, 1, 1, 1), (1, 1), (1, 1)),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_picture_of_at_most_64_pixels_from_any_patch(shape, rate, expected, dtype):
    pixels = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    method = Doubling(rate, spatial="ZYX"[-len(rate) :])
    found = imagecodecs.png_decode(thumbnail(method, pixels))
    assert found.shape == expected and found.dtype == np.uint8
    assert max(found.shape) <= SIDE


def test_left_is_measured_and_right_is_restored():
    pixels = np.tile(np.linspace(0, 1, 40), (40, 1))[None, None]
    found = picture(Doubling((1, 1)), pixels)[7].astype(int)
    assert found[20] == 255, "a bright line between them"
    assert np.all(np.diff(found[1:20]) > 0), "a ramp, as it was measured"
    assert set(found[21:]) == {255}, "what the method makes of it"


def test_large_patches_are_restored_in_part_and_on_the_grid():
    method = Doubling((1, 1, 1), spatial="ZYX", grid=(3, 16, 20))
    picture(method, np.random.default_rng(0).random((2, 1, 30, 320, 200)))
    assert method.seen == (1, 1, 6, 96, 80)


def test_the_patch_with_the_most_to_see_is_shown():
    rng = np.random.default_rng(0)
    pixels = rng.normal(0, 1, (9, 1, 32, 32))
    pixels[5, 0, 8:24, 4:28] += 3
    pixels[3, 0, :, :16] += 3  # all on one side: nothing could be compared
    right = picture(Doubling((1, 1)), pixels)[:, 17:]
    assert np.array_equal(right == right.max(), pixels[5, 0, :, 17:] > 0.5)


@pytest.mark.parametrize("value", [0.0, 3.0, np.nan, np.inf])
def test_a_patch_without_contrast_makes_a_picture_too(value):
    assert picture(Doubling((1, 1)), np.full((2, 1, 20, 20), value)).shape == (20, 20)


CASES = [
    ("noise2void", (40, 56), "YX", {}, (40, 40)),
    ("noise2void", (2, 40, 40), "CYX", {}, (40, 40)),
    ("noise2void2", (12, 24, 24), "ZYX", {"dimensions": "3", "width": 4, "depth": 1}, (24, 24)),
    ("zero_shot", (40, 40), "YX", {}, (40, 40)),
    ("scale_equivariant", (40, 40), "YX", {"width": 4, "blocks": 1}, (64, 64)),
]


def trained(name, shape, axes, config, seed=0):
    pixels = np.random.default_rng(3).poisson(30 + 10 * np.indices(shape).sum(0) / sum(shape)).astype(np.uint16)
    image = napari_restore.open_image(pixels, axes=axes)
    return napari_restore.train(image, name, steps=2, device="cpu", seed=seed, **config)


@pytest.mark.parametrize(("name", "shape", "axes", "config", "least"), CASES)
def test_a_trained_model_carries_its_picture_to_disk_and_back(tmp_path, name, shape, axes, config, least):
    model = trained(name, shape, axes, config)
    found = imagecodecs.png_decode(model.thumbnail)
    assert found.dtype == np.uint8 and max(found.shape) <= SIDE
    assert min(found.shape) >= min(*least, 16)
    loaded = load_model(model.save(tmp_path / "a.safetensors"))
    assert loaded.thumbnail == model.thumbnail
    assert (tmp_path / "a.safetensors").read_bytes() == loaded.save(tmp_path / "b.safetensors").read_bytes()
    assert len(b64encode(model.thumbnail)) <= 8192


def test_the_same_seed_gives_the_same_picture_and_weights():
    first, again = (trained("noise2void", (40, 56), "YX", {}) for _ in range(2))
    assert first.thumbnail == again.thumbnail
    other = trained("noise2void", (40, 56), "YX", {}, seed=1)
    assert other.thumbnail != first.thumbnail


def test_the_picture_is_no_part_of_the_weights_nor_of_what_results_carry(tmp_path):
    model = trained(*CASES[0][:4])
    path = model.save(tmp_path / "m.safetensors")
    assert "thumbnail" not in model.card() and "thumbnail" not in read_card(path)
    bare = write_weights(tmp_path / "bare.safetensors", model.method.state_dict(), model.card())
    assert load_model(path).sha256 == bare
    assert load_model(tmp_path / "bare.safetensors").thumbnail is None, "as files of older releases"


@pytest.mark.parametrize("entry", ["not base64!", "", 7, None, ["x"], {}])
def test_a_broken_picture_does_not_keep_a_model_from_working(tmp_path, entry):
    model = trained(*CASES[0][:4])
    path = tmp_path / "m.safetensors"
    write_weights(path, model.method.state_dict(), {**model.card(), "thumbnail": entry})
    assert load_model(path).thumbnail is None


def test_the_header_alone_has_the_picture(tmp_path):
    """What a reader without torch does: 8 bytes of length, then JSON, as in every release."""
    model = trained(*CASES[0][:4])
    data = model.save(tmp_path / "m.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    card = json.loads(json.loads(data[8 : 8 + length])["__metadata__"]["napari_restore"])
    assert card["thumbnail"] == b64encode(model.thumbnail).decode()
    assert card["format"] == 1, "a release that knows no pictures reads it"

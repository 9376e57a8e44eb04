"""A trained model on disk and back (``store.model``), with what training makes of it."""

import json
import struct

import numpy as np
import pytest
import torch

from napari_restore.core.errors import ModelError
from napari_restore.core.region import Region
from napari_restore.methods.apply import restore_region
from napari_restore.store import weights
from napari_restore.store.model import load_model

CPU = torch.device("cpu")


def restored(model, image):
    return restore_region(
        model.method.for_restoring(),
        image,
        Region.of_shape(image.shape),
        normalisation=model.normalisation,
        device=CPU,
    )


@pytest.mark.parametrize(
    ("shape", "axes", "spatial", "patch"),
    [((17, 23), "YX", "YX", (16, 16)), ((2, 24, 24), "CYX", "YX", (16, 16)), ((3, 17, 23), "ZYX", "ZYX", (3, 8, 8))],
)
def test_a_model_from_disk_restores_to_the_same_bytes(train, noisy, tmp_path, shape, axes, spatial, patch):
    image = noisy(shape, axes)
    model, _ = train(image, steps=10, spatial=spatial, patch=patch)
    loaded = load_model(model.save(tmp_path / "m.safetensors"))
    assert restored(loaded, image).tobytes() == restored(model, image).tobytes()
    assert json.loads(json.dumps(loaded.card())) == json.loads(json.dumps(model.card()))
    assert loaded.sha256 is not None and len(loaded.sha256) == 64
    assert not loaded.method.training
    assert np.isfinite(restored(loaded, image)).all()


def test_saving_what_was_loaded_changes_nothing(train, noisy, tmp_path):
    model, _ = train(noisy(), steps=3)
    first = model.save(tmp_path / "a.safetensors")
    second = load_model(first).save(tmp_path / "b.safetensors")
    assert load_model(second).sha256 == load_model(first).sha256


@pytest.mark.parametrize("place", [0.2, 0.5, 0.999])
def test_a_file_with_a_changed_byte_is_refused(train, noisy, tmp_path, place):
    model, _ = train(noisy(), steps=1)
    path = model.save(tmp_path / "m.safetensors")
    data = bytearray(path.read_bytes())
    data[int(place * len(data))] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ModelError) as error:
        load_model(path)
    assert "\n" not in str(error.value)


def test_a_card_that_was_edited_is_refused(train, noisy, tmp_path):
    model, _ = train(noisy(), steps=1)
    path = model.save(tmp_path / "m.safetensors")
    path.write_bytes(path.read_bytes().replace(b'masked\\": 0.06', b'masked\\": 0.07'))
    with pytest.raises(ModelError, match="its card does not have the checksum"):
        load_model(path)


@pytest.mark.parametrize(
    "change",
    [
        {"method": "another"},
        {"config": {"width": 10**9}},
        {"config": {"unknown": 1}},
        {"config": 7},
        {"spatial": ""},
        {"spatial": "X"},
        {"spatial": 5},
        {"channels": 2},
        {"normalisation": [1, 2]},
        {"normalisation": {"mean": [0.0]}},
        {"normalisation": {"mean": 1, "std": 2}},
        {"precision": None},
        {"precision": "float8"},
        {"provenance": None},
    ],
    ids=str,
)
def test_a_card_that_describes_no_model_is_refused_on_one_line(train, noisy, tmp_path, change):
    """With right checksums: made by another program, or on purpose. ``None`` leaves the entry out."""
    model, _ = train(noisy(), steps=1)
    card = {k: v for k, v in {**model.card(), **change}.items() if v is not None}
    path = tmp_path / "m.safetensors"
    weights.write_weights(path, model.method.state_dict(), card)
    with pytest.raises(ModelError, match="does not describe a model this release can build") as error:
        load_model(path)
    assert "\n" not in str(error.value)


def test_a_model_says_what_it_was_made_of_without_its_weights(train, noisy, tmp_path):
    model, _ = train(noisy(), steps=1)
    path = model.save(tmp_path / "m.safetensors")
    card = weights.read_card(path)
    assert card["provenance"]["images"][0]["axes"] == "YX"
    assert card["radius"] == list(model.method.radius) and card["grid"] == list(model.method.grid)
    assert struct.unpack("<Q", path.read_bytes()[:8])[0] < len(path.read_bytes())

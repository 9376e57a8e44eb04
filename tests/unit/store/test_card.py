"""A card says what it may, and no network is built that its file does not hold."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_restore import methods
from napari_restore.core.errors import ModelError, RestoreError
from napari_restore.core.normalisation import Normalisation
from napari_restore.methods.classical import Classical
from napari_restore.sources import open_image
from napari_restore.store.card import checked_card
from napari_restore.store.header import card_digest
from napari_restore.store.model import Model, build_method, load_model, provenance
from napari_restore.store.no_larger import NoLarger


def trained(name: str = "noise2void", channels: int = 1, **config: Any) -> Model:
    method = build_method(name, config, spatial="YX", channels=channels)
    past = provenance([open_image(np.zeros((9, 9)))], method=name, seconds=1.5)
    return Model(name, method.eval(), Normalisation((5.0,) * channels, (2.0,) * channels), provenance=past)


def rewritten(path: Path, **over: Any) -> Path:
    """The same file with other words in its card, and a checksum that is right."""
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    card = {**json.loads(header["__metadata__"]["napari_restore"]), **over}
    card["card_sha256"] = card_digest(card)
    header["__metadata__"]["napari_restore"] = json.dumps(card)
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data[8 + length :])
    return path


@pytest.mark.parametrize("name", sorted(methods.METHODS))
def test_the_card_of_every_method_may_be_so(name: str, tmp_path: Path) -> None:
    spatial = "ZYX" if name == "finer_planes" else "YX"
    config = {"psf": "gaussian:1"} if issubclass(methods.find(name), Classical) else {}
    method = build_method(name, config, spatial=spatial, channels=2)
    settled = {k: [1.0, 1.0] for k in ("sigma", "mean", "std") if hasattr(method.config, k)}
    if name in ("posterior", "recorrupted"):
        settled |= {"gain": [0.0, 0.0], "offset": [0.0, 0.0]}
    if name == "posterior":
        settled |= {"unexplained": [[0.1, 0.0], [0.2, 0.0]]}
    method = build_method(name, {**config, **settled}, spatial=spatial, channels=2)
    model = Model(name, method.eval(), Normalisation((5.0, 0.0), (2.0, 0.0)))
    loaded = load_model(model.save(tmp_path / "m.safetensors"))
    assert loaded.card() == model.card()
    for mine, theirs in zip(method.state_dict().values(), loaded.method.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ({"normalisation": {"mean": [10**400], "std": [1.0]}}, "normalisation.mean.0 = 1"),
        ({"normalisation": {"mean": ["a"], "std": [1.0]}}, "normalisation.mean.0 = 'a'"),
        ({"normalisation": {"mean": [], "std": []}}, "0 entries for 1 channels"),
        ({"normalisation": {"mean": [0.0], "std": [0.0]}}, "0 throughout"),
        ({"normalisation": {"mean": [0.0], "std": [-3.0]}}, "std.0 = -3.0"),
        ({"channels": True}, "channels = True"),
        ({"channels": 10**9}, "channels = 1000000000"),
        ({"provenance": ["a"]}, "provenance = \\['a'\\]"),
        ({"provenance": {"images": [{"name": "a"}]}}, "provenance.images.0.axes: Field required"),
        ({"radius": [1]}, "radius has 1 entries for the axes YX"),
        ({"config": {"width": 256, "depth": 5}}, "much larger than the weights in its file"),
    ],
)
def test_what_it_may_not_say_is_named_on_one_line(tmp_path: Path, over: dict[str, Any], said: str) -> None:
    path = rewritten(trained(width=4, depth=1).save(tmp_path / "m.safetensors"), **over)
    with pytest.raises(ModelError, match=said) as caught:
        load_model(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


def test_what_a_newer_release_adds_is_left_aside(tmp_path: Path) -> None:
    path = rewritten(trained(width=4, depth=1).save(tmp_path / "m.safetensors"), mood="good")
    assert load_model(path).name == "noise2void"


def test_the_constants_of_a_constant_channel_may_be_0() -> None:
    card = {**trained(channels=2, width=4, depth=1).card(), "normalisation": {"mean": [1.0, 0.0], "std": [1.0, 0.0]}}
    assert checked_card(Path("m"), card).normalisation.std == [1.0, 0.0]


def test_a_card_names_a_thousand_images_and_says_how_many_more() -> None:
    image = open_image(np.zeros((9, 9)))
    past = provenance([image] * 1500)
    assert (len(past["images"]), past["more_images"]) == (1000, 500)
    assert "more_images" not in provenance([image] * 1000)


def test_a_network_is_built_up_to_its_file() -> None:
    numbers = sum(p.numel() for p in build_method("noise2void", {}, spatial="YX", channels=1).parameters())
    with NoLarger(numbers):
        build_method("noise2void", {}, spatial="YX", channels=1)
    with pytest.raises(ValueError, match="much larger"), NoLarger(numbers):
        build_method("noise2void", {}, spatial="YX", channels=100)


def test_building_within_a_limit_gives_the_same_numbers() -> None:
    torch.manual_seed(0)
    plain = build_method("posterior", {}, spatial="YX", channels=1)
    torch.manual_seed(0)
    with NoLarger(10**6):
        limited = build_method("posterior", {}, spatial="YX", channels=1)
    for one, other in zip(plain.parameters(), limited.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_home_folder_may_be_written_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    trained(width=4, depth=1).save("~/m.safetensors")
    assert (tmp_path / "m.safetensors").is_file() and load_model("~/m.safetensors").name == "noise2void"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize(("name", "setting"), [("posterior", "noise"), ("sure", "offset"), ("noise2void", "masked")])
def test_no_setting_of_a_method_is_nan_or_infinite(name: str, setting: str, value: float) -> None:
    with pytest.raises(RestoreError, match=setting):
        methods.configure(name, {setting: value})

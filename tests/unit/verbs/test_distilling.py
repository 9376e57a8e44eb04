"""A copy of a model, made on the user's images: it learns what the model gives, and is a model like any other."""

import dataclasses
import json
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_restore import distill, distill_events, load_model, restore, train
from napari_restore.core.errors import RestoreError
from napari_restore.core.events import Note, Stopped
from napari_restore.core.normalisation import Normalisation
from napari_restore.store.model import Model, build_method

RNG = np.random.default_rng(0)
ROWS, COLUMNS = np.mgrid[:50, :63]
STACK = (100 + 30 * np.sin(ROWS / 7) * np.cos(COLUMNS / 9) + RNG.normal(0, 10, (3, 50, 63))).astype(np.float32)
FEW = {"steps": 4, "patch": (32, 32), "batch": 4, "device": "cpu", "axes": "ZYX"}


@pytest.fixture(scope="module")
def teacher() -> Model:
    return train(STACK, "posterior", steps=30, width=8, device="cpu", axes="ZYX")


def events_of(generator):
    found = []
    while True:
        try:
            found.append(next(generator))
        except StopIteration as end:
            return found, end.value


@pytest.fixture(scope="module")
def made(teacher, tmp_path_factory):
    """A copy that has learned for a while, what was said, and its file."""
    path = tmp_path_factory.mktemp("made") / "copy.safetensors"
    options = {**FEW, "steps": 100}
    events, copy = events_of(distill_events(STACK, teacher, save_model=path, **options))
    return events, copy, path


def test_the_copy_of_the_posterior_mean_comes_near_what_it_gives(teacher, made):
    """The noise is 10, the teacher takes most of it away; the copy learns that in a few seconds."""
    _, copy, _ = made
    wanted, given = (np.asarray(restore(STACK, model, axes="ZYX", device="cpu")) for model in (teacher, copy))
    changed, apart = np.square(wanted - STACK).mean(), np.square(given - wanted).mean()
    assert apart < changed / 8
    assert abs(given.mean() - STACK.mean()) < 0.005 * STACK.mean()


def test_it_says_how_good_it_is(made):
    events, copy, _ = made
    said = [event.text for event in events if isinstance(event, Note)]
    assert "the copy takes" in said[-1] and "dB" in said[-1]
    to_teacher, to_plain = copy.method.config.unlike
    assert 0 < to_teacher < copy.provenance["held_out_loss"] < to_plain, "similar patches bring it nearer"


def test_it_knows_its_teacher(teacher, made):
    _, copy, path = made
    told = copy.provenance["teacher"]
    assert (told["method"], told["parameters"]) == ("posterior", teacher.card()["parameters"])
    assert copy.method.config.teacher == ("posterior",) and copy.method.label == "Distilled Posterior mean"
    assert copy.normalisation == teacher.normalisation
    assert load_model(path).card()["provenance"]["teacher"] == json.loads(json.dumps(told))


def test_its_file_restores_in_tiles_what_the_whole_gives(made):
    _, copy, path = made
    options = {"axes": "ZYX", "device": "cpu"}
    whole = np.asarray(restore(STACK, copy, tile=(96, 96), **options))
    tiled = np.asarray(restore(STACK, path, tile=(16, 32), **options))
    assert tiled == pytest.approx(whole, abs=1e-3)


def untrained(name: str, *, spatial: str = "YX", **settings) -> Model:
    method = build_method(name, settings, spatial=spatial, channels=1).eval()
    with torch.no_grad():
        for weight in method.parameters():
            weight.normal_(0, 0.05)
    return Model(name, method, Normalisation((100.0,), (20.0,)))


@pytest.mark.parametrize(
    ("name", "settings", "finer"),
    [
        ("scale_equivariant", {"factor": 2, "width": 8, "sigma": [5.0], "mean": [100.0], "std": [20.0]}, (1, 2, 2)),
        ("richardson_lucy", {"psf": "gaussian:1.5", "iterations": 3, "weight": 0.002, "sigma": [5.0]}, (1, 1, 1)),
        ("noise2void2", {"width": 8, "dimensions": "2"}, (1, 1, 1)),
    ],
)
def test_what_undoes_an_instrument_and_what_is_classical_has_copies_too(name, settings, finer):
    if name == "richardson_lucy":
        from napari_restore import methods
        from napari_restore.sources import open_image

        fit = methods.find(name).fit_to(methods.configure(name, settings), [open_image(STACK, axes="ZYX")])
        method = build_method(name, fit.config, spatial=fit.spatial, channels=1).eval()
        model = Model(name, method, Normalisation((100.0,), (20.0,)))
    else:
        model = untrained(name, **settings)
    copy = distill(STACK[:2], model, **FEW)
    assert copy.method.rate == model.method.rate and copy.method.suffix == model.method.suffix
    restored = restore(STACK[:2], copy, axes="ZYX", device="cpu")
    assert restored.shape == tuple(n * f for n, f in zip((2, 50, 63), finer, strict=True))


class StopAfter(threading.Event):
    """Is set once it has been looked at so many times."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self._left = times

    def is_set(self) -> bool:
        self._left -= 1
        return self._left < 0


def test_it_goes_on_where_it_was_stopped(teacher, made, tmp_path):
    whole = distill(STACK, teacher, **FEW)
    events, _ = events_of(distill_events(STACK, teacher, run=tmp_path / "run", stop=StopAfter(2), **FEW))
    assert any(isinstance(event, Stopped) and event.step == 2 for event in events)
    again = distill(STACK, teacher, run=tmp_path / "run", resume=True, **FEW)
    for one, other in zip(whole.method.state_dict().values(), again.method.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(RestoreError, match="config"):
        distill(STACK, teacher, run=tmp_path / "run", resume=True, contrast=0.5, **FEW)


def test_a_stop_leaves_a_copy_that_says_nothing_of_its_worth(teacher):
    stop = threading.Event()
    stop.set()
    events, copy = events_of(distill_events(STACK, teacher, stop=stop, **FEW))
    assert any(isinstance(event, Stopped) for event in events) and copy.name == "distilled"
    assert not any(isinstance(event, Note) and "the copy takes" in event.text for event in events)


def test_a_copy_can_be_copied_and_goes_back_to_the_first_teacher(made):
    _, copy, _ = made
    again = distill(STACK, copy, ratio=0.5, **FEW)
    assert again.method.config.teacher == ("posterior",) and again.provenance["teacher"]["method"] == "distilled"
    assert again.card()["parameters"] < copy.card()["parameters"] / 2


@pytest.mark.parametrize(
    ("images", "options", "words"),
    [
        (np.zeros((2, 64, 64), np.float32), {"axes": "CYX"}, "2 channels"),
        (STACK, {"ratio": 0}, "ratio"),
        (STACK, {"ratio": 1.5}, "ratio"),
        (STACK, {"contrast": -1}, "contrast"),
        (STACK, {"features": "nothing.safetensors"}, "nothing.safetensors"),
        (STACK, {"target": STACK}, "learns from what its teacher"),
        (STACK, {"effort": "instant"}, "has to be trained"),
        (STACK, {"resume": True}, "needs `run`"),
        ([], {}, "no image"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_trained(teacher, images, options, words):
    with pytest.raises(RestoreError, match=words):
        distill(images, teacher, **{**FEW, **options})


def test_what_is_no_model_is_refused():
    with pytest.raises(RestoreError, match="`model`"):
        distill(STACK, 7, **FEW)
    with pytest.raises(RestoreError, match="cannot be distilled"):
        distill(STACK, untrained("inpainting", dimensions="2", width=4), **FEW)


def test_features_of_a_vgg_file_are_learned_with_and_not_kept(teacher, tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "vgg.safetensors"
    save_file({"features.0.weight": torch.randn(4, 3, 3, 3), "features.0.bias": torch.zeros(4)}, path)
    own, vgg = (distill(STACK, teacher, features=each, contrast=1, **FEW) for each in ("own", str(path)))
    assert not torch.equal(*(next(copy.method.parameters()) for copy in (own, vgg)))
    assert vgg.method.state_dict().keys() == own.method.state_dict().keys()
    assert (own.method.config.features, vgg.method.config.features) == ("own", "vgg.safetensors")


def test_the_shell_makes_one(tmp_path, teacher):
    import tifffile
    from typer.testing import CliRunner

    from napari_restore.cli.commands import app

    image, model, copy = tmp_path / "image.tif", tmp_path / "model.safetensors", tmp_path / "small.safetensors"
    tifffile.imwrite(image, STACK[0])
    teacher.save(model)
    words = ["distill", str(image), "--model", str(model), "-o", str(copy), "--steps", "2", "--ratio", "0.5", "--quiet"]
    done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    card = load_model(copy).card()
    assert card["method"] == "distilled" and dict(card["config"]["settled"])["width"] == 12
    assert dataclasses.is_dataclass(load_model(copy).method.config) and Path(copy).stat().st_size < 200_000

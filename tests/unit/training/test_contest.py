"""Whether neighbouring planes are looked at is found out at the beginning of a training, and stays."""

import numpy as np
import pytest
import torch

from napari_restore import methods
from napari_restore.core.events import Note, Stopped, Trained
from napari_restore.core.watch import Watch
from napari_restore.methods.method import Batch
from napari_restore.sources import open_image
from napari_restore.store.model import build_method
from napari_restore.training import contest
from napari_restore.training.contest import _alone
from napari_restore.training.lesson import Lesson
from napari_restore.training.loop import _terms, train_events
from napari_restore.training.ranks import ALONE
from napari_restore.training.settings import Budget, TrainingSettings
from napari_restore.training.state import checkpoints


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(contest, "_LEAST", 30)
    monkeypatch.setattr(contest, "_DRAWS", 12)
    monkeypatch.setattr(contest, "_MOST", 60)


def images(*, alike, planes=5, side=32):
    """Pictures under noise, of one thing or of as many as there are planes."""
    rng = np.random.default_rng(3)
    pictures = np.kron(rng.normal(size=(planes, side // 4, side // 4)), np.ones((1, 4, 4)))
    clean = np.repeat(pictures[:1], planes, 0) if alike else pictures
    return open_image((clean + rng.normal(size=clean.shape)).astype(np.float32), axes="TYX")


def task(image, name="posterior", *, steps, side=24, run=None, resume=False, **config):
    config = methods.configure(name, {"width": 8, "depth": 1, **config})
    fit = methods.find(name).fit_to(config, [image])
    both = [build_method(name, each.config, spatial=each.spatial, channels=1) for each in (fit, fit.rival) if each]
    lesson = Lesson(
        name=name, method=both[0], rival=both[1] if fit.rival else None, images=[image], normalisation=fit.normalisation
    )
    settings = TrainingSettings(
        Budget(steps=steps), precision="float32", device="cpu", patch=(side, side), batch=3, run=run, resume=resume
    )
    return lesson, settings


def ended(events):
    """What a generator gives at its end, and what it gave before."""
    seen = []
    while True:
        try:
            seen.append(next(events))
        except StopIteration as end:
            return end.value, seen


def learned(image, name="posterior", *, stop=None, **options):
    return ended(train_events(*task(image, name, **options), Watch(stop)))


def weights(model):
    return model.method.state_dict()


@pytest.mark.parametrize(
    ("name", "least", "steps"), [("posterior", 30, 105), ("noise2void2", 60, 200), ("recorrupted", 30, 105)]
)
@pytest.mark.parametrize("alike", [True, False])
def test_planes_that_are_alike_are_looked_at_and_others_are_not(monkeypatch, name, least, steps, alike):
    monkeypatch.setattr(contest, "_LEAST", least)
    model, events = learned(images(alike=alike), name, steps=steps)
    assert (model.method.config.neighbours, model.method.spatial) == (("1", "TYX") if alike else ("0", "YX"))
    said = [e.text for e in events if isinstance(e, Note)]
    assert any(("along T is looked at" if alike else "along T are restored one by one") in text for text in said)
    assert isinstance(events[-1], Trained | Note) and model.provenance["steps"] == steps


@pytest.mark.parametrize("alike", [True, False])
def test_a_training_too_short_to_tell_goes_by_a_straight_line_and_spends_nothing(alike):
    model, _ = learned(images(alike=alike), steps=3)
    assert (model.method.config.neighbours, model.provenance["steps"]) == ("1" if alike else "0", 3)


@pytest.mark.parametrize(("alike", "steps"), [(True, 30), (False, 3)])
def test_where_a_straight_line_gains_nothing_two_trainings_may_cost_little(monkeypatch, alike, steps):
    monkeypatch.setattr(contest, "_LIKELY", (1.0, 4.0))  # as if it had gained too little to take neighbours at once
    lesson, settings = task(images(alike=alike), steps=200)
    state, _ = ended(contest.contest(lesson, settings, _terms(lesson, settings, ALONE)[0], Watch(None)))
    assert (state.step, state.method.config.neighbours) == (steps, "1" if alike else "0")


def test_by_name_there_is_nothing_to_find_out():
    for asked in ("0", "1"):
        model, events = learned(images(alike=True), steps=2, neighbours=asked)
        assert model.method.config.neighbours == asked
        assert not any(isinstance(e, Note) and "along T" in e.text for e in events)


def test_stopped_before_or_after_it_is_known_the_weights_are_those_of_an_uninterrupted_training(
    stop_after, tmp_path, monkeypatch
):
    monkeypatch.setattr(contest, "_LIKELY", (1.0, 4.0))
    image, common = images(alike=True, planes=3), {"steps": 105, "side": 16}
    whole, _ = learned(image, **common)
    assert whole.method.config.neighbours == "1"
    for stop_at, known in ((9, False), (40, True)):
        run = tmp_path / str(stop_at)
        _, first = learned(image, run=run, stop=stop_after(stop_at), **common)
        assert any(isinstance(e, Stopped) for e in first)
        assert bool(checkpoints(run)) == known
        resumed, _ = learned(image, run=run, resume=True, **common)
        assert whole.method.config == resumed.method.config
        assert all(torch.equal(weights(whole)[k], weights(resumed)[k]) for k in weights(whole))


@pytest.mark.parametrize("count", [1, 2])
def test_both_are_taught_by_the_same_pixels(count):
    rng = torch.Generator().manual_seed(0)
    pixels = torch.randn(2, 1, 2 * count + 1, 4, 6, generator=rng)
    target = torch.rand(pixels.shape, generator=rng) > 0.5
    hidden = torch.tensor([[count * 24 + 5], [count * 24 + 23]])
    alone = _alone(Batch(pixels, target, hidden), count)
    assert torch.equal(alone.pixels, pixels[:, :, count]) and torch.equal(alone.target, target[:, :, count])
    assert alone.hidden.tolist() == [[5], [23]]
    deeper = _alone(Batch(torch.cat([pixels, pixels], 2), torch.cat([target, target], 2), hidden), count)
    assert deeper.pixels.shape == (2 * (2 * count + 2), 1, 4, 6) and deeper.hidden is None

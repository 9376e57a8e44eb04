"""Going on after a stop is as if there had been none."""

import numpy as np
import pytest
import torch

from napari_restore.core.errors import ModelError, RestoreError
from napari_restore.core.events import Measured, Note, Stopped, Trained, from_json
from napari_restore.store.weights import read_weights
from napari_restore.training import pool as pools
from napari_restore.training.state import checkpoints


def weights(model):
    return model.method.state_dict()


def same(one, other):
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("stop_at", [1, 3, 20, 39])
@pytest.mark.parametrize(
    ("shape", "axes", "spatial", "patch"),
    [((40, 56), "YX", "YX", (16, 16)), ((2, 40, 56), "CYX", "YX", (16, 16)), ((4, 16, 24), "ZYX", "ZYX", (4, 8, 8))],
)
def test_the_weights_are_those_of_an_uninterrupted_training(
    train, noisy, stop_after, tmp_path, stop_at, shape, axes, spatial, patch
):
    """To the last bit: weights, their average, the optimiser's moments in their memory layout, random numbers."""
    image = noisy(shape, axes)
    common = {"steps": 40, "spatial": spatial, "patch": patch, "config": {"width": 8}}
    whole, told = train(image, **common)
    _, first = train(image, run=tmp_path, stop=stop_after(stop_at), **common)
    assert isinstance(first[-1], Stopped) and first[-1].step == stop_at
    resumed, second = train(image, run=tmp_path, resume=True, **common)
    assert any(isinstance(e, Note) and f"continuing from step {stop_at}" in e.text for e in second)
    assert same(whole, resumed)
    assert second[-1].validation == told[-1].validation


def test_a_streaming_pool_is_resumed_to_the_last_bit_too(train, noisy, stop_after, tmp_path, monkeypatch):
    image = noisy((12, 24, 32), "ZYX")
    monkeypatch.setattr(pools, "_FIRST_BYTES", 2 * 24 * 32 * 4)
    common = {"steps": 60, "memory": 4 * 24 * 32 * 5 + 10}
    whole, _ = train(image, **common)
    train(image, run=tmp_path, stop=stop_after(37), **common)
    resumed, _ = train(image, run=tmp_path, resume=True, **common)
    assert same(whole, resumed)


def test_batch_normalisation_stays_frozen(train, noisy, stop_after, tmp_path):
    """It is frozen from 15 % of the budget on: its statistics are the same at 20 % and at the end."""
    train(noisy(), steps=50, run=tmp_path, stop=stop_after(10))
    _, kept = read_weights(checkpoints(tmp_path)[-1])
    resumed, _ = train(noisy(), steps=50, run=tmp_path, resume=True)
    statistics = [k for k in weights(resumed) if "running_" in k]
    assert statistics
    assert all(torch.equal(weights(resumed)[k], kept[f"average.{k}"]) for k in statistics)
    assert not torch.equal(weights(resumed)["networks.0.head.weight"], kept["average.networks.0.head.weight"])


def test_stopped_several_times(train, noisy, stop_after, tmp_path):
    whole, _ = train(noisy(), steps=30)
    for looks in (5, 9, 2):
        _, events = train(noisy(), steps=30, run=tmp_path, resume=True, stop=stop_after(looks))
    assert events[-1].step == 16
    resumed, _ = train(noisy(), steps=30, run=tmp_path, resume=True)
    assert same(whole, resumed)
    steps = [e.step for e in map(from_json, (tmp_path / "events.jsonl").read_text().splitlines()) if hasattr(e, "step")]
    assert steps == sorted(steps)


def test_a_finished_run_is_not_trained_any_further(train, noisy, tmp_path):
    done, _ = train(noisy(), run=tmp_path)
    again, events = train(noisy(), run=tmp_path, resume=True)
    assert same(done, again)
    assert isinstance(events[-1], Trained) and events[-1].validation is not None
    assert not [e for e in events if isinstance(e, Measured)], "there is no loss to tell of"


def test_a_finished_run_can_be_given_a_larger_budget(train, noisy, tmp_path):
    train(noisy(), run=tmp_path, steps=10)
    _, events = train(noisy(), run=tmp_path, steps=25, resume=True)
    assert events[-1].step == 25


def test_resuming_where_there_is_nothing_starts_anew(train, noisy, tmp_path):
    fresh, _ = train(noisy())
    model, events = train(noisy(), run=tmp_path / "none", resume=True)
    assert same(fresh, model)
    assert not any(isinstance(e, Note) for e in events)


def test_a_folder_with_an_earlier_run_is_not_written_over(train, noisy, tmp_path):
    train(noisy(), run=tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    with pytest.raises(RestoreError, match=r"holds an earlier run .*`resume`, or give another folder"):
        train(noisy(), run=tmp_path, steps=5)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"config": {"width": 6}}, "config = .*'width': 4.* now it is .*'width': 6"),
        ({"patch": (8, 8)}, r"patch = \[16, 16\], now it is \[8, 8\]"),
        ({"batch": 5}, "batch = 4, now it is 5"),
        ({"memory": 2**20}, "memory = 1073741824, now it is 1048576"),
    ],
)
def test_a_run_with_other_settings_is_not_continued(train, noisy, tmp_path, changed, words):
    train(noisy(), run=tmp_path)
    with pytest.raises(ModelError, match=f"was trained with {words}") as error:
        train(noisy(), run=tmp_path, resume=True, **changed)
    assert "\n" not in str(error.value)


def test_a_run_on_another_image_is_not_continued(train, noisy, tmp_path):
    train(noisy(), run=tmp_path)
    with pytest.raises(ModelError, match="was trained with mean"):
        train(noisy(offset=3.0), run=tmp_path, resume=True)


def test_the_checkpoint_before_is_taken_where_the_newest_is_damaged(train, noisy, often, stop_after, tmp_path):
    whole, _ = train(noisy(), steps=30)
    train(noisy(), steps=30, run=tmp_path, stop=stop_after(12))
    older, newest = checkpoints(tmp_path)
    newest.write_bytes(newest.read_bytes()[:-100])
    resumed, events = train(noisy(), steps=30, run=tmp_path, resume=True)
    assert any(isinstance(e, Note) and "continuing from step 11" in e.text for e in events), older
    assert same(whole, resumed)


def test_training_does_not_silently_start_anew_where_every_checkpoint_is_damaged(train, noisy, tmp_path):
    train(noisy(), run=tmp_path)
    for path in checkpoints(tmp_path):
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match="is damaged"):
        train(noisy(), run=tmp_path, resume=True)


def test_a_line_torn_by_a_crash_is_cut_off(train, noisy, stop_after, tmp_path):
    train(noisy(), run=tmp_path, stop=stop_after(5))
    record = tmp_path / "events.jsonl"
    lines = record.read_text().splitlines()
    with record.open("a") as file:
        file.write('{"event": "Measured", "st')
    train(noisy(), run=tmp_path, resume=True)
    now = record.read_text().splitlines()
    assert now[: len(lines)] == lines
    assert [from_json(line) for line in now][-1].step == 20


def test_seconds_spent_before_count(train, noisy, stop_after, tmp_path):
    _, first = train(noisy(), run=tmp_path, stop=stop_after(10))
    _, second = train(noisy(), run=tmp_path, resume=True)
    assert second[-1].seconds > first[-2].seconds
    assert np.isfinite(second[-1].seconds)


def test_what_a_method_remembers_goes_on_too(train_imaging, noisy, stop_after, tmp_path):
    """Learned Richardson-Lucy keeps what it measured again for some steps: weights are the same to the last bit."""
    image = noisy((48, 56), offset=20.0)
    given = {"factor": None, "psf": "gaussian:1", "noise": 1.0, "iterations": 3, "weight": 0.002}
    common = {"name": "learned_richardson_lucy", "steps": 9, "config": given, "precision": "float32"}
    whole, _ = train_imaging(image, **common)
    train_imaging(image, run=tmp_path, stop=stop_after(6), **common)
    resumed, _ = train_imaging(image, run=tmp_path, resume=True, **common)
    assert same(whole, resumed)

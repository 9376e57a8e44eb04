import json
import typing
from dataclasses import FrozenInstanceError, fields

import numpy as np
import pytest

from napari_restore.core import events
from napari_restore.core.events import Preview, TileDone, from_json, to_json
from napari_restore.core.region import Region

REGION = Region((3, 0, 16), (4, 17, 23))
EXAMPLES = [
    events.Note("axes ZYX guessed\nfrom the shape, µ", "warning"),
    events.TrainingStarted("noise2void", "CPU, 2 threads", "float32", 334_000, (64, 64), 8, None, 60.0),
    events.Measured(12, 3.5, 0.93, None, 2e-3, 0.25, 10.5),
    events.Preview(5, REGION, np.arange(7 * 17, dtype=np.float32).reshape(1, 17, 7)),
    events.Checkpointed(100, "runs/a/checkpoint-00000100.safetensors"),
    events.Trained(485, 60.01, 0.87),
    events.RestorationStarted("a.zarr", "0", 12, 3, (1, 500, 352), (0, 24, 24), 4, "uint16", "cpu", "bfloat16"),
    events.RestorationStarted(
        "a.zarr",
        "0",
        12,
        3,
        (1, 500, 352),
        (0, 24, 24),
        4,
        "uint16",
        "cpu",
        "float32",
        rate=(1, 2, 2),
        centred=(False, True, True),
        suffix="superresolved",
    ),
    events.TileDone(7, 8, 12, REGION, 1.25, None),
    events.Compared((("learned", 1.5, 0.02, 0.98), ("total_variation", 1.4, 0.05, 1.0)), "total_variation"),
    events.Saved("m.safetensors", "model"),
    events.Stopped("training", 30, None),
    events.FileState(3, 7, "a b/µ.tif", "out/µ_denoised.tif", "failed", "µ.tif is an empty file (0 bytes)."),
    events.Failed("OutOfMemoryError", "The device is full."),
]


def test_there_is_an_example_of_every_kind():
    assert {type(e) for e in EXAMPLES} == set(typing.get_args(events.Event))


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda e: type(e).__name__)
def test_events_survive_json_as_one_line(event):
    line = to_json(event)
    assert "\n" not in line
    assert json.loads(line)["event"] == type(event).__name__
    back = from_json(line)
    assert type(back) is type(event)
    for f in fields(event):
        one, other = getattr(event, f.name), getattr(back, f.name)
        assert type(one) is type(other)
        if isinstance(one, np.ndarray):
            assert one.dtype == other.dtype
        assert np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other


def test_what_comes_from_json_is_equal_and_can_be_a_key():
    event = TileDone(0, 1, 2, REGION, 0.5, None)
    assert {event, from_json(to_json(event))} == {event}


@pytest.mark.parametrize("pixels", [np.zeros((3, 1, 9), np.float32).T, np.ones((4, 6), np.float32)[::2, ::-3]])
def test_pixels_of_any_layout_arrive(pixels):
    back = from_json(to_json(Preview(0, Region.of_shape(pixels.shape), pixels)))
    assert isinstance(back, Preview)
    assert np.array_equal(back.pixels, pixels)


def test_events_are_facts():
    with pytest.raises(FrozenInstanceError):
        EXAMPLES[0].text = "another"

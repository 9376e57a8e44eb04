"""Options are checked when they are made: words, bounds and kinds, with the name, the value and what is allowed."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from napari_restore.core.checked import allows, hints_of, words_for
from napari_restore.core.errors import RestoreError
from napari_restore.core.explained import explained
from napari_restore.core.options import GROUPS, Computing, Opening, Restoring, Training, Writing

WRONG: list[tuple[type, str, Any]] = [
    (Opening, "axes", 3),
    (Opening, "axes", b"YX"),
    (Opening, "axes", ["Y", 1]),
    (Opening, "pixel_size", (0.1, "a")),
    (Opening, "pixel_size", (0.1, float("nan"))),
    (Opening, "pixel_size", {"Y": -1}),
    (Opening, "pixel_size", {"Y": "wide"}),
    (Opening, "channel", 1.5),
    (Computing, "device", None),
    (Computing, "precision", "bf16"),
    (Computing, "precision", "Float32"),
    (Computing, "seed", -1),
    (Computing, "seed", True),
    (Computing, "seed", "0"),
    (Training, "effort", "Normal"),
    (Training, "steps", 0),
    (Training, "steps", 2.5),
    (Training, "seconds", 0),
    (Training, "seconds", float("nan")),
    (Training, "seconds", float("inf")),
    (Training, "patch", 64),
    (Training, "patch", (64, 0)),
    (Training, "patch", "64,64"),
    (Training, "batch", -4),
    (Training, "learning_rate", 0.0),
    (Restoring, "tile", (64, 64.5)),
    (Restoring, "together", 0),
    (Restoring, "memory_share", 0),
    (Restoring, "memory_share", 1.01),
    (Restoring, "unreadable", "Fail"),
    (Writing, "output", 7),
    (Writing, "resume", 1),
    (Writing, "overwrite", "no"),
    (Writing, "version", "0.6"),
    (Writing, "version", 0.5),
]


@pytest.mark.parametrize(("group", "name", "value"), WRONG, ids=lambda x: getattr(x, "__name__", repr(x)))
def test_a_value_that_is_not_allowed_is_refused_by_name(group: type, name: str, value: Any) -> None:
    with pytest.raises(RestoreError) as refused:
        group(**{name: value})
    said = str(refused.value)
    assert f"`{name}`" in said and repr(value) in said and ": give " in said


RIGHT: list[tuple[type, dict[str, Any]]] = [
    (Opening, {"axes": "zyx", "pixel_size": {"Z": 1, "Y": np.float32(0.5)}, "channel": np.int64(2)}),
    (Opening, {"channel": "GFP"}),
    (Computing, {"device": "cuda:1", "precision": "bfloat16", "seed": 2**32}),
    (Training, {"steps": np.int32(4), "seconds": 2, "patch": [64, 64], "learning_rate": 1e-3}),
    (Training, {"patch": np.array([16, 48, 48])}),
    (Restoring, {"tile": (64, 64), "memory_share": 1, "unreadable": "fill"}),
    (Writing, {"output": "a.zarr", "resume": False, "version": "0.4"}),
]


@pytest.mark.parametrize(("group", "values"), RIGHT)
def test_what_people_give_is_taken_as_it_is(group: type, values: dict[str, Any]) -> None:
    made = group(**values)
    assert all(getattr(made, name) is value for name, value in values.items())


def test_a_default_is_always_allowed() -> None:
    for group in GROUPS:
        hints = hints_of(group)
        for field in dataclasses.fields(group):
            assert allows(hints[field.name], field.default), field.name


def test_every_option_has_a_text_and_words_for_what_it_allows() -> None:
    for group in GROUPS:
        texts, hints = explained(group), hints_of(group)
        for field in dataclasses.fields(group):
            assert len(texts[field.name]) > 10, field.name
            assert words_for(hints[field.name]), field.name


def test_no_option_is_in_two_groups() -> None:
    names = [field.name for group in GROUPS for field in dataclasses.fields(group)]
    assert len(names) == len(set(names))


def test_words_for_bounds() -> None:
    assert words_for(hints_of(Restoring)["memory_share"]) == "a number over 0 and at most 1"
    assert words_for(hints_of(Computing)["precision"]) == "auto, float32 or bfloat16"


def test_axes_may_be_a_list_and_pixel_sizes_a_row() -> None:
    opening = Opening(axes=["Z", "Y", "X"], pixel_size=np.array([0.3, 0.1, 0.1]))  # type: ignore[arg-type]
    assert (opening.axes, opening.pixel_size) == ("ZYX", (0.3, 0.1, 0.1))

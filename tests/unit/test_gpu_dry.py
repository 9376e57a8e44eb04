"""What is to run on a graphics card, where one can be had, runs here, small and on the processor: all but its speed."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def gpu():
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(BENCHMARKS)
        module = import_module("gpu")
        images = np.random.default_rng(0).normal(100, 10, (2, 2, 48, 48)).astype(np.float32)
        patched.setattr(module, "eight_images", lambda: (images[0], images[1]))
        yield module
    for name in ("gpu", "images", "reporting"):
        sys.modules.pop(name, None)


@pytest.fixture
def run(gpu):
    return gpu.Run("cpu", 96, 0.05, (4, 32, 32), True)


@pytest.mark.parametrize("part", ["preview", "restoring", "quality", "memory", "too_little"])
def test_a_part_of_it_runs_dry(gpu, run, part):
    facts = gpu.PARTS[part](run)
    assert facts and "failed" not in facts


def test_every_precision_is_stepped_bare_and_as_trained(gpu, run):
    facts = gpu.steps(run)
    assert facts.keys() == {"float32", "bfloat16"}
    assert all(each["bare"] > 0 and each["trained"] > 0 for each in facts.values())


def test_both_ways_to_deblur_are_there(gpu, run):
    assert gpu.deblurring(run).keys() == {"richardson_lucy", "learned_richardson_lucy"}


def test_what_a_card_is_asked_for_is_all_that_the_release_lists(gpu):
    assert {*gpu.PARTS} == {
        "tests", "steps", "preview", "restoring", "quality", "deblurring", "memory", "too_little",
    }  # fmt: skip

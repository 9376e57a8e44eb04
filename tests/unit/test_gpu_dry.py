"""What is to run on a graphics card, where one can be had, runs here, small and on the processor: all but its speed."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from napari_restore import methods

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
    return gpu.Run("cpu", 64, 0.05, (4, 32, 32), True)


@pytest.mark.parametrize("part", ["tests", "preview", "quality", "too_little"])
def test_a_part_of_it_runs_dry(gpu, run, part):
    facts = gpu.PARTS[part](run)
    assert facts and "failed" not in facts


def test_every_precision_is_stepped_bare_and_as_trained(gpu, run):
    facts = gpu.steps(run)
    assert facts.keys() == {"float32", "bfloat16", "without_tf32"} and facts.pop("without_tf32") > 0
    ways = {"trained", "bare", "bare_compiled", "bare_cuda_graphs", "share"}
    assert all(each.keys() == ways and min(each.values()) > 0 for each in facts.values())


def test_every_denoiser_that_learns_from_an_image_alone_is_restored_with(gpu):
    named = methods.METHODS.items()
    alone = {name for name, each in named if each.learns and each.does == "denoise" and not each.needs}
    assert alone < gpu.RESTORED.keys()


def test_methods_are_restored_with_in_both_precisions_and_compared(gpu, run, monkeypatch):
    some = {name: gpu.RESTORED[name] for name in ("noise2void2", "equivariant_shift", "inpainting")}
    monkeypatch.setattr(gpu, "RESTORED", some)
    facts = gpu.restoring(run)
    assert facts["mpx_per_second"].keys() == {f"{name} {bits}" for name in some for bits in ("float32", "bfloat16")}
    assert min(facts["mpx_per_second"].values()) > 0
    assert facts["bfloat16_from_float32"].keys() == some.keys()
    assert np.isfinite([*facts["bfloat16_from_float32"].values()]).all()


def test_what_memory_was_planned_stands_beside_what_was_held(gpu, run):
    facts = gpu.memory(run)
    assert {*facts} == {*gpu.DENOISERS}
    assert all(each["planned_bytes"] > 0 and each["peak_bytes"] is None for each in facts.values()), "of a card alone"


def test_both_ways_to_deblur_are_there(gpu, run):
    assert gpu.deblurring(run).keys() == {"richardson_lucy", "learned_richardson_lucy"}


def test_what_a_card_is_asked_for_is_all_that_the_release_lists(gpu):
    assert {*gpu.PARTS} == {
        "tests", "steps", "preview", "restoring", "quality", "deblurring", "memory", "too_little",
    }  # fmt: skip

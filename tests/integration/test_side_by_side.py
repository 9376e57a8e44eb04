"""Any number of jobs in one process, as two `submit`, a thread pool, or the widget and the console start them."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_restore import denoise, estimate_cost, load_model, restore, submit, train
from napari_restore.core.events import Measured
from napari_restore.core.job import Job
from napari_restore.training.threads import ThreadTuner

TINY = {"width": 4, "effort": "quick"}
JOBS: list[tuple[str, dict[str, Any]]] = [
    ("denoise", {"method": "noise2void", "steps": 15, "seed": 1, "depth": 1, "precision": "bfloat16"}),
    ("denoise", {"method": "noise2void", "steps": 15, "seed": 2, "depth": 1, "precision": "bfloat16"}),
    ("denoise", {"method": "posterior", "steps": 6, "precision": "bfloat16"}),
    ("denoise", {"method": "zero_shot", "steps": 12, "precision": "bfloat16"}),
    ("super_resolve", {"steps": 3, "precision": "bfloat16"}),
    ("deblur", {"psf": "gaussian:1.2", "steps": 3}),
]


@pytest.fixture(scope="module")
def image() -> Any:
    y, x = np.ogrid[:72, :80]
    noise = np.random.default_rng(0).normal(0, 12, (72, 80))
    return (100 + 40 * np.sin(y / 9) * np.cos(x / 7) + noise).astype(np.float32)


def started(image: Any, verb: str, options: dict[str, Any]) -> Job[Any]:
    return submit(verb, image, device="cpu", **{**TINY, **options})


def test_jobs_side_by_side_give_the_pixels_of_those_one_after_the_other(image: Any) -> None:
    one_by_one = [np.asarray(started(image, *job).result()) for job in JOBS]
    at_once = [started(image, *job) for job in JOBS]
    for job, expected in zip(at_once, one_by_one, strict=True):
        assert np.array_equal(np.asarray(job.result()), expected), job


def test_a_job_beside_a_training_by_the_clock_is_the_same(image: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """That one computes with as many threads as are quickest, and another number adds in another order."""

    def one(tuner: ThreadTuner, seconds: float, *, now: float) -> int:
        tuner.threads = 1
        return 1

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        exact = {"method": "noise2void", "precision": "float32"}
        job = ("denoise", {"steps": 10, "width": 16, **exact})
        expected = np.asarray(started(image, *job).result())
        monkeypatch.setattr(ThreadTuner, "took", one)
        by_the_clock = started(image, "train", {"seconds": 600, **exact})
        try:
            while not isinstance(by_the_clock.latest, Measured):
                assert not by_the_clock.done()
                time.sleep(0.01)
            assert np.array_equal(np.asarray(started(image, *job).result()), expected)
        finally:
            by_the_clock.stop()
        by_the_clock.result()
        with ThreadPoolExecutor(1) as pool:
            assert torch.get_num_threads() == pool.submit(torch.get_num_threads).result() == 2
    finally:
        torch.set_num_threads(before)


def test_the_users_random_numbers_are_left_alone(image: Any, tmp_path: Path) -> None:
    torch.manual_seed(17)
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002  the user's own
    model = train(image, "noise2void", steps=2, seed=3, device="cpu", **TINY)
    estimate_cost(image, "noise2void", device="cpu", **TINY)
    restore(image, load_model(model.save(tmp_path / "m.safetensors")))
    denoise(image, steps=2, device="cpu", effort="quick")
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002

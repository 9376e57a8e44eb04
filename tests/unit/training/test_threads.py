"""The number of threads follows what steps cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
import torch

from napari_restore.training.threads import ThreadTuner, settle, tuned_step, tuned_threads


def run(tuner: ThreadTuner, cost: dict[int, float], *, seconds: float, start: float = 0.0) -> dict[int, float]:
    """Step for so many simulated seconds; gives the time spent with each number of threads."""
    now, spent = start, dict.fromkeys(cost, 0.0)
    while now < start + seconds:
        took = cost[tuner.threads]
        spent[tuner.threads] += took
        now += took
        tuner.took(took, now=now)
    return spent


def test_the_quickest_is_found_and_the_others_cost_little() -> None:
    for best in (1, 4, 8):
        cost = {n: 0.03 if n == best else 0.2 for n in (1, 4, 8)}
        spent = run(ThreadTuner(8), cost, seconds=60)
        assert spent[best] > 0.9 * 60


def test_a_machine_that_gets_busy_and_quiet_again_is_followed() -> None:
    tuner = ThreadTuner(2)
    quiet, busy = {1: 0.045, 2: 0.03}, {1: 0.05, 2: 0.9}
    assert run(tuner, quiet, seconds=30)[2] > 27
    assert run(tuner, busy, seconds=60, start=30)[1] > 54
    assert run(tuner, quiet, seconds=120, start=90)[2] > 60


def in_a_new_thread(ask: Callable[[], int]) -> int:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(ask).result()


@pytest.mark.usefixtures("two_threads")
def test_torch_has_its_threads_back_afterwards() -> None:
    with tuned_threads(active=True):
        torch.set_num_threads(1)
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_what_comes_after_the_last_step_has_the_quickest_and_not_the_one_that_is_being_tried() -> None:
    with tuned_threads(active=True) as tuner:
        assert tuner is not None
        settle(tuner)
        assert torch.get_num_threads() == 2, "of none that was tried, the most"
        tuner.took(0.9, now=0)
        settle(tuner)
        assert (tuner.threads, torch.get_num_threads()) == (1, 2), "one is to be tried, two are all that is known"
        tuner.took(0.05, now=1)
        tuner.took(0.05, now=60)
        settle(tuner)
        assert (tuner.threads, torch.get_num_threads()) == (2, 1), "two are to be tried again"
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_what_is_tuned_is_the_thread_that_trains_and_no_other() -> None:
    """Another number of threads adds in another order: work begun meanwhile would have other last bits."""
    with tuned_threads(active=True) as tuner:
        assert tuner is not None
        tuned_step(tuner, time.perf_counter())
        assert torch.get_num_threads() == tuner.threads == 1, "the other number is tried"
        assert in_a_new_thread(torch.get_num_threads) == 2
    assert torch.get_num_threads() == in_a_new_thread(torch.get_num_threads) == 2


@pytest.mark.usefixtures("two_threads")
def test_trainings_that_overlap_leave_the_number_of_threads_as_it_was() -> None:
    """The second begins while the first is tuned, and ends after it."""
    first, second = ExitStack(), ExitStack()
    with ThreadPoolExecutor(1) as one, ThreadPoolExecutor(1) as other:
        tuner = one.submit(first.enter_context, tuned_threads(active=True)).result()
        one.submit(tuned_step, tuner, time.perf_counter()).result()
        assert other.submit(second.enter_context, tuned_threads(active=True)).result() is not None
        one.submit(first.close).result()
        other.submit(second.close).result()
        assert [pool.submit(torch.get_num_threads).result() for pool in (one, other)] == [2, 2]
    assert in_a_new_thread(torch.get_num_threads) == 2


@pytest.mark.usefixtures("two_threads")
def test_a_number_of_threads_that_the_user_sets_meanwhile_stays() -> None:
    with tuned_threads(active=False) as tuner:
        assert tuner is None
        torch.set_num_threads(1)
    assert torch.get_num_threads() == 1

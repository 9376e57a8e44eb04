"""The number of threads follows what steps cost."""

from __future__ import annotations

import torch

from napari_restore.training.threads import ThreadTuner, tuned_threads


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


def test_torch_has_its_threads_back_afterwards() -> None:
    before = torch.get_num_threads()
    with tuned_threads(active=True):
        torch.set_num_threads(1)
    assert torch.get_num_threads() == before
    with tuned_threads(active=False) as tuner:
        assert tuner is None

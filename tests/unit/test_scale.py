"""The simulation of many workers: what is known without it comes out of it."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest


@pytest.fixture
def scale(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    module = import_module("scale")
    monkeypatch.delitem(sys.modules, "scale")
    monkeypatch.delitem(sys.modules, "reporting")
    return module


def rates(scale, **other):
    return scale.Rates(**{**dict.fromkeys(("submit", "schedule", "record", "record_tile"), 0.0), "tile": 1.0, **other})


@pytest.mark.parametrize(("tasks", "workers", "seconds"), [([5] * 12, 4, 15), ([5] * 13, 4, 20), ([1, 1, 6], 2, 7)])
def test_workers_alike_take_tasks_in_turn(scale, tasks, workers, seconds):
    assert scale.simulate(tasks, workers, rates(scale))["tiles_seconds"] == pytest.approx(seconds)


def test_a_slow_worker_gets_fewer_tasks(scale):
    assert scale.simulate([1] * 30, 2, rates(scale), slow={0: 2.0})["tiles_seconds"] == pytest.approx(20)


def test_what_a_lost_worker_had_is_done_by_others(scale):
    found = scale.simulate([4] * 4, 2, rates(scale), lost={0: 6.0})
    assert found["repeated"] == 1 and found["tiles_seconds"] == pytest.approx(12)


def test_one_caller_limits_many_workers(scale):
    found = scale.simulate([1] * 1000, 500, rates(scale, record=0.5))
    assert found["tiles_seconds"] == pytest.approx(501, rel=0.01) and found["caller_busy"] > 0.99


def test_workers_that_die_and_come_back_do_it_all(scale):
    found = scale.simulate([10] * 400, 20, rates(scale), lives=200.0, spread=0.1)
    assert found["repeated"] > 5 and found["tiles_seconds"] > 200


def test_levels_of_a_pyramid_come_one_after_the_other(scale):
    found = scale.levels([40, 8, 1], 4, rates(scale, tile=99.0, block=2.0), spread=0.0)
    assert found == pytest.approx(40 / 4 * 2 + 8 / 4 * 2 + 2)

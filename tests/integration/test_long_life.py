"""What a run takes is given back when nobody holds its result: a viewer is open for days."""

from __future__ import annotations

import gc
import tempfile
import warnings
from pathlib import Path

import pytest
import torch

MEGABYTES = 40
"""That memory may grow by in a round, in which the allocator still finds its size; a result and a network take less."""


def test_a_round_of_every_kind_of_run_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``benchmarks/long_life.py`` does the same two hundred times."""
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")
    monkeypatch.setattr("os.fsync", lambda _: None)
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    from long_life import Rounds

    rounds = Rounds(tmp_path, temporary)
    before, tensors = rounds.once(), living_tensors()
    after = rounds.once()
    assert living_tensors() == tensors
    for name in ("descriptors", "temporary"):  # of those that other tests left open, some may be closed meanwhile
        assert after[name] <= before[name], name
    for name in ("threads", "python_threads"):  # a pool of threads may still fill up
        assert after[name] <= before[name] + 1, name
    assert after["temporary"] == 0
    assert after["rss_mb"] < before["rss_mb"] + MEGABYTES


def living_tensors() -> int:
    gc.collect()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is out of date and says so when it is asked for its class
        return sum(isinstance(each, torch.Tensor) for each in gc.get_objects())

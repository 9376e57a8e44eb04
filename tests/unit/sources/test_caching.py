"""The cache of decoded blocks."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from napari_restore.sources.caching import RecentBlocks

BLOCK = np.zeros(1000, np.uint8)


def test_threads_that_want_the_same_block_decode_it_once():
    recent, calls, started = RecentBlocks(10_000), [], threading.Barrier(8)

    def decode():
        calls.append(1)
        return BLOCK

    def ask(_):
        started.wait()
        return recent.get("a", decode)

    with ThreadPoolExecutor(8) as pool:
        assert all(block is BLOCK for block in pool.map(ask, range(8)))
    assert len(calls) == 1


def test_the_block_used_longest_ago_goes_first():
    recent, calls = RecentBlocks(2_000), []

    def get(key):
        def decode():
            calls.append(key)
            return BLOCK

        recent.get(key, decode)

    for key in "abacab":
        get(key)
    assert calls == ["a", "b", "c", "b"]


def test_an_error_is_not_kept():
    recent = RecentBlocks(2_000)
    with pytest.raises(ValueError, match="broken"):
        recent.get("a", lambda: (_ for _ in ()).throw(ValueError("broken")))
    assert recent.get("a", lambda: BLOCK) is BLOCK

"""How many threads a step should use, found out while training and looked at again as the machine gets busy."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from napari_restore.methods.device import use_threads

_PATIENCE = 5.0
_SHARE = 0.03


class ThreadTuner:
    """Takes the number of threads whose steps are quickest, and tries the others now and then.

    A small network's step is hundreds of short parallel parts. On quiet cores two threads take 0.7 of the time of
    one; beside one busy program they take twice as much, because every part waits for the thread that has to share
    its core (measured on 2 cores). Trying costs at most 3 % of the time.
    """

    def __init__(self, most: int) -> None:
        self._seconds: dict[int, float] = dict.fromkeys(sorted({most, max(1, most // 2), 1}, reverse=True), 0.0)
        self._seen: dict[int, float] = dict.fromkeys(self._seconds, float("-inf"))
        self.threads = most

    def took(self, seconds: float, *, now: float) -> int:
        """Note how long a step took with ``threads``, and say how many the next one should use."""
        old = self._seconds[self.threads]
        self._seconds[self.threads] = (old + seconds) / 2 if old and now - self._seen[self.threads] < 1 else seconds
        self._seen[self.threads] = now
        stale = [n for n in self._seconds if now - self._seen[n] > max(_PATIENCE, self._seconds[n] / _SHARE)]
        self.threads = stale[0] if stale else self.quickest
        return self.threads

    @property
    def quickest(self) -> int:
        """Of all that have been tried; the most before any has."""
        return min(self._seconds, key=lambda n: self._seconds[n] or math.inf)


@contextmanager
def tuned_threads(*, active: bool) -> Iterator[ThreadTuner | None]:
    """A tuner for the time inside, after which this thread computes with as many as before; None if not wanted."""
    before = torch.get_num_threads()
    if not active or before == 1:
        yield None
        return
    try:
        yield ThreadTuner(before)
    finally:
        use_threads(before)


def settle(tuner: ThreadTuner | None) -> None:
    """After the last step: what comes now is computed with as many as steps were quickest with."""
    if tuner is not None:
        use_threads(tuner.quickest)


def tuned_step(tuner: ThreadTuner | None, began: float) -> None:
    """After a step that began then: set the threads of the next one."""
    if tuner is not None:
        now = time.perf_counter()
        before = tuner.threads
        if tuner.took(now - began, now=now) != before:
            use_threads(tuner.threads)

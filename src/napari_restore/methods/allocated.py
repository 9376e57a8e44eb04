"""How much memory tensors take while something runs, counted without a look at the machine."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

HEAP = 1.5
"""What a processor's heap takes for what a network holds: freed buffers are kept, and their gaps are not all filled.

Measured 1.0 to 1.7 (float32 and bfloat16, 4 to 32 channels, tiles of 512 to 2048 pixels); see ``kept_buffers``.
"""


_ONE_AT_A_TIME = threading.Lock()
"""torch notes for the whole process that operators are watched, and takes that back well only in order."""


def peak_of(work: Callable[[], Any]) -> int:
    """Bytes of the tensors that exist at once, at the most, while ``work`` runs, besides those that were there."""
    with _ONE_AT_A_TIME, _Counting() as counting:
        work()
    peak: int = counting.peak
    return peak


class _Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the storages that operators make, and takes off those that are gone."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = self.peak = 0
        self._seen: dict[int, weakref.ref[Any]] = {}

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # else torch loads its compiler for this: a second and 60 MB

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        given = {t.untyped_storage()._cdata for t in tree_leaves((args, kwargs)) if isinstance(t, torch.Tensor)}
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and tensor.untyped_storage()._cdata not in given:
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._seen:
            return

        def gone(_: Any) -> None:
            self.now -= size
            del self._seen[key]

        self._seen[key] = weakref.ref(storage, gone)
        self.now += size
        self.peak = max(self.peak, self.now)

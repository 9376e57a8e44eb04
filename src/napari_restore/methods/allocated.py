"""How much memory tensors take while something runs, counted without a look at the machine."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

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


def peak_without_computing(work: Callable[[Any], Any], given: Any) -> int:
    """The ``peak_of`` of ``work(given)``, from shapes alone: nothing large is computed, nor allocated.

    Parameters
    ----------
    work
        Torch alone, and no decision by the value of a tensor that comes of ``given``. Weights that it differentiates by
        belong to ``given``: what torch makes of real ones for itself has no place for a gradient.
    given
        Tensors, in lists, tuples or dicts; their values are not looked at.

    Raises
    ------
    DecidesByValueError
        If there is such a decision.
    """
    # Loads torch's compiler, which training loads anyhow.
    from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException

    fakes = _fakes()
    try:
        with fakes:
            return peak_of(lambda: work(tree_map(lambda t: _fake(fakes, t), given)))
    except (DataDependentOutputException, DynamicOutputShapeException) as error:
        raise DecidesByValueError(str(error)) from error


class DecidesByValueError(Exception):
    """What is done depends on the values of tensors: shapes do not tell what it takes."""


def _fakes() -> Any:
    """A mode in which tensors made of fakes are fakes, and all others, such as random numbers, are what they are."""
    from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

    class Fakes(FakeTensorMode):  # type: ignore[no-untyped-call]
        inside = 0

        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            # What torch makes on the way to a fake, such as the empty tensor that another dtype is copied to, is one.
            if not self.inside and not any(isinstance(each, FakeTensor) for each in tree_leaves((args, kwargs))):
                return func(*args, **(kwargs or {}))
            self.inside += 1
            try:
                return super().__torch_dispatch__(func, types, args, kwargs)
            finally:
                self.inside -= 1

    return Fakes(allow_non_fake_inputs=True)


def _fake(fakes: Any, given: Any) -> Any:
    return fakes.from_tensor(given) if isinstance(given, torch.Tensor) else given


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

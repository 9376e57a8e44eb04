"""How much goes through the network at once: as much as memory holds, and less after each time that it did not."""

from __future__ import annotations

import gc
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from math import ceil

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_restore.core.errors import RestoreError, first_line, out_of_memory
from napari_restore.core.plan import round_up
from napari_restore.methods.device import find_precision
from napari_restore.methods.free import held
from napari_restore.restoration.memory import MemoryPlan, appetite, plan_memory
from napari_restore.restoration.work import TileJob, sent

_Slices = tuple[slice, ...]

_SHORTEST = 32
_LARGEST_PIECE = 1024
"""Along Y and X, on a processor: larger ones leave its caches, and take half as much time again for a pixel."""


class Fitting:
    """Takes batches through the network, whole or in parts, with the same result but for rounding.

    A batch that does not fit is taken sample by sample, then in pieces of tiles (each with its halo, on the grid of the
    network), and at last on the processor instead of the graphics card. What has once been needed stays.

    Parameters
    ----------
    job
        Whose batches come.

    Attributes
    ----------
    together
        Samples in the network at once.
    pieces
        How many a tile is cut into along each of the method's spatial axes.
    """

    def __init__(self, job: TileJob) -> None:
        self._job = job
        index = [job.image.axes.index(a) for a in job.method.spatial]
        self._tile = tuple(job.plan.tile[i] for i in index)
        self._before = tuple(job.plan.before[i] for i in index)
        self._around = tuple(job.plan.read_shape[i] - job.plan.tile[i] for i in index)
        self.together = job.batch if job.device.type != "cpu" else 1
        # A piece needs its surroundings: along an axis where the tile is read without any, there are none.
        self._can_cut = tuple(2 * r <= around for r, around in zip(job.method.radius, self._around, strict=True))
        large = job.device.type == "cpu" and job.method.tile is None
        self.pieces = tuple(
            ceil(n / _LARGEST_PIECE) if a in "YX" and large else 1
            for n, a in zip(self._tile, job.method.spatial, strict=True)
        )
        self._said: deque[str] = deque()

    def news(self) -> Iterator[str]:
        """What has changed, in words; each once."""
        while self._said:
            yield self._said.popleft()

    def plan(self, *, share: float) -> MemoryPlan:
        """Choose how much goes through at once by what memory is free, and say what that will take.

        Parameters
        ----------
        share
            Of the free memory that may be used, over 0 and at most 1.

        Raises
        ------
        RestoreError
            If the least does not fit either.
        """
        now = held()
        network = appetite(self._job)

        def planned() -> MemoryPlan:
            return plan_memory(self._job, network, together=self.together, pieces=self.pieces, share=share, now=now)

        plan = first = planned()
        while not plan.fits and self._less():
            plan = planned()
        if not plan.fits:
            raise RestoreError(
                f"restoring takes {plan}. That is with as little in the network at once as can be: close other "
                f"programs, allow a larger `memory_share` than {share:g}, or give a `tile` smaller than "
                f"{' x '.join(map(str, self._tile))}."
            )
        if plan is not first:
            self._said.append(f"whole batches would take {first}. So {self._words()}")
        return plan

    def restore(self, samples: NDArray[np.float32]) -> Tensor:
        """Restore samples ``(N, C, *S)`` of whole tiles with their halos.

        Of the result ``(N, C, *(S * rate))`` what belongs to the halo may be left at 0. It is on the device, perhaps
        not computed yet; in pieces it is in host memory.

        Raises
        ------
        RestoreError
            If memory does not even hold one small piece.
        """
        result: Tensor | None = None
        while True:
            through, device = self._job.through, self._job.device
            try:
                if self.together >= len(samples) and max(self.pieces) == 1:
                    return through(sent(samples, device))
                result = result if result is not None else self._empty(samples)
                for read, own, kept in self._parts(len(samples)):
                    result[own] = through(sent(samples[read], device))[kept]
                return result
            except (MemoryError, RuntimeError) as error:
                if not out_of_memory(error):
                    raise
                reason = first_line(error)
            # Here, not above: until the error is gone, its frames hold what filled the memory.
            self._take_less(reason)

    def _take_less(self, reason: str) -> None:
        """After memory has run out."""
        gc.collect()
        if self._job.device.type == "cuda":
            torch.cuda.empty_cache()
        if not self._less() and not self._to_processor():
            sides = " x ".join(str(n) for n in self._piece)
            raise RestoreError(
                f"memory ran out restoring a single piece of {sides} pixels ({reason}): close other programs, or "
                "use a smaller network. What is done is kept: the same call goes on from there."
            )
        self._said.append(f"memory ran out: {self._words()}, with the same result")

    @property
    def _piece(self) -> tuple[int, ...]:
        """Image pixels a piece owns along each spatial axis."""
        grid = self._job.method.grid
        return tuple(round_up(ceil(n / p), g) for n, p, g in zip(self._tile, self.pieces, grid, strict=True))

    def _less(self) -> bool:
        """Half as many samples at once, or else pieces of half the size; False where they are as small as can be."""
        if self.together > 1:
            self.together //= 2
            return True
        longest = max(range(len(self._piece)), key=lambda i: self._piece[i] * self._can_cut[i])
        if not self._can_cut[longest] or self._piece[longest] < 2 * max(_SHORTEST, self._job.method.grid[longest]):
            return False
        self.pieces = tuple(p * 2 if i == longest else p for i, p in enumerate(self.pieces))
        return True

    def _to_processor(self) -> bool:
        if self._job.device.type == "cpu":
            return False
        device = torch.device("cpu")
        precision = find_precision(device) if self._job.precision == "bfloat16" else self._job.precision
        self._job = replace(self._job, method=self._job.method.to(device), device=device, precision=precision)
        return True

    def _words(self) -> str:
        cut = f"in pieces of {' x '.join(map(str, self._piece))} pixels" if max(self.pieces) > 1 else "whole"
        return f"tiles go through the network {self.together} at a time, {cut}, on {self._job.device}"

    def _empty(self, samples: NDArray[np.float32]) -> Tensor:
        """In host memory, for what becomes of samples in pieces."""
        sides = tuple(n * r for n, r in zip(samples.shape[2:], self._job.method.rate, strict=True))
        return torch.zeros((*samples.shape[:2], *sides))

    def _parts(self, count: int) -> Iterator[tuple[_Slices, _Slices, _Slices]]:
        """For each pass: what it reads of the samples, what it owns of the result, and where that lies in its own."""
        for first in range(0, count, self.together):
            some = (slice(first, first + self.together), slice(None))
            for read, own, kept in self._cuts():
                yield (*some, *read), (*some, *own), (slice(None), slice(None), *kept)

    def _cuts(self) -> list[tuple[_Slices, _Slices, _Slices]]:
        """The same for each piece of a tile, along its spatial axes."""
        along = []
        sides = zip(self._tile, self._piece, self._before, self._around, self._job.method.rate, strict=True)
        for tile, size, before, around, rate in sides:
            along.append(
                [
                    (
                        slice(a, min(a + size, tile) + around),
                        slice((a + before) * rate, (min(a + size, tile) + before) * rate),
                        slice(before * rate, (before + min(a + size, tile) - a) * rate),
                    )
                    for a in range(0, tile, size)
                ]
            )
        return [tuple(zip(*cut, strict=True)) for cut in product(*along)]

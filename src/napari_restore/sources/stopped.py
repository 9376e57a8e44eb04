"""Acquisitions that were stopped: how much of them is whole, and what is said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_WORDS = {"T": "time points", "Z": "planes along Z", "C": "channels"}


@dataclass(frozen=True)
class Whole:
    """What is there of planes that were planned.

    Attributes
    ----------
    axis
        Letter of the axis along which it was stopped: times, else depths, else channels.
    planned
        How many along it there were to be.
    there
        How many, from the first, have all their planes.
    planes, missing
        How many planes there were to be, and are not there.
    """

    axis: str
    planned: int
    there: int
    planes: int
    missing: int

    @property
    def stopped(self) -> str:
        """What it is, in words: ``the acquisition was stopped: 6 of 10 time points are there``."""
        left = self.planes - self.missing - self.there * (self.planes // self.planned)
        more = f", and {left} more plane{'s' if left > 1 else ''}" if left else ""
        return f"the acquisition was stopped: {self.there} of {self.planned} {self.what} are there{more}"

    @property
    def remedy(self) -> str:
        """What can be done with it."""
        if not self.there:
            return f"None of its {self.what} is whole, so nothing of it can be used."
        return f"`incomplete` use takes the {self.there} {self.what} that are whole."

    @property
    def what(self) -> str:
        """The axis in words."""
        return _WORDS.get(self.axis, "planes")


def whole_of(there: NDArray[np.bool_], axes: str) -> tuple[int, Whole]:
    """How much is whole of planes by their place along ``axes``; first the number of the axis that tells it."""
    axis = next((axes.index(a) for a in "TZC" if a in axes and there.shape[axes.index(a)] > 1), 0)
    along = np.asarray(np.moveaxis(there, axis, 0).reshape(there.shape[axis], -1).all(axis=1))
    count = len(along) if along.all() else int(along.argmin())
    return axis, Whole(axes[axis], len(along), count, there.size, int((~there).sum()))


def sizes(axes: str, lengths: Sequence[int]) -> str:
    """``5 T x 2 C``."""
    return " x ".join(f"{n} {axis}" for axis, n in zip(axes, lengths, strict=True))

"""How training is to be done: budget, batches, schedule. Facts only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from napari_restore.core.errors import RestoreError
from napari_restore.core.options import Computing, Precision, Training
from napari_restore.sources import Image


@dataclass(frozen=True)
class Budget:
    """When training ends: after so many steps or seconds, whichever is first. One of them is given."""

    steps: int | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        if self.steps is None and self.seconds is None:
            raise RestoreError("training needs a budget: give steps or seconds.")
        for name, value in (("steps", self.steps), ("seconds", self.seconds)):
            if value is not None and not 0 < value < math.inf:
                raise RestoreError(f"{name} = {value}: a training budget is a positive number.")

    def fraction(self, step: int, seconds: float) -> float:
        """Part of the budget that is spent, 0 to 1."""
        by_steps = step / self.steps if self.steps else 0.0
        by_seconds = seconds / self.seconds if self.seconds else 0.0
        return min(1.0, max(by_steps, by_seconds))


@dataclass(frozen=True)
class TrainingSettings:
    """Everything the loop needs besides the method and the images.

    Attributes
    ----------
    budget
        When it ends.
    patch
        Pixels of a patch along each spatial axis, or None for a size that suits the method and the images.
    batch
        Patches a step, or None for the method's.
    learning_rate
        At its peak, or None for the method's.
    device, precision, seed
        As for ``options.Computing``, where they are checked.
    memory_share
        Part of the free memory that a step may take with the pool, over 0 and at most 1.
    memory
        Bytes the patch pool may take on the training device.
    run
        Folder for ``run.json``, ``events.jsonl`` and checkpoints, or None to keep nothing.
    resume
        Whether to go on from the newest checkpoint in ``run``.
    """

    budget: Budget
    patch: tuple[int, ...] | None = None
    batch: int | None = None
    learning_rate: float | None = None
    device: str = "auto"
    precision: Precision = "auto"
    seed: int = 0
    memory: int = 2**30
    memory_share: float = 0.8
    run: Path | None = None
    resume: bool = False

    @classmethod
    def settled(
        cls,
        training: Training,
        computing: Computing,
        *,
        usual_seconds: float,
        memory_share: float = 0.8,
        run: str | Path | None = None,
        resume: bool = False,
    ) -> Self:
        """What the options come to, for a method whose effort takes its ``usual_seconds`` where no budget is given."""
        asked = training.steps is not None or training.seconds is not None
        return cls(
            Budget(training.steps, training.seconds) if asked else Budget(None, usual_seconds),
            patch=tuple(training.patch) if training.patch is not None else None,
            batch=training.batch,
            learning_rate=training.learning_rate,
            device=computing.device,
            precision=computing.precision,
            seed=computing.seed,
            memory_share=memory_share,
            run=Path(run) if run is not None else None,
            resume=resume,
        )


def learning_rate_at(fraction: float, *, peak: float) -> float:
    """Rise over the first 5 % of the budget, stay until 30 %, then fall to zero on a cosine.

    A constant rate leaves the result to chance: it swings by 1-2 dB from one moment to the next.
    """
    rise = min(1.0, fraction / 0.05 + 0.05)
    fall = 0.5 * (1 + math.cos(math.pi * (fraction - 0.3) / 0.7)) if fraction > 0.3 else 1.0
    return peak * rise * fall


def fit_patch(
    images: Sequence[Image],
    *,
    spatial: str,
    grid: Sequence[int],
    asked: Sequence[int] | None,
    usual: Sequence[int],
    beside: int = 0,
) -> tuple[int, ...]:
    """A patch that lies inside every image and is a multiple of the grid, at most as large as the method's usual.

    Along its first axis it reaches as many planes past the image as a method looks at ``beside`` each, and has them
    to either side of one at least; two lengths of ``asked`` will do then.
    """
    if asked and beside and len(asked) == len(spatial) - 1:
        asked = (2 * beside + 1, *asked)
    if asked and asked[0] <= 2 * beside:
        raise RestoreError(
            f"axis {spatial[0]}: a patch of {asked[0]} planes has none with {beside} to either side. Give "
            f"{2 * beside + 1} or more, or no length along {spatial[0]}."
        )
    patch = []
    for k, (axis, size, g) in enumerate(zip(spatial, asked or usual, grid, strict=True)):
        shortest = min(image.geometry.length(axis) for image in images) + (2 * beside if k == 0 else 0)
        length = min(size, shortest) // g * g
        if length < 1 or (asked and length != size):
            raise RestoreError(
                f"axis {axis}: a patch of {size} px does not fit an image of {shortest} px in multiples of {g}. "
                f"Use at most {shortest // g * g}, or a smaller depth."
            )
        patch.append(length)
    return tuple(patch)

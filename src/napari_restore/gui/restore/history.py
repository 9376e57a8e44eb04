"""What the runs of this window left: how each was made and what it gave, to go back to or to discard. No Qt here."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from napari_restore.core.events import Event, Measured, RestorationStarted, Trained, TrainingStarted
from napari_restore.core.options import Training
from napari_restore.gui.parts.describe import describe_time, gain_of
from napari_restore.methods import METHODS
from napari_restore.verbs.request import Request


@dataclass(eq=False)
class Tally:
    """What is counted of a run while it goes on.

    Attributes
    ----------
    method
        The name of what learns or restores, once it is known.
    before
        Seconds that its model was trained for in earlier runs.
    trained
        Seconds of training in this one.
    more
        Seconds that were asked for after the budget of the first run.
    began
        When the run began, by the clock that never goes back.
    """

    method: str = ""
    before: float = 0.0
    trained: float = 0.0
    more: float = 0.0
    began: float = field(default_factory=time.monotonic)

    def count(self, event: Event) -> None:
        """Take what an event says of it."""
        match event:
            case TrainingStarted(method=method) | RestorationStarted(method=method):
                self.method = method or self.method
            case Measured(seconds=seconds) | Trained(seconds=seconds):
                self.trained = seconds

    @property
    def rest(self) -> float:
        """Seconds until now that were no training."""
        return max(0.0, time.monotonic() - self.began - self.trained)


@dataclass(frozen=True, eq=False)
class Past:
    """One run that is over.

    Attributes
    ----------
    run
        What ran.
    model
        As it was then.
    result
        Whole; None where the run gave the model alone.
    method, effort
        What made it and what was asked for, in words.
    seconds
        That the model was trained for, in this run and those before it.
    gain
        What is estimated of the result, in words; empty where nothing is.
    """

    run: Any
    model: Any
    result: Any
    method: str
    effort: str
    seconds: float
    gain: str

    @classmethod
    def of(cls, run: Any, model: Any, result: Any) -> Past:
        """A run that ends now."""
        tally: Tally = run.tally
        name = tally.method or str(getattr(model, "name", ""))
        report: Mapping[str, Any] = getattr(result, "report", {}) if result is not None else {}
        return cls(
            run=run,
            model=model,
            result=result,
            method=METHODS[name].label if name in METHODS else name,
            effort=effort_of(run.request, more=tally.more),
            seconds=tally.before + tally.trained,
            gain=gain_of(report),
        )

    @property
    def name(self) -> str:
        """Of the result's layer, or of the layer that the model has learned from."""
        layer = self.run.result.layer
        return str(layer.name if self.result is not None and layer is not None else self.run.raw.name)


def effort_of(request: Request, *, more: float = 0.0) -> str:
    """How long was to be trained, in words; nothing where a model was given."""
    if Training not in request.row.groups:
        said = ""
    elif request.training.steps is not None:
        said = f"{request.training.steps:,} steps"
    elif request.training.seconds is not None:
        said = describe_time(request.training.seconds)
    else:
        said = request.training.effort
    return " + ".join(part for part in (said, describe_time(more) if more else "") if part)

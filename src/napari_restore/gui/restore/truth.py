"""How good a result really is, where the truth lies beside it in the viewer."""

from __future__ import annotations

import math
import threading
from collections.abc import Generator
from functools import partial
from typing import Any

import numpy as np
from qtpy.QtCore import QObject, Signal

from napari_restore.core.events import Event
from napari_restore.gui.parts.runner import Ended, Runner
from napari_restore.gui.restore.session import Session

TRUTH = "truth"
"""A layer called after the measured one and this, of the same shape, is what that would be without noise."""


class Truth(QObject):  # type: ignore[misc]
    """After a whole run on a layer with a truth: measures the gain in a thread.

    Attributes
    ----------
    told
        Signal: the gain in decibels.
    """

    told = Signal(float)

    def __init__(self, viewer: Any, session: Session, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._viewer, self._session = viewer, session
        self.runner = Runner(self)
        self.runner.ended.connect(self._tell)
        session.finished.connect(self._measure)

    def abandon(self) -> None:
        """The viewer is going away."""
        self.runner.abandon()

    def _measure(self) -> None:
        run, result = self._session.run, self._session.result
        if run is None or run.request.restoring.region is not None:
            return
        truth = truth_of(self._viewer, run.raw)
        if truth is not None and result is not None and tuple(result.levels[0].shape) == tuple(truth.data.shape):
            self.runner.start(partial(_gaining, run.raw.data, result.levels[0], truth.data))

    def _tell(self, ended: Ended) -> None:
        if ended.failure is None and math.isfinite(ended.result):
            self.told.emit(ended.result)


def truth_of(viewer: Any, raw: Any) -> Any:
    """The layer with the truth of another one, or None."""
    name = f"{raw.name} {TRUTH}"
    found = next((layer for layer in viewer.layers if layer.name == name), None)
    if found is None or getattr(found, "multiscale", True) or raw.multiscale:
        return None
    return found if tuple(found.data.shape) == tuple(raw.data.shape) else None


def gain(raw: Any, result: Any, truth: Any) -> float:
    """By how many decibels a result is nearer to the truth than the measured image, a plane at a time."""
    before = after = 0.0
    for plane in range(len(truth)):
        real = np.asarray(truth[plane], np.float64)
        before += float(np.nansum((np.asarray(raw[plane], np.float64) - real) ** 2))
        after += float(np.nansum((np.asarray(result[plane], np.float64) - real) ** 2))
    return 10 * math.log10(before / after) if before > 0 and after > 0 else math.nan


def _gaining(raw: Any, result: Any, truth: Any, stop: threading.Event) -> Generator[Event, None, float]:
    yield from ()
    return gain(raw, result, truth)

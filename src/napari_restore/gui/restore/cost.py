"""What a run will take, in time and memory, before the user starts it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QLabel, QWidget

from napari_restore.core.cost import Cost
from napari_restore.core.events import Event
from napari_restore.core.sizes import describe_bytes
from napari_restore.gui.parts.describe import describe_time, describe_times, unbroken
from napari_restore.gui.parts.runner import Ended, Runner, Start
from napari_restore.gui.restore.pace import Pace
from napari_restore.gui.restore.work import Engine, resolved
from napari_restore.methods import METHODS
from napari_restore.verbs.request import Request

_SETTLES_MS = 700
"""Settings are changed several at a time: only then is it worth a second of the processor."""


_UNKNOWN = "Time and memory: …"


class CostLine(QLabel):  # type: ignore[misc]
    """One line that says how long a run takes and how much memory; worked out in a thread.

    Parameters
    ----------
    engine
        What knows.
    asked
        Gives the very request that would run, or None while that is not settled.
    """

    def __init__(self, engine: Engine, asked: Callable[[], Request | None], parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._engine, self._asked = engine, asked
        self._colour, self._allowed, self._loaded, self._stale, self._unasked = "", True, False, False, False
        self._pace = Pace()
        self._known: Cost | None = None
        self._of_run: Cost | None = None
        self._runner = Runner(self)
        self._runner.ended.connect(self._show)
        self._wait = QTimer(self)
        self._wait.setSingleShot(True)
        self._wait.setInterval(_SETTLES_MS)
        self._wait.timeout.connect(self._estimate)
        self.setWordWrap(True)
        self.setAccessibleName("Time and memory")
        self.setToolTip(
            "An estimate: training has its budget; restoring is timed on a small part of the image, and corrected by\n"
            "what runs of the method took on this machine, once there were some.\n"
            "Memory is all that this program will hold, viewer and open images included."
        )
        self.hide()

    def renew(self) -> None:
        """Something has changed: work it out again, soon. Until then what is said is grey."""
        self._stale = True
        self.setEnabled(False)
        if self._allowed and self._loaded:
            self._wait.start()

    def load(self) -> None:
        """What a run does is loaded: it can be worked out, and holds up nobody who presses the button before."""
        self._loaded = True
        if self._allowed and self._stale:
            self._wait.start()

    def forget(self, _: object = None) -> None:
        """Another image is chosen: what was said is of none in sight. The line keeps its place."""
        self._stale, self._known = True, None
        if self.text():
            self._say(_UNKNOWN)

    def allow(self, allowed: bool) -> None:
        """Whether there is a processor to spare; while a run goes on, what was said stays; nothing is worked out."""
        self._allowed = allowed
        if not allowed and self._runner.running:
            self._stale = True
            self._runner.stop()
        if allowed and self._loaded and self._stale and not self._wait.isActive():
            self._wait.start()

    def begin(self) -> None:
        """A run of the settings in sight begins: what is known of it now is compared with what it takes."""
        self._of_run = None if self._stale else self._known

    def compare(self, method: str, took: float) -> None:
        """That run is over: what all but its training took, in seconds, is remembered.

        Nothing is where it was not estimated, or by another method.
        """
        if self._of_run is not None and method == self._of_run.method:
            self._pace.keep(method, estimated=self._of_run.restoring_seconds, took=took)
            if self._known is not None:
                self._say(cost_words(self._known, self._pace))

    def abandon(self) -> None:
        """The viewer is going away."""
        self._wait.stop()
        self._runner.abandon()

    def set_colours(self, *, error: str) -> None:
        """The colour of words about what is wrong."""
        self._colour = error

    def _estimate(self) -> None:
        if not self._allowed:
            return
        asked = self._asked()
        self._unasked = asked is None
        self._stale = asked is not None and not self._runner.start(_estimating(self._engine, asked))
        if asked is None:
            self._known = None
            self._say("")
        elif self._stale:
            self._wait.start()

    def _show(self, ended: Ended) -> None:
        stopped = ended.failure is None and ended.result is None
        if self._stale or self._unasked or stopped:  # of what was asked before: something has changed since
            return
        self._known = ended.result if ended.failure is None else None
        if ended.failure is None:
            self._say(cost_words(ended.result, self._pace))
        elif ended.failure.kind == "RestoreError":
            self._say(ended.failure.message, wrong=True)
        else:
            self._say("")  # an estimate is a help: the run itself says what is wrong with the image

    def _say(self, text: str, *, wrong: bool = False) -> None:
        self.setEnabled(not self._stale)
        self.setText(unbroken(text))
        self.setStyleSheet(f"color: {self._colour};" if wrong and self._colour else "")
        self.setVisible(bool(text))


def cost_words(cost: Cost, pace: Pace) -> str:
    """Such as ``About 40 s of training, 7 to 12 s of restoring; 480 MiB of 18 GiB memory``."""
    known = METHODS.get(cost.method)
    before = "training" if known is None or known.learns else "choosing its settings"
    parts = [f"{describe_time(cost.training_seconds)} of {before}"] if cost.training_seconds is not None else []
    least, most = (max(1.0, each) for each in pace.expected(cost.method, cost.restoring_seconds))
    parts.append(f"{describe_times(least, most)} of restoring")
    memory = f"{describe_bytes(cost.memory)} of {describe_bytes(cost.memory_limit)} memory"
    if cost.device_memory:
        memory += f", {describe_bytes(cost.device_memory)} of {describe_bytes(cost.device_limit)} on the graphics card"
    return f"About {', '.join(parts)}; {memory}"


def _estimating(engine: Engine, request: Request) -> Start:
    def start(stop: threading.Event) -> Generator[Event, None, Cost | None]:
        from napari_restore.methods.method import Interrupted

        yield from ()
        try:
            return engine.estimate(resolved(request), stop.is_set)
        except Interrupted:
            return None

    return start

"""Long work in the background, and what it shares with whoever watches."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import Generic, TypeVar

from napari_restore.core.events import Event, Measured, TileDone
from napari_restore.core.region import Region

Result = TypeVar("Result")
Events = Generator[Event, None, Result]
"""Long work: yields events, returns its result."""


class PreviewRequest:
    """Which part of the image a viewer looks at now. Set the regions from any thread; None asks for no previews.

    Attributes
    ----------
    region
        One entry an axis, in the order of the image's axes, and one pixel along every axis but two of Z, Y and X
        (and C).
    across
        A second plane of the same kind, that cuts the first one: what is seen of a stack from its side.
    every
        Seconds between two previews, at least.
    """

    def __init__(self, region: Region | None = None, *, across: Region | None = None, every: float = 2.0) -> None:
        self.region = region
        self.across = across
        self.every = every


def drain(events: Events[Result], watch: Callable[[Event], object] | None = None) -> Result:
    """Run a generator of events to its end, show each event to ``watch``, and give back its result."""
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            result: Result = end.value
            return result
        if watch is not None:
            watch(event)


def only(events: Events[Result], wanted: Callable[[Event], bool]) -> Events[Result]:
    """The same work, of whose events those are told that are ``wanted``."""
    while True:
        try:
            event = next(events)
        except StopIteration as end:
            result: Result = end.value
            return result
        if wanted(event):
            yield event


class Job(Future[Result], Generic[Result]):
    """Work that runs in a thread of its own: a ``concurrent.futures.Future`` with ``stop()``.

    Attributes
    ----------
    latest
        The last event seen, or None.
    """

    def __init__(self, name: str, start: Callable[[threading.Event], Events[Result]]) -> None:
        super().__init__()
        self.name = name
        self.latest: Event | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(start,), name=f"napari-restore {name}", daemon=True)
        self.set_running_or_notify_cancel()
        self._thread.start()

    def stop(self) -> None:
        """Ask the work to stop at its next step.

        Training then gives the model as it is, restoring an unfinished ``Restored``, and ``denoise`` None while it
        still trains.
        """
        self._stop.set()

    def _see(self, event: Event) -> None:
        self.latest = event

    def _run(self, start: Callable[[threading.Event], Events[Result]]) -> None:
        try:
            self.set_result(drain(start(self._stop), self._see))
        except BaseException as error:  # noqa: BLE001  a Future keeps whatever was raised for its owner
            self.set_exception(error)

    def __repr__(self) -> str:
        if self.done():
            state = "failed" if self.exception() else "done"
        elif isinstance(self.latest, Measured):
            state = f"training, {self.latest.fraction:.0%}"
        elif isinstance(self.latest, TileDone):
            state = f"restoring, {self.latest.done} of {self.latest.tiles} tiles"
        else:
            state = "starting"
        return f"<Job {self.name}: {state}>"

"""Long work in a thread of its own, its events in the GUI thread ten times a second."""

from __future__ import annotations

import atexit
import errno
import logging
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

from qtpy.QtCore import QObject, QTimer, Signal

from napari_restore.core.errors import RestoreError, first_line, out_of_memory
from napari_restore.core.events import Failed
from napari_restore.gui.parts.describe import for_widget

_log = logging.getLogger(__name__)

Start = Callable[[threading.Event], Generator[Any, None, Any]]
"""Called in the worker thread with the stop flag; gives the generator that the thread then runs."""

_FULL = (
    "The memory is full: close other programs that use it, choose less effort, or choose the device cpu under "
    "File ▸ Preferences and open the widget again."
)
_NO_SPACE = "Free some space on the disk, or choose another folder, then start again."

_GRACE = 10.0
"""Seconds that work gets to wind down when the interpreter exits."""


@dataclass(frozen=True)
class Ended:
    """How a run ended: with a result, or with a failure in words."""

    result: Any
    failure: Failed | None


class Runner(QObject):  # type: ignore[misc]
    """Runs one generator of events at a time.

    The generator is made, advanced and closed in its own thread. Events wait in a queue that a timer empties
    in the GUI thread, so that a fast worker never floods the event loop. No exception leaves the thread: it
    becomes the ``failure`` of ``ended``, in the words of the window.

    Attributes
    ----------
    flag
        Set to ask for a stop; looked at by the work, and safe to set from anywhere at any time.
    received
        Signal: the list of events since the last tick.
    ended
        Signal: an ``Ended``; after it the runner can start again.
    """

    received = Signal(list)
    ended = Signal(object)

    def __init__(self, parent: QObject | None = None, *, every_ms: int = 100) -> None:
        super().__init__(parent)
        self._thread: threading.Thread | None = None
        self._abandoned = False
        self.flag = threading.Event()
        self._mail: SimpleQueue[Any] = SimpleQueue()
        self._timer = QTimer(self)
        self._timer.setInterval(every_ms)
        self._timer.timeout.connect(self._tick)

    @property
    def running(self) -> bool:
        """Whether work is going on; False again just before ``ended`` is sent."""
        return self._thread is not None

    @property
    def stopping(self) -> bool:
        """Whether a stop was asked for and the work has not ended yet."""
        return self.running and self.flag.is_set()

    def start(self, start: Start) -> bool:
        """Begin; False, and nothing happens, while other work is running or after ``abandon``."""
        if self.running or self._abandoned:
            return False
        self.flag.clear()
        self._thread = _spawn(start, self.flag, self._mail)
        self._timer.start()
        return True

    def stop(self) -> None:
        """Ask the work to stop at its next step. ``ended`` follows."""
        self.flag.set()

    def abandon(self) -> None:
        """Ask the work to stop, and listen no more: the viewer is going away. It cannot start again."""
        self.flag.set()
        self._timer.stop()
        self._thread, self._abandoned = None, True

    def _tick(self) -> None:
        """Hand on what has arrived since the last tick."""
        events = _empty(self._mail)
        ended = events.pop() if events and isinstance(events[-1], Ended) else None
        if events:
            self.received.emit(events)
        if ended is not None and self._thread is not None:
            self._timer.stop()
            self._thread.join(timeout=1)
            self._thread = None
            self.ended.emit(ended)


def _spawn(start: Start, stop: threading.Event, mail: SimpleQueue[Any]) -> threading.Thread:
    """A thread that knows nothing of Qt objects, so that it may outlive them."""
    thread = threading.Thread(target=_work, args=(start, stop, mail), name="napari-restore", daemon=True)
    if not _ALIVE:
        atexit.unregister(_wind_down)
        atexit.register(_wind_down)
    _ALIVE[thread] = stop
    thread.start()
    return thread


def _work(start: Start, stop: threading.Event, mail: SimpleQueue[Any]) -> None:
    """The body of the thread; its last letter is how it ended."""
    try:
        ended = _run(start, stop, mail)
    finally:
        _ALIVE.pop(threading.current_thread(), None)
    mail.put(ended)


def _run(start: Start, stop: threading.Event, mail: SimpleQueue[Any]) -> Ended:
    """Advance the generator to its end; whatever it raises is turned into words."""
    try:
        events = start(stop)
        while True:
            try:
                mail.put(next(events))
            except StopIteration as end:
                return Ended(end.value, None)
    except RestoreError as error:
        return Ended(None, Failed(type(error).__name__, for_widget(str(error))))
    except BaseException as error:  # noqa: BLE001  nothing may leave a worker: napari loses it, or aborts
        _log.exception("the work failed")
        return Ended(None, Failed(type(error).__name__, in_words(error)))


def in_words(error: BaseException) -> str:
    """An error that nobody has put into words: its name and its first line, and what to do where that is known."""
    name, line = type(error).__name__, first_line(error)
    said = f"{name}: {line}" if line != name else name
    if out_of_memory(error):
        return f"{said.rstrip('.')}. {_FULL}"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return f"{said.rstrip('.')}. {_NO_SPACE}"
    return said


def _empty(mail: SimpleQueue[Any]) -> list[Any]:
    """Everything in the queue now."""
    letters = []
    while True:
        try:
            letters.append(mail.get_nowait())
        except Empty:
            return letters


_ALIVE: dict[threading.Thread, threading.Event] = {}


def _wind_down() -> None:
    """At exit: let running work close its files."""
    for stop in list(_ALIVE.values()):
        stop.set()
    for thread in list(_ALIVE):
        thread.join(timeout=_GRACE)

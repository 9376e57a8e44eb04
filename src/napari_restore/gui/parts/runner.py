"""Long work in a thread of its own, its events in the GUI thread ten times a second."""

from __future__ import annotations

import atexit
import errno
import logging
import threading
import time
from collections.abc import Callable, Generator
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

from qtpy.QtCore import QCoreApplication, QObject, QTimer, Signal

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

_GRACE = 60.0
"""Seconds that all work together gets to wind down when napari has been closed, or the interpreter exits: no window is
open any more, and a step of training on a busy machine takes its time. Cut off amid one, torch aborts, and what was
learned is lost."""

Keep = Callable[["Ended"], None]
"""What becomes of the end of work that nobody waits for any more; in its thread, or in that which cut it off."""


@dataclass(frozen=True)
class Ended:
    """How a run ended: with a result, or with a failure in words."""

    result: Any
    failure: Failed | None


@dataclass(eq=False)
class Line:
    """Between a thread and a window; knows no Qt, so that either may outlive the other.

    Attributes
    ----------
    stop
        Set to ask for a stop.
    left
        Set where nobody listens any more.
    mail
        What the thread has sent.
    keep
        Takes the last letter where nobody listens.
    """

    stop: threading.Event = field(default_factory=threading.Event)
    left: threading.Event = field(default_factory=threading.Event)
    mail: SimpleQueue[Any] = field(default_factory=SimpleQueue)
    keep: Keep | None = None

    def cut(self) -> None:
        """Ask for a stop, and listen no more."""
        self.stop.set()
        self.left.set()
        self.pick_up()

    def pick_up(self) -> None:
        """Keep what has come to its end, and not yet been heard."""
        for letter in _empty(self.mail):
            if isinstance(letter, Ended) and self.keep is not None:
                self.keep(letter)


class Runner(QObject):  # type: ignore[misc]
    """Runs one generator of events at a time.

    The generator is made, advanced and closed in its own thread. Events wait in a queue that a timer empties
    in the GUI thread, so that a fast worker never floods the event loop. No exception leaves the thread: it
    becomes the ``failure`` of ``ended``, in the words of the window.

    Attributes
    ----------
    line
        To its thread.
    received
        Signal: the list of events since the last tick.
    ending
        Signal: the same ``Ended``, a turn of the event loop earlier, while it still runs: for what takes the viewer
        long enough to be on its own.
    ended
        Signal: an ``Ended``; after it the runner can start again.
    """

    received = Signal(list)
    ending = Signal(object)
    ended = Signal(object)

    def __init__(self, parent: QObject | None = None, *, every_ms: int = 100) -> None:
        super().__init__(parent)
        self._thread: threading.Thread | None = None
        self._abandoned = self._ending = False
        self.line = Line()
        self._every_ms = every_ms
        self._timer = QTimer(self)
        self._timer.timeout.connect(self._tick)

    @property
    def flag(self) -> threading.Event:
        """Set to ask for a stop; looked at by the work, and safe to set from anywhere at any time."""
        return self.line.stop

    @property
    def running(self) -> bool:
        """Whether work is going on; False again just before ``ended`` is sent."""
        return self._thread is not None

    @property
    def stopping(self) -> bool:
        """Whether a stop was asked for and the work has not ended yet."""
        return self.running and self.flag.is_set()

    def start(self, start: Start, *, keep: Keep | None = None) -> bool:
        """Begin; False, and nothing happens, while other work is running or after ``abandon``.

        ``keep`` takes what comes of it if nobody listens by then.
        """
        if self.running or self._abandoned:
            return False
        self.flag.clear()
        self.line.keep = keep
        self._thread = _spawn(start, self.line)
        self._timer.start(self._every_ms)
        return True

    def stop(self) -> None:
        """Ask the work to stop at its next step. ``ended`` follows."""
        self.flag.set()

    def abandon(self) -> None:
        """Ask the work to stop, and listen no more: the viewer is going away. It cannot start again."""
        self._timer.stop()
        self._thread, self._abandoned = None, True
        self.line.cut()

    def _tick(self) -> None:
        """Hand on what has arrived since the last tick. The end has two of its own: it is long enough for them."""
        events = _empty(self.line.mail)
        ended = events.pop() if events and isinstance(events[-1], Ended) else None
        if events:
            if ended is not None:
                self.line.mail.put(ended)  # nothing is behind it; whoever cuts the line meanwhile finds it there
            self.received.emit(events)
        elif ended is not None and self._thread is not None:
            if not self._ending:
                self._ending = True
                self.line.mail.put(ended)
                self._timer.start(0)
                self.ending.emit(ended)
                return
            self._timer.stop()
            self._thread.join(timeout=1)
            self._thread, self._ending = None, False
            self.ended.emit(ended)


def _spawn(start: Start, line: Line) -> threading.Thread:
    """A thread that knows nothing of Qt objects, so that it may outlive them."""
    thread = threading.Thread(target=_work, args=(start, line), name="napari-restore", daemon=True)
    if not _ALIVE:
        _wait_at_the_end()
    _ALIVE[thread] = line
    thread.start()
    return thread


def _work(start: Start, line: Line) -> None:
    """The body of the thread; its last letter is how it ended."""
    try:
        ended = _run(start, line)
        if line.left.is_set() and line.keep is not None:
            line.keep(ended)
            return
    finally:
        _ALIVE.pop(threading.current_thread(), None)
    line.mail.put(ended)
    if line.left.is_set():  # since then
        line.pick_up()


def _run(start: Start, line: Line) -> Ended:
    """Advance the generator to its end; whatever it raises is turned into words."""
    try:
        events = start(line.stop)
        while True:
            try:
                line.mail.put(next(events))
            except StopIteration as end:
                return Ended(end.value, None)
    except RestoreError as error:
        return Ended(None, Failed(type(error).__name__, for_widget(str(error))))
    except BaseException as error:  # noqa: BLE001  nothing may leave a worker: napari loses it, or aborts
        if not (line.left.is_set() and _no_executor(error)):
            _log.exception("the work failed")
        return Ended(None, Failed(type(error).__name__, in_words(error)))


def _no_executor(error: BaseException) -> bool:
    """Whether the interpreter is at its end, where no application was there to quit first: nobody is to be told."""
    return isinstance(error, RuntimeError) and "cannot schedule new futures after" in str(error)


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


_ALIVE: dict[threading.Thread, Line] = {}


def _wait_at_the_end() -> None:
    """Have work wind down when the application quits, or else at exit.

    The first is early enough for work that writes: the interpreter closes all executors before any function of
    ``atexit``, and what writes with one (Zarr does) fails from then on. The second is for applications that never ran.
    """
    atexit.unregister(_wind_down)
    atexit.register(_wind_down)
    application = QCoreApplication.instance()
    if application is not None:
        with suppress(TypeError, RuntimeError):  # it was not connected yet
            application.aboutToQuit.disconnect(_wind_down)
        application.aboutToQuit.connect(_wind_down)


def _wind_down() -> None:
    """Let running work close its files, and keep what it has learned: no window is open any more."""
    alive, began = dict(_ALIVE), time.monotonic()
    for line in alive.values():
        line.cut()
    for thread in alive:
        thread.join(timeout=max(0.0, began + _GRACE - time.monotonic()))

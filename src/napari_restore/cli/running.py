"""Long work in the shell: stopped by Ctrl-C at its next step, told as bars, lines or JSON, ended with an exit code."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import typer

from napari_restore.core.errors import RestoreError
from napari_restore.core.events import Event, Stopped, to_json
from napari_restore.core.job import Events, drain
from napari_restore.verbs import Verb


@contextmanager
def stoppable() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM set the event; the work ends at its next step. A second Ctrl-C ends it at once."""
    stop = threading.Event()

    def ask(number: int, _: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        print("stopping at the next step ...", file=sys.stderr)  # noqa: T201

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def show(events: Events[Any], *, as_json: bool, quiet: bool) -> Any:
    """Run long work with JSON lines, progress bars or plain lines; exit with 130 when it was stopped."""
    from napari_restore.cli.progress import Bars, Lines

    stopped: list[Stopped] = []
    consumer = None if as_json else Bars() if sys.stderr.isatty() and not quiet else Lines(quiet=quiet)

    def see(event: Event) -> None:
        if isinstance(event, Stopped):
            stopped.append(event)
        if consumer is None:
            print(to_json(event), flush=True)  # noqa: T201
        else:
            consumer.see(event)

    with consumer or nullcontext():
        result = drain(events, see)
    if stopped:
        if not quiet and not as_json:
            print(_how_to_go_on(stopped[-1]), file=sys.stderr)  # noqa: T201
        raise typer.Exit(130)
    return result


def _how_to_go_on(event: Stopped) -> str:
    if event.what == "batch":
        return f"stopped after {event.step} images; the same command goes on"
    reached = f"training at step {event.step}" if event.what == "training" else f"restoring after {event.step} tiles"
    said = "the same command with --resume goes on" if event.path else "it cannot be resumed without --run"
    return f"stopped {reached}; {said}"


def finish(verb: Verb, result: Any) -> None:
    """Say which images of a folder failed.

    Raises
    ------
    RestoreError
        If any did.
    """
    if verb.gives == "folder" and (failed := [state for state in result if state.state == "failed"]):
        first = f"{Path(failed[0].path).name}: {failed[0].reason}"
        raise RestoreError(f"{len(failed)} of {len(result)} images failed, the others are done. {first}")

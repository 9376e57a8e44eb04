"""Events as a person reads them: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from napari_restore.core.events import (
    Compared,
    Event,
    FileState,
    Measured,
    Note,
    RestorationStarted,
    Saved,
    TileDone,
    Trained,
    TrainingStarted,
)


class Lines:
    """One line for what matters: notes, start and end of each part, files. Errors are not shown here."""

    def __init__(self, *, quiet: bool = False) -> None:
        self._quiet = quiet

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def see(self, event: Event) -> None:
        """Print what the event means, if it means something."""
        text = in_words(event)
        if text is not None and not self._quiet:
            print(text, file=sys.stderr, flush=True)  # noqa: T201


class Bars:
    """A bar for training and one for restoring, with the time that is left; other events as lines above them."""

    def __init__(self) -> None:
        self._console = Console(stderr=True)
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=30),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[said]}"),
            console=self._console,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def see(self, event: Event) -> None:
        """Move a bar, or print a line."""
        match event:
            case TrainingStarted():
                self._task = self._bars.add_task("training", total=1.0, said="")
            case RestorationStarted():
                self._task = self._bars.add_task("restoring", total=event.tiles, completed=event.done, said="")
            case Measured() if self._task is not None:
                held = f", held-out {event.validation:.4f}" if event.validation is not None else ""
                self._bars.update(self._task, completed=event.fraction, said=f"loss {event.loss:.4f}{held}")
            case TileDone() if self._task is not None:
                self._bars.update(self._task, completed=event.done, said=f"{event.done} of {event.tiles} tiles")
            case _:
                pass
        text = in_words(event)
        if text is not None:
            self._console.print(text, highlight=False)


def in_words(event: Event) -> str | None:
    """An event as a line of text; None for those that only move a bar."""
    match event:
        case Note():
            return f"warning: {event.text}" if event.level == "warning" else event.text
        case TrainingStarted():
            budget = f"{event.steps} steps" if event.steps is not None else f"{event.seconds:g} s"
            return (
                f"training {event.method} for {budget} on {event.device}, {event.precision}, "
                f"{event.parameters / 1e3:.0f} k parameters"
            )
        case Trained():
            return f"trained {event.step} steps in {event.seconds:.0f} s"
        case RestorationStarted():
            kept = f", {event.done} of them done before" if event.done else ""
            size = "x".join(map(str, event.tile))
            return f"restoring {event.tiles} tiles of {size}{kept} on {event.device}, {event.precision}"
        case Compared():
            return _table(event)
        case Saved():
            return f"saved {event.path}"
        case FileState(state="running" | "skipped" | "failed"):
            why = f" ({event.reason})" if event.reason else ""
            return f"image {event.index + 1} of {event.files}, {Path(event.path).name}: {event.state}{why}"
        case _:
            return None


_CALLED = {
    "learned": "learned",
    "bicubic": "interpolated alone",
    "wiener": "Wiener filter",
    "richardson_lucy": "Richardson-Lucy",
    "total_variation": "total variation",
}
_MEANING = (
    "  error: how far it is from the sharp image, as the instrument sees both, in the image's units; * has the least",
    "  details lost: 0 where only noise was taken away, more where structure went with it",
    "  noise taken: 1 where all of it is gone, less where some was fitted, more where details went",
)


def _table(event: Compared) -> str:
    lines = [f"{'compared without the truth':<28}{'error':>10}{'details lost':>14}{'noise taken':>13}"]
    for name, error, structure, residual in event.rows:
        mark = " *" if name == event.best else "  "
        lines.append(f"{mark}{_CALLED.get(name, name):<26}{error:>10.4g}{structure:>14.3f}{residual:>13.2f}")
    return "\n".join([*lines, *_MEANING])

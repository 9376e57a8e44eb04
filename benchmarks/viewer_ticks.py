"""How long the viewer stands still, and how much of that is ours, while the plugin opens, trains, restores, compares.

Opens a real viewer with a noisy stack made by the script, and the plugin as its menu does. Needs a display; without
one, and for the figures of a machine without a graphics card:

    xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python benchmarks/viewer_ticks.py

Two things are measured in the GUI thread, phase by phase.

`ticks_ms`: the time between two ticks of a timer of 5 ms, from whatever cause: napari's drawing, Qt's, ours, or another
thread that has the processor or Python's lock. This is what a user feels. The first phases have nothing of ours open:
what they show is the viewer's own, and software rendering alone costs it 100 ms a picture on a slow machine.

`holds_ms`: the time from the moment a function of ours begins until it has ended, where none of ours called it: Qt or
napari did. What it calls counts as ours, also napari's slicing and layers. What Qt and napari do by themselves (the
next picture of the canvas, a click before it comes to us) does not. To know these moments our modules are loaded with a
call at the beginning and end of each function and before each statement, about 0.5 us each. So nothing is sampled, the
resolution is that of the clock, and the line that took the longest is known, with what it called outside of ours.
Ours are `napari_restore.gui`, `.sources` and `.store`, and pyqtgraph's `GraphicsView`, for it paints our plot; what Qt
itself paints of our widgets (words, buttons, tables) is in the ticks alone, as are lambdas and generators but for what
they call.

Of each hold told, in milliseconds: `wall` by the clock; `cpu`, the thread's processor time, which is less where the
thread waited for a core or for Python's lock while a worker had it; `napari`, the part within calls of ours to napari
that make, add, take away or refresh a layer, or move an entry of its activity dock, amid which it handles all events
that wait, the next picture of the canvas among them; `gc`, the part in Python's collector of cyclic garbage, which
begins wherever the next object is made, in napari's code as in ours, and looks at everything that is loaded, torch
too; `line`, and `line_wall` with neither. `longest` is by the clock and leaves nothing out; `longest_without` leaves
out `napari` and `gc`.
A viewer with nothing of ours pays the same for a layer: see the phase "layer added and removed".
"""

from __future__ import annotations

import ast
import functools
import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import itertools
import os
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import numpy as np
import reporting

PACKAGE = "napari_restore"
OURS = ("napari_restore.gui", "napari_restore.sources", "napari_restore.store", "pyqtgraph.widgets.GraphicsView")
NAPARI = (
    ("napari.components.layerlist", "LayerList", ("insert", "remove")),
    ("napari.components.viewer_model", "ViewerModel", ("add_layer", "add_image")),
    ("napari.layers", "Layer", ("refresh",)),
    ("napari.layers", "Image", ("__init__",)),
    ("napari.utils.progress", "progress", ("__init__", "update", "close")),
)
TICK_MS = 5
SLIDER_EVERY = 0.5
WINDOW = (1180, 960)
LONGEST = 50.0
"""Milliseconds that a hold of ours may last while something trains or is restored."""


def main() -> None:
    parser = reporting.parser(__doc__, threads=2)
    parser.add_argument("--seconds", type=float, default=30, help="of training (default 30)")
    parser.add_argument("--idle", type=float, default=5, help="seconds of each phase without work (default 5)")
    parser.add_argument("--shape", type=reporting.shape_of, default=(16, 512, 512), metavar="Z,Y,X")
    parser.add_argument("--files", type=int, default=3, help="images of the batch (default 3)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=3, metavar="N", help="holds told of each phase (default 3)")
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    holds = Holds()
    sys.meta_path.insert(0, Timed(holds))
    gc.callbacks.append(holds.collect)
    with tempfile.TemporaryDirectory() as folder:
        keep_settings_in(Path(folder))
        phases = walk(given, Phases(holds, given.show), Path(folder))
    settings = {name: getattr(given, name) for name in ("seconds", "idle", "shape", "files", "seed")}
    settings |= {"tick_ms": TICK_MS, "slider_every_seconds": SLIDER_EVERY, "libraries_compiled": compiled("napari")}
    results = {"opening_seconds": phases.opening, "renderer": phases.renderer, "phases": phases.found}
    judged = [found["holds_ms"] for found in phases.found.values() if found["judged"]]
    results["longest_hold_ms"] = max(found["longest"] for found in judged)
    results["longest_hold_without_napari_and_gc_ms"] = max(found["longest_without"] for found in judged)
    results["allowed_ms"] = LONGEST
    reporting.finish(machine, results=results, settings=settings, out=given.out)


def keep_settings_in(folder: Path) -> None:
    """What napari and the plugin remember is not the user's."""
    os.environ["NAPARI_CONFIG"] = str(folder / "napari.yaml")
    from qtpy.QtCore import QSettings

    for kind in (QSettings.Format.IniFormat, QSettings.Format.NativeFormat):
        QSettings.setPath(kind, QSettings.Scope.UserScope, str(folder / "settings"))


# What a user does.


def walk(given: Any, phases: Phases, folder: Path) -> Phases:
    """Every phase, in the order of a first day with the plugin."""
    import napari

    phases.look_at_napari()
    viewer = napari.Viewer(show=True, show_welcome_screen=False, title="napari")
    viewer.window.resize(*WINDOW)
    rng = np.random.default_rng(given.seed)
    raw = viewer.add_image(noisy(given.shape, rng), name="raw", axis_labels=("z", "y", "x"), contrast_limits=(90, 260))
    phases.renderer = renderer(viewer)
    live(2)
    slider = Slider(viewer, given.shape[0])
    phases.measure("idle viewer, nothing of ours open", given.idle)
    phases.measure("slider moved, nothing of ours open", given.idle, every=(SLIDER_EVERY, slider.move))
    with phases.measuring("layer added and removed, nothing of ours open"):
        for _ in range(3):
            viewer.add_image(raw.data, contrast_limits=(90, 260))
            live(0.5)
            viewer.layers.pop()
            live(0.5)
    tabs = open_plugin(viewer, phases)
    restore = tabs.restore
    phases.measure("torch is loaded in a thread", lambda: restore.form.badge.text() != "…")
    phases.measure("idle, widget open", given.idle)
    phases.measure("slider moved, widget open", given.idle, every=(SLIDER_EVERY, slider.move))
    (folder / "results").mkdir()
    restore.form.place.use(folder / "results")
    restore.session.preview_every = 1.0
    viewer.layers.selection.active = raw
    with phases.measuring("advanced options unfolded and folded"):
        restore.form.advanced.fold.setChecked(True)
        restore.form.advanced.editors["seconds"].setValue(given.seconds)
        live(0.5)
        restore.form.advanced.fold.setChecked(False)
        live(0.5)
    ended = Ended(restore.session.runner)
    with phases.measuring("training, slider moved", every=(SLIDER_EVERY, slider.move)):
        restore.train()
        wait(ended, given.seconds * 4 + 300)
    assert restore.session.model is not None, restore.outcome.messages.toPlainText()
    with phases.measuring("restoring, slider moved", every=(SLIDER_EVERY, slider.move)):
        restore.restore()
        wait(ended, 1800)
    assert restore.buttons.words.text().startswith("Done"), restore.outcome.messages.toPlainText()
    run_batch(given, phases, tabs, folder / "images")
    compare(given, phases, tabs, viewer)
    tabs.leave()
    viewer.close()
    return phases


def noisy(shape: Sequence[int], rng: np.random.Generator) -> np.ndarray:
    """A stack of blurred spots with photon noise, in camera counts: (Z, Y, X) of uint16."""
    from scipy import ndimage

    spots = np.zeros(tuple(shape), np.float32)
    spots[tuple(rng.integers(0, n, spots.size // 2000) for n in shape)] = 1
    smooth = ndimage.gaussian_filter(spots, (1, 4, 4))
    return (100 + rng.poisson(10 + 90 * smooth / smooth.max())).astype(np.uint16)


def renderer(viewer: Any) -> str:
    """What draws the canvas, in OpenGL's words."""
    from vispy.gloo import gl

    viewer.window._qt_viewer.canvas._scene_canvas.set_current()
    return str(gl.glGetParameter(gl.GL_RENDERER))


class Slider:
    """Moves the viewer's slider one plane at a time, round and round."""

    def __init__(self, viewer: Any, planes: int) -> None:
        self._viewer = viewer
        self._next = itertools.cycle(range(planes))

    def move(self) -> None:
        self._viewer.dims.set_current_step(0, next(self._next))


class Ended:
    """Whether the work of a runner has ended and been shown, since this was asked last."""

    def __init__(self, runner: Any) -> None:
        self._there = False
        runner.ended.connect(self._take)  # after the plugin's own

    def _take(self, ended: Any) -> None:
        self._there = True

    def __call__(self) -> bool:
        there, self._there = self._there, False
        return there


def open_plugin(viewer: Any, phases: Phases) -> Any:
    """As the menu does; the time until it is drawn and the viewer answers again."""
    from qtpy.QtWidgets import QApplication

    began = time.perf_counter()
    with phases.measuring("opening the widget", judged=False):
        _, tabs = viewer.window.add_plugin_dock_widget("napari-restore", "Restore")
        QApplication.processEvents()
        phases.opening = round(time.perf_counter() - began, 3)
        live(0.3)
    return tabs


def run_batch(given: Any, phases: Phases, tabs: Any, folder: Path) -> None:
    """A folder of small TIFFs, with the model trained before."""
    import tifffile

    folder.mkdir()
    rng = np.random.default_rng(given.seed + 1)
    for number in range(given.files):
        tifffile.imwrite(folder / f"{number}.tif", noisy((4, 256, 256), rng), metadata={"axes": "ZYX"})
    ended = Ended(tabs.batch.runner)
    with phases.measuring("batch"):
        tabs.open("batch")
        tabs.batch.form.folder.line.setText(str(folder))
        wait(lambda: tabs.batch.rows.rowCount() == given.files, 60)
        tabs.batch.run()
        wait(ended, 1800)
    assert tabs.batch.rows.count("done") == given.files, tabs.batch.words.text()
    with phases.measuring("batch, a result opened"):
        count = len(tabs.batch._viewer.layers)
        tabs.batch.open_row(tabs.batch.rows.index(0, 0))
        wait(lambda: len(tabs.batch._viewer.layers) > count, 60)
        live(0.5)
    viewer = tabs.batch._viewer
    viewer.layers.remove(viewer.layers[-1])


def compare(given: Any, phases: Phases, tabs: Any, viewer: Any) -> None:
    """The curtain between the raw layer and the result, dragged with the mouse; then blinking, and their difference."""
    widget = tabs.compare
    tabs.open("compare")
    live(1)
    with phases.measuring("compare, curtain begun"):
        widget.choose("curtain")
        live(1)
    assert widget.mode == "curtain", widget.controls.message.text()
    mouse = Mouse(viewer)
    mouse.press(0.5)
    seen: set[int] = set()
    widget.controls.divider.valueChanged.connect(seen.add)
    places = itertools.cycle([0.5 + 0.3 * np.sin(t) for t in np.linspace(0, 2 * np.pi, 60, endpoint=False)])
    next(places)
    phases.measure("compare, curtain dragged", given.idle, every=(0.03, lambda: mouse.move(next(places))))
    assert len(seen) > 3, "the divider did not follow"
    mouse.release()
    widget.choose("blink")
    phases.measure("compare, blinking", given.idle)
    with phases.measuring("compare, difference added"):
        widget.add_difference()
        live(0.5)


class Mouse:
    """The left button on the canvas, half-way down, at a place from 0 (left) to 1 (right)."""

    def __init__(self, viewer: Any) -> None:
        self._canvas = viewer.window._qt_viewer.canvas.native
        self._place = 0.5

    def press(self, place: float) -> None:
        self.move(place, pressed=False)
        self._send("MouseButtonPress", held=True)

    def move(self, place: float, *, pressed: bool = True) -> None:
        self._place = place
        self._send("MouseMove", held=pressed)

    def release(self) -> None:
        self._send("MouseButtonRelease", held=False)

    def _send(self, kind: str, *, held: bool) -> None:
        from qtpy.QtCore import QEvent, QPointF, Qt
        from qtpy.QtGui import QMouseEvent
        from qtpy.QtWidgets import QApplication

        at = QPointF(self._place * self._canvas.width(), 0.4 * self._canvas.height())
        left, none = Qt.MouseButton.LeftButton, Qt.MouseButton.NoButton
        event = QMouseEvent(
            getattr(QEvent.Type, kind),
            at,
            QPointF(self._canvas.mapToGlobal(at.toPoint())),
            none if kind == "MouseMove" else left,
            left if held else none,
            Qt.KeyboardModifier.NoModifier,
        )
        QApplication.sendEvent(self._canvas, event)


# The event loop, and what is measured in it.


def live(seconds: float) -> None:
    """Let the viewer live for some time."""
    end = time.perf_counter() + seconds
    wait(lambda: time.perf_counter() >= end, seconds + 60)


def wait(until: Callable[[], bool], seconds: float) -> None:
    """Let the viewer live until something is so, in Qt's own loop: nothing else keeps the thread busy."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop, timer = QEventLoop(), QTimer()
    end = time.perf_counter() + seconds

    def look() -> None:
        if until() or time.perf_counter() > end:
            timer.stop()
            loop.quit()

    timer.timeout.connect(look)
    timer.start(20)
    loop.exec()
    if time.perf_counter() > end:
        raise SystemExit(f"gave up waiting after {seconds:.0f} s")


class Phases:
    """Measures ticks and holds phase by phase."""

    def __init__(self, holds: Holds, shown: int) -> None:
        self._holds = holds
        self._shown = shown
        self.opening = 0.0
        self.renderer = ""
        self.found: dict[str, dict[str, Any]] = {}

    def look_at_napari(self) -> None:
        """From now on, tell napari's part of each hold."""
        for module, owner, names in NAPARI:
            for name in names:
                self._holds.leave_out(getattr(importlib.import_module(module), owner), name)

    def measure(
        self, name: str, until: float | Callable[[], bool], every: tuple[float, Callable[[], None]] | None = None
    ) -> None:
        """So many seconds, or until something is so."""
        with self.measuring(name, every=every):
            live(until) if isinstance(until, float | int) else wait(until, 120)

    @contextmanager
    def measuring(
        self, name: str, every: tuple[float, Callable[[], None]] | None = None, *, judged: bool = True
    ) -> Iterator[None]:
        """What happens inside, with something done every few seconds meanwhile; ``judged`` where holds have a limit."""
        from qtpy.QtCore import Qt, QTimer

        reporting.progress(name)
        times: list[float] = []
        ticker, doer = QTimer(), QTimer()
        ticker.setTimerType(Qt.TimerType.PreciseTimer)
        ticker.timeout.connect(lambda: times.append(time.perf_counter()))
        if every is not None:
            doer.timeout.connect(every[1])
            doer.start(round(1000 * every[0]))
        self._holds.all.clear()
        self._holds.collections.clear()
        began = time.perf_counter()
        times.append(began)
        ticker.start(TICK_MS)
        yield
        ticker.stop()
        doer.stop()
        times.append(time.perf_counter())
        self.found[name] = {
            "seconds": round(times[-1] - began, 1),
            "judged": judged,
            "ticks_ms": ticks(times),
            "longest_gc_of_any_thread_ms": milliseconds(max(self._holds.collections, default=0.0)),
            "holds_ms": self._summary(),
        }

    def _summary(self) -> dict[str, Any]:
        found = sorted(self._holds.all, key=lambda hold: -hold.wall)
        rest = sorted(found, key=lambda hold: -hold.rest)
        by_entry: dict[str, Hold] = {}
        for hold in rest:
            by_entry.setdefault(hold.outermost, hold)
        told = found[:1] + [hold for hold in by_entry.values() if hold is not found[0]]
        return {
            "count": len(found),
            "over_the_limit": sum(1000 * hold.wall > LONGEST for hold in found),
            "longest": milliseconds(found[0].wall) if found else 0.0,
            "longest_without": milliseconds(rest[0].rest) if rest else 0.0,
            "told": [hold.in_words() for hold in told[: self._shown]],
        }


def ticks(times: Sequence[float]) -> dict[str, Any]:
    """The gaps between ticks: how many, the 99th percentile and the longest."""
    gaps = np.diff(times)
    return {
        "count": len(gaps),
        "p99": milliseconds(float(np.percentile(gaps, 99))),
        "longest": milliseconds(float(gaps.max())),
    }


def milliseconds(seconds: float) -> float:
    return round(1000 * seconds, 1)


# Our functions, told when they begin and end.


@dataclass(frozen=True)
class Hold:
    """One stay of the GUI thread in our code.

    Attributes
    ----------
    outermost
        The function that Qt or napari called.
    wall, cpu
        Seconds, by the clock and of the processor.
    napari, collector
        Seconds by the clock of what is named so in the head of this file; where both are so, the collector's.
    longest
        The line of ours that took the most of the rest, together with what it called outside of our modules, and its
        seconds.
    """

    outermost: str
    wall: float
    cpu: float
    napari: float
    collector: float
    longest: tuple[str, float]

    @property
    def rest(self) -> float:
        """What is neither napari's nor the collector's."""
        return self.wall - self.napari - self.collector

    def in_words(self) -> dict[str, Any]:
        line, seconds = self.longest
        return {
            "entry": self.outermost,
            "wall": milliseconds(self.wall),
            "cpu": milliseconds(self.cpu),
            "napari": milliseconds(self.napari),
            "gc": milliseconds(self.collector),
            "line": line,
            "line_wall": milliseconds(seconds),
        }


_NAPARI, _COLLECTOR = "napari", "the collector of garbage"


@dataclass
class Holds:
    """Every hold of the thread that made this, since ``all`` was emptied last.

    Time is always spent in the place at the top of a stack: a line of ours, napari, or the collector.
    """

    all: list[Hold] = field(default_factory=list)
    collections: list[float] = field(default_factory=list)
    _thread: int = field(default_factory=threading.get_ident)
    _stack: list[list[str]] = field(default_factory=list)
    _spent: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    _began: tuple[float, float] = (0.0, 0.0)
    _last: float = 0.0
    _collecting: float = 0.0

    def enter(self, place: str) -> None:
        """A function of ours begins."""
        if threading.get_ident() != self._thread:
            return
        if self._stack:
            self._pay()
        else:
            self._last = time.perf_counter()
            self._began = (self._last, time.thread_time())
        self._stack.append([place, place])

    def at(self, place: str) -> None:
        """A statement of it begins."""
        if threading.get_ident() == self._thread and self._stack:
            self._pay()
            self._stack[-1][1] = place

    def leave(self) -> None:
        """It has ended."""
        if threading.get_ident() != self._thread or not self._stack:
            return
        self._pay()
        function, _ = self._stack.pop()
        if not self._stack:
            self._end(function)

    def leave_out(self, owner: Any, name: str) -> None:
        """Let the time in a method of napari's be told apart, where we have called it."""
        plain = getattr(owner, name)

        @functools.wraps(plain)
        def told(*args: Any, **named: Any) -> Any:
            if threading.get_ident() != self._thread or not self._stack:
                return plain(*args, **named)
            self.enter(_NAPARI)
            try:
                return plain(*args, **named)
            finally:
                self.leave()

        setattr(owner, name, told)

    def collect(self, phase: str, info: dict[str, int]) -> None:
        """The collector begins or ends, in any thread: all others wait meanwhile."""
        if phase == "start":
            self._collecting = time.perf_counter()
        else:
            self.collections.append(time.perf_counter() - self._collecting)
        if self._stack and threading.get_ident() == self._thread:
            self.enter(_COLLECTOR) if phase == "start" else self.leave()

    def _pay(self) -> None:
        now = time.perf_counter()
        self._spent[self._stack[-1][1]] += now - self._last
        self._last = now

    def _end(self, function: str) -> None:
        napari, collector = self._spent.pop(_NAPARI, 0.0), self._spent.pop(_COLLECTOR, 0.0)
        longest = max(self._spent.items(), key=lambda item: item[1])
        wall, cpu = self._last - self._began[0], time.thread_time() - self._began[1]
        self.all.append(Hold(function, wall, cpu, napari, collector, longest))
        self._spent.clear()


def compiled(package: str) -> bool:
    """Whether a library lies here compiled, as pip leaves it; where it does not, loading any takes much longer."""
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.cached is not None and Path(spec.cached).exists()


class Timed(importlib.abc.MetaPathFinder):
    """Finds the package's modules, and lets ours among them be loaded with those calls in them.

    All are compiled at once, and not when they are wanted: a user has them compiled, too.
    """

    def __init__(self, holds: Holds) -> None:
        self._holds = holds
        self._codes = {path: plain_code(path) for path in files_of(PACKAGE)}
        self._codes |= {path: told_code(path) for name in OURS for path in files_of(name)}

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if not any(name == one or name.startswith(f"{one}.") for one in (PACKAGE, *OURS)):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and spec.origin in self._codes:
            spec.loader = TimedLoader(name, spec.origin, self._codes[spec.origin], self._holds)
        return spec


class TimedLoader(importlib.machinery.SourceFileLoader):
    """Runs a module's code with the calls in it."""

    def __init__(self, name: str, path: str, code: CodeType, holds: Holds) -> None:
        super().__init__(name, path)
        self._code = code
        self._holds = holds

    def get_code(self, fullname: str) -> CodeType:
        return self._code

    def exec_module(self, module: ModuleType) -> None:
        for name in ("enter", "at", "leave"):
            setattr(module, f"__holds_{name}__", getattr(self._holds, name))
        super().exec_module(module)


def files_of(name: str) -> list[str]:
    """The files of a module, or of a package and all below it; the module itself is not imported."""
    package, _, rest = name.partition(".")
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.origin is not None, f"{package} is not installed"
    path = Path(spec.origin).parent.joinpath(*rest.split("."))
    return [str(file) for file in sorted(path.rglob("*.py"))] if path.is_dir() else [str(path.with_suffix(".py"))]


def plain_code(path: str) -> CodeType:
    return compile(Path(path).read_bytes(), path, "exec", dont_inherit=True)


def told_code(path: str) -> CodeType:
    tree = ast.parse(Path(path).read_bytes(), path)
    told = ast.fix_missing_locations(Telling(Path(path).name).visit(tree))
    return compile(told, path, "exec", dont_inherit=True)


class Telling(ast.NodeTransformer):
    """Puts the calls into every function that is no generator; its signature and its line numbers stay."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._within: list[str] = []

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        self._within.append(node.name)
        self.generic_visit(node)
        self._within.pop()
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self._within.append(node.name)
        self.generic_visit(node)
        if not yields(node):
            name = ".".join(self._within)
            words = node.body[:1] if ast.get_docstring(node, clean=False) is not None else []
            body = self._told(node.body[len(words) :], name)
            begin, end = call("enter", f"{self._file}:{node.lineno} {name}"), call("leave")
            node.body = [*words, begin, ast.Try(body=body or [ast.Pass()], handlers=[], orelse=[], finalbody=[end])]
        self._within.pop()
        return node

    def _told(self, body: Sequence[ast.stmt], name: str) -> list[ast.stmt]:
        """The statements, each after a call that says its line; so are those inside of loops and branches."""
        result: list[ast.stmt] = []
        for statement in body:
            if not isinstance(statement, ast.FunctionDef | ast.ClassDef):
                for part in ("body", "orelse", "finalbody"):
                    if inner := getattr(statement, part, None):
                        setattr(statement, part, self._told(inner, name))
                for part in (*getattr(statement, "handlers", ()), *getattr(statement, "cases", ())):
                    part.body = self._told(part.body, name)
            result += [call("at", f"{self._file}:{statement.lineno} {name}"), statement]
        return result


def yields(function: ast.FunctionDef) -> bool:
    """Whether it is a generator; functions inside of it do not count."""
    left: list[ast.AST] = list(function.body)
    while left:
        node = left.pop()
        if isinstance(node, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(node, ast.FunctionDef | ast.Lambda | ast.ClassDef):
            left += ast.iter_child_nodes(node)
    return False


def call(name: str, *words: str) -> ast.Expr:
    function = ast.Name(f"__holds_{name}__", ast.Load())
    return ast.Expr(ast.Call(function, [ast.Constant(word) for word in words], []))


if __name__ == "__main__":
    main()

"""Thousands of things that users do, in an order that nobody has thought of: does the window stay whole?

Opens a real viewer and does at random, by the window's own buttons, boxes, rows and menus, what a person can do:
layers of many kinds come and go, are chosen, renamed, moved and selected together; verbs, methods, efforts and every
box under Advanced are changed; runs, trainings, copies, reports, checks, exports and batches begin, are cancelled, go
on, are gone back to and discarded; tabs, curtain, blinking, regions; files are saved and dropped; the panel is closed
(amid work it asks) and opened again; so is the viewer. Needs a display:

    xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python benchmarks/random_actions.py

After each action the window must be right: Cancel enabled where something goes on and nowhere else, the main button
where something can be run, the bar busy where something is. Every so many actions all of it is cancelled, and no
thread of ours may be left after `SETTLES` seconds of the process's own time. What else counts as found: any exception
that nobody caught (in a slot, a thread, a finalizer), any error in a worker that nobody had put into words, warnings of
Python and of Qt.

The work is real, by a network of few steps on tiny images. Each seed is a process of its own.
"""

from __future__ import annotations

import json
import logging
import random
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import reporting

SETTLES = 30.0
"""Seconds of this process's own time within which everything that was cancelled must have ended."""

SETTLES_BY_THE_CLOCK = 600.0
"""Seconds, however much else the machine has to do."""

_LAST_LINES = 80
"""Of what a process said that has died: the last actions, and where it was."""

MOST_LAYERS = 8
_LETTERS = "tczyx"


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--actions", type=int, default=500, help="of each seed (default 500)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--settle-every", type=int, default=50, metavar="N", help="actions (default 50)")
    parser.add_argument("--minutes", type=float, default=600, help="of a seed, at most")
    parser.add_argument("--alone", action="store_true", help="one seed in this process: what the others are made of")
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    if given.alone:
        with tempfile.TemporaryDirectory() as folder:
            keep_settings_in(Path(folder))
            print(json.dumps(told(one_seed(given.seeds[0], given, Path(folder) / "files"))))
        return
    results = {f"seed {seed}": in_a_process(seed, given) for seed in given.seeds}
    results["actions"] = sum(result["actions"] for result in results.values())
    settings = {"actions": given.actions, "seeds": given.seeds, "settle_every": given.settle_every}
    reporting.finish(machine, results=results, settings=settings, out=given.out)


def in_a_process(seed: int, given: Any) -> dict[str, Any]:
    """A process that dies is found, too."""
    options = ["--alone", "--seeds", seed, "--actions", given.actions, "--settle-every", given.settle_every]
    options += ["--minutes", given.minutes]
    command = [sys.executable, "-X", "faulthandler", __file__, *map(str, options)]
    last: deque[str] = deque(maxlen=_LAST_LINES)
    with tempfile.TemporaryFile("w+") as answer:
        with subprocess.Popen(command, stdout=answer, stderr=subprocess.PIPE, text=True) as process:
            for line in process.stderr or ():
                reporting.progress(line.rstrip())
                last.append(line)
        answer.seek(0)
        if process.returncode == 0:
            return json.loads(answer.read().splitlines()[-1])
    return {"actions": 0, "found": [f"the process ended with {process.returncode}: {''.join(last)}"]}


def keep_settings_in(folder: Path) -> None:
    """What napari and the plugin remember is not the user's."""
    import os

    os.environ["NAPARI_CONFIG"] = str(folder / "napari.yaml")
    from qtpy.QtCore import QSettings

    for kind in (QSettings.Format.IniFormat, QSettings.Format.NativeFormat):
        QSettings.setPath(kind, QSettings.Scope.UserScope, str(folder / "settings"))


def one_seed(seed: int, given: Any, folder: Path) -> Person:
    """A viewer of its own, so many actions, and all of it closed again."""
    folder.mkdir()
    with Found().listening() as found, answered(random.Random(seed), folder):
        person = Person(seed, folder, opened_viewer, Brief(folder, random.Random(seed)), found=found)
        began = time.monotonic()
        for number in range(1, given.actions + 1):
            person.act()
            reporting.progress(f"{number} {person.doing[-1]}")
            if time.monotonic() - began > 60 * given.minutes:
                break
            if number % given.settle_every == 0:
                person.settle()
                seconds = time.monotonic() - began
                reporting.progress(f"seed {seed}: {number} actions in {seconds:.0f} s, {len(found.all)} found")
        person.settle()
        person.close_viewer()
    return person


def told(person: Person) -> dict[str, Any]:
    """What a report says of a seed."""
    return {
        "actions": sum(person.done.values()),
        "runs_begun": person.engine.runs,
        "done": dict(sorted(person.done.items())),
        "longest_settling_processor_s": round(max(person.settled), 1),
        "found": person.found.all,
    }


def opened_viewer() -> Any:
    """On the screen: what is hidden cannot be clicked."""
    import napari

    viewer = napari.Viewer(show=True, show_welcome_screen=False, title="napari")
    viewer.window.resize(1180, 900)
    return viewer


class Brief:
    """The real engine, with a few steps of training: sometimes so many that one has to cancel."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        from napari_restore.gui.restore.work import package_engine

        self._real, self._folder, self._rng, self.runs = package_engine(device="cpu"), folder, rng, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def run(self, request: Any, watch: Any) -> Any:
        from napari_restore.core.options import Training

        self.runs += 1
        if Training in request.row.groups:
            steps = self._rng.choice((2, 3, 5, 20, 2000))
            request = replace(request, training=replace(request.training, seconds=None, steps=steps))
        return self._real.run(request, watch)


# What counts as found.


@dataclass
class Found:
    """What went wrong, each with what was done last.

    Attributes
    ----------
    all
        In words.
    doing
        What is done now.
    """

    all: list[str] = field(default_factory=list)
    doing: list[str] = field(default_factory=list)

    def add(self, words: str) -> None:
        last = " > ".join(self.doing[-6:])
        for folder in (Path(__file__).resolve().parents[1], Path(sys.prefix)):  # the report is published
            words = words.replace(f"{folder}/", "")
        self.all.append(f"after {last}: {words}")
        reporting.progress(self.all[-1])

    @contextmanager
    def listening(self) -> Iterator[Found]:
        """To every way in which something can go wrong without anybody being told."""
        from qtpy.QtCore import qInstallMessageHandler

        log = logging.getLogger("napari_restore")
        handler = _Unworded(self)
        hooks = sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning
        sys.excepthook = lambda kind, error, trace: self.add("".join(traceback.format_exception(kind, error, trace)))
        threading.excepthook = lambda given: self.add("".join(traceback.format_exception(given.exc_value)))
        sys.unraisablehook = lambda given: self.add(f"in a finalizer, {given.object}: {given.exc_value!r}")
        warnings.showwarning = self._warned
        log.addHandler(handler)
        before = qInstallMessageHandler(self._said_by_qt)
        try:
            yield self
        finally:
            qInstallMessageHandler(before)
            log.removeHandler(handler)
            sys.excepthook, threading.excepthook, sys.unraisablehook, warnings.showwarning = hooks

    def _warned(self, message: Any, category: Any, filename: str, lineno: int, *_: Any) -> None:
        if not issubclass(category, DeprecationWarning | PendingDeprecationWarning | FutureWarning | ImportWarning):
            self.add(f"{filename}:{lineno} {category.__name__}: {message}")

    def _said_by_qt(self, kind: Any, context: Any, text: str) -> None:
        from qtpy.QtCore import QtMsgType

        if kind not in (QtMsgType.QtDebugMsg, QtMsgType.QtInfoMsg) and not text.startswith(_QT_SAYS):
            self.add(f"Qt: {text}")


_QT_SAYS = ("This plugin does not support", "propagateSizeHints")
"""Of a display that is pretended."""


class _Unworded(logging.Handler):
    def __init__(self, found: Found) -> None:
        super().__init__(logging.WARNING)
        self._found = found

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        trace = "".join(traceback.format_exception(error)) if error is not None else ""
        self._found.add(f"logged: {record.getMessage()} {trace}")


@contextmanager
def answered(rng: random.Random, folder: Path) -> Iterator[None]:
    """Dialogues are answered at once: for files by a good path, one where nothing can be written, or Cancel."""
    from qtpy.QtWidgets import QFileDialog, QInputDialog

    blocked = folder / "file.txt"
    blocked.write_text("a file, in which nothing can be written")
    count = iter(range(10**9))

    def save(*given: Any) -> tuple[str, str]:
        endings = ("", ".tif", ".ome.zarr", ".safetensors", ".html", ".zip")
        path = rng.choice((folder, folder, folder, blocked)) / f"saved_{next(count)}{rng.choice(endings)}"
        kinds = str(given[3]).split(";;") if len(given) > 3 else [""]
        return ("", "") if rng.random() < 0.2 else (str(path), rng.choice(kinds))

    def opened(*_: Any) -> tuple[str, str]:
        there = sorted(path for path in folder.iterdir() if path.is_file() or path.suffix == ".zarr")
        return (str(rng.choice(there)), "") if there and rng.random() < 0.8 else ("", "")

    def directory(*_: Any) -> str:
        chosen = rng.choice(("", "results", "images", "nowhere", "file.txt"))
        if chosen == "results":
            (folder / chosen).mkdir(exist_ok=True)
        return str(folder / chosen) if chosen else ""

    answers = {
        (QFileDialog, "getSaveFileName"): save,
        (QFileDialog, "getOpenFileName"): opened,
        (QFileDialog, "getExistingDirectory"): directory,
        (QFileDialog, "getOpenFileNames"): lambda *given: ([path] if (path := opened(*given)[0]) else [], ""),
        (QInputDialog, "getText"): lambda *_: (rng.choice(("", "mine", "%s", "ß" * 40)), rng.random() < 0.8),
        (QInputDialog, "getItem"): lambda *given, **_: (rng.choice(given[3]), rng.random() < 0.8),
    }
    kept = {place: getattr(*place) for place in answers}
    try:
        for place, answer in answers.items():
            setattr(*place, staticmethod(answer))
        yield
    finally:
        for place, answer in kept.items():
            setattr(*place, answer)


# What a person does.


class Person:
    """Does one thing after the other, at random, and looks each time whether the window is right.

    Parameters
    ----------
    folder
        For all files.
    viewer
        Opens one.
    engine
        What does the work.
    found
        Where it is kept what is wrong; without it an ``AssertionError`` is raised.

    Attributes
    ----------
    done
        How often each action was taken.
    settled
        Seconds of this process's time until nothing went on any more, each time.
    """

    def __init__(
        self, seed: int, folder: Path, viewer: Callable[[], Any], engine: Any, *, found: Found | None = None
    ) -> None:
        self._rng, self._np = random.Random(seed), np.random.default_rng(seed)
        self._folder, self._opened, self.engine, self.found = folder, viewer, engine, found
        self._count = 0
        self.done: Counter[str] = Counter()
        self.settled: list[float] = [0.0]
        self.doing: list[str] = found.doing if found is not None else []
        self._images()
        self.open_viewer()

    @property
    def actions(self) -> dict[Callable[[], object], float]:
        """How often each is done, beside the others."""
        return {
            self.add_layer: 5, self.delete_layer: 3, self.clear_layers: 0.3, self.rename_layer: 1, self.move_layer: 1,
            self.hide_layer: 1, self.change_layer: 1.5, self.select_layer: 3, self.select_several: 3,
            self.move_slider: 2, self.turn_to_3d: 0.5, self.zoom: 1, self.turn_grid: 0.3, self.change_theme: 0.3,
            self.resize: 0.5, self.choose_verb: 5, self.choose_method: 3, self.use_control: 14,
            self.run: 14, self.train: 2, self.train_on: 3, self.restore_with: 3, self.cancel: 5, self.escape: 1.5,
            self.more: 3, self.save: 3, self.baselines: 1.5, self.use_runs: 3, self.use_queue: 3, self.change_tab: 4,
            self.compare: 5, self.batch: 5, self.open_image: 1.5, self.drop_model: 1, self.save_layers: 1,
            self.undo: 0.5, self.close_panel: 1.5, self.hide_panel: 0.5, self.close_and_open_viewer: 0.4, self.wait: 8,
        }  # fmt: skip

    def act(self) -> None:
        """One of them, and a look at the window."""
        actions = self.actions
        [action] = self._rng.choices(list(actions), list(actions.values()))
        name = action.__name__
        self.doing.append(name)
        self.done[name] += 1
        try:
            said = action()
            if said:
                self.doing[-1] = f"{name} ({said})"
            pump(self._rng.choice((0.0, 0.0, 0.02, 0.1)))
            self.look()
        except Exception as error:
            if self.found is None:
                raise AssertionError(f"after {' > '.join(self.doing[-12:])}") from error
            self.found.add("".join(traceback.format_exception(error)))

    # Layers.

    def add_layer(self) -> str:
        if len(self.viewer.layers) >= MOST_LAYERS:
            return self.delete_layer()
        kinds = (self._image, self._image, self._image, self._colour, self._odd, self._lazy, self._no_image)
        kind = self._rng.choice(kinds)
        return kind() or kind.__name__

    def _image(self) -> None:
        axes = self._rng.choice(("yx", "yx", "zyx", "tyx", "czyx", "tczyx"))
        shape = [{"t": 3, "c": 2, "z": 4, "y": 40, "x": 48}[axis] for axis in axes]
        pixels = self._np.poisson(60, shape).astype(self._rng.choice((np.uint8, np.uint16, np.float32)))
        scale = [self._rng.choice((1, 0.1, 3)) for _ in axes]
        self.viewer.add_image(pixels, name=self._name(), axis_labels=tuple(axes), scale=scale)

    def _colour(self) -> None:
        shape = self._rng.choice(((40, 48, 3), (3, 40, 48, 3), (40, 48, 4)))
        self.viewer.add_image(self._np.integers(0, 255, shape, dtype=np.uint8), name=self._name(), rgb=True)

    def _odd(self) -> None:
        """What cannot be restored, or hardly: constant, tiny, with holes, of one row, of truth values."""
        holes = self._np.normal(5, 1, (40, 48)).astype(np.float32)
        holes[3:9] = np.nan
        odd = (np.zeros((40, 48)), np.ones((3, 3)), holes, np.ones((1, 60)), np.eye(40) > 0, np.zeros((2, 1, 30, 30)))
        self.viewer.add_image(self._rng.choice(odd), name=self._name())

    def _lazy(self) -> None:
        import dask.array as da

        pixels = self._np.poisson(60, (4, 40, 48)).astype(np.uint16)
        if self._rng.random() < 0.5:
            self.viewer.add_image(da.from_array(pixels, chunks=(1, 40, 48)), name=self._name())
        else:
            self.viewer.add_image([pixels, pixels[:, ::2, ::2]], multiscale=True, name=self._name())

    def _no_image(self) -> str:
        kind = self._rng.choice(("labels", "points", "shapes"))
        if kind == "labels":
            labels = np.zeros((40, 48), int)
            labels[5:15, 5:20], labels[20:30, 8:40] = 1, 2
            self.viewer.add_labels(labels, name=self._name())
        elif kind == "points":
            self.viewer.add_points([[3, 4], [20, 30]], name=self._name())
        else:
            self.viewer.add_shapes([[[3, 4], [3, 30], [25, 30], [25, 4]]], name=self._name())
        return kind

    def _name(self) -> str:
        self._count += 1
        return self._rng.choice(
            (f"image {self._count}", "raw", f"a very long name of an image {self._count}" * 4, "%s")
        )

    def _layer(self) -> Any:
        return self._rng.choice(list(self.viewer.layers)) if self.viewer.layers else None

    def delete_layer(self) -> str:
        if (layer := self._layer()) is None:
            return "none"
        self.viewer.layers.remove(layer)
        return str(layer.name)

    def clear_layers(self) -> None:
        self.viewer.layers.clear()

    def rename_layer(self) -> None:
        if (layer := self._layer()) is not None:
            layer.name = self._name()

    def move_layer(self) -> None:
        if len(self.viewer.layers) > 1:
            self.viewer.layers.move(0, len(self.viewer.layers))

    def hide_layer(self) -> None:
        if (layer := self._layer()) is not None:
            layer.visible = not layer.visible

    def change_layer(self) -> str:
        """Its place, its names of axes, its contrast; or other pixels of the same or another shape."""
        layer = self._layer()
        if layer is None or not hasattr(layer, "contrast_limits"):
            return "none"
        what = self._rng.choice(("scale", "axis_labels", "gamma", "translate", "data"))
        if what == "scale":
            layer.scale = [self._rng.choice((1, 0.2, 5)) for _ in range(layer.ndim)]
        elif what == "axis_labels":
            layer.axis_labels = tuple(self._rng.sample(_LETTERS, layer.ndim))
        elif what == "translate":
            layer.translate = [self._rng.choice((0, -3, 7)) for _ in range(layer.ndim)]
        elif what == "gamma":
            layer.gamma = self._rng.choice((0.5, 1, 2))
        elif not layer.multiscale and not layer.rgb:
            shape = np.asarray(layer.data).shape
            layer.data = self._np.poisson(30, (*shape[:-2], 30, 34)).astype(np.uint16)
        return what

    def select_layer(self) -> None:
        self.viewer.layers.selection.active = self._layer()

    def select_several(self) -> None:
        layers = [layer for layer in self.viewer.layers if self._rng.random() < 0.6]
        self.viewer.layers.selection = set(layers)

    # The viewer.

    def move_slider(self) -> None:
        for axis, steps in enumerate(self.viewer.dims.nsteps):
            self.viewer.dims.set_current_step(axis, self._rng.randrange(max(1, int(steps))))

    def turn_to_3d(self) -> None:
        self.viewer.dims.ndisplay = 5 - self.viewer.dims.ndisplay

    def zoom(self) -> None:
        camera = getattr(self.viewer, "scene", self.viewer).camera
        camera.zoom = self._rng.choice((0.01, 1, 8, 400))
        camera.center = [self._rng.choice((-50, 0, 20)) for _ in camera.center]

    def turn_grid(self) -> None:
        grid = getattr(self.viewer, "scene", self.viewer)
        grid = getattr(grid, "grid", None) or self.viewer.grid
        grid.enabled = not grid.enabled

    def change_theme(self) -> None:
        self.viewer.theme = "light" if self.viewer.theme == "dark" else "dark"

    def resize(self) -> None:
        self.viewer.window.resize(*self._rng.choice(((1180, 900), (1024, 600), (1500, 950))))

    # The tab for one image.

    def choose_verb(self) -> str:
        return self._click(self._rng.choice(list(self.page.form.verb.buttons.values())))

    def choose_method(self) -> str:
        """Mostly those that are quick: a window does the same with all of them."""
        form = self.page.form
        if not form.editors["method"].isEnabled() or "method" not in form.editors.shown:
            return "not now"
        box = form.editors["method"].box
        box.setCurrentIndex(self._rng.randrange(box.count()))
        return str(box.currentText())

    def use_control(self) -> str:
        """Any control in sight, of whichever tab, as a person would who only plays."""
        from qtpy.QtWidgets import (
            QAbstractButton,
            QAbstractSlider,
            QAbstractSpinBox,
            QComboBox,
            QLineEdit,
            QScrollBar,
            QWidget,
        )

        kinds = QAbstractButton | QAbstractSlider | QAbstractSpinBox | QComboBox | QLineEdit
        there = [
            each
            for each in self.main.findChildren(QWidget)
            if isinstance(each, kinds) and each.isVisibleTo(self.main) and each.isEnabled()
            and not isinstance(each, QScrollBar) and not each.objectName().startswith("qt_")
        ]  # fmt: skip
        if not there:
            return "none"
        control = self._rng.choice(there)
        if isinstance(control, QAbstractButton):
            return self._click(control)
        if isinstance(control, QComboBox):
            if control.count():
                index = self._rng.randrange(control.count())
                control.setCurrentIndex(index)
                control.activated.emit(index)
        elif isinstance(control, QAbstractSpinBox):
            control.stepBy(self._rng.choice((-10, -1, 1, 1, 10)))
            control.editingFinished.emit()
        elif isinstance(control, QAbstractSlider):
            control.setValue(self._rng.randint(control.minimum(), control.maximum()))
        else:
            control.setText(self._rng.choice(("", "yx", "zyx", "3", "0.5", "-1", "x y", "%s", "*", "ß" * 40)))
            control.editingFinished.emit()
        return f"{type(control).__name__} {control.accessibleName()}"

    def run(self) -> str:
        """Mostly with what is needed for it."""
        self.main.setCurrentWidget(self.page)
        form = self.page.form
        if self._rng.random() < 0.7 and self.page.buttons.train_button.isEnabled() is self.page.session.runner.running:
            if form.subject.layer is None:
                self._image()
            if form.wrong:
                form.advanced.reset()
                form.editors["method"].choose("auto")
        return self._click(self.page.buttons.run_button)

    def train(self) -> str:
        return self._click(self.page.buttons.train_button)

    def train_on(self) -> str:
        return self._click(self.page.buttons.more_button)

    def restore_with(self) -> str:
        button = self.page.buttons.restore_button
        return self._choose(button.menu()) if button.isEnabled() else "not now"

    def more(self) -> str:
        """Copies, report, check, export."""
        button = self.page.buttons.copy_button
        return self._choose(button.menu()) if button.isEnabled() else "not now"

    def cancel(self) -> str:
        return self._click(self.page.buttons.stop_button)

    def escape(self) -> None:
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        QTest.keyClick(self.main.currentWidget(), Qt.Key.Key_Escape)

    def save(self) -> str:
        buttons = self.page.buttons
        which = self._rng.choice((buttons.save_button, buttons.save_result_button, buttons.elsewhere_button))
        return self._click(which)

    def baselines(self) -> str:
        pane = self.page.outcome.comparison
        if pane.isHidden() or not pane.button.isEnabled():
            return "not now"
        return self._choose(pane.button.menu())

    def use_runs(self) -> str:
        pane = self.page.outcome.runs
        if not pane.table.rowCount():
            return "none"
        pane.table.selectRow(self._rng.randrange(pane.table.rowCount()))
        return self._click(self._rng.choice((pane.back, pane.back, pane.drop)), hidden=True)

    def use_queue(self) -> str:
        pane = self.page.waiting
        if not pane.list.count():
            return "none"
        pane.list.setCurrentRow(self._rng.randrange(pane.list.count()))
        return self._click(self._rng.choice((pane.up, pane.down, pane.out)), hidden=True)

    # The other tabs.

    def change_tab(self) -> str:
        self.main.setCurrentIndex(self._rng.randrange(self.main.count()))
        return self.main.tabText(self.main.currentIndex())

    def compare(self) -> str:
        self.main.setCurrentWidget(self.main.compare)
        controls = self.main.compare.controls
        for box in (controls.first, controls.second):
            if box.count() and self._rng.random() < 0.3:
                box.setCurrentIndex(self._rng.randrange(box.count()))
        more = (controls.difference_button, controls.structure_button, controls.regions_button, controls.swap_button)
        return self._click(self._rng.choice((*controls.buttons.values(), *more)))

    def batch(self) -> str:
        page = self.main.batch
        self.main.setCurrentWidget(page)
        what = self._rng.choice(("folder", "run", "run", "cancel", "open", "results", "model"))
        if what == "folder" and page.form.folder.isEnabled():
            page.form.folder.line.setText(str(self._folder / self._rng.choice(("images", "images", "nowhere", ""))))
        elif what == "results" and page.form.results.isEnabled():
            page.form.results.line.setText(str(self._folder / self._rng.choice(("batch", "batch 2", "file.txt/x"))))
        elif what == "model" and page.form.model.isEnabled():
            models = sorted(self._folder.glob("*.safetensors"))
            if models:
                page.form.model.use(self._rng.choice(models))
        elif what == "run":
            return self._click(page.run_button)
        elif what == "cancel":
            return self._click(page.cancel_button)
        elif what == "open" and page.rows.rowCount():
            page.open_row(page.rows.index(self._rng.randrange(page.rows.rowCount()), 0))
        return what

    # Files.

    def _images(self) -> None:
        import tifffile

        (self._folder / "images").mkdir(exist_ok=True)
        for name in ("a", "b", "c"):
            tifffile.imwrite(self._folder / f"images/{name}.tif", self._np.poisson(50, (40, 48)).astype(np.uint16))
        tifffile.imwrite(self._folder / "images/flat.tif", np.zeros((40, 48), np.uint16))
        (self._folder / "images/broken.tif").write_bytes(b"II*\0 no image")

    def open_image(self) -> str:
        if len(self.viewer.layers) >= MOST_LAYERS:
            return "enough"
        name = self._rng.choice(("a.tif", "b.tif", "flat.tif"))
        self.viewer.open(self._folder / "images" / name, plugin="napari-restore")
        return name

    def drop_model(self) -> str:
        """As a drop does: by the reader that the manifest names."""
        models = sorted(self._folder.glob("*.safetensors"))
        if models:
            self.viewer.open(self._rng.choice(models), plugin="napari-restore")
        return "" if models else "none"

    def save_layers(self) -> None:
        """Ctrl+S with a name, by our writers: napari's own fail for pyramids, say."""
        from napari.layers import Image

        self._count += 1
        if any(isinstance(layer, Image) for layer in self.viewer.layers.selection):
            path = self._folder / f"layers_{self._count}{self._rng.choice(('.ome.tif', '.ome.zarr'))}"
            with suppress(ValueError), warnings.catch_warnings():  # several layers, or none of ours: napari says so
                warnings.filterwarnings("ignore", "Given plugin")
                self.viewer.layers.save(str(path), selected=True, plugin="napari-restore")

    def undo(self) -> None:
        """Of what was drawn; of nothing at all elsewhere."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        canvas = self.viewer.window._qt_viewer.canvas.native
        QTest.keyClick(canvas, Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)

    # Panel and viewer.

    def close_panel(self) -> str:
        """Close it for good, answer what it asks, and open it again."""
        from napari_restore.gui.parts.docked import Staying

        window = self.viewer.window._qt_window
        asked_before = set(window.findChildren(Staying))
        self.viewer.window.remove_dock_widget(self.main)
        pump(0.05)
        said = ""
        for staying in set(window.findChildren(Staying)) - asked_before:
            button = self._rng.choice((staying.stop, staying.go_on))
            said = button.text()
            button.click()
            pump(0.05)
        self.open_panel()
        return said

    def hide_panel(self) -> None:
        """As the menu does, and back."""
        dock = self.main.parentWidget()
        dock.hide()
        pump(0.05)
        dock.show()

    def open_panel(self) -> None:
        from napari_restore.gui.tabs import MainWidget, Preferences

        self.main = MainWidget(self.viewer, engine=self.engine, preferences=Preferences(preview_interval=0.1))
        self.viewer.window.add_dock_widget(self.main, name=f"Restore {self._count}")
        pump(0.05)

    @property
    def page(self) -> Any:
        """The tab for one image."""
        return self.main.restore

    def open_viewer(self) -> None:
        self.viewer = self._opened()
        self.open_panel()
        self._image()

    def close_viewer(self) -> None:
        self.viewer.close()
        pump(0.05)

    def close_and_open_viewer(self) -> None:
        """Amid whatever goes on."""
        self.close_viewer()
        self.open_viewer()

    def wait(self) -> None:
        pump(self._rng.choice((0.1, 0.3, 1.0)))

    # How it must be.

    def look(self) -> None:
        """Whether each button can do what it says."""
        page, batch = self.page, self.main.batch
        runners = (page.session.runner, page.outcome.baselines.runner)
        running = any(runner.running for runner in runners)
        stopping = any(runner.stopping for runner in runners)
        buttons = page.buttons
        can = not running and page.form.subject.layer is not None and not page.form.wrong
        self._is(buttons.stop_button.isEnabled() == (running and not stopping), "Cancel", running, stopping)
        self._is(buttons.stop_button.text() == ("Cancelling…" if stopping else "Cancel"), "Cancel's words", stopping)
        self._is(buttons.run_button.isEnabled() == can, "the main button", can, page.form.wrong)
        self._is(buttons.train_button.isEnabled() == can, "Train only", can, page.form.wrong)
        self._is(page.form.verb.isEnabled() != running, "the verbs", running)
        self._is(running or buttons.bar.maximum() > 0, "the bar is busy")
        self._is(page.session.runner.running or page.queue.running is None, "a row runs and nothing does")
        self._is(not buttons.save_button.isEnabled() or page.session.model is not None, "Save model")
        self._is(batch.cancel_button.isEnabled() == (batch.runner.running and not batch.runner.stopping), "its Cancel")
        can = not batch.runner.running and not batch.form.missing
        self._is(batch.run_button.isEnabled() == can, "Restore all", can, batch.form.missing)
        chosen = page.form.subject.layer
        self._is(chosen is None or chosen in self.viewer.layers, "the layer chosen is gone")

    def _is(self, right: bool, *words: object) -> None:
        if not right:
            said = f"it is wrong: {', '.join(str(word) for word in words)}; the words: {self.page.buttons.words.text()}"
            if self.found is None:
                raise AssertionError(said)
            self.found.add(said)

    def settle(self) -> None:
        """Cancel everything, and wait until nothing goes on: no thread of ours may be left."""
        from napari_restore.gui.parts import runner as room

        began, own = time.monotonic(), time.process_time()
        self.doing.append("settle")
        while time.process_time() < own + SETTLES and time.monotonic() < began + SETTLES_BY_THE_CLOCK:
            for line in list(room._ALIVE.values()):
                line.stop.set()
            self.page.stop()
            pump(0.05)
            if not room._ALIVE and not self.page.session.runner.running and not self.main.batch.runner.running:
                break
        self.settled.append(time.process_time() - own)
        left = [where(thread) for thread in room._ALIVE]
        self._is(not left, "threads are left", *left)
        pump(0.4)  # entries of the activity dock go, too
        self.look()
        self._is(
            not self.page.going_on() and not self.main.batch.runner.running, "something goes on", self.main.going_on()
        )

    def _click(self, button: Any, *, hidden: bool = False) -> str:
        """What is disabled or out of sight feels nothing."""
        from qtpy.QtCore import Qt
        from qtpy.QtTest import QTest

        words = button.text() or button.accessibleName()
        if not button.isEnabled() or not (hidden or button.isVisibleTo(self.main)):
            return f"{words}: not now"
        if menu := getattr(button, "menu", lambda: None)():
            return self._choose(menu)
        if hidden:
            button.click()
        else:
            QTest.mouseClick(button, Qt.MouseButton.LeftButton)
        return str(words)

    def _choose(self, menu: Any) -> str:
        """Any entry of a menu or of the menus in it."""
        menu.aboutToShow.emit()
        actions = [action for action in menu.actions() if action.isEnabled() and not action.isSeparator()]
        if not actions:
            return "an empty menu"
        action = self._rng.choice(actions)
        if action.menu() is not None:
            return self._choose(action.menu())
        action.trigger()
        return str(action.text())


def where(thread: threading.Thread) -> str:
    """What a thread is at, the outermost line first."""
    frame = sys._current_frames().get(thread.ident or 0)
    lines = [] if frame is None else traceback.extract_stack(frame)
    return f"{thread.name}: {' > '.join(f'{Path(line.filename).name}:{line.lineno} {line.name}' for line in lines)}"


def pump(seconds: float) -> None:
    """Let the viewer live."""
    from qtpy.QtCore import QCoreApplication, QEvent
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while True:
        QApplication.processEvents()
        QCoreApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)  # as a loop does that is not ours
        if time.monotonic() >= end:
            return
        time.sleep(0.005)


if __name__ == "__main__":
    main()

"""Make the picture of the README in a real viewer: the widget while it trains.

xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python docs/pictures.py IMAGE
"""

from __future__ import annotations

import argparse
import atexit
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import napari
import numpy as np
from PIL import Image
from qtpy.QtCore import QSettings
from qtpy.QtWidgets import QApplication
from scipy import ndimage

from napari_restore.core.cost import Cost
from napari_restore.core.job import Events
from napari_restore.core.watch import Watch
from napari_restore.gui.parts.remembered import Remembered
from napari_restore.gui.readers import read_layers
from napari_restore.gui.restore.widget import RestoreWidget
from napari_restore.gui.restore.work import package_engine
from napari_restore.verbs.request import Request

IMAGES = Path(__file__).parent / "images"
WINDOW = (1400, 860)
COLOURS = 128
"""Of a picture: enough for a viewer's, and a third of the bytes."""

SHOWN = 90
"""Pixels of the image along a side of the picture: few, so that noise can be seen."""


def own_settings() -> None:
    """As of somebody who has hidden the hints, and has chosen nothing yet; not those of whoever makes the pictures."""
    folder = tempfile.mkdtemp(prefix="settings-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, folder)
    Remembered().keep(hints="hidden")


def folder_asked_for(doc: str) -> Path:
    """Where a script puts its pictures: ``--output``, or those of the documentation."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--output", type=Path, default=IMAGES)
    output: Path = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    return output


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("image", type=Path)
    parser.add_argument("--seconds", type=float, default=60, help="of training")
    parser.add_argument("--name", help="of the layer; the file's without it")
    parser.add_argument("--output", type=Path, default=IMAGES)
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        take(given.image, given.name or given.image.stem, given.seconds, Path(folder), given.output)


def take(path: Path, name: str, seconds: float, folder: Path, output: Path) -> None:
    """The picture, and what the run said."""
    own_settings()
    viewer = napari.Viewer(show=True, show_welcome_screen=False, title="napari")
    viewer.window.resize(*WINDOW)
    [(data, kwargs, _)] = read_layers(str(path))
    raw = viewer.add_image(data, **{**kwargs, "name": name})
    widget = RestoreWidget(viewer, engine=Budgeted(seconds, folder))
    viewer.window.add_dock_widget(widget, name="Restore")
    look_at_structure(viewer, raw)
    wait(lambda: widget.form.badge.text() != "…", 60)
    widget.run()
    wait(lambda: widget.buttons.bar.value() > 700 and not widget.outcome.preview.after.empty, 60 + 2 * seconds)
    shoot(viewer, output / "widget.png")
    wait(lambda: not widget.session.runner.running, 1800)
    print(widget.outcome.messages.toPlainText())
    viewer.close()


class Budgeted:
    """The real engine with a budget of its own; results go to a folder that is thrown away."""

    def __init__(self, seconds: float, folder: Path) -> None:
        self._real, self._seconds, self._folder = package_engine(), seconds, folder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def run(self, request: Request, watch: Watch) -> Events[Any]:
        writing = replace(request.writing, output=request.writing.output or self._folder / "restored.zarr")
        return self._real.run(replace(self._brief(request), writing=writing), watch)

    def estimate(self, request: Request) -> Cost:
        return self._real.estimate(self._brief(request))

    def _brief(self, request: Request) -> Request:
        return replace(request, training=replace(request.training, seconds=self._seconds))


def look_at_structure(viewer: napari.Viewer, raw: Any) -> None:
    """Go to the plane and the place with the strongest structure, with a contrast that shows faint parts."""
    stack = np.asarray(raw.data, dtype=np.float32).reshape(-1, *raw.data.shape[-2:])
    smooth = [ndimage.gaussian_filter(plane, 2) for plane in stack]
    best = int(np.argmax([np.percentile(plane, 99) - np.median(plane) for plane in smooth]))
    raw.contrast_limits = tuple(np.percentile(stack[best], (1, 99.8)))
    raw.gamma = 0.6
    raw.colormap = "inferno"
    for axis, index in enumerate(np.unravel_index(best, raw.data.shape[:-2])):
        viewer.dims.set_current_step(axis, int(index))
    frame(viewer, raw, middle(smooth[best]))


def middle(plane: np.ndarray) -> tuple[int, int]:
    """Row and column in the middle of what is bright, faint parts counted too."""
    bright = np.sqrt(np.clip(plane - np.percentile(plane, 85), 0, None))
    row, column = ndimage.center_of_mass(bright)
    return round(row), round(column)


def frame(viewer: napari.Viewer, layer: Any, centre: tuple[int, int]) -> None:
    """Zoom so that ``SHOWN`` pixels around ``centre`` fill the canvas, and nothing beyond."""
    pump(0.5)
    size = np.asarray(layer.scale[-2:])
    canvas = np.asarray(viewer.window._qt_viewer.canvas.size)
    viewer.scene.camera.zoom = min(canvas) / (SHOWN * float(size.max()))
    half = canvas / viewer.scene.camera.zoom / size / 2
    last = np.maximum(np.asarray(layer.data.shape[-2:]) - half, half)
    viewer.scene.camera.center = tuple(layer.translate[-2:] + np.clip(centre, np.minimum(half, last), last) * size)
    pump(0.5)


def shoot(viewer: napari.Viewer, path: Path) -> None:
    """The whole window, once it is drawn."""
    pump(1)
    shot = viewer.window.screenshot(canvas_only=False, flash=False)
    Image.fromarray(shot[..., :3]).quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(path, path.stat().st_size)


def wait(until: Callable[[], bool], seconds: float) -> None:
    """Let the viewer live until something is so."""
    end = time.monotonic() + seconds
    while not until():
        if time.monotonic() > end:
            raise SystemExit(f"gave up waiting after {seconds:.0f} s")
        pump(0.05)


def pump(seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        QApplication.processEvents()
        time.sleep(0.01)


if __name__ == "__main__":
    main()

"""From the click on Deblur to the first restored picture in the window, on a small stack.

Opens a real viewer with a scene of ``deconvolution.py``, chooses its PSF, and presses the button. Needs a display:

    xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python benchmarks/first_picture.py

The button is pressed ``at once``, when the PSF is drawn and torch is still being loaded, and ``once loaded``, as by
whoever takes some seconds to choose a PSF. ``seconds`` are by the clock; ``processor_seconds`` are of all threads of
the process, for a machine that does other work. ``first`` is the picture in the preview, ``chosen`` the one with the
settings that held-out photons ask for, and ``result`` the layer, with ``--efforts instant``; with ``--first`` a run is
stopped at the first picture.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import deconvolution
import reporting
import viewer_ticks


def main() -> None:
    parser = reporting.parser(__doc__)
    parser.add_argument("--efforts", nargs="+", default=["instant", "normal"], choices=["instant", "normal"])
    parser.add_argument("--scene", default="cells")
    parser.add_argument("--light", type=int, default=200)
    parser.add_argument("--first", action="store_true", help="stop at the first picture")
    given = parser.parse_args()
    machine = reporting.begin(given.threads)
    with tempfile.TemporaryDirectory() as folder:
        viewer_ticks.keep_settings_in(Path(folder))
        run(given, machine)


def run(given: Any, machine: dict[str, Any]) -> None:
    import napari

    stack, _ = deconvolution.measured(deconvolution.SCENES[given.scene](), light=given.light, seed=0)
    rows = []
    for pressed, effort in [("at once", given.efforts[0]), *(("once loaded", effort) for effort in given.efforts)]:
        viewer = napari.Viewer(show=True, show_welcome_screen=False)
        viewer.add_image(stack, name="raw", axis_labels=("z", "y", "x"))
        found = timed(viewer, effort, wait=pressed == "once loaded", first=given.first)
        rows.append({"effort": effort, "pressed": pressed, **found})
        viewer.close()
        reporting.progress(str(rows[-1]))
    settings = {"psf": deconvolution.PSF, "shape": list(stack.shape), "scene": given.scene, "light": given.light}
    reporting.finish(machine, results=rows, settings=settings, out=given.out)


def timed(viewer: Any, effort: str, *, wait: bool, first: bool) -> dict[str, Any]:
    from napari_restore.gui.restore.widget import RestoreWidget

    widget = RestoreWidget(viewer)
    viewer.window.add_dock_widget(widget, name="Restore")
    form = widget.form
    unknown = form.badge.text()
    form.verb.choose("deblur")
    form.effort.setCurrentIndex(form.effort.findData(effort))
    choose_microscope(form.editors["psf"])
    until(lambda: form.editors["psf"].seen is not None, 120)
    if wait:
        until(lambda: form.badge.text() != unknown, 120)
    began, processor = time.perf_counter(), time.process_time()
    shown: list[int] = []
    found: dict[str, Any] = {}

    def tell(what: str) -> None:
        found[what] = {
            "seconds": round(time.perf_counter() - began, 2),
            "processor_seconds": round(time.process_time() - processor, 2),
        }

    show = widget.outcome.preview.show_pair

    def see(*args: Any, **more: Any) -> None:
        show(*args, **more)
        shown.append(1)
        if len(shown) <= 2:
            tell(("first", "chosen")[len(shown) - 1])

    widget.outcome.preview.show_pair = see
    widget.buttons.run_button.click()
    if effort == "instant" and not first:
        until(lambda: not widget.session.runner.running, 600)
        tell("result")
    else:
        until(lambda: len(shown) >= 2 - first, 600)
        widget.buttons.stop_button.click()
        until(lambda: not widget.session.runner.running, 600)
    return found


def choose_microscope(editor: Any) -> None:
    """The PSF of ``deconvolution.PSF`` in the form."""
    from qtpy.QtCore import Qt

    editor.kind.setCurrentIndex(editor.kind.findData("theory"))
    boxes = editor.forms["theory"].boxes
    for name, value in {"NA": 1.2, "wavelength": 0.52, "pixel": 0.108, "z": 0.3}.items():
        boxes[name].setValue(value)
    boxes["n"].setCurrentIndex(boxes["n"].findText("water", Qt.MatchFlag.MatchContains))


def until(ready: Callable[[], bool], seconds: float) -> None:
    from qtpy.QtWidgets import QApplication

    end = time.perf_counter() + seconds
    while not ready():
        QApplication.processEvents()
        time.sleep(0.005)
        if time.perf_counter() > end:
            raise TimeoutError(f"nothing after {seconds} s")


if __name__ == "__main__":
    main()

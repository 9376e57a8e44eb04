"""Make the pictures of the walk in docs/deblurring.md: blurred cells in a real viewer, by menus and buttons alone.

xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python docs/deblur_walk_pictures.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import napari
import numpy as np
import tifffile
from first_stack_pictures import (
    choose,
    click,
    click_layer,
    click_tab,
    open_menu,
    open_tabs,
    opened_viewer,
    pick,
    save_as,
    scroll,
    shoot,
    wait_for_estimate,
)
from pictures import folder_asked_for, pump, wait
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractSpinBox


def main() -> None:
    output = folder_asked_for(__doc__)
    viewer = opened_viewer()
    with tempfile.TemporaryDirectory() as folder:
        walk(viewer, output, Path(folder) / "sharp.tif")
    viewer.close()


def walk(viewer: napari.Viewer, output: Path, saved: Path) -> None:
    """The steps of the page, a picture after those that change what is seen."""
    choose(open_menu(viewer.window.file_menu, ["Open Sample", "napari-restore", "Blurred cells"]))
    wait(lambda: len(viewer.layers) == 1, 60)
    tabs = open_tabs(open_menu(viewer.window.plugins_menu, ["Restore"]))
    widget = tabs.restore
    click(widget.form.verb.buttons["deblur"])
    pick(widget.form.editors["psf"].kind, "Gaussian")
    write(widget.form.editors["psf"].forms["gaussian"].boxes["std"], "2")
    click(widget.form.editors["noise"].button)
    wait(lambda: not widget.form.editors["noise"].estimating, 60)
    pick(widget.form.effort, "Normal")
    wait_for_estimate(widget)
    shoot(viewer, output / "deblur_1_settings.png")
    wait(widget.buttons.run_button.isEnabled, 60)
    click(widget.buttons.run_button)
    wait(lambda: not widget.session.runner.running, 600)
    print(widget.outcome.messages.toPlainText())
    result = widget.session.run.result.layer.name
    shoot(viewer, output / "deblur_2_result.png")
    scroll(viewer, notches=2)
    click_tab(tabs, "compare")
    click(tabs.compare.controls.buttons["curtain"])
    shoot(viewer, output / "deblur_3_curtain.png")
    click(tabs.compare.controls.buttons["off"])
    click_layer(viewer, result)
    save_as(open_menu(viewer.window.file_menu, ["Save Selected Layers"]), saved)
    assert np.array_equal(tifffile.imread(saved), np.asarray(viewer.layers[result].data))
    tabs.leave()


def write(box: QAbstractSpinBox, number: str) -> None:
    """Type a number over that in a box."""
    box.setFocus()
    box.selectAll()
    QTest.keyClicks(box, number)
    QTest.keyClick(box, Qt.Key.Key_Return)
    pump(1)


if __name__ == "__main__":
    main()

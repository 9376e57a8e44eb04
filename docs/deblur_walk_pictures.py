"""Make the pictures of the walk in docs/deblurring.md: a blurred stack in a real viewer, by menus and buttons alone.

xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python docs/deblur_walk_pictures.py
"""

from __future__ import annotations

from pathlib import Path

import napari
from first_stack_pictures import (
    choose,
    click,
    click_tab,
    open_menu,
    open_tabs,
    opened_viewer,
    pick,
    scroll,
    shoot,
)
from pictures import folder_asked_for, pump, wait
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QAbstractSpinBox


def main() -> None:
    output = folder_asked_for(__doc__)
    viewer = opened_viewer()
    walk(viewer, output)
    viewer.close()


def walk(viewer: napari.Viewer, output: Path) -> None:
    """The steps of the page, a picture after those that change what is seen."""
    choose(open_menu(viewer.window.file_menu, ["Open Sample", "napari-restore", "Noisy microscopy"]))
    wait(lambda: len(viewer.layers) == 1, 60)
    tabs = open_tabs(open_menu(viewer.window.plugins_menu, ["Restore"]))
    widget = tabs.restore
    click(widget.verb.buttons["deblur"])
    pick(widget.psf.kind, "Gaussian")
    write(widget.psf.forms["gaussian"].boxes["std"], "1")
    click(widget.noise.button)
    wait(lambda: not widget.noise.estimating, 60)
    pick(widget.effort, "Quick")
    scroll(viewer, notches=2)
    shoot(viewer, output / "deblur_1_settings.png")
    wait(widget.buttons.run_button.isEnabled, 60)
    click(widget.buttons.run_button)
    wait(lambda: not widget.session.runner.running, 600)
    print(widget.messages.toPlainText())
    shoot(viewer, output / "deblur_2_result.png")
    click_tab(tabs, "compare")
    click(tabs.compare.buttons["curtain"])
    shoot(viewer, output / "deblur_3_curtain.png")
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

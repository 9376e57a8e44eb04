"""Make the pictures of docs/super-resolve-ct.md: CT slices made finer in a real viewer, by menus and buttons alone.

xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python docs/ct_pictures.py
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
from pictures import folder_asked_for, wait


def main() -> None:
    output = folder_asked_for(__doc__)
    viewer = opened_viewer()
    with tempfile.TemporaryDirectory() as folder:
        walk(viewer, output, Path(folder) / "finer.tif")
    viewer.close()


def walk(viewer: napari.Viewer, output: Path, saved: Path) -> None:
    """The steps of the page, a picture after those that change what is seen."""
    choose(open_menu(viewer.window.file_menu, ["Open Sample", "napari-restore", "Noisy CT"]))
    wait(lambda: len(viewer.layers) == 1, 60)
    tabs = open_tabs(open_menu(viewer.window.plugins_menu, ["Restore"]))
    widget = tabs.restore
    click(widget.form.verb.buttons["super_resolve"])
    pick(widget.form.editors["factor"].box, "2 ×")
    click(widget.form.editors["noise"].button)
    wait(lambda: not widget.form.editors["noise"].estimating, 60)
    pick(widget.form.effort, "Quick")
    wait_for_estimate(widget)
    shoot(viewer, output / "ct_1_settings.png")
    click(widget.buttons.run_button)
    wait(lambda: widget.buttons.bar.value() > 500 and not widget.outcome.preview.after.empty, 300)
    shoot(viewer, output / "ct_2_training.png")
    wait(lambda: not widget.session.runner.running, 600)
    print(widget.outcome.messages.toPlainText())
    result = widget.session.run.result.layer.name
    shoot(viewer, output / "ct_3_result.png")
    scroll(viewer, notches=3)
    click_tab(tabs, "compare")
    click(tabs.compare.controls.buttons["curtain"])
    shoot(viewer, output / "ct_4_curtain.png")
    click(tabs.compare.controls.buttons["off"])
    click_layer(viewer, result)
    save_as(open_menu(viewer.window.file_menu, ["Save Selected Layers"]), saved)
    raw, finer = viewer.layers["ct sample"], viewer.layers[result]
    assert np.array_equal(tifffile.imread(saved), np.asarray(finer.data))
    print(raw.data.shape, raw.scale, raw.translate, finer.data.shape, finer.scale, finer.translate)
    tabs.leave()


if __name__ == "__main__":
    main()

"""Make the pictures of the widget in docs/super-resolution.md and docs/deblurring.md, in a real viewer.

xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python docs/imaging_widget.py
"""

from __future__ import annotations

from pathlib import Path

import napari
from pictures import WINDOW, folder_asked_for, own_settings, pump, shoot, wait

from napari_restore.gui.restore.widget import RestoreWidget


def main() -> None:
    output = folder_asked_for(__doc__)
    finer_slices(output)
    blurred_cells(output)


def opened(sample: str, name: str) -> tuple[napari.Viewer, RestoreWidget]:
    """A viewer with one of the package's samples, and the widget beside it."""
    own_settings()
    viewer = napari.Viewer(show=True, show_welcome_screen=False, title="napari")
    viewer.window.resize(*WINDOW)
    viewer.open_sample("napari-restore", sample)
    viewer.layers[0].name = name
    _, widget = viewer.window.add_plugin_dock_widget("napari-restore", "Restore")
    widget = widget if isinstance(widget, RestoreWidget) else widget.findChild(RestoreWidget)
    wait(lambda: widget.form.badge.text() != "…", 60)
    return viewer, widget


def finer_slices(output: Path) -> None:
    """CT slices made twice as fine, by the buttons alone: the finished run."""
    viewer, widget = opened("ct", "slices")
    widget.form.verb.choose("super_resolve")
    widget.form.effort.setCurrentIndex(0)
    widget.form.editors["noise"].button.click()
    wait(lambda: not widget.form.editors["noise"].estimating, 60)
    wait(lambda: widget.form.cost.isEnabled() and bool(widget.form.cost.text()), 60)  # later, its line moves the rest
    widget.buttons.run_button.click()
    wait(lambda: not widget.session.runner.running, 900)
    pump(1)
    shoot(viewer, output / "super_resolve_widget.png")
    widget.leave()
    viewer.close()


def blurred_cells(output: Path) -> None:
    """The PSF of a microscope, chosen and drawn before anything runs."""
    viewer, widget = opened("tissue", "cells")
    widget.form.verb.choose("deblur")
    widget.form.editors["psf"].kind.setCurrentIndex(widget.form.editors["psf"].kind.findData("theory"))
    pump(1)
    widget.form.editors["psf"].forms["theory"].boxes["z"].setValue(0.5)
    wait(lambda: widget.form.cost.isEnabled() and bool(widget.form.cost.text()), 60)
    shoot(viewer, output / "deblur_widget.png")
    widget.leave()
    viewer.close()


if __name__ == "__main__":
    main()

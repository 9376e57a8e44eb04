"""Make the pictures of docs/first-stack.md: a first stack denoised in a real viewer, by menus and buttons alone.

xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python docs/first_stack_pictures.py
"""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import napari
import numpy as np
import tifffile
from pictures import COLOURS, folder_asked_for, own_settings, pump, wait
from PIL import Image
from qtpy.QtCore import QBuffer, QIODevice, QPoint, QPointF, QRect, Qt, QTimer
from qtpy.QtGui import QWheelEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QComboBox, QFileDialog, QLineEdit, QMenu, QWidget

from napari_restore.gui.restore.widget import RestoreWidget
from napari_restore.gui.tabs import PAGES, MainWidget

WINDOW = (1180, 960)


def main() -> None:
    output = folder_asked_for(__doc__)
    viewer = opened_viewer()
    with tempfile.TemporaryDirectory() as folder:
        walk(viewer, output, Path(folder) / "denoised.tif")
    viewer.close()


def walk(viewer: napari.Viewer, output: Path, saved: Path) -> None:
    """The steps of the page, a picture after those that change what is seen."""
    sample = open_menu(viewer.window.file_menu, ["Open Sample", "napari-restore", "Noisy microscopy"])
    shoot(viewer, output / "first_stack_1_sample.png")
    choose(sample)
    wait(lambda: len(viewer.layers) == 1, 60)
    plugin = open_menu(viewer.window.plugins_menu, ["Restore"])
    shoot(viewer, output / "first_stack_2_plugin.png")
    tabs = open_tabs(plugin)
    widget = tabs.restore
    scroll(viewer, notches=1)
    pick(widget.form.effort, "Quick")
    wait_for_estimate(widget)
    shoot(viewer, output / "first_stack_3_widget.png")
    click(widget.buttons.run_button)
    wait(lambda: not widget.outcome.preview.after_across.empty, 300)  # 5 s of training: later it is over
    shoot(viewer, output / "first_stack_4_training.png")
    wait(lambda: not widget.session.runner.running, 600)
    print(widget.outcome.messages.toPlainText())
    result = widget.session.run.result.layer.name
    click(widget.outcome.details.fold)
    pump(0.3)
    widget._scroll.ensureWidgetVisible(widget.outcome.details)
    widget.outcome.messages.verticalScrollBar().setValue(0)
    shoot(viewer, output / "first_stack_5_result.png")
    click_tab(tabs, "compare")
    click(tabs.compare.controls.buttons["curtain"])
    shoot(viewer, output / "first_stack_6_curtain.png")
    click(tabs.compare.controls.difference_button)
    shoot(viewer, output / "first_stack_7_removed.png")
    click(viewer.window._qt_viewer.layerButtons.deleteButton)
    click_layer(viewer, result)
    save = open_menu(viewer.window.file_menu, ["Save Selected Layers"])
    shoot(viewer, output / "first_stack_8_save.png")
    save_as(save, saved)
    assert np.array_equal(tifffile.imread(saved), np.asarray(viewer.layers[result].data))
    tabs.leave()


def opened_viewer() -> napari.Viewer:
    """An empty viewer at a corner of the screen."""
    own_settings()
    viewer = napari.Viewer(show=True, show_welcome_screen=False, title="napari")
    viewer.window.resize(*WINDOW)
    viewer.window._qt_window.move(0, 0)
    pump(1)
    return viewer


# What a user does.


def open_menu(menu: QMenu, path: Sequence[str]) -> Any:
    """Open a menu and its menus as a mouse would, down to the entry that begins with the last word of ``path``."""
    bar = menu.parentWidget().menuBar()
    place = bar.actionGeometry(menu.menuAction())
    menu.popup(bar.mapToGlobal(QPoint(place.left(), place.bottom() + 1)))
    for depth, word in enumerate(path):
        pump(0.3)
        action = entry(menu, word)
        menu.setActiveAction(action)
        if depth + 1 < len(path):
            below = action.menu()
            at = menu.actionGeometry(action)
            below.popup(menu.mapToGlobal(QPoint(at.right(), at.top())))
            menu = below
    pump(0.3)
    return action


def entry(menu: QMenu, word: str) -> Any:
    there = {action.text().replace("&", ""): action for action in menu.actions() if action.text()}
    for text, action in there.items():
        if text.startswith(word):
            return action
    raise SystemExit(f"no entry begins with {word!r}: there are {', '.join(there)}")


def choose(action: Any) -> None:
    """Take an entry, and let go of the menus."""
    for _ in range(5):
        popup = QApplication.activePopupWidget()
        if popup is None:
            break
        popup.close()
        pump(0.1)
    action.trigger()
    pump(1)


def open_tabs(plugin: Any) -> MainWidget:
    """Take the entry that opens the widget, and wait until it knows its device."""
    choose(plugin)
    [tabs] = [w for w in QApplication.allWidgets() if isinstance(w, MainWidget) and w.isVisible()]
    wait(lambda: tabs.restore.form.badge.text() != "…", 600)
    return tabs


def click(widget: QWidget) -> None:
    """The left button in the middle; what is disabled or out of sight would not feel it."""
    if not (widget.isVisible() and widget.isEnabled()):
        raise SystemExit(f"{widget.text() or widget} cannot be clicked")
    QTest.mouseClick(widget, Qt.MouseButton.LeftButton)
    pump(0.3)


def click_tab(tabs: MainWidget, name: str) -> None:
    """One of the widget's tabs."""
    place = tabs.tabBar().tabRect([page.name for page in PAGES].index(name)).center()
    QTest.mouseClick(tabs.tabBar(), Qt.MouseButton.LeftButton, pos=place)
    pump(0.3)


def click_layer(viewer: napari.Viewer, name: str) -> None:
    """A layer in napari's list."""
    rows = viewer.window._qt_viewer.layers
    model = rows.model()
    [row] = [i for i in range(model.rowCount()) if model.index(i, 0).data() == name]
    place = rows.visualRect(model.index(row, 0)).center()
    QTest.mouseClick(rows.viewport(), Qt.MouseButton.LeftButton, pos=place)
    pump(0.3)
    assert viewer.layers.selection.active.name == name


def pick(box: QComboBox, word: str) -> None:
    """An entry of a box, with the arrow keys."""
    box.setFocus()
    QTest.keyClick(box, Qt.Key.Key_Home)
    for _ in range(box.count()):
        if box.currentText().startswith(word):
            return
        QTest.keyClick(box, Qt.Key.Key_Down)
    raise SystemExit(f"no entry begins with {word!r}")


def scroll(viewer: napari.Viewer, *, notches: int) -> None:
    """The wheel over the middle of the canvas: nearer."""
    canvas = viewer.window._qt_viewer.canvas.native
    middle = QPointF(canvas.rect().center())
    before = viewer.scene.camera.zoom
    for _ in range(notches):
        turned = QWheelEvent(
            middle,
            canvas.mapToGlobal(middle),
            QPoint(),
            QPoint(0, 120),
            Qt.MouseButton.NoButton,
            Qt.KeyboardModifier.NoModifier,
            Qt.ScrollPhase.NoScrollPhase,
            False,
        )
        QApplication.sendEvent(canvas, turned)
        pump(0.1)
    assert viewer.scene.camera.zoom > before


def save_as(save: Any, path: Path) -> None:
    """Take the entry that asks where to save, and type a name."""

    def type_name() -> None:
        dialog = QApplication.activeModalWidget()
        assert isinstance(dialog, QFileDialog)
        box = dialog.findChild(QLineEdit)
        box.clear()
        QTest.keyClicks(box, str(path))
        QTest.keyClick(box, Qt.Key.Key_Return)

    QTimer.singleShot(2000, type_name)
    choose(save)
    wait(path.exists, 60)
    pump(2)


# What is seen.


def wait_for_estimate(widget: RestoreWidget) -> None:
    """Until the widget says what the run will take with the settings it has."""
    wait(lambda: widget.form.cost.isEnabled() and bool(widget.form.cost.text()), 60)


def shoot(viewer: napari.Viewer, path: Path) -> None:
    """The window and the menus over it, as on the screen, in few colours."""
    pump(1.5)
    window = viewer.window._qt_window
    frame: QRect = window.frameGeometry()
    shot = window.screen().grabWindow(0, frame.x(), frame.y(), frame.width(), frame.height())
    buffer = QBuffer()
    buffer.open(QIODevice.OpenModeFlag.WriteOnly)
    shot.save(buffer, "PNG")
    picture = Image.open(io.BytesIO(bytes(buffer.data()))).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)
    print(path, path.stat().st_size)


if __name__ == "__main__":
    main()

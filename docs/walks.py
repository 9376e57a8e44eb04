"""Eight people's walks through the viewer, by clicks, keys, menus and drops, with a picture of each step to look at.

xvfb-run -a -s "-screen 0 1600x1000x24 +extension GLX" python docs/walks.py --output DIR [--data DIR] [--only ct batch]

Files of ``--data`` are taken where they are there, made ones elsewhere. A walk that cannot be walked to its end stops
with an error; whether what is seen is right, only an eye can tell.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
import tifffile
from first_stack_pictures import choose, click, click_layer, click_tab, open_menu, open_tabs, pick
from pictures import pump, wait
from qtpy.QtCore import QMimeData, QPoint, QPointF, QSettings, Qt, QTimer, QUrl
from qtpy.QtGui import QDragEnterEvent, QDropEvent
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QDialogButtonBox, QFileDialog, QLineEdit, QPushButton, QRadioButton, QWidget

from napari_restore.gui.parts.closing import Closing
from napari_restore.gui.parts.docked import Staying
from napari_restore.gui.tabs import MainWidget

LARGE, SMALL = (1180, 960), (1024, 600)
LONG = 900
"""Seconds that anything may take."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--only", nargs="+", choices=list(WALKS), default=list(WALKS))
    given = parser.parse_args()
    for name in given.only:
        with tempfile.TemporaryDirectory() as folder:
            QSettings.setPath(QSettings.Format.IniFormat, QSettings.Scope.UserScope, str(Path(folder) / "settings"))
            walk(name, Stage(name, Files(given.data, Path(folder)), given.output))


def walk(name: str, stage: Stage) -> None:
    """One of them, in a viewer of its own."""
    WALKS[name](stage)
    stage.close()


class Files:
    """What a person brings along.

    Parameters
    ----------
    data
        Where real images are, if anywhere.
    folder
        For those that are made, and for results.
    """

    def __init__(self, data: Path, folder: Path) -> None:
        self._data, self.folder = data, folder
        self._rng = np.random.default_rng(0)

    def made(self, *shape: int, light: float = 60.0) -> np.ndarray:
        """Blurred spots with photon noise: uint16."""
        from scipy import ndimage

        spots = np.zeros(shape, np.float32)
        spots[tuple(self._rng.integers(0, n, max(20, spots.size // 900)) for n in shape)] = 1
        smooth = ndimage.gaussian_filter(spots, (*(0.5,) * (len(shape) - 2), 2, 2))
        return (100 + self._rng.poisson(light * smooth / smooth.max() + 3)).astype(np.uint16)

    def stack(self) -> Path:
        """A confocal stack with its voxel size."""
        real = self._data / "microscopy/zstacks/xyz_calibrated_16bit__golgi_bfa.tif"
        if real.is_file():
            return real
        path = self.folder / "golgi.tif"
        tifffile.imwrite(
            path, self.made(12, 130, 140), imagej=True, metadata={"axes": "ZYX", "spacing": 0.3, "unit": "um"}
        )
        return path

    def spots(self) -> Path:
        """A stack that is blurred along Z."""
        real = self._data / "microscopy/zstacks/xyz_16bit__spots.tif"
        if real.is_file():
            return real
        path = self.folder / "spots.tif"
        tifffile.imwrite(path, self.made(16, 88, 89, light=300.0), imagej=True, metadata={"axes": "ZYX"})
        return path

    def frames(self) -> list[np.ndarray]:
        """Three channels of a cell."""
        real = [self._data / f"microscopy/fmd/noisy/BPAE_{colour}.tif" for colour in "RGB"]
        if all(path.is_file() for path in real):
            return [np.asarray(tifffile.imread(path))[100:300, 100:320] for path in real]
        return [(self.made(200, 220) // 2).clip(0, 255).astype(np.uint8) for _ in range(3)]

    def channels(self) -> Path:
        """A time-lapse of three channels, as ImageJ saves it."""
        path = self.folder / "lapse.tif"
        series = np.stack([np.stack([np.roll(frame, shift, 1) for frame in self.frames()]) for shift in (0, 5, 10)])
        ramp, none = np.arange(256, dtype=np.uint8), np.zeros(256, np.uint8)
        colours = [np.stack([ramp if at == of else none for at in range(3)]) for of in range(3)]
        tifffile.imwrite(path, series, imagej=True, metadata={"axes": "TCYX", "mode": "composite", "LUTs": colours})
        return path

    def slices(self) -> Path:
        """A folder of CT slices."""
        real = self._data / "ct/dicom_series"
        if real.is_dir():
            return real
        path = self.folder / "slices"
        path.mkdir()
        for number, plane in enumerate(self.made(12, 160, 160)):
            tifffile.imwrite(path / f"slice_{number:02}.tif", plane)
        return path

    def several(self) -> Path:
        """A folder of images that one model is for, and one that is none."""
        path = self.folder / "plate"
        path.mkdir()
        for number, frame in enumerate(self.frames()):
            tifffile.imwrite(path / f"well_{number}.tif", frame)
        (path / "well_9.tif").write_bytes(b"II*\0 no image")
        return path


class Stage:
    """A viewer on a screen, what is done there with mouse and keyboard, and pictures of it."""

    def __init__(self, name: str, files: Files, output: Path, *, size: tuple[int, int] = LARGE) -> None:
        self.files, self.folder = files, files.folder
        self._name, self._output, self._count = name, output, 0
        self.viewer = napari.Viewer(show=True, show_welcome_screen=False, title="napari")
        self.viewer.window.resize(*size)
        self.window: QWidget = self.viewer.window._qt_window
        self.window.move(0, 0)
        self.window.activateWindow()
        pump(0.5)
        self.tabs: MainWidget = None

    @property
    def page(self) -> Any:
        """The tab for one image."""
        return self.tabs.restore

    def shoot(self, step: str) -> None:
        """The screen where the window is, with what lies over it."""
        for _ in range(4):  # what a slow picture of the canvas held up comes with the next turn of the loop
            pump(0.2)
        self._count += 1
        path = self._output / self._name / f"{self._count:02}_{step}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        frame = self.window.frameGeometry()
        if (popup := QApplication.activePopupWidget()) is not None:
            frame = frame.united(popup.frameGeometry())
        shot = self.window.screen().grabWindow(0, frame.x(), frame.y(), frame.width(), frame.height())
        shot.save(str(path), "PNG")
        print(path, flush=True)

    def open_panel(self) -> None:
        """By the menu."""
        self.tabs = open_tabs(open_menu(self.viewer.window.plugins_menu, ["Restore"]))

    def open_sample(self, name: str) -> None:
        """By the menu."""
        count = len(self.viewer.layers)
        choose(open_menu(self.viewer.window.file_menu, ["Open Sample", "napari-restore", name]))
        wait(lambda: len(self.viewer.layers) > count, LONG)

    def drop(self, path: Path, *, ours: bool = True) -> None:
        """A file onto the canvas, to be read by our reader or by napari's own; a folder as by the menu."""
        if path.is_dir() or not ours:
            self.viewer.open(path, plugin="napari-restore" if ours else "napari")
            return
        target, data = self.viewer.window._qt_viewer, QMimeData()
        data.setUrls([QUrl.fromLocalFile(str(path.absolute()))])
        where, copy = QPoint(200, 200), Qt.DropAction.CopyAction
        left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        QTimer.singleShot(2000, _choose_ours)
        QApplication.sendEvent(target, QDragEnterEvent(where, copy, data, left, none))
        QApplication.sendEvent(target, QDropEvent(QPointF(where), copy, data, left, none))
        pump(1)

    def finished(self) -> bool:
        """Whether nothing goes on any more."""
        page = self.page
        return not (page.session.runner.running or page.outcome.baselines.runner.running or page.queue.running)

    def until_done(self) -> None:
        wait(self.finished, LONG)
        pump(0.5)

    def until_learning(self) -> None:
        """Until there is something to be seen of it."""
        wait(lambda: not self.page.outcome.preview.after.empty or self.finished(), LONG)

    def entry(self, button: QPushButton, words: str, *, picture: str = "") -> None:
        """Of a button's menu, which is opened under it; ``words`` as of the entry, or of the menus down to it."""
        menu = button.menu()
        menu.popup(button.mapToGlobal(QPoint(0, button.height())))
        for word in words.split(" > "):
            pump(0.3)
            action = next(each for each in menu.actions() if each.text().replace("&", "").startswith(word))
            menu.setActiveAction(action)
            if action.menu() is not None:
                menu = action.menu()
                menu.popup(menu.parentWidget().mapToGlobal(QPoint(40, 20)))
        if picture:
            self.shoot(picture)
        choose(action)

    def typed(self, path: Path | str, do: Callable[[], object], *, picture: str = "") -> None:
        """Do what asks for a file, and type its name."""

        def answer() -> None:
            dialog = QApplication.activeModalWidget()
            assert isinstance(dialog, QFileDialog), dialog
            box = dialog.findChild(QLineEdit)
            box.clear()
            QTest.keyClicks(box, str(path))
            if picture:
                self.shoot(picture)
            QTest.keyClick(box, Qt.Key.Key_Return)

        QTimer.singleShot(1500, answer)
        do()
        pump(0.5)

    def press(self, *keys: Any, alt: bool = False) -> None:
        """Keys, to whatever has the focus."""
        with_alt = Qt.KeyboardModifier.AltModifier if alt else Qt.KeyboardModifier.NoModifier
        for key in keys:
            QTest.keyClick(QApplication.focusWidget() or self.window, key, with_alt)
            pump(0.15)

    def close(self) -> None:
        if self.tabs is not None:
            self.tabs.leave()
        self.viewer.close()
        pump(0.5)


def _choose_ours() -> None:
    """Where napari asks which plugin is to read a file."""
    dialog = QApplication.activeModalWidget()
    if dialog is None:
        return
    for choice in dialog.findChildren(QRadioButton):
        if "estore" in choice.text():
            choice.click()
    dialog.findChild(QDialogButtonBox).button(QDialogButtonBox.StandardButton.Ok).click()


# The walks.


def cell_biologist(stage: Stage) -> None:
    """A confocal stack, quick; looked at, compared, saved."""
    stage.drop(stage.files.stack(), ours=False)
    stage.shoot("opened_by_napari")
    stage.open_panel()
    page = stage.page
    pump(2)
    stage.shoot("panel")
    if page.form.subject.give.isVisible():
        click(page.form.subject.give)
        stage.shoot("given_to_the_layer")
    pick(page.form.effort, "Quick")
    wait(lambda: page.form.cost.isEnabled() and bool(page.form.cost.text()), LONG)
    stage.shoot("quick")
    click(page.buttons.run_button)
    stage.until_learning()
    stage.shoot("learning")
    stage.until_done()
    stage.shoot("done")
    if page.buttons.show_button.isVisible():
        click(page.buttons.show_button)
        pump(3)
        stage.shoot("where_detail_may_be_lost")
    click_tab(stage.tabs, "compare")
    click(stage.tabs.compare.controls.buttons["curtain"])
    stage.shoot("curtain")
    click(stage.tabs.compare.controls.buttons["off"])
    click_tab(stage.tabs, "restore")
    saved = stage.folder / "denoised.ome.tif"
    stage.typed(saved, lambda: click(page.buttons.save_result_button), picture="save_result")
    wait(saved.exists, LONG)
    click(page.buttons.more_button)
    stage.until_done()
    stage.shoot("ten_seconds_more")


def time_lapse(stage: Stage) -> None:
    """Three channels, opened as three layers, restored together and one after the other."""
    stage.drop(stage.files.channels())
    wait(lambda: len(stage.viewer.layers) == 3, LONG)
    stage.shoot("three_layers")
    stage.open_panel()
    page = stage.page
    pick(page.form.effort, "Quick")
    for layer in list(stage.viewer.layers)[:2]:
        stage.viewer.layers.selection.add(layer)
    pump(0.5)
    stage.shoot("two_selected")
    click(page.buttons.run_button)
    stage.until_learning()
    stage.shoot("queue")
    stage.until_done()
    stage.shoot("done")
    click_layer(stage.viewer, stage.viewer.layers[0].name)
    stage.shoot("restored_already")


def ct(stage: Stage) -> None:
    """A folder of slices: where strips of noise are alike, and a curtain between."""
    stage.drop(stage.files.slices())
    stage.open_panel()
    page = stage.page
    pick(page.form.effort, "Quick")
    pick(page.form.extent, "Plane")
    stage.shoot("opened")
    click(page.buttons.run_button)
    stage.until_learning()
    stage.shoot("learning")
    stage.until_done()
    stage.shoot("plane_done")
    click_tab(stage.tabs, "compare")
    click(stage.tabs.compare.controls.buttons["curtain"])
    stage.shoot("curtain")
    click(stage.tabs.compare.controls.difference_button)
    stage.shoot("difference")


def deconvolution(stage: Stage) -> None:
    """A stack, with a PSF of the microscope, without training; then simpler ways beside it."""
    stage.drop(stage.files.spots())
    stage.open_panel()
    page = stage.page
    click(page.form.verb.buttons["deblur"])
    stage.shoot("deblur")
    psf = page.form.editors["psf"]
    pick(psf.kind, psf.kind.itemText(psf.kind.findData("theory")))
    pump(1)
    stage.shoot("psf")
    pick(page.form.effort, "Instant")
    wait(lambda: page.form.cost.isEnabled() and bool(page.form.cost.text()), LONG)
    stage.shoot("instant")
    click(page.buttons.run_button)
    stage.until_done()
    stage.shoot("done")
    if page.outcome.comparison.button.isVisibleTo(page):
        stage.entry(page.outcome.comparison.button, "baselines, of the part in view", picture="baselines_menu")
        pump(2)
        stage.shoot("baselines")
        stage.until_done()
        stage.shoot("baselines_done")


def batch(stage: Stage) -> None:
    """One image trains a model, and a folder is restored with it, one of whose files is broken; then all train one."""
    folder = stage.files.several()
    stage.drop(folder / "well_0.tif")
    stage.open_panel()
    page = stage.page
    pick(page.form.effort, "Quick")
    click(page.buttons.train_button)
    stage.until_done()
    stage.shoot("trained")
    click_tab(stage.tabs, "batch")
    tab = stage.tabs.batch
    stage.shoot("tab")
    tab.form.folder.line.setFocus()
    QTest.keyClicks(tab.form.folder.line, str(folder))
    wait(lambda: tab.rows.rowCount() > 3, LONG)
    stage.shoot("listed")
    click(tab.run_button)
    wait(lambda: tab.rows.count("done") > 0, LONG)
    stage.shoot("running")
    wait(lambda: not tab.runner.running, LONG)
    stage.shoot("done")
    tab.open_row(tab.rows.index(0, 0))
    wait(lambda: len(stage.viewer.layers) > 1, LONG)
    stage.shoot("opened")
    click(tab.run_button)
    wait(lambda: not tab.runner.running, LONG)
    stage.shoot("again")
    stage.entry(tab.form.train, "Quick", picture="train_menu")
    wait(lambda: tab.words.text().startswith("Training"), LONG)
    stage.shoot("training_on_all")
    wait(lambda: not tab.runner.running, LONG)
    stage.shoot("trained_on_all")
    pick(tab.form.type, "OME-Zarr")
    click(tab.run_button)
    wait(lambda: not tab.runner.running, LONG)
    stage.shoot("as_zarr")


def small_screen(stage: Stage) -> None:
    """1024 x 600, and no mouse."""
    stage.viewer.window.resize(*SMALL)
    stage.open_sample("Noisy microscopy")
    stage.open_panel()
    page = stage.page
    pump(0.5)
    stage.shoot("opened")
    stage.press(Qt.Key.Key_E, alt=True)
    assert page.form.effort.hasFocus(), QApplication.focusWidget()
    stage.press(Qt.Key.Key_Home)
    stage.shoot("effort")
    stage.press(*[Qt.Key.Key_Tab] * 4)
    stage.shoot("four_tabs_on")
    stage.press(Qt.Key.Key_3, alt=True)
    stage.shoot("deblur")
    stage.press(Qt.Key.Key_1, alt=True)
    stage.press(Qt.Key.Key_Return, alt=True)
    assert not stage.finished(), "Alt and Return begin"
    stage.until_learning()
    stage.shoot("learning")
    stage.press(Qt.Key.Key_Escape)
    stage.until_done()
    stage.shoot("escaped")
    stage.press(Qt.Key.Key_0, alt=True)
    stage.until_done()
    stage.shoot("ten_seconds_more")
    stage.press(Qt.Key.Key_M, alt=True)
    stage.shoot("compare")
    stage.press(Qt.Key.Key_U, alt=True)
    stage.shoot("curtain")
    stage.press(Qt.Key.Key_B, alt=True)
    stage.shoot("batch")


def mistakes(stage: Stage) -> None:
    """All that one should not do: it is said what to do instead, and nothing is lost."""
    stage.open_panel()
    page = stage.page
    stage.shoot("nothing_open")
    stage.viewer.add_labels(np.eye(40, dtype=int), name="labels")
    stage.viewer.add_image(np.zeros((3, 3)), name="tiny")
    click(page.buttons.run_button)
    stage.until_done()
    stage.shoot("tiny")
    stage.viewer.add_image(np.zeros((120, 130), np.uint16), name="blank")
    click(page.buttons.run_button)
    stage.until_done()
    stage.shoot("blank")
    stage.viewer.layers.clear()
    raw = stage.viewer.add_image(stage.files.made(6, 120, 130), name="cells")
    page.form.subject.axes.setFocus()
    page.form.subject.axes.selectAll()
    QTest.keyClicks(page.form.subject.axes, "yx")
    stage.press(Qt.Key.Key_Return)
    stage.shoot("wrong_axes")
    pick(page.form.editors["method"].box, "Noise2Noise")
    stage.shoot("no_second_image")
    pick(page.form.editors["method"].box, "Chosen")
    (stage.folder / "file.txt").write_text("no model")
    button = page.buttons.restore_button
    stage.typed(stage.folder / "file.txt", lambda: stage.entry(button, "a model file"))
    stage.until_done()
    stage.shoot("no_model")
    pick(page.form.effort, "Quick")
    click(page.buttons.run_button)
    stage.until_learning()
    stage.viewer.layers.remove(raw)
    stage.shoot("deleted_meanwhile")
    click(page.buttons.stop_button)
    stage.until_done()
    stage.shoot("cancelled")
    stage.viewer.add_image(stage.files.made(6, 120, 130), name="cells")
    click(page.buttons.run_button)
    stage.until_learning()
    stage.window.close()
    stage.shoot("napari_closed")
    click(stage.window.findChild(Closing).stay)
    stage.viewer.window.remove_dock_widget(stage.tabs)
    pump(0.5)
    stage.shoot("panel_closed")
    click(stage.window.findChild(Staying).go_on)
    stage.shoot("in_the_background")
    [background] = [stage.tabs]
    stage.tabs = None
    background.restore.stop()
    pump(2)
    stage.open_panel()
    stage.shoot("opened_again")


def curiosity(stage: Stage) -> None:
    """Everything there is, once."""
    stage.open_sample("Noisy microscopy")
    stage.open_panel()
    page = stage.page
    for verb, button in page.form.verb.buttons.items():
        click(button)
        stage.shoot(f"verb_{verb}")
    click(page.form.verb.buttons["denoise"])
    click(page.form.advanced.fold)
    pump(1)
    stage.shoot("advanced")
    click(page.form.advanced.fold)
    pick(page.form.effort, "Quick")
    pick(page.form.extent, "Some planes")
    stage.shoot("some_planes")
    pick(page.form.extent, "Drawn")
    stage.shoot("drawn_region")
    pick(page.form.extent, "Everything")
    click_layer(stage.viewer, stage.viewer.layers[0].name)
    click(page.buttons.run_button)
    stage.until_done()
    stage.entry(page.buttons.copy_button, "Copy as script", picture="more_menu")
    stage.entry(page.buttons.copy_button, "Check for made-up structure")
    wait(lambda: not page.guards.runner.running, LONG)
    stage.shoot("checked")
    page_file = stage.folder / "report.html"
    stage.typed(page_file, lambda: stage.entry(page.buttons.copy_button, "Save a report"))
    wait(page_file.exists, LONG)
    click(page.outcome.runs.fold)
    stage.shoot("runs")
    stage.viewer.theme = "light"
    stage.shoot("light")
    click_tab(stage.tabs, "compare")
    click(stage.tabs.compare.controls.structure_button)
    pump(4)
    stage.shoot("structure")
    click(stage.tabs.compare.controls.buttons["blink"])
    stage.shoot("blink")


WALKS: dict[str, Callable[[Stage], None]] = {
    "cell_biologist": cell_biologist,
    "time_lapse": time_lapse,
    "ct": ct,
    "deconvolution": deconvolution,
    "batch": batch,
    "small_screen": small_screen,
    "mistakes": mistakes,
    "curiosity": curiosity,
}


if __name__ == "__main__":
    main()

"""What the menu copies is what the main button would do: a script and a command are run, and compared with it."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.layers import Image as ImageLayer
from qtpy.QtWidgets import QApplication

from napari_restore.core.job import PreviewRequest
from napari_restore.core.region import Region
from napari_restore.gui.readers import read_layers
from napari_restore.gui.restore.point_spread import Beads, PsfRequest
from napari_restore.gui.restore.reproduce import Places, file_of, placed
from napari_restore.gui.restore.widget import RestoreWidget
from napari_restore.gui.restore.work import doing
from napari_restore.operators import psf as psfs
from napari_restore.sources import open_image
from napari_restore.verbs.request import Request, ask
from napari_restore.verbs.words import Shown, as_command, as_script, asked

posix = pytest.mark.skipif(os.name == "nt", reason="the line is for cmd.exe there")


def kept(location: Any = None, source: Any = None) -> Any:
    metadata = {"napari_restore": {"location": location}} if location else {}
    return SimpleNamespace(name="n", metadata=metadata, source=SimpleNamespace(path=source))


def test_where_a_layer_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.tif").touch()
    monkeypatch.chdir(tmp_path)
    assert file_of(kept("a.tif")) == str(tmp_path / "a.tif"), "wherever the script is run"
    assert file_of(kept(source=str(tmp_path / "a.tif"))) == str(tmp_path / "a.tif")
    assert file_of(kept("https://host/x.zarr")) == "https://host/x.zarr"
    assert file_of(kept("gone.tif")) == Shown("n") == file_of(kept())


def test_a_channel_of_a_file_is_taken_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "two.ome.tif"
    pixels = np.random.default_rng(0).integers(0, 99, (3, 2, 20, 30)).astype(np.uint16)
    tifffile.imwrite(path, pixels, metadata={"axes": "ZCYX", "Channel": {"Name": ["DAPI", "GFP"]}})
    dapi, gfp = (ImageLayer(data, **arguments) for data, arguments, _ in read_layers(str(path)))
    request = placed(ask("denoise", open_image(gfp)), Places.of(gfp, None, None))
    assert (request.image, request.opening.channel, request.opening.axes) == (str(path), 1, "ZCYX")
    again = open_image(request.image, axes=request.opening.axes, channel=request.opening.channel)
    np.testing.assert_array_equal(again.read(), pixels[:, 1])
    assert Places.of(gfp, gfp, None) == Places(str(path), str(path), None, (1, 1))
    assert Places.of(gfp, dapi, None) == Places(Shown("two GFP"), Shown("two DAPI"))


class NotingEngine:
    """Takes notes of what the widget asks for; trains and restores nothing."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    def run(self, request: Request, watch: Any) -> Any:
        self.requests.append(request)
        return SimpleNamespace(complete=True)
        yield


IMAGE = open_image(np.ones((6, 30, 20), np.uint16), axes="ZYX", pixel_size={"Z": 2, "Y": 0.1, "X": 0.1})


def wishes() -> dict[str, Request]:
    bead = np.zeros((15, 15), np.float32)
    bead[5:10, 6:9] = 3
    beads = PsfRequest(Beads(open_image(bead, axes="YX"), 0), 2)
    return {
        "denoise": ask("denoise", IMAGE, effort="thorough"),
        "options": ask("denoise", IMAGE, seconds=9.5, seed=3, method="noise2void", masked=0.05),
        "second": ask("denoise", IMAGE, method="noise2noise", second=IMAGE),
        "finer": ask("super_resolve", IMAGE, effort="quick", factor=3, psf="gaussian:0.8", noise=12.5),
        "planes": ask("super_resolve", IMAGE, factor={"Z": 4}, psf=None, noise="auto"),
        "deblur": ask("deblur", IMAGE, psf="motion:7,30"),
        "file": ask("deblur", IMAGE, psf=Path("psf of.tif"), noise=2.0),
        "beads": ask("deblur", IMAGE, psf=beads),
        "part": ask("denoise", IMAGE, region=Region((2, 0, 4), (3, 30, 20))),
    }


def plain(value: Any) -> Any:
    """What the shell gives as text or as a path, and Python as a number."""
    if isinstance(value, Path):
        return str(value)
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


@pytest.mark.parametrize("name", wishes())
@posix
def test_both_ask_for_what_the_widget_asks_for(name: str, tmp_path: Path, run_script: Any, run_command: Any) -> None:
    request, engine = wishes()[name], NotingEngine()
    suffix = request.row.suffix + ("_part" if name == "part" else "")
    list(doing(engine, request, PreviewRequest(), folder=tmp_path, suffix=suffix)(threading.Event()))
    (done,) = engine.requests
    wanted = asked(done)
    words = placed(request, Places("a.tif", "b.tif", tmp_path))
    script, command = run_script(as_script(words)), run_command(as_command(words))
    assert script.image == command.image == "a.tif"
    if name == "beads":
        wanted["psf"] = psfs.inline(psfs.from_pixels(wanted["psf"]))
    if name == "file":
        wanted["psf"] = Path("psf of.tif").absolute()
    if name == "second":
        wanted["second"] = "b.tif"
    if name == "part":
        assert wanted.pop("region") == request.restoring.region
        assert script.restoring.region == {"Z": (2, 3), "X": (4, 20)}
        assert command.restoring.region == "Z=2:3,X=4:20"
    for key, value in wanted.items():
        assert plain(asked(script)[key]) == plain(value), key
        assert plain(asked(command)[key]) == plain(value), key
    sizes = {"axes": "ZYX", "pixel_size": {"Z": 2, "Y": 0.1, "X": 0.1}}
    known = sizes if name != "part" else {**sizes, "region": script.restoring.region}
    assert {key: value for key, value in asked(script).items() if key not in wanted} == known
    assert (command.opening.axes, command.opening.pixel_size) == ("ZYX", sizes["pixel_size"])


@pytest.fixture
def viewer(make_napari_viewer_proxy):
    return make_napari_viewer_proxy()


def copied(qtbot, widget, words: str) -> str:
    QApplication.clipboard().clear()
    menu = widget.buttons.copy_button.menu()
    action = next(each for each in menu.actions() if each.text() == f"Copy as {words}")
    action.trigger()
    qtbot.waitUntil(lambda: not widget._copier.running, timeout=10_000)
    return str(QApplication.clipboard().text())


@posix
def test_the_menu_puts_them_on_the_clipboard(qtbot, viewer, engine, tmp_path, run_script, run_command) -> None:
    path = tmp_path / "my cells.tif"
    metadata = {"axes": "ZYX", "spacing": 0.5, "unit": "um"}
    tifffile.imwrite(path, np.ones((5, 30, 20), np.uint16), imagej=True, resolution=(4, 4), metadata=metadata)
    for data, arguments, _ in read_layers(str(path)):
        viewer.add_image(data, **arguments)
    widget = RestoreWidget(viewer, engine=engine)
    viewer.window.add_dock_widget(widget, name="Restore")
    widget.form.verb.choose("super_resolve")
    widget.form.editors["noise"].line.setText("3")
    widget.form.place.use(tmp_path)
    script = run_script(copied(qtbot, widget, "script"))
    output = str(tmp_path / "my cells_superresolved.ome.zarr")
    sizes = pytest.approx({"Z": 0.5, "Y": 0.25, "X": 0.25})
    given = asked(script)
    assert (script.verb, script.image) == ("super_resolve", str(path)) and given.pop("pixel_size") == sizes
    assert given == {"noise": 3.0, "axes": "ZYX", "output": output}
    command = run_command(copied(qtbot, widget, "command"))
    assert (command.image, float(command.own.noise), command.own.factor) == (str(path), 3.0, 2)
    assert str(command.writing.output) == output
    viewer.dims.set_current_step(0, 3)
    widget.form.extent.choose("plane")
    script = run_script(copied(qtbot, widget, "script"))
    assert script.restoring.region == {"Z": (3, 4)} and "_superresolved_part." in str(script.writing.output)
    viewer.add_image(np.ones((20, 30)), name="nowhere")
    viewer.layers.selection.active = viewer.layers["nowhere"]
    assert "viewer.layers['nowhere']" in copied(qtbot, widget, "script")
    assert copied(qtbot, widget, "command") == ""
    assert "is in no file" in widget.outcome.messages.toPlainText() and "is in no file" in widget.buttons.said.text()
    viewer.layers.clear()
    assert not widget.buttons.copy_button.isEnabled()

"""The script and the command do what the main button does: both are run, and what they ask for is compared."""

from __future__ import annotations

import os
import shlex
import sys
import types
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from qtpy.QtWidgets import QApplication
from typer.testing import CliRunner

import napari_restore
from napari_restore.cli.commands import app
from napari_restore.core.errors import RestoreError
from napari_restore.core.job import PreviewRequest
from napari_restore.gui.readers import read_layers
from napari_restore.gui.restore.point_spread import Beads, PsfRequest
from napari_restore.gui.restore.reproduce import Shown, as_command, as_script, file_of, options_of
from napari_restore.gui.restore.widget import RestoreWidget
from napari_restore.gui.restore.work import Task, Wish, doing
from napari_restore.operators import psf as psfs
from napari_restore.sources import open_image

VERBS = ("denoise", "super_resolve", "deblur", "restore")
AWKWARD = [
    "plain.tif",
    "with space.tif",
    'it\'s "quoted" $HOME `x` \\ back.tif',
    "-o.tif",
    "µ 細胞;rm -rf *.ome.zarr",
    "new\nline.tif",
    "https://host/a b?c=d&e.zarr",
]

posix = pytest.mark.skipif(os.name == "nt", reason="the line is for cmd.exe there")


def run_script(text: str, monkeypatch: pytest.MonkeyPatch, **names: Any) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """Run a script with a package that only takes notes."""
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def noting(verb: str) -> Any:
        return lambda *args, **options: calls.append((verb, args, options))

    stub = types.ModuleType("napari_restore")
    for verb in VERBS:
        setattr(stub, verb, noting(verb))
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "napari_restore", stub)
        exec(compile(text, "script", "exec"), {"__name__": "__main__", **names})
    assert len(calls) == 1
    return calls[0]


def run_command(line: str, monkeypatch: pytest.MonkeyPatch) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    """Let the shell's own parser and the package's take a line, with verbs that only take notes."""
    calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def noting(verb: str) -> Any:
        def events(*args: Any, **options: Any) -> Any:
            calls.append((verb, args, options))
            yield from ()

        return events

    with monkeypatch.context() as patch:
        for verb in VERBS:
            patch.setattr(napari_restore, f"{verb}_events", noting(verb), raising=False)
        program, *words = shlex.split(line)
        assert program == "napari-restore"
        done = CliRunner().invoke(app, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert len(calls) == 1
    return calls[0]


@pytest.mark.parametrize("path", AWKWARD)
@posix
def test_any_path_arrives_whole(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options = {"output": Path("out dir") / path.rsplit("/", 1)[-1], "effort": "quick"}
    verb, args, given = run_script(as_script("denoise", path, options), monkeypatch)
    assert (verb, args, given) == ("denoise", (path,), {"output": str(options["output"]), "effort": "quick"})
    verb, args, given = run_command(as_command("denoise", path, options), monkeypatch)
    assert (
        args == (f"./{path}" if path.startswith("-") else path,)
        and given["output"] == options["output"]
        and given["effort"] == "quick"
    )


OPTIONS = [
    ("denoise", {"effort": "thorough", "method": "noise2void", "seconds": 12.5, "masked": 0.05, "width": 48}),
    ("denoise", {"steps": 30, "seed": 4, "device": "cuda:1", "precision": "bfloat16", "axes": "TCZYX", "channel": 2}),
    ("denoise", {"second": "b c.tif", "save_model": "m n.safetensors", "version": "0.4", "overwrite": True}),
    ("super_resolve", {"factor": 3, "psf": "gaussian:0.8", "noise": 12.5, "effort": "normal"}),
    ("super_resolve", {"factor": {"Z": 4}, "psf": None, "noise": "auto", "effort": "normal"}),
    ("deblur", {"psf": "theory:NA=1.4,wavelength=0.52,pixel=0.1,n=1.515", "noise": "auto"}),
    ("deblur", {"psf": "motion:7,-30", "noise": 1e-05, "resume": False, "target": "-clean.tif"}),
    ("restore", {"model": "m's.safetensors", "device": "cpu", "unreadable": "fill", "memory_share": 0.5}),
]


def plain(value: Any) -> Any:
    """What the shell gives as text or as a path, and Python as a number."""
    if isinstance(value, Path):
        return str(value)
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


@pytest.mark.parametrize(("verb", "options"), OPTIONS)
@posix
def test_script_and_command_ask_for_the_same(verb: Any, options: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    name, args, given = run_script(as_script(verb, "a.tif", options), monkeypatch)
    if verb == "restore":
        given["model"] = args[1]
    assert (name, args[0], given) == (verb, "a.tif", options)
    name, args, given = run_command(as_command(verb, "a.tif", options), monkeypatch)
    if verb == "restore":
        given["model"] = args[1]
    assert (name, str(args[0])) == (verb, "a.tif")
    assert {key: plain(given[key]) for key in options} == {key: plain(value) for key, value in options.items()}
    left = {key: value for key, value in given.items() if key not in (*options, "output", "stop")}
    left = {
        key: value for key, value in left.items() if value not in (None, "auto", False, 0, "0.5", "normal", "fail", 0.8)
    }
    assert left == {}, "nothing is asked for that was not said"


def test_a_measured_psf_is_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = 3 + 7 * psfs.parse("gaussian:1.3")
    kernel = psfs.from_pixels(picture)
    _, _, given = run_script(as_script("deblur", "a.tif", {"psf": picture}), monkeypatch)
    np.testing.assert_allclose(psfs.parse(given["psf"]), kernel, atol=1e-6)
    if os.name != "nt":
        _, _, given = run_command(as_command("deblur", "a.tif", {"psf": picture}), monkeypatch)
        np.testing.assert_allclose(psfs.parse(given["psf"]), kernel, atol=1e-6)


def test_what_the_shell_cannot_do_is_said() -> None:
    with pytest.raises(RestoreError, match="my cells is in no file: save it first"):
        as_command("denoise", Shown("my cells"), {})
    with pytest.raises(RestoreError, match="no option for tile"):
        as_command("denoise", "a.tif", {"tile": (64, 64)})


def test_a_layer_in_no_file_is_taken_from_the_viewer(monkeypatch: pytest.MonkeyPatch) -> None:
    viewer = SimpleNamespace(layers={"it's raw": "the layer"})
    _, args, _ = run_script(as_script("denoise", Shown("it's raw"), {}), monkeypatch, viewer=viewer)
    assert args == ("the layer",)


@posix
def test_without_an_output_the_command_names_one_after_the_image() -> None:
    for image, expected in (("/d/a.b.ome.tif", "a.b_deblurred"), ("-x.tif", "x_deblurred"), ("d/s/", "s_deblurred")):
        words = shlex.split(as_command("deblur", image, {"psf": "box:1"}))
        assert words[words.index("-o") + 1] == f"{expected}.ome.zarr"
    assert "output" not in as_script("denoise", "a.tif", {"output": None})


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


class NotingEngine:
    """Takes notes of what the widget asks for; trains and restores nothing."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    def describe_device(self) -> str:
        return "pretended device"

    def __getattr__(self, name: str) -> Any:
        def events(*args: Any, **options: Any) -> Any:
            self.calls.append((name, {k: v for k, v in options.items() if k not in ("preview", "stop")}))
            return None
            yield

        return events


def wishes() -> dict[str, Wish]:
    bead = np.zeros((15, 15), np.float32)
    bead[5:10, 6:9] = 3
    beads = Beads(open_image(bead, axes="YX"), 0)
    return {
        "denoise": Wish("denoise", "thorough"),
        "options": Wish("denoise", options={"seconds": 9.5, "seed": 3, "masked": 0.05}),
        "finer": Wish("super_resolve", "quick", 3, PsfRequest("gaussian:0.8"), 12.5),
        "planes": Wish("super_resolve", "normal", {"Z": 4}, None, "auto"),
        "deblur": Wish("deblur", "normal", 1, PsfRequest("motion:7,30", 3), "auto"),
        "file": Wish("deblur", "normal", 1, PsfRequest(Path("psf of.tif")), 2.0),
        "beads": Wish("deblur", "normal", 1, PsfRequest(beads), "auto"),
    }


@pytest.mark.parametrize("name", wishes())
@posix
def test_both_ask_for_what_the_widget_asks_for(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import threading

    wish, engine = wishes()[name], NotingEngine()
    image = open_image(np.ones((6, 30, 20), np.uint16), axes="ZYX", pixel_size={"Z": 2, "Y": 0.1, "X": 0.1})
    task = Task(image, PreviewRequest(), engine, wish, tmp_path)
    list(doing(task)(threading.Event()))
    asked = {key: value for _, options in engine.calls for key, value in options.items()}
    options = options_of(task)
    _, _, script = run_script(as_script(wish.verb, "a.tif", options), monkeypatch)
    _, _, command = run_command(as_command(wish.verb, "a.tif", options), monkeypatch)
    for key, value in asked.items():
        if name == "beads" and key == "psf":
            value = psfs.inline(psfs.from_pixels(value))
        if name == "file" and key == "psf":
            value = Path("psf of.tif").absolute()
        assert plain(script[key]) == plain(value), key
        assert plain(command[key]) == plain(value), key
    known = {"axes": "ZYX", "pixel_size": {"Z": 2, "Y": 0.1, "X": 0.1}}
    assert {k: v for k, v in script.items() if k not in asked} == known
    assert command["axes"] == "ZYX"


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
def test_the_menu_puts_them_on_the_clipboard(qtbot, viewer, engine, tmp_path, monkeypatch) -> None:
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
    verb, args, given = run_script(copied(qtbot, widget, "script"), monkeypatch)
    output = str(tmp_path / "my cells_superresolved.ome.zarr")
    sizes = pytest.approx({"Z": 0.5, "Y": 0.25, "X": 0.25})
    asked = {"psf": None, "noise": 3.0, "effort": "normal", "factor": 2, "axes": "ZYX", "output": output}
    assert (verb, args) == ("super_resolve", (str(path),)) and given.pop("pixel_size") == sizes and given == asked
    _, args, given = run_command(copied(qtbot, widget, "command"), monkeypatch)
    assert args == (str(path),) and given["noise"] == "3.0" and given["factor"] == 2 and str(given["output"]) == output
    viewer.add_image(np.ones((20, 30)), name="nowhere")
    viewer.layers.selection.active = viewer.layers["nowhere"]
    assert "viewer.layers['nowhere']" in copied(qtbot, widget, "script")
    assert copied(qtbot, widget, "command") == ""
    assert "is in no file" in widget.outcome.messages.toPlainText()
    viewer.layers.clear()
    assert not widget.buttons.copy_button.isEnabled()

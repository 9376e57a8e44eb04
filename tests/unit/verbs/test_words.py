"""A script and a command do what a request says: both are run, and what they ask for is compared with it."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_restore.core.errors import RestoreError
from napari_restore.operators import psf as psfs
from napari_restore.verbs.flags import write_word
from napari_restore.verbs.request import ask
from napari_restore.verbs.words import Shown, as_command, as_script, asked

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


@pytest.mark.parametrize("path", AWKWARD)
@posix
def test_any_path_arrives_whole(path: str, run_script: Any, run_command: Any) -> None:
    output = Path("out dir") / path.rsplit("/", 1)[-1]
    request = ask("denoise", path, output=output, effort="quick")
    script = run_script(as_script(request))
    assert (script.verb, script.image) == ("denoise", path)
    assert asked(script) == {"output": str(output), "effort": "quick"}
    command = run_command(as_command(request))
    assert command.image == (f"./{path}" if path.startswith("-") else path)
    assert (command.writing.output, command.training.effort) == (output, "quick")


OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("denoise", {"effort": "thorough", "method": "noise2void", "seconds": 12.5, "masked": 0.05, "width": 48}),
    ("denoise", {"steps": 30, "seed": 4, "device": "cuda:1", "precision": "bfloat16", "axes": "TCZYX", "channel": 2}),
    ("denoise", {"second": "b c.tif", "save_model": "m n.safetensors", "version": "0.4", "overwrite": True}),
    ("denoise", {"patch": (64, 48), "batch": 3, "learning_rate": 1e-3, "tile": (256, 256), "together": 2}),
    ("denoise", {"pixel_size": {"Z": 2.0, "Y": 0.1, "X": 0.1}, "region": {"Z": (3, 4), "X": (100, 612)}}),
    ("super_resolve", {"factor": 3, "psf": "gaussian:0.8", "noise": 12.5}),
    ("super_resolve", {"factor": {"Z": 4}, "noise": 3}),
    ("deblur", {"psf": "theory:NA=1.4,wavelength=0.52,pixel=0.1,n=1.515"}),
    ("deblur", {"psf": "motion:7,-30", "noise": 1e-05, "resume": False, "target": "-clean.tif"}),
    ("restore", {"model": "m's.safetensors", "device": "cpu", "unreadable": "fill", "memory_share": 0.5}),
]


def plain(value: Any) -> Any:
    """What the shell gives as text or as a path, and Python as a number or by axis."""
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple | Mapping):
        return write_word(value)
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


@pytest.mark.parametrize(("verb", "options"), OPTIONS)
@posix
def test_script_and_command_ask_for_the_same(verb: str, options: Any, run_script: Any, run_command: Any) -> None:
    request = ask(verb, "a.tif", **options)
    script = run_script(as_script(request))
    assert (script.verb, script.image, asked(script)) == (verb, "a.tif", options)
    command = run_command(as_command(request))
    assert (command.verb, command.image) == (verb, "a.tif")
    found = asked(command)
    assert {name: plain(found[name]) for name in options} == {name: plain(value) for name, value in options.items()}
    # The shell goes on with what lies there only if it is told to.
    assert set(found) - set(options) <= {"output", "resume"}, "nothing is asked for that was not said"


def test_what_is_so_anyway_is_not_said() -> None:
    request = ask("deblur", "a.tif", psf="box:1", noise="auto", effort="normal", device="auto", seed=0, region=None)
    assert asked(request) == {"psf": "box:1"}
    assert "deblur('a.tif', psf='box:1')" in as_script(request)


def test_a_measured_psf_is_written_out(run_script: Any, run_command: Any) -> None:
    picture = 3 + 7 * psfs.parse("gaussian:1.3")
    kernel = psfs.from_pixels(picture)
    request = ask("deblur", "a.tif", psf=picture)
    np.testing.assert_allclose(psfs.parse(run_script(as_script(request)).own.psf), kernel, atol=1e-6)
    if os.name != "nt":
        np.testing.assert_allclose(psfs.parse(run_command(as_command(request)).own.psf), kernel, atol=1e-6)


def test_what_the_shell_cannot_do_is_said() -> None:
    with pytest.raises(RestoreError, match="my cells is in no file: save it first"):
        as_command(ask("denoise", Shown("my cells")))
    with pytest.raises(RestoreError, match=r"cannot set factors.*copy as script"):
        as_command(ask("deblur", "a.tif", psf="gaussian:2", factors=(0.5, 0.75)))


def test_a_layer_in_no_file_is_taken_from_the_viewer(run_script: Any) -> None:
    viewer = SimpleNamespace(layers={"it's raw": "the layer", "other": "another"})
    request = ask("denoise", Shown("it's raw"), second=Shown("other"))
    found = run_script(as_script(request), viewer=viewer)
    assert (found.image, found.training.second) == ("the layer", "another")


@posix
def test_without_an_output_the_command_names_one_after_the_image() -> None:
    for image, expected in (("/d/a.b.ome.tif", "a.b_deblurred"), ("-x.tif", "x_deblurred"), ("d/s/", "s_deblurred")):
        words = shlex.split(as_command(ask("deblur", image, psf="box:1")))
        assert words[words.index("-o") + 1] == f"{expected}.ome.zarr"
    assert "output" not in as_script(ask("denoise", "a.tif", output=None))

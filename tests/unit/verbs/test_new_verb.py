"""A verb is a file and a row: with these alone it is a function, a command, and a button with a menu entry to name."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

_FILE = '''
from __future__ import annotations

from dataclasses import dataclass

from napari_restore.core.checked import check
from napari_restore.core.events import Note


@dataclass(frozen=True, kw_only=True)
class Brighten:
    """Make an image brighter.

    Attributes
    ----------
    gain
        Times the values of the image.
    """

    gain: float = 2.0

    def __post_init__(self) -> None:
        check(self)

    @property
    def settled_method(self) -> str:
        return "auto"

    def lesson(self):
        return "auto", {}


def brightened(request, watch):
    yield Note(f"{request.verb} {request.image} {request.own.gain} on {request.computing.device}")
    return request
'''

_SCRIPT = """
import sys

from napari_restore.core.options import Computing, Opening, Writing
from napari_restore.verbs import VERBS, Verb

VERBS["brighten"] = Verb(
    label="Brighten", own="brightening:Brighten", flow="brightening:brightened", tip="Brighter.", gives="model",
    groups=(Opening, Computing, Writing), loss="None.",
)

import napari_restore

request = napari_restore.brighten("a.tif", gain=3)
assert (request.own.gain, request.image) == (3, "a.tif")
assert "gain" in napari_restore.brighten.__doc__ and "Times the values" in napari_restore.brighten.__doc__
assert napari_restore.submit("brighten", "a.tif").result().verb == "brighten"

from napari_restore.verbs.words import as_command, as_script

assert "brighten('a.tif', gain=3)" in as_script(request)

from napari_restore.gui import commands
from napari_restore.gui.restore.doors import IN_THE_WINDOW
from napari_restore.gui.restore.verbs import SHOWN

assert "brighten" in SHOWN and callable(commands.open_brighten) and "device" in IN_THE_WINDOW["brighten"]

from napari_restore.cli import main

sys.argv = ["napari-restore", "brighten", "b.tif", "-o", "out", "--gain", "1.5", "--device", "cpu", "--json"]
try:
    main()
except SystemExit as end:
    sys.exit(end.code)
"""


def test_a_file_and_a_row_open_every_door(tmp_path: Path) -> None:
    (tmp_path / "brightening.py").write_text(_FILE)
    (tmp_path / "use.py").write_text(_SCRIPT)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "use.py"], cwd=tmp_path, capture_output=True, text=True, timeout=180
    )
    assert done.returncode == 0, done.stderr
    assert "brighten ['b.tif'] 1.5 on cpu" in done.stdout

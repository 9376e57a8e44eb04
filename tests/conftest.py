"""What all tests share. Small models: promises do not depend on size."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
import types
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from napari_restore.verbs import VERBS
from napari_restore.verbs.request import Request, ask

# Each process of a parallel run has its core: torch's own threads, in it and in what it starts, would fight for them.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_configure(config: pytest.Config) -> None:
    """Where nothing compiled may be kept beside the sources, it is kept in a folder of its own for as long as a run is.

    Each process that tests start compiles all it imports otherwise, up to 7 of its 12 s of processor time.
    """
    if not getattr(config.option, "numprocesses", None) or not os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
        return
    folder = tempfile.TemporaryDirectory(prefix="napari-restore-compiled-", ignore_cleanup_errors=True)
    os.environ.setdefault("PYTHONPYCACHEPREFIX", folder.name)
    config.add_cleanup(folder.cleanup)


# A busy machine is no reason to fail: how long an example takes is not a promise.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture
def noisy_stack() -> NDArray[np.uint16]:
    """5 planes of 70 x 83: blobs with noise of 30 gray levels."""
    rng = np.random.default_rng(7)
    z, y, x = np.ogrid[:5, :70, :83]
    clean = 600 + 250 * np.sin(y / 9.0) * np.cos(x / 11.0) + 40 * z
    return (clean + rng.normal(0, 30, clean.shape)).round().astype(np.uint16)


@pytest.fixture
def two_threads() -> Generator[None]:
    """Torch's, on a machine of any size."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def run_script(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Request]:
    """Runs a script with a package that only takes notes, and with these names in it: what does it ask for?"""

    def run(text: str, **names: Any) -> Request:
        found: list[Request] = []

        def noting(verb: str) -> Callable[..., None]:
            def function(image: Any, *second: Any, **options: Any) -> None:
                found.append(ask(verb, image, **dict(zip([VERBS[verb].second], second, strict=False)), **options))

            return function

        stub = types.ModuleType("napari_restore")
        for verb in VERBS:
            setattr(stub, verb, noting(verb))
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "napari_restore", stub)
            exec(compile(text, "script", "exec"), {"__name__": "__main__", **names})
        (request,) = found
        return request

    return run


@pytest.fixture
def run_command(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Request]:
    """Lets the shell's own parser and the package's take a line, with verbs that only take notes."""
    from typer.testing import CliRunner

    from napari_restore.cli.commands import app

    def run(line: str) -> Request:
        found: list[Request] = []

        def noting(request: Request, watch: Any) -> Generator[Any, None, None]:
            found.append(request)
            yield from ()

        stub = types.ModuleType("napari_restore.verbs.run")
        stub.run = noting  # type: ignore[attr-defined]
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "napari_restore.verbs.run", stub)
            program, *words = shlex.split(line)
            assert program == "napari-restore"
            done = CliRunner().invoke(app, words, catch_exceptions=False)
        assert done.exit_code == 0, done.output
        (request,) = found
        return request

    return run


_OME = 'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'


@pytest.fixture
def ome_fileset() -> Callable[..., list[list[Path]]]:
    """Writes an OME-TIFF of several images as microscopes do: every file carries the metadata of all.

    Image ``i`` has time points of 17 x 23 pixels of the value ``100 * i + t``, in as many files as ``parts[i]`` says.
    ``lost`` are numbers of images whose files are not written. Returns the files by image.
    """

    def write(folder: Path, *, parts: tuple[int, ...] = (1, 1, 1), times: int = 4, lost: tuple[int, ...] = ()) -> Any:
        names = [[f"exp_Pos{i}{f'_{k}' * bool(k)}.ome.tif" for k in range(n)] for i, n in enumerate(parts)]
        uuid = {
            name: f"urn:uuid:00000000-0000-0000-0000-{i:012d}"
            for i, name in enumerate(name for own in names for name in own)
        }
        pages = {name: list(range(times))[k :: len(own)] for own in names for k, name in enumerate(own)}
        images = "".join(
            f'<Image ID="Image:{i}" Name="Pos{i}"><Pixels ID="Pixels:{i}" DimensionOrder="XYZCT" Type="uint16" '
            f'SizeX="23" SizeY="17" SizeZ="1" SizeC="1" SizeT="{times}" PhysicalSizeX="{0.1 * (i + 1)}">'
            f'<Channel ID="Channel:{i}:0" SamplesPerPixel="1"/>'
            + "".join(
                f'<TiffData FirstT="{t}" IFD="{ifd}" PlaneCount="1"><UUID FileName="{name}">{uuid[name]}</UUID>'
                "</TiffData>"
                for name in own
                for ifd, t in enumerate(pages[name])
            )
            + "</Pixels></Image>"
            for i, own in enumerate(names)
        )
        for i, own in enumerate(names):
            for name in own if i not in lost else ():
                xml = f'<?xml version="1.0" encoding="UTF-8"?><OME {_OME} UUID="{uuid[name]}">{images}</OME>'
                with tifffile.TiffWriter(folder / name) as tif:
                    for ifd, t in enumerate(pages[name]):
                        plane = np.full((17, 23), 100 * i + t, np.uint16)
                        tif.write(plane, description=None if ifd else xml, metadata=None, contiguous=False)
        return [[folder / name for name in own] for own in names]

    return write

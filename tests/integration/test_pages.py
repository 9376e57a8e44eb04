"""Every block of code in the README and in the docs runs, on small files of the names that the pages use.

A page is run from its first block to its last, as a reader would. Trainings end after two steps.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

import napari_restore
from napari_restore.cli import main
from napari_restore.core.errors import RestoreError
from napari_restore.methods import METHODS, find
from napari_restore.training.settings import Budget

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

ELSEWHERE = {
    "pip install": "the gate installs",
    "napari-restore demo": "the longest of all commands; its own test runs it",
    "/shared/": "a cluster's disk: tests/integration/test_cluster.py",
    "s3://": "tests/integration/test_remote.py",
    "torchrun": "tests/integration/test_torchrun.py",
    "n2v_model.zip": "a package of CAREamics: tests/unit/store/test_packaged.py",
    "for-other-programs.zip": "as docs/export.md does, which takes 15 s",
    "export AWS": "tests/integration/test_remote.py",
    "python benchmarks/": "a benchmark",
    "dask ": "processes of their own: tests/integration/test_cluster.py",
    "scontrol": "a queue of jobs",
    "srun": "a queue of jobs",
    "exp_MMStack": "several files that tests/unit/sources/test_series.py makes",
}
"""What a line of the shell has in it that is not run here, and why."""
SMALL = {"width": 4, "depth": 1, "blocks": 1, "similar": "no"}
OTHER_PROGRAMS = {"SLURMCluster": "a queue of jobs", "LocalCluster": "tests/integration/test_cluster.py"}


def blocks(page: Path) -> list[tuple[str, str]]:
    return [(kind, code) for kind, code in BLOCK.findall(page.read_text("utf-8")) if kind in ("bash", "python")]


def commands(code: str) -> Iterator[list[str]]:
    """Lines of the shell that are ours, without comments and prompts."""
    for line in code.replace("\\\n", " ").splitlines():
        words = line.removeprefix("$ ").strip()
        if words in ("", "napari") or words.startswith("#") or any(part in words for part in ELSEWHERE):
            continue
        assert words.startswith("napari-restore "), f"{words!r} is run by nobody: say in ELSEWHERE why"
        yield shlex.split(words, comments=True)[1:]


def make_room(code: str) -> None:
    """Each line is one of several ways: what another one has written under the same name goes."""
    if "resume" in code:
        return
    for name in re.findall(r"""(?:-o |output="|(?=[\w.]+\.zip"))([\w.\-/]+)""", code):
        path = Path(name)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def write(path: Path, pixels: np.ndarray, axes: str = "ZYX") -> None:
    tifffile.imwrite(
        path, pixels, imagej=pixels.dtype == np.uint16, metadata={"axes": axes, "spacing": 1.5, "unit": "um"}
    )


OME = """<?xml version="1.0" encoding="UTF-8"?>
<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">
<Instrument ID="I"><Objective ID="O" LensNA="1.2" Immersion="Water"/></Instrument>
<Image ID="Image:0"><ObjectiveSettings ID="O" RefractiveIndex="1.33"/>
<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" SizeX="{x}" SizeY="{y}" SizeZ="{z}" SizeC="1" SizeT="1"
 PhysicalSizeX="0.108" PhysicalSizeY="0.108" PhysicalSizeZ="0.3">
<Channel ID="Channel:0" EmissionWavelength="520" AcquisitionMode="WideField"/><TiffData/></Pixels></Image></OME>"""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages name."""
    folder, rng = tmp_path_factory.mktemp("desk"), np.random.default_rng(0)
    clean = 200 + 60 * np.sin(np.arange(64) / 5)[:, None] * np.cos(np.arange(72) / 7)
    stack = rng.poisson(np.broadcast_to(clean, (5, 64, 72))).astype(np.uint16)
    for name in ("stack.tif", "first.tif", "second.tif", "other.tif", "raw.tif", "restored.ome.tif"):
        write(folder / name, rng.permutation(stack))
    z, y, x = stack.shape
    tifffile.imwrite(folder / "stack.ome.tif", stack, description=OME.format(z=z, y=y, x=x), metadata=None)
    write(folder / "movie.tif", rng.poisson(200, (40, 32, 32)).astype(np.uint16), "TYX")
    for name in ("slices", "folder"):
        (folder / name).mkdir()
    for number in range(3):
        tifffile.imwrite(folder / "slices" / f"slice_{number:03}.tif", stack[number])
        write(folder / "folder" / f"stack_{number}.tif", stack)
    labels = np.arange(64)[:, None] // 16 * 5 + np.arange(72) // 18 + 1
    write(folder / "cells.tif", labels.astype(np.uint16), "YX")
    write(folder / "missing.tif", (np.arange(72) % 19 == 7).astype(np.uint8) * np.ones((64, 1), np.uint8), "YX")
    spot = np.exp(-(np.mgrid[-4:5, -4:5] ** 2).sum(0) / 4).astype(np.float32)
    write(folder / "measured_psf.tif", spot, "YX")
    zarr.create_array(folder / "raw.ome.zarr", data=stack, dimension_names=("z", "y", "x"))
    model = napari_restore.train(stack, "noise2void2", axes="ZYX", steps=2, width=4, depth=1, neighbours="0")
    for name in ("model.safetensors", "m.safetensors"):
        model.save(folder / name)
    return folder


@pytest.fixture
def at_the_desk(desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it to work in, where training is short, and networks are small whatever the effort."""
    for each in desk.iterdir():
        (tmp_path / each.name).symlink_to(each)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Budget, "fraction", lambda self, step, seconds: min(1.0, step / 2))
    for name in METHODS:
        kind = find(name)
        known = {each.name for each in fields(kind.Config)}
        small = {key: value for key, value in SMALL.items() if key in known}
        monkeypatch.setattr(kind, "efforts", dict.fromkeys(("quick", "normal", "thorough"), small))
    return tmp_path


def viewer():
    """napari's model of a viewer, which needs no window."""
    from napari.components import ViewerModel
    from napari.plugins import _initialize_plugins

    with suppress(ValueError):  # another test of this process has
        _initialize_plugins()
    model = ViewerModel()
    model.add_image(np.resize(tifffile.imread("raw.tif"), (13, 64, 72)), name="raw")
    return model


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # bioimageio.spec's, see test_exporting.py
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda page: page.name)
def test_every_block_of_a_page_runs(page, desk, at_the_desk, monkeypatch, capsys):
    raw = tifffile.imread("raw.tif")
    names = {
        "viewer": viewer(), "raw": raw, "labels": tifffile.imread("cells.tif"),
        "my_psf_array": tifffile.imread("measured_psf.tif"), "open_image": napari_restore.open_image,
    }  # fmt: skip
    ran = 0
    for kind, code in blocks(page):
        if kind == "python":
            if not any(word in code for word in OTHER_PROGRAMS):
                make_room(code)
                said = re.search(r"^# RestoreError: (.*)$", code, re.MULTILINE)
                with pytest.raises(RestoreError, match=re.escape(said[1])) if said else nullcontext():
                    exec(compile(code, page.name, "exec"), names)
                ran += 1
            continue
        for words in commands(code):
            make_room(" ".join(words))
            if words[0] == "export":  # a small one: that of a posterior mean takes 30 s, in test_exporting.py
                shutil.copy(desk / "m.safetensors", words[1] + ".new")
                Path(words[1] + ".new").replace(words[1])
            monkeypatch.setattr("sys.argv", ["napari-restore", *words])
            with pytest.raises(SystemExit) as ended:
                main()
            assert not ended.value.code, f"{' '.join(words)}: {capsys.readouterr().err[-500:]}"
            ran += 1
    if page.name not in ("cluster.md", "large-images.md", "first-stack.md"):  # all of theirs is in ELSEWHERE
        assert ran

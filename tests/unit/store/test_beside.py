"""Names beside an output are taken for ours only where they are; whatever else lies there stays as it is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr

from napari_restore.core.errors import OutputError
from napari_restore.core.geometry import Geometry
from napari_restore.core.options import Writing
from napari_restore.core.region import Region
from napari_restore.store import output
from napari_restore.store.beside import names_beside

ENDINGS = [".partial", ".journal", ".lock", ".replaced", ".writing", ".training", ".model.safetensors"]
NAMES = ["x.ome.zarr", "x.tif"]


def a_file(path: Path) -> None:
    path.write_bytes(b"the only copy of the thesis")


def a_folder(path: Path) -> None:
    path.mkdir()
    (path / "thesis.txt").write_bytes(b"the only copy")


def a_zarr(path: Path) -> None:
    group = zarr.create_group(path)
    group.create_array("0", data=np.arange(12).reshape(3, 4))


def a_link_to_a_file(path: Path) -> None:
    target = path.parent / "elsewhere" / "file"
    target.parent.mkdir(exist_ok=True)
    target.write_bytes(b"the only copy")
    path.symlink_to(target)


def a_link_to_a_folder(path: Path) -> None:
    target = path.parent / "elsewhere" / "folder.zarr"
    target.parent.mkdir(exist_ok=True)
    a_zarr(target)
    path.symlink_to(target)


def a_link_to_nothing(path: Path) -> None:
    path.symlink_to(path.parent / "missing")


THINGS = [a_file, a_folder, a_zarr, a_link_to_a_file, a_link_to_a_folder, a_link_to_nothing]


def state(folder: Path) -> dict[str, object]:
    """All there is, followed by nobody: names, links, bytes."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        content: object = path.readlink() if path.is_symlink() else (path.read_bytes() if path.is_file() else None)
        found[str(path.relative_to(folder))] = content
    return found


def begin(path: Path, *, overwrite: bool = False, value: int = 0) -> output.OutputWriter:
    writer = output.create(
        path, geometry=Geometry.of("YX", (20, 30)), dtype="uint16", chunks=(20, 30), fingerprint={"a": 1}, name="x",
        provenance={"p": 1}, writing=Writing(overwrite=overwrite),
    )  # fmt: skip
    writer.write(0, Region((0, 0), (20, 30)), np.full((20, 30), value, np.uint16))
    return writer


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("thing", THINGS)
@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_ours_is_refused_and_stays(
    tmp_path: Path, name: str, ending: str, thing: Callable[[Path], None], overwrite: bool
) -> None:
    path = tmp_path / name
    if overwrite:
        with begin(path) as writer:
            writer.finish()
    thing(tmp_path / f"{name}{ending}")
    before = state(tmp_path)
    for attempt in (
        lambda: output.check_destination(path, overwrite=overwrite, resume=False),
        lambda: output.check_destination(path, overwrite=overwrite, resume=True),
        lambda: begin(path, overwrite=overwrite),
    ):
        with pytest.raises(OutputError, match=r"of ours: move it away"):
            attempt()
    assert state(tmp_path) == before


@pytest.mark.parametrize("thing", [a_file, a_folder, a_link_to_a_file, a_link_to_a_folder])
@pytest.mark.parametrize("ending", [".writing", ".replaced"])
@pytest.mark.parametrize("name", NAMES)
def test_what_came_while_it_was_made_is_not_written_through(
    tmp_path: Path, name: str, ending: str, thing: Callable[[Path], None]
) -> None:
    path = tmp_path / name
    with begin(path) as writer:
        thing(tmp_path / f"{name}{ending}")
        elsewhere = state(tmp_path / "elsewhere")
        try:
            writer.finish()
        except OutputError as error:
            assert "move it away" in str(error)
    assert state(tmp_path / "elsewhere") == elsewhere


@pytest.mark.parametrize("name", NAMES)
def test_what_an_interrupted_run_left_is_ours(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    begin(path).close()
    output.check_destination(path, overwrite=False, resume=True)
    with begin(path, overwrite=True) as writer:
        writer.finish()
    assert [each.name for each in tmp_path.iterdir()] == [name]


def test_a_partial_folder_that_was_killed_as_it_was_made_or_removed_is_ours(tmp_path: Path) -> None:
    path = tmp_path / "x.ome.zarr"
    begin(path).close()
    output.journal_path(path).unlink()
    shutil.rmtree(output.partial_path(path) / "0")
    begin(path).close()
    shutil.rmtree(output.partial_path(path))
    output.journal_path(path).unlink()
    output.partial_path(path).mkdir()
    begin(path).close()


def test_an_old_result_that_a_killed_run_laid_aside_is_put_back_and_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "x.ome.zarr"
    with begin(path, value=7) as writer:
        writer.finish()
    begin(path, overwrite=True, value=8).close()
    path.rename(tmp_path / "x.ome.zarr.replaced")  # as it is between the two renames
    begin(path, overwrite=True, value=9).close()
    assert zarr.open_group(path, mode="r")["0"][0, 0] == 7
    assert not (tmp_path / "x.ome.zarr.replaced").exists()


def test_every_name_is_tried_here(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    assert {each.name for each in names_beside(path)} == {f"x.tif{ending}" for ending in ENDINGS}

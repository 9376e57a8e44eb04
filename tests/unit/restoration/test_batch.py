"""A folder restored with one model: names, states, what is done again and what never is."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr

from napari_restore import open_image, restore, restore_folder, restore_folder_events
from napari_restore.core.errors import RestoreError
from napari_restore.core.events import Event, FileState, Note, Stopped, TileDone
from napari_restore.core.job import drain
from napari_restore.core.normalisation import Normalisation
from napari_restore.core.options import Opening
from napari_restore.restoration import memory
from napari_restore.restoration.batch import plan_results
from napari_restore.sources import open_as
from napari_restore.sources.folders import images_in
from napari_restore.store import output as outputs
from napari_restore.store.finished import NAME
from napari_restore.store.model import Model, build_method


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed process loses nothing the kernel has; only a power cut would, and no test can pull the plug."""
    monkeypatch.setattr("os.fsync", lambda _: None)


def small_model(seed: int = 0) -> Model:
    config = {"dimensions": "2", "width": 2, "depth": 1}
    method = build_method("noise2void", config, spatial="YX", channels=1, seed=seed)
    return Model("noise2void", method.eval(), Normalisation((100.0,), (20.0,)))


@pytest.fixture
def model() -> Model:
    return small_model()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images of ugly shapes and three formats, two files that are no images, one that only looks like one."""
    rng = np.random.default_rng(0)
    place = tmp_path / "in put"
    place.mkdir()
    metadata = {"axes": "ZYX", "spacing": 0.5, "unit": "um"}
    stack = rng.normal(1000, 30, (5, 37, 23)).astype(np.uint16)
    tifffile.imwrite(place / "a10.tif", stack, imagej=True, resolution=(4.0, 4.0), metadata=metadata)
    tifffile.imwrite(place / "a2.ome.tif", rng.normal(100, 9, (17, 23)).astype(np.float32))
    np.save(place / "b.npy", rng.normal(100, 9, (40, 17)).astype(np.float32))
    (place / "broken.tif").write_text("this is not a picture")
    (place / "notes.txt").write_text("no image")
    (place / ".hidden.tif").write_text("no image")
    return place


def run(*args: Any, **options: Any) -> tuple[list[FileState], list[Event]]:
    seen: list[Event] = []
    states = drain(restore_folder_events(*args, **options), seen.append)
    return states, seen


def states_of(states: Sequence[FileState]) -> dict[str, str]:
    return {Path(state.path).name: state.state for state in states}


def content(path: Path) -> dict[str, bytes]:
    files = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    return {str(p.relative_to(path)): p.read_bytes() for p in files}


def test_each_image_is_restored_as_it_would_be_alone_and_a_bad_one_stops_none(
    folder: Path, model: Model, tmp_path: Path
) -> None:
    before = content(folder)
    states, seen = run(folder, model, output=tmp_path / "new" / "out")
    assert [Path(s.path).name for s in states] == ["a2.ome.tif", "a10.tif", "b.npy", "broken.tif"]
    assert [s.state for s in states] == ["done", "done", "done", "failed"]
    assert "broken.tif is not a TIFF" in states[3].reason
    assert "\n" not in states[3].reason
    names = {p.name for p in (tmp_path / "new" / "out").iterdir()}
    assert names == {"a2_denoised.ome.tif", "a10_denoised.tif", "b_denoised.ome.zarr", NAME}
    for state in states[:3]:
        alone = restore(state.path, model, output=tmp_path / f"{state.index}.zarr")
        np.testing.assert_array_equal(open_image(state.output).read(), np.asarray(alone))
    opened = open_image(states[1].output)
    assert opened.axes == "ZYX"
    assert opened.geometry.pixel_size == pytest.approx((0.5, 0.25, 0.25))
    assert opened.geometry.units == ("micrometer",) * 3
    assert content(folder) == before
    files = [event for event in seen if isinstance(event, FileState)]
    assert [event.state for event in files[:4]] == ["waiting"] * 4
    assert [event.state for event in files[4:]] == ["running", "done"] * 3 + ["running", "failed"]
    assert sum(isinstance(event, TileDone) for event in seen) == 7


def test_what_is_done_is_not_done_again(folder: Path, model: Model, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run(folder, model, output=out)
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.name != NAME}
    states, seen = run(folder, small_model(), output=out)
    assert states_of(states) == dict.fromkeys(["a2.ome.tif", "a10.tif", "b.npy"], "skipped") | {"broken.tif": "failed"}
    assert not any(isinstance(event, TileDone) for event in seen)
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.name != NAME} == before


def test_a_file_that_was_only_touched_or_copied_is_the_same(folder: Path, model: Model, tmp_path: Path) -> None:
    run(folder, model, output=tmp_path / "out", pattern="b.*")
    os.utime(folder / "b.npy", (1, 1))
    assert states_of(run(folder, model, output=tmp_path / "out", pattern="b.*")[0]) == {"b.npy": "skipped"}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def lose_a_chunk(path: Path) -> None:
    next(p for p in sorted((path / "0").rglob("*")) if p.is_file() and p.name != "zarr.json").unlink()


@pytest.mark.parametrize(("name", "damage"), [("a10.tif", cut), ("b.npy", lose_a_chunk)])
def test_a_damaged_result_is_made_again(folder: Path, model: Model, tmp_path: Path, name: str, damage: Any) -> None:
    states, _ = run(folder, model, output=tmp_path / "out", pattern=name)
    output = Path(states[0].output)
    whole = content(output)
    damage(output)
    assert content(output) != whole
    assert states_of(run(folder, model, output=tmp_path / "out", pattern=name)[0]) == {name: "done"}
    assert content(output).keys() == whole.keys()
    np.testing.assert_array_equal(
        open_image(output).read(), np.asarray(restore(folder / name, model, output=tmp_path / "x.zarr"))
    )


def test_a_file_of_that_name_is_no_proof_and_never_lost(folder: Path, model: Model, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    precious = out / "a10_denoised.tif"
    precious.write_bytes(b"precious")
    states, _ = run(folder, model, output=out, pattern="a*")
    assert states_of(states) == {"a2.ome.tif": "done", "a10.tif": "failed"}
    assert "exists already and was not made by this batch" in states[1].reason and not states[1].redo
    assert precious.read_bytes() == b"precious"
    assert states_of(run(folder, model, output=out, pattern="a*", overwrite=True)[0]) == {
        "a2.ome.tif": "skipped",
        "a10.tif": "done",
    }


def change_input(folder: Path) -> None:
    np.save(folder / "b.npy", np.load(folder / "b.npy")[::-1])


@pytest.mark.parametrize("other", ["model", "input", "options"])
def test_a_result_of_another_model_input_or_options_is_replaced_only_where_asked(
    folder: Path, model: Model, tmp_path: Path, other: str
) -> None:
    out = tmp_path / "out"
    first = content(Path(run(folder, model, output=out, pattern="b.*")[0][0].output))
    options: dict[str, Any] = {"output": out, "pattern": "b.*"}
    if other == "model":
        model = small_model(1)
    elif other == "input":
        change_input(folder)
    else:
        options["pixel_size"] = {"X": 0.3}
    states, _ = run(folder, model, **options)
    assert states[0].state == "failed"
    assert "another" in states[0].reason and states[0].redo
    assert content(Path(states[0].output)) == first
    assert states_of(run(folder, model, **options, overwrite=True)[0]) == {"b.npy": "done"}
    assert content(Path(states[0].output)) != first
    assert states_of(run(folder, model, **options)[0]) == {"b.npy": "skipped"}


class StopAfter(threading.Event):
    """Set once so many looks were taken at it: one before each image and each batch of tiles, some while hashing."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self.looks = looks

    def is_set(self) -> bool:
        self.looks -= 1
        return self.looks < 0


@pytest.mark.parametrize("looks", [0, 1, 2, 3, 5, 7, 8, 9])
def test_a_stop_anywhere_is_gone_on_with_to_the_same_bytes(
    folder: Path, model: Model, tmp_path: Path, looks: int
) -> None:
    whole = run(folder, model, output=tmp_path / "whole", pattern="a*")[0]
    states, seen = run(folder, model, output=tmp_path / "out", pattern="a*", stop=StopAfter(looks))
    assert isinstance(seen[-1], Stopped)
    assert seen[-1].what == "batch"
    assert sum(isinstance(event, Stopped) for event in seen) == 1
    assert "waiting" in states_of(states).values()
    assert set(states_of(states).values()) <= {"waiting", "done"}
    again, _ = run(folder, model, output=tmp_path / "out", pattern="a*")
    assert set(states_of(again).values()) <= {"skipped", "done"}
    for one, other in zip(whole, again, strict=True):
        np.testing.assert_array_equal(open_image(one.output).read(), open_image(other.output).read())
    assert {p.name for p in (tmp_path / "out").iterdir()} == {p.name for p in (tmp_path / "whole").iterdir()}


def unfinished(folder: Path, model: Model, out: Path) -> Path:
    """A batch that was stopped within a10.tif: its tiles so far lie beside the name it will have."""
    out_path = out / "a10_denoised.tif"
    for looks in range(3, 30):
        run(folder, model, output=out, pattern="a10*", stop=StopAfter(looks))
        if outputs.resumable(out_path):
            return out_path
    raise AssertionError("no stop came within the image")


def test_tiles_that_were_done_stay_done(folder: Path, model: Model, tmp_path: Path) -> None:
    path = unfinished(folder, model, tmp_path / "out")
    done = len(outputs.journal_path(path).read_bytes().splitlines()) - 1
    assert 0 < done < 5
    states, seen = run(folder, model, output=tmp_path / "out", pattern="a10*")
    assert states[0].state == "done"
    assert sum(isinstance(event, TileDone) for event in seen) == 5 - done


def test_what_was_begun_with_other_tiles_is_begun_again(folder: Path, model: Model, tmp_path: Path) -> None:
    unfinished(folder, model, tmp_path / "out")
    states, seen = run(folder, model, output=tmp_path / "out", pattern="a10*", tile=(16, 16))
    assert states[0].state == "done"
    assert any(isinstance(event, Note) and "begun again" in event.text for event in seen)


def test_a_crash_between_the_last_byte_and_the_note_costs_one_image_again(
    folder: Path, model: Model, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    run(folder, model, output=out, pattern="b.*")
    lines = (out / NAME).read_bytes().splitlines(keepends=True)
    assert [json.loads(line)["state"] for line in lines] == ["begun", "done"]
    (out / NAME).write_bytes(lines[0] + lines[1][: len(lines[1]) // 2])
    assert states_of(run(folder, model, output=out, pattern="b.*")[0]) == {"b.npy": "done"}
    assert states_of(run(folder, model, output=out, pattern="b.*")[0]) == {"b.npy": "skipped"}


def test_results_may_lie_beside_the_images_and_are_no_images_then(folder: Path, model: Model) -> None:
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert len(run(folder, model, output=folder)[0]) == 4
    unfinished_one = folder / "b_denoised.ome.zarr.partial"
    (unfinished_one).mkdir()
    (unfinished_one / "zarr.json").write_text("{}")
    assert states_of(run(folder, model, output=folder)[0]).keys() == {"a2.ome.tif", "a10.tif", "b.npy", "broken.tif"}
    assert {p.name: p.read_bytes() for p in folder.iterdir() if p.name in before} == before


def test_an_input_is_never_written_over(folder: Path, model: Model) -> None:
    tifffile.imwrite(folder / "a10_denoised.tif", np.ones((20, 20), np.uint8))
    before = (folder / "a10_denoised.tif").read_bytes()
    states, _ = run(folder, model, output=folder, pattern="a10*", overwrite=True)
    assert states[0].state == "failed"
    assert "is one of the images" in states[0].reason
    assert (folder / "a10_denoised.tif").read_bytes() == before


def test_names(tmp_path: Path) -> None:
    for name in ("x.tif", "x.lsm", "y.OME.TIFF", "v1.2.tiff"):
        tifffile.imwrite(tmp_path / name, np.ones((9, 9), np.uint8))
    for name in ("same.npy", "Sam.npy"):
        np.save(tmp_path / name, np.ones((9, 9)))
    (tmp_path / "same.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    zarr.create_array(tmp_path / "z.ome.zarr", shape=(9, 9), dtype="u1")

    def names(suffix: str = "s", **options: Any) -> dict[str, str]:
        items = plan_results(images_in(tmp_path), tmp_path / "out", suffix=suffix, **options)
        assert {item.output.parent for item in items} == {tmp_path / "out"}
        return {item.source.name: item.output.name for item in items}

    assert names() == {
        "x.tif": "x_s.tif",
        "x.lsm": "x_s.ome.tif",
        "y.OME.TIFF": "y_s.OME.TIFF",
        "v1.2.tiff": "v1.2_s.tiff",
        "same.npy": "same.npy_s.ome.zarr",
        "same.png": "same.png_s.ome.zarr",
        "Sam.npy": "Sam_s.ome.zarr",
        "z.ome.zarr": "z_s.ome.zarr",
    }
    assert set(names(format="zarr").values()) >= {"x.tif_s.ome.zarr", "x.lsm_s.ome.zarr"}
    assert names(format="tiff")["z.ome.zarr"] == "z_s.ome.tif"


def test_a_list_may_hold_folders_of_slices_but_not_two_of_one_name(model: Model, tmp_path: Path) -> None:
    for place in ("one", "two"):
        slices = tmp_path / place / "slices"
        slices.mkdir(parents=True)
        for z in range(3):
            tifffile.imwrite(slices / f"{z}.tif", np.full((17, 20), 100 + z, np.float32))
    found = restore_folder([tmp_path / "one" / "slices"], model, output=tmp_path / "out")
    assert [s.state for s in found] == ["done"]
    assert open_image(found[0].output).shape == (3, 17, 20)
    with pytest.raises(RestoreError, match="two images are called slices"):
        restore_folder([tmp_path / n / "slices" for n in ("one", "two")], model, output=tmp_path / "out")


def test_chunks_that_cannot_be_read_are_filled_where_that_is_asked(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_restore.sources.retrying.time.sleep", lambda _: None)
    pixels = np.random.default_rng(0).integers(0, 255, (40, 90)).astype(np.uint8)
    zarr.create_array(tmp_path / "in" / "x.zarr", data=pixels, chunks=(40, 30), dimension_names=("y", "x"))
    (tmp_path / "in/x.zarr/c/0/1").write_bytes(b"torn")
    states, _ = run(tmp_path / "in", model, output=tmp_path / "out")
    assert states[0].state == "failed" and "chunk [0, 1]" in states[0].reason
    states, seen = run(tmp_path / "in", model, output=tmp_path / "out", unreadable="fill", overwrite=True)
    assert states[0].state == "done"
    assert any(isinstance(event, Note) and "taken as 0: [0, 1]" in event.text for event in seen)


def test_the_share_of_memory_holds_for_each_image(
    folder: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "free_memory", lambda: 2**30)
    states, _ = run(folder, model, output=tmp_path / "out", pattern="b.*", memory_share=0.0001)
    assert states[0].state == "failed" and "allow a larger `memory_share` than 0.0001" in states[0].reason
    states, _ = run(folder, model, output=tmp_path / "out", pattern="b.*", memory_share=1.0)
    assert states[0].state == "done"


def test_any_error_of_one_image_stays_with_it(
    folder: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_restore.restoration import batch

    def open_or_burst(path: Path, opening: Opening) -> Any:
        if path.name == "a2.ome.tif":
            raise RuntimeError("the decoder\nburst")
        return open_as(path, opening)

    monkeypatch.setattr(batch, "open_as", open_or_burst)
    states, _ = run(folder, model, output=tmp_path / "out", pattern="a*")
    assert states_of(states) == {"a2.ome.tif": "failed", "a10.tif": "done"}
    assert states[0].reason == "RuntimeError: the decoder burst"


def test_an_image_that_changes_meanwhile_is_not_called_done(
    folder: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    events = restore_folder_events(folder, model, output=tmp_path / "out", pattern="b.*")
    for event in events:
        if isinstance(event, TileDone):
            change_input(folder)
            break
    last = list(events)[-1]
    assert isinstance(last, FileState)
    assert last.state == "failed"
    assert "has changed while it was restored" in last.reason and last.redo


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"pattern": "*.czi"}, "names match '\\*.czi'"),
        ({"suffix": "../x"}, "`suffix` = '../x'"),
        ({"format": "jpeg"}, "`format` = 'jpeg': give auto, zarr or tiff"),
        ({"output": "in put/notes.txt"}, "is a file"),
        ({"images": "in put/b.npy"}, "is not a folder"),
        ({"images": "nowhere"}, "is not a folder"),
        ({"images": []}, "there are no images"),
        ({"tile": (5, 5, 5)}, "`tile` = .5, 5, 5.: give 2 positive lengths, along YX"),
    ],
)
def test_what_cannot_begin_is_said_at_once(
    folder: Path, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: Any, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    given = {"images": "in put", "output": "out", **options}
    with pytest.raises(RestoreError, match=said):
        restore_folder(given.pop("images"), model, **given)
    assert sorted(tmp_path.rglob("*")) == before


def test_positions_are_restored_each_once_and_an_image_in_several_files_once(
    model: Model, tmp_path: Path, ome_fileset: Any
) -> None:
    (tmp_path / "raw").mkdir()
    files = ome_fileset(tmp_path / "raw", parts=(1, 2, 1))
    for _ in range(2):
        states, _ = run(tmp_path / "raw", model, output=tmp_path / "out")
    assert states[2].state == "skipped"
    assert "the same image as exp_Pos1.ome.tif" in states[2].reason
    assert len(list((tmp_path / "out").glob("*.tif"))) == 3
    for (file, *_), name in zip(files, ("exp_Pos0", "exp_Pos1", "exp_Pos2"), strict=True):
        alone = restore(file, model, output=tmp_path / f"{name}.zarr")
        there = open_image(tmp_path / "out" / f"{name}_denoised.ome.tif").read()
        np.testing.assert_array_equal(there, np.asarray(alone).reshape(there.shape))

"""The notes of a batch: what survives a crash, and what counts as the same file."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from napari_restore.core.errors import OutputError
from napari_restore.store.finished import NAME, Entry, Finished, Size, is_unchanged, size_of, stamp_of


def entry(path: Path, name: str = "a_denoised.ome.zarr") -> Entry:
    stamp = stamp_of(path)
    assert stamp is not None
    return Entry(name, "begun", stamp, "model")


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "a.tif"
    path.write_bytes(b"pixels")
    return path


def test_notes_are_read_back_and_the_last_one_counts(image: Path, tmp_path: Path) -> None:
    notes = Finished.open(tmp_path)
    begun = entry(image)
    done = replace(begun, state="done", size=Size(3, 10))
    for each in (begun, replace(begun, output="µ \n.tif"), done):
        notes.note(each)
    assert (
        Finished.open(tmp_path).entries == notes.entries == {begun.output: done, "µ \n.tif": notes.entries["µ \n.tif"]}
    )


@pytest.mark.parametrize("torn", range(1, 60, 7))
def test_a_torn_line_is_lost_and_no_other(image: Path, tmp_path: Path, torn: int) -> None:
    notes = Finished.open(tmp_path)
    notes.note(entry(image, "first"))
    notes.note(entry(image, "second"))
    (tmp_path / NAME).write_bytes((tmp_path / NAME).read_bytes()[:-torn])
    again = Finished.open(tmp_path)
    # Without its line break alone a line is whole.
    assert again.entries.keys() == ({"first", "second"} if torn == 1 else {"first"})
    again.note(entry(image, "third"))
    assert Finished.open(tmp_path).entries.keys() == again.entries.keys() | {"third"}


def test_lines_of_others_are_passed_over(image: Path, tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('[1]\n{}\n{"batch": 2}\n{"batch": 1, "output": 3}\nnull\n\xff\n')
    assert Finished.open(tmp_path).entries == {}


def test_content_tells_where_the_time_differs(image: Path) -> None:
    stamp = stamp_of(image)
    assert stamp is not None and is_unchanged(image, stamp)
    os.utime(image, ns=(5, 5))
    assert is_unchanged(image, stamp)
    image.write_bytes(b"pixelS")
    assert not is_unchanged(image, stamp)
    image.write_bytes(b"pixels and more")
    assert not is_unchanged(image, stamp)


def test_a_folder_is_all_its_files_but_what_file_managers_leave(tmp_path: Path) -> None:
    place = tmp_path / "a.zarr"
    (place / "0" / "c").mkdir(parents=True)
    for name in ("zarr.json", "0/zarr.json", "0/c/0"):
        (place / name).write_text(name)
    stamp = stamp_of(place)
    assert stamp is not None and stamp.size == size_of(place) == Size(
        3, sum(map(len, ("zarr.json", "0/zarr.json", "0/c/0")))
    )
    (place / ".DS_Store").write_text("x")
    assert is_unchanged(place, stamp)
    (place / "0" / "c" / "0").rename(place / "0" / "c" / "1")
    os.utime(place / "0" / "c" / "1", ns=(5, 5))
    os.utime(place / "zarr.json", ns=(7, 7))
    os.utime(place / "0" / "zarr.json", ns=(7, 7))
    assert not is_unchanged(place, stamp), "the names count"


def test_results_and_what_lies_beside_them_are_known(image: Path, tmp_path: Path) -> None:
    notes = Finished.open(tmp_path)
    notes.note(entry(image))
    names = ["a.tif", "a_denoised.ome.zarr", "a_denoised.ome.zarr.partial", "a_denoised.ome.zarrs", NAME]
    paths = [tmp_path / name for name in names]
    assert [p.name for p in notes.without_results(paths)] == ["a.tif", "a_denoised.ome.zarrs"]
    elsewhere = [tmp_path / "other" / name for name in names]
    assert notes.without_results(elsewhere) == elsewhere


@pytest.mark.parametrize(
    "change",
    [
        {"output": ["a"]},
        {"output": 3},
        {"state": "gone"},
        {"model": None},
        {"stamp": {"size": {"files": "1", "bytes": 6}, "changed": 1, "sha256": "x"}},
        {"stamp": {"size": {"files": 1, "bytes": 6}, "changed": None, "sha256": "x"}},
        {"stamp": [1]},
    ],
)
def test_a_line_with_other_kinds_of_values_is_passed_over(
    image: Path, tmp_path: Path, change: dict[str, object]
) -> None:
    notes = Finished.open(tmp_path)
    notes.note(entry(image, "first"))
    line = json.loads((tmp_path / NAME).read_text())
    with (tmp_path / NAME).open("a") as file:
        file.write(json.dumps({**line, **change}) + "\n")
    assert Finished.open(tmp_path).entries.keys() == {"first"}


def test_a_line_of_a_hundred_thousand_brackets_is_passed_over(image: Path, tmp_path: Path) -> None:
    notes = Finished.open(tmp_path)
    notes.note(entry(image, "first"))
    with (tmp_path / NAME).open("a") as file:
        file.write("[" * 100_000 + "\n")
    assert Finished.open(tmp_path).entries.keys() == {"first"}


def test_notes_are_not_written_through_a_link(image: Path, tmp_path: Path) -> None:
    thesis = tmp_path / "thesis.txt"
    thesis.write_text("mine")
    (tmp_path / NAME).symlink_to(thesis)
    with pytest.raises(OutputError, match="cannot be written"):
        Finished.open(tmp_path).note(entry(image))
    assert thesis.read_text() == "mine"

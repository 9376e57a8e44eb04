"""Which files of a folder are taken for images."""

from __future__ import annotations

import numpy as np
import pytest
import zarr

from napari_restore.core.errors import ImageError
from napari_restore.sources.folders import images_in
from napari_restore.sources.formats import FORMATS, endings


def test_what_is_called_an_image_is_listed_though_it_is_damaged(tmp_path):
    names = [f"a{ending}" for ending in endings("stack", "plain")]
    for name in (*names, "B.TIF", "notes.txt", "a.csv", ".hidden.tif"):
        (tmp_path / name).write_bytes(b"nothing of an image")
    assert {path.name for path in images_in(tmp_path)} == {*names, "B.TIF"}


def test_of_folders_only_a_zarr_is_listed_whatever_it_is_called(tmp_path):
    zarr.save_array(tmp_path / "stack", np.zeros((4, 5)))
    (tmp_path / "no.zarr").mkdir()
    (tmp_path / "slices").mkdir()
    assert [path.name for path in images_in(tmp_path)] == ["stack"]


def test_a_narrower_pattern_takes_every_file_of_that_name(tmp_path):
    for name in ("a10.txt", "a2.txt", "b.txt"):
        (tmp_path / name).write_bytes(b"text")
    assert [path.name for path in images_in(tmp_path, "a*")] == ["a2.txt", "a10.txt"]


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ImageError, match="cannot be listed"):
        images_in(tmp_path / "nowhere")


def test_no_two_formats_have_one_ending():
    every = [ending for format in FORMATS for ending in format.endings]
    assert len(set(every)) == len(every)
    assert all(ending == ending.lower() and ending.startswith(".") for ending in every)

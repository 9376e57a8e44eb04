"""Formats are told by their bytes and contents, never by their names."""

import numpy as np
import pytest
import tifffile
import zarr

from napari_restore.core.errors import ImageError
from napari_restore.sources import open_image, recognises
from napari_restore.sources.formats import FORMATS, visible_files

PLANE = np.arange(17 * 23, dtype=np.uint16).reshape(17, 23)


def test_a_text_file_called_tif_is_refused_on_one_line(tmp_path):
    path = tmp_path / "x.tif"
    path.write_text("hello, this is text")
    with pytest.raises(ImageError, match=r"^x\.tif is not a TIFF: it starts with b'hello, t'") as caught:
        open_image(path)
    assert "\n" not in str(caught.value)
    assert recognises(path) is None


def test_a_tiff_called_txt_opens(tmp_path):
    path = tmp_path / "x.txt"
    tifffile.imwrite(path, PLANE)
    assert recognises(path) == "TIFF"
    assert np.array_equal(open_image(str(path)).read(), PLANE)


@pytest.mark.parametrize(
    "content", [b"", b"II*\0", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04", b"\x93NUMPY", b"BM", b"\xff\xd8\xff"]
)
def test_nothing_but_a_magic_number_is_refused(tmp_path, content):
    path = tmp_path / "x"
    path.write_bytes(content)
    with pytest.raises(ImageError) as caught:
        open_image(path)
    assert "\n" not in str(caught.value)
    recognises(path)


def test_what_is_not_there_is_refused(tmp_path):
    with pytest.raises(ImageError, match="does not exist"):
        open_image(tmp_path / "nowhere.tif")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ImageError, match="folder without images"):
        open_image(tmp_path / "empty")
    with pytest.raises(ImageError, match="ftp://"):
        open_image("ftp://example.org/x.zarr")


@pytest.mark.parametrize("thing", [None, 3, "\0", "a" * 5000, [], "http://example.org/x.zarr"])
def test_recognises_never_raises(thing):
    assert recognises(thing) is None


def test_every_loader_exists():
    import importlib

    for format in FORMATS:
        module, function = format.loader.split(":")
        assert callable(getattr(importlib.import_module(f"napari_restore.sources.{module}"), function))


def test_recognises_folders(tmp_path):
    zarr.save_array(tmp_path / "a", PLANE)
    (tmp_path / "b").mkdir()
    tifffile.imwrite(tmp_path / "b" / "1.tif", PLANE)
    assert recognises(tmp_path / "a") == "Zarr"
    assert recognises(tmp_path / "b") == "folder of slices"
    assert recognises(tmp_path) is None


def test_npy_is_mapped(tmp_path):
    np.save(tmp_path / "a.npy", PLANE)
    image = open_image(tmp_path / "a.npy")
    assert (image.name, image.axes) == ("a", "YX")
    assert np.array_equal(image.read(), PLANE)
    np.save(tmp_path / "b.npy", np.array([{}, {}], object))
    with pytest.raises(ImageError, match=r"b\.npy"):
        open_image(tmp_path / "b.npy")
    (tmp_path / "c.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-9])
    with pytest.raises(ImageError, match=r"c\.npy"):
        open_image(tmp_path / "c.npy")


def test_a_url_of_a_file_is_a_path(tmp_path):
    np.save(tmp_path / "a b.npy", PLANE)
    assert np.array_equal(open_image((tmp_path / "a b.npy").as_uri()).read(), PLANE)


def test_slices_are_in_natural_order_and_stacked(tmp_path):
    for z in (10, 9, 2, 1):
        tifffile.imwrite(tmp_path / f"z{z}.tif", PLANE + np.uint16(z))
    (tmp_path / "notes.txt").write_text("not an image")
    image = open_image(tmp_path)
    assert [file.name for file in visible_files(tmp_path)][1:] == ["z1.tif", "z2.tif", "z9.tif", "z10.tif"]
    assert (image.axes, image.shape, image.chunks) == ("ZYX", (4, 17, 23), (1, 17, 23))
    assert image.read()[:, 0, 0].tolist() == [1, 2, 9, 10]


def test_slices_that_differ_are_refused_by_name(tmp_path):
    tifffile.imwrite(tmp_path / "1.tif", PLANE)
    tifffile.imwrite(tmp_path / "2.tif", PLANE[:, :-1])
    with pytest.raises(ImageError, match=r"2\.tif is \(17, 22\)"):
        open_image(tmp_path)


def test_a_folder_of_stacks_is_refused(tmp_path):
    for name in "ab":
        tifffile.imwrite(tmp_path / f"{name}.tif", np.zeros((5, 17, 23), np.uint8), photometric="minisblack")
    with pytest.raises(ImageError, match="is a stack"):
        open_image(tmp_path)

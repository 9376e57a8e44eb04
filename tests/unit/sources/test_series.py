"""Of files that hold several images, the one that was named is opened; the others are listed, and can be asked for."""

import json
import struct

import numpy as np
import pytest
import tifffile
import zarr
from hypothesis import given
from hypothesis import strategies as st

from napari_restore import evaluate
from napari_restore.cli import main
from napari_restore.core.errors import ImageError
from napari_restore.core.region import Region
from napari_restore.sources import open_image
from napari_restore.sources.described import Described
from napari_restore.sources.views import first, fixed, split


def values(image):
    return np.unique(image.read()).tolist()


def test_each_file_of_a_set_gives_the_image_whose_pixels_lie_in_it(tmp_path, ome_fileset):
    for i, (file,) in enumerate(ome_fileset(tmp_path)):
        image = open_image(file)
        assert values(image) == [100 * i + t for t in range(4)]
        assert image.geometry.size_of("X") == pytest.approx(0.1 * (i + 1))
        assert [each.opened for each in image.series] == [each.index == i for each in image.series]
        assert f"number {i} (Pos{i})" in image.notes[0]
        assert len(image.files) == 3


@pytest.mark.parametrize("wanted", [2, "2", "Pos2", "pos2", np.int64(2)])
def test_another_image_of_the_set_is_taken_by_number_or_name(tmp_path, ome_fileset, wanted):
    (file, *_), *_ = ome_fileset(tmp_path)
    image = open_image(file, series=wanted)
    assert values(image) == [200, 201, 202, 203]
    assert image.notes == ()
    again = open_image(image, series=2)
    assert values(again) == values(image)
    with pytest.raises(ImageError, match="is open already"):
        open_image(image, series=0)


def test_the_image_that_is_measured_is_the_one_that_was_named(tmp_path, ome_fileset):
    (file, *_), *_ = ome_fileset(tmp_path)
    truth = np.full((4, 17, 23), 202, np.uint16) + np.arange(4, dtype=np.uint16)[:, None, None]
    first, third = (evaluate(file, truth, measures=["psnr"], series=n)["psnr"] for n in (0, 2))
    assert third > first + 30


@pytest.mark.parametrize("wanted", [3, -1, "Pos", 1.5, True, "no such"])
def test_a_series_that_is_not_there_is_refused_with_those_that_are(tmp_path, ome_fileset, wanted):
    (file, *_), *_ = ome_fileset(tmp_path)
    with pytest.raises(ImageError, match=r"it holds 3 images: 0 \(Pos0\), 1 \(Pos1\), 2 \(Pos2\)"):
        open_image(file, series=wanted)


def test_numbers_are_those_of_the_metadata_where_files_are_missing(tmp_path, ome_fileset):
    files = ome_fileset(tmp_path, lost=(1,))
    image = open_image(files[2][0])
    assert values(image) == [200, 201, 202, 203]
    assert image.geometry.size_of("X") == pytest.approx(0.3)
    assert [bool(each.files) for each in image.series] == [True, False, True]
    assert values(open_image(files[0][0], series=2)) == values(image)
    with pytest.raises(ImageError, match="not there"):
        open_image(files[0][0], series=1)


def test_a_file_that_was_renamed_is_still_the_one_that_was_named(tmp_path, ome_fileset):
    files = ome_fileset(tmp_path)
    renamed = files[1][0].rename(tmp_path / "best cell.tif")
    assert values(open_image(renamed)) == [100, 101, 102, 103]


def test_an_image_of_several_files_is_the_same_from_each(tmp_path, ome_fileset):
    files = ome_fileset(tmp_path, parts=(1, 2))
    for file in files[1]:
        image = open_image(file)
        assert values(image) == [100, 101, 102, 103]
        (opened,) = [each for each in image.series if each.opened]
        assert opened.files == tuple(map(str, files[1]))


def test_the_largest_image_in_the_file_comes_before_a_larger_one_elsewhere(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as tif:
        tif.write(np.full((9, 11), 1, np.uint8), metadata={"axes": "YX", "Name": "label"})
        tif.write(np.full((3, 17, 19), 2, np.uint8), metadata={"axes": "ZYX", "Name": "scan"})
    image = open_image(tmp_path / "a.ome.tif")
    assert values(image) == [2]
    assert [str(each) for each in image.series] == ["0 (label)", "1 (scan)"]
    assert values(open_image(tmp_path / "a.ome.tif", series="label")) == [1]


def micromanager(path, place, *, frames=3, positions=3):
    """A stack of Micro-Manager 1.4: 162 bytes of tags before each page, and an index at the end."""
    summary = {"MicroManagerVersion": "1.4", "Channels": 2, "Slices": 1, "Frames": frames, "Positions": positions}
    text = json.dumps({**summary, "Prefix": "exp"}).ljust(160).encode()
    size, start = 162 + 17 * 23 * 2, 40 + len(text)
    places = [(c, 0, t, place) for t in range(3) for c in range(2)]
    offsets = [start + i * size for i in range(len(places))]
    end = offsets[-1] + size
    content = struct.pack("<4sI8I", b"II*\0", start, 54773648, end, 0, 0, 0, 0, 2355492, len(text)) + text
    for offset, following, (c, _, t, p) in zip(offsets, [*offsets[1:], 0], places, strict=True):
        tags = [(256, 4, 1, 23), (257, 4, 1, 17), (258, 3, 1, 16), (259, 3, 1, 1), (262, 3, 1, 1)]
        tags += [(273, 4, 1, offset + 162), (277, 3, 1, 1), (278, 4, 1, 17), (279, 4, 1, size - 162)]
        tags += [(284, 3, 1, 1), (296, 3, 1, 1), (339, 3, 1, 1), (51123, 2, len(text), 40)]
        entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
        content += struct.pack("<H", len(tags)) + entries + struct.pack("<I", following)
        content += np.full((17, 23), 100 * p + 10 * t + c, np.uint16).tobytes()
    index = b"".join(struct.pack("<5I", *at, offset) for at, offset in zip(places, offsets, strict=True))
    path.write_bytes(content + struct.pack("<II", 3453623, len(places)) + index)
    return path


def test_positions_of_a_micromanager_stack_are_images_and_no_times(tmp_path):
    files = [micromanager(tmp_path / f"exp_MMStack_Pos{p}.tif", p) for p in range(3)]
    for p, file in enumerate(files):
        image = open_image(file)
        assert (image.axes, image.shape) == ("TCYX", (3, 2, 17, 23))
        assert np.array_equal(image.read()[:, :, 3, 4], [[100 * p + 10 * t + c for c in range(2)] for t in range(3)])
    assert values(open_image(files[0], series=2)) == values(open_image(files[2]))


def test_a_micromanager_stack_that_was_stopped_is_said(tmp_path):
    path = micromanager(tmp_path / "exp_MMStack_Pos0.tif", 0, frames=7, positions=1)
    with pytest.raises(ImageError, match="3 of 7 time points are there"):
        open_image(path)
    assert open_image(path, incomplete="use").shape == (3, 2, 17, 23)


def test_the_images_of_a_converted_file_and_the_series_of_a_folder_can_be_taken(tmp_path):
    group = zarr.open_group(str(tmp_path / "a.zarr"), mode="w", zarr_format=2, attributes={"bioformats2raw.layout": 3})
    for i in range(2):
        scales = [{"version": "0.4", "name": f"scene {i}", "axes": ["y", "x"], "datasets": [{"path": "0"}]}]
        image = group.create_group(str(i), attributes={"multiscales": scales})
        image.create_array("0", data=np.full((17, 23), i, np.uint8))
    assert values(open_image(tmp_path / "a.zarr")) == [0]
    assert values(open_image(tmp_path / "a.zarr", series="scene 1")) == [1]
    with pytest.raises(ImageError, match="it holds one image"):
        open_image(tmp_path / "a.zarr" / "1", series=1)


@pytest.mark.parametrize("thing", [np.zeros((9, 9)), "npy"])
def test_what_holds_one_image_has_series_0_only(tmp_path, thing):
    np.save(tmp_path / "a.npy", np.zeros((9, 9)))
    thing = tmp_path / "a.npy" if isinstance(thing, str) else thing
    assert open_image(thing, axes="YX", series=0).series == ()
    with pytest.raises(ImageError, match="it holds one image"):
        open_image(thing, axes="YX", series=1)


def test_info_lists_every_image(tmp_path, ome_fileset, monkeypatch, capsys):
    (_, (file,), _) = ome_fileset(tmp_path, lost=(2,))

    def said(*words):
        monkeypatch.setattr("sys.argv", ["napari-restore", "info", str(file), *words])
        with pytest.raises(SystemExit):
            main()
        return capsys.readouterr().out

    told = json.loads(said("--json"))["series"]
    assert [(each["index"], each["name"], each["files"], each["opened"]) for each in told] == [
        (0, "Pos0", ["exp_Pos0.ome.tif"], False),
        (1, "Pos1", ["exp_Pos1.ome.tif"], True),
        (2, "Pos2", [], False),
    ]
    assert "1 (Pos1) 4x17x23 TYX opened, 2 (Pos2) 4x17x23 TYX not there" in said()
    assert "0 (Pos0) 4x17x23 TYX opened" in said("--series", "Pos0")


@given(data=st.data(), shape=st.lists(st.integers(1, 4), min_size=2, max_size=4))
def test_an_array_seen_otherwise_gives_the_same_pixels(data, shape):
    lengths = data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
    axis = data.draw(st.integers(0, len(shape) - 1))
    whole = np.arange(int(np.prod([*shape, *lengths])) * 2).reshape([*shape[:axis], -1, *shape[axis + 1 :]])
    described = Described("a", None, whole.shape, whole.dtype, whole.shape, lambda region: whole[region.slices])
    used = int(np.prod(lengths))
    parts = split(described, axis, lengths)
    expected = whole.take(range(used), axis=axis).reshape([*whole.shape[:axis], *lengths, *whole.shape[axis + 1 :]])
    at = data.draw(st.dictionaries(st.integers(0, len(parts.shape) - 1), st.just(0), max_size=2))
    seen, index = fixed(parts, at), tuple(0 if i in at else slice(None) for i in range(expected.ndim))
    corners = [sorted(data.draw(st.tuples(st.integers(0, n - 1), st.integers(1, n)))) for n in seen.shape]
    region = Region(tuple(min(a, b - 1) for a, b in corners), tuple(b for _, b in corners))
    assert np.array_equal(seen.reader(region), expected[index][region.slices])
    assert first(seen, 0, 1).shape == (1, *seen.shape[1:]) if seen.shape else True

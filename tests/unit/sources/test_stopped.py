"""Acquisitions that were stopped: said what they are, and the whole time points are opened on request."""

import math

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from napari_restore.core.errors import ImageError
from napari_restore.sources import open_image
from napari_restore.sources.stopped import whole_of

NAMESPACE = 'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'


def planes(count):
    return np.arange(count, dtype=np.uint16)[:, None, None] + np.zeros((count, 17, 23), np.uint16)


def written(path, pages, description):
    with tifffile.TiffWriter(path) as tif:
        for i, plane in enumerate(planes(pages)):
            tif.write(plane, description=None if i else description, metadata=None, contiguous=False)
    return path


def ome(order, sizes, listed):
    """OME-XML of a planned image; ``listed`` pages have a TiffData each, -1 is one for all."""
    lengths = [sizes.get(axis, 1) for axis in order]
    blocks = "<TiffData/>" if listed < 0 else ""
    for page in range(max(0, listed)):
        at, rest = [], page
        for axis, n in zip(order, lengths, strict=True):
            at.append(f'First{axis}="{rest % n}"')
            rest //= n
        blocks += f'<TiffData {" ".join(at)} IFD="{page}" PlaneCount="1"/>'
    told = " ".join(f'Size{axis}="{n}"' for axis, n in zip(order, lengths, strict=True))
    channels = "".join(f'<Channel ID="Channel:0:{c}" SamplesPerPixel="1"/>' for c in range(sizes.get("C", 1)))
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><OME {NAMESPACE}><Image ID="Image:0" Name="x"><Pixels ID="Pixels:0" '
        f'DimensionOrder="XY{order}" Type="uint16" SizeX="23" SizeY="17" {told}>{channels}{blocks}</Pixels></Image>'
        "</OME>"
    )


@pytest.mark.parametrize("listed", [10, 6, -1])
def test_a_series_that_was_stopped_is_said_and_its_times_can_be_used(tmp_path, listed):
    path = written(tmp_path / "a.ome.tif", 6, ome("ZCT", {"T": 10}, listed))
    with pytest.raises(ImageError, match=r"was stopped: 6 of 10 time points are there.*`incomplete` use"):
        open_image(path)
    image = open_image(path, incomplete="use")
    assert image.axes == "TYX"
    assert np.array_equal(image.read(), planes(6))
    assert "6 of 10 time points are there, and are used" in image.notes[0]


@pytest.mark.parametrize(
    ("order", "sizes", "pages", "used", "said"),
    [
        ("ZCT", {"T": 4, "C": 2}, 7, {"T": 3, "C": 2}, "3 of 4 time points are there, and 1 more plane"),
        ("CZT", {"T": 3, "Z": 2, "C": 2}, 9, {"T": 2, "Z": 2, "C": 2}, "2 of 3 time points"),
        ("TCZ", {"T": 3, "Z": 4}, 10, {"Z": 4, "T": 1}, "1 of 3 time points"),
        ("CTZ", {"Z": 4, "C": 2}, 5, {"Z": 2, "C": 2}, "2 of 4 planes along Z"),
        ("ZCT", {"T": 4, "C": 2}, 1, None, "0 of 4 time points are there, and 1 more plane. None of its"),
    ],
)
def test_whole_times_are_those_with_all_their_planes(tmp_path, order, sizes, pages, used, said):
    path = written(tmp_path / "a.ome.tif", pages, ome(order, sizes, pages))
    with pytest.raises(ImageError, match=said):
        open_image(path)
    if used is None:
        with pytest.raises(ImageError, match=said):
            open_image(path, incomplete="use")
        return
    image = open_image(path, incomplete="use")
    slow = [axis for axis in reversed(order) if axis in used]
    assert (image.axes, image.shape[:-2]) == ("".join(slow) + "YX", tuple(used[axis] for axis in slow))
    planned = np.arange(math.prod(sizes.values())).reshape([sizes[axis] for axis in slow])
    assert np.array_equal(image.read()[..., 3, 4], planned[tuple(slice(used[axis]) for axis in slow)])


@pytest.mark.parametrize(
    ("told", "pages", "axes", "shape"),
    [
        ("images=10\nframes=10\n", 6, "TYX", (6, 17, 23)),
        ("images=12\nchannels=2\nframes=6\n", 7, "TCYX", (3, 2, 17, 23)),
        ("images=24\nchannels=2\nslices=3\nframes=4\n", 13, "TZCYX", (2, 3, 2, 17, 23)),
        ("images=10\nslices=10\n", 6, "ZYX", (6, 17, 23)),
    ],
)
def test_imagej_plans_images_too(tmp_path, told, pages, axes, shape):
    path = written(tmp_path / "a.tif", pages, f"ImageJ=1.53t\n{told}unit=micron\nfinterval=0.5\n")
    with pytest.raises(ImageError, match="the acquisition was stopped"):
        open_image(path)
    image = open_image(path, incomplete="use")
    assert (image.axes, image.shape) == (axes, shape)
    assert np.array_equal(image.read().reshape(-1, 17, 23), planes(math.prod(shape[:-2])))


@pytest.mark.parametrize("back", [1, 500, 17 * 23 * 2 + 200])
def test_a_file_that_ends_in_the_middle_of_a_page_stays_damaged(tmp_path, back):
    path = written(tmp_path / "a.ome.tif", 6, ome("ZCT", {"T": 10}, 10))
    path.write_bytes(path.read_bytes()[:-back])
    with pytest.raises(ImageError, match="cut short or damaged"):
        open_image(path, incomplete="use")


def test_one_page_that_is_to_be_many_is_a_file_cut_short(tmp_path):
    path = written(tmp_path / "a.tif", 1, "ImageJ=1.53t\nimages=9\nframes=9\n")
    with pytest.raises(ImageError, match="cut short"):
        open_image(path, incomplete="use")


def test_files_of_a_set_that_are_left_behind_are_named(tmp_path, ome_fileset):
    (files,) = ome_fileset(tmp_path, parts=(4,))
    files[3].unlink()
    with pytest.raises(ImageError, match=r"1 of its 4 planes .* exp_Pos0_3.ome.tif .*Put all files .*incomplete"):
        open_image(files[0])
    assert len(open_image(files[0], incomplete="use").read()) == 3


@given(data=st.data())
def test_whole_is_what_numpy_says_is_whole(data):
    shape = data.draw(st.lists(st.integers(1, 4), min_size=1, max_size=3))
    axes = "".join(data.draw(st.permutations("TZC"))[: len(shape)])
    there = data.draw(st.lists(st.booleans(), min_size=math.prod(shape), max_size=math.prod(shape)))
    grid = np.asarray(there).reshape(shape)
    axis, whole = whole_of(grid, axes)
    assert grid.take(range(whole.there), axis=axis).all()
    assert whole.there == grid.shape[axis] or not grid.take([whole.there], axis=axis).all()
    assert whole.missing == there.count(False)

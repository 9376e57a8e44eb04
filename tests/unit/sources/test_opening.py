"""What ``open_image`` promises whatever the image is: overrides, pixel types, errors in words."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import dask
import dask.array as da
import numpy as np
import pytest
import zarr

from napari_restore.core.errors import ImageError
from napari_restore.core.region import Region
from napari_restore.sources import Image, open_image

RAMP = np.arange(3 * 17 * 23, dtype=np.uint16).reshape(3, 17, 23)


def sharded(array):
    return zarr.create_array({}, data=array, chunks=(1, 4, 4), shards=(2, 8, 8))


def test_importing_the_room_loads_no_array_or_file_library():
    code = (
        "import sys, napari_restore.sources; "
        "print([m for m in ('dask','zarr','tifffile','pydicom','torch','scipy','imagecodecs','napari','qtpy') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_plain_array_is_a_volume_with_a_note():
    image = open_image(RAMP)
    assert (image.axes, image.shape, image.dtype) == ("ZYX", (3, 17, 23), np.dtype(np.uint16))
    assert "guessed" in image.notes[0]
    assert np.array_equal(image.read(), RAMP)
    assert np.array_equal(image.read(Region((1, 2, 3), (2, 10, 9))), RAMP[1:2, 2:10, 3:9])


def test_axes_override_and_say_nothing_is_guessed():
    image = open_image(RAMP, axes="tyx")
    assert image.axes == "TYX"
    assert image.notes == ()


def test_axes_may_leave_out_axes_of_one_pixel():
    image = open_image(RAMP[:, None], axes="TYX")
    assert (image.axes, image.shape) == ("TYX", (3, 17, 23))
    assert np.array_equal(image.read(Region((0, 1, 1), (2, 5, 4))), RAMP[:2, 1:5, 1:4])


@pytest.mark.parametrize("axes", ["YX", "ZZYX", "ABC", "", "ZCX"])
def test_axes_that_do_not_fit_are_refused_with_the_shape(axes):
    with pytest.raises(ImageError, match=r"\(3, 17, 23\)"):
        open_image(RAMP, axes=axes)


def test_pixel_size_is_in_micrometers_where_no_unit_is_known():
    geometry = open_image(RAMP, pixel_size={"z": 0.3, "Y": 0.1, "X": 0.1}).geometry
    assert geometry.pixel_size == (0.3, 0.1, 0.1)
    assert geometry.units == ("micrometer",) * 3


@pytest.mark.parametrize("size", [{"B": 1.0}, {"T": 1.0}, {"X": 0.0}, {"X": -1.0}, {"X": float("nan")}])
def test_pixel_sizes_that_cannot_be_are_refused(size):
    with pytest.raises(ImageError):
        open_image(RAMP, pixel_size=size)


def test_a_channel_is_taken_out():
    image = open_image(RAMP, axes="CYX", channel=1)
    assert (image.axes, image.shape) == ("YX", (17, 23))
    assert np.array_equal(image.read(Region((3, 4), (9, 20))), RAMP[1, 3:9, 4:20])
    assert open_image(RAMP, axes="CYX", channel="2").read()[0, 0] == RAMP[2, 0, 0]


@pytest.mark.parametrize(("axes", "channel"), [("ZYX", 0), ("CYX", 3), ("CYX", -1), ("CYX", "DAPI")])
def test_a_channel_that_is_not_there_is_refused(axes, channel):
    with pytest.raises(ImageError, match="channel"):
        open_image(RAMP, axes=axes, channel=channel)


def test_an_image_comes_back_with_its_geometry_and_can_be_changed():
    first = open_image(RAMP, axes="CYX", pixel_size={"Y": 0.5, "X": 0.25})
    second = open_image(first, channel=2)
    assert isinstance(second, Image)
    assert (second.axes, second.geometry.pixel_size) == ("YX", (0.5, 0.25))
    assert np.array_equal(second.read(), RAMP[2])


def test_a_level_of_an_image_with_one_level_is_refused():
    with pytest.raises(ImageError, match="level 1 does not exist"):
        open_image(RAMP, level=1)


@pytest.mark.parametrize(
    ("given", "kept"),
    [(">u2", "=u2"), (">f4", "=f4"), ("?", "u1"), ("f2", "f4"), ("i1", "i1"), ("f8", "f8"), ("u8", "u8")],
)
def test_pixel_types_become_native_numbers(given, kept):
    array = (RAMP % 2).astype(given)
    image = open_image(array)
    assert image.dtype == np.dtype(kept)
    assert image.read().dtype == np.dtype(kept)
    assert np.array_equal(image.read(), RAMP % 2)


@pytest.mark.parametrize("dtype", ["c8", "U3", "O", "M8[s]"])
def test_pixels_that_are_no_numbers_are_refused(dtype):
    with pytest.raises(ImageError, match=r"Give"):
        open_image(np.zeros((9, 9), dtype))


@pytest.mark.parametrize(
    "thing", [None, 7, [[1, 2], [3, 4]], {"a": 1}, np.zeros(5), np.zeros((1,) * 6), np.zeros((0, 4))]
)
def test_what_is_no_image_is_refused(thing):
    with pytest.raises(ImageError) as caught:
        open_image(thing)
    assert "\n" not in str(caught.value)


def test_a_region_outside_is_refused():
    with pytest.raises(ImageError, match="outside"):
        open_image(RAMP).read(Region((0, 0, 0), (3, 18, 23)))


@pytest.mark.parametrize(
    "make",
    [
        lambda a: a,
        lambda a: da.from_array(a, chunks=(1, 8, 8)),
        lambda a: zarr.array(a, chunks=(1, 8, 8)),
        lambda a: sharded(a),
    ],
    ids=["numpy", "dask", "zarr", "sharded zarr"],
)
def test_many_threads_read_what_one_reads(make):
    image = open_image(make(RAMP))
    check_threads(image, RAMP)


def check_threads(image, full, *, reads=60):
    rng = np.random.default_rng(3)
    corners = [np.sort(rng.integers(0, np.array(full.shape) + 1, (2, full.ndim)), axis=0) for _ in range(reads)]
    regions = [Region(tuple(map(int, a)), tuple(map(int, b))) for a, b in corners]
    with ThreadPoolExecutor(8) as pool:
        for region, part in zip(regions, pool.map(image.read, regions), strict=True):
            assert np.array_equal(part, full[region.slices]), region


def test_chunks_are_those_of_the_array():
    assert open_image(RAMP).chunks == RAMP.shape
    assert open_image(da.from_array(RAMP, chunks=(1, 8, 9))).chunks == (1, 8, 9)
    assert open_image(zarr.array(RAMP, chunks=(2, 8, 9))).chunks == (2, 8, 9)
    assert open_image(sharded(RAMP)).chunks == (2, 8, 8)
    assert open_image(np.lib.stride_tricks.as_strided(RAMP, (9000, 2000, 2000), (0, 0, 0))).chunks == (2, 2000, 2000)


def test_dask_computes_in_the_thread_that_asks():
    import threading

    seen = []

    def block(part):
        seen.append(threading.get_ident())
        return part

    array = da.from_array(RAMP, chunks=(1, 8, 9)).map_blocks(block, dtype=RAMP.dtype)
    seen.clear()
    with dask.config.set(scheduler="threads"):
        open_image(array).read(Region((0, 0, 0), (1, 8, 9)))
    assert seen == [threading.get_ident()]


class Coordinate:
    def __init__(self, values, units=None):
        self.values, self.attrs = np.asarray(values), {"units": units}


class LikeXarray:
    """What ``open_image`` looks at in an ``xarray.DataArray``."""

    name = "cells"
    dims = ("time", "y", "x")
    data = RAMP

    def __init__(self):
        self.coords = {"y": Coordinate(np.arange(17) * 0.5 + 2, "um"), "x": Coordinate(np.arange(23) ** 2, "um")}


def test_xarray_names_its_axes_and_evenly_spaced_coordinates_are_pixel_sizes():
    image = open_image(LikeXarray())
    assert (image.name, image.axes) == ("cells", "TYX")
    assert image.geometry.pixel_size == (1.0, 0.5, 1.0)
    assert image.geometry.units == ("pixel", "micrometer", "pixel")
    assert image.geometry.origin[1] == 2.0


def test_xarray_names_its_channels_and_shows_falling_coordinates_flipped():
    array = LikeXarray()
    array.dims = ("channel", "y", "x")
    array.coords = {"channel": Coordinate(["DAPI", "GFP", "RFP"]), "y": Coordinate(8 - np.arange(17) * 0.5, "um")}
    image = open_image(array)
    assert [channel.name for channel in image.channels] == ["DAPI", "GFP", "RFP"]
    assert image.geometry.pixel_size == (1.0, 0.5, 1.0)
    assert image.geometry.placed(3).scale == (1.0, -0.5, 1.0)
    assert image.geometry.placed(3).translate == (0.0, 8.0, 0.0)
    assert open_image(array, channel="gfp").geometry.placed(2).scale == (-0.5, 1.0)


@pytest.mark.parametrize("axes", ["TYX", "tyx", ["T", "Y", "X"], ("t", "y", "x")])
def test_axes_are_a_text_or_a_list_of_letters(axes):
    assert open_image(RAMP, axes=axes).axes == "TYX"


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"Y": 0.5}, (1.0, 0.5, 1.0)),
        ([3, 0.5, 0.25], (3.0, 0.5, 0.25)),
        (np.array([3, 0.5, 0.25]), (3.0, 0.5, 0.25)),
        ((0.5, 0.25), (1.0, 0.5, 0.25)),
        ({}, (1.0, 1.0, 1.0)),
        ((), (1.0, 1.0, 1.0)),
    ],
)
def test_pixel_sizes_are_by_letter_or_a_row_for_all_axes_or_those_of_space(sizes, expected):
    assert open_image(RAMP, axes="TYX", pixel_size=sizes).geometry.pixel_size == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("axes", 5),
        ("axes", ["YX", "Z"]),
        ("axes", ["Y", 5]),
        ("pixel_size", 0.3),
        ("pixel_size", "abc"),
        ("pixel_size", [1]),
        ("pixel_size", [1, 2, 3, 4]),
        ("pixel_size", [1, 2, "a"]),
        ("pixel_size", {"Y": "a"}),
        ("pixel_size", {"Y": float("nan")}),
        ("pixel_size", {"Y": float("inf")}),
        ("pixel_size", {"Y": -1}),
        ("pixel_size", {"Y": True}),
        ("pixel_size", {5: 1}),
        ("channel", float("nan")),
        ("channel", True),
        ("channel", [0]),
        ("level", "a"),
        ("level", 1.5),
    ],
)
def test_what_is_of_the_wrong_kind_is_named(name, value):
    with pytest.raises(ImageError, match=f"^`{name}`") as caught:
        open_image(RAMP, **{"axes": "CYX", name: value})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("channel", ["0\x1f", "²", "١", "9" * 5000, "-1", ""])
def test_a_channel_that_only_looks_like_a_number_is_no_channel(channel):
    with pytest.raises(ImageError, match="no channel is called") as caught:
        open_image(RAMP, axes="CYX", channel=channel)
    assert len(str(caught.value)) < 300


def test_the_home_folder_may_be_written_short(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    np.save(tmp_path / "a.npy", RAMP)
    np.testing.assert_array_equal(open_image("~/a.npy").read(), RAMP)
    with pytest.raises(ImageError, match="does not exist"):
        open_image("~nobody-of-this-name/a.npy")

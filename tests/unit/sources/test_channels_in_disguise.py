"""Channels that only headers or names tell, or the planes themselves: opened as channels, or said."""

import re

import numpy as np
import pytest
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from napari_restore.core.errors import ImageError
from napari_restore.sources import open_image
from napari_restore.sources.alternating import alternation

PLANES = np.arange(24, dtype=np.uint16)[:, None, None] + np.zeros((24, 17, 23), np.uint16)


def first_pixels(image):
    return image.read()[..., 3, 4].tolist()


@given(data=st.data())
def test_axes_take_an_axis_apart_as_numpy_does(data):
    channels, slices = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 5))
    times = data.draw(st.integers(1, 4))
    whole = np.arange(times * slices * channels * 6).reshape(-1, 2, 3)
    image = open_image(whole, axes=f"TZ({slices})C({channels})YX")
    assert image.axes == "TZCYX"
    assert np.array_equal(image.read(), whole.reshape(times, slices, channels, 2, 3))
    image = open_image(whole, axes=f"C({channels})TYX")
    assert np.array_equal(image.read(), whole.reshape(channels, -1, 2, 3))
    image = open_image(whole[None], axes=["T", f"C({channels})", "Y", "X"], channel=channels - 1)
    assert np.array_equal(image.read(), whole[channels - 1 :: channels])


@pytest.mark.parametrize("axes", ["TC(5)YX", "TC(0)YX", "TC()YX", "TC(2YX", "YC(2)X", "C(2)YX", "TC(2)ZYX", "TT(2)YX"])
def test_axes_that_do_not_divide_or_take_rows_apart_are_refused(axes):
    with pytest.raises(ImageError, match="axes") as caught:
        open_image(PLANES, axes=axes)
    assert "\n" not in str(caught.value)


def test_of_a_stopped_acquisition_the_whole_times_are_taken_on_request():
    assert first_pixels(open_image(PLANES[:23], axes="TC(2)YX", incomplete="use"))[-1] == [20, 21]
    with pytest.raises(ImageError, match="23 planes are not a whole number of 2 C"):
        open_image(PLANES[:23], axes="TC(2)YX")
    with pytest.raises(ImageError, match="incomplete"):
        open_image(PLANES, incomplete="yes")


def scanimage(path, header, pages=24, description="frameNumbers = 1\n"):
    with tifffile.TiffWriter(path, bigtiff=True) as tif:
        for plane in PLANES[:pages]:
            tif.write(plane, software=header, description=description, metadata=None, contiguous=False)
    return path


TWO = "SI.hChannels.channelSave = [1;2]\n"
STACK = "SI.hStackManager.enable = true\nSI.hStackManager.framesPerSlice = "


@pytest.mark.parametrize(
    ("header", "axes", "shape"),
    [
        ("SI.hChannels.channelSave = [1;2]\nSI.hStackManager.framesPerSlice = 12", "TC", (12, 2)),
        ("SI.hChannels.channelSave = [1 3 4]\nSI.hStackManager.numSlices = 1", "TC", (8, 3)),
        ("SI.hChannels.channelSave = 2\nSI.hStackManager.framesPerSlice = Inf", "T", (24,)),
        (f"SI.hChannels.channelSave = [1;2]\n{STACK}1\nSI.hStackManager.numSlices = 4", "TZC", (3, 4, 2)),
        (f"SI.hChannels.channelSave = [1;2]\n{STACK}3\nSI.hStackManager.numSlices = 4", "ZTC", (4, 3, 2)),
        (f"SI.hChannels.channelSave = 1\n{STACK}1\nSI.hStackManager.numSlices = 24", "Z", (24,)),
        (
            "SI.hChannels.channelSave = [1;2]\nSI.hStackManager.enable = false\nSI.hStackManager.numSlices = 4",
            "TC",
            (12, 2),
        ),
        (
            "SI.hChannels.channelSave = [1;2]\nSI.hFastZ.enable = true\nSI.hFastZ.numFramesPerVolume = 6",
            "TZC",
            (2, 6, 2),
        ),
    ],
)
def test_the_header_of_scanimage_says_how_its_pages_follow_each_other(tmp_path, header, axes, shape):
    image = open_image(scanimage(tmp_path / "a.tif", f"SI.VERSION_MAJOR = '2018b'\n{header}\n"))
    assert (image.axes, image.shape) == (f"{axes}YX", (*shape, 17, 23))
    assert np.array_equal(image.read(), PLANES.reshape(*shape, 17, 23))


def test_an_old_header_of_scanimage_is_in_the_description(tmp_path):
    old = "state.acq.numberOfChannelsSave=2\nstate.acq.numberOfZSlices=1\n"
    assert open_image(scanimage(tmp_path / "a.tif", None, description=old)).axes == "TCYX"


def test_the_user_comes_before_the_header(tmp_path):
    path = scanimage(tmp_path / "a.tif", "SI.hChannels.channelSave = [1;2]\n")
    assert open_image(path, axes="ZYX").shape == (24, 17, 23)
    assert open_image(path, axes="ZC(3)YX").shape == (8, 3, 17, 23)
    assert open_image(path, axes="ZCYX").shape == (12, 2, 17, 23)


def test_channels_that_do_not_divide_the_pages_are_not_believed(tmp_path):
    assert open_image(scanimage(tmp_path / "a.tif", "SI.hChannels.channelSave = [1;2]\n", pages=23)).shape[0] == 23


def named(folder, names):
    folder.mkdir(exist_ok=True)
    for i, name in enumerate(names):
        tifffile.imwrite(folder / f"{name}.tif", PLANES[i])
    return folder


T, C, Z = range(2), range(3), range(4)


@pytest.mark.parametrize(
    ("names", "axes", "shape"),
    [
        ([f"img_channel{c:03d}_position000_time{t:09d}_z{z:03d}" for t in T for c in C for z in Z], "TCZ", (2, 3, 4)),
        ([f"Series001_t{t:02d}_z{z:02d}_ch{c:02d}" for t in T for c in C for z in Z], "TCZ", (2, 3, 4)),
        ([f"Image_C{c + 1:03d}Z{z + 1:03d}T{t + 1:03d}" for t in T for c in C for z in Z], "TCZ", (2, 3, 4)),
        ([f"img_{t:09d}_{'ABC'[c]}_{0:03d}" for t in range(8) for c in C], "TC", (8, 3)),
        ([f"a_z{z}_ch{c}" for c in C for z in range(8)], "CZ", (3, 8)),
        ([f"movie-t{t}" for t in range(24)], "T", (24,)),
        ([f"slice_{z}" for z in range(24)], "Z", (24,)),
        ([f"cell{z}" for z in range(24)], "Z", (24,)),
    ],
)
def test_the_names_of_files_say_where_their_planes_are(tmp_path, names, axes, shape):
    image = open_image(named(tmp_path / "folder", names))
    assert (image.axes, image.shape) == (f"{axes}YX", (*shape, 17, 23))
    assert np.array_equal(image.read(), PLANES.reshape(*shape, 17, 23))
    assert open_image(tmp_path / "folder", axes="ZYX").shape == (24, 17, 23)


def test_channels_of_micromanager_keep_their_names(tmp_path):
    names = [f"img_{t:09d}_{channel}_000" for t in range(12) for channel in ("DAPI", "GFP")]
    image = open_image(named(tmp_path / "folder", names), channel="gfp")
    assert first_pixels(image) == list(range(1, 24, 2))


def test_positions_by_name_are_images_of_their_own(tmp_path):
    names = [f"img_channel{c:03d}_position{p:03d}_time000000000_z000" for p in range(3) for c in range(2)]
    folder = named(tmp_path / "folder", names)
    assert first_pixels(open_image(folder)) == [0, 1]
    assert "3 positions" in open_image(folder).notes[-1]
    assert first_pixels(open_image(folder, series=2)) == [4, 5]


def test_files_that_are_missing_by_their_names_are_said_and_whole_times_taken(tmp_path):
    names = [f"img_channel{c:03d}_time{t:03d}" for t in range(5) for c in range(2)]
    folder = named(tmp_path / "folder", names[:-1])
    with pytest.raises(ImageError, match=r"5 T x 2 C, 10 planes, and 9 are there.*use takes the 4 time points"):
        open_image(folder)
    assert first_pixels(open_image(folder, incomplete="use")) == [[2 * t, 2 * t + 1] for t in range(4)]
    assert open_image(folder, axes="ZYX").shape == (9, 17, 23)


def stack(levels, seed=0):
    """Planes of 70 x 83 with Poisson noise; the first pixels of a texture are at a third of the level."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:70, :83]
    texture = 1 + 0.6 * np.sin(y / 9) * np.cos(x / 11)
    return rng.poisson([level * texture for level in levels]).astype(np.uint16)


@pytest.mark.parametrize(
    ("levels", "said"),
    [
        ([9, 1400] * 6, "alternate between .* and .*ZC.2.YX"),
        ([20, 200, 2000] * 5, "ZC.3.YX"),
        ([9 * 0.97**i if i % 2 else 1400 * 0.9**i for i in range(20)], "ZC.2.YX"),
        ([300] * 12, None),
        ([300 * g for g in np.random.default_rng(0).uniform(0.7, 1.3, 20)], None),
        ([2000 * np.exp(-abs(z - 8) / 2) + 10 for z in range(17)], None),
        ([10] * 6 + [1000] * 6, None),
        ([1000 * 0.7**z for z in range(14)], None),
        ([100, 100, 4000, 100, 100, 100, 100, 100], None),
        ([9, 1400], None),
    ],
)
def test_planes_that_differ_by_much_in_turn_are_said_and_no_others(levels, said):
    warning = alternation(open_image(stack(levels) + 100, axes="ZYX"))
    assert warning is None if said is None else re.search(said, warning)


def test_channels_that_are_called_so_are_no_disguise():
    image = stack([9, 1400] * 6)
    assert alternation(open_image(image, axes="TC(2)YX")) is None
    assert "TC(2)YX" in alternation(open_image(image, axes="TYX"))
    assert alternation(open_image(np.full((9, 70, 83), np.nan), axes="ZYX")) is None
    assert alternation(open_image(image[0], axes="YX")) is None

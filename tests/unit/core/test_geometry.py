import numpy as np
import pytest

from napari_restore.core.errors import ImageError
from napari_restore.core.geometry import Geometry, canonical, canonical_axes, canonical_order, guess_axes, valid_axes


def test_what_is_not_known_is_one_pixel():
    geometry = Geometry.of("ZYX", (5, 17, 23), pixel_size={"Z": 3.0}, units={"Z": "micrometer"})
    assert geometry.pixel_size == (3.0, 1.0, 1.0)
    assert geometry.units == ("micrometer", "pixel", "pixel")
    assert geometry.origin == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("axes", ["Y", "YXZ", "YY", "ZX", "YW", "yx", ""])
def test_axes_that_do_not_describe_the_array_are_refused(axes):
    assert not valid_axes(axes, 2)
    with pytest.raises(ImageError, match=r"do not describe an array of shape \(17, 23\)") as error:
        Geometry.of(axes, (17, 23))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("size", [0.0, -1.0, float("nan"), float("inf")])
def test_a_pixel_size_that_is_no_length_is_refused(size):
    with pytest.raises(ImageError, match="axis X: a pixel size of"):
        Geometry.of("YX", (17, 23), pixel_size={"X": size})


@pytest.mark.parametrize(
    ("axes", "shape", "spatial"),
    [("YX", (17, 23), "YX"), ("XZY", (23, 5, 17), "ZYX"), ("TZYX", (3, 1, 17, 23), "YX"), ("YXC", (17, 23, 3), "YX")],
)
def test_spatial_axes_have_one_order_and_more_than_one_plane(axes, shape, spatial):
    assert Geometry.of(axes, shape).spatial == spatial


def test_an_axis_that_is_not_there_has_length_one():
    geometry = Geometry.of("YX", (17, 23))
    assert (geometry.length("X"), geometry.length("Z"), geometry.length("C")) == (23, 1, 1)


def test_pixel_sizes_are_replaced_by_name_and_keep_a_unit_that_is_known():
    geometry = Geometry.of("TYX", (2, 17, 23), units={"T": "second", "X": "nanometer"})
    changed = geometry.with_pixel_size({"X": 65, "Y": 0.065})
    assert changed.pixel_size == (1.0, 0.065, 65.0)
    assert changed.units == ("second", "micrometer", "nanometer")
    with pytest.raises(ImageError, match="axis Z: the image has axes TYX"):
        geometry.with_pixel_size({"Z": 1})


def areas(start, size, count):
    """Edges of the areas of pixels whose first centre lies at ``start``."""
    return start + size * (np.arange(count + 1) - 0.5)


@pytest.mark.parametrize("rate", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("origin", [0.0, -3.25, 1000.0])
def test_finer_pixels_tile_the_area_of_each_pixel_exactly(rate, origin):
    raw = Geometry.of("YX", (17, 23), pixel_size={"Y": 0.3, "X": 1.7}, origin={"Y": origin, "X": -origin})
    fine = raw.refined({"Y": rate, "X": rate})
    assert fine.shape == (17 * rate, 23 * rate)
    assert (fine.axes, fine.units) == (raw.axes, raw.units)
    for axis in (0, 1):
        coarse_edges = areas(raw.origin[axis], raw.pixel_size[axis], raw.shape[axis])
        fine_edges = areas(fine.origin[axis], fine.pixel_size[axis], fine.shape[axis])
        np.testing.assert_allclose(fine_edges[::rate], coarse_edges, rtol=0, atol=1e-11)


def test_a_point_sample_lies_on_the_first_of_its_finer_pixels():
    raw = Geometry.of("TZYX", (2, 5, 17, 23), pixel_size={"Z": 2.0, "X": 0.5}, origin={"Z": 10.0, "X": 4.0})
    fine = raw.refined({"Z": 4, "X": 2}, centred={"Z": False})
    assert fine.shape == (2, 20, 17, 46)
    assert fine.pixel_size == (1.0, 0.5, 1.0, 0.25)
    assert fine.origin == (0.0, 10.0, 0.0, 3.875)
    assert raw.refined({}) == raw == raw.refined({"Z": 1}, centred={"Z": False})


def test_refining_an_axis_that_is_not_there_is_our_mistake():
    with pytest.raises(AssertionError, match="for axes YX"):
        Geometry.of("YX", (17, 23)).refined({"Z": 2})


def test_the_canonical_image_is_the_same_image():
    geometry = Geometry.of("XCYZ", (23, 2, 17, 5), pixel_size={"X": 0.1, "Z": 0.3}, origin={"Y": 7.0})
    ordered = canonical(geometry)
    assert ordered == Geometry.of("CZYX", (2, 5, 17, 23), pixel_size={"X": 0.1, "Z": 0.3}, origin={"Y": 7.0})
    assert canonical_order("XCYZ") == (1, 3, 2, 0)
    assert canonical(ordered) == ordered


@pytest.mark.parametrize(
    ("given", "wanted"), [("zyx", "ZYX"), ("YXS", "YXC"), ("QYX", "ZYX"), ("PCYX", "TCYX"), ("CYXS", "CYXS")]
)
def test_axes_of_other_formats(given, wanted):
    """S means channel, unless there is one already: then it stays, and is refused where axes are checked."""
    assert canonical_axes(given) == wanted


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((17, 23), "YX"),
        ((100, 17, 23), "ZYX"),
        ((2, 17, 23), "ZYX"),
        ((3, 17, 23, 30), "CZYX"),
        ((9, 5, 17, 23), "TZYX"),
        ((2, 3, 5, 17, 23), "TCZYX"),
        ((512, 512, 3), "YXC"),
        ((512, 512, 4), "YXC"),
        ((5, 512, 512, 3), "ZYXC"),
        ((8, 5, 512, 512, 3), "TZYXC"),
        ((16, 512, 3), "ZYX"),  # too thin for a colour picture
        ((512, 512, 5), "ZYX"),
    ],
)
def test_guessed_axes(shape, axes):
    guessed, words = guess_axes(shape)
    assert guessed == axes
    assert valid_axes(guessed, len(shape))
    assert axes in words and "x".join(map(str, shape)) in words and "`axes`" in words


@pytest.mark.parametrize("shape", [(), (5,), (1, 2, 3, 4, 17, 23)])
def test_what_is_no_image_is_refused(shape):
    with pytest.raises(ImageError, match="2 to 5 axes"):
        guess_axes(shape)
